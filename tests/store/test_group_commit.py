"""Intake on a real PostgreSQL: an answer means COMMIT, and whatever order things come in, one incident."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import cast

import asyncpg
import pytest

from responder.decide.case import Terms
from responder.engine.contests import Contests
from responder.engine.intake import GroupCommit
from responder.engine.rules import ActiveRules
from responder.engine.settings import EngineSettings
from responder.model.alert import Alert, AlertKey, Delivery, Rejected, Standing, fingerprint
from responder.model.errors import OverloadedError, StoreAwayError
from responder.model.matcher import Matcher, MatchOp
from responder.model.rule import Rulebook
from responder.ports import AlertState
from responder.store.connection import Connections
from responder.store.postgres import PostgresStore
from responder.store.settings import StoreSettings
from responder.store.timeline import TimelineKeys
from responder.telemetry import build_metrics
from tests.support.virtual import ladder

START = datetime(2026, 1, 1, tzinfo=UTC)
LABELS = {"alertname": "A", "pod": "p-1"}
ALERT = fingerprint(LABELS)
TERMS = Terms()
RULE = ladder().model_copy(
    update={"match": (Matcher(name="alertname", op=MatchOp.EQUAL, value="A"),), "group_by": ("alertname",)}
)


def alert(standing: Standing = Standing.FIRING, ends: int | None = None, **labels: str) -> Alert:
    """One alert that started at the start."""
    given = {**LABELS, **labels}
    return Alert(
        fingerprint=fingerprint(given),
        labels=given,
        annotations={"summary": "s"},
        standing=standing,
        starts_at=START,
        ends_at=START + timedelta(seconds=ends) if ends is not None else None,
    )


def delivery(*alerts: Alert, rejected: tuple[Rejected, ...] = ()) -> Delivery:
    """One POST."""
    return Delivery(source="am", alerts=alerts, rejected=rejected)


class Writer:
    """A group commit on a database of the test's own."""

    def __init__(self, dsn: str, connections: Connections, **settings: int) -> None:
        self.dsn = dsn
        self.store = PostgresStore(connections, timedelta(seconds=15), TimelineKeys("1", {"1": b"k" * 16}))
        self.rules = ActiveRules(self.store)
        engine = EngineSettings(terms=TERMS, **settings)
        self.intake = GroupCommit(self.store, self.rules, engine, build_metrics("test"), asyncio.Event())

    async def ask(self, sql: str) -> list[tuple[object, ...]]:
        """Rows as another connection sees them: what is committed."""
        connection = await asyncpg.connect(self.dsn)
        try:
            return [tuple(row) for row in await connection.fetch(sql)]
        finally:
            await connection.close()


@pytest.fixture
async def writer(dsn: str) -> AsyncIterator[Writer]:
    settings = StoreSettings()
    connections = await Connections.open(dsn, settings)
    one = Writer(dsn, connections)
    await one.store.activate(Rulebook(rules=(RULE,)), "test")
    await one.rules.follow()
    running = asyncio.create_task(one.intake.run())
    yield one
    one.intake.close()
    await running
    await connections.close()


async def test_an_answer_means_that_it_is_committed(writer: Writer) -> None:
    """When `take` returns, another connection sees the journal row, the alert and the incident."""
    receipt = await writer.intake.take(delivery(alert()))
    assert receipt.stored == 1
    assert await writer.ask("SELECT count(*) FROM journal") == [(1,)]
    assert await writer.ask("SELECT rule, state FROM incidents") == [("Hit", "pending")]
    assert await writer.ask("SELECT count(*) FROM members") == [(1,)]


async def test_peers_duplicates_and_several_alerts_make_one_incident(writer: Writer) -> None:
    """Two peers at once, the same alert twice in a body, and a second pod: one incident with two members."""
    posts = [delivery(alert(), alert()), delivery(alert()), delivery(alert(pod="p-2"))]
    await asyncio.gather(*(writer.intake.take(post) for post in posts))
    assert await writer.ask("SELECT count(*) FROM incidents") == [(1,)]
    assert await writer.ask("SELECT count(*) FROM members") == [(2,)]


async def test_what_cannot_be_used_is_kept_with_its_reason(writer: Writer) -> None:
    """A rejected part goes to the dead letters in the same commit as its good neighbours."""
    await writer.intake.take(delivery(alert(), rejected=(Rejected("labels is no object", "{}"),)))
    assert await writer.ask("SELECT source, reason FROM dead_letters") == [("am", "labels is no object")]
    assert await writer.ask("SELECT count(*) FROM journal") == [(1,)]


async def test_what_postgresql_refuses_fails_alone(writer: Writer) -> None:
    """One delivery that the database cannot store costs none of those that waited with it."""
    bad = Alert(
        fingerprint="0" * 16,
        labels={"alertname": "nul \x00"},
        annotations={},
        standing=Standing.FIRING,
        starts_at=START,
    )
    answers = await asyncio.gather(
        *(
            writer.intake.take(post)
            for post in (delivery(alert()), delivery(bad), delivery(alert(pod="p-2")))
        ),
        return_exceptions=True,
    )
    assert [isinstance(answer, BaseException) for answer in answers] == [False, True, False]
    assert await writer.ask("SELECT count(*) FROM members") == [(2,)]


async def test_a_full_queue_is_refused_at_admission(dsn: str) -> None:
    """Beyond the limit nothing is queued: the sender is told to come again."""
    connections = await Connections.open(dsn, StoreSettings())
    one = Writer(dsn, connections, queue_limit=1)
    waiting = asyncio.create_task(one.intake.take(delivery(alert())))
    await asyncio.sleep(0)
    with pytest.raises(OverloadedError):
        await one.intake.take(delivery(alert()))
    running = asyncio.create_task(one.intake.run())
    assert (await waiting).stored == 1
    one.intake.close()
    await running
    await connections.close()


async def test_with_the_database_away_nothing_is_acknowledged(dsn: str) -> None:
    """No commit, no answer but an error: at the writing and, while it is away, at admission."""
    connections = await Connections.open(dsn, StoreSettings())
    one = Writer(dsn, connections)
    await connections.close()
    running = asyncio.create_task(one.intake.run())
    for _ in range(2):
        with pytest.raises(StoreAwayError):
            await one.intake.take(delivery(alert()))
    one.intake.close()
    await running


class _Says:
    """A source that knows some alerts as firing."""

    def __init__(self, answers: Mapping[str, bool]) -> None:
        self.answers = answers

    async def standings(
        self, source: str, labels: Mapping[str, Mapping[str, str]]
    ) -> Mapping[str, bool] | None:
        del source
        return {known: fires for known, fires in self.answers.items() if known in labels}


async def contested(writer: Writer) -> None:
    """An alert that was timed out and came again with its old start."""
    for said in (alert(), alert(Standing.RESOLVED, ends=9), alert()):
        await writer.intake.take(delivery(said))
    assert await writer.ask(CONTESTED) == [(False, True)]


CONTESTED = "SELECT ends_at IS NULL, contested_at IS NOT NULL FROM alerts WHERE labels ->> 'alertname' = 'A'"


@pytest.mark.parametrize("fires", [True, False])
async def test_the_source_decides_a_contest(writer: Writer, fires: bool) -> None:
    """Timed out and sent again: what the source's API says is journaled and counts, in the same incident."""
    await contested(writer)
    contests = Contests(writer.store, writer.intake, cast("AlertState", _Says({ALERT: fires})))
    assert await contests.round() == 1
    assert await contests.round() == 0
    assert await writer.ask(CONTESTED) == [(fires, False)]
    assert await writer.ask("SELECT count(*) FROM incidents") == [(1,)]
    assert await writer.ask("SELECT count(*) FROM journal") == [(4,)]


async def test_a_contest_that_nobody_answers_fires_after_its_window(writer: Writer) -> None:
    """Without an answer it stays contested for the window, by service time, and then fires: never dropped."""
    await contested(writer)
    contests = Contests(writer.store, writer.intake, cast("AlertState", _Says({})))
    await contests.round()
    assert await writer.ask(CONTESTED) == [(False, True)]
    await writer.ask("UPDATE service_clock SET shift = '61 s' RETURNING only_row")
    await contests.round()
    assert await writer.ask(CONTESTED) == [(True, False)]
    assert await writer.ask("SELECT count(*) FROM incidents") == [(1,)]


async def test_a_new_rulebook_takes_what_no_rule_took(writer: Writer) -> None:
    """An open episode without a rule is listed, and a later rulebook that matches it takes it."""
    lonely = alert(alertname="B")
    await writer.intake.take(delivery(lonely))
    assert await writer.rules.unmatched_matches() == ()
    rule = RULE.model_copy(
        update={"name": "Second", "match": (Matcher(name="alertname", op=MatchOp.EQUAL, value="B"),)}
    )
    await writer.store.activate(Rulebook(rules=(RULE, rule)), "test")
    await writer.rules.follow()
    keys: Sequence[AlertKey] = await writer.rules.unmatched_matches()
    assert [key.fingerprint for key in keys] == [lonely.fingerprint]
    await writer.intake.take(Delivery(source="am", alerts=(), refold=tuple(keys)))
    assert await writer.ask("SELECT rule FROM incidents") == [("Second",)]


async def test_what_a_later_rulebook_takes_keeps_when_it_was_first_heard_of(writer: Writer) -> None:
    """Not the reload, not the newest resend and not an earlier episode: the first word of this one.

    What a rule takes as it comes, a contested return among it, was heard of when it joined.
    """
    for said in (
        alert(alertname="B"),
        alert(Standing.RESOLVED, ends=9, alertname="B"),
        replace(alert(alertname="B"), starts_at=START + timedelta(seconds=10)),
        replace(alert(alertname="B"), starts_at=START + timedelta(seconds=10), annotations={}),
    ):
        await writer.intake.take(delivery(said))
    (_, _, (first,), (newest,)) = await writer.ask("SELECT received_at FROM journal ORDER BY 1")
    assert first != newest
    match = (Matcher(name="alertname", op=MatchOp.EQUAL, value="B"),)
    later = RULE.model_copy(update={"name": "Second", "match": match})
    await writer.store.activate(Rulebook(rules=(RULE, later)), "test")
    await writer.rules.follow()
    keys = await writer.rules.unmatched_matches()
    await writer.intake.take(Delivery(source="am", alerts=(), refold=tuple(keys)))
    assert await writer.ask("SELECT heard_at, joined_at > heard_at FROM members") == [(first, True)]
    [one] = await writer.store.incidents(live_only=True, limit=9)
    dossier = await writer.store.incident(one.id)
    assert dossier is not None
    assert dossier.members.first_heard_at == first != one.opened_at
    await contested(writer)
    await writer.ask("UPDATE service_clock SET shift = '61 s' RETURNING only_row")
    await Contests(writer.store, writer.intake, cast("AlertState", _Says({}))).round()
    hit = "SELECT generation, heard_at FROM members JOIN incidents ON id = incident_id WHERE rule = 'Hit'"
    assert await writer.ask(f"{hit} ORDER BY 1") == [(1, None), (2, None)]
