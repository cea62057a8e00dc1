"""Decisions that follow from each other without a look at the world, as one change."""

from datetime import timedelta
from uuid import uuid4

import pytest

from responder.decide.case import AttemptEnd, AttemptVerdict, Case, Notice, Quarantine, TakeStep, Terms
from responder.decide.run_on import has_to_last, run_on
from responder.model.attempt import Outcome
from responder.model.incident import IncidentState, Progress
from responder.model.policy import NoticeKind
from responder.model.timeline import EntryKind
from tests.support.virtual import START, incident, ladder, members

TERMS = Terms()


def case(state: IncidentState, firing: int = 1, total: int = 1, **progress: object) -> Case:
    """A case that is due."""
    moved = Progress.model_validate({"told_members": 1, "told_firing": 1, "opened_at": START, **progress})
    later = START + timedelta(minutes=5)
    one = incident(state, progress=moved, deadline=START if state is IncidentState.PENDING else later)
    return Case(now=START, incident=one, rule=ladder(), current=ladder(), members=members(firing, total))


def test_an_opening_is_recorded_while_the_first_step_looks() -> None:
    """Pending, its wait over: the change opens it, and the case after it takes the first step."""
    opening = run_on(case(IncidentState.PENDING), TERMS)
    assert opening.change is not None
    assert opening.case is not None
    assert (opening.change.state, opening.move) == (IncidentState.OPEN, TakeStep(index=0))
    assert opening.case.incident.timeline_length == len(opening.change.entries)


ATTEMPT = uuid4()


@pytest.mark.parametrize(
    "more",
    [
        {"notices": (Notice(kind=NoticeKind.RESOLVED, level=0, text="look"),)},
        {"end": AttemptEnd(attempt_id=ATTEMPT, outcome=Outcome.DONE, results=())},
        {"verdict": AttemptVerdict(attempt_id=ATTEMPT)},
        {"quarantine": Quarantine(attempt_id=ATTEMPT, reason="nobody knows")},
        {"command": uuid4()},
        {"told_findings": (uuid4(),)},
        {"rulebook_hash": "abc"},
        {"quiet": True},
    ],
    ids=lambda more: next(iter(more)),
)
def test_what_others_go_by_is_on_disk_before_anything_follows(more: dict[str, object]) -> None:
    """Words to people, the ledger, a person's command, what gives the lease up; not what only goes on."""
    opening = run_on(case(IncidentState.PENDING), TERMS).change
    assert opening is not None
    assert not has_to_last(opening, ends=False)
    assert has_to_last(opening, ends=True)
    assert has_to_last(opening.model_copy(update=more), ends=False)


def test_news_and_the_wait_after_it_are_one_change() -> None:
    """An escalated incident with an alert less tells of it, and waits for its deadline, in one record."""
    told = run_on(case(IncidentState.ESCALATED, 1, 1, told_firing=2, covered_members=1), TERMS)
    assert told.change is not None
    assert [entry.kind for entry in told.change.entries] == [EntryKind.ALERT]
    assert told.change.due_at == START + timedelta(minutes=5)


def test_what_touches_the_ledger_ends_the_run() -> None:
    """Where no member fires any more the incident resolves; what follows is decided from the store's word."""
    ended = run_on(case(IncidentState.OPEN, 0, 1, told_firing=1), TERMS)
    assert ended.change is not None
    assert (ended.change.state, ended.change.quiet) == (IncidentState.RESOLVED, True)
    assert ended.change.entries[0].kind is EntryKind.ALERT
    assert ended.case is None
