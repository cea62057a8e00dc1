"""Leases, the case that an owner sees, and what it may write: nothing once it is deposed."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from responder.decide.case import AttemptEnd, Finding, IntentLost, Terms
from responder.engine.ownership import Ownership
from responder.engine.wake import Wake
from responder.engine.worker import Worker
from responder.model.attempt import Attempt, Outcome
from responder.model.errors import DeposedError, PermanentError, StoreAwayError
from responder.model.incident import SAMPLE, Command, CommandKind, IncidentState
from responder.model.rule import Rulebook
from responder.model.severity import Severity
from responder.ports import Lease
from responder.store.clock import ServiceClock
from responder.store.openings import NEWS_WITHIN
from responder.store.owner import Owner
from responder.telemetry import build_metrics
from tests.support.crews import ALONE
from tests.support.stored import (
    BOOK,
    LEASE_TIME,
    MINUTE,
    RULE,
    T0,
    Stored,
    alert,
    change,
    ended,
    intent,
    stored,
    told,
)

WRITTEN = """
SELECT (SELECT count(*) FROM timeline), (SELECT count(*) FROM attempts), (SELECT count(*) FROM claims),
       (SELECT array_agg((state, due_at, wakes, timeline_length)::text) FROM incidents)
"""


@pytest_asyncio.fixture
async def db(dsn: str) -> AsyncIterator[Stored]:
    async with stored(dsn) as opened:
        yield opened


def finding(summary: str = "3 sessions") -> Finding:
    return Finding(id=uuid4(), action="postgres.activity", summary=summary, facts={"sessions": 3})


# --- leases -----------------------------------------------------------------------------------------------


async def test_the_worst_due_incident_is_leased_first_and_only_once(db: Stored) -> None:
    """Severity, then due time; what is not due or is owned by a live worker is left alone."""
    for server, severity in (("s2", Severity.P2), ("s0", Severity.P0), ("s1", Severity.P1)):
        await db.observe(alert(server=server), severity=severity)
    await db.observe(alert(server="later"), severity=Severity.P0, pending_for=MINUTE)
    one, other = await db.worker(), await db.worker()
    leases = [await db.lease(worker) for worker in (one, other, one, other)]
    keys = [(await db.store.load(lease)).incident.key["server"] for lease in leases if lease]
    assert (keys, leases[3]) == (["s0", "s1", "s2"], None)


async def test_many_workers_never_lease_the_same_incident(db: Stored) -> None:
    """Leasing at once gives each incident to one worker, and leaves none behind."""
    await db.observe(*(alert(server=f"s{n}") for n in range(12)))
    workers = [await db.worker() for _ in range(4)]
    leases = await asyncio.gather(*(db.lease(workers[n % 4]) for n in range(12)))
    leases = [*leases, *[await db.lease(workers[0]) for _ in range(12)]]
    taken = [lease.incident_id for lease in leases if lease]
    assert (len(taken), len(set(taken))) == (12, 12)


async def test_what_is_given_up_is_leased_again_with_the_next_epoch(db: Stored) -> None:
    """Giving up ends the lease; the old one loads and writes nothing any more."""
    lease, case = await db.held()
    await db.store.give_up(lease)
    again, _ = await db.leased()
    assert again.epoch == lease.epoch + 1
    await db.store.give_up(lease)  # the old lease: no effect on the new one
    assert (await db.store.load(again)).incident.epoch == again.epoch
    with pytest.raises(DeposedError):
        await db.store.load(lease)
    with pytest.raises(DeposedError):
        await db.store.record(lease, case, change(case))


async def test_a_dead_workers_incident_is_due_at_once(db: Stored) -> None:
    """Whatever it was waiting for: an effect may be half done. A live one's is left alone."""
    lease, case = await db.held()
    await db.store.record(lease, case, change(case, IncidentState.REMEDIATING))
    rescuer = await db.worker()
    assert await db.lease(rescuer) is None
    await db.silence(lease.worker_id)
    taken = await db.lease(rescuer)
    assert taken == Lease(lease.incident_id, rescuer, lease.epoch + 1)
    due_at = (await db.store.load(taken)).incident.due_at
    assert due_at is not None
    assert due_at <= await db.store.now()


async def test_a_worker_that_stops_gives_everything_up(db: Stored) -> None:
    """Its incidents are free at once, and it is no worker any more."""
    lease, _ = await db.held()
    await db.store.unregister(lease.worker_id)
    assert not await db.store.heartbeat(lease.worker_id)
    assert await db.lease(await db.worker()) is not None


async def test_a_heartbeat_that_comes_too_late_deposes(db: Stored) -> None:
    """A late worker is told so, is not brought back by beating again, and leases nothing."""
    worker = await db.worker()
    assert await db.store.heartbeat(worker)
    await db.silence(worker)
    await db.observe(alert())
    assert not await db.store.heartbeat(worker)
    assert not await db.store.heartbeat(worker)
    assert await db.lease(worker) is None
    assert not await db.store.heartbeat(uuid4())


async def test_a_heartbeat_and_a_stop_are_one_workers_own(db: Stored) -> None:
    """A worker that beats keeps nobody else alive; one that stops or gives up leaves theirs alone."""
    await db.observe(alert("a", server="db1"), alert("b", server="db2"))
    one, other = await db.worker(), await db.worker()
    mine, theirs = await db.lease(one), await db.lease(other)
    assert mine is not None
    assert theirs is not None
    owners = "SELECT id, owner FROM incidents"
    await db.store.give_up_others(one, [mine.incident_id])
    assert dict(await db.sql(owners)) == {mine.incident_id: one, theirs.incident_id: other}
    late = "UPDATE workers SET heartbeat_at = heartbeat_at - interval '10 seconds' RETURNING heartbeat_at"
    before = await db.one(late)
    assert await db.store.heartbeat(one)
    assert await db.one("SELECT heartbeat_at FROM workers WHERE id = $1", one) > before
    assert not await db.store.heartbeat(uuid4())
    stands = "SELECT heartbeat_at < (SELECT service_time()) - interval '9 seconds' FROM workers WHERE id = $1"
    assert await db.one(stands, other)
    await db.store.give_up(mine)
    assert dict(await db.sql(owners)) == {mine.incident_id: None, theirs.incident_id: other}
    await db.store.unregister(one)
    assert dict(await db.sql(owners)) == {mine.incident_id: None, theirs.incident_id: other}
    assert await db.sql("SELECT id FROM workers") == [(other,)]


async def test_what_is_due_no_more_is_nobodys_to_take_over(db: Stored) -> None:
    """Its owner died after it was closed: nothing is left to be done."""
    lease, _ = await db.held()
    await db.raw.execute("UPDATE incidents SET due_at = NULL")
    await db.silence(lease.worker_id)
    assert await db.lease(await db.worker()) is None


async def test_leases_count_in_service_time(db: Stored) -> None:
    """The wall clock's jump that service time takes back deposes nobody."""
    worker = await db.worker()
    before = await db.store.now()
    await db.raw.execute("UPDATE service_clock SET shift = shift + $1::interval", LEASE_TIME)
    assert await db.store.now() - before >= LEASE_TIME
    assert not await db.store.heartbeat(worker)
    await db.raw.execute("UPDATE service_clock SET shift = '0'")
    assert await db.store.heartbeat(worker)


# --- a deposed owner writes nothing -----------------------------------------------------------------------


@pytest.mark.parametrize("deposed", ["heartbeat", "forgotten", "epoch", "owner", "gone"])
async def test_a_deposed_owner_writes_nothing(db: Stored, deposed: str) -> None:
    """Heartbeat too old or forgotten, epoch moved on, another owner, given up: no change, entry or intent.

    Neither in passing nor with a look under the lock, and although another worker lives.
    """
    lease, case = await db.held()
    await db.worker()
    match deposed:
        case "heartbeat":
            await db.silence(lease.worker_id)
        case "forgotten":
            await db.raw.execute("DELETE FROM workers WHERE id = $1", lease.worker_id)
        case "epoch":
            await db.raw.execute("UPDATE incidents SET epoch = epoch + 1")
        case "owner":
            await db.raw.execute("UPDATE incidents SET owner = $1", await db.worker())
        case _:
            await db.store.give_up(lease)
    before = await db.sql(WRITTEN)
    for state in (IncidentState.OPEN, IncidentState.ESCALATED):
        with pytest.raises(DeposedError):
            await db.store.record(lease, case, change(case, state))
    assert await db.store.commit_intent(lease, intent(case), change(case)) is IntentLost.DEPOSED
    assert await db.sql(WRITTEN) == before


async def test_the_heartbeat_is_looked_at_under_the_lock(db: Stored) -> None:
    """An owner that is deposed while it waits for the incident's lock writes nothing."""
    lease, case = await db.held()
    holding = db.raw.transaction()
    await holding.start()
    await db.raw.execute("SELECT FROM incidents FOR UPDATE")
    recording = asyncio.create_task(db.store.record(lease, case, change(case)))
    await db.somebody_waits()
    await db.silence(lease.worker_id)
    await holding.commit()
    with pytest.raises(DeposedError):
        await recording
    assert await db.one("SELECT count(*) FROM timeline") == 0


async def test_who_waits_for_its_incident_writes_to_that_one(db: Stored) -> None:
    """Whichever of its worker's two was held by somebody else meanwhile."""
    await db.observe(alert("a", server="db1"), alert("b", server="db2"))
    worker = await db.worker()
    leases = [leased.lease for leased in [await db.store.lease(worker) for _ in "ab"] if leased]
    for lease in (*leases, *reversed(leases)):
        case = await db.store.load(lease)
        holding = db.raw.transaction()
        await holding.start()
        await db.raw.execute("SELECT FROM incidents WHERE id = $1 FOR UPDATE", lease.incident_id)
        recording = asyncio.create_task(db.store.record(lease, case, change(case, IncidentState.ESCALATED)))
        await db.somebody_waits()
        await holding.commit()
        assert await recording
        assert (await db.store.load(lease)).incident.timeline_length == case.incident.timeline_length + 1
    assert await db.sql("SELECT count(*), max(number) FROM timeline") == [(4, 2)]


# --- what is on disk --------------------------------------------------------------------------------------

_NOTE_COMMITS = """
CREATE TABLE commits (what text, waits text);
CREATE FUNCTION note_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO commits VALUES (TG_TABLE_NAME, current_setting('synchronous_commit'));
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER note_incidents AFTER UPDATE ON incidents
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note_commit();
CREATE CONSTRAINT TRIGGER note_attempts AFTER INSERT ON attempts
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note_commit()
"""
"""Writes down, as the last thing before each COMMIT, whether it waits for the disk."""


async def test_what_nothing_follows_from_does_not_wait_for_the_disk_and_all_else_does(db: Stored) -> None:
    """A lease and a record in passing do not; the intent, its outcome and the end of a lease do."""
    await db.observe(alert())
    await db.raw.execute(_NOTE_COMMITS)

    async def commits() -> list[tuple[str, str]]:
        return [(what, waits) for what, waits in await db.sql("DELETE FROM commits RETURNING what, waits")]

    lease, case = await db.leased()
    assert await commits() == [("incidents", "off")]
    for _ in range(2):  # at once; then with a look under the lock, because the case is older than the record
        assert await db.store.record(lease, case, change(case))
        assert await commits() == [("incidents", "off")]
    attempt = await db.store.commit_intent(lease, intent(case), change(case))
    assert isinstance(attempt, Attempt)
    assert sorted(await commits()) == [("attempts", "on"), ("incidents", "on")]
    end = AttemptEnd(attempt_id=attempt.id, outcome=Outcome.DONE, results=())
    assert await db.store.record(lease, case, change(case, end=end))
    assert await commits() == [("incidents", "on")]
    assert await db.one("SELECT owner FROM incidents") == lease.worker_id
    assert await db.store.record(lease, case, change(case), ends=True)
    assert await commits() == [("incidents", "on")]
    assert await db.one("SELECT owner FROM incidents") is None


async def test_an_intent_finds_that_a_record_before_it_was_forgotten(db: Stored) -> None:
    """A timeline shorter than its owner knows it: PostgreSQL crashed before the last record was on disk."""
    lease, case = await db.held()
    assert await db.store.record(lease, case, change(case))
    before = await db.sql(WRITTEN)
    assert await db.store.commit_intent(lease, intent(case), change(case), after=2) is IntentLost.FORGOTTEN
    assert await db.sql(WRITTEN) == before
    assert isinstance(await db.store.commit_intent(lease, intent(case), change(case), after=1), Attempt)


async def test_a_lease_that_was_forgotten_and_given_anew_belongs_to_neither_worker(db: Stored) -> None:
    """A crash takes back the epoch, and one process gets the same lease twice: the first writes nothing."""
    lease, case = await db.held()
    await db.raw.execute("UPDATE incidents SET owner = NULL, epoch = epoch - 1, due_at = service_time()")
    ownership = Ownership(db.store, build_metrics("test"), LEASE_TIME, LEASE_TIME)
    ownership.worker_id = lease.worker_id
    await ownership.begin()
    ownership.leases.add(lease)
    other = cast("Any", None)
    worker = Worker(db.store, ownership, other, other, other, Terms(), Wake(), ALONE, 1.0)
    assert not await worker._once()
    with pytest.raises(DeposedError):
        await db.store.record(lease, case, change(case))
    assert await db.lease(lease.worker_id) == replace(lease, epoch=lease.epoch + 1)


@pytest.mark.parametrize("overdue", [False, True])
async def test_behind_what_is_overdue_another_worker_looks(
    db: Stored, monkeypatch: pytest.MonkeyPatch, overdue: bool
) -> None:
    """What has just become due waits for no backlog; without one nobody is woken for nothing."""
    monkeypatch.setattr("responder.engine.worker._A_WHILE", timedelta(seconds=1 if overdue else 3600))
    await db.observe(alert())
    await db.raw.execute("UPDATE incidents SET due_at = due_at - interval '1 minute'")
    ownership = Ownership(db.store, build_metrics("test"), LEASE_TIME, LEASE_TIME)
    await ownership.begin()
    wake, other = Wake(), cast("Any", None)
    assert (
        await Worker(db.store, ownership, other, other, other, Terms(), wake, ALONE, 1.0)._leased()
        is not None
    )
    assert wake._unheard is overdue


async def test_a_lease_whose_answer_is_on_its_way_is_not_given_up(db: Stored) -> None:
    """Another worker of the process, in doubt, gives up all that is not noted, but not what is taken."""
    await db.observe(alert())
    ownership = Ownership(db.store, build_metrics("test"), LEASE_TIME, LEASE_TIME)
    await ownership.begin()
    taken, noted = asyncio.Event(), asyncio.Event()

    async def take() -> Lease:
        async with ownership.taking():
            lease = await db.lease(ownership.worker_id)
            assert lease is not None
            taken.set()
            await noted.wait()
            ownership.leases.add(lease)
            return lease

    async def make_sure() -> None:
        ownership.doubt()
        async with ownership.taking():
            pass

    taking = asyncio.create_task(take())
    await taken.wait()
    doubting = asyncio.create_task(make_sure())
    await asyncio.wait((doubting,), timeout=0.2)  # time enough to give it up, were it not waiting
    noted.set()
    lease = await taking
    await doubting
    assert (await db.store.load(lease)).incident.id == lease.incident_id


@pytest.mark.parametrize("written", [False, True])
async def test_an_outcome_outlasts_a_database_that_is_away_for_a_moment(
    db: Stored, monkeypatch: pytest.MonkeyPatch, written: bool
) -> None:
    """Whether the record or only its answer was lost: the outcome is recorded, and told once.

    An alert that joins meanwhile is heard of as soon as ever.
    """
    await db.observe(alert())
    ownership = Ownership(db.store, build_metrics("test"), LEASE_TIME, LEASE_TIME)
    await ownership.begin()
    lease = await db.lease(ownership.worker_id)
    assert lease is not None
    case = await db.store.load(lease)
    attempt = await db.store.commit_intent(lease, intent(case), change(case))
    assert isinstance(attempt, Attempt)
    before = await db.one("SELECT count(*) FROM timeline")
    record, load, lost = db.store.record, db.store.load, ["load", "record"]

    async def failing(*given: Any, **named: Any) -> bool:
        if "record" not in lost or written:
            await record(*given, **named)
        if "record" in lost:
            lost.remove("record")
            raise StoreAwayError("lost")
        return True

    async def away(of: Lease) -> Any:
        if "load" in lost:
            lost.remove("load")
            await db.observe(alert("p2"))
            raise StoreAwayError("away")
        return await load(of)

    monkeypatch.setattr(db.store, "record", failing)
    monkeypatch.setattr(db.store, "load", away)
    monkeypatch.setattr("responder.engine.outlast.AGAIN_S", 0)
    other = cast("Any", None)
    worker = Worker(db.store, ownership, other, other, other, Terms(), Wake(), ALONE, 1.0)
    end = AttemptEnd(attempt_id=attempt.id, outcome=Outcome.DONE, results=())
    assert await worker._record(lease, case, change(case, end=end))
    assert lost == []
    assert await db.sql("SELECT outcome FROM attempts") == [("done",)]
    assert await db.one("SELECT count(*) FROM timeline") == before + 1
    assert await db.one("SELECT due_at <= service_time() + $1 FROM incidents", NEWS_WITHIN)


async def test_an_outcome_that_cannot_be_recorded_is_tried_with_a_pause(
    db: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading works and writing does not, as on a full disk: again and again, while the lease is ours."""
    lease, case = await db.held()
    attempt = await db.store.commit_intent(lease, intent(case), change(case))
    assert isinstance(attempt, Attempt)
    pauses: list[float] = []

    async def full(*given: Any, **named: Any) -> bool:
        del given, named
        raise StoreAwayError("the disk is full")

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(db.store, "record", full)
    monkeypatch.setattr("responder.engine.outlast.asyncio", SimpleNamespace(sleep=pause))
    ours = cast("Ownership", SimpleNamespace(owns=lambda _: len(pauses) < 3))
    other = cast("Any", None)
    worker = Worker(db.store, ours, other, other, other, Terms(), Wake(), ALONE, 1.0)
    end = AttemptEnd(attempt_id=attempt.id, outcome=Outcome.DONE, results=())
    with pytest.raises(StoreAwayError):
        await worker._record(lease, case, change(case, end=end))
    assert len(pauses) == 3


# --- the case -----------------------------------------------------------------------------------------------


async def test_a_lease_comes_with_its_case(db: Stored) -> None:
    """The case that loading it would give; what cannot be read in it costs the case, never the lease."""
    await db.observe(alert())
    worker = await db.worker()
    leased = await db.store.lease(worker)
    assert leased is not None
    assert leased.case is not None
    now = leased.case.now
    assert leased.case == (await db.store.load(leased.lease)).model_copy(update={"now": now})
    await db.store.give_up(leased.lease)
    await db.raw.execute("UPDATE incidents SET deadline = '10000-01-01'")
    again = await db.store.lease(worker)
    assert again is not None
    assert (again.lease.epoch, again.case) == (leased.lease.epoch + 1, None)


async def test_a_case_counts_all_members_and_carries_a_few(db: Stored) -> None:
    """Counts over everything; a sample, firing ones first; the labels that all of the sample share."""
    await db.observe(*(alert(f"p{n}", start=n) for n in range(30)))
    await db.observe(*(ended(f"p{n}", start=n, end=50) for n in range(5, 30)))
    _, case = await db.leased()
    members = case.members
    assert (members.total, members.firing, len(members.sample)) == (30, 5, SAMPLE)
    assert [one.ends_at is None for one in members.sample] == [True] * 5 + [False] * (SAMPLE - 5)
    assert members.first_starts_at == T0
    assert members.common_labels == {"alertname": "Stuck", "server": "db1"}
    assert members.newest_seen_at == max(one.seen_at for one in members.sample[:5])


async def test_a_resend_is_seen_in_the_case_without_a_wake(db: Stored) -> None:
    """`newest_seen_at`, annotations and sample follow the alert, though nothing of the member is written."""
    _, before = await db.held()
    await db.observe(alert(summary="worse"))
    lease = Lease(before.incident.id, await db.one("SELECT owner FROM incidents"), before.incident.epoch)
    after = await db.store.load(lease)
    assert before.members.newest_seen_at is not None
    assert after.members.newest_seen_at is not None
    assert after.members.newest_seen_at > before.members.newest_seen_at
    assert after.members.sample[0].seen_at == after.members.newest_seen_at
    assert after.members.sample[0].annotations == {"summary": "worse"}


async def test_an_incident_keeps_its_rule_and_knows_the_current_one(db: Stored) -> None:
    """A newer rulebook changes `current`, never `rule`; a rule gone from it is None."""
    lease, case = await db.held()
    assert (case.rule, case.current) == (RULE, RULE)
    newer = RULE.model_copy(update={"notes": "changed"})
    await db.store.activate(Rulebook(rules=(newer,)), "a person")
    case = await db.store.load(lease)
    assert (case.rule, case.current) == (RULE, newer)
    await db.store.activate(Rulebook(rules=()), "a person")
    assert (await db.store.load(lease)).current is None
    assert await db.store.active_rulebook() == Rulebook(rules=())
    await db.store.activate(BOOK, "a person")
    assert await db.store.active_rulebook() == BOOK


async def test_a_persons_word_comes_before_any_effect(db: Stored) -> None:
    """A command that is not applied yet blocks the intent: "automation is off" was accepted."""
    lease, case = await db.held()
    now = await db.store.now()
    told = Command(
        id=uuid4(), incident_id=case.incident.id, kind=CommandKind.TAKE_OVER, actor="ada", given_at=now
    )
    assert await db.store.give_command(told)
    assert await db.store.commit_intent(lease, intent(case), change(case)) is IntentLost.COMMANDED


async def test_a_case_carries_the_newest_attempt_the_oldest_command_and_untold_findings(db: Stored) -> None:
    """Each until it is dealt with."""
    lease, case = await db.held()
    now = await db.store.now()
    commands = [
        Command(id=uuid4(), incident_id=case.incident.id, kind=kind, actor="ada", given_at=now)
        for kind in (CommandKind.ACKNOWLEDGE, CommandKind.CLOSE)
    ]
    attempts = [
        await db.store.commit_intent(lease, intent(case, target=f"postgres/{n}"), change(case)) for n in "ab"
    ]
    for command in commands:
        assert await db.store.give_command(command)
    findings = [finding("first"), finding("second")]
    for one in findings:
        await db.store.add_finding(case.incident.id, one)
    case = await db.store.load(lease)
    assert (case.command, case.findings, case.attempt) == (commands[0], tuple(findings), attempts[1])
    dealt = change(case, command=commands[0].id, told_findings=(findings[0].id,))
    await db.store.record(lease, case, dealt)
    case = await db.store.load(lease)
    assert (case.command, case.findings) == (commands[1], (findings[1],))


def taken_over(incident_id: UUID, now: datetime) -> Command:
    """A person's word on an incident."""
    return Command(id=uuid4(), incident_id=incident_id, kind=CommandKind.TAKE_OVER, actor="ada", given_at=now)


async def test_what_concerns_one_incident_moves_no_other(db: Stored) -> None:
    """Another one of the worker's fires, has a person's word and a finding: they hold and wake it alone."""
    await db.observe(alert("a", server="db1"), alert("b", server="db2"))
    worker = await db.worker()
    (mine, other) = [leased.lease for leased in [await db.store.lease(worker) for _ in "ab"] if leased]
    case, theirs, now = await db.store.load(mine), await db.store.load(other), await db.store.now()
    server = case.incident.key["server"]
    name = {"db1": "a", "db2": "b"}[server]
    assert await db.store.record(mine, case, change(case))  # when the other one is just as new
    assert await db.store.give_command(taken_over(other.incident_id, now))
    with pytest.raises(PermanentError, match="there is no incident"):
        await db.store.give_command(taken_over(uuid4(), now))
    await db.store.add_finding(other.incident_id, finding())
    standing = "SELECT (i.*)::text FROM incidents i WHERE id = $1"
    before = await db.sql(standing, other.incident_id)

    assert isinstance(await db.store.commit_intent(mine, intent(case), change(case)), Attempt)
    case = await db.store.load(mine)
    await db.observe(alert("c", server=server))
    assert await db.store.record(mine, case, change(case))
    news = f"SELECT max(at) + '{NEWS_WITHIN.total_seconds()} s' = max(due_at) FROM incidents JOIN timeline"
    soon = f"{news} ON id = incident_id WHERE id = $1"
    assert await db.one(soon, mine.incident_id)

    await db.observe(ended(name, server=server), ended("c", server=server))
    case = await db.store.load(mine)
    elsewhere = intent(case, target="postgres/elsewhere")
    assert await db.store.commit_intent(mine, elsewhere, change(case)) is IntentLost.NOT_FIRING
    assert await db.store.record(mine, case, change(case, quiet=True))

    await db.store.give_command(taken_over(mine.incident_id, now))
    await db.store.add_finding(mine.incident_id, finding())
    case = await db.store.load(mine)
    assert case.command is not None
    dealt: dict[str, Any] = {
        "command": case.command.id,
        "told_findings": tuple(one.id for one in case.findings),
    }
    for more in (dealt, {}):  # what is dealt with does not make it due now, neither then nor later
        await db.observe(alert(f"while {more}", server=server))
        assert await db.store.record(mine, case, change(case, **more))
        assert await db.one(soon, mine.incident_id)
        case = await db.store.load(mine)
    assert await db.sql(standing, other.incident_id) == before
    again = await db.store.load(other)
    assert (again.command is not None, len(again.findings), theirs.findings) == (True, 1, ())


# --- record -------------------------------------------------------------------------------------------------


async def test_what_is_recorded_is_loaded_again(db: Stored) -> None:
    """State, progress, severity, deadline and due time come back as they were given."""
    lease, case = await db.held()
    progress = case.incident.progress.model_copy(
        update={"step": 2, "opened_at": T0, "escalations": 1, "outcome": "a\x00b"}
    )
    given = change(case, IncidentState.ESCALATED, progress=progress, severity=Severity.P1, due_at=T0 + MINUTE)
    assert await db.store.record(lease, case, given)
    after = (await db.store.load(lease)).incident
    assert after.progress == progress.model_copy(update={"outcome": "a\\x00b"})
    assert (after.state, after.severity) == (given.state, Severity.P1)
    assert (after.deadline, after.due_at, after.timeline_length) == (given.deadline, T0 + MINUTE, 1)


async def test_since_when_a_state_lasts_changes_only_with_the_state(db: Stored) -> None:
    """A change within a state leaves `state_since`, a change of state sets it."""
    lease, case = await db.held()
    since = case.incident.state_since
    await db.store.record(lease, case, change(case, IncidentState.PENDING))
    assert (await db.store.load(lease)).incident.state_since == since
    await db.store.record(lease, case, change(case, IncidentState.OPEN))
    assert (await db.store.load(lease)).incident.state_since > since


@pytest.mark.parametrize("event", ["alert", "command", "finding"])
async def test_what_happens_while_the_owner_thinks_is_not_slept_over(db: Stored, event: str) -> None:
    """A command or a finding between load and record makes it due now, an alert soon: not at `due_at`."""
    lease, case = await db.held()
    match event:
        case "alert":
            await db.observe(alert("b"))
        case "command":
            kind, now = CommandKind.ACKNOWLEDGE, await db.store.now()
            command = Command(id=uuid4(), incident_id=case.incident.id, kind=kind, actor="ada", given_at=now)
            await db.store.give_command(command)
        case _:
            await db.store.add_finding(case.incident.id, finding())
    assert await db.store.record(lease, case, change(case, IncidentState.ESCALATED))
    case = await db.store.load(lease)
    assert case.incident.due_at is not None
    assert case.incident.due_at <= await db.store.now() + (NEWS_WITHIN if event == "alert" else timedelta(0))
    await db.store.record(lease, case, given := change(case, IncidentState.ESCALATED))
    case = await db.store.load(lease)
    assert case.incident.due_at == given.due_at
    assert await db.store.record(lease, case, change(case, IncidentState.ESCALATED), ends=True)
    assert await db.one("SELECT due_at FROM incidents") == given.due_at


async def test_news_is_heard_no_later_than_what_was_due_before(db: Stored) -> None:
    """What was due sooner stays so; where nothing was, the news is."""
    lease, case = await db.held()
    await db.observe(alert("b"))
    soon = case.now + timedelta(seconds=1)
    assert await db.store.record(lease, case, change(case, due_at=soon))
    case = await db.store.load(lease)
    assert case.incident.due_at == soon
    await db.observe(alert("c"))
    assert await db.store.record(lease, case, change(case, due_at=None))
    assert await db.one("SELECT due_at - max(at) FROM incidents, timeline GROUP BY due_at") == NEWS_WITHIN


async def test_a_worse_alert_is_only_in_the_way_of_a_change_of_severity(db: Stored) -> None:
    """A change that sets none is written, and the incident is as bad as the alert made it."""
    lease, case = await db.held()
    await db.observe(alert("b"), severity=Severity.P0)
    assert await db.store.record(lease, case, change(case))
    case = await db.store.load(lease)
    assert case.incident.severity is Severity.P0
    assert await db.store.record(lease, case, change(case, severity=Severity.P1), ends=True)
    assert await db.one("SELECT severity FROM incidents") == "P1"


@pytest.mark.parametrize("jump", [timedelta(0), timedelta(seconds=30), timedelta(seconds=-30)])
async def test_a_record_in_passing_is_one_statement_where_the_clock_is_right(
    db: Stored, monkeypatch: pytest.MonkeyPatch, jump: timedelta
) -> None:
    """It locks nothing beforehand; by a clock that jumped it is left to the way that judges the clock."""
    lease, case = await db.held()

    async def looks(*_: object) -> None:
        raise LookupError

    monkeypatch.setattr(Owner, "_lock", looks)
    await db.raw.execute("UPDATE service_clock SET shift = shift + $1::interval", jump)
    await db.raw.execute("UPDATE workers SET heartbeat_at = heartbeat_at + $1::interval", jump)
    if jump:
        with pytest.raises(LookupError):
            await db.store.record(lease, case, change(case))
    else:
        assert await db.store.record(lease, case, change(case))
    assert await db.one("SELECT count(*) FROM timeline") == (0 if jump else 1)
    monkeypatch.setattr(ServiceClock, "expected", lambda _: None)  # in doubt
    with pytest.raises(LookupError):
        await db.store.record(lease, case, change(case))


async def test_a_quiet_change_is_not_written_while_a_member_fires(db: Stored) -> None:
    """`quiet` looks again under the lock: nothing at all is written; without a firing member it is."""
    lease, case = await db.held()
    before = await db.sql(WRITTEN)
    quiet = change(case, IncidentState.RESOLVED, quiet=True)
    assert not await db.store.record(lease, case, quiet)
    assert await db.sql(WRITTEN) == before
    await db.observe(ended())
    assert await db.store.record(lease, case, quiet)
    assert await db.one("SELECT state FROM incidents") == "resolved"


async def test_an_alert_that_comes_while_an_incident_closes_is_not_lost(db: Stored) -> None:
    """Intake that waits for the closing incident's lock opens a new one instead of joining the closed one."""
    lease, case = await db.held()
    await db.observe(ended())
    async with db.connections.workers.transaction() as closing:
        await closing.execute("UPDATE incidents SET state = 'closed', due_at = NULL, deadline = NULL")
        joining = asyncio.create_task(db.observe(alert(start=10)))
        await db.somebody_waits()
    (opened,) = await joining
    assert opened != case.incident.id
    assert await db.one("SELECT state FROM incidents WHERE id = $1", opened) == "pending"
    assert lease.incident_id == case.incident.id


# --- the timeline -------------------------------------------------------------------------------------------


async def test_the_timeline_is_numbered_without_gaps_and_its_chain_holds(db: Stored) -> None:
    """Entries of several changes and of an intent form one chain, with whatever values targets gave."""
    lease, case = await db.held()
    odd = {2: "int key", 10: float("nan"), "nul": "a\x00b", "lone": "\udc80", "big": 1e16, "when": T0}
    entries = (told("first \x00"), told("second", facts=odd, list=(1, {2})))
    await db.store.record(lease, case, change(case, entries=entries))
    await db.store.commit_intent(lease, intent(case), change(case))
    dossier = await db.store.incident(case.incident.id)
    assert dossier is not None
    assert [entry.number for entry in dossier.entries] == [1, 2, 3]
    assert dossier.entries[0].text == "first \\x00"
    assert await db.store.chain_break(case.incident.id) is None


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("UPDATE timeline SET text = 'nothing' WHERE number = 2", "entry 2"),
        ("UPDATE timeline SET facts = '{\"a\": 2}' WHERE number = 1", "entry 1"),
        ("UPDATE timeline SET actor = 'somebody' WHERE number = 3", "entry 3"),
        ("UPDATE timeline SET at = at - interval '1 second' WHERE number = 2", "entry 2"),
        ("DELETE FROM timeline WHERE number = 2", "entry 2 is missing"),
        ("DELETE FROM timeline WHERE number = 3", "3 entries were written, 2 are there"),
        ("UPDATE incidents SET timeline_length = 2; DELETE FROM timeline WHERE number = 3", "head"),
        ("UPDATE timeline SET key_id = 'k9' WHERE number = 1", "unknown key"),
    ],
)
async def test_damage_to_the_timeline_is_found(db: Stored, damage: str, said: str) -> None:
    """A changed, a removed and a cut-off row are named, by whoever gets past the append-only trigger."""
    lease, case = await db.held()
    await db.store.record(lease, case, change(case, entries=(told("one", a=1), told("two"), told("three"))))
    await db.raw.execute(f"ALTER TABLE timeline DISABLE TRIGGER ALL; {damage}")
    broken = await db.store.chain_break(case.incident.id)
    assert broken is not None
    assert said in broken


KEPT_FOR_EVER = (
    "incident_id = gen_random_uuid()",
    "number = 9",
    "at = at + interval '1 s'",
    "kind = kind || 'x'",
    "actor = actor || 'x'",
    "body_hash = sha256(body_hash)",
    "mac = sha256(mac)",
    "key_id = key_id || 'x'",
)


async def test_the_timeline_cannot_be_changed_by_mistake(db: Stored) -> None:
    """UPDATE, DELETE and TRUNCATE are refused, but for a redaction, which keeps the chain whole.

    A redaction takes the body and nothing else: neither what the chain is made of, nor who, when and what.
    """
    lease, case = await db.held()
    await db.store.record(lease, case, change(case, entries=(told("a secret"), told("two"))))
    for statement in (
        "DELETE FROM timeline",
        "TRUNCATE timeline",
        "UPDATE timeline SET text = 'x'",
        "UPDATE timeline SET number = 9",
        *(f"UPDATE timeline SET redacted = true, {another} WHERE number = 1" for another in KEPT_FOR_EVER),
    ):
        with pytest.raises(Exception, match="append-only"):
            await db.raw.execute(statement)
    await db.raw.execute(
        "UPDATE timeline SET text = '[redacted]', facts = '{}', redacted = true WHERE number = 1"
    )
    assert await db.store.chain_break(case.incident.id) is None


async def test_findings_are_kept_once_and_of_incidents_only(db: Stored) -> None:
    """The same finding twice is one; one of an incident that is gone is dropped without an error."""
    lease, case = await db.held()
    one = finding("nul \x00")
    await db.store.add_finding(case.incident.id, one)
    await db.store.add_finding(case.incident.id, one)
    await db.store.add_finding(uuid4(), finding())
    assert [found.summary for found in (await db.store.load(lease)).findings] == ["nul \\x00"]


async def test_a_worker_of_yesterday_is_forgotten(db: Stored) -> None:
    """The table of workers does not grow with every restart."""
    old = await db.worker()
    await db.raw.execute("UPDATE workers SET heartbeat_at = heartbeat_at - $1::interval", timedelta(days=2))
    await db.worker()
    assert await db.one("SELECT count(*) FROM workers WHERE id = $1", old) == 0


async def test_a_lease_whose_answer_was_lost_is_given_up(db: Stored) -> None:
    """What counts as this live worker's, and no worker of the process knows of, is free again."""
    await db.observe(alert(server="db1"))
    await db.observe(alert(server="db2"))
    worker, other = await db.worker(), await db.worker()
    known, lost = await db.lease(worker), await db.lease(worker)
    assert known is not None
    assert lost is not None
    await db.store.give_up_others(worker, [known.incident_id])
    with pytest.raises(DeposedError):
        await db.store.load(lost)
    taken = await db.lease(other)
    assert taken is not None
    assert taken.incident_id == lost.incident_id
    assert (await db.store.load(known)).incident.id == known.incident_id


async def test_an_incident_that_cannot_be_read_is_looked_at_later(db: Stored) -> None:
    """Postponed by its owner alone: it is due after the delay, not at once again."""
    await db.observe(alert())
    worker = await db.worker()
    lease = await db.lease(worker)
    assert lease is not None
    await db.store.postpone(lease, timedelta(seconds=30))
    assert await db.one("SELECT due_at > service_time() + interval '20 s' FROM incidents")
    await db.store.give_up(lease)
    with pytest.raises(DeposedError):
        await db.store.postpone(lease, timedelta(seconds=30))
    assert await db.lease(worker) is None


async def test_what_is_postponed_or_given_up_is_one_lease(db: Stored) -> None:
    """Not the worker's other incident, nor by an older lease of its own, nor by somebody else's."""
    await db.observe(alert(server="db1"), alert(server="db2"))
    worker = await db.worker()
    mine, other = await db.lease(worker), await db.lease(worker)
    assert mine is not None
    assert other is not None
    states = "SELECT id, owner, due_at > service_time() FROM incidents"
    at_work = {(lease.incident_id, worker, False) for lease in (mine, other)}
    for no_more in (replace(mine, epoch=mine.epoch - 1), replace(mine, worker_id=await db.worker())):
        await db.store.give_up(no_more)
        with pytest.raises(DeposedError):
            await db.store.postpone(no_more, MINUTE)
    assert set(await db.sql(states)) == at_work
    await db.store.postpone(mine, MINUTE)
    assert set(await db.sql(states)) == {(mine.incident_id, worker, True), (other.incident_id, worker, False)}
    await db.store.give_up(mine)
    assert set(await db.sql(states)) == {(mine.incident_id, None, True), (other.incident_id, worker, False)}


async def test_a_change_may_pin_an_incident_to_another_rulebook(db: Stored) -> None:
    """The owner moves the pin with the change; a change that names none leaves it, whatever is active."""
    lease, case = await db.held()
    newer = Rulebook(rules=(RULE.model_copy(update={"escalate": True}),))
    await db.store.activate(newer, "a reload")
    await db.store.record(lease, case, change(case))
    pinned = await db.store.load(lease)
    assert (pinned.rule, pinned.current, pinned.current_hash) == (RULE, newer.rules[0], newer.hash)
    await db.store.record(lease, pinned, change(pinned, rulebook_hash=newer.hash))
    moved = await db.store.load(lease)
    assert (moved.incident.rulebook_hash, moved.rule) == (newer.hash, newer.rules[0])
