"""Verification: whether what was done helped.

Recovered needs everything that `verify` names, without a break, for `stable_for`: the source says resolved
and every probe answers as expected. An empty answer is no data, and no data is not recovery. Where an API is
configured, its word is needed; only where there is none does the webhook's word count.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from responder.decide.all_of import owed_parts
from responder.decide.case import AttemptVerdict, Case, Change, Reading, Terms
from responder.decide.changes import escalated, go_on, resolved, stay
from responder.model.attempt import Attempt, Verdict
from responder.model.duration import format_duration
from responder.model.incident import Verification
from responder.model.rule import AllOf, Rung, Undo
from responder.model.timeline import EntryDraft, EntryKind


def assess(case: Case, reading: Reading, now: datetime, terms: Terms) -> Change:
    """What one reading means for a running verification."""
    running = case.incident.progress.verification
    if running is None:
        return escalated(case, now, "a verification was to be read that never began", terms)
    good, no_data, text = _weigh(case, reading)
    running = running.model_copy(
        update={"good_since": (running.good_since or now) if good else None, "no_data": no_data}
    )
    if stable(case, running, now) and case.members.firing == 0:
        return _recovered(case, running, _entry(Verdict.RECOVERED, text, case, reading), now, terms)
    if now >= running.deadline and not good:
        return _failed(case, running, text, reading, now, terms)
    if over(case, running, now, terms):
        return _failed(case, running, _too_short(case, running, now), reading, now, terms)
    entry = _entry(None, text, case, reading)
    told = running.last == text
    return stay(
        case,
        _next_look(running, now, terms, _stable_for(case)),
        *(() if told else (entry,)),
        verification=running.model_copy(update={"last": text}),
    )


def stable(case: Case, running: Verification, now: datetime) -> bool:
    """Whether everything has held long enough."""
    return running.good_since is not None and now >= running.good_since + _stable_for(case)


def over(case: Case, running: Verification, now: datetime, terms: Terms) -> bool:
    """Whether the time is up for what was good at the deadline, too.

    What was good for long enough gets one look more, in which the end that was never sent is journaled.
    """
    patience = 2 * terms.verify_every if stable(case, running, now) else timedelta(0)
    return now >= running.deadline + _stable_for(case) + patience


def _too_short(case: Case, running: Verification, now: datetime) -> str:
    if stable(case, running, now):
        return "the source says that the alert ended, and its notifications go on saying that it fires"
    return "it was good for too short a time"


def _stable_for(case: Case) -> timedelta:
    return case.rule.verify.stable_for if case.rule.verify is not None else timedelta(0)


def _next_look(running: Verification, now: datetime, terms: Terms, stable_for: timedelta) -> datetime:
    known = [running.deadline, running.deadline + stable_for]
    if running.good_since is not None:
        known.append(running.good_since + stable_for)
    return min([now + terms.verify_every, *(time for time in known if time > now)])


def _weigh(case: Case, reading: Reading) -> tuple[bool, str | None, str]:
    """Good or not; what could not be answered, where nothing is known to be bad; the reading in words."""
    alert, alert_text = _alert_holds(case, reading)
    holds = [alert, *(probe.holds for probe in reading.probes)]
    text = "; ".join([alert_text, *(probe.text for probe in reading.probes)])
    if all(holds):
        return True, None, text
    return False, None if False in holds else text, text


def _alert_holds(case: Case, reading: Reading) -> tuple[bool | None, str]:
    view, firing = reading.source, case.members.firing
    if not view.configured:
        word = "the alert ended" if firing == 0 else "the alert still fires"
        return firing == 0, f"{word} (as notified)"
    if view.problem is not None:
        return None, f"the source does not say whether the alert ended: {view.problem}"
    if view.firing or view.suppressed:
        return False, "the source says that the alert still fires"
    return True, "the source says that the alert ended"


def _recovered(case: Case, running: Verification, entry: EntryDraft, now: datetime, terms: Terms) -> Change:
    held = format_duration(_stable_for(case))
    change = resolved(case, now, f"recovered, stable for {held}", terms, entry)
    return _with_verdict(change, running, Verdict.RECOVERED, terms)


def _failed(
    case: Case, running: Verification, text: str, reading: Reading, now: datetime, terms: Terms
) -> Change:
    if running.no_data is not None:
        entry = _entry(Verdict.NO_DATA, text, case, reading)
        reason = f"nobody can say whether it recovered: {running.no_data}"
        return _with_verdict(escalated(case, now, reason, terms, entry), running, Verdict.NO_DATA, terms)
    entry = _entry(Verdict.NOT_RECOVERED, text, case, reading)
    why = f"not recovered in time: {text}"
    attempt, progress = case.attempt, case.incident.progress
    if attempt is None or attempt.holder != running.attempt_id or attempt.step >= len(case.rule.steps):
        change = go_on(case, now, terms, why, entry, verification=None)
        return _with_verdict(change, running, Verdict.NOT_RECOVERED, terms)
    step, moved = case.rule.steps[attempt.step], {"step": progress.step}
    if 1 <= progress.taken <= step.repeat:
        why = f"{why}; it is taken again ({progress.taken} of {step.repeat})"
        moved = {"step": attempt.step}
    back = _owed(case, attempt, step)
    change = go_on(case, now, terms, why, entry, verification=None, take_back=back, **moved)
    return _with_verdict(change, running, Verdict.NOT_RECOVERED, terms, claim_stays=back is not None)


def _owed(case: Case, attempt: Attempt, step: Rung) -> UUID | None:
    """The attempt that is taken back first, where any is."""
    if isinstance(step, AllOf):
        return next((one.id for one in owed_parts(case)), None)
    return attempt.id if step.undo is Undo.IF_NOT_RECOVERED else None


def _with_verdict(
    change: Change, running: Verification, verdict: Verdict, terms: Terms, *, claim_stays: bool = False
) -> Change:
    if running.attempt_id is None:
        return change
    written = AttemptVerdict(
        attempt_id=running.attempt_id,
        verdict=verdict,
        claim_stays=claim_stays,
        breaks_after=terms.breaker_after if verdict is Verdict.NOT_RECOVERED else None,
    )
    return change.model_copy(update={"verdict": written, "quarantine": None})


def _entry(verdict: Verdict | None, text: str, case: Case, reading: Reading) -> EntryDraft:
    """With what each probe said: whoever plays the past anew asks for it."""
    words = {
        None: "not yet",
        Verdict.RECOVERED: "recovered",
        Verdict.NOT_RECOVERED: "not recovered",
        Verdict.NO_DATA: "no data",
    }
    facts: dict[str, Any] = {"verdict": verdict.value if verdict else None, "reading": text}
    probes = case.rule.verify.probes if case.rule.verify is not None else ()
    if probes:
        said = zip(probes, reading.probes, strict=True)
        facts["probes"] = {str(probe): one.holds for probe, one in said}
    return EntryDraft(
        kind=EntryKind.VERIFICATION, text=f"Verification, {words[verdict]}: {text}", facts=facts
    )
