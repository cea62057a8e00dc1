"""Promises 16, 17 and 19: what waiting leads to, what counts as recovery, and whose clock that goes by."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from responder.clients.boottime import boottime
from responder.model.incident import Hold, IncidentState, Progress, Verification
from responder.model.rule import Rulebook, SqlProbe, Verify
from tests.support.databases import execute
from tests.support.moved_clock import FAKE, set_clock
from tests.support.parts import until
from tests.support.replicas import RULE, Gate, delivered, firing, over, replica, stage
from tests.support.stored import RULE as WITHOUT_STEPS
from tests.support.stored import Stored, alert, change, ended, stored

S = IncidentState
HOURS = timedelta(hours=3)
STABLE_FOR = timedelta(seconds=2)
LEADS_TO: Mapping[S, S] = {
    S.PENDING: S.RECORDED,  # it opens, and its rule has no step
    S.OPEN: S.ESCALATED,
    S.REMEDIATING: S.ESCALATED,
    S.VERIFYING: S.ESCALATED,
    S.AWAITING_APPROVAL: S.ESCALATED,
    S.HELD: S.ESCALATED,
    S.SUPPRESSED: S.RECORDED,  # it is judged anew
    S.TAKEN_OVER: S.TAKEN_OVER,
    S.ESCALATED: S.ESCALATED,
    S.RESOLVED: S.CLOSED,
    S.RECORDED: S.CLOSED,
}
"""Where an incident is when its deadline is over."""
OVER = (S.VERIFYING, S.RESOLVED, S.RECORDED)
"""No alert of these fires any more."""
TOLD = tuple(state for state in LEADS_TO if state not in {S.PENDING, S.SUPPRESSED, S.RESOLVED, S.RECORDED})
"""Of these a person is told."""


PROBED = RULE.model_copy(
    update={
        "verify": Verify(
            alert_resolved_within=timedelta(seconds=3),
            stable_for=STABLE_FOR,
            probes=(
                SqlProbe.model_validate(
                    {"sql": "lag", "connection": "orders", "is": {"op": "==", "value": 0}}
                ),
            ),
        )
    }
)


async def waiting(db: Stored, state: S) -> UUID:
    """An incident in that state whose deadline is over just now."""
    await db.observe(alert(server=state.value))
    if state in OVER:
        await db.observe(ended(server=state.value))
    lease, case = await db.leased()
    now = await db.store.now()
    hold = Hold(guard="claim", reason="held by 7", until=now, since=now, deadline=now)
    known = {"told_members": 1, "told_firing": case.members.firing, "covered_members": 1, "opened_at": now}
    given: dict[str, Any] = {**known, "hold": hold if state is S.HELD else None}
    if state is S.VERIFYING:
        given["verification"] = Verification(started_at=now, deadline=now, no_data="nobody answers")
    late = change(case, state, progress=Progress(**given), deadline=now)
    assert await db.store.record(lease, case, late, ends=True)
    return case.incident.id


async def test_promise_16_no_state_is_for_ever(dsn: str, tmp_path: Path) -> None:
    """An incident in each state, its deadline over: the engine makes the deadline's move, and says so.

    What a person has to hear of is told to one; what then waits has a deadline again, which is to come.
    """
    assert set(LEADS_TO) == set(S) - {S.CLOSED}
    book = Rulebook(rules=(WITHOUT_STEPS.model_copy(update={"verify": PROBED.verify}),))
    async with stored(dsn) as db:
        of = {await waiting(db, state): state for state in LEADS_TO}
        began = await db.store.now()
        await db.store.activate(book, "the test")
        await db.raw.execute("UPDATE incidents SET due_at = deadline, rulebook_hash = $1", book.hash)
        async with replica(dsn, Gate(), tmp_path / "halt", rules=book.rules):
            query = "SELECT id, state, deadline IS NULL OR deadline > $1 FROM incidents"

            async def moved() -> Mapping[S, S]:
                return {of[one]: S(state) for one, state, is_moved in await db.sql(query, began) if is_moved}

            async def all_moved() -> bool:
                return await moved() == LEADS_TO

            with suppress(AssertionError):
                await until(all_moved, "every deadline's move is made", within=60)
            assert await moved() == LEADS_TO
        said = "SELECT string_agg(text, ' ') FROM timeline WHERE incident_id = $1 AND kind = 'escalation'"
        told = {state: await db.one(said, one) for one, state in of.items()}
        assert {state for state, words in told.items() if words} == set(TOLD)
        assert "held by 7" in told[S.HELD]


async def test_promise_17_no_data_is_not_recovery_and_recovery_lasts(dsn: str, tmp_path: Path) -> None:
    """The alert has ended and the probe says nothing: at the deadline a person is told, with no further act.

    Where the probe is good, bad and good again, it is recovered when the second good has lasted.
    """
    async with stage(dsn, tmp_path, replicas=1, rules=(PROBED,)) as on:
        on.gate.open.set()
        intake = on.engines[0].intake
        await intake.take(delivered(firing("mute")))
        await on.are("verifying", 1)
        await intake.take(delivered(over(firing("mute"))))
        await on.are("escalated", 1)
        assert await on.db.sql("SELECT verdict FROM attempts") == [("no_data",)]
        on.world.answers, on.world.asked = [True, False, True], []
        await intake.take(delivered(firing("good")))
        await on.are("verifying", 1)
        await intake.take(delivered(over(firing("good"))))
        await on.are("resolved", 1)
        verdicts = "SELECT verdict, verdict_at FROM attempts WHERE verdict <> 'no_data'"
        [(verdict, at)] = await on.db.sql(verdicts)
        assert verdict == "recovered"
        slack = timedelta(seconds=0.5)
        assert at - on.world.asked[2] > STABLE_FOR - slack


async def test_promise_19_a_jump_of_the_clock_changes_nothing(dsn: str, tmp_path: Path) -> None:
    """The database's clock is set by three hours, ahead and back, under two replicas at work.

    One waits for a halt to end, one is in the midst of its effects: no deadline passes, nobody is told, no
    owner is deposed, nothing is done twice. Service time goes on, and so do both.
    """
    await execute(dsn, FAKE)
    async with stage(dsn, tmp_path, replicas=2, lease_time=timedelta(seconds=3)) as on:
        await on.under_way("acts")
        on.file.touch()
        await on.engines[0].intake.take(delivered(firing("waits")))
        await on.held(1)
        as_before = """SELECT key ->> 'server', state, CASE WHEN state = 'remediating' THEN epoch END
                       FROM incidents ORDER BY 1"""
        before, since, then = await on.db.sql(as_before), boottime(), await on.db.store.now()
        for number, jump in enumerate((HOURS, -HOURS), 1):
            await set_clock(on.db.raw, jump)

            async def taken_back(number: int = number) -> bool:
                return bool(await on.db.one("SELECT jumps FROM service_clock") == number)

            await until(taken_back, "the jump is taken back", within=60)
            passed: datetime = await on.db.one("SELECT service_time()")
            assert abs((passed - then).total_seconds() - (boottime() - since)) < 10
            assert await on.db.sql(as_before) == before
        assert await on.db.one("SELECT count(*) FROM timeline WHERE kind = 'escalation'") == 0
        assert [(one.target, one.element) for one in on.gate.begun] == [("acts", "first")]
        on.gate.open.set()
        on.file.unlink()
        await on.are("verifying", 2)
        done = [(one.attempt, one.element) for one in on.gate.begun]
        assert len(done) == len(set(done))
        assert on.gate.elements("second") >= {"waits"}
