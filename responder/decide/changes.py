"""What a result means for an incident: each function turns a Case and what came back into a Change.

Every state that is entered here gets its deadline here. Verification is in `verify`.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from responder.decide.case import (
    AttemptEnd,
    AttemptVerdict,
    Case,
    Change,
    Facts,
    Notice,
    Quarantine,
    SourceView,
    Terms,
)
from responder.model.attempt import Attempt, ElementOutcome, Intent, Outcome
from responder.model.base import canonical_json
from responder.model.duration import format_duration
from responder.model.guard import Guard, GuardVerdict, Judgement, Refuses, Ruling
from responder.model.incident import CommandKind, Hold, IncidentState, Progress, Verification
from responder.model.severity import Severity
from responder.model.timeline import EntryDraft, EntryKind

_LONGEST_TOLD = 200
"""Characters of a label's value in a text for people."""


def stay(case: Case, due_at: datetime | None, *entries: EntryDraft, **progress: Any) -> Change:
    """The same state, looked at again at `due_at`; `progress` names what moves in it."""
    incident = case.incident
    return Change(
        state=incident.state,
        progress=incident.progress.model_copy(update=progress),
        deadline=incident.deadline,
        due_at=due_at,
        entries=entries,
    )


def failed(case: Case, now: datetime, terms: Terms, problem: str) -> Change:
    """A move that could not be made: try again a little later, and escalate at the state's deadline."""
    entry = EntryDraft(kind=EntryKind.ERROR, text=f"a move failed: {problem}", facts={"problem": problem})
    incident = case.incident
    if incident.deadline is not None and now >= incident.deadline:
        return escalated(case, now, f"it cannot go on: {problem}", terms, entry)
    return stay(case, now + terms.hold_every, entry)


def go_on(case: Case, now: datetime, terms: Terms, why: str, *entries: EntryDraft, **progress: Any) -> Change:
    """To `open`, and on at once."""
    return Change(
        state=IncidentState.OPEN,
        progress=case.incident.progress.model_copy(update={"hold": None, **progress}),
        deadline=now + terms.open_deadline,
        due_at=now,
        entries=(*entries, moved(case, IncidentState.OPEN, why)),
    )


def moved(case: Case, to: IncidentState, why: str) -> EntryDraft:
    """The timeline's word on a change of state."""
    facts = {"from": case.incident.state.value, "to": to.value, "why": why}
    return EntryDraft(
        kind=EntryKind.STATE, text=f"{to.value.replace('_', ' ').capitalize()}: {why}", facts=facts
    )


# --- opening, members, evidence -----------------------------------------------------------------------


def opened(case: Case, now: datetime, terms: Terms) -> Change:
    """From `pending` to `open`: the ladder begins."""
    incident, members = case.incident, case.members
    facts: dict[str, Any] = {
        "rule": case.rule.name,
        "severity": incident.severity.value,
        "labels": incident.key,
    }
    group = (
        ", ".join(f"{name}={_short(value)}" for name, value in sorted(incident.key.items())) or "all alerts"
    )
    text = f"{incident.severity} {case.rule.name} opened for {group}"
    if members.first_heard_at is not None and members.first_heard_at < incident.opened_at:
        heard = members.first_heard_at.astimezone(UTC)
        facts["heard_at"] = heard.isoformat()
        text += f"; no rule took it when it was heard of at {heard:%Y-%m-%d %H:%M:%S} UTC, a new rulebook did"
    return Change(
        state=IncidentState.OPEN,
        progress=Progress(
            opened_at=now,
            told_severity=incident.severity,
            told_members=members.total,
            told_firing=members.firing,
        ),
        deadline=now + terms.open_deadline,
        due_at=now,
        entries=(EntryDraft(kind=EntryKind.OPENED, text=text, facts=facts), *_alerts(case)),
    )


def _short(value: str) -> str:
    """A label's value may have a megabyte; the facts have all of it."""
    return value if len(value) <= _LONGEST_TOLD else f"{value[:_LONGEST_TOLD]}\u2026"


def reopened(case: Case, now: datetime, terms: Terms) -> Change:
    """An alert fires again: a resolved incident goes on with its ladder, a recorded one starts anew.

    Nothing of a recorded one is under way, so it starts anew with the rule as it is now.
    """
    fresh = case.incident.state is IncidentState.RECORDED
    progress = (
        {"step": 0, "opened_at": now, "shadow": False, "evidence_started": False, "in_auto": None}
        if fresh
        else {"acknowledged_by": None, "acknowledged_at": None}
    )
    again = _renewed(case) if fresh else None
    told = _renewal(case) if again is not None else ()
    change = go_on(case, now, terms, "it fires again", *told, verification=None, outcome=None, **progress)
    return change.model_copy(update={"rulebook_hash": again})


def _renewed(case: Case) -> str | None:
    """The active rulebook, where it is another that makes the same incidents of this rule's alerts."""
    current, pinned = case.current, case.incident.rulebook_hash
    if current is None or case.current_hash == pinned or current.group_by != case.rule.group_by:
        return None
    return case.current_hash


def _renewal(case: Case) -> tuple[EntryDraft, ...]:
    """Told where what acts is another: a changed note, or another rule's change, is no news here."""
    if case.current is None or case.current.acting_hash == case.rule.acting_hash:
        return ()
    facts = {"rulebook": case.current_hash, "before": case.incident.rulebook_hash}
    text = f"judged by {case.rule.name} as it is now: a newer rulebook is active"
    return (EntryDraft(kind=EntryKind.RULE, text=text, facts=facts),)


def members_changed(case: Case, now: datetime) -> Change:
    """Tell that alerts joined or ended."""
    members = case.members
    return stay(case, now, *_alerts(case), told_members=members.total, told_firing=members.firing)


def severity_changed(case: Case, now: datetime, terms: Terms) -> Change:
    """Tell that a worse alert joined: what waits for a person waits no longer than it allows now."""
    incident, progress = case.incident, case.incident.progress
    before, severity = progress.told_severity or incident.severity, incident.severity
    entry = EntryDraft(
        kind=EntryKind.ALERT,
        text=f"it is {severity} now, no longer {before}: a worse alert joined",
        facts={"from": before.value, "to": severity.value},
    )
    change = stay(case, now, entry, told_severity=severity, hold=_hastened(progress.hold, severity, terms))
    patience = _patience(incident.state, severity, terms)
    if incident.deadline is None or patience is None:
        return change
    deadline = min(incident.deadline, max(now, incident.state_since + patience))
    return change.model_copy(update={"deadline": deadline})


def _patience(state: IncidentState, severity: Severity, terms: Terms) -> timedelta | None:
    """How long a state may last by the severity's terms; None where they do not say."""
    match state:
        case IncidentState.HELD | IncidentState.AWAITING_APPROVAL:
            return terms.severities[severity].response_time
        case IncidentState.ESCALATED:
            return terms.severities[severity].update_interval
        case _:
            return None


def _hastened(hold: Hold | None, severity: Severity, terms: Terms) -> Hold | None:
    if hold is None:
        return None
    deadline = min(hold.deadline, hold.since + terms.severities[severity].response_time)
    return hold.model_copy(update={"deadline": deadline, "until": min(hold.until, deadline)})


def _alerts(case: Case) -> tuple[EntryDraft, ...]:
    members, told = case.members, case.incident.progress
    joined = members.total - told.told_members
    starts = members.first_starts_at
    facts = {
        "joined": joined,
        "firing": members.firing,
        "total": members.total,
        "first_starts_at": starts.isoformat() if starts else None,
    }
    if joined > 0:
        text = (
            f"{joined} alert{'' if joined == 1 else 's'} joined; {members.firing} of {members.total} firing"
        )
    elif members.firing == 0:
        text = f"no alert fires any more ({members.total} in all)"
    else:
        text = f"{members.firing} of {members.total} alerts firing"
    return (EntryDraft(kind=EntryKind.ALERT, text=text, facts=facts),)


def evidence_started(case: Case, now: datetime) -> Change:
    """The evidence steps run beside the ladder from now on."""
    return stay(case, now, evidence_started=True)


def findings_told(case: Case, now: datetime) -> Change:
    """Put gathered evidence into the timeline."""
    entries = tuple(
        EntryDraft(
            kind=EntryKind.EVIDENCE,
            text=f"{finding.action}: {finding.summary}",
            facts={"action": finding.action, "summary": finding.summary, **finding.facts},
        )
        for finding in case.findings
    )
    change = stay(case, None if case.incident.state is IncidentState.CLOSED else now, *entries)
    return change.model_copy(update={"told_findings": tuple(finding.id for finding in case.findings)})


def evidence_read(case: Case, index: int, entry: EntryDraft, now: datetime) -> Change:
    """A read-only step of the ladder ran: on to the next."""
    return stay(case, now, entry, step=index + 1)


# --- judging a step -----------------------------------------------------------------------------------


def judged(case: Case, index: int, facts: Facts, judgement: Judgement, terms: Terms) -> Change:
    """What the verdicts mean when they do not let the step start with an effect."""
    now, verdict = facts.now, judgement.strictest
    if facts.firing == 0:
        return go_on(case, now, terms, "no alert of it fires any more")
    entry = judged_entry(case, index, facts, judgement)
    if verdict.ruling is Ruling.REFUSE and verdict.refuses is Refuses.TARGET:
        skip = f"step {index + 1} ({facts.action}) is passed over: {verdict.reason}"
        return go_on(case, now, terms, skip, entry, step=index + 1, shadow=judgement.shadow)
    if verdict.ruling is Ruling.WAIT and verdict.guard is Guard.SUPPRESSED:
        return _suppressed(case, verdict, entry, terms, now)
    if judgement.shadow and nothing_done(case):
        why, in_auto = _shadow_text(index, facts, verdict), _told_in_auto(case, verdict, terms)
        return recorded_in_shadow(case, now, why, terms, entry, in_auto=in_auto)
    if judgement.shadow:
        reason = f"the last attempt did not help, and the next step may not act: {verdict.reason}"
        return escalated(case, now, reason, terms, entry)
    match verdict.ruling:
        case Ruling.REFUSE:
            return escalated(case, now, verdict.reason, terms, entry)
        case Ruling.WAIT:
            return _held(case, facts, verdict, entry, terms)
        case Ruling.ASK:
            return _asked(case, verdict, entry, terms, now)
        case Ruling.GO:
            raise ValueError("a go with effect becomes an intent, not a change")


def nothing_done(case: Case) -> bool:
    """Whether this ladder had no effect yet and nobody was told: only then may it end without a person."""
    attempt, opened_at = case.attempt, case.incident.progress.opened_at
    attempted = attempt is not None and (opened_at is None or attempt.intended_at >= opened_at)
    return not attempted and case.incident.progress.escalations == 0


def judged_entry(case: Case, index: int, facts: Facts, judgement: Judgement) -> EntryDraft:
    """All verdicts of one judgement, told once."""
    verdict = judgement.strictest
    word = {
        Ruling.GO: "may go",
        Ruling.ASK: "asks a person",
        Ruling.WAIT: "waits",
        Ruling.REFUSE: "is refused",
    }
    shadow = " in shadow" if judgement.shadow else ""
    what = f"{facts.action} on {facts.target or 'no target'}"
    return EntryDraft(
        kind=EntryKind.JUDGED,
        text=f"{what} {word[verdict.ruling]}{shadow}: {_why(verdict)}",
        facts={
            "step": index,
            "action": facts.action,
            "target": facts.target,
            "ruling": verdict.ruling.name.lower(),
            "decided_by": verdict.guard.value,
            "reason": verdict.reason,
            "shadow": judgement.shadow,
            "verdicts": [
                {"guard": v.guard.value, "ruling": v.ruling.name.lower(), "reason": v.reason}
                for v in judgement.verdicts
            ],
            "elements": list(facts.elements[:NAMED]),
            "element_count": len(facts.elements),
            "state": case.incident.state.value,
        },
    )


NAMED = 20
"""How many elements of one step are named: enough to see whether it means the right ones."""


def _named(elements: tuple[str, ...]) -> str:
    """The number of elements first, so that a reader who cuts the line still has it; then their titles."""
    number = f"{len(elements)} element{'' if len(elements) == 1 else 's'}"
    more = f"; and {len(elements) - NAMED} more" if len(elements) > NAMED else ""
    return f"{number}: {'; '.join(elements[:NAMED])}{more}" if elements else number


def _why(verdict: GuardVerdict) -> str:
    if verdict.ruling is Ruling.GO and not verdict.shadow:
        return "every guard lets it go"
    return verdict.reason


def _shadow_text(index: int, facts: Facts, verdict: GuardVerdict) -> str:
    what = f"step {index + 1} ({facts.action} on {facts.target or 'no target'})"
    found = f"; it found {_named(facts.elements)}" if facts.elements else ""
    match verdict.ruling:
        case Ruling.GO:
            return f"in shadow nothing was done; {what} would have started on {_named(facts.elements)}"
        case Ruling.ASK:
            return f"in shadow {what} would have asked a person: {verdict.reason}{found}"
        case Ruling.WAIT:
            return f"in shadow {what} would have been held: {verdict.reason}{found}"
        case Ruling.REFUSE:
            return f"in shadow {what} would have been refused: {verdict.reason}{found}"


def _told_in_auto(case: Case, verdict: GuardVerdict, terms: Terms) -> str | None:
    """What people would have heard of the same verdict in auto; nothing where the step may go."""
    severity = case.incident.severity
    match verdict.ruling:
        case Ruling.GO:
            return None
        case Ruling.ASK:
            return f"a person would have been asked at once ({severity})"
        case Ruling.WAIT:
            patience = format_duration(terms.severities[severity].response_time)
            return f"a person would have been told within {patience} ({severity}) if nothing changed"
        case Ruling.REFUSE:
            return told_at_once(case)


def told_at_once(case: Case) -> str:
    """What auto does where nothing is left that it may do."""
    return f"a person would have been told at once ({case.incident.severity})"


def _held(case: Case, facts: Facts, verdict: GuardVerdict, entry: EntryDraft, terms: Terms) -> Change:
    now, before = facts.now, case.incident.progress.hold
    deadline = before.deadline if before else now + terms.severities[case.incident.severity].response_time
    until = min(verdict.until or now + terms.hold_every, deadline)
    hold = Hold(
        guard=verdict.guard.value,
        reason=verdict.reason,
        until=until,
        since=before.since if before else now,
        deadline=deadline,
        holder=verdict.holder,
    )
    known = before is not None and (before.guard, before.holder) == (hold.guard, hold.holder)
    return Change(
        state=IncidentState.HELD,
        progress=case.incident.progress.model_copy(update={"hold": hold}),
        deadline=deadline,
        due_at=until,
        entries=() if known else (entry, moved(case, IncidentState.HELD, verdict.reason)),
    )


def _suppressed(case: Case, verdict: GuardVerdict, entry: EntryDraft, terms: Terms, now: datetime) -> Change:
    # What held it before stays known: its time goes on when the suppression is over.
    return Change(
        state=IncidentState.SUPPRESSED,
        progress=case.incident.progress,
        deadline=now + terms.suppressed_deadline,
        due_at=now + terms.suppressed_every,
        entries=(entry, moved(case, IncidentState.SUPPRESSED, verdict.reason)),
    )


def _asked(case: Case, verdict: GuardVerdict, entry: EntryDraft, terms: Terms, now: datetime) -> Change:
    deadline = now + terms.severities[case.incident.severity].response_time
    return Change(
        state=IncidentState.AWAITING_APPROVAL,
        progress=case.incident.progress.model_copy(update={"hold": None}),
        deadline=deadline,
        due_at=deadline,
        entries=(entry, moved(case, IncidentState.AWAITING_APPROVAL, verdict.reason)),
        notices=(Notice(level=0, text=f"{case.rule.name} needs a person: {verdict.reason}"),),
    )


def rechecked(case: Case, view: SourceView, now: datetime, terms: Terms) -> Change:
    """The source was asked whether the alerts are still suppressed; no answer changes nothing."""
    if view.problem is not None or (view.suppressed and not view.firing):
        return stay(case, now + terms.suppressed_every)
    return unsuppressed(case, now, terms, "no longer silenced or inhibited")


def unsuppressed(case: Case, now: datetime, terms: Terms, why: str) -> Change:
    """Judged anew. A hold from before goes on where it stood: the time suppressed does not count."""
    hold = case.incident.progress.hold
    if hold is not None:
        later = hold.deadline + (now - case.incident.state_since)
        hold = hold.model_copy(update={"deadline": later})
    return go_on(case, now, terms, why, hold=hold)


# --- attempts -----------------------------------------------------------------------------------------


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
    }
    text = f"about to run {intent.action} on {intent.target}: {', '.join(titles)}"
    step = case.incident.progress.step if intent.undo_of else intent.step + 1
    return Change(
        state=IncidentState.REMEDIATING,
        progress=case.incident.progress.model_copy(update={"hold": None, "step": step, "shadow": False}),
        deadline=deadline,
        due_at=deadline,
        entries=(entry, EntryDraft(kind=EntryKind.INTENT, text=text, facts=facts)),
    )


def nothing_to_do(case: Case, index: int, entry: EntryDraft, now: datetime, terms: Terms) -> Change:
    """The look found no element: no attempt, on to verification."""
    change = verifying(case, now, terms, None, f"step {index + 1} found nothing to do", entry)
    return change.model_copy(update={"progress": change.progress.model_copy(update={"step": index + 1})})


def ended(case: Case, attempt: Attempt, end: AttemptEnd, now: datetime, terms: Terms) -> Change:
    """An attempt has an outcome: verify what happened, quarantine what nobody knows."""
    entry = _effect(attempt, end)
    if attempt.undo_of is not None and end.outcome is Outcome.DONE:
        return _taken_back(case, attempt, end, entry, now, terms)
    if attempt.undo_of is not None and end.outcome is Outcome.NOT_DONE:
        return _undo_failed(case, attempt, end, now, terms)
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
    if missed >= terms.missed_starts:
        reason = f"{attempt.action} on {attempt.target} could not be started, {missed} times in a row: {why}"
        change = escalated(case, now, reason, terms, effect)
    else:
        change = go_on(case, now, terms, why, effect, step=attempt.step, missed_starts=missed)
    verdict = AttemptVerdict(attempt_id=attempt.id)
    return change.model_copy(update={"end": end, "verdict": verdict, "quarantine": None})


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
    if not certain and not attempt.fenced:
        end = _doubted(end)
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
    running = Verification(started_at=now, deadline=deadline, attempt_id=attempt.id if attempt else None)
    text = f"{why} (until recovered, {format_duration(window)} at most)"
    return Change(
        state=IncidentState.VERIFYING,
        progress=case.incident.progress.model_copy(
            update={"hold": None, "verification": running, "missed_starts": 0}
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
    facts = {
        "attempt": str(attempt.id),
        "action": attempt.action,
        "outcome": end.outcome.value,
        "results": results,
    }
    if end.state_after is not None:
        facts["state_after"] = canonical_json(end.state_after)
    return EntryDraft(
        kind=EntryKind.EFFECT,
        text=f"{attempt.action}: {end.outcome.value.replace('_', ' ')}. {told}",
        facts=facts,
    )


def _quarantined(
    case: Case, attempt: Attempt, end: AttemptEnd, entry: EntryDraft, now: datetime, terms: Terms
) -> Change:
    reason = f"nobody can say whether {attempt.action} on {attempt.target} happened"
    change = escalated(case, now, f"{reason}; the target is quarantined", terms, entry)
    unknown = end.model_copy(update={"outcome": Outcome.UNKNOWN})
    quarantine = Quarantine(attempt_id=attempt.id, reason=reason)
    return change.model_copy(update={"end": unknown, "quarantine": quarantine})


# --- undo ---------------------------------------------------------------------------------------------


def undo_over(
    case: Case, attempt: Attempt, now: datetime, terms: Terms, why: str, *entries: EntryDraft
) -> Change:
    """What an attempt changed is taken back, or needs no taking back: its claim ends, the ladder goes on."""
    change = go_on(case, now, terms, why, *entries, take_back=None)
    return change.model_copy(update={"verdict": AttemptVerdict(attempt_id=attempt.id)})


def undo_owed(
    case: Case, attempt: Attempt, verdict: GuardVerdict, entry: EntryDraft, now: datetime, terms: Terms
) -> Change:
    """An undo that a guard does not let go becomes an escalation; the claim becomes a quarantine."""
    reason = f"the undo of {attempt.action} on {attempt.target} is owed: {verdict.reason}"
    change = escalated(case, now, reason, terms, entry)
    return change.model_copy(update={"quarantine": Quarantine(attempt_id=attempt.id, reason=reason)})


def _undo_failed(case: Case, attempt: Attempt, end: AttemptEnd, now: datetime, terms: Terms) -> Change:
    reason = f"the undo by {attempt.action} on {attempt.target} did not happen"
    change = escalated(case, now, reason, terms, _effect(attempt, end))
    quarantine = Quarantine(attempt_id=attempt.id, reason=reason)
    return change.model_copy(update={"end": end, "quarantine": quarantine})


# --- endings ------------------------------------------------------------------------------------------


def escalated(
    case: Case, now: datetime, reason: str, terms: Terms, *entries: EntryDraft, again: bool = False
) -> Change:
    """Tell a person, one level up each time, until the alert ends or a person takes over.

    A target that is still held becomes a quarantine: nobody works on it any more, so a person must be able to
    release it.
    """
    progress, severity = case.incident.progress, case.incident.severity
    acknowledged = again and progress.acknowledged_by is not None
    level = progress.escalations if acknowledged else progress.escalations + 1
    facts = {"level": level, "reason": reason, "severity": severity.value}
    text = f"{'Reminder' if acknowledged else 'Escalated'} (level {level}): {reason}"
    told = EntryDraft(kind=EntryKind.ESCALATION, text=text, facts=facts)
    deadline = now + terms.severities[severity].update_interval
    return Change(
        state=IncidentState.ESCALATED,
        progress=progress.model_copy(
            update={
                "hold": None,
                "verification": None,
                "take_back": None,
                "escalations": level,
                "escalation_reason": reason,
                "covered_members": case.members.total,
            }
        ),
        deadline=deadline,
        due_at=deadline,
        entries=(*entries, told),
        notices=(Notice(level=level, text=f"{severity} {case.rule.name}: {reason}"),),
        quarantine=_left_behind(case, reason),
    )


def _left_behind(case: Case, why: str) -> Quarantine | None:
    attempt = case.attempt
    if attempt is None or not case.holds:
        return None
    reason = f"{attempt.action} has no verdict: {why}"
    return Quarantine(attempt_id=attempt.id, reason=reason)


def recorded(case: Case, now: datetime, why: str, terms: Terms) -> Change:
    """To `recorded`: evidence only. Nobody is paged because nothing was done."""
    update = {
        "hold": None,
        "shadow": False,
        "outcome": why,
        "in_auto": None,
        "covered_members": case.members.total,
    }
    return Change(
        state=IncidentState.RECORDED,
        progress=case.incident.progress.model_copy(update=update),
        deadline=now + terms.recorded_for,
        due_at=now + terms.recorded_for,
        entries=(moved(case, IncidentState.RECORDED, why),),
    )


def recorded_in_shadow(
    case: Case, now: datetime, why: str, terms: Terms, *entries: EntryDraft, in_auto: str | None
) -> Change:
    """To `recorded`: shadow is done. Nobody is paged, so it says whether somebody would have been."""
    told = f"{why}; in auto {in_auto}" if in_auto else why
    change = recorded(case, now, told, terms)
    update = {"shadow": True, "in_auto": in_auto}
    moving = tuple(
        entry.model_copy(update={"facts": {**entry.facts, "in_auto": in_auto}}) for entry in change.entries
    )
    return change.model_copy(
        update={
            "progress": change.progress.model_copy(update=update),
            "entries": (*entries, *moving),
        }
    )


def resolved(case: Case, now: datetime, why: str, terms: Terms, *entries: EntryDraft) -> Change:
    """To `resolved`; people who were told of the incident are told of its end."""
    progress = case.incident.progress
    told = progress.escalations > 0
    notice = Notice(level=0, text=f"{case.incident.severity} {case.rule.name} resolved: {why}")
    update = {
        "hold": None,
        "verification": None,
        "outcome": why,
        "covered_members": case.members.total,
    }
    return Change(
        state=IncidentState.RESOLVED,
        progress=progress.model_copy(update=update),
        deadline=now + terms.reopen_within,
        due_at=now + terms.reopen_within,
        entries=(*entries, moved(case, IncidentState.RESOLVED, why)),
        notices=(notice,) if told else (),
        quiet=True,
    )


def closed(case: Case, why: str, *entries: EntryDraft, quiet: bool = True) -> Change:
    """To `closed`: the review is final."""
    progress = case.incident.progress
    return Change(
        state=IncidentState.CLOSED,
        progress=progress.model_copy(
            update={"hold": None, "verification": None, "outcome": progress.outcome or why}
        ),
        deadline=None,
        due_at=None,
        entries=(*entries, moved(case, IncidentState.CLOSED, why)),
        quiet=quiet,
    )


def reminded(case: Case, now: datetime, terms: Terms) -> Change:
    """A person took over long ago: remind them, one level up each time."""
    level = case.incident.progress.escalations + 1
    who = case.incident.progress.taken_over_by or "nobody"
    reason = f"taken over by {who}, and the alert still fires"
    entry = EntryDraft(
        kind=EntryKind.ESCALATION,
        text=f"Reminder (level {level}): {reason}",
        facts={"level": level, "reason": reason, "severity": case.incident.severity.value},
    )
    deadline = now + terms.taken_over_deadline
    change = stay(case, deadline, entry, escalations=level)
    notice = Notice(level=level, text=f"{case.incident.severity} {case.rule.name}: {reason}")
    return change.model_copy(update={"deadline": deadline, "notices": (notice,)})


# --- people -------------------------------------------------------------------------------------------


def obeyed(case: Case, now: datetime, terms: Terms) -> Change:
    """Apply the oldest command of a person."""
    command = case.command
    if command is None:
        raise ValueError("there is no command to obey")
    said = f": {command.reason}" if command.reason else ""
    entry = EntryDraft(
        kind=EntryKind.PERSON,
        text=f"{command.actor} {_SAYS[command.kind]}{said}",
        facts={"command": command.kind.value, "id": str(command.id), "reason": command.reason},
        actor=command.actor,
    )
    change = _obey(case, command.kind, entry, now, terms)
    given_up = change.state in {IncidentState.TAKEN_OVER, IncidentState.CLOSED}
    if given_up and case.holds and case.attempt is not None:
        change = change.model_copy(update={"verdict": AttemptVerdict(attempt_id=case.attempt.id)})
    return change.model_copy(update={"command": command.id})


_SAYS = {
    CommandKind.ACKNOWLEDGE: "acknowledged it",
    CommandKind.TAKE_OVER: "took over; automation is off",
    CommandKind.HAND_BACK: "handed it back to automation",
    CommandKind.CLOSE: "closed it",
}


def _obey(case: Case, kind: CommandKind, entry: EntryDraft, now: datetime, terms: Terms) -> Change:
    state = case.incident.state
    match kind:
        case CommandKind.ACKNOWLEDGE:
            return stay(case, now, entry, acknowledged_by=entry.actor, acknowledged_at=now)
        case CommandKind.TAKE_OVER if state is not IncidentState.CLOSED:
            return Change(
                state=IncidentState.TAKEN_OVER,
                progress=case.incident.progress.model_copy(
                    update={
                        "hold": None,
                        "verification": None,
                        "take_back": None,
                        "taken_over_by": entry.actor,
                    }
                ),
                deadline=now + terms.taken_over_deadline,
                due_at=now,
                entries=(entry,),
            )
        case CommandKind.HAND_BACK if state is IncidentState.TAKEN_OVER:
            return go_on(case, now, terms, f"{entry.actor} handed it back", entry, taken_over_by=None)
        case CommandKind.CLOSE if state is not IncidentState.CLOSED:
            return closed(case, f"closed by {entry.actor}", entry, quiet=False)
        case _:
            text = f"{entry.text}, which changes nothing: the incident is {state.value.replace('_', ' ')}"
            facts = {**entry.facts, "changed": False}
            told = entry.model_copy(update={"text": text, "facts": facts})
            return stay(case, None if state is IncidentState.CLOSED else now, told)
