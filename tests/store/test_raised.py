"""What time alone makes of an incident, over processes: the moment is stored, whoever takes it up has it."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest_asyncio

from responder.decide.case import Terms
from responder.decide.run_on import run_on
from responder.model.incident import IncidentState
from responder.model.rule import Raise, Rulebook
from responder.model.severity import Severity
from tests.support.stored import RULE, Stored, alert, stored

HOUR = timedelta(hours=1)
RISES = Rulebook(
    rules=(RULE.model_copy(update={"raises": (Raise(after=HOUR, to=Severity.P1),), "escalate": True}),)
)
TERMS = Terms()


@pytest_asyncio.fixture
async def db(dsn: str) -> AsyncIterator[Stored]:
    async with stored(dsn) as opened:
        await opened.store.activate(RISES, "the test")
        yield opened


async def test_another_process_raises_it_when_it_is_time(db: Stored, dsn: str) -> None:
    """Opened by one that is gone by then: it is due at that moment, by no timer, and not before."""
    await db.observe(alert())
    await db.raw.execute("UPDATE incidents SET rulebook_hash = $1", RISES.hash)
    lease, case = await db.leased()
    begun = run_on(case, TERMS).change
    assert begun is not None
    assert begun.state is IncidentState.OPEN
    later = begun.model_copy(update={"due_at": case.now + HOUR})  # as whatever waits longer is due
    assert await db.store.record(lease, case, later, ends=True)
    assert await db.store.lease(await db.worker()) is None, "nothing is due before"

    await db.raw.execute("UPDATE service_clock SET shift = shift + interval '1 h 1 s'")
    async with stored(dsn) as another:  # a process that has heard of nothing
        await another.store.activate(RISES, "the test")
        next_lease, due = await another.leased()
        assert (due.incident.id, due.incident.severity) == (case.incident.id, Severity.P2)
        move = run_on(due, TERMS)
        assert move.change is not None
        assert move.change.severity is Severity.P1
        assert await another.store.record(next_lease, due, move.change, ends=True)
    assert await db.one("SELECT severity FROM incidents") == "P1"
    told = await db.one("SELECT string_agg(text, '; ' ORDER BY number) FROM timeline")
    assert "it is P1 now, no longer P2: not over 1h after it opened (raise)" in told


async def test_a_severity_that_moved_meanwhile_is_not_raised_unseen(db: Stored) -> None:
    """A worse alert has joined since it was looked at: nothing is written, and it is decided anew."""
    await db.observe(alert())
    await db.raw.execute("UPDATE incidents SET rulebook_hash = $1", RISES.hash)
    lease, case = await db.leased()
    opened = case.incident.progress.model_copy(
        update={"opened_at": case.now - HOUR, "raise_from": case.now - HOUR, "told_severity": Severity.P2}
    )
    held = case.incident.model_copy(update={"state": IncidentState.OPEN, "progress": opened})
    change = run_on(case.model_copy(update={"incident": held}), TERMS).change
    assert change is not None
    assert change.severity is Severity.P1
    await db.observe(alert("worse"), severity=Severity.P0)
    assert not await db.store.record(lease, case, change, ends=True)
    assert await db.one("SELECT severity FROM incidents") == "P0"
