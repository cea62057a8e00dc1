"""What the umbrella incident tells of a storm, and for how long what is part of it rests."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from responder.decide.case import Case, Terms
from responder.decide.changes import still_part_of_storm, storm_grew, storm_told
from responder.model.incident import IncidentState
from responder.model.policy import NoticeKind
from responder.model.storm import Storm
from responder.model.timeline import EntryKind
from tests.support.virtual import START
from tests.unit.test_next_move import LATER, TICK, case

TERMS = Terms()
S = IncidentState
SEE = UUID(int=7)
INTERVAL = timedelta(minutes=30)
"""The update interval of P1, which the umbrella incident is of."""


def umbrella(state: IncidentState = S.ESCALATED, storm: Storm | None = None, **progress: Any) -> Case:
    """The umbrella incident of a storm that rages, or of that one."""
    rages = Storm(openings=TERMS.storm.openings, umbrella=SEE, covered={"Disk": 3}, still_firing=2)
    return case(state, **progress).model_copy(update={"storm": storm or rages})


COVERED = [
    ({}, 0, "no incident is part of it yet"),
    ({"Disk": 1}, 1, "1 incident is part of it (Disk 1), 1 still fire"),
    ({"A": 1, "C": 2, "B": 2}, 4, "5 incidents are part of it (B 2, C 2, A 1), 4 still fire"),
    (dict.fromkeys("EDCBA", 1), 5, "5 incidents are part of it (A 1, B 1, C 1, D 1, E 1), 5 still fire"),
    (
        dict.fromkeys("GFEDCBA", 1),
        7,
        "7 incidents are part of it (A 1, B 1, C 1, D 1, E 1 and 2 more rules), 7 still fire",
    ),
]


@pytest.mark.parametrize(("covered", "fire", "words"), COVERED)
def test_a_storm_names_the_rules_with_the_most_incidents(
    covered: dict[str, int], fire: int, words: str
) -> None:
    """The first five by number, then by name, and how many there are beside; the facts have all of them."""
    storm = Storm(openings=TERMS.storm.openings, umbrella=SEE, covered=covered, still_firing=fire)
    change = storm_grew(umbrella(storm=storm), START, TERMS)
    (entry,) = change.entries
    assert (entry.kind, entry.text) == (EntryKind.ALERT, words)
    assert entry.facts == {"incidents": covered, "still_firing": fire}
    told = storm_told(umbrella(storm=storm), START, TERMS)
    assert told.notices[0].text.endswith(f"; {words}")
    for one in (change, told):
        assert (one.progress.told_members, one.progress.told_firing) == (sum(covered.values()), fire)


def test_a_storm_that_still_fires_says_that_it_is_not_over() -> None:
    """It says how many make a storm only while as many open."""
    (rages,) = storm_told(umbrella(), START, TERMS).notices
    assert "50 incidents or more opened within 5m; only P0 and P1 act; 3 incidents are" in rages.text
    fewer = Storm(openings=TERMS.storm.openings - 1, umbrella=SEE, covered={"Disk": 60}, still_firing=50)
    (lasts,) = storm_told(umbrella(storm=fewer), START, TERMS, again=True).notices
    assert (rages.kind, lasts.kind) == (NoticeKind.ESCALATED, NoticeKind.AGAIN)
    assert "P1 Hit: the storm is not over; 60 incidents are" in lasts.text


def test_a_new_storm_takes_back_what_was_said_of_the_last_one() -> None:
    """Who acknowledged that one has not heard of this one; told again, what they said stands."""
    said: dict[str, Any] = {"acknowledged_by": "ann", "acknowledged_at": START, "outcome": "over"}
    new = storm_told(umbrella(S.RESOLVED, escalations=1, **said), LATER, TERMS).progress
    assert (new.acknowledged_by, new.acknowledged_at, new.outcome) == (None, None, None)
    assert (new.told_members, new.told_firing, new.level_since) == (3, 2, LATER)
    again = storm_told(umbrella(S.ESCALATED, escalations=1, **said), LATER, TERMS, again=True).progress
    assert (again.acknowledged_by, again.acknowledged_at) == ("ann", START)


def test_the_umbrella_incident_is_looked_at_again_soon_and_no_later_than_it_is_told_again() -> None:
    """What becomes of the storm is counted every half a minute."""
    every, told = TERMS.storm.look_every, umbrella(escalations=1, level_since=START)
    for left in (every - TICK, every, every + TICK):
        change = storm_told(told, START + INTERVAL - left, TERMS, again=True)
        assert change.deadline == START + INTERVAL
        assert change.due_at == min(change.deadline, change.deadline - left + every)
    assert storm_grew(umbrella(deadline=None), START, TERMS).due_at == START + every
    assert storm_grew(umbrella(), LATER - TICK, TERMS).due_at == LATER


def test_what_is_part_of_a_storm_is_kept_as_long_as_it_lasts() -> None:
    """Looked at again after the storm's time, or a record's where that is shorter; what joins is told."""
    part = case(S.RECORDED, total=4, covered_members=1, part_of=SEE)
    change = still_part_of_storm(part, START, TERMS)
    assert (change.state, change.entries, change.progress.covered_members) == (S.RECORDED, (), 4)
    assert (change.due_at, change.deadline) == (START + TERMS.storm.within, START + TERMS.recorded_for)
    short = Terms(recorded_for=timedelta(minutes=1))
    assert still_part_of_storm(part, START, short).due_at == START + timedelta(minutes=1)
