"""What time alone makes of an incident: when it rises, to what, who is told, and what keeps it as it is."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from responder.cli.story import next_lines
from responder.decide.case import Apply, Case, Notice, Terms
from responder.decide.changes import obeyed, opened, raised, reopened, stay
from responder.decide.changes.question import question_words
from responder.decide.next_move import next_move
from responder.decide.raising import RISES, in_time, raise_due
from responder.decide.told_next import promised
from responder.model.incident import Command, CommandFacts, CommandKind, IncidentState
from responder.model.policy import NoticeKind
from responder.model.rule import Raise
from responder.model.severity import Severity
from responder.model.timeline import EntryKind
from tests.support.virtual import START, ladder
from tests.unit.test_ending_changes import QUESTION
from tests.unit.test_next_move import LATER, case
from tests.unit.test_state_table import hold

TERMS = Terms()
S = IncidentState
HOUR = timedelta(hours=1)
TICK = timedelta(microseconds=1)
TO_P2, TO_P1 = Raise(after=HOUR, to=Severity.P2), Raise(after=2 * HOUR, to=Severity.P1)
P3 = {"severity": Severity.P3}


def rising(state: IncidentState, *raises: Raise, **more: Any) -> Case:
    """It opened as P3 at START, by a rule that says so."""
    told = {"raise_from": START, "told_severity": Severity.P3, **more}
    far = START + timedelta(days=1)
    return case(state, rule={"raises": raises or (TO_P2, TO_P1)}, given=P3, **{"deadline": far, **told})


@pytest.mark.parametrize("state", list(S))
def test_it_rises_while_it_is_worked_on_to_the_moment(state: IncidentState) -> None:
    """Not a moment too early, and in no state in which it is over, quiet, not yet open, or acted on."""
    assert raise_due(rising(state), START + HOUR - TICK) is None
    assert raise_due(rising(state), START + HOUR) == (TO_P2 if state in RISES else None)
    assert raise_due(rising(state), START + 2 * HOUR) == (TO_P1 if state in RISES else None)


def test_the_states_in_which_it_rises() -> None:
    """All that automation or people work on, less a running effect."""
    expected = {S.OPEN, S.VERIFYING, S.AWAITING_APPROVAL, S.HELD, S.TAKEN_OVER, S.ESCALATED}
    assert expected == RISES


def test_what_keeps_it_from_rising() -> None:
    """Nothing fires, a person has said how bad it is, it is as bad already, the rule says nothing."""
    late = START + 3 * HOUR
    assert raise_due(rising(S.VERIFYING, firing=0), late) is None
    assert raise_due(rising(S.HELD, severity_by="ada"), late) is None
    assert raise_due(rising(S.HELD, raise_from=None), late) is None
    worse = rising(S.HELD)
    as_bad = worse.model_copy(
        update={"incident": worse.incident.model_copy(update={"severity": Severity.P1})}
    )
    assert raise_due(as_bad, late) is None


def test_its_move_is_to_rise_before_anything_else_of_the_ladder() -> None:
    """As P2, and it says why; what opened worse than its rule says at that time does not move."""
    move = next_move(rising(S.HELD, hold=hold()), START + HOUR, TERMS)
    assert isinstance(move, Apply)
    (entry,) = move.change.entries
    assert (move.change.severity, entry.kind) == (Severity.P2, EntryKind.RULE)
    assert entry.text == "it is P2 now, no longer P3: not over 1h after it opened (raise)"
    assert entry.facts == {"from": "P3", "to": "P2", "raised_after": "1h"}
    assert move.change.progress.told_severity is Severity.P2


TOLD: list[tuple[IncidentState, dict[str, Any], dict[str, Any]]] = [
    (S.OPEN, {}, {"page_at": LATER}),
    (S.HELD, {"paged_at": START}, {"page_at": LATER}),
    (S.VERIFYING, {}, {"page_at": LATER}),
    (S.ESCALATED, {"level_since": START}, {"page_at": None, "covered_members": 0, "level_since": LATER}),
    (S.TAKEN_OVER, {}, {"page_at": None}),
]


@pytest.mark.parametrize(("state", "more", "moves"), TOLD)
def test_people_are_told_by_the_new_severity(
    state: IncidentState, more: dict[str, Any], moves: dict[str, Any]
) -> None:
    """By the page where automation works on it, as news where they know; who took over, at once."""
    known = {"acknowledged_by": "bo", "acknowledged_at": START, **more}
    change = raised(rising(state, **known), TO_P2, LATER, TERMS)
    told = change.progress
    assert {name: getattr(told, name) for name in moves} == moves
    assert (told.acknowledged_by, told.acknowledged_at) == (None, None)
    assert (change.due_at, change.notices) == (LATER, ())
    if state is S.TAKEN_OVER:
        assert change.deadline == LATER


def test_a_question_is_asked_again_and_no_page_beside_it() -> None:
    """Of those who answer for the severity that it has now, with its deadline; an acknowledgement is gone."""
    asked = rising(S.AWAITING_APPROVAL, question=QUESTION, deadline=LATER + timedelta(days=2))
    change = raised(asked, TO_P2, START, TERMS)
    deadline = START + TERMS.severities[Severity.P2].response_time
    words = question_words(asked, QUESTION, Severity.P2, deadline, START)
    assert change.notices == (Notice(kind=NoticeKind.QUESTION, level=0, text=f"It is P2 now. {words}"),)
    assert (change.deadline, change.progress.page_at) == (deadline, None)


def test_deadlines_by_severity_follow() -> None:
    """A hold and what is told again wait no longer than the new severity allows, from when they began."""
    far = START + timedelta(days=1)
    held = raised(rising(S.HELD, hold=hold(until=far, deadline=far)), TO_P1, START, TERMS)
    allowed = START + TERMS.severities[Severity.P1].response_time
    assert (held.deadline, held.progress.hold and held.progress.hold.deadline) == (allowed, allowed)
    told = raised(rising(S.ESCALATED), TO_P1, START, TERMS)
    assert told.deadline == START + TERMS.severities[Severity.P1].update_interval


def due(one: Case, at: datetime) -> datetime | None:
    """When it is due, where a change would have it due at that moment."""
    return in_time(one, stay(one, at)).due_at


def test_every_change_is_due_when_it_rises() -> None:
    """The moment follows from what is stored: whoever takes it up after a restart has it, too."""
    late = START + 5 * HOUR
    assert due(rising(S.HELD), late) == START + HOUR
    assert due(rising(S.HELD), START + HOUR - TICK) == START + HOUR - TICK
    assert due(rising(S.HELD, severity_by="ada"), late) == late
    assert due(rising(S.VERIFYING, firing=0), late) == late
    assert due(rising(S.RESOLVED), late) == late
    assert due(case(S.HELD), late) == late
    second = raised(rising(S.HELD), TO_P2, START + HOUR, TERMS).model_copy(update={"due_at": late})
    assert in_time(rising(S.HELD), second).due_at == START + 2 * HOUR
    assert in_time(rising(S.HELD), second.model_copy(update={"due_at": None})).due_at is None


def test_the_time_suppressed_does_not_count() -> None:
    """Whatever ends the suppression; what stays suppressed, or was not, keeps its moment."""
    over = rising(S.SUPPRESSED).model_copy(update={"now": START + 5 * HOUR})
    ended = stay(over, START + 9 * HOUR).model_copy(update={"state": S.OPEN})
    moved = in_time(over, ended)
    assert moved.progress.raise_from == START + 5 * HOUR
    assert moved.due_at == START + 6 * HOUR
    assert in_time(over, stay(over, START)).progress.raise_from == START
    held = rising(S.HELD).model_copy(update={"now": START + 5 * HOUR})
    assert in_time(held, stay(held, START)).progress.raise_from == START


def test_what_never_opened_has_no_time_yet() -> None:
    """Quiet from its beginning: it ends without one, or opens with all of it, whenever that is."""
    over = rising(S.SUPPRESSED, raise_from=None).model_copy(update={"now": START + 5 * HOUR})
    ended = in_time(over, stay(over, START + 9 * HOUR).model_copy(update={"state": S.RESOLVED}))
    assert ended.progress.raise_from is None
    begins = in_time(over, opened(over, over.now, TERMS))
    assert begins.progress.raise_from == over.now


def test_it_counts_from_the_opening_and_anew_where_a_ladder_begins_anew() -> None:
    """A recorded one begins anew; a resolved one goes on with its time. Without `raise` nothing is kept."""
    begins = opened(rising(S.PENDING, raise_from=None), LATER, TERMS)
    assert begins.progress.raise_from == LATER
    assert opened(case(S.PENDING), LATER, TERMS).progress.raise_from is None
    assert reopened(rising(S.RECORDED), LATER, TERMS).progress.raise_from == LATER
    assert reopened(rising(S.RESOLVED), LATER, TERMS).progress.raise_from == START
    gone = rising(S.RECORDED).model_copy(update={"rule": ladder(), "current": ladder()})
    assert reopened(gone, LATER, TERMS).progress.raise_from is None


def test_a_persons_word_is_kept_and_survives_the_opening() -> None:
    """It is known who said it: then time alone changes nothing."""
    command = Command(
        id=QUESTION.id,
        incident_id=QUESTION.id,
        kind=CommandKind.CHANGE_SEVERITY,
        actor="ada",
        facts=CommandFacts(severity=Severity.P3),
        given_at=START,
    )
    said = obeyed(rising(S.HELD, hold=hold()).model_copy(update={"command": command}), START, TERMS)
    assert said.progress.severity_by == "ada"
    assert "it does not rise by time any more" in said.entries[0].text
    plain = obeyed(case(S.HELD, hold=hold()).model_copy(update={"command": command}), START, TERMS)
    assert "it does not rise" not in plain.entries[0].text
    assert opened(rising(S.PENDING, severity_by="ada"), LATER, TERMS).progress.severity_by == "ada"


def test_people_can_read_when_it_rises() -> None:
    """Beside who is told next; where it does not rise nothing is said of it."""
    it = rising(S.TAKEN_OVER, taken_over_by="ada")
    told = promised(it.incident, 1, TERMS, it.rule.raises)
    assert next_lines(it.incident, told, START)[-1] == (
        "becomes P2 in 1h, at 01:00 UTC, unless it is over by then"
    )
    resolved = rising(S.RESOLVED)
    assert promised(resolved.incident, 1, TERMS, resolved.rule.raises).rises is None
    assert promised(it.incident, 1, TERMS).rises is None
