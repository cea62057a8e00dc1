"""Which level is told next, when it is looked at again, and what a change of state says: by themselves."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from responder.decide.case import Terms
from responder.decide.changes.base import NAMED, attempted, by_the_page, go_on, moved, named, soon, stay
from responder.decide.levels import next_level, told_again_at, told_at_level
from responder.model.attempt import Outcome
from responder.model.incident import IncidentState, Progress
from responder.model.policy import EscalationPolicy, PolicyLevel
from responder.model.severity import MANUAL_TERMS
from responder.model.timeline import EntryKind
from tests.support.dossiers import an_attempt
from tests.support.virtual import START, incident
from tests.unit.test_next_move import LATER, TICK, case

LEVELS = EscalationPolicy(levels=tuple(PolicyLevel(channels=(name,)) for name in ("chat", "phone", "boss")))
TERMS = Terms(
    severities={each: terms.model_copy(update={"policy": "usual"}) for each, terms in MANUAL_TERMS.items()},
    policies={"usual": LEVELS},
)
S = IncidentState
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
"""How long a person who took over has until they are reminded, and again until the next level hears."""
INTERVAL = timedelta(minutes=30)
"""How long a level of P1 has to acknowledge."""


def level(state: IncidentState, now: datetime = START, **progress: Any) -> int:
    """The level that people are told at."""
    return next_level(incident(state, progress=Progress(**progress)), now, TERMS)


def test_a_level_beyond_the_policy_stays() -> None:
    """The policy has become shorter meanwhile: nobody is told one level down."""
    assert level(S.ESCALATED) == 1
    assert level(S.ESCALATED, escalations=99) == 99


def test_the_first_to_hear_of_it_are_those_of_the_first_level() -> None:
    """Whoever acknowledged its page, or took it over before."""
    assert level(S.OPEN, acknowledged_by="ann", told_at=START) == 1
    assert level(S.TAKEN_OVER) == 1


@pytest.mark.parametrize(("told", "then"), [(1, 2), (2, 3), (3, 3)])
def test_a_level_that_nobody_answered_goes_up_by_one_when_its_time_is_over(told: int, then: int) -> None:
    """Not a moment before, nor where somebody has acknowledged. The last level is told again."""
    since: dict[str, Any] = {"escalations": told, "level_since": START}
    assert level(S.ESCALATED, START + INTERVAL - TICK, **since) == told
    assert level(S.ESCALATED, START + INTERVAL, **since) == then
    assert level(S.ESCALATED, START + INTERVAL, acknowledged_by="ann", **since) == told
    assert level(S.ESCALATED, START, escalations=told) == then, "nobody knows since when"


TOLD = START + MINUTE
"""When whoever took over at the start was reminded."""
REMINDED = [
    ({}, 1),
    ({"told_at": START}, 1),
    ({"told_at": TOLD}, 2),
    ({"told_at": TOLD, "acknowledged_at": TOLD}, 1),
    ({"told_at": TOLD, "acknowledged_at": TOLD + MINUTE}, 1),
    ({"told_at": TOLD, "acknowledged_at": TOLD - TICK}, 2),
]


@pytest.mark.parametrize(("said", "next_one"), REMINDED)
def test_who_took_over_is_reminded_once_before_the_next_level(said: dict[str, Any], next_one: int) -> None:
    """Told since then, nothing said since that, and as long again is over."""
    assert level(S.TAKEN_OVER, TOLD + HOUR - TICK, escalations=1, **said) == 1
    assert level(S.TAKEN_OVER, TOLD + HOUR, escalations=1, **said) == next_one


def test_a_level_has_its_time_from_when_it_was_first_told() -> None:
    """Told again at the same level it goes on; another level, or an acknowledged one, begins anew."""
    one = incident(S.ESCALATED, progress=Progress(escalations=1, level_since=START))
    told = {"escalations": 1, "level_since": START, "told_at": LATER, "page_at": None}
    assert told_at_level(one, 1, LATER) == told
    assert told_at_level(one, 2, LATER) == {**told, "escalations": 2, "level_since": LATER}
    known = incident(S.ESCALATED, progress=Progress(escalations=1, level_since=START, acknowledged_by="ann"))
    assert told_at_level(known, 1, LATER)["level_since"] == LATER
    fresh = incident(S.ESCALATED, progress=Progress(escalations=1))
    assert told_at_level(fresh, 1, LATER)["level_since"] == LATER


AGAIN = [
    (1, START, START + INTERVAL),
    (1, START + INTERVAL - TICK, START + INTERVAL),
    (1, START + INTERVAL, START + 2 * INTERVAL),
    (1, START + HOUR, START + HOUR + INTERVAL),
    (2, START + MINUTE, START + MINUTE + INTERVAL),
]


@pytest.mark.parametrize(("at_level", "now", "again"), AGAIN)
def test_people_hear_of_it_again_when_their_level_has_had_its_time(
    at_level: int, now: datetime, again: datetime
) -> None:
    """What is told meanwhile moves nothing; a level whose time is over, or another one, has it anew."""
    one = incident(S.ESCALATED, progress=Progress(escalations=1, level_since=START))
    since = told_at_level(one, at_level, now)["level_since"]
    assert told_again_at(one, since, now, TERMS) == again


def test_the_next_look_is_no_later_than_the_page_and_the_deadline() -> None:
    """What is not looked at again at all stays so; a deadline that is past is now."""
    assert stay(case(S.OPEN, page_at=START), None).due_at is None
    assert stay(case(S.OPEN, page_at=START), LATER).due_at == START
    assert go_on(case(S.HELD), START, TERMS, "why").deadline == START + TERMS.open_deadline
    paged = Progress(page_at=LATER)
    assert by_the_page(S.OPEN, paged, START) == START
    assert by_the_page(S.OPEN, paged, LATER + MINUTE) == LATER
    assert by_the_page(S.ESCALATED, paged, LATER + MINUTE) == LATER + MINUTE
    assert soon(case(S.OPEN, deadline=None), START, MINUTE) == START + MINUTE
    assert soon(case(S.OPEN), START, MINUTE) == START + MINUTE
    assert soon(case(S.OPEN), LATER - TICK, MINUTE) == LATER
    assert soon(case(S.OPEN), LATER + MINUTE, MINUTE) == LATER + MINUTE


def test_a_change_of_state_says_from_where_to_where_and_why() -> None:
    """In words and in facts."""
    entry = moved(case(S.OPEN), S.AWAITING_APPROVAL, "a person is asked")
    assert (entry.kind, entry.text) == (EntryKind.STATE, "Awaiting approval: a person is asked")
    assert entry.facts == {"from": "open", "to": "awaiting_approval", "why": "a person is asked"}


def test_an_attempt_counts_for_the_ladder_that_it_was_made_in() -> None:
    """One from before it opened again does not; where it never opened any does."""
    attempt = an_attempt(START, Outcome.DONE, None)
    assert attempted(case(S.OPEN, attempt=attempt))
    assert attempted(case(S.OPEN, attempt=attempt, opened_at=None))
    assert not attempted(case(S.OPEN, attempt=attempt, opened_at=START + TICK))
    assert not attempted(case(S.OPEN))


@pytest.mark.parametrize(
    ("elements", "words"),
    [
        ((), "0 elements"),
        (("a",), "1 element: a"),
        (("a", "b"), "2 elements: a; b"),
        (("a",) * NAMED, f"20 elements: {'; '.join('a' * NAMED)}"),
        (("a",) * (NAMED + 1), f"21 elements: {'; '.join('a' * NAMED)}; and 1 more"),
    ],
)
def test_elements_are_counted_and_the_first_ones_named(elements: tuple[str, ...], words: str) -> None:
    """Of more than twenty it says how many are not named."""
    assert named(elements) == words
