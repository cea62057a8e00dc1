"""A database whose wall clock is set by hours: nothing starts, nothing is repeated, nothing expires.

The clock is a real PostgreSQL's; only what `wall_clock()` reads is moved, in the test's own database.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest
import pytest_asyncio

from responder.clients.boottime import boottime
from responder.decide import changes
from responder.decide.case import AttemptEnd, Change, IntentLost, Settle, Terms, Wait
from responder.decide.clock import Agreement, ClockJump, ClockRuling
from responder.decide.guards.limits import cooldown
from responder.decide.next_move import next_move
from responder.model.alert import Rejected
from responder.model.attempt import Attempt, Intent, Outcome
from responder.model.errors import TemporaryError
from responder.model.incident import Command, CommandKind, IncidentState
from responder.ports import Lease
from responder.store.clock import ServiceClock
from responder.store.connection import Connection
from responder.store.postgres import PostgresStore
from tests.support import moved_clock
from tests.support.stored import KEYS, LEASE_TIME, RULE, Stored, alert, change, intent, question, stored
from tests.unit.test_guards import facts

HOURS = timedelta(hours=3)
JUMPS = pytest.mark.parametrize("jump", [HOURS, -HOURS], ids=["ahead", "back"])
TOLERANCE = timedelta(seconds=3)
TERMS = Terms()


@pytest_asyncio.fixture
async def db(dsn: str) -> AsyncIterator[Stored]:
    raw = await asyncpg.connect(dsn)
    await raw.execute(moved_clock.FAKE)
    await raw.close()
    async with stored(dsn) as opened:
        yield opened


async def set_clock(db: Stored, jump: timedelta) -> None:
    """Set the clock of the database's host."""
    await moved_clock.set_clock(db.raw, jump)


async def watched(db: Stored, worker: UUID, rounds: int = 40) -> ClockJump | None:
    """Turns of the watch until it has decided. More than three only where this machine is slow."""
    for _ in range(rounds):
        if (found := await db.store.watch_clock(worker)) is not None:
            return found
    return None


async def steady(db: Stored, worker: UUID) -> None:
    """Turns of the watch until one reading was good enough to begin with."""
    while True:
        await db.store.watch_clock(worker)
        if await db.one("SELECT clock_number FROM workers WHERE id = $1", worker):
            return


class Flow:
    """How service time goes on, measured by a clock that nobody sets."""

    def __init__(self, db: Stored) -> None:
        self._db = db

    async def begin(self) -> "Flow":
        """From here."""
        self._before = boottime()
        self._then: datetime = await self._db.store.now()
        self._after = boottime()
        return self

    async def goes_on(self) -> bool:
        """Whether as much time has passed as on our own clock, by the store and by the database."""
        times = [await self._fits(self._db.store.now), await self._fits(self._told)]
        return all(times)

    async def believed(self) -> bool:
        """As `goes_on`, by the store's word alone."""
        return await self._fits(self._db.store.now)

    async def believed_by(self, young: Stored) -> bool:
        """The same of another process."""
        return await self._fits(young.store.now)

    async def _told(self) -> datetime:
        now: datetime = await self._db.one("SELECT service_time()")
        return now

    async def _fits(self, ask: Callable[[], Awaitable[datetime]]) -> bool:
        least = timedelta(seconds=boottime() - self._after)
        passed = await ask() - self._then
        most = timedelta(seconds=boottime() - self._before)
        return bool(least - TOLERANCE < passed < most + TOLERANCE)


@JUMPS
async def test_from_the_jump_on_nothing_starts_or_expires_and_then_time_goes_on(
    db: Stored, jump: timedelta
) -> None:
    """Alone, with an incident at work, one that waits an hour, and a claim: all of it before and after."""
    lease, case = await db.held()
    await steady(db, lease.worker_id)
    await db.observe(alert(server="waits"))
    waiting, its_case = await db.leased()
    await db.store.record(waiting, its_case, change(its_case, IncidentState.AWAITING_APPROVAL))
    await db.store.give_up(waiting)
    idle = await db.worker()
    flow = await Flow(db).begin()

    await set_clock(db, jump)
    assert await flow.believed()
    assert await db.store.heartbeat(lease.worker_id)
    assert await db.lease(idle) is None
    assert await db.store.commit_intent(lease, intent(case), change(case)) is IntentLost.CLOCK
    unsteady = await db.unsteady()
    assert unsteady is not None
    assert "it is being found out" in unsteady.reason
    await db.observe(alert(server="new"))

    found = await watched(db, lease.worker_id)
    assert found is not None
    assert (found.ruling, abs(found.by - jump) < TOLERANCE) == (ClockRuling.WALL, True)
    assert await flow.goes_on()
    assert await db.store.heartbeat(lease.worker_id)
    assert (await db.store.load(lease)).incident.epoch == case.incident.epoch
    new = await db.lease(idle)
    assert new is not None, "what came meanwhile is due"
    assert (await db.store.load(new)).incident.key == {"server": "new"}
    assert await db.lease(idle) is None, "what waits an hour is not due, what is owned is not lost"
    received = await db.one("SELECT max(received_at) - min(received_at) FROM journal")
    assert received < timedelta(minutes=10)
    assert await db.one("SELECT jumps FROM service_clock") == 1


@JUMPS
async def test_what_wakes_an_incident_during_a_jump_wakes_it_at_once(db: Stored, jump: timedelta) -> None:
    """A person's word that comes while the clock is wrong does not wait for what the clock says then."""
    lease, case = await db.held()
    await steady(db, lease.worker_id)
    await db.store.record(lease, case, change(case))
    await db.store.give_up(lease)
    await set_clock(db, jump)
    command = Command(
        id=uuid4(),
        incident_id=lease.incident_id,
        kind=CommandKind.TAKE_OVER,
        actor="ann",
        reason="mine",
        given_at=await db.store.now(),
    )
    assert await db.store.give_command(command)
    assert await watched(db, lease.worker_id) is not None
    assert await db.lease(lease.worker_id) is not None


async def test_nothing_is_taken_up_early_by_a_jump_shorter_than_the_lease(db: Stored) -> None:
    """The worker's heartbeat still counts by the clock that jumped: only the doubt keeps it from leasing."""
    patient = PostgresStore(db.connections, timedelta(days=1), KEYS)
    await db.observe(alert(), pending_for=timedelta(hours=1))
    worker = await db.worker()
    await patient.watch_clock(worker)
    await patient.now()
    await set_clock(db, HOURS)
    assert await patient.lease(worker) is None
    assert await db.one("SELECT epoch FROM incidents") == 0


@JUMPS
async def test_no_intent_starts_for_a_lease_time_after_a_jump(db: Stored, jump: timedelta) -> None:
    """On every replica, with the reason in words; afterwards it starts."""
    lease, case = await db.held()
    await steady(db, lease.worker_id)
    await set_clock(db, jump)
    assert await watched(db, lease.worker_id) is not None
    unsteady = await db.unsteady()
    assert unsteady is not None
    assert "jumped ahead by" in unsteady.reason or "jumped back by" in unsteady.reason
    assert await db.store.commit_intent(lease, intent(case), change(case)) is IntentLost.CLOCK
    assert await db.one("SELECT count(*) FROM attempts") == 0
    await db.raw.execute("UPDATE service_clock SET shift = shift + $1::interval", LEASE_TIME)
    await db.raw.execute("UPDATE workers SET heartbeat_at = service_time()")
    assert await db.unsteady() is None
    assert isinstance(await db.store.commit_intent(lease, intent(case), change(case)), Attempt)


@JUMPS
async def test_two_replicas_that_see_the_same_jump_move_the_offset_once(
    db: Stored, dsn: str, jump: timedelta
) -> None:
    """The first one moves as soon as the second has seen it; for the second it is over then."""
    async with stored(dsn) as other:
        here, there = await db.worker(), await other.worker()
        await steady(db, here)
        await steady(other, there)
        flow = await Flow(db).begin()
        await set_clock(db, jump)
        found: list[ClockJump] = []
        while not found:
            for replica, worker in ((db, here), (other, there)):
                if (one := await replica.store.watch_clock(worker)) is not None:
                    found.append(one)
        assert await watched(db, here, 5) is await watched(other, there, 5) is None
        assert [one.ruling for one in found] == [ClockRuling.WALL]
        assert await flow.goes_on()
        assert await other.unsteady() is not None, "the second one waits as well"


async def test_a_jump_that_nobody_else_has_seen_is_waited_with(db: Stored, dsn: str) -> None:
    """While another process lives and has not said yet what it sees, the offset stays."""
    async with stored(dsn) as other:
        here, there = await db.worker(), await other.worker()
        await steady(db, here)
        await steady(other, there)
        await set_clock(db, HOURS)
        assert await watched(db, here, 6) is None
        assert await db.one("SELECT shift FROM service_clock") == timedelta(0)
        assert await db.store.commit_intent(*await _own(db, here)) is IntentLost.CLOCK


async def test_a_process_whose_own_clock_jumped_moves_nothing(
    db: Stored, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one saw nothing: service time stays, and only the odd one starts nothing for a while."""
    async with stored(dsn) as other:
        here, there = await db.worker(), await other.worker()
        await steady(db, here)
        await steady(other, there)
        odd = lambda: boottime() - HOURS.total_seconds()  # noqa: E731 - a clock that stood still for 3 hours
        found = quiet = None
        for _ in range(40):
            with monkeypatch.context() as patched:
                patched.setattr("responder.store.clock.boottime", odd)
                patched.setattr("responder.store.ledger.boottime", odd)
                found = found or await db.store.watch_clock(here)
                quiet = await db.unsteady()
            await other.store.watch_clock(there)
            if found:
                break
        assert found is not None
        assert found.ruling is ClockRuling.OWN
        assert await db.one("SELECT shift FROM service_clock") == timedelta(0)
        assert quiet is not None
        assert "own clock jumped" in quiet.reason
        assert await other.unsteady() is None


@JUMPS
async def test_who_starts_while_a_jump_is_found_out_waits_until_it_is_taken_back(
    db: Stored, dsn: str, jump: timedelta
) -> None:
    """The one that lives has seen it and not ruled yet; then the young one goes by the time of before."""
    worker = await db.worker()
    await steady(db, worker)
    flow = await Flow(db).begin()
    await set_clock(db, jump)
    async with stored(dsn) as young:
        ask = young.store.agree_on_clock
        assert await ask() is Agreement.UNHEARD, "nobody has spoken since"
        assert await db.store.watch_clock(worker) is None
        assert await ask() is Agreement.DOUBTED
        assert await watched(db, worker) is not None
        assert await ask() is Agreement.UNHEARD, "what was said before is about another reading"
        await db.store.watch_clock(worker)
        assert await ask() is Agreement.AGREED
        assert await flow.believed_by(young)


async def test_who_starts_alone_waits_for_nobody(db: Stored) -> None:
    """No other process has ever said what it sees: there is nobody to ask."""
    assert await db.store.agree_on_clock() is Agreement.AGREED


async def _own(db: Stored, worker: UUID) -> tuple[Lease, Intent, Change]:
    await db.observe(alert())
    await db.raw.execute("UPDATE incidents SET owner = $1, epoch = 1", worker)
    lease = Lease(await db.one("SELECT id FROM incidents"), worker, 1)
    case = await db.store.load(lease)
    return lease, intent(case), change(case)


@JUMPS
async def test_a_jump_within_a_heartbeat_leaves_it_unwritten(
    db: Stored, jump: timedelta, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at the clock and the beat: nobody is deposed, and no beat of another time is kept."""
    worker = await db.worker()
    await steady(db, worker)
    before = await db.one("SELECT heartbeat_at FROM workers")
    read, asked = ServiceClock.read, list[bool]()

    async def and_then_it_jumps(clock: ServiceClock, connection: Connection) -> tuple[datetime, timedelta]:
        found = await read(clock, connection)
        if not asked:
            asked.append(True)
            await set_clock(db, jump)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(ServiceClock, "read", and_then_it_jumps)
        with pytest.raises(TemporaryError, match="jumped during a heartbeat"):
            await db.store.heartbeat(worker)
    assert await db.one("SELECT heartbeat_at FROM workers") == before
    assert await db.store.heartbeat(worker)


WAITING = (IncidentState.AWAITING_APPROVAL, IncidentState.ESCALATED, IncidentState.TAKEN_OVER)


@JUMPS
async def test_no_decision_is_another_one_by_a_jump(db: Stored, jump: timedelta) -> None:
    """What waits for a deadline waits for the same one: an approval, an update, a person's hour, a cooldown.

    An attempt that was cut off may still begin: the target's "no" is not believed before its time.
    """
    waiting = [await _waits(db, state) for state in WAITING]
    await db.observe(alert(server="acts"))
    lease, case = await db.leased()
    attempt = await db.store.commit_intent(lease, intent(case), change(case, IncidentState.REMEDIATING))
    assert isinstance(attempt, Attempt)
    await steady(db, lease.worker_id)

    async def decided() -> list[object]:
        cases = [await db.store.load(one) for one in (*waiting, lease)]
        moves = [next_move(each, each.now, TERMS) for each in cases]
        now = cases[-1]
        view = await db.store.ledger_view(question(now, attempt.target), now.incident)
        none = AttemptEnd(attempt_id=attempt.id, outcome=Outcome.NOT_DONE, results=())
        settled = changes.settled(now, attempt, none, now.now, TERMS, timedelta(hours=1))
        again = facts(now=now.now, history=view.history, limits=RULE.limits)
        return [*moves, settled.end, settled.due_at, cooldown(again, TERMS).until]

    before = await decided()
    await set_clock(db, jump)
    assert await decided() == before
    assert await watched(db, lease.worker_id) is not None
    assert await decided() == before
    assert {type(move) for move in before[:3]} == {Wait}
    assert (type(before[3]), before[4]) == (Settle, None)


async def _waits(db: Stored, state: IncidentState) -> Lease:
    """An incident that waits for its deadline in this state."""
    await db.observe(alert(server=state.value))
    lease, case = await db.leased()
    told = {"told_members": 1, "told_firing": 1, "covered_members": 1}
    progress = case.incident.progress.model_copy(update=told)
    await db.store.record(lease, case, change(case, state, progress=progress))
    return lease


@JUMPS
async def test_no_dead_letter_expires_by_a_jump(db: Stored, jump: timedelta) -> None:
    """Neither while it is in doubt nor afterwards, with what jumps many times as far as letters are kept."""
    worker = await db.worker()
    await steady(db, worker)
    async with db.store.intake() as taken:
        await taken.write_dead_letters("am", [Rejected("no labels", "{}")])
    await set_clock(db, jump)
    assert await db.store.expire_dead_letters(timedelta(hours=1)) == 0
    assert await watched(db, worker) is not None
    assert await db.store.expire_dead_letters(timedelta(hours=1)) == 0
    assert await db.store.expire_dead_letters(timedelta(0)) == 1
