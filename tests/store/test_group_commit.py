"""Intake on a real PostgreSQL: an answer means COMMIT, and whatever order things come in, one incident."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import Any, cast

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from responder.decide.fold import fold
from responder.engine import commit
from responder.engine.contests import Contests
from responder.engine.intake import GroupCommit
from responder.engine.rematch import Rematch
from responder.engine.settings import EngineSettings
from responder.engine.wake import Wake
from responder.model.alert import (
    Alert,
    AlertKey,
    Delivery,
    Heard,
    Rejected,
    Retried,
    SourcePosition,
    Standing,
    heard,
)
from responder.model.errors import OverloadedError, StoreAwayError, TemporaryError
from responder.model.matcher import Matcher, MatchOp
from responder.model.rule import Rulebook, SeverityCase
from responder.model.severity import Severity
from responder.ports import AlertState
from responder.store import at_once
from responder.store.connection import Connections
from responder.store.settings import StoreSettings
from responder.telemetry import build_metrics
from tests.support.moved_clock import FAKE, set_clock
from tests.support.parts import until
from tests.support.writer import ALERT, LABELS, RULE, START, TERMS, B, Writer, alert, delivery, writing


@pytest.fixture
async def writer(dsn: str) -> AsyncIterator[Writer]:
    async with writing(dsn, Rulebook(rules=(RULE,))) as one:
        yield one


async def test_an_answer_means_that_it_is_committed(writer: Writer) -> None:
    """When `take` returns, another connection sees the journal row, the alert and the incident."""
    receipt = await writer.intake.take(delivery(alert()))
    assert receipt.stored == 1
    assert await writer.ask("SELECT count(*) FROM journal") == [(1,)]
    by = writer.rules.hash
    assert await writer.ask("SELECT rule, state, rulebook_hash FROM incidents") == [("Hit", "pending", by)]
    assert await writer.ask("SELECT count(*) FROM members") == [(1,)]


async def test_peers_duplicates_and_several_alerts_make_one_incident(writer: Writer) -> None:
    """Two peers at once, the same alert twice in a body, and a second pod: one incident with two members."""
    posts = [delivery(alert(), alert()), delivery(alert()), delivery(alert(pod="p-2"))]
    await asyncio.gather(*(writer.intake.take(post) for post in posts))
    assert await writer.ask("SELECT count(*) FROM incidents") == [(1,)]
    assert await writer.ask("SELECT count(*) FROM members") == [(2,)]


async def test_what_waits_together_is_folded_in_the_order_in_which_it_came(writer: Writer) -> None:
    """An end and the start after it, in one batch: it fires, in an incident, whatever their hashes are."""
    posts, once_more = [], []
    for number in range(12):
        again = replace(alert(at=str(number)), starts_at=START + timedelta(seconds=20))
        posts += [alert(at=str(number)), alert(Standing.RESOLVED, ends=9, at=str(number)), again]
        over = replace(again, standing=Standing.RESOLVED, ends_at=START + timedelta(seconds=30))
        once_more += [over, replace(alert(at=str(number)), starts_at=START + timedelta(seconds=40))]
    await asyncio.gather(*(writer.intake.take(delivery(post)) for post in posts))
    assert await writer.ask("SELECT count(*) FROM alerts WHERE ends_at IS NULL") == [(12,)]
    await asyncio.gather(*(writer.intake.take(delivery(post)) for post in once_more))
    assert await writer.ask("SELECT count(*) FROM members WHERE firing") == [(12,)]


async def test_what_fires_anew_right_after_its_end_opens_its_incident_with_it(writer: Writer) -> None:
    """The end first and the new start after it, in one transaction: the new episode is a member at once."""
    await writer.intake.take(delivery(alert()))
    await writer.ask("UPDATE incidents SET state = 'closed', due_at = NULL RETURNING id")
    anew = replace(alert(), starts_at=START + timedelta(seconds=20))
    posts = [delivery(alert(Standing.RESOLVED, ends=9)), delivery(anew)]
    await asyncio.gather(*(writer.intake.take(post) for post in posts))
    assert await writer.ask("SELECT generation, firing FROM members ORDER BY 1") == [(1, False), (2, True)]


async def test_what_was_in_the_way_of_one_statement_repeats_no_other(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A firing and its end are stored, then another source's alert is tried twice: the end stays one."""
    await writer.intake.take(delivery(alert(alertname="B")))  # makes the journal's partition
    take_in, tried = writer.store.take_in, []

    async def in_the_way_once(source: str, *given: Any) -> Any:
        tried.append(source)
        if tried.count("other") == 1 and source == "other":
            raise TemporaryError("a deadlock", timedelta(0))
        return await take_in(source, *given)

    monkeypatch.setattr(writer.store, "take_in", in_the_way_once)
    other = Delivery(source="other", alerts=(alert(alertname="C"),), rejected=())
    posts = [delivery(alert()), delivery(alert(Standing.RESOLVED, ends=9)), other]
    await asyncio.gather(*(writer.intake.take(post) for post in posts))
    assert await writer.ask(CONTESTED) == [(False, False)]
    assert tried == ["am", "am", "other", "other"]


async def test_what_one_delivery_says_of_one_alert_is_said_at_one_moment(writer: Writer) -> None:
    """An end and a firing in one body, in either order, of replicas that are one alert: it fires on."""
    for number, start in enumerate((-1, 0, 1)):
        of_one = alert(at=str(number))
        other = replace(of_one, starts_at=START + timedelta(seconds=start))
        over = replace(of_one, standing=Standing.RESOLVED, ends_at=START + timedelta(seconds=9))
        await writer.intake.take(delivery(of_one))
        for told in ((over, other), (other, over)):
            await writer.intake.take(delivery(*told))
            assert await writer.ask("SELECT count(*) FROM alerts WHERE ends_at IS NULL") == [(number + 1,)]


async def test_what_is_taken_at_once_is_the_fold_of_the_journal(writer: Writer) -> None:
    """New, told again, changed, ended, firing again, in any company: what is stored is the fold of all."""
    chance = random.Random(7)  # noqa: S311 - the same walk each time
    for round_ in range(40):
        posts = []
        for pod in chance.sample(range(6), chance.randint(1, 3)):
            say = chance.choice(["again", "again", "again", "changed", "ended", "later"])
            one = alert(pod=f"p-{pod}")
            match say:
                case "changed":
                    one = replace(one, annotations={"summary": str(round_)})
                case "ended":
                    one = alert(Standing.RESOLVED, ends=round_, pod=f"p-{pod}")
                case "later":
                    one = replace(one, starts_at=START + timedelta(seconds=round_))
                case _:
                    pass
            posts += [delivery(one)] * chance.randint(1, 2)  # by one peer or by both
        await asyncio.gather(*(writer.intake.take(post) for post in posts))
    async with writer.store.intake() as taken:
        keys = [AlertKey("am", alert(pod=f"p-{pod}").fingerprint) for pod in range(6)]
        for key, record in (await taken.lock_alerts(keys)).items():
            folded = fold(await taken.history(key), TERMS.contest_window, taken.now)
            assert folded is not None
            assert record._replace(generation=0) == folded._replace(generation=0)
    now = "SELECT fingerprint, generation, starts_at, ends_at FROM alerts ORDER BY 1"
    member = now.replace(
        "alerts",
        "members WHERE (source, fingerprint, generation) IN "
        "(SELECT source, fingerprint, generation FROM alerts)",
    )
    assert await writer.ask(now) == await writer.ask(member)
    assert (
        await writer.ask("SELECT count(*) FROM members WHERE firing GROUP BY fingerprint HAVING count(*) > 1")
        == []
    )


@pytest.mark.parametrize(
    "told",
    [
        replace(alert(), starts_at=START - timedelta(seconds=1)),
        replace(alert(), starts_at=START + timedelta(seconds=1)),
        replace(alert(), generator_url="http://two\nlines"),
        alert(Standing.RESOLVED, ends=-1),
        alert(Standing.CONFIRMED),
        alert(Standing.ABSENT),
    ],
)
async def test_what_has_to_be_folded_is_left_by_the_one_statement(writer: Writer, told: Alert) -> None:
    """A start that moved, an end that is none, a word of the API: nothing is stored, its neighbour is."""
    await writer.intake.take(delivery(alert()))
    before = await writer.ask("SELECT * FROM alerts")
    neighbour = heard(alert(pod="p-2"))
    said = {ALERT: [(0, heard(told))], neighbour.alert.fingerprint: [(1, neighbour)]}
    taken = await writer.store.take_in("am", said, {})
    assert taken.left_over == {ALERT}
    assert await writer.ask(f"SELECT * FROM alerts WHERE fingerprint = '{ALERT}'") == before
    assert await writer.ask("SELECT count(*), count(DISTINCT fingerprint) FROM journal") == [(2, 2)]


async def test_what_was_never_known_to_fire_is_left_by_the_one_statement(writer: Writer) -> None:
    """First heard of as absent: whether a firing begins an episode is folded."""
    await writer.intake.take(delivery(alert(Standing.ABSENT)))
    assert (await writer.store.take_in("am", said_once([alert()]), {})).left_over == {ALERT}


async def test_what_was_heard_later_than_now_is_not_told_after_it(writer: Writer) -> None:
    """Another process's rows are a moment ahead: an end that sorts before them is folded where it belongs."""
    await writer.intake.take(delivery(alert()))
    ahead = "UPDATE alerts SET last_received_at = service_time() + interval '1 minute' RETURNING 1"
    await writer.ask(ahead)
    said = said_once([alert(Standing.RESOLVED, ends=9), alert(pod="p-2")])
    assert (await writer.store.take_in("am", said, {})).left_over == said.keys()


@pytest.mark.parametrize("jump", [timedelta(hours=1), timedelta(hours=-1)])
async def test_what_comes_while_the_clock_is_wrong_is_heard_in_the_time_that_goes_on(
    writer: Writer, jump: timedelta
) -> None:
    """The one statement leaves all to be folded, which believes this process's own clock."""
    raw = await asyncpg.connect(writer.dsn)
    await raw.execute(FAKE)
    await writer.intake.take(delivery(alert()))
    await set_clock(raw, jump)
    await raw.close()
    said = said_once([alert(Standing.RESOLVED, ends=9), alert(pod="p-2")])
    assert (await writer.store.take_in("am", said, {})).left_over == said.keys()
    await writer.intake.take(delivery(alert(pod="p-2")))
    [(apart,)] = await writer.ask("SELECT max(received_at) - min(received_at) FROM journal")
    assert timedelta(0) < cast("timedelta", apart) < abs(jump) / 2


async def test_nearly_all_is_taken_in_at_once(writer: Writer) -> None:
    """New, told again, with another value in its text, ended, firing anew, ended: nothing of it is left."""
    later = replace(alert(), starts_at=START + timedelta(seconds=9))
    told = [
        alert(),
        alert(),
        replace(alert(), annotations={"summary": "2"}),
        alert(Standing.RESOLVED, ends=9),
        later,
        replace(later, standing=Standing.RESOLVED, ends_at=START + timedelta(seconds=19)),
    ]
    await writer.intake.take(delivery(alert(alertname="B")))  # makes the journal's partition
    wanted = {ALERT: writer.rules.indexed.incidents_of(LABELS)}
    for one in told:
        taken = await writer.store.take_in("am", {ALERT: [(0, heard(one)), (1, heard(one))]}, wanted)
        assert taken.left_over == frozenset()
    of_this = f"WHERE fingerprint = '{ALERT}'"
    assert await writer.ask(f"SELECT generation, ends_at FROM alerts {of_this}") == [(2, told[-1].ends_at)]
    assert await writer.ask(f"SELECT count(*) FROM journal {of_this}") == [(2 * len(told),)]
    firing = "SELECT generation, firing FROM members ORDER BY generation"
    assert await writer.ask(firing) == [(1, False), (2, False)]
    assert await writer.ask("SELECT count(*), max(wakes) FROM incidents") == [(1, 3)]


@pytest.mark.parametrize("wait", ["alerts", "incidents"])
async def test_what_changes_while_the_one_statement_waits_is_taken_as_it_is_then(
    writer: Writer, wait: str
) -> None:
    """Another process holds an alert, or an incident, and changes it: neither change is lost."""
    pods = [alert(pod=f"p-{number}") for number in range(9)]
    await writer.intake.take(delivery(*pods))
    raw = await asyncpg.connect(writer.dsn)
    async with raw.transaction():
        changed = {"alerts": "generation = 7", "incidents": "wakes = 70"}[wait]
        await raw.execute(f"UPDATE {wait} SET {changed} WHERE ctid = (SELECT min(ctid) FROM {wait})")
        over = [
            replace(one, standing=Standing.RESOLVED, ends_at=START + timedelta(seconds=9)) for one in pods
        ]
        late = asyncio.create_task(writer.store.take_in("am", said_once(over), {}))
        await until(lambda: somebody_waits(writer), "the statement waits for a lock", within=60)
    await raw.close()
    assert (await late).left_over == frozenset()
    if wait == "alerts":
        assert await writer.ask(
            "SELECT count(*) FROM alerts WHERE generation = 7 AND ends_at > $$2000-1-1$$"
        ) == [(1,)]
        assert await writer.ask("SELECT count(*) FROM alerts WHERE ends_at IS NULL") == [(0,)]
    else:
        assert await writer.ask("SELECT wakes FROM incidents") == [(71,)]


async def test_no_delivery_waits_for_an_incident_that_it_does_not_concern(writer: Writer) -> None:
    """Others hold one of another group, of another rule, a closed one, that of what is only told again."""
    by_pod = {"group_by": ("pod",)}
    rules = (RULE.model_copy(update=by_pod), B.model_copy(update=by_pod))
    await writer.store.activate(Rulebook(rules=rules), "test")
    await writer.rules.follow()
    pods = {name: alert(pod=name) for name in ("new", "again", "other")}
    await writer.intake.take(delivery(*pods.values(), alert(alertname="B", pod="new")))
    await writer.ask(
        "UPDATE incidents SET state = 'closed' WHERE (rule, key ->> 'pod') = ('Hit', 'new') RETURNING 1"
    )
    raw = await asyncpg.connect(writer.dsn)
    async with raw.transaction():
        assert len(await raw.fetch("SELECT FROM incidents FOR UPDATE")) == 4
        taking = writer.intake.take(delivery(pods["again"], alert(pod="new", at="2")))
        await asyncio.wait_for(taking, 60)
    await raw.close()
    assert await writer.ask("SELECT count(*) FROM incidents WHERE state <> 'closed'") == [(4,)]


async def test_an_incident_opened_while_the_one_statement_waits_is_not_joined_unlocked(
    writer: Writer,
) -> None:
    """Closed and opened anew while it waits, and closed again before it ends: none fires in a closed one."""
    by_pod = RULE.model_copy(update={"group_by": ("pod",)})
    await writer.store.activate(Rulebook(rules=(by_pod,)), "test")
    await writer.rules.follow()
    await writer.intake.take(delivery(alert(pod="p-1"), alert(pod="p-2")))
    keys = "SELECT id::text, key ->> 'pod' FROM incidents ORDER BY rule, key_hash, id"
    (first, pod), (second, other) = cast("list[tuple[str, str]]", await writer.ask(keys))
    late = [alert(pod=pod, at="2"), alert(pod=other, at="2")]
    holders = [await asyncpg.connect(writer.dsn) for _ in range(2)]
    starts = [holder.transaction() for holder in holders]
    for holder, start, held in zip(holders, starts, (first, second), strict=True):
        await start.start()
        await holder.execute("SELECT FROM incidents WHERE id = $1::text::uuid FOR UPDATE", held)
    taking = asyncio.create_task(writer.intake.take(delivery(*late)))
    waiters = """SELECT count(*) FROM pg_stat_activity, unnest(pg_blocking_pids(pid)) AS by
                 WHERE datname = current_database() AND by = {}"""

    async def blocks(holder: Any) -> bool:
        return await writer.ask(waiters.format(holder.get_server_pid())) != [(0,)]

    await until(lambda: blocks(holders[0]), "it waits for the first incident", within=10)
    await holders[0].execute("UPDATE incidents SET state = 'closed' WHERE id = $1::text::uuid", first)
    await holders[0].execute(OPENED_ANEW, first)
    await starts[0].commit()
    await until(lambda: blocks(holders[1]), "it waits for the second incident", within=10)
    closing = holders[0].transaction()
    await closing.start()
    await holders[0].execute(
        "UPDATE incidents SET state = 'closed' WHERE state = 'open' AND key ->> 'pod' = $1", pod
    )
    await starts[1].commit()
    await until(lambda: blocks(holders[0]), "it waits for the incident that was opened anew", within=10)
    await closing.commit()
    await taking
    for holder in holders:
        await holder.close()
    joined = "SELECT state FROM members JOIN incidents ON id = incident_id"
    newest = "WHERE joined_at = (SELECT max(joined_at) FROM members)"
    assert await writer.ask(f"{joined} {newest}") == [("pending",), ("pending",)]


async def somebody_waits(writer: Writer) -> bool:
    """Whether a statement on this database waits for a lock."""
    waiting = "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    return await writer.ask(f"{waiting} AND datname = current_database()") == [(True,)]


OPENED_ANEW = """
INSERT INTO incidents (id, rule, key_hash, key, rulebook_hash, severity, state, opened_at, state_since,
                       deadline, due_at)
SELECT gen_random_uuid(), rule, key_hash, key, rulebook_hash, severity, 'open', opened_at, state_since,
       deadline, due_at
FROM incidents WHERE id = $1::text::uuid
"""


def said_once(alerts: Sequence[Alert]) -> Mapping[str, Sequence[tuple[int, Heard]]]:
    """Each of them in a delivery of its own."""
    return {one.fingerprint: [(number, heard(one))] for number, one in enumerate(alerts)}


async def test_two_processes_hear_of_the_same_new_alerts(writer: Writer) -> None:
    """Both deliveries are stored, once each; one incident, and each alert in it once."""
    other = GroupCommit(
        writer.store, writer.rules, EngineSettings(terms=TERMS), build_metrics("test"), Wake()
    )
    running = asyncio.create_task(other.run())
    for start in range(20):
        posts = [delivery(*(alert(at=f"{start}-{n}") for n in range(3))) for _ in range(2)]
        await asyncio.gather(writer.intake.take(posts[0]), other.take(posts[1]))
    other.close()
    await running
    assert await writer.ask("SELECT count(*) FROM journal") == [(120,)]
    assert await writer.ask("SELECT count(*), count(DISTINCT incident_id) FROM members") == [(60, 1)]


async def test_of_two_who_hear_of_a_new_alert_the_second_one_is_not_forgotten(writer: Writer) -> None:
    """Another process stores it first: what is said of it here is tried again, and is the newest word."""
    first, then = alert(alertname="C"), replace(alert(alertname="C"), annotations={"summary": "then"})
    await writer.intake.take(delivery(alert(alertname="D")))  # makes the journal's partition
    raw: Any = await asyncpg.connect(writer.dsn)
    async with raw.transaction():
        now = await raw.fetchval("SELECT service_time()")
        assert (await at_once.take_in(raw, "am", said_once([first]), {}, now)).left_over == frozenset()
        late = asyncio.create_task(writer.intake.take(delivery(then)))
        await until(lambda: somebody_waits(writer), "the statement waits for the other's row", within=60)
    await raw.close()
    await late
    newest = "last_received_at = (SELECT max(received_at) FROM journal WHERE fingerprint = a.fingerprint)"
    told = "SELECT annotations ->> 'summary', {} FROM alerts a WHERE labels ->> 'alertname' = 'C'"
    assert await writer.ask(told.format(newest)) == [("then", True)]


async def test_of_two_who_open_an_incident_the_second_one_joins_it(writer: Writer) -> None:
    """Another process opens it first: the alert that came here is tried again, and is a member of it."""
    await writer.intake.take(delivery(alert(alertname="D")))  # makes the journal's partition
    wanted = {ALERT: writer.rules.indexed.incidents_of(LABELS)}
    raw: Any = await asyncpg.connect(writer.dsn)
    async with raw.transaction():
        now = await raw.fetchval("SELECT service_time()")
        assert len((await at_once.take_in(raw, "am", said_once([alert()]), wanted, now)).opened) == 1
        late = asyncio.create_task(writer.intake.take(delivery(alert(pod="p-2"))))
        await until(lambda: somebody_waits(writer), "the statement waits for the other's row", within=60)
    await raw.close()
    await late
    members = "SELECT labels ->> 'pod', wakes FROM members JOIN alerts USING (source, fingerprint)"
    assert await writer.ask(f"{members} JOIN incidents i ON i.id = incident_id ORDER BY 1") == [
        ("p-1", 1),
        ("p-2", 1),
    ]


async def test_what_cannot_be_used_is_kept_with_its_reason(writer: Writer) -> None:
    """A rejected part goes to the dead letters in the same commit as its good neighbours."""
    await writer.intake.take(delivery(alert(), rejected=(Rejected("labels is no object", "{}"),)))
    assert await writer.ask("SELECT source, reason FROM dead_letters") == [("am", "labels is no object")]
    assert await writer.ask("SELECT count(*) FROM journal") == [(1,)]


_RUNS = count()


def refused(number: int = 0) -> Alert:
    """An alert that PostgreSQL cannot store: decoding would have mended it."""
    return Alert(
        fingerprint=f"{number:016}",
        labels={"alertname": "nul \x00"},
        annotations={},
        standing=Standing.FIRING,
        starts_at=START,
    )


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=20), min_size=1, max_size=6))
async def test_what_postgresql_refuses_is_a_dead_letter_and_costs_no_neighbour(
    writer: Writer, posts: list[list[bool]]
) -> None:
    """Wherever bad alerts stand, each is a dead letter, all others are stored, every delivery is answered."""
    run = str(next(_RUNS))
    numbered = [
        [
            refused(n * 100 + m) if bad else alert(run=run, post=str(n), at=str(m))
            for m, bad in enumerate(post)
        ]
        for n, post in enumerate(posts)
    ]
    letters = "SELECT count(*) FROM dead_letters"
    before = cast("int", (await writer.ask(letters))[0][0])
    receipts = await asyncio.gather(*(writer.intake.take(delivery(*post)) for post in numbered))
    assert [(r.stored, r.rejected) for r in receipts] == [(p.count(False), p.count(True)) for p in posts]
    assert await writer.ask(letters) == [(before + sum(post.count(True) for post in posts),)]
    stored = f"SELECT count(*) FROM alerts WHERE labels ->> 'run' = '{run}'"
    assert await writer.ask(stored) == [(sum(post.count(False) for post in posts),)]


def counted(call: Callable[..., Any], calls: list[str]) -> Callable[..., Any]:
    """The same, and each call is noted."""

    def noted(*given: Any) -> Any:
        calls.append(call.__name__)
        return call(*given)

    return noted


async def test_one_bad_alert_costs_few_transactions(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """One among 256 is found by halving: at most 2 log2(n) + 2 transactions more than a good batch."""
    alerts = [refused() if number == 100 else alert(at=str(number)) for number in range(256)]
    tried: list[str] = []
    for way in ("take_in", "intake"):
        monkeypatch.setattr(writer.store, way, counted(getattr(writer.store, way), tried))
    await writer.store.now()
    receipt = await writer.intake.take(delivery(*alerts))
    assert (receipt.stored, receipt.rejected) == (255, 1)
    assert 0 < len(tried) <= 1 + 2 * 8 + 2


async def test_a_position_moves_only_with_the_last_of_its_delivery(writer: Writer) -> None:
    """A record with a bad alert is divided; its position moves once, and nothing of it is skipped."""
    position = SourcePosition("alerts", 0, expected_offset=0, next_offset=8)
    record = replace(delivery(alert(at="1"), refused(), alert(at="2")), position=position)
    receipt = await writer.intake.take(record)
    assert (receipt.stored, receipt.rejected) == (2, 1)
    assert await writer.ask("SELECT next_offset FROM source_positions") == [(8,)]


async def test_a_fault_of_ours_is_no_dead_letter(writer: Writer) -> None:
    """What fails by a bug is answered with "come again", and its neighbours are stored."""
    odd = replace(alert(at="odd"), labels=cast("Mapping[str, str]", {"alertname": "A", "pod": object()}))
    answers = await asyncio.gather(
        writer.intake.take(delivery(alert())), writer.intake.take(delivery(odd)), return_exceptions=True
    )
    assert [isinstance(answer, StoreAwayError) for answer in answers] == [False, True]
    assert await writer.ask("SELECT count(*) FROM dead_letters") == [(0,)]
    assert await writer.ask("SELECT count(*) FROM members") == [(1,)]


async def test_a_letter_that_cannot_be_kept_costs_no_neighbour(writer: Writer) -> None:
    """Not even as a dead letter can it be stored: its own sender is told to come again, nobody else is."""
    hopeless = replace(delivery(refused()), retried=Retried((2**63,), "a person"))
    answers = await asyncio.gather(
        *(writer.intake.take(one) for one in (delivery(alert(at="1")), hopeless, delivery(alert(at="2")))),
        return_exceptions=True,
    )
    assert [isinstance(answer, StoreAwayError) for answer in answers] == [False, True, False]
    assert await writer.ask("SELECT count(*) FROM alerts") == [(2,)]


async def test_a_writer_that_is_ended_leaves_nobody_waiting(dsn: str) -> None:
    """When the writer's task is cut off, what waits is told so, and what comes later is refused."""
    connections = await Connections.open(dsn, StoreSettings())
    one = Writer(dsn, connections)
    waiting = asyncio.create_task(one.intake.take(delivery(alert())))
    running = asyncio.create_task(one.intake.run())
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises((OverloadedError, StoreAwayError)):
        await waiting
    with pytest.raises(OverloadedError):
        await one.intake.take(delivery(alert()))
    await connections.close()


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


async def test_what_waits_too_long_is_refused_and_not_written_later(dsn: str) -> None:
    """Not written within `intake_timeout`: come again; and the writer, when it goes on, leaves it out."""
    connections = await Connections.open(dsn, StoreSettings())
    one = Writer(dsn, connections)
    one.intake._settings = EngineSettings(terms=TERMS, intake_timeout=timedelta(milliseconds=50))
    with pytest.raises(StoreAwayError, match="in time"):
        await one.intake.take(delivery(alert()))
    running = asyncio.create_task(one.intake.run())
    one.intake._settings = EngineSettings(terms=TERMS)
    assert (await one.intake.take(delivery(alert(pod="p-2")))).stored == 1
    assert await one.ask("SELECT labels ->> 'pod' FROM journal") == [("p-2",)]
    one.intake.close()
    await running
    await connections.close()


async def test_a_retried_letter_is_gone_when_its_alert_is_stored(writer: Writer) -> None:
    """In one transaction, with who did it; what is refused again is a new letter in place of the old one."""
    rejected = (Rejected("no labels", "{}"), Rejected("no start", "{}"))
    await writer.intake.take(delivery(rejected=rejected))
    [(first,), (second,)] = await writer.ask("SELECT id FROM dead_letters ORDER BY id")
    for number, one in ((first, alert()), (second, refused())):
        retried = Retried((cast("int", number),), "ada")
        await writer.intake.take(replace(delivery(one), retried=retried))
    assert await writer.ask("SELECT count(*) FROM journal") == [(1,)]
    [(left, reason)] = await writer.ask("SELECT id, reason FROM dead_letters")
    assert left not in {first, second}
    assert "PostgreSQL refuses" in str(reason)
    acts = "SELECT letter, act, rejected_for, actor FROM dead_letter_acts ORDER BY letter"
    assert await writer.ask(acts) == [
        (first, "retry", "no labels", "ada"),
        (second, "retry", "no start", "ada"),
    ]


async def test_that_alerts_were_missed_is_kept_for_whoever_asks_the_source(writer: Writer) -> None:
    """One row for a source: since when, when last, why. Other dead letters do not count."""
    gaps = "SELECT source, since < noticed_at, reason FROM source_gaps"
    await writer.intake.take(delivery(rejected=(Rejected("no labels", "{}"),)))
    assert await writer.ask(gaps) == []
    for reason in ("the body is too large", "the sender left out 3 alerts"):
        await writer.intake.take(delivery(rejected=(Rejected(reason, "{", missed=True),)))
    assert await writer.ask(gaps) == [("am", True, "the sender left out 3 alerts")]


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


async def test_an_end_that_is_known_does_not_end_what_fires_again(writer: Writer) -> None:
    """Timed out, sent again, and confirmed: another peer's copy of that end is no news, a later one is."""
    await contested(writer)
    await Contests(writer.store, writer.intake, cast("AlertState", _Says({ALERT: True}))).round()
    for at, fires in ((5, True), (9, True), (10, False)):
        await writer.intake.take(delivery(alert(Standing.RESOLVED, ends=at)))
        assert await writer.ask(CONTESTED) == [(fires, False)]


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


SET_TO_23 = """
UPDATE service_clock
SET shift = date_trunc('day', clock_timestamp(), 'UTC') + interval '23 hours' - clock_timestamp()
RETURNING only_row
"""
PAST_MIDNIGHT = "UPDATE service_clock SET shift = shift + interval '90 minutes' RETURNING only_row"
MORE_MINUTES = "UPDATE service_clock SET shift = shift + interval '10 minutes' RETURNING only_row"
DAYS = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'journal'::regclass"


async def test_midnight_comes_without_a_partition_and_with_a_reader_and_costs_no_delivery(
    writer: Writer, dsn: str
) -> None:
    """Every delivery before, over and after midnight is answered as stored, none with a 503.

    The next day was not made ahead, and somebody reads the journal in a transaction that stays open for
    minutes.
    """
    await writer.ask(SET_TO_23)

    async def deliver(name: str) -> int:
        posts = (delivery(alert(pod=f"{name}-{number}")) for number in range(20))
        receipts = await asyncio.gather(*(writer.intake.take(post) for post in posts))
        return sum(receipt.stored for receipt in receipts)

    assert await deliver("before") == 20
    assert await writer.ask(DAYS) == [(1,)]
    reader = await asyncpg.connect(dsn)
    async with reader.transaction():
        assert await reader.fetchval("SELECT count(*) FROM journal") == 20
        await writer.ask(PAST_MIDNIGHT)
        assert await deliver("over") == 20
        await writer.ask(MORE_MINUTES)
        assert await deliver("after") == 20
        assert await writer.ask(DAYS) == [(2,)]
    await reader.close()
    by_day = "SELECT count(*) FROM journal GROUP BY received_at::date ORDER BY received_at::date"
    assert await writer.ask(by_day) == [(20,), (40,)]


MEMBERS_OF = "SELECT i.rule, count(*) FROM incidents i JOIN members m ON m.incident_id = i.id GROUP BY 1"


async def test_a_new_rulebook_takes_what_no_rule_took(writer: Writer) -> None:
    """Open episodes without a rule, however many, are taken by a later rulebook that matches them."""
    lonely = [alert(alertname="B", at=str(number)) for number in range(7)]
    await writer.intake.take(delivery(*lonely))
    rematch = Rematch(writer.store, writer.rules, writer.intake, page=2)
    await rematch.round()
    assert await writer.ask(MEMBERS_OF) == []
    await writer.store.activate(Rulebook(rules=(RULE, B)), "test")
    await writer.rules.follow()
    await rematch.round()
    assert await writer.ask(MEMBERS_OF) == [("Second", 7)]


async def test_what_an_outgoing_rulebook_matched_is_matched_again(writer: Writer) -> None:
    """What is matched by the old rulebook and committed after the switch is taken up all the same."""
    rematch = Rematch(writer.store, writer.rules, writer.intake)
    await writer.store.activate(Rulebook(rules=(RULE, B)), "test")
    old = writer.rules.indexed
    await writer.rules.follow()
    await rematch.round()
    new, writer.rules.indexed = writer.rules.indexed, old
    await writer.intake.take(delivery(alert(alertname="B")))
    writer.rules.indexed = new
    await rematch.round()
    assert await writer.ask(MEMBERS_OF) == [("Second", 1)]


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
    await writer.store.activate(Rulebook(rules=(RULE, B)), "test")
    await writer.rules.follow()
    await Rematch(writer.store, writer.rules, writer.intake).round()
    assert await writer.ask("SELECT heard_at, joined_at > heard_at FROM members") == [(first, True)]
    [one] = await writer.store.incidents(live_only=True, limit=9)
    dossier = await writer.store.incident(one.id)
    assert dossier is not None
    assert dossier.members.first_heard_at == first != one.opened_at
    await contested(writer)
    await writer.ask("UPDATE service_clock SET shift = '61 s' RETURNING only_row")
    await Contests(writer.store, writer.intake, cast("AlertState", _Says({}))).round()
    of_hit = "JOIN incidents i ON i.id = incident_id WHERE i.rule = 'Hit'"
    hit = f"SELECT generation, heard_at FROM members m {of_hit}"
    assert await writer.ask(f"{hit} ORDER BY 1") == [(1, None), (2, None)]


async def test_what_starts_anew_after_its_incident_was_closed_opens_another(writer: Writer) -> None:
    """Closed by a person while it fired, its end never heard: resends open nothing, a new start does."""
    await writer.intake.take(delivery(alert()))
    await writer.ask("UPDATE incidents SET state = 'closed', due_at = NULL RETURNING id")
    await writer.intake.take(delivery(alert()))
    assert await writer.ask("SELECT count(*) FROM incidents") == [(1,)]
    later = replace(alert(), starts_at=START + timedelta(minutes=5))
    await writer.intake.take(delivery(later))
    states = "SELECT state, count(*) FROM incidents JOIN members ON incident_id = id GROUP BY 1 ORDER BY 1"
    assert await writer.ask(states) == [("closed", 1), ("pending", 1)]
    await writer.intake.take(delivery(later))
    assert await writer.ask(states) == [("closed", 1), ("pending", 1)]


@pytest.mark.parametrize("rounds", [1, 2])
async def test_what_started_anew_and_is_over_by_now_is_no_part_of_the_closed_incident(
    writer: Writer, monkeypatch: pytest.MonkeyPatch, rounds: int
) -> None:
    """It opens another one, which is over. Beyond the rounds of a batch it ends the closed one's episode."""
    monkeypatch.setattr(commit, "_ROUNDS_AT_MOST", rounds)
    await writer.intake.take(delivery(alert()))
    await writer.ask("UPDATE incidents SET state = 'closed', due_at = NULL RETURNING id")
    later = START + timedelta(minutes=5)
    over = replace(alert(Standing.RESOLVED, ends=600), starts_at=later)
    anew = replace(alert(), starts_at=later)
    await asyncio.gather(*(writer.intake.take(delivery(one)) for one in (anew, over)))
    assert await writer.ask("SELECT generation, ends_at IS NOT NULL FROM alerts") == [(rounds, True)]
    found = await writer.ask("SELECT generation, firing FROM members ORDER BY 1")
    assert found == [(number, False) for number in range(1, rounds + 1)]
    assert await writer.ask("SELECT count(*) FROM incidents") == [(rounds,)]


async def test_a_later_start_while_its_incident_is_live_is_the_same_episode(writer: Writer) -> None:
    """Peers tell slightly different starts of one episode: one incident, one member."""
    await writer.intake.take(delivery(alert()))
    await writer.intake.take(delivery(replace(alert(), starts_at=START + timedelta(seconds=3))))
    assert await writer.ask("SELECT count(*) FROM members") == [(1,)]
    assert await writer.ask("SELECT count(*) FROM incidents") == [(1,)]


@pytest.mark.parametrize("long_way", [False, True])
async def test_alerts_that_come_together_open_an_incident_as_bad_as_the_worst(
    writer: Writer, long_way: bool
) -> None:
    """A mild alert first and a bad one after it, in one delivery: the incident is the bad one's."""
    bad = Matcher(name="tier", op=MatchOp.EQUAL, value="1")
    cases = (SeverityCase(when=(bad,), severity=Severity.P0), SeverityCase(severity=Severity.P3))
    rule = RULE.model_copy(update={"severity": cases})
    await writer.store.activate(Rulebook(rules=(rule,)), "test")
    await writer.rules.follow()
    ended = (alert(Standing.RESOLVED, ends=9, alertname="Other"),) if long_way else ()
    await writer.intake.take(delivery(alert(tier="2"), alert(tier="1"), alert(tier="3"), *ended))
    assert await writer.ask("SELECT severity FROM incidents") == [("P0",)]
    of_it = {"rule": rule.name, "severity": "P0"}
    assert writer.metrics.registry.get_sample_value("responder_incidents_opened_total", of_it) == 1
