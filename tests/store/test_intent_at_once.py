"""The short way of an intent: one statement, which writes nothing where anything speaks against it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from responder.clients.boottime import boottime
from responder.decide.case import Case, IntentLost
from responder.model.attempt import Attempt, Outcome
from responder.model.incident import Command, CommandKind, IncidentState
from responder.model.restraint import RestraintKind
from responder.ports import Lease, NewRestraint
from responder.store.clock import ServiceClock
from responder.store.owner import Owner
from tests.support.stored import MINUTE, Stored, alert, change, ended, intent, question, stored

TARGET = "postgres/orders"
LONG_WAY = IntentLost.FORGOTTEN
"""What the long way is made to answer, so that it is seen where it is gone."""
WRITTEN = """
SELECT (SELECT count(*) FROM attempts), (SELECT count(*) FROM claims), (SELECT count(*) FROM timeline),
       (SELECT string_agg(state, ',' ORDER BY id) FROM incidents)
"""

Obstacle = Callable[[Stored, Lease, Case], Awaitable[dict[str, Any]]]
"""Something happens between judging and the intent; what the intent says differently."""


@pytest_asyncio.fixture
async def db(dsn: str) -> AsyncIterator[Stored]:
    async with stored(dsn) as opened:
        yield opened


@pytest.fixture
def only_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The long way does nothing."""

    async def lost(*_: object) -> IntentLost:
        return LONG_WAY

    monkeypatch.setattr(Owner, "_commit_intent", lost)


def safe(case: Case, **more: Any) -> Any:
    """An intent that spends no budget."""
    return intent(case, **{"disruptive": False, **more})


async def halted(db: Stored, _: Lease, __: Case) -> dict[str, Any]:
    await db.store.halt("ada", "too many restarts")
    return {}


async def flagged(db: Stored, _: Lease, __: Case) -> dict[str, Any]:
    await db.raw.execute("UPDATE halt SET halted = true")
    return {}


async def without_flag(db: Stored, _: Lease, __: Case) -> dict[str, Any]:
    await db.raw.execute("DELETE FROM halt")
    return {}


async def restrained(db: Stored, _: Lease, __: Case) -> dict[str, Any]:
    new = NewRestraint(RestraintKind.FREEZE, "k", actor="ada", reason="audit", match=(), lasts=MINUTE)
    await db.store.restrain(new)
    return {"restraints": (7, 8)}


async def ended_meanwhile(db: Stored, _: Lease, __: Case) -> dict[str, Any]:
    await db.observe(ended())
    return {}


async def commanded(db: Stored, _: Lease, case: Case) -> dict[str, Any]:
    now = await db.store.now()
    told = Command(
        id=uuid4(), incident_id=case.incident.id, kind=CommandKind.TAKE_OVER, actor="ada", given_at=now
    )
    assert await db.store.give_command(told)
    return {}


async def of_another_owner(db: Stored, _: Lease, __: Case) -> dict[str, Any]:
    await db.raw.execute("UPDATE incidents SET owner = $1", await db.worker())
    return {}


async def of_another_epoch(db: Stored, _: Lease, __: Case) -> dict[str, Any]:
    await db.raw.execute("UPDATE incidents SET epoch = epoch + 1")
    return {}


async def without_heartbeat(db: Stored, lease: Lease, _: Case) -> dict[str, Any]:
    await db.worker()
    await db.silence(lease.worker_id)
    return {}


async def written_on(db: Stored, _: Lease, __: Case) -> dict[str, Any]:
    await db.raw.execute("UPDATE incidents SET timeline_length = timeline_length + 1")
    return {}


async def written_anew(db: Stored, _: Lease, __: Case) -> dict[str, Any]:
    await db.raw.execute("UPDATE incidents SET timeline_head = sha256(timeline_head)")
    return {}


async def ahead(db: Stored, _: Lease, __: Case) -> dict[str, Any]:
    await db.raw.execute("UPDATE service_clock SET shift = shift + interval '30 s'")
    await db.raw.execute("UPDATE workers SET heartbeat_at = heartbeat_at + interval '30 s'")
    return {}


async def behind(db: Stored, _: Lease, __: Case) -> dict[str, Any]:
    await db.raw.execute("UPDATE service_clock SET shift = shift - interval '30 s'")
    return {}


async def quiet(db: Stored, _: Lease, __: Case) -> dict[str, Any]:
    quieted = (
        "UPDATE service_clock SET quiet_until = service_time() + interval '1 h', quiet_why = 'it jumped'"
    )
    await db.raw.execute(quieted)
    return {}


async def held_by_another(db: Stored, _: Lease, __: Case) -> dict[str, Any]:
    await db.observe(alert(server="db2"))
    lease, case = await db.leased()
    assert isinstance(await db.store.commit_intent(lease, safe(case), change(case)), Attempt)
    [(newest,)] = await db.sql("SELECT id FROM attempts")
    return {"newest_known": newest}


async def broken(db: Stored, _: Lease, case: Case) -> dict[str, Any]:
    await db.raw.execute(
        "INSERT INTO breakers (rule, opened_at, attempts) VALUES ($1, service_time(), '{}')",
        case.incident.rule,
    )
    return {}


OBSTACLES: list[Obstacle] = [
    halted,
    flagged,
    without_flag,
    restrained,
    ended_meanwhile,
    commanded,
    of_another_owner,
    of_another_epoch,
    without_heartbeat,
    written_on,
    written_anew,
    ahead,
    behind,
    quiet,
    held_by_another,
    broken,
]


@pytest.mark.usefixtures("only_at_once")
@pytest.mark.parametrize("obstacle", OBSTACLES, ids=lambda one: one.__name__)
async def test_whatever_speaks_against_an_intent_is_found_in_its_own_statement(
    db: Stored, obstacle: Obstacle
) -> None:
    """Nothing is written, no claim either: the long way is asked, which says why."""
    lease, case = await db.held()
    assert await db.store.record(lease, case, change(case))
    more = await obstacle(db, lease, case)
    before = await db.sql(WRITTEN)
    assert await db.store.commit_intent(lease, safe(case, **more), change(case)) is LONG_WAY
    assert await db.sql(WRITTEN) == before


@pytest.mark.usefixtures("only_at_once")
@pytest.mark.parametrize(
    "said",
    [
        {"newest_known": uuid4()},
        {"undo_of": uuid4()},
        {"approval": uuid4(), "approved_until": datetime.max.replace(tzinfo=UTC)},
        {"disruptive": True},
    ],
    ids=["overtaken", "an undo", "approved", "disruptive"],
)
async def test_an_intent_that_takes_more_than_a_look_goes_the_long_way(
    db: Stored, said: dict[str, Any]
) -> None:
    """Judged by another newest attempt, an undo, with a person's approval, or at the cost of a budget."""
    lease, case = await db.held()
    before = await db.sql(WRITTEN)
    assert await db.store.commit_intent(lease, safe(case, **said), change(case)) is LONG_WAY
    assert await db.sql(WRITTEN) == before


@pytest.mark.usefixtures("only_at_once")
@pytest.mark.parametrize("told", [0, 1, 2])
async def test_an_intent_of_a_safe_step_takes_one_statement(db: Stored, told: int) -> None:
    """Attempt, claim, timeline and state are written, whether something was recorded before it or not."""
    lease, case = await db.held()
    for _ in range(told):
        assert await db.store.record(lease, case, change(case))
    known = (await db.store.ledger_view(question(case), case.incident)).newest
    wanted = safe(case, newest_known=known)
    attempt = await db.store.commit_intent(lease, wanted, change(case, IncidentState.REMEDIATING), after=told)
    assert isinstance(attempt, Attempt)
    assert (attempt.id, attempt.outcome, attempt.elements) == (
        wanted.attempt_id,
        Outcome.STARTED,
        wanted.elements,
    )
    assert attempt.start_before - attempt.intended_at == timedelta(seconds=5)
    claim = await db.claim(TARGET)
    assert claim is not None
    assert claim.attempt_id == attempt.id
    dossier = await db.store.incident(case.incident.id)
    assert dossier is not None
    assert dossier.incident.state is IncidentState.REMEDIATING
    assert [entry.number for entry in dossier.entries] == list(range(1, told + 2))
    assert await db.store.chain_break(case.incident.id) is None


@pytest.mark.usefixtures("only_at_once")
async def test_of_two_new_incidents_of_a_worker_the_intents_own_is_moved(db: Stored) -> None:
    """Nothing was told of either yet; the other one has a person's word, and goes on firing alone."""
    await db.observe(alert("a", server="db1"), alert("b", server="db2"))
    worker = await db.worker()
    (mine, other) = [leased.lease for leased in [await db.store.lease(worker) for _ in "ab"] if leased]
    case, theirs = await db.store.load(mine), await db.store.load(other)
    await commanded(db, other, theirs)
    standing = "SELECT (i.*)::text FROM incidents i WHERE id = $1"
    before = await db.sql(standing, other.incident_id)
    assert isinstance(await db.store.commit_intent(mine, safe(case), change(case)), Attempt)
    assert await db.sql(standing, other.incident_id) == before
    server = case.incident.key["server"]
    await db.observe(ended({"db1": "a", "db2": "b"}[server], server=server))
    again = safe(case, target="postgres/elsewhere")
    assert await db.store.commit_intent(mine, again, change(case)) is LONG_WAY


@pytest.mark.usefixtures("only_at_once")
async def test_what_a_timeline_ends_with_is_kept_of_so_many_incidents(
    db: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those at work last: memory does not grow with every incident, the oldest one takes the long way."""
    monkeypatch.setattr("responder.store.owner._ENDINGS_KEPT", 2)
    await db.observe(*(alert(server=f"db{number}") for number in range(3)))
    worker = await db.worker()
    leases = [leased.lease for leased in [await db.store.lease(worker) for _ in range(3)] if leased]
    cases = [await db.store.load(lease) for lease in leases]
    starts = [
        await db.store.commit_intent(lease, safe(case, target=lease.incident_id.hex), change(case))
        for lease, case in reversed(list(zip(leases, cases, strict=True)))
    ]
    assert [type(start) for start in starts] == [Attempt, Attempt, IntentLost]


@pytest.mark.usefixtures("only_at_once")
async def test_an_intent_counts_from_the_databases_time_not_from_a_process_that_is_behind(
    db: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks the target later believes a "no" only when the effect could not begin any more."""
    lease, case = await db.held()
    behind = timedelta(seconds=0.3)
    calm = ServiceClock.calm
    monkeypatch.setattr(ServiceClock, "calm", lambda self: (calm(self) or case.now) - behind)
    before = await db.one("SELECT service_time()")
    attempt = await db.store.commit_intent(lease, safe(case), change(case))
    assert isinstance(attempt, Attempt)
    assert attempt.intended_at >= before
    assert attempt.start_before - attempt.intended_at == timedelta(seconds=5)


@pytest.mark.usefixtures("only_at_once")
async def test_after_a_jump_of_its_own_clock_a_process_goes_the_long_way(
    db: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until that has settled nothing starts here, whatever the database says of its own clock."""
    lease, case = await db.held()
    monkeypatch.setattr(db.store._clock, "_quiet_until", boottime() + 3600)
    assert await db.store.commit_intent(lease, safe(case), change(case)) is LONG_WAY


@pytest.mark.usefixtures("only_at_once")
async def test_what_was_known_when_it_was_judged_is_in_no_intents_way(db: Stored) -> None:
    """A freeze that stands and was judged, a word of a person that was obeyed, a quiet time that is over."""
    lease, case = await db.held()
    await restrained(db, lease, case)
    await commanded(db, lease, case)
    await db.raw.execute("UPDATE commands SET applied_at = service_time()")
    await db.raw.execute("UPDATE service_clock SET quiet_until = service_time() - interval '1 s'")
    case = await db.store.load(lease)
    [(number,)] = await db.sql("SELECT id FROM restraints")
    judged = safe(case, restraints=(number,))
    assert isinstance(await db.store.commit_intent(lease, judged, change(case)), Attempt)


@pytest.mark.usefixtures("only_at_once")
async def test_an_intent_after_more_or_less_than_was_recorded_takes_the_long_way(db: Stored) -> None:
    """Who says after how many entries it comes is not believed to mean others."""
    lease, case = await db.held()
    assert await db.store.record(lease, case, change(case))
    for after in (0, 2):
        assert await db.store.commit_intent(lease, safe(case), change(case), after=after) is LONG_WAY


async def test_an_intent_that_finds_its_incident_locked_waits_for_it(db: Stored) -> None:
    """The short way does not wait; the long one does, and looks when it has the lock."""
    lease, case = await db.held()
    await db.observe(alert("b"))
    transaction = db.raw.transaction()
    await transaction.start()
    await db.raw.execute("SELECT FROM incidents FOR UPDATE")
    waiting = asyncio.create_task(db.store.commit_intent(lease, safe(case), change(case)))
    await db.somebody_waits()
    await db.raw.execute("UPDATE halt SET halted = true")
    await transaction.commit()
    assert await waiting is IntentLost.HALTED


async def test_the_long_way_of_a_safe_step_spends_no_budget_either(db: Stored) -> None:
    """Its incident is locked for a moment, and then nothing speaks against it."""
    lease, case = await db.held()
    transaction = db.raw.transaction()
    await transaction.start()
    await db.raw.execute("SELECT FROM incidents FOR UPDATE")
    waiting = asyncio.create_task(db.store.commit_intent(lease, safe(case), change(case)))
    await db.somebody_waits()
    await transaction.commit()
    assert isinstance(await waiting, Attempt)
    assert await db.one("SELECT count(*) FROM starts") == 0
