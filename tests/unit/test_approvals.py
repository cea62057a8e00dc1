"""A person's yes, no, and word on severity, in virtual time: what it lets happen, and what it does not."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from responder.decide.case import Terms
from responder.model.attempt import Outcome
from responder.model.autonomy import Autonomy
from responder.model.incident import ClosedAs, CommandKind, IncidentState
from responder.model.rule import Comparison, PromqlProbe, Undo
from responder.model.severity import MANUAL_TERMS, Severity
from tests.support.virtual import START, VirtualStore, World, drive, incident, ladder, members

HOUR = timedelta(hours=1)
"""The response time of P1: how long a question stands."""
ASKED = IncidentState.AWAITING_APPROVAL


def asking(undo: Undo = Undo.NEVER, **world: Any) -> VirtualStore:
    """An incident that asks a person for its first step."""
    store = VirtualStore(World(**world), ladder(undo=undo, autonomy=Autonomy.APPROVE), incident(), members())
    moved(store)
    assert store.incident.state is ASKED
    return store


def moved(store: VirtualStore, by: timedelta = timedelta(0), **parts: Any) -> VirtualStore:
    """Later, after all moves that are due then."""
    store.world.now += by
    asyncio.run(drive(store, **parts))
    return store


def approved(store: VirtualStore, **parts: Any) -> VirtualStore:
    """After a yes to what is asked."""
    store.answer(CommandKind.APPROVE, "ada")
    return moved(store, **parts)


def texts(store: VirtualStore) -> str:
    """The whole timeline."""
    return "\n".join(entry.text for change in store.changes for entry in change.entries)


def test_a_yes_lets_exactly_one_attempt_start() -> None:
    """It names who approved; the next step asks anew."""
    store = approved(asking())
    [attempt] = store.attempts.values()
    assert (attempt.outcome, len(store.world.effects)) == (Outcome.DONE, 2)
    assert store.incident.progress.approval is None
    assert "ada approved test.hit on test/target" in texts(store)
    store.world.present = {"a"}
    moved(store, timedelta(minutes=7))
    assert (store.incident.state, len(store.attempts)) == (ASKED, 1)
    assert store.incident.progress.question is not None
    assert (store.incident.progress.question.step, store.incident.progress.question.times) == (1, 1)


CHANGES = [
    ({"present": {"a", "b"}}, "element would be hit"),
    ({"release": "v2"}, "have changed"),
]


@pytest.mark.parametrize(("changed", "why"), CHANGES)
def test_where_the_world_changed_a_person_is_asked_again_at_most_twice(
    changed: dict[str, Any], why: str
) -> None:
    """Nothing is done on a yes to something else; after the third one a person is told of that."""
    store = asking()
    for time in range(2, 4):
        for name, value in changed.items():
            more = value | {f"d{time}"} if isinstance(value, set) else f"{value}.{time}"
            setattr(store.world, name, more)
        approved(store)
        assert store.incident.state is ASKED
        assert store.incident.progress.question is not None
        assert store.incident.progress.question.times == time
        assert why in texts(store)
    store.world.release, store.world.present = "v9", {"x", "y"}
    approved(store)
    assert (store.incident.state, store.world.effects) == (IncidentState.ESCALATED, [])
    assert "approved 3 times" in (store.incident.progress.escalation_reason or "")


def test_fewer_elements_than_approved_are_hit_without_another_question() -> None:
    """What has gone meanwhile needs no consent; where all are gone, nothing is asked either."""
    store = asking()
    store.world.present = {"b"}
    assert [element for _, element in approved(store).world.effects] == ["b"]
    empty = asking()
    empty.world.present = set()
    assert approved(empty).incident.state is IncidentState.VERIFYING


def test_an_approval_expires_with_the_question() -> None:
    """Held by a halt until after the question's deadline, it lets nothing start: a person is asked."""
    store = moved(asking(), timedelta(minutes=50))
    store.members = members(at=store.world.now)
    store.world.halted = "by the test"
    approved(store)
    assert store.incident.state is IncidentState.HELD
    store.world.halted = None
    store.members = members(at=store.world.now)
    moved(store, timedelta(minutes=10))
    assert (store.incident.state, store.world.effects) == (ASKED, [])
    assert "expired" in texts(store)


def test_a_step_that_needs_no_approval_any_more_does_not_wait_for_one_that_has_expired() -> None:
    """Held until the yes has expired, and meanwhile allowed to go by itself: it starts, on nobody's yes."""
    store = moved(asking(), timedelta(minutes=50))
    store.members = members(at=store.world.now)
    store.world.halted = "by the test"
    approved(store)
    store.world.halted = None
    store.members = members(at=store.world.now)
    store.rule = store.rule.model_copy(update={"autonomy": Autonomy.AUTO})
    moved(store, timedelta(minutes=10))
    [attempt] = store.attempts.values()
    assert (attempt.outcome, attempt.approval) == (Outcome.DONE, None)


def test_an_approval_is_used_up_by_an_intent_that_came_to_nothing() -> None:
    """Its effect did not start in time: the step is asked for again, and not taken on the old yes."""
    store = asking(late_s=10)
    approved(store)
    assert (len(store.attempts), store.world.effects, store.incident.state) == (1, [], ASKED)


def test_an_answer_in_vain_says_so() -> None:
    """To another question, to none, or after its time: nothing changes, and the timeline says why."""
    store = asking()
    store.say(CommandKind.APPROVE, "ada", question=UUID(int=7))
    assert moved(store).incident.state is ASKED
    assert "another question is asked by now" in texts(store)
    store.answer(CommandKind.APPROVE, "ada")
    moved(store, HOUR)
    assert "the time for an answer is over" in texts(store)
    assert store.incident.state is IncidentState.ESCALATED
    store.answer(CommandKind.DECLINE, "ada")
    assert "nothing is asked, the incident is escalated" in texts(moved(store))
    assert store.world.effects == []


def test_a_no_escalates_with_its_reason_and_an_ended_alert_needs_no_answer() -> None:
    """Who said no, to what and why stands in the escalation; recovery comes before both."""
    store = asking()
    store.answer(CommandKind.DECLINE, "ada")
    assert store.command is not None
    store.command = store.command.model_copy(update={"reason": "the release is rolled back"})
    reason = moved(store).incident.progress.escalation_reason
    assert reason == "ada declined test.hit on test/target: the release is rolled back"
    gone = asking()
    gone.members = members(firing=0)
    assert moved(gone, HOUR).incident.state is IncidentState.RESOLVED


def test_a_condition_without_data_asks_and_its_approval_answers_that_alone() -> None:
    """A yes to missing data is none to a ceiling that came later."""
    store = VirtualStore(World(), ladder(), incident(), members())
    probe = PromqlProbe(promql="up", expect=Comparison(op="<", value=1))
    step = store.rule.steps[0].model_copy(update={"when": probe})
    store.rule = store.rule.model_copy(update={"steps": (step,)})
    moved(store)
    assert store.incident.state is ASKED
    store.promoted = Autonomy.APPROVE
    approved(store)
    assert (store.incident.state, store.world.effects) == (ASKED, [])
    assert "that was not asked then" in texts(store)
    approved(store)
    assert len(store.world.effects) == 2


def test_an_undo_that_may_not_start_by_itself_is_owed() -> None:
    """The yes was to the step, not to its undo: a person is told, and the target stays quarantined."""
    store = approved(asking(Undo.IF_NOT_RECOVERED), undoable=True)
    store.world.present = {"a"}
    moved(store, timedelta(minutes=7), undoable=True)
    assert store.incident.state is IncidentState.ESCALATED
    assert "the undo of test.hit on test/target is owed" in (store.incident.progress.escalation_reason or "")
    assert store.claim_ is not None
    assert store.claim_.quarantined


def test_taking_over_takes_the_question_away() -> None:
    """A person acts: an answer to the old question lets nothing start; handed back, it is asked anew."""
    store = asking()
    question = store.incident.progress.question
    assert question is not None
    store.say(CommandKind.TAKE_OVER, "bo")
    moved(store)
    store.say(CommandKind.APPROVE, "ada", question=question.id)
    assert moved(store).world.effects == []
    store.say(CommandKind.HAND_BACK, "bo")
    assert moved(store).incident.state is ASKED


def test_a_persons_severity_moves_the_deadline_both_ways() -> None:
    """Lowered it waits longer, raised it waits less; a worse alert that joins later raises it again."""
    store = asking()
    before = store.incident.deadline
    store.say(CommandKind.CHANGE_SEVERITY, "ada", severity=Severity.P2)
    moved(store)
    lowered = MANUAL_TERMS[Severity.P2].response_time
    assert (store.incident.severity, store.incident.deadline) == (Severity.P2, START + lowered)
    store.say(CommandKind.CHANGE_SEVERITY, "ada", severity=Severity.P1)
    assert moved(store).incident.deadline == before
    store.incident = store.incident.model_copy(update={"severity": Severity.P0, "due_at": store.world.now})
    moved(store)
    assert "a worse alert joined" in texts(store)
    assert store.incident.deadline == START + MANUAL_TERMS[Severity.P0].response_time


def test_what_a_person_says_it_was_stands_with_the_incident() -> None:
    """Closed as a false positive, with the reason; a comment changes nothing but the timeline."""
    store = asking()
    store.say(CommandKind.COMMENT, "bo")
    assert moved(store).incident.state is ASKED
    store.say(CommandKind.CLOSE, "ada", closed_as=ClosedAs.FALSE_POSITIVE)
    progress = moved(store).incident.progress
    assert (store.incident.state, progress.closed_as) == (IncidentState.CLOSED, ClosedAs.FALSE_POSITIVE)
    assert progress.outcome == "closed by ada as a false positive"
    store.say(CommandKind.COMMENT, "bo")
    assert moved(store, Terms().reopen_within).incident.due_at is None
