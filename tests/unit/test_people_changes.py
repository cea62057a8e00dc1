"""What a person's word means, word by word: what it changes, what it says, and when it changes nothing."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from responder.decide.case import AttemptVerdict, Case, Change, Notice, Terms
from responder.decide.changes.people import obeyed
from responder.decide.changes.question import question_words
from responder.model.approval import Approval
from responder.model.attempt import Outcome
from responder.model.autonomy import Autonomy
from responder.model.by_hand import GOOD_FOR, ByHand
from responder.model.incident import (
    ClosedAs,
    Command,
    CommandFacts,
    CommandKind,
    Hold,
    IncidentState,
)
from responder.model.policy import NoticeKind
from responder.model.severity import Severity
from responder.model.storm import Storm
from responder.model.timeline import EntryKind
from tests.support.dossiers import ATTEMPT, an_attempt
from tests.support.virtual import START
from tests.unit.test_ending_changes import QUESTION, UNDER_WAY, of
from tests.unit.test_next_move import LATER, TICK, case
from tests.unit.test_state_table import hold

TERMS = Terms()
S = IncidentState
K = CommandKind
ID = UUID(int=7)
ASKED = "a on t"
"""What is asked for, in words."""


def said(
    given: Case, kind: CommandKind, *, reason: str = "because", now: datetime = START, **facts: Any
) -> Change:
    """What it changes that ann says that."""
    command = Command(
        id=ID,
        incident_id=given.incident.id,
        kind=kind,
        actor="ann",
        reason=reason,
        facts=CommandFacts(**facts),
        given_at=START,
    )
    return obeyed(given.model_copy(update={"command": command}), now, TERMS)


def test_nobody_said_anything() -> None:
    """It is an error of ours to ask for it."""
    with pytest.raises(ValueError, match="no command"):
        obeyed(case(S.OPEN), START, TERMS)


WORDS: list[tuple[CommandKind, dict[str, Any], str]] = [
    (K.ACKNOWLEDGE, {}, "acknowledged it"),
    (K.TAKE_OVER, {}, "took over; automation is off"),
    (K.CLOSE, {}, "closed it"),
    (K.CLOSE, {"closed_as": ClosedAs.FIXED}, "closed it as fixed"),
    (K.CLOSE, {"closed_as": ClosedAs.FALSE_POSITIVE}, "closed it as a false positive"),
    (
        K.CLOSE,
        {"closed_as": ClosedAs.DUPLICATE, "duplicate_of": ATTEMPT},
        f"closed it as a duplicate of incident {ATTEMPT}",
    ),
    (K.APPROVE, {"question": QUESTION.id}, f"approved {ASKED}"),
    (K.DECLINE, {"question": QUESTION.id}, f"declined {ASKED}"),
    (K.COMMENT, {}, "commented"),
    (K.CHANGE_SEVERITY, {"severity": Severity.P0}, "made it P0, from P1"),
]


@pytest.mark.parametrize(("kind", "facts", "words"), WORDS)
def test_who_said_what_and_why_stands_in_the_timeline(
    kind: CommandKind, facts: dict[str, Any], words: str
) -> None:
    """As that person's entry, first of all, with what belongs to it as facts; by that it is applied."""
    change = said(case(S.AWAITING_APPROVAL, question=QUESTION), kind, **facts)
    assert change.command == ID
    entry = change.entries[0]
    assert (entry.kind, entry.actor, entry.text) == (EntryKind.PERSON, "ann", f"ann {words}: because")
    given = {name: str(value) for name, value in facts.items()}
    assert entry.facts == {"command": kind.value, "id": str(ID), "reason": "because", **given}
    silent = said(case(S.AWAITING_APPROVAL, question=QUESTION), kind, reason="", **facts)
    assert silent.entries[0].text == f"ann {words}"


CLOSED = "the incident is closed"
VAIN: list[tuple[CommandKind, IncidentState, str]] = [
    (K.TAKE_OVER, S.CLOSED, f"took over; automation is off: because, which changes nothing: {CLOSED}"),
    (K.CLOSE, S.CLOSED, f"closed it: because, which changes nothing: {CLOSED}"),
    (K.CHANGE_SEVERITY, S.CLOSED, f"made it P0, from P1: because, which changes nothing: {CLOSED}"),
    (
        K.HAND_BACK,
        S.AWAITING_APPROVAL,
        "handed it back to automation: because, which changes nothing: the incident is awaiting approval",
    ),
    (
        K.APPROVE,
        S.TAKEN_OVER,
        "approved it: because, which changes nothing: nothing is asked, the incident is taken over",
    ),
    (
        K.DECLINE,
        S.AWAITING_APPROVAL,
        "declined it: because, which changes nothing: nothing is asked, the incident is awaiting approval",
    ),
]


@pytest.mark.parametrize(("kind", "state", "words"), VAIN)
def test_a_word_that_cannot_be_followed_says_so_and_changes_nothing(
    kind: CommandKind, state: IncidentState, words: str
) -> None:
    """In words and in facts; the incident goes on as it was, and what is closed is not looked at again."""
    given = case(state, level_since=START)
    change = said(given, kind, severity=Severity.P0 if kind is K.CHANGE_SEVERITY else None)
    incident = given.incident
    assert (change.state, change.progress, change.deadline) == (state, incident.progress, incident.deadline)
    assert (change.severity, change.notices, change.quiet) == (None, (), False)
    assert change.due_at == (None if state is S.CLOSED else START)
    (entry,) = change.entries
    assert (entry.text, entry.facts["changed"]) == (f"ann {words}", False)
    assert (entry.facts["command"], change.command) == (kind.value, ID)


@pytest.mark.parametrize("state", [S.ESCALATED, S.CLOSED])
def test_whoever_acknowledges_is_named_and_a_comment_is_only_told(state: IncidentState) -> None:
    """The page is moot then; the state stays, and what is closed is not looked at again."""
    given = case(state, page_at=START)
    due = None if state is S.CLOSED else LATER
    change = said(given, K.ACKNOWLEDGE, now=LATER)
    seen = {"acknowledged_by": "ann", "acknowledged_at": LATER, "page_at": None}
    assert of(change.progress, *seen) == seen
    assert (change.state, change.due_at, change.deadline) == (state, due, LATER)
    comment = said(given, K.COMMENT, now=LATER)
    assert (comment.state, comment.progress, comment.due_at) == (state, given.incident.progress, due)


def test_whoever_takes_over_ends_what_was_under_way() -> None:
    """Nothing is asked, held, verified or owed any more, nobody is paged; that person is reminded later."""
    given = case(S.AWAITING_APPROVAL, take_back=ATTEMPT, page_at=START, step=1, **UNDER_WAY)
    change = said(given, K.TAKE_OVER, now=LATER)
    assert (change.state, change.due_at) == (S.TAKEN_OVER, LATER)
    assert change.deadline == LATER + TERMS.taken_over_deadline
    over = {**dict.fromkeys([*UNDER_WAY, "take_back", "page_at"]), "taken_over_by": "ann", "step": 1}
    assert of(change.progress, *over) == over


GIVEN_UP = [
    (K.TAKE_OVER, True, True),
    (K.CLOSE, True, True),
    (K.TAKE_OVER, False, False),
    (K.COMMENT, True, False),
    (K.ACKNOWLEDGE, True, False),
]


@pytest.mark.parametrize(("kind", "holds", "released"), GIVEN_UP)
def test_a_target_is_released_where_a_person_ends_what_held_it(
    kind: CommandKind, *, holds: bool, released: bool
) -> None:
    """Without a verdict on the attempt; other words leave it held, and what is not held stays as it is."""
    held = case(S.VERIFYING, attempt=an_attempt(START, Outcome.DONE, None))
    change = said(held.model_copy(update={"holds": holds}), kind)
    assert change.verdict == (AttemptVerdict(attempt_id=ATTEMPT) if released else None)
    bare = case(S.VERIFYING).model_copy(update={"holds": True})
    assert said(bare, kind).verdict is None


def test_what_is_handed_back_goes_on_at_once() -> None:
    """Whoever had it has it no more, and the level has its time anew."""
    given = case(S.TAKEN_OVER, taken_over_by="ann", level_since=START, step=2)
    change = said(given, K.HAND_BACK, now=LATER)
    assert (change.state, change.due_at, change.progress.taken_over_by) == (S.OPEN, LATER, None)
    assert change.progress.level_since == LATER
    texts = [entry.text for entry in change.entries]
    assert texts == ["ann handed it back to automation: because", "Open: ann handed it back"]


def test_what_shadow_alone_has_ended_begins_anew_after_a_take_over_and_a_hand_back() -> None:
    """With its first step and the rule as it is now, also where every step was passed over."""
    given = case(S.RECORDED, shadow=True, step=2, in_auto="x", outcome="y")
    newer = given.rule.model_copy(update={"autonomy": Autonomy.APPROVE})
    recorded = given.model_copy(update={"current": newer, "current_hash": "b" * 64})
    taken = said(recorded, K.TAKE_OVER)
    assert (taken.state, taken.progress.step) == (S.TAKEN_OVER, 2)
    alone = said(recorded, K.HAND_BACK)
    assert (alone.state, alone.entries[0].facts["changed"]) == (S.RECORDED, False)
    theirs = recorded.incident.model_copy(update={"state": taken.state, "progress": taken.progress})
    handed = said(recorded.model_copy(update={"incident": theirs}), K.HAND_BACK, now=LATER)
    assert (handed.state, handed.progress.step, handed.progress.taken_over_by) == (S.OPEN, 0, None)
    assert (handed.progress.shadow, handed.progress.outcome, handed.progress.in_auto) == (False, None, None)
    assert handed.rulebook_hash == "b" * 64
    assert [entry.kind for entry in handed.entries] == [EntryKind.PERSON, EntryKind.RULE, EntryKind.STATE]


def test_what_a_person_asked_for_or_what_was_done_does_not_begin_anew() -> None:
    """Only what had no effect at all: the ladder goes on where it stood."""
    asked = case(S.TAKEN_OVER, given={"by_hand": BY_HAND}, shadow=True, step=1)
    done = case(S.TAKEN_OVER, shadow=True, step=1).model_copy(
        update={"attempt": an_attempt(LATER, Outcome.DONE, None)}
    )
    for one in (asked, done):
        assert said(one, K.HAND_BACK).progress.step == 1


def escalated_one(asked: ByHand | None = None, step: int = 0) -> Case:
    """People were told of it, and one has acknowledged it."""
    seen: dict[str, Any] = {"acknowledged_by": "bo", "acknowledged_at": START, "level_since": START}
    return case(S.ESCALATED, step=step, given={"by_hand": asked}, **seen)


BY_HAND = ByHand(actor="ann", reason="deploy", title="restart", asked_at=START)


@pytest.mark.parametrize(
    ("given", "now", "acts"),
    [
        (escalated_one(step=1), LATER, True),
        (escalated_one(step=2), LATER, False),
        (escalated_one(BY_HAND), START + GOOD_FOR - TICK, True),
        (escalated_one(BY_HAND), START + GOOD_FOR, False),
        (escalated_one(BY_HAND, step=2), START, False),
    ],
)
def test_what_people_hand_back_goes_on_where_something_is_left_to_try(
    given: Case, now: datetime, *, acts: bool
) -> None:
    """A step, and the time in which what was asked for by hand may begin; else it stays with people."""
    change = said(given, K.HAND_BACK, now=now)
    after, entry = change.progress, change.entries[0]
    assert (change.state, change.due_at) == (S.OPEN if acts else S.ESCALATED, now)
    if acts:
        assert (after.acknowledged_by, after.acknowledged_at, after.level_since) == (None, None, now)
        assert (entry.text, "changed" in entry.facts) == ("ann handed it back to automation: because", False)
        assert change.entries[1].text == "Open: ann handed it back"
    else:
        assert after == given.incident.progress
        assert entry.text == (
            "ann handed it back to automation: because; no step is left, it stays with people"
        )
        assert (entry.facts["changed"], entry.facts["command"]) == (False, "hand_back")


@pytest.mark.parametrize("state", [state for state in S if state is not S.CLOSED])
def test_people_who_know_are_told_that_it_was_closed(state: IncidentState) -> None:
    """By whom, though alerts fire; of what had ended before they were told then."""
    change = said(case(state, escalations=1, outcome="it ended"), K.CLOSE)
    assert (change.state, change.quiet) == (S.CLOSED, False)
    assert change.entries[1].text == "Closed: closed by ann"
    assert change.progress.outcome == "it ended"
    told = () if state in {S.RESOLVED, S.RECORDED} else ("P1 Hit closed by ann",)
    assert tuple(notice.text for notice in change.notices) == told


def test_a_persons_word_on_what_it_was_stands_above_the_outcome_it_had() -> None:
    """With who said so."""
    change = said(case(S.ESCALATED, outcome="recorded"), K.CLOSE, closed_as=ClosedAs.FIXED)
    assert (change.progress.closed_as, change.progress.outcome) == (ClosedAs.FIXED, "closed by ann as fixed")


def asking(**more: Any) -> Case:
    """A person is asked."""
    return case(S.AWAITING_APPROVAL, question=QUESTION, step=1, **more)


def test_a_yes_is_kept_for_what_was_asked() -> None:
    """Bound to the question's consent and guards, until the question's deadline; it goes on at once."""
    change = said(asking(), K.APPROVE, now=LATER - TICK, question=QUESTION.id)
    assert (change.state, change.due_at) == (S.OPEN, LATER - TICK)
    assert change.progress.approval == Approval(
        id=ID, consent=QUESTION.consent, guards=QUESTION.guards, by="ann", expires_at=LATER
    )
    assert change.entries[1].text == "Open: approved by ann"


def test_a_no_is_told_to_people_with_its_reason() -> None:
    """What was declined, by whom and why; nothing starts."""
    change = said(asking(), K.DECLINE, question=QUESTION.id)
    assert (change.state, change.progress.approval) == (S.ESCALATED, None)
    assert change.progress.escalation_reason == f"ann declined {ASKED}: because"


NO_ANSWER: list[tuple[Case, datetime, UUID | None, str]] = [
    (asking(), START, ID, "another question is asked by now"),
    (asking(), START, None, "another question is asked by now"),
    (asking(), LATER, QUESTION.id, "the time for an answer is over"),
    (asking(deadline=None), START, QUESTION.id, "the time for an answer is over"),
    (case(S.HELD, question=QUESTION), START, QUESTION.id, "nothing is asked, the incident is held"),
]


@pytest.mark.parametrize("kind", [K.APPROVE, K.DECLINE])
@pytest.mark.parametrize(("given", "now", "question", "why"), NO_ANSWER)
def test_an_answer_counts_for_the_question_that_was_read_and_in_its_time(
    given: Case, now: datetime, question: UUID | None, why: str, kind: CommandKind
) -> None:
    """Any other changes nothing, be it yes or no."""
    change = said(given, kind, now=now, question=question)
    assert (change.state, change.progress) == (given.incident.state, given.incident.progress)
    assert change.entries[0].text.endswith(f": because, which changes nothing: {why}")


def test_a_no_in_a_storm_waits_for_the_umbrella() -> None:
    """That is opened first, so the word is not used up: it is obeyed when it is there."""
    raging = Storm(openings=TERMS.storm.openings)
    given = asking(given={"severity": Severity.P2}).model_copy(update={"storm": raging})
    change = said(given, K.DECLINE, question=QUESTION.id)
    assert (change.opens_storm, change.command) == (True, None)


# --- severity -------------------------------------------------------------------------------------------

HOUR = timedelta(hours=1)
P0, P1, P2 = (TERMS.severities[each] for each in (Severity.P0, Severity.P1, Severity.P2))
FAR = START + 5 * HOUR
SET: list[tuple[IncidentState, datetime | None, Severity, datetime | None]] = [
    (S.OPEN, FAR, Severity.P2, FAR),
    (S.HELD, FAR, Severity.P2, FAR + P2.response_time - P1.response_time),
    (S.AWAITING_APPROVAL, FAR, Severity.P0, FAR + P0.response_time - P1.response_time),
    (S.AWAITING_APPROVAL, LATER, Severity.P0, START),
    (S.AWAITING_APPROVAL, None, Severity.P0, None),
    (S.AWAITING_APPROVAL, FAR, Severity.P1, FAR),
    (S.ESCALATED, FAR, Severity.P2, FAR + P2.update_interval - P1.update_interval),
    (S.ESCALATED, FAR, Severity.P1, FAR),
    (S.ESCALATED, FAR, Severity.P0, START),
    (S.TAKEN_OVER, FAR, Severity.P0, START),
    (S.TAKEN_OVER, FAR, Severity.P1, FAR),
    (S.TAKEN_OVER, FAR, Severity.P2, FAR),
]


@pytest.mark.parametrize(("state", "deadline", "severity", "then"), SET)
def test_a_persons_severity_moves_what_waits_for_people_by_what_its_terms_differ(
    state: IncidentState, deadline: datetime | None, severity: Severity, then: datetime | None
) -> None:
    """Never before now; what people were told of is told at once where it is worse now."""
    change = said(case(state, deadline=deadline), K.CHANGE_SEVERITY, severity=severity)
    assert (change.state, change.severity, change.progress.told_severity) == (state, severity, severity)
    assert (change.deadline, change.due_at) == (then, START)


HOLDS: list[tuple[datetime | None, Severity, Hold, Hold]] = [
    (FAR, Severity.P2, hold(), hold(deadline=FAR + 3 * HOUR)),
    (FAR, Severity.P0, hold(until=FAR), hold(until=FAR - HOUR * 3 / 4, deadline=FAR - HOUR * 3 / 4)),
    (None, Severity.P2, hold(), hold()),
]


@pytest.mark.parametrize(("deadline", "severity", "before", "after"), HOLDS)
def test_a_hold_lasts_as_long_as_its_state(
    deadline: datetime | None, severity: Severity, before: Hold, after: Hold
) -> None:
    """No longer is it tried again; where the state has no deadline the hold keeps its own."""
    change = said(case(S.HELD, deadline=deadline, hold=before), K.CHANGE_SEVERITY, severity=severity)
    assert change.progress.hold == after


@pytest.mark.parametrize(
    ("severity", "again"), [(Severity.P0, True), (Severity.P1, False), (Severity.P2, False)]
)
def test_what_is_worse_now_is_told_and_asked_again(severity: Severity, *, again: bool) -> None:
    """Those who were told of it by a page, and those who answer for the severity that it has now."""
    given, again = asking(paged_at=START, deadline=FAR), severity is Severity.P0
    change = said(given, K.CHANGE_SEVERITY, severity=severity)
    assert change.progress.page_at == (START if again else None)
    words = question_words(given, QUESTION, severity, FAR + P0.response_time - P1.response_time, START)
    asked = Notice(kind=NoticeKind.QUESTION, level=0, text=f"It is {severity} now. {words}")
    assert change.notices == ((asked,) if again else ())
