"""How a ladder ends: who is told what, what is left behind, and when it is looked at again."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from responder.decide.case import Case, Quarantine, Terms
from responder.decide.changes.endings import (
    closed,
    escalated,
    failed,
    part_of_storm,
    recorded,
    recorded_in_shadow,
    reminded,
    resolved,
    told_and_goes_on,
)
from responder.decide.levels import next_level, told_at_level
from responder.model.approval import Question
from responder.model.attempt import Outcome
from responder.model.by_hand import ByHand
from responder.model.guard import Guard
from responder.model.incident import IncidentState, Verification
from responder.model.policy import NoticeKind
from responder.model.severity import Severity
from responder.model.storm import Storm
from responder.model.timeline import EntryDraft, EntryKind
from tests.support.dossiers import ATTEMPT, an_attempt
from tests.support.virtual import START
from tests.unit.test_attempt_changes import APPROVED
from tests.unit.test_next_move import LATER, TICK, case
from tests.unit.test_state_table import hold

TERMS = Terms()
S = IncidentState
NOTE = EntryDraft(kind=EntryKind.JUDGED, text="judged", facts={})
RUNS = Verification(started_at=START, deadline=LATER)
QUESTION = Question(
    id=uuid4(),
    step=0,
    consent=APPROVED.consent,
    guards=(Guard.AUTONOMY,),
    reasons=("a person must approve (the rule)",),
    asked_at=START,
    times=1,
)
UNDER_WAY: dict[str, Any] = {
    "hold": hold(),
    "approval": APPROVED,
    "verification": RUNS,
    "question": QUESTION,
}
OVER = {"hold": None, "approval": None, "verification": None, "question": None}


def of(progress: Any, *names: str) -> dict[str, Any]:
    """Some of what a progress says."""
    return {name: getattr(progress, name) for name in names}


def test_a_move_that_failed_is_made_again_until_its_state_is_over() -> None:
    """Soon, with the problem in the timeline; at the deadline a person hears of it."""
    change = failed(case(S.OPEN), LATER - 60 * TERMS.hold_every, TERMS, "no route")
    assert (change.state, change.due_at) == (S.OPEN, LATER - 59 * TERMS.hold_every)
    assert change.entries[0].kind is EntryKind.ERROR
    assert (change.entries[0].text, change.entries[0].facts) == (
        "a move failed: no route",
        {"problem": "no route"},
    )
    assert failed(case(S.OPEN), LATER - TICK, TERMS, "no route").state is S.OPEN
    assert failed(case(S.OPEN, deadline=None), LATER, TERMS, "no route").state is S.OPEN
    over = failed(case(S.OPEN), LATER, TERMS, "no route")
    assert (over.state, over.entries[0]) == (S.ESCALATED, change.entries[0])
    assert "it cannot go on: no route" in over.notices[0].text


def test_a_page_that_failed_is_tried_with_the_next_look() -> None:
    """One that is not due yet stays when it is; where there is none there is none."""
    due = failed(case(S.OPEN, page_at=START), START, TERMS, "no route")
    assert due.progress.page_at == due.due_at == START + TERMS.hold_every
    later = START + timedelta(minutes=1)
    assert failed(case(S.OPEN, page_at=later), START, TERMS, "no route").progress.page_at == later
    assert failed(case(S.OPEN), START, TERMS, "no route").progress.page_at is None


def test_an_escalation_ends_what_was_under_way_and_tells() -> None:
    """Its reason stands in the incident, in the timeline and in the notice; it comes again by severity."""
    given = case(S.OPEN, total=3, covered_members=1, take_back=ATTEMPT, **UNDER_WAY)
    change = escalated(given, START, "the floor", TERMS, NOTE)
    assert of(change.progress, *OVER) == OVER
    assert change.progress.take_back is None
    assert (change.progress.escalation_reason, change.progress.covered_members) == ("the floor", 3)
    deadline = START + TERMS.severities[Severity.P1].update_interval
    assert change.deadline == change.due_at == deadline
    assert change.entries[0] == NOTE
    assert change.entries[1].text == "Escalated (level 1): the floor"
    assert change.entries[1].facts == {"level": 1, "reason": "the floor", "severity": "P1"}
    (notice,) = change.notices
    assert (notice.kind, notice.level, notice.text) == (NoticeKind.ESCALATED, 1, "P1 Hit: the floor")
    level = next_level(given.incident, START, TERMS)
    expected = told_at_level(given.incident, level, START)
    assert expected
    assert of(change.progress, *expected) == expected


def test_who_acknowledged_is_reminded() -> None:
    """Again, and not one level up; the first time it is no reminder, whoever acknowledged before."""
    known: dict[str, Any] = {"escalations": 1, "acknowledged_by": "ann"}
    again = escalated(case(S.ESCALATED, **known), LATER, "the floor", TERMS, again=True)
    assert again.entries[0].text.startswith("Reminder (level 1)")
    assert again.notices[0].kind is NoticeKind.AGAIN
    first = escalated(case(S.ESCALATED, **known), LATER, "the floor", TERMS)
    assert first.entries[0].text.startswith("Escalated (level ")
    alone = escalated(case(S.ESCALATED, escalations=1), LATER, "the floor", TERMS, again=True)
    assert alone.entries[0].text.startswith("Escalated (level ")


def test_a_target_that_is_still_held_becomes_a_quarantine() -> None:
    """Nobody works on it any more; without an attempt, or without its claim, there is nothing to release."""
    done = an_attempt(START, Outcome.DONE, None)
    held = case(S.OPEN, attempt=done).model_copy(update={"holds": True})
    reason = "postgres.terminate_queries has no verdict: the floor"
    assert escalated(held, START, "the floor", TERMS).quarantine == Quarantine(
        attempt_id=ATTEMPT, reason=reason
    )
    assert escalated(case(S.OPEN, attempt=done), START, "the floor", TERMS).quarantine is None
    bare = case(S.OPEN).model_copy(update={"holds": True})
    assert escalated(bare, START, "the floor", TERMS).quarantine is None


RAGING = Storm(openings=TERMS.storm.openings, umbrella=uuid4())


def stormy(severity: Severity = Severity.P2, storm: Storm = RAGING, **more: Any) -> Case:
    """A case in a storm."""
    given = {"severity": severity, **more.pop("given", {})}
    return case(S.OPEN, given=given, **more).model_copy(update={"storm": storm})


def test_in_a_storm_what_did_nothing_is_recorded_as_part_of_it() -> None:
    """With the umbrella incident's id; looked at again when the storm may be over."""
    change = escalated(stormy(take_back=ATTEMPT, **UNDER_WAY), START, "the floor", TERMS, NOTE)
    assert (change.state, change.notices) == (S.RECORDED, ())
    assert change.progress.part_of == RAGING.umbrella
    assert of(change.progress, *OVER, "take_back") == {**OVER, "take_back": None}
    assert change.due_at == START + min(TERMS.storm.within, TERMS.recorded_for)
    assert change.entries[0] == NOTE
    assert f"part of the storm, see {RAGING.umbrella}: the floor" in change.entries[1].text
    short = TERMS.model_copy(update={"recorded_for": timedelta(seconds=7)})
    assert part_of_storm(stormy(), START, "why", short).due_at == START + timedelta(seconds=7)
    opens = part_of_storm(stormy(storm=Storm(openings=TERMS.storm.openings)), START, "why", TERMS)
    assert (opens.opens_storm, opens.state, opens.due_at) == (True, S.OPEN, START)


ASKED = ByHand(actor="ann", reason="deploy", title="restart", asked_at=START)
ACTED = an_attempt(START, Outcome.DONE, None)


@pytest.mark.parametrize(
    "speaks",
    [
        stormy(Severity.P1),
        stormy(storm=Storm(umbrella=uuid4())),
        stormy(given={"by_hand": ASKED}),
        stormy(attempt=ACTED),
        stormy(escalations=1),
        stormy().model_copy(update={"holds": True}),
    ],
)
def test_in_a_storm_what_acted_or_told_people_speaks_for_itself(speaks: Case) -> None:
    """The worst ones too, and what a person asked for."""
    assert escalated(speaks, START, "the floor", TERMS).state is S.ESCALATED


def test_people_who_know_hear_what_is_new_while_automation_goes_on() -> None:
    """At the level that they had, at least the first."""
    change = told_and_goes_on(case(S.ESCALATED, escalations=2), START, TERMS, "one joined", step=1)
    assert (change.state, change.progress.step) == (S.OPEN, 1)
    (notice,) = change.notices
    assert (notice.kind, notice.level) == (NoticeKind.AGAIN, 2)
    assert notice.text == "P1 Hit: one joined; the next step is taken"
    assert change.entries[0].kind is EntryKind.TOLD
    assert change.entries[0].text == "People are told again (level 2): one joined; the next step is taken"
    assert change.entries[0].facts == {
        "level": 2,
        "reason": "one joined; the next step is taken",
        "severity": "P1",
    }
    fresh = case(S.ESCALATED)
    first = told_and_goes_on(fresh, START, TERMS, "one joined")
    assert first.notices[0].level == 1
    expected = told_at_level(fresh.incident, 1, START)
    assert of(first.progress, *expected) == expected


def test_what_is_recorded_asks_nobody_and_pages_nobody() -> None:
    """It is kept for its time, with its outcome; a question and a hold are over."""
    given = case(
        S.OPEN,
        total=3,
        covered_members=1,
        page_at=START,
        shadow=True,
        in_auto="x",
        hold=hold(),
        approval=APPROVED,
        question=QUESTION,
    )
    change = recorded(given, START, "evidence only", TERMS)
    assert change.state is S.RECORDED
    ended = {
        "hold": None,
        "approval": None,
        "question": None,
        "shadow": False,
        "in_auto": None,
        "page_at": None,
    }
    assert of(change.progress, *ended) == ended
    assert (change.progress.outcome, change.progress.covered_members) == ("evidence only", 3)
    assert change.deadline == change.due_at == START + TERMS.recorded_for
    assert change.entries[0].text == "Recorded: evidence only"
    assert change.notices == ()
    knows = recorded(case(S.OPEN, escalations=1), START, "evidence only", TERMS)
    assert knows.notices[0].text == "P1 Hit recorded: evidence only"
    shadow = recorded_in_shadow(given, START, "done", TERMS, NOTE, in_auto="told at once")
    assert (shadow.progress.shadow, shadow.progress.in_auto) == (True, "told at once")
    assert shadow.entries[0] == NOTE
    assert shadow.entries[1].facts["in_auto"] == "told at once"
    assert shadow.progress.outcome == "done; in auto told at once"
    calm = recorded_in_shadow(case(S.OPEN), START, "done", TERMS, in_auto=None)
    assert (calm.progress.outcome, calm.progress.in_auto) == ("done", None)


def test_what_is_resolved_tells_those_who_know() -> None:
    """Checked again when it is written; it may come back for a while."""
    given = case(S.OPEN, total=3, covered_members=1, page_at=START, escalations=1, **UNDER_WAY)
    change = resolved(given, START, "recovered", TERMS, NOTE)
    assert (change.state, change.quiet) == (S.RESOLVED, True)
    assert of(change.progress, *OVER, "page_at") == {**OVER, "page_at": None}
    assert (change.progress.outcome, change.progress.covered_members) == ("recovered", 3)
    assert change.deadline == change.due_at == START + TERMS.reopen_within
    assert (change.entries[0], change.entries[1].text) == (NOTE, "Resolved: recovered")
    (notice,) = change.notices
    assert (notice.kind, notice.level, notice.text) == (NoticeKind.RESOLVED, 0, "P1 Hit resolved: recovered")
    assert resolved(case(S.OPEN), START, "recovered", TERMS).notices == ()


def test_what_is_closed_keeps_the_outcome_that_it_has() -> None:
    """Its review is final: nothing is due any more."""
    given = case(S.RESOLVED, outcome="recovered", page_at=START, **UNDER_WAY)
    change = closed(given, "it stayed resolved", NOTE)
    assert (change.state, change.quiet, change.deadline, change.due_at) == (S.CLOSED, True, None, None)
    assert of(change.progress, *OVER, "page_at") == {**OVER, "page_at": None}
    assert change.progress.outcome == "recovered"
    assert (change.entries[0], change.entries[1].text) == (NOTE, "Closed: it stayed resolved")
    assert closed(case(S.PENDING), "it ended").progress.outcome == "it ended"
    assert not closed(given, "by hand", quiet=False).quiet


def test_who_took_over_is_reminded() -> None:
    """By name, with what is still so; and again after that time."""
    change = reminded(case(S.TAKEN_OVER, taken_over_by="ann"), START, TERMS)
    assert (change.state, change.deadline) == (S.TAKEN_OVER, START + TERMS.taken_over_deadline)
    assert change.due_at == change.deadline
    level = change.notices[0].level
    reason = "taken over by ann, and the alert still fires"
    assert (change.notices[0].kind, change.notices[0].text) == (NoticeKind.REMINDER, f"P1 Hit: {reason}")
    assert change.entries[0].kind is EntryKind.ESCALATION
    assert change.entries[0].text == f"Reminder (level {level}): {reason}"
    assert change.entries[0].facts == {"level": level, "reason": reason, "severity": "P1"}
    expected = told_at_level(case(S.TAKEN_OVER).incident, level, START)
    assert of(change.progress, *expected) == expected
    hand = reminded(case(S.TAKEN_OVER, given={"by_hand": ASKED}), START, TERMS)
    assert "taken over by nobody, and it is not closed" in hand.notices[0].text
