"""What is decided of the storm's umbrella incident: each state, each deadline, what it tells and when."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from responder.decide.case import Apply, Case, Change, Terms, Wait
from responder.decide.umbrella import umbrella_move
from responder.model.incident import IncidentState, Progress
from responder.model.policy import NoticeKind
from responder.model.storm import UMBRELLA, Storm
from tests.support.virtual import START, incident, members

TERMS = Terms()
S = IncidentState
DEADLINE = START + timedelta(minutes=15)
LOOK = TERMS.storm.look_every
MOMENT = timedelta(milliseconds=1)
RAGES = Storm(openings=TERMS.storm.openings, umbrella=UUID(int=7), covered={"Disk": 40}, still_firing=40)
GOES_ON = Storm(umbrella=UUID(int=7), covered={"Disk": 60}, still_firing=TERMS.storm.openings)
"""Few open any more, and as many still fire as make a storm."""
OVER = Storm(covered={"Disk": 60})
TOLD = {"told_members": 60, "escalations": 1, "level_since": START, "taken_over_by": "ann"}


def case(state: IncidentState, storm: Storm, deadline: datetime | None = DEADLINE, **progress: Any) -> Case:
    """The umbrella incident in that state."""
    told = Progress(**{**TOLD, **progress})
    given = incident(state, rule=UMBRELLA.name, key={}, deadline=deadline, progress=told)
    none = members(firing=0, total=0)
    both = {"rule": UMBRELLA, "current": UMBRELLA}
    return Case(now=START, incident=given, **both, members=none, holds=False, storm=storm)


def change(it: Case, now: datetime = START) -> Change:
    """What is changed of it at that moment."""
    found = umbrella_move(it, now, TERMS)
    assert isinstance(found, Apply), found
    return found.change


def words(told: Change) -> list[NoticeKind]:
    """What people are told by it."""
    return [notice.kind for notice in told.notices]


@pytest.mark.parametrize(
    ("state", "storm", "until", "then", "told"),
    [
        (S.PENDING, RAGES, DEADLINE, S.ESCALATED, [NoticeKind.ESCALATED]),
        (S.ESCALATED, RAGES, START + LOOK, S.ESCALATED, [NoticeKind.AGAIN]),
        (S.ESCALATED, GOES_ON, START + LOOK, S.ESCALATED, [NoticeKind.AGAIN]),
        (S.TAKEN_OVER, RAGES, START + LOOK, S.TAKEN_OVER, [NoticeKind.REMINDER]),
        (S.TAKEN_OVER, GOES_ON, START + LOOK, S.TAKEN_OVER, [NoticeKind.REMINDER]),
        (S.RESOLVED, OVER, DEADLINE, S.CLOSED, []),
        (S.RECORDED, OVER, DEADLINE, S.CLOSED, []),
        (S.RESOLVED, GOES_ON, DEADLINE, S.CLOSED, []),
    ],
)
def test_each_state_waits_until_its_deadline_and_makes_its_move_then(
    state: IncidentState, storm: Storm, until: datetime, then: IncidentState, told: list[NoticeKind]
) -> None:
    """It is looked at again meanwhile where the storm may end; one without a deadline is late already."""
    assert umbrella_move(case(state, storm), START, TERMS) == Wait(until=until)
    for late in (change(case(state, storm), DEADLINE), change(case(state, storm, None))):
        assert (late.state, words(late)) == (then, told)


@pytest.mark.parametrize("state", [S.ESCALATED, S.TAKEN_OVER])
def test_no_look_outlives_the_deadline(state: IncidentState) -> None:
    """A moment before it, the next look is at it."""
    assert umbrella_move(case(state, RAGES), DEADLINE - MOMENT, TERMS) == Wait(until=DEADLINE)


@pytest.mark.parametrize("state", [S.ESCALATED, S.TAKEN_OVER])
def test_when_the_storm_is_over_it_is_resolved_before_anybody_is_told_again(state: IncidentState) -> None:
    """Also at its deadline: nobody is paged for what has ended."""
    for at in (START, DEADLINE):
        over = change(case(state, OVER), at)
        assert (over.state, words(over)) == (S.RESOLVED, [NoticeKind.RESOLVED])


@pytest.mark.parametrize("state", [S.RESOLVED, S.RECORDED])
def test_a_new_storm_is_told_by_the_same_incident(state: IncidentState) -> None:
    """Also at the moment it would be closed."""
    for at in (START, DEADLINE):
        again = change(case(state, RAGES), at)
        assert (again.state, words(again)) == (S.ESCALATED, [NoticeKind.ESCALATED])


@pytest.mark.parametrize(
    "state", [S.OPEN, S.REMEDIATING, S.VERIFYING, S.AWAITING_APPROVAL, S.HELD, S.SUPPRESSED]
)
def test_it_has_no_step_to_go_on_with(state: IncidentState) -> None:
    """Handed back, or wherever automation would work on it: people are told, and nothing is done."""
    for storm in (RAGES, OVER):
        told = change(case(state, storm))
        assert (told.state, words(told)) == (S.ESCALATED, [NoticeKind.ESCALATED])


def test_what_is_closed_stays_closed() -> None:
    """A new storm has an incident of its own."""
    assert umbrella_move(case(S.CLOSED, RAGES, None), START, TERMS) == Wait(until=None)


@pytest.mark.parametrize(
    ("told", "part", "grew"),
    [(0, 0, False), (0, 1, False), (0, 2, True), (1, 2, True), (3, 5, False), (3, 6, True)],
)
def test_it_is_told_in_the_timeline_when_it_has_doubled(told: int, part: int, *, grew: bool) -> None:
    """Where nothing was told yet, from two incidents on; nothing that nobody is part of is told at all."""
    covered = {"Disk": part} if part else {}
    found = umbrella_move(
        case(S.ESCALATED, RAGES.model_copy(update={"covered": covered}), told_members=told), START, TERMS
    )
    if not grew:
        assert found == Wait(until=START + LOOK)
        return
    assert isinstance(found, Apply)
    assert (found.change.state, found.change.notices) == (S.ESCALATED, ())
    assert (found.change.progress.told_members, len(found.change.entries)) == (part, 1)
