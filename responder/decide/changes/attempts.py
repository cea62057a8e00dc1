"""From the intent to the verdict: what became of an effect, what is believed of it, what is taken back."""

from datetime import datetime, timedelta
from typing import Any

from responder.decide.all_of import done_parts, step_of
from responder.decide.case import (
    AttemptEnd,
    AttemptVerdict,
    Case,
    Change,
    Quarantine,
    Terms,
)
from responder.decide.changes import groups
from responder.decide.changes.base import attempted, go_on, moved, stay
from responder.decide.changes.by_hand import nothing_found, unproven
from responder.decide.changes.endings import escalated
from responder.decide.changes.spent import found_nothing
from responder.model.attempt import Attempt, ElementOutcome, Intent, Outcome
from responder.model.base import canonical_json
from responder.model.duration import format_duration
from responder.model.guard import GuardVerdict
from responder.model.incident import IncidentState, Verification
from responder.model.rule import GiveBack
from responder.model.timeline import EntryDraft, EntryKind


def intended(case: Case, intent: Intent, entry: EntryDraft, now: datetime, terms: Terms) -> Change:
    """Written with the intent: the step is used, the effect may start."""
    deadline = now + timedelta(seconds=intent.timeout_s) + terms.effect_grace
    titles = [element.title for element in intent.elements]
    facts = {
        "attempt": str(intent.attempt_id),
        "step": intent.step,
        "action": intent.action,
        "target": intent.target,
        "elements": titles,
        "approval": str(intent.approval) if intent.approval else None,
        **({} if intent.part is None else {"part": intent.part}),
        **({} if intent.undo_of is None else {"undo_of": str(intent.undo_of)}),
    }
    group = groups.begun(case, intent)
    which = "" if group is None or intent.part is None else f" (part {intent.part + 1} of {group.of})"
    text = f"about to run {intent.action} on {intent.target}{which}: {', '.join(titles)}"
    progress = case.incident.progress
    if intent.undo_of is None and intent.all_of in {None, intent.attempt_id}:
        before = progress.taken if _taken_before(case, intent.step) else 0
        progress = progress.model_copy(update={"step": intent.step + 1, "taken": before + 1})
    return Change(
        state=IncidentState.REMEDIATING,
        progress=progress.model_copy(
            update={"hold": None, "approval": None, "shadow": False, "group": group}
        ),
        deadline=deadline,
        due_at=deadline,
        entries=(entry, EntryDraft(kind=EntryKind.INTENT, text=text, facts=facts)),
    )


def _taken_before(case: Case, index: int) -> bool:
    """Whether this step was the last that this ladder took."""
    return attempted(case) and case.attempt is not None and case.attempt.step == index


def nothing_to_do(case: Case, index: int, entry: EntryDraft, now: datetime, terms: Terms) -> Change:
    """The look found no element: no attempt, on to verification."""
    entry = entry.model_copy(update={"facts": {**entry.facts, "nothing_to_do": True}})
    if case.incident.by_hand is not None and case.rule.verify is None:
        return nothing_found(case, index, entry, now, terms)
    change = verifying(case, now, terms, None, f"step {index + 1} found nothing to do", entry)
    passed = found_nothing(index, case.rule.steps[index].action, entry.facts.get("target"))
    update = {"step": index + 1, "passed_over": passed}
    return change.model_copy(update={"progress": change.progress.model_copy(update=update)})


def part_needless(case: Case, entry: EntryDraft, now: datetime, terms: Terms) -> Change:
    """The look found nothing to do in a part of an `all:`: on to the next, or to verification."""
    entry = entry.model_copy(update={"facts": {**entry.facts, "nothing_to_do": True}})
    progress = case.incident.progress
    number = 0 if progress.group is None else progress.group.part + 1
    why = f"part {number} found nothing to do"
    if groups.left(progress):
        return groups.next_part(case, now, terms, why, entry)
    return verifying(case, now, terms, case.attempt, why, entry)


def ended(case: Case, attempt: Attempt, end: AttemptEnd, now: datetime, terms: Terms) -> Change:
    """An attempt has an outcome: verify what happened, quarantine what nobody knows."""
    end = _owed_back(case, attempt, end)
    entry, asked = _with_give_back(_effect(attempt, end), end), case.incident.by_hand
    if asked is not None and case.rule.verify is None and end.outcome in {Outcome.DONE, Outcome.NOT_DONE}:
        return unproven(case, asked, attempt, end, entry, now, terms)
    if attempt.undo_of is not None and end.outcome is Outcome.DONE:
        return _taken_back(case, attempt, end, entry, now, terms)
    if attempt.undo_of is not None and end.outcome is Outcome.NOT_DONE:
        return _undo_failed(case, attempt, end, now, terms)
    if attempt.all_of is not None and (change := _part_ended(case, attempt, end, entry, now, terms)):
        return change
    match end.outcome:
        case Outcome.DONE:
            change = verifying(case, now, terms, attempt, f"{attempt.action} ran; is it better?", entry)
            return change.model_copy(update={"end": end})
        case Outcome.NOT_DONE:
            why = f"{attempt.action} found nothing left to do; is it better?"
            change = verifying(case, now, terms, None, why, entry)
            verdict = AttemptVerdict(attempt_id=attempt.id)
            return change.model_copy(update={"end": end, "verdict": verdict})
        case Outcome.UNKNOWN | Outcome.STARTED:
            return _quarantined(case, attempt, end, entry, now, terms)


def _owed_back(case: Case, attempt: Attempt, end: AttemptEnd) -> AttemptEnd:
    """With after how long it is given back: it is owed from now on, whatever becomes of the incident."""
    if end.outcome is not Outcome.DONE or attempt.undo_of is not None:
        return end
    if attempt.step >= len(case.rule.steps):
        return end
    undo = step_of(case, attempt).undo
    return end.model_copy(update={"give_back_after": undo.after}) if isinstance(undo, GiveBack) else end


def _with_give_back(entry: EntryDraft, end: AttemptEnd) -> EntryDraft:
    if end.give_back_after is None:
        return entry
    after = format_duration(end.give_back_after)
    facts = {**entry.facts, "give_back_after": after}
    return entry.model_copy(update={"text": f"{entry.text}; given back in {after}", "facts": facts})


def _part_ended(
    case: Case, attempt: Attempt, end: AttemptEnd, entry: EntryDraft, now: datetime, terms: Terms
) -> Change | None:
    """What follows where it is not what follows on a step alone."""
    if end.outcome is Outcome.DONE and groups.left(case.incident.progress):
        change = groups.next_part(case, now, terms, f"{attempt.action} ran", entry)
    elif end.outcome is Outcome.NOT_DONE and done_parts(case):
        change = groups.stopped(case, now, terms, f"{attempt.action} found nothing left to do", entry)
    else:
        return None
    return change.model_copy(update={"end": end})


def _taken_back(
    case: Case, attempt: Attempt, end: AttemptEnd, entry: EntryDraft, now: datetime, terms: Terms
) -> Change:
    change = undo_over(case, attempt, now, terms, f"{attempt.action} took the last attempt back", entry)
    return change.model_copy(update={"end": end})


def too_late(case: Case, attempt: Attempt, end: AttemptEnd, now: datetime, terms: Terms) -> Change:
    """The effect was not let start in time: nothing ran."""
    return _not_started(case, attempt, end, now, terms, "the effect was not started in time; nothing ran")


def _not_started(
    case: Case, attempt: Attempt, end: AttemptEnd, now: datetime, terms: Terms, why: str
) -> Change:
    """Nothing ran, and the step is taken again, but not for ever: what never starts is told to a person."""
    if attempt.undo_of is not None:
        return _undo_failed(case, attempt, end, now, terms)
    effect, missed = _effect(attempt, end), case.incident.progress.missed_starts + 1
    if attempt.all_of not in {None, attempt.id}:
        return _part_not_started(case, attempt, end, now, terms, why)
    if missed >= terms.missed_starts:
        reason = f"{attempt.action} on {attempt.target} could not be started, {missed} times in a row: {why}"
        change = escalated(case, now, reason, terms, effect)
    else:
        again = {"step": attempt.step, "taken": case.incident.progress.taken - 1, "group": None}
        change = go_on(case, now, terms, why, effect, missed_starts=missed, **again)
    verdict = AttemptVerdict(attempt_id=attempt.id)
    return change.model_copy(update={"end": end, "verdict": verdict, "quarantine": None})


def _part_not_started(
    case: Case, attempt: Attempt, end: AttemptEnd, now: datetime, terms: Terms, why: str
) -> Change:
    """A further part of an `all:` is taken again by itself: those before it had their effect."""
    effect, missed = _effect(attempt, end), case.incident.progress.missed_starts + 1
    if missed >= terms.missed_starts:
        reason = f"{attempt.action} on {attempt.target} could not be started, {missed} times in a row: {why}"
        change = groups.stopped(case, now, terms, reason, effect)
    else:
        change = go_on(case, now, terms, why, effect, missed_starts=missed)
    return change.model_copy(update={"end": end})


def settled(
    case: Case, attempt: Attempt, end: AttemptEnd, now: datetime, terms: Terms, limit: timedelta
) -> Change:
    """An intent without outcome was found after a crash, and the target was asked whether it happened.

    "No", and be it for one of many elements, is believed only where the effect is fenced, and only when it
    can no longer start or run: a call begins before `start_before`, reaches the target within the step's
    timeout, and runs there for `limit` at the most. Until then the incident waits. A proven "no" for all
    gives the step back.
    """
    over = attempt.start_before + timedelta(seconds=attempt.timeout_s) + limit
    certain = end.outcome is Outcome.DONE and all(each.outcome is Outcome.DONE for each in end.results)
    if not certain and now < over:
        return stay(case, over)
    end = (end if certain or attempt.fenced else _doubted(end)).model_copy(update={"asked": True})
    if end.outcome is Outcome.NOT_DONE:
        why = "the attempt that was cut off is proven not to have happened"
        return _not_started(case, attempt, end, now, terms, why)
    return ended(case, attempt, end, now, terms)


def _doubted(end: AttemptEnd) -> AttemptEnd:
    """What nothing fences may still happen after a "no": nobody knows."""
    results = tuple(
        each.model_copy(update={"outcome": Outcome.UNKNOWN}) if each.outcome is Outcome.NOT_DONE else each
        for each in end.results
    )
    return end.model_copy(update={"outcome": Outcome.UNKNOWN, "results": results})


def overall(results: tuple[ElementOutcome, ...]) -> Outcome:
    """One outcome for all elements: unknown weighs most, then done, then not done."""
    outcomes = {result.outcome for result in results}
    if outcomes & {Outcome.UNKNOWN, Outcome.STARTED}:
        return Outcome.UNKNOWN
    return Outcome.DONE if Outcome.DONE in outcomes else Outcome.NOT_DONE


def verifying(
    case: Case, now: datetime, terms: Terms, attempt: Attempt | None, why: str, *entries: EntryDraft
) -> Change:
    """To `verifying`, with the deadline that the rule gives."""
    verify = case.rule.verify
    window = terms.verify_deadline
    if verify is not None and verify.alert_resolved_within is not None:
        window = verify.alert_resolved_within + verify.stable_for
    deadline = now + window
    proves = attempt.holder if attempt else None
    running = Verification(started_at=now, deadline=deadline, attempt_id=proves)
    text = f"{why} (until recovered, {format_duration(window)} at most)"
    return Change(
        state=IncidentState.VERIFYING,
        progress=case.incident.progress.model_copy(
            update={
                "hold": None,
                "approval": None,
                "verification": running,
                "missed_starts": 0,
                "group": None,
            }
        ),
        deadline=deadline,
        due_at=now,
        entries=(*entries, moved(case, IncidentState.VERIFYING, text)),
    )


def not_yet_good(case: Case, now: datetime, terms: Terms) -> Change:
    """The time that it has been good for counts anew."""
    running = case.incident.progress.verification
    again = None if running is None else running.model_copy(update={"good_since": None})
    return stay(case, now + terms.verify_every, verification=again)


_ASKED = "no outcome was recorded, so the target was asked: "


def _effect(attempt: Attempt, end: AttemptEnd) -> EntryDraft:
    titles = {element.key: element.title for element in attempt.elements}
    results = [
        {
            "element": result.element,
            "title": titles.get(result.element, result.element),
            "outcome": result.outcome.value,
            "detail": result.detail,
        }
        for result in end.results
    ]
    told = "; ".join(
        f"{r['title']}: {r['outcome'].replace('_', ' ')}" + (f" ({r['detail']})" if r["detail"] else "")
        for r in results
    )
    facts: dict[str, Any] = {
        "attempt": str(attempt.id),
        "action": attempt.action,
        "outcome": end.outcome.value,
        "results": results,
    }
    if end.asked:
        facts["asked"] = True
    if end.state_after is not None:
        facts["state_after"] = canonical_json(end.state_after)
    lead, outcome = _ASKED if end.asked else "", end.outcome.value.replace("_", " ")
    return EntryDraft(kind=EntryKind.EFFECT, text=f"{lead}{attempt.action}: {outcome}. {told}", facts=facts)


_AND_HELD = "; the target is quarantined"


def _quarantined(
    case: Case, attempt: Attempt, end: AttemptEnd, entry: EntryDraft, now: datetime, terms: Terms
) -> Change:
    reason = f"nobody can say whether {attempt.action} on {attempt.target} happened"
    change = escalated(case, now, f"{reason}{_AND_HELD}{groups.half_done(case)}", terms, entry)
    unknown = end.model_copy(update={"outcome": Outcome.UNKNOWN})
    quarantine = Quarantine(attempt_id=attempt.holder, reason=reason)
    return change.model_copy(update={"end": unknown, "quarantine": quarantine})


def undo_over(
    case: Case, attempt: Attempt, now: datetime, terms: Terms, why: str, *entries: EntryDraft
) -> Change:
    """What an attempt changed is taken back, or needs no taking back: its claim ends, the ladder goes on."""
    if attempt.all_of is not None:
        return groups.undone(case, attempt, now, terms, why, *entries)
    change = go_on(case, now, terms, why, *entries, take_back=None)
    return change.model_copy(update={"verdict": AttemptVerdict(attempt_id=attempt.id)})


def undo_owed(
    case: Case, attempt: Attempt, verdict: GuardVerdict, entry: EntryDraft, now: datetime, terms: Terms
) -> Change:
    """An undo that a guard does not let go becomes an escalation; the claim becomes a quarantine."""
    reason = f"the undo of {attempt.action} on {attempt.target} is owed: {verdict.reason}"
    change = escalated(case, now, f"{reason}{_AND_HELD}", terms, entry)
    return change.model_copy(update={"quarantine": Quarantine(attempt_id=attempt.holder, reason=reason)})


def _undo_failed(case: Case, attempt: Attempt, end: AttemptEnd, now: datetime, terms: Terms) -> Change:
    reason = f"the undo by {attempt.action} on {attempt.target} did not happen"
    change = escalated(case, now, f"{reason}{_AND_HELD}", terms, _effect(attempt, end))
    quarantine = Quarantine(attempt_id=attempt.holder, reason=reason)
    return change.model_copy(update={"end": end, "quarantine": quarantine})
