"""From the intent to the verdict, change by change: what is written, what is held, and what comes next."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from responder.decide.case import AttemptEnd, AttemptVerdict, Case, Change, Quarantine, Terms
from responder.decide.changes.attempts import (
    _effect,
    ended,
    intended,
    not_yet_good,
    nothing_to_do,
    overall,
    settled,
    too_late,
    undo_over,
    undo_owed,
    verifying,
)
from responder.decide.changes.by_hand import nothing_found, unproven
from responder.model.approval import Approval, Consent
from responder.model.attempt import Attempt, ElementOutcome, Intent, Outcome
from responder.model.by_hand import ByHand
from responder.model.guard import Guard, GuardVerdict, Ruling
from responder.model.incident import IncidentState, Verification
from responder.model.timeline import EntryDraft, EntryKind
from tests.support.dossiers import ATTEMPT, an_attempt
from tests.support.virtual import START
from tests.unit.test_next_move import case
from tests.unit.test_state_table import hold

TERMS = Terms()
S = IncidentState
SECOND = timedelta(seconds=1)
NOTE = EntryDraft(kind=EntryKind.JUDGED, text="judged", facts={})
FOUND_NOTHING = NOTE.model_copy(update={"facts": {"nothing_to_do": True}})
KEY = an_attempt(START, Outcome.STARTED, None).elements[0].key
APPROVED = Approval(
    id=UUID(int=5),
    consent=Consent(action="a", target="t", params={}, facts="f", elements=(), titles=()),
    guards=(Guard.AUTONOMY,),
    by="ann",
    expires_at=START + timedelta(hours=1),
)
ASKED = ByHand(actor="ann", reason="deploy", title="restart", asked_at=START, action="a", target="t")
WITHIN = timedelta(minutes=5, seconds=30)
"""The rule's `alert_resolved_within` and `stable_for`."""


def running(**changed: Any) -> Attempt:
    """An attempt that has no outcome yet."""
    return an_attempt(START, Outcome.STARTED, None).model_copy(update=changed)


def end(outcome: Outcome, *each: Outcome, detail: str = "") -> AttemptEnd:
    """An outcome, with one for each element."""
    results = tuple(ElementOutcome(element=KEY, outcome=one, detail=detail) for one in each or (outcome,))
    return AttemptEnd(attempt_id=ATTEMPT, outcome=outcome, results=results)


def remediating(**more: Any) -> Case:
    """The case of an attempt that runs."""
    return case(S.REMEDIATING, attempt=running(), step=1, **more)


def intent(**more: Any) -> Intent:
    """An intent of the second step."""
    given = running()
    fields = given.model_dump(include=Intent.model_fields.keys() - {"elements"})
    whole = {
        **fields,
        "attempt_id": given.id,
        "elements": given.elements,
        "step": 1,
        "start_window_s": 5.0,
        "namespace": "",
        "disruptive": True,
    }
    return Intent.model_validate({**whole, **more})


def test_an_intent_uses_its_step_and_waits_for_the_effect() -> None:
    """No longer than the timeout and the grace; what held it or allowed it before is used up."""
    before = case(S.OPEN, step=1, shadow=True, hold=hold(), approval=APPROVED)
    change = intended(before, intent(), NOTE, START, TERMS)
    assert (change.state, change.progress.step, change.progress.shadow) == (S.REMEDIATING, 2, False)
    assert (change.progress.hold, change.progress.approval) == (None, None)
    assert change.deadline == change.due_at == START + 30 * SECOND + TERMS.effect_grace
    assert change.entries[0] == NOTE
    told = change.entries[1]
    assert told.kind is EntryKind.INTENT
    assert (
        told.text
        == "about to run postgres.terminate_queries on postgres/orders: pid 4711 of app as reporting"
    )
    assert told.facts == {
        "attempt": str(ATTEMPT),
        "step": 1,
        "action": "postgres.terminate_queries",
        "target": "postgres/orders",
        "elements": ["pid 4711 of app as reporting"],
        "approval": None,
    }
    approved = intended(before, intent(approval=UUID(int=7)), NOTE, START, TERMS)
    assert approved.entries[1].facts["approval"] == str(UUID(int=7))


def test_an_undo_uses_no_step() -> None:
    """The ladder goes on where it was."""
    change = intended(case(S.OPEN, step=1), intent(undo_of=UUID(int=3)), NOTE, START, TERMS)
    assert change.progress.step == 1


def test_nothing_to_do_is_verified_without_an_attempt() -> None:
    """The step is used, and there is nothing to give a verdict on."""
    for rule in ({}, {"verify": None}):
        change = nothing_to_do(case(S.OPEN, step=1, rule=rule), 1, NOTE, START, TERMS)
        assert (change.state, change.progress.step) == (S.VERIFYING, 2)
        assert change.progress.verification is not None
        assert change.progress.verification.attempt_id is None
        assert change.entries[0] == FOUND_NOTHING
        assert "step 2 found nothing to do" in change.entries[1].text


def verified(change: Change) -> UUID | None:
    """The attempt that is verified from then on."""
    assert change.state is S.VERIFYING
    assert change.progress.verification is not None
    return change.progress.verification.attempt_id


def test_what_happened_is_verified_and_keeps_its_claim() -> None:
    """The verdict comes with the verification."""
    for rule in ({}, {"verify": None}):
        done = end(Outcome.DONE, detail="terminated")
        change = ended(remediating(rule=rule), running(), done, START, TERMS)
        assert (verified(change), change.end, change.verdict) == (ATTEMPT, done, None)
        assert change.entries[0].kind is EntryKind.EFFECT
        assert change.entries[0].text.endswith(": done. pid 4711 of app as reporting: done (terminated)")
        assert "ran; is it better?" in change.entries[1].text


def test_what_did_not_happen_is_verified_without_its_attempt() -> None:
    """Its claim is given up at once: nothing of it is left to hold."""
    missed = end(Outcome.NOT_DONE)
    change = ended(remediating(), running(), missed, START, TERMS)
    assert (verified(change), change.end) == (None, missed)
    assert change.verdict == AttemptVerdict(attempt_id=ATTEMPT)
    assert change.entries[0].text.endswith(": not done. pid 4711 of app as reporting: not done")
    assert "found nothing left to do; is it better?" in change.entries[1].text


@pytest.mark.parametrize("outcome", [Outcome.UNKNOWN, Outcome.STARTED])
@pytest.mark.parametrize("undo_of", [None, UUID(int=3)])
def test_what_nobody_knows_is_a_quarantine_and_a_person_is_told(
    outcome: Outcome, undo_of: UUID | None
) -> None:
    """Whatever it was for; what still runs is as unknown."""
    change = ended(remediating(), running(undo_of=undo_of), end(outcome), START, TERMS)
    reason = "nobody can say whether postgres.terminate_queries on postgres/orders happened"
    assert change.state is S.ESCALATED
    assert change.quarantine == Quarantine(attempt_id=ATTEMPT, reason=reason)
    assert change.end is not None
    assert change.end.outcome is Outcome.UNKNOWN
    assert change.entries[0].kind is EntryKind.EFFECT
    assert f"{reason}; the target is quarantined" in change.notices[0].text


def test_an_undo_that_happened_gives_its_target_back() -> None:
    """The ladder goes on; nothing is owed any more."""
    owing = case(S.REMEDIATING, attempt=running(), step=1, take_back=UUID(int=3))
    done = end(Outcome.DONE)
    change = ended(owing, running(undo_of=UUID(int=3)), done, START, TERMS)
    assert (change.state, change.progress.take_back, change.end) == (S.OPEN, None, done)
    assert change.verdict == AttemptVerdict(attempt_id=ATTEMPT)
    assert change.entries[0].kind is EntryKind.EFFECT
    assert "took the last attempt back" in change.entries[-1].text
    over = undo_over(owing, running(), START, TERMS, "needs none", NOTE)
    assert (over.entries[0], over.progress.take_back) == (NOTE, None)
    assert over.verdict == AttemptVerdict(attempt_id=ATTEMPT)


def test_an_undo_that_did_not_happen_is_a_quarantine() -> None:
    """Found so, or not started in time: the target is not as it was, and a person has to look."""
    undo, missed = running(undo_of=UUID(int=3)), end(Outcome.NOT_DONE)
    reason = "the undo by postgres.terminate_queries on postgres/orders did not happen"
    for change in (
        ended(remediating(), undo, missed, START, TERMS),
        too_late(remediating(), undo, missed, START, TERMS),
    ):
        assert (change.state, change.end) == (S.ESCALATED, missed)
        assert change.quarantine == Quarantine(attempt_id=ATTEMPT, reason=reason)
        assert change.notices[0].text.endswith(f"{reason}; the target is quarantined")
        assert change.entries[0].kind is EntryKind.EFFECT


def test_an_undo_that_a_guard_holds_is_owed() -> None:
    """A person hears why, and the target stays held."""
    halted = GuardVerdict(guard=Guard.HALT, ruling=Ruling.WAIT, reason="halted by ann")
    change = undo_owed(remediating(), running(), halted, NOTE, START, TERMS)
    reason = "the undo of postgres.terminate_queries on postgres/orders is owed: halted by ann"
    assert (change.state, change.entries[0]) == (S.ESCALATED, NOTE)
    assert change.quarantine == Quarantine(attempt_id=ATTEMPT, reason=reason)
    assert change.notices[0].text.endswith(f"{reason}; the target is quarantined")


def test_what_was_not_started_in_time_is_taken_again_but_not_for_ever() -> None:
    """The step is given back, its claim too; the third time in a row a person is told."""
    missed = end(Outcome.NOT_DONE)
    again = too_late(remediating(missed_starts=1), running(step=0), missed, START, TERMS)
    assert (again.state, again.progress.step, again.progress.missed_starts) == (S.OPEN, 0, 2)
    assert (again.end, again.verdict, again.quarantine) == (missed, AttemptVerdict(attempt_id=ATTEMPT), None)
    assert again.entries[0].kind is EntryKind.EFFECT
    assert "the effect was not started in time; nothing ran" in again.entries[-1].text
    held = remediating(missed_starts=TERMS.missed_starts - 1).model_copy(update={"holds": True})
    last = too_late(held, running(step=0), missed, START, TERMS)
    assert last.state is S.ESCALATED
    assert "could not be started, 3 times in a row" in last.notices[0].text
    assert (last.end, last.verdict, last.quarantine) == (missed, AttemptVerdict(attempt_id=ATTEMPT), None)
    assert last.entries[0].kind is EntryKind.EFFECT


LIMIT = timedelta(seconds=7)
OVER = START + 5 * SECOND + 30 * SECOND + LIMIT
"""The latest start, the step's timeout, and how long it may run at the target."""


def settle(found: AttemptEnd, now: datetime, **attempt: Any) -> Change:
    """What is written after a crash, when the target has answered."""
    return settled(remediating(), running(**attempt), found, now, TERMS, LIMIT)


def test_a_proven_yes_is_believed_at_once() -> None:
    """For every element; a "no" for one of them may still become a "yes"."""
    assert verified(settle(end(Outcome.DONE), START)) == ATTEMPT
    partly = end(Outcome.DONE, Outcome.DONE, Outcome.NOT_DONE)
    nothing = end(Outcome.UNKNOWN).model_copy(update={"results": ()})
    for answer in (partly, end(Outcome.NOT_DONE), end(Outcome.UNKNOWN), nothing):
        waits = settle(answer, OVER - timedelta(microseconds=1))
        assert (waits.state, waits.due_at, waits.end) == (S.REMEDIATING, OVER, None)
    assert verified(settle(partly, OVER)) == ATTEMPT


def test_a_no_is_believed_when_nothing_can_start_any_more_and_only_where_it_is_fenced() -> None:
    """Then the step is given back; unfenced it is unknown, for each element that said no."""
    change = settle(end(Outcome.NOT_DONE), OVER)
    assert (change.state, change.progress.step, change.progress.missed_starts) == (S.OPEN, 0, 1)
    assert "the attempt that was cut off is proven not to have happened" in change.entries[-1].text
    partly = end(Outcome.DONE, Outcome.DONE, Outcome.NOT_DONE)
    for answer in (end(Outcome.NOT_DONE), partly):
        unknown = settle(answer, OVER, fenced=False)
        assert unknown.state is S.ESCALATED
        assert unknown.end is not None
        assert unknown.end.outcome is Outcome.UNKNOWN
        outcomes = [each.outcome for each in unknown.end.results]
        assert Outcome.NOT_DONE not in outcomes
        assert outcomes.count(Outcome.DONE) == [each.outcome for each in answer.results].count(Outcome.DONE)
    assert verified(settle(end(Outcome.DONE), OVER, fenced=False)) == ATTEMPT
    assert settle(end(Outcome.UNKNOWN), OVER).state is S.ESCALATED


def test_that_the_target_was_asked_stands_in_the_timeline() -> None:
    """Whatever it said; what whoever ran it has told says nothing of that."""
    for outcome in (Outcome.DONE, Outcome.NOT_DONE, Outcome.UNKNOWN):
        [told, *_] = settle(end(outcome), OVER).entries
        assert told.kind is EntryKind.EFFECT
        assert told.facts["asked"] is True
        assert told.text.startswith("no outcome was recorded, so the target was asked: postgres.terminate")
    [told, *_] = ended(remediating(), running(), end(Outcome.DONE), START, TERMS).entries
    assert "asked" not in told.facts
    assert told.text.startswith("postgres.terminate_queries: done")


OVERALL = [
    ((), Outcome.NOT_DONE),
    ((Outcome.NOT_DONE,), Outcome.NOT_DONE),
    ((Outcome.NOT_DONE, Outcome.DONE), Outcome.DONE),
    ((Outcome.DONE, Outcome.UNKNOWN), Outcome.UNKNOWN),
    ((Outcome.DONE, Outcome.STARTED), Outcome.UNKNOWN),
]


@pytest.mark.parametrize(("each", "whole"), OVERALL)
def test_of_all_elements_what_nobody_knows_weighs_most(each: tuple[Outcome, ...], whole: Outcome) -> None:
    """Then what was done: one effect is an effect."""
    assert overall(tuple(ElementOutcome(element="e", outcome=one, detail="") for one in each)) is whole


def test_a_verification_has_the_deadline_of_its_rule() -> None:
    """Or the one of the settings, where the rule has none."""
    before = remediating(missed_starts=2, hold=hold(), approval=APPROVED)
    change = verifying(before, START, TERMS, running(), "why", NOTE)
    assert change.progress.verification == Verification(
        started_at=START, deadline=START + WITHIN, attempt_id=ATTEMPT
    )
    assert (change.deadline, change.due_at) == (START + WITHIN, START)
    assert (change.progress.hold, change.progress.missed_starts, change.progress.approval) == (None, 0, None)
    assert change.entries[0] == NOTE
    assert change.entries[1].text == "Verifying: why (until recovered, 5m30s at most)"
    bare = before.rule.verify
    assert bare is not None
    for verify in (None, bare.model_copy(update={"alert_resolved_within": None})):
        longer = verifying(remediating(rule={"verify": verify}), START, TERMS, None, "why")
        assert longer.deadline == START + TERMS.verify_deadline


def test_what_was_good_counts_anew() -> None:
    """The verification goes on, looked at soon."""
    good = Verification(started_at=START, deadline=START + WITHIN, good_since=START)
    change = not_yet_good(case(S.VERIFYING, verification=good), START, TERMS)
    assert change.progress.verification == good.model_copy(update={"good_since": None})
    assert change.due_at == START + TERMS.verify_every
    assert not_yet_good(case(S.VERIFYING, verification=None), START, TERMS).progress.verification is None


def test_an_effect_is_told_with_its_elements_and_what_it_left() -> None:
    """By title where it is known; the state after where there is one."""
    told = ended(remediating(), running(), end(Outcome.DONE, detail="terminated"), START, TERMS).entries[0]
    assert told.facts == {
        "attempt": str(ATTEMPT),
        "action": "postgres.terminate_queries",
        "outcome": "done",
        "results": [
            {
                "element": KEY,
                "title": "pid 4711 of app as reporting",
                "outcome": "done",
                "detail": "terminated",
            }
        ],
    }
    after = end(Outcome.DONE).model_copy(update={"state_after": {"b": 1, "a": 2}})
    left = ended(remediating(), running(elements=()), after, START, TERMS).entries[0]
    assert left.facts["state_after"] == '{"a":2,"b":1}'
    assert left.facts["results"][0]["title"] == KEY


def test_an_act_by_hand_that_nothing_verifies_ends_with_its_outcome() -> None:
    """Its rule has no `verify`: what is known is told. Where it has one it is verified as ever."""
    bare = remediating(given={"by_hand": ASKED}, rule={"verify": None})
    whole = remediating(given={"by_hand": ASKED})
    for outcome in (Outcome.DONE, Outcome.NOT_DONE):
        known = end(outcome)
        told = unproven(bare, ASKED, running(), known, _effect(running(), known), START, TERMS)
        assert ended(bare, running(), known, START, TERMS) == told
        assert ended(whole, running(), known, START, TERMS).state is S.VERIFYING
    unknown = ended(bare, running(), end(Outcome.UNKNOWN), START, TERMS)
    assert (unknown.state, unknown.quarantine is None) == (S.ESCALATED, False)
    assert nothing_to_do(bare, 0, NOTE, START, TERMS) == nothing_found(bare, 0, FOUND_NOTHING, START, TERMS)
    assert nothing_to_do(whole, 0, NOTE, START, TERMS).state is S.VERIFYING
