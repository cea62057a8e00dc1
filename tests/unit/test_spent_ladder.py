"""Where no step is left people read what happened to the last one."""

from typing import Any

import pytest

from responder.decide.changes import judged
from responder.decide.changes.attempts import nothing_to_do
from responder.decide.changes.spent import found_nothing, refused, spent
from responder.decide.guards import judge
from responder.model.attempt import Attempt, Outcome, Verdict
from responder.model.guard import Guard, GuardVerdict, Ruling
from responder.model.incident import IncidentState
from responder.model.timeline import EntryDraft, EntryKind
from tests.support.dossiers import ATTEMPT, an_attempt
from tests.support.virtual import START, ladder
from tests.unit.test_guards import TERMS, facts
from tests.unit.test_next_move import TICK, case

WHAT = "postgres.cancel_queries on postgres/orders"
TOO_MANY = "3 sessions found, at most 1 allowed"
NO = GuardVerdict(guard=Guard.FLOOR, ruling=Ruling.REFUSE, reason=TOO_MANY)


def ran(outcome: Outcome = Outcome.DONE, verdict: Verdict | None = Verdict.NOT_RECOVERED) -> Attempt:
    """An attempt of the first step."""
    named = {"action": "postgres.cancel_queries", "target": "postgres/orders"}
    return an_attempt(START, outcome, verdict).model_copy(update=named)


EARLIER = ran().model_copy(update={"intended_at": START - TICK})
"""One of the ladder before this one, that opened at the start."""
REFUSED_FIRST = refused(0, "postgres.cancel_queries", "postgres/orders", NO)
REFUSED_NEXT = refused(1, "postgres.cancel_queries", "postgres/orders", NO)
UNNEEDED = refused(
    1,
    "postgres.cancel_queries",
    "postgres/orders",
    NO.model_copy(update={"guard": Guard.CONDITION, "reason": "not needed: 0 wait"}),
)
NOTHING = found_nothing(0, "postgres.cancel_queries", "postgres/orders")


@pytest.mark.parametrize(
    ("steps", "attempt", "passed_over", "told"),
    [
        (1, None, REFUSED_FIRST, f"nothing was done: {WHAT} was refused ({TOO_MANY}); no step is left"),
        (1, None, NOTHING, f"nothing was done: {WHAT} found nothing to do; no step is left"),
        (1, ran(), None, f"{WHAT} did not help; no step is left"),
        (2, ran(), REFUSED_NEXT, f"{WHAT} did not help; {WHAT} was refused ({TOO_MANY}); no step is left"),
        (2, ran(), UNNEEDED, f"{WHAT} did not help; {WHAT} was not needed (0 wait); no step is left"),
        (2, ran(), REFUSED_FIRST, f"{WHAT} did not help; no step is left"),
        (
            2,
            ran(verdict=Verdict.RECOVERED),
            REFUSED_NEXT,
            f"it came back after {WHAT} had solved it; {WHAT} was refused ({TOO_MANY}); no step is left",
        ),
        (
            1,
            ran(Outcome.DONE, None).model_copy(update={"undo_of": ATTEMPT}),
            None,
            f"what was done did not help, and {WHAT} took it back; no step is left",
        ),
        (1, ran(verdict=Verdict.NO_DATA), None, f"nobody can say whether {WHAT} helped; no step is left"),
        (1, ran(verdict=None), None, f"whether {WHAT} helped was not verified; no step is left"),
        (1, EARLIER, None, "nothing was done; no step is left"),
        (1, EARLIER, REFUSED_FIRST, f"nothing was done: {WHAT} was refused ({TOO_MANY}); no step is left"),
        (1, ran(Outcome.NOT_DONE, None), None, f"{WHAT} found nothing left to do; no step is left"),
        (
            1,
            ran(verdict=Verdict.RECOVERED),
            None,
            f"it came back after {WHAT} had solved it; its only step is spent",
        ),
        (
            2,
            ran(verdict=Verdict.RECOVERED),
            None,
            f"it came back after {WHAT} had solved it; no step is left",
        ),
    ],
)
def test_a_spent_ladder_says_what_happened_to_it(
    steps: int, attempt: Attempt | None, passed_over: Any, told: str
) -> None:
    """A refusal with its reason, an attempt with what came of it; nothing older is told."""
    over = case(
        IncidentState.OPEN,
        rule={"steps": ladder(steps=steps).steps},
        attempt=attempt,
        step=steps,
        passed_over=passed_over,
    )
    assert spent(over) == told


def test_a_step_that_its_condition_left_out_was_not_needed() -> None:
    """Nobody refused it; every other guard did."""
    needless = NO.model_copy(update={"guard": Guard.CONDITION, "reason": "not needed: 0 wait"})
    assert refused(1, "a", "t", needless).words == "a on t was not needed (0 wait)"
    assert refused(1, "a", None, NO).words == f"a on no target was refused ({TOO_MANY})"


def test_a_refused_step_is_kept_until_the_ladder_is_over() -> None:
    """What the guard said of it reaches the page of a ladder that ends by it."""
    found = facts(floor=TOO_MANY)
    change = judged(case(IncidentState.OPEN), 0, found, judge(found, TERMS), TERMS)
    passed_over = change.progress.passed_over
    assert passed_over == refused(0, found.action, found.target, NO)
    assert (passed_over.step, passed_over.guard) == (0, "floor")
    assert refused(0, found.action, None, NO).words.startswith("test.act on no target was refused")


@pytest.mark.parametrize(
    ("facts_told", "target"), [({"target": "postgres/orders"}, "postgres/orders"), ({}, None)]
)
def test_a_step_that_found_nothing_is_kept_until_the_ladder_is_over(
    facts_told: dict[str, Any], target: str | None
) -> None:
    """That it found nothing reaches the page of a ladder that ends by it, as a refusal does."""
    entry = EntryDraft(kind=EntryKind.JUDGED, text="judged", facts=facts_told)
    opened = case(IncidentState.OPEN)
    change = nothing_to_do(opened, 0, entry, START, TERMS)
    assert change.progress.passed_over == found_nothing(0, opened.rule.steps[0].action, target)
