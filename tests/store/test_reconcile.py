"""Reconcile on a real PostgreSQL, with peers that do what real ones cannot be made to do."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from responder.decide.case import Terms
from responder.engine.intake import GroupCommit
from responder.engine.ownership import Ownership
from responder.engine.reconcile import Reconcile
from responder.engine.rules import ActiveRules
from responder.engine.settings import EngineSettings, ReconcileSettings
from responder.engine.wake import Wake
from responder.model.alert import Alert, Delivery, Rejected, Standing, fingerprint
from responder.model.redaction import SHIPPED
from responder.model.source import SourceStanding
from responder.ports import RoundEnd
from responder.sources.lists import lists_of
from responder.sources.settings import SourceSettings
from responder.telemetry import Metrics, build_metrics
from tests.support.peers import RECEIVER, FakeAlertmanager, FakeApi, FakePrometheus, known_alert, served
from tests.support.stored import Stored, stored

LABELS = {"alertname": "Stuck", "server": "db1", "pod": "a"}
STARTED = datetime(2026, 11, 24, 0, 11, 2, 123000, tzinfo=UTC)
"""As `known_alert` says."""
EVERY = timedelta(milliseconds=1)
HOUR = timedelta(hours=1)


@dataclass
class Replica:
    """One process's reconcile, with its own intake."""

    on: Stored
    reconcile: Reconcile
    ownership: Ownership
    intake: GroupCommit
    metrics: Metrics

    async def round(self) -> SourceStanding:
        """One round that is due; how the source stands after it."""
        before = await self.standing()
        while (now := await self.standing()).rounds == before.rounds:
            await self.reconcile.look("am")
        return now

    async def standing(self) -> SourceStanding:
        """How the source stands."""
        return await self.on.store.rounds.standing("am")

    async def deliver(self, alert: Alert, *rejected: Rejected) -> None:
        """What the source's webhook brings."""
        await self.intake.take(Delivery(source="am", alerts=(alert,), rejected=rejected))


@asynccontextmanager
async def replica(
    on: Stored, *apis: FakeApi, every: timedelta = EVERY, **source: Any
) -> AsyncIterator[Replica]:
    """A process that may ask these peers."""
    settings = SourceSettings.model_validate(
        {
            "name": "am",
            "alertmanager": tuple(api.url for api in apis if isinstance(api, FakeAlertmanager)),
            "prometheus": tuple(api.url for api in apis if isinstance(api, FakePrometheus)),
            **source,
        }
    )
    metrics, rules = build_metrics("test"), ActiveRules(on.store)
    await rules.follow()
    intake = GroupCommit(on.store, rules, EngineSettings(terms=Terms()), metrics, Wake())
    ownership = Ownership(on.store, metrics, timedelta(seconds=60), HOUR)
    await ownership.begin()
    lists = lists_of(settings, SHIPPED)
    reconcile = Reconcile(
        rounds=on.store.rounds,
        intake=intake,
        lists={"am": lists},
        ownership=ownership,
        metrics=metrics,
        settings=ReconcileSettings(every=every),
    )
    await reconcile.enter()
    writer = asyncio.create_task(intake.run())
    try:
        yield Replica(on, reconcile, ownership, intake, metrics)
    finally:
        intake.close()
        await writer
        for one in lists:
            await one.close()


@pytest.fixture
async def on(dsn: str) -> AsyncIterator[Stored]:
    async with stored(dsn) as opened:
        yield opened


def held(labels: Mapping[str, str] = LABELS) -> Alert:
    """As a delivery tells of it."""
    return Alert(fingerprint(labels), dict(labels), {"summary": "a summary"}, Standing.FIRING, STARTED)


FIRING = "SELECT fingerprint FROM alerts WHERE ends_at IS NULL AND generation > 0 ORDER BY 1"


async def test_what_no_notification_told_of_is_taken_in(on: Stored) -> None:
    """Its own labels, annotations, start and link, our fingerprint; silenced ones too; an incident opens."""
    secret = {**LABELS, "pod": "b", "note": "password=hunter22", "replica": "r1"}
    api = FakeAlertmanager(
        alerts=[known_alert(LABELS), known_alert(secret, state="suppressed", silenced=["b2a1"])]
    )
    async with served(api), replica(on, api, receiver=RECEIVER, drop_labels=["replica"]) as one:
        after = await one.round()
        assert (after.taken_in, after.gone, after.problem, len(after.peers)) == (2, 0, None, 1)
        assert after.complete_at == after.began_at
        again = await one.round()
        assert again.taken_in == 2, "what is held already is no difference"
    rows = await on.sql(
        "SELECT fingerprint, labels, annotations, starts_at, generator_url, standing FROM journal"
    )
    told = {row[0]: (json.loads(row[1]), json.loads(row[2]), *row[3:]) for row in rows}
    url = "http://prometheus:9090/graph?g0.expr=vector%281%29&g0.tab=1"
    assert told.pop(fingerprint(LABELS)) == (LABELS, {"summary": "a summary"}, STARTED, url, "confirmed")
    [(print_, kept)] = told.items()
    assert print_ == fingerprint({name: value for name, value in secret.items() if name != "replica"})
    assert "hunter22" not in str(kept)
    assert await on.sql("SELECT rule, state FROM incidents") == [("StuckQueries", "pending")]
    assert await on.one("SELECT count(*) FROM members WHERE firing") == 2


async def test_what_nobody_lists_is_gone_after_three_polls(on: Stored) -> None:
    """Two polls end nothing; the third does, as a row of the journal, at the moment of its question."""
    api = FakeAlertmanager()
    async with served(api), replica(on, api) as one:
        await one.deliver(held())
        for polls in (1, 2):
            assert (await one.round()).gone == 0, polls
            assert await on.sql(FIRING) == [(fingerprint(LABELS),)]
        after = await one.round()
        assert after.gone == 1
    assert await on.sql(FIRING) == []
    assert await on.sql("SELECT standing, ends_at FROM journal WHERE standing <> 'firing'") == [
        ("gone", after.began_at)
    ]
    assert await on.one("SELECT count(*) FROM members WHERE firing") == 0


async def test_a_restart_or_a_word_between_counts_anew(on: Stored) -> None:
    """A notification between the polls, or a list with the alert in it: three more polls are needed."""
    api = FakeAlertmanager()
    async with served(api), replica(on, api) as one:
        await one.deliver(held())
        for _ in range(2):
            await one.round()
        await one.deliver(held())
        for _ in range(2):
            assert (await one.round()).gone == 0
        api.alerts = [known_alert(LABELS)]
        await one.round()
        api.alerts = []
        for _ in range(2):
            assert (await one.round()).gone == 0
        assert (await one.round()).gone == 1


DOUBTFUL: Mapping[str, tuple[list[FakeAlertmanager], str]] = {
    "a peer is away": ([FakeAlertmanager(), FakeAlertmanager(status=503)], "503"),
    "a peer has just started": (
        [FakeAlertmanager(), FakeAlertmanager(up_for=timedelta(seconds=110))],
        "up for",
    ),
    "no such receiver": ([FakeAlertmanager(receivers=("team-x",))], "no receiver named"),
    "its answer is no list": ([FakeAlertmanager(alerts={"alerts": []})], "alerts"),  # type: ignore[arg-type]  # wrong on purpose
    "one peer knows it": ([FakeAlertmanager(), FakeAlertmanager(alerts=[known_alert(LABELS)])], ""),
}


@pytest.mark.parametrize("why", DOUBTFUL)
async def test_doubt_resolves_nothing(on: Stored, why: str) -> None:
    """However often it is asked: where one peer is missing, young, misrouted or knows it, nothing ends."""
    peers, problem = DOUBTFUL[why]
    async with served(*peers), replica(on, *peers, receiver=RECEIVER) as one:
        await one.deliver(held())
        for _ in range(4):
            await one.round()
        after = await one.round()
        assert after.gone == 0
        assert problem in (after.problem or "")
        assert (after.complete_at is None) == bool(problem)
    assert await on.sql(FIRING) == [(fingerprint(LABELS),)]


async def test_a_missing_peer_still_tells_what_it_cannot_deny(on: Stored) -> None:
    """What the other peer lists is taken in all the same, and the round counts as incomplete."""
    peers = [FakeAlertmanager(alerts=[known_alert(LABELS)]), FakeAlertmanager(status=500)]
    async with served(*peers), replica(on, *peers) as one:
        after = await one.round()
        assert (after.taken_in, after.complete_at) == (1, None)
        assert [peer.answered for peer in after.peers] == [True, False]


async def test_one_replica_has_the_turn_until_it_dies(on: Stored) -> None:
    """While the first lives the other never asks; then the other does, and counts absences anew."""
    api = FakeAlertmanager()
    async with served(api), replica(on, api) as one, replica(on, api) as other:
        await one.deliver(held())
        for _ in range(2):
            await one.round()
        asked = api.requests["/api/v2/alerts"]
        for _ in range(5):
            await other.reconcile.look("am")
        assert api.requests["/api/v2/alerts"] == asked
        await on.silence(one.ownership.worker_id)
        after = await other.round()
        assert (after.owner, after.gone) == (other.ownership.worker_id, 0)
        await one.reconcile.look("am")
        assert (await one.standing()).owner == other.ownership.worker_id, "a dead one takes nothing back"
        await other.round()
        assert (await other.round()).gone == 1
        await other.reconcile.leave()
        assert (await one.standing()).owner is None


async def test_two_that_begin_at_once_have_one_turn(on: Stored) -> None:
    """Whoever looked before the other began gets no round: the turn is decided in the database."""
    await on.store.rounds.enter(["am"])
    one, other = await on.worker(), await on.worker()
    begun = await on.store.rounds.begin("am", one, HOUR)
    assert begun is not None
    assert await on.store.rounds.begin("am", other, HOUR) is None
    await on.silence(one)
    assert await on.store.rounds.begin("am", one, HOUR) is None, "a dead one has no turn"
    taken_over = await on.store.rounds.begin("am", other, HOUR)
    assert taken_over is not None
    assert taken_over.epoch > begun.epoch
    assert not await on.store.rounds.end(begun, RoundEnd((), 1, 1, None)), (
        "what a deposed one says is not kept"
    )


async def test_a_turn_that_comes_back_counts_anew(on: Stored) -> None:
    """What was counted before others had the turn counts no more: nobody knows what they heard."""
    api = FakeAlertmanager()
    async with served(api), replica(on, api) as one, replica(on, api) as other:
        await one.deliver(held())
        for _ in range(2):
            await one.round()
        await one.reconcile.leave()
        await other.round()
        await other.reconcile.leave()
        for _ in range(2):
            assert (await one.round()).gone == 0
        assert (await one.round()).gone == 1


async def test_a_gap_is_asked_for_at_once_and_closed_with_a_record(on: Stored) -> None:
    """Alerts were missed: a round begins before its time; a complete one closes the gap, another does not."""
    peers = [FakeAlertmanager(), FakeAlertmanager(status=500)]
    async with served(*peers), replica(on, *peers, every=HOUR) as one:
        await one.round()
        await one.reconcile.look("am")
        assert (await one.standing()).rounds == 1, "the next is due in an hour"
        await one.deliver(held(), Rejected("truncatedAlerts: 3 left out", "{}", missed=True))
        peers[0].alerts = [known_alert(LABELS), known_alert({**LABELS, "pod": "b"})]
        after = await one.round()
        assert (after.taken_in, after.gap is not None) == (1, True), "a peer is missing"
        await one.reconcile.look("am")
        assert (await one.standing()).rounds == 2, "the same gap does not hurry twice"
        peers[1].status = 200
        assert await on.store.ask_for_round("am", "ann")
        after = await one.round()
        assert (after.gap, after.asked_by) == (None, "ann")
    assert await on.sql("SELECT source, reason, taken_in FROM source_gaps_closed") == [
        ("am", "truncatedAlerts: 3 left out", 0)
    ]
    assert await on.sql("SELECT * FROM source_gaps") == []


async def test_questions_in_a_breath_are_one_poll(on: Stored) -> None:
    """A person who asks three times has not waited: what is absent is absent once."""
    api = FakeAlertmanager()
    async with served(api), replica(on, api, every=HOUR) as one:
        await one.deliver(held())
        await one.round()
        for _ in range(4):
            await on.store.ask_for_round("am", "ann")
            assert (await one.round()).gone == 0


async def test_a_prometheus_is_asked_where_there_is_no_alertmanager(on: Stored) -> None:
    """What fires there is taken in as it would have been sent, found under more labels, and ends alike."""
    fires = {
        "labels": LABELS,
        "annotations": {"summary": "s"},
        "state": "firing",
        "activeAt": "2026-11-24T00:00:00Z",
    }
    pending = {**fires, "labels": {**LABELS, "pod": "c"}, "state": "pending"}
    relabelled = {**fires, "labels": {**LABELS, "pod": "b"}}
    api = FakePrometheus(alerts=[fires, pending, relabelled], external={"cluster": "prod"})
    sent = {**LABELS, "cluster": "prod"}
    async with served(api), replica(on, api) as one:
        await one.deliver(held({**LABELS, "pod": "b", "cluster": "prod", "team": "db"}))
        after = await one.round()
        assert (after.taken_in, after.problem) == (1, None)
        kept = await on.one("SELECT labels FROM alerts WHERE fingerprint = $1", fingerprint(sent))
        assert json.loads(kept) == sent
        api.alerts = []
        for _ in range(2):
            assert (await one.round()).gone == 0
        assert (await one.round()).gone == 2


async def test_what_cannot_be_kept_is_left_alone(on: Stored) -> None:
    """An alert that PostgreSQL refuses is left alone after three rounds, and counted: no letter a minute."""
    timeless = {**known_alert({**LABELS, "pod": "b"}), "startsAt": "soon"}
    api = FakeAlertmanager(alerts=[known_alert({}), timeless, known_alert(LABELS)])
    async with served(api), replica(on, api) as one:
        after = await one.round()
        assert (after.taken_in, after.peers[0].alerts, after.peers[0].unusable) == (1, 2, 1)
        for _ in range(4):
            await on.raw.execute("DELETE FROM alerts")  # but its member stays: a new one is refused
            await one.round()
        assert await on.one("SELECT count(*) FROM dead_letters") == 2
        registry: CollectorRegistry = one.metrics.registry
        assert registry.get_sample_value("responder_reconcile_left_alone", {"source": "am"}) == 1


async def test_a_storms_list_is_taken_in_slice_by_slice(on: Stored) -> None:
    """5,000 alerts that nobody told of: all are held, handed in 500 at a time, and never again."""
    labels = [{**LABELS, "pod": f"p{number}"} for number in range(5000)]
    api = FakeAlertmanager(alerts=[known_alert(one) for one in labels])
    largest = 0
    async with served(api), replica(on, api) as one:
        take = one.intake.take

        async def measured(delivery: Delivery) -> Any:
            nonlocal largest
            largest = max(largest, len(delivery.alerts))
            return await take(delivery)

        one.intake.take = measured  # type: ignore[method-assign]  # looks on
        assert (await one.round()).taken_in == 5000
        assert (await one.round()).taken_in == 5000
    assert largest == 500
    assert await on.one("SELECT count(*) FROM members WHERE firing") == 5000
    assert await on.one("SELECT count(*) FROM incidents") == 1


async def test_a_source_that_is_not_reconciled_is_told_of(on: Stored) -> None:
    """Every replica knows the age of the last complete round, and says so when it is too old."""
    api = FakeAlertmanager(status=503)
    minute = timedelta(minutes=1)
    async with served(api), replica(on, api, every=minute) as one, replica(on, api, every=minute) as other:
        await one.round()
        await other.reconcile.look("am")
        assert one.reconcile.late() == other.reconcile.late() == {}
        await on.raw.execute("UPDATE source_rounds SET since = since - interval '6 minutes'")
        await one.reconcile.look("am")
        assert "not reconciled for 6m" in one.reconcile.late()["am"]
