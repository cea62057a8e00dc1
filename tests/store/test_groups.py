"""The parts of an `all:` in the ledger: all targets claimed at once, one attempt in the limits."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from responder.decide.case import AttemptEnd, AttemptVerdict, Case, IntentLost, Quarantine
from responder.model.attempt import Attempt, ElementOutcome, GroupTarget, Intent, Outcome, Verdict
from responder.model.budget import Budgets
from responder.model.incident import IncidentState
from responder.ports import Lease
from tests.support.stored import Stored, alert, change, ended, intent, question, stored

A, B = "postgres/a", "postgres/b"


@pytest_asyncio.fixture
async def db(dsn: str) -> AsyncIterator[Stored]:
    async with stored(dsn) as opened:
        yield opened


def first(case: Case, *targets: str, **more: Any) -> Intent:
    """The intent of the first part, which acts on the first of these targets."""
    name = uuid4()
    group = tuple(
        GroupTarget(target=target, namespace="prod", disruptive=True, newest_known=None)
        for target in sorted(targets)
    )
    return intent(
        case, targets[0], attempt_id=name, all_of=name, part=0, group=group, namespace="prod", **more
    )


def further(case: Case, begun: Attempt, target: str, part: int = 1, **more: Any) -> Intent:
    """The intent of a later part."""
    return intent(case, target, all_of=begun.id, part=part, namespace="prod", **more)


async def commits(db: Stored, lease: Lease, case: Case, wanted: Intent) -> Attempt:
    attempt = await db.store.commit_intent(lease, wanted, change(case, IncidentState.REMEDIATING))
    assert isinstance(attempt, Attempt), attempt
    return attempt


async def is_done(db: Stored, lease: Lease, attempt: Attempt, outcome: Outcome = Outcome.DONE) -> Case:
    case = await db.store.load(lease)
    results = tuple(ElementOutcome(element=one.key, outcome=outcome) for one in attempt.elements)
    end = AttemptEnd(attempt_id=attempt.id, outcome=outcome, results=results)
    assert await db.store.record(lease, case, change(case, end=end))
    return await db.store.load(lease)


async def held_by(db: Stored) -> dict[str, UUID]:
    return {claim.target: claim.attempt_id for claim in await db.store.claims()}


async def test_all_targets_are_claimed_with_the_first_part_and_released_by_the_verdict(db: Stored) -> None:
    """From the first intent to the verdict nobody else gets any of them; each part has that verdict."""
    lease, case = await db.held()
    begun = await commits(db, lease, case, first(case, B, A))
    assert await held_by(db) == {A: begun.id, B: begun.id}
    case = await is_done(db, lease, begun)
    assert (case.holds, [one.id for one in case.parts]) == (True, [begun.id])
    later = await commits(db, lease, case, further(case, begun, A))
    assert await held_by(db) == {A: begun.id, B: begun.id}, "the later part goes on under these"
    case = await is_done(db, lease, later)
    assert [(one.part, one.outcome) for one in case.parts] == [(0, Outcome.DONE), (1, Outcome.DONE)]
    verdict = AttemptVerdict(attempt_id=begun.id, verdict=Verdict.NOT_RECOVERED, breaks_after=2)
    assert await db.store.record(lease, case, change(case, verdict=verdict))
    assert await held_by(db) == {}
    assert {one.verdict for one in (await db.store.load(lease)).parts} == {Verdict.NOT_RECOVERED}
    assert await db.one("SELECT count(*) FROM breakers") == 0, "two parts that failed are one failure"


async def test_one_target_that_is_held_leaves_all_unclaimed(db: Stored) -> None:
    """Nothing of the group is kept where any of its targets is another's, whichever it is."""
    lease, case = await db.held()
    await db.observe(alert(server="db2"))
    other_lease, other = await db.leased()
    await commits(db, lease, case, intent(case, B))
    lost = await db.store.commit_intent(other_lease, first(other, A, B), change(other))
    assert lost is IntentLost.CLAIMED
    assert list(await held_by(db)) == [B]
    assert await db.one("SELECT count(*) FROM starts") == 1


async def test_groups_that_share_targets_neither_block_each_other_nor_overlap(db: Stored) -> None:
    """Two at once, again and again: exactly one has both targets, whichever target each acts on first."""
    lease, case = await db.held()
    await db.observe(alert(server="db2"))
    other_lease, other = await db.leased()
    budgets = Budgets(target=1000, namespace=1000, globally=1000)
    for _ in range(10):
        case, other = await db.store.load(lease), await db.store.load(other_lease)
        wanted = [first(case, A, B, budgets=budgets), first(other, B, A, budgets=budgets, rule="Other")]
        answers = await asyncio.gather(
            db.store.commit_intent(lease, wanted[0], change(case)),
            db.store.commit_intent(other_lease, wanted[1], change(other)),
        )
        (won,) = (one for one in answers if isinstance(one, Attempt))
        assert await held_by(db) == {A: won.id, B: won.id}
        assert IntentLost.CLAIMED in answers
        await db.sql("DELETE FROM claims")
        await db.sql("DELETE FROM starts")
        await db.sql("DELETE FROM attempts")


async def test_a_later_part_needs_the_claim_and_neither_an_alert_nor_a_budget(db: Stored) -> None:
    """What was begun goes on when the alert ends; once a person has its target, nothing of it does."""
    lease, case = await db.held()
    begun = await commits(
        db, lease, case, first(case, A, B, budgets=Budgets(target=1, namespace=2, globally=2))
    )
    case = await is_done(db, lease, begun)
    await db.observe(ended())
    case = await db.store.load(lease)
    spent = Budgets(target=1, namespace=1, globally=1)
    later = await commits(db, lease, case, further(case, begun, B, budgets=spent))
    case = await is_done(db, lease, later)
    quarantine = Quarantine(attempt_id=begun.id, reason="nobody knows")
    assert await db.store.record(lease, case, change(case, quarantine=quarantine))
    assert {(one.target, one.quarantined) for one in await db.store.claims()} == {(A, True), (B, True)}
    case = await db.store.load(lease)
    assert not case.holds
    more = further(case, begun, A, part=2)
    assert await db.store.commit_intent(lease, more, change(case)) is IntentLost.CLAIMED


async def test_a_group_needs_a_start_on_each_target_in_every_budget(db: Stored) -> None:
    """Two disruptive targets in one namespace need two starts there: one left is not enough, two are."""
    lease, case = await db.held()
    tight = first(case, A, B, budgets=Budgets(target=1, namespace=1, globally=9))
    assert await db.store.commit_intent(lease, tight, change(case)) is IntentLost.BUDGET
    for table in ("attempts", "claims", "starts", "timeline"):
        assert await db.one(f"SELECT count(*) FROM {table}") == 0
    enough = first(case, A, B, budgets=Budgets(target=1, namespace=2, globally=2))
    begun = await commits(db, lease, case, enough)
    assert await db.sql("SELECT target, attempt_id FROM starts ORDER BY target") == [
        (A, begun.id),
        (B, begun.id),
    ]


@pytest.mark.parametrize("outcome", [Outcome.DONE, Outcome.NOT_DONE])
async def test_the_parts_on_one_target_are_one_attempt_in_the_limits(db: Stored, outcome: Outcome) -> None:
    """However many parts act on it; a part that never was is not the one that counts."""
    lease, case = await db.held()
    begun = await commits(db, lease, case, first(case, B, A))
    case = await is_done(db, lease, begun)
    attempt = begun
    for part, became in ((1, outcome), (2, Outcome.DONE), (3, Outcome.DONE)):
        attempt = await commits(db, lease, case, further(case, begun, A, part=part))
        case = await is_done(db, lease, attempt, became)
    view = await db.store.ledger_view(question(case, A), case.incident)
    assert sum(past.spent for past in view.history) == 1
    assert view.newest == attempt.id


async def test_what_takes_a_part_back_goes_on_under_the_claim(db: Stored) -> None:
    """The claims stay with the first attempt, so that the parts before it are taken back under them, too."""
    lease, case = await db.held()
    begun = await commits(db, lease, case, first(case, A, B))
    case = await is_done(db, lease, begun)
    undo = further(case, begun, A, part=0, undo_of=begun.id)
    attempt = await commits(db, lease, case, undo)
    assert (attempt.undo_of, attempt.all_of, attempt.part) == (begun.id, begun.id, 0)
    assert await held_by(db) == {A: begun.id, B: begun.id}
    case = await is_done(db, lease, attempt)
    assert case.attempt is not None
    assert case.attempt == attempt.model_copy(
        update={"outcome": Outcome.DONE, "results": case.attempt.results, "ended_at": case.attempt.ended_at}
    )
    assert case.holds
