"""What a person's command means: it comes before everything but a running effect."""

from datetime import datetime, timedelta

from responder.decide.case import (
    AttemptVerdict,
    Case,
    Change,
    Terms,
)
from responder.decide.changes.base import attempted, go_on, stay
from responder.decide.changes.endings import NOTHING_UNDER_WAY, closed, end_told, escalated
from responder.decide.changes.groups import half_done
from responder.decide.changes.members import asked_again, begun_anew, patience, told_again
from responder.decide.raising import next_raise
from responder.model.approval import Approval, Question
from responder.model.incident import ClosedAs, Command, CommandKind, IncidentState
from responder.model.severity import Severity
from responder.model.timeline import EntryDraft, EntryKind


def obeyed(case: Case, now: datetime, terms: Terms) -> Change:
    """Apply the oldest command of a person."""
    command = case.command
    if command is None:
        raise ValueError("there is no command to obey")
    change = _obey(case, command, _told(case, command), now, terms)
    if change.opens_storm:
        return change  # the storm's umbrella first: this word is obeyed when it is there
    given_up = change.state in {IncidentState.TAKEN_OVER, IncidentState.CLOSED}
    if given_up and case.holds and case.attempt is not None:
        change = change.model_copy(update={"verdict": AttemptVerdict(attempt_id=case.attempt.holder)})
    return change.model_copy(update={"command": command.id})


def _told(case: Case, command: Command) -> EntryDraft:
    said = f": {command.reason}" if command.reason else ""
    more = command.facts.model_dump(mode="json", exclude_none=True)
    return EntryDraft(
        kind=EntryKind.PERSON,
        text=f"{command.actor} {_says(case, command)}{said}",
        facts={"command": command.kind.value, "id": str(command.id), "reason": command.reason, **more},
        actor=command.actor,
    )


def _says(case: Case, command: Command) -> str:
    match command.kind:
        case CommandKind.ACKNOWLEDGE:
            return "acknowledged it"
        case CommandKind.TAKE_OVER:
            return f"took over; automation is off{half_done(case)}"
        case CommandKind.HAND_BACK:
            return "handed it back to automation"
        case CommandKind.CLOSE:
            return f"closed it{_closed_words(command)}{half_done(case)}"
        case CommandKind.APPROVE:
            return f"approved {_asked_for(case)}"
        case CommandKind.DECLINE:
            return f"declined {_asked_for(case)}"
        case CommandKind.COMMENT:
            return "commented"
        case CommandKind.CHANGE_SEVERITY:
            return f"made it {command.facts.severity}, from {case.incident.severity}"


def _closed_words(command: Command) -> str:
    match command.facts.closed_as:
        case None:
            return ""
        case ClosedAs.DUPLICATE:
            return f" as a duplicate of incident {command.facts.duplicate_of}"
        case ClosedAs.FIXED:
            return " as fixed"
        case ClosedAs.FALSE_POSITIVE:
            return " as a false positive"


def _asked_for(case: Case) -> str:
    question = case.incident.progress.question
    return "it" if question is None else f"{question.consent.action} on {question.consent.target}"


def _obey(case: Case, command: Command, entry: EntryDraft, now: datetime, terms: Terms) -> Change:
    state = case.incident.state
    match command.kind:
        case CommandKind.ACKNOWLEDGE:
            seen = {"acknowledged_by": entry.actor, "acknowledged_at": now, "page_at": None}
            return stay(case, _still_due(case, now), entry, **seen)
        case CommandKind.COMMENT:
            return stay(case, _still_due(case, now), entry)
        case CommandKind.TAKE_OVER if state is not IncidentState.CLOSED:
            return _taken_over(case, entry, now, terms)
        case CommandKind.HAND_BACK if state is IncidentState.TAKEN_OVER:
            return _handed_back(case, entry, now, terms)
        case CommandKind.HAND_BACK if state is IncidentState.ESCALATED:
            return _handed_on(case, entry, now, terms)
        case CommandKind.CLOSE if state is not IncidentState.CLOSED:
            return _closed(case, command, entry)
        case CommandKind.APPROVE | CommandKind.DECLINE:
            return _answered(case, command, entry, now, terms)
        case CommandKind.CHANGE_SEVERITY if state is not IncidentState.CLOSED and command.facts.severity:
            return _severity_set(case, command.facts.severity, entry, now, terms)
        case _:
            return _changes_nothing(case, entry, now, f"the incident is {state.value.replace('_', ' ')}")


def _changes_nothing(case: Case, entry: EntryDraft, now: datetime, why: str) -> Change:
    facts = {**entry.facts, "changed": False}
    told = entry.model_copy(update={"text": f"{entry.text}, which changes nothing: {why}", "facts": facts})
    return stay(case, _still_due(case, now), told)


def _still_due(case: Case, now: datetime) -> datetime | None:
    return None if case.incident.state is IncidentState.CLOSED else now


def _taken_over(case: Case, entry: EntryDraft, now: datetime, terms: Terms) -> Change:
    update = {**NOTHING_UNDER_WAY, "take_back": None, "page_at": None, "taken_over_by": entry.actor}
    return Change(
        state=IncidentState.TAKEN_OVER,
        progress=case.incident.progress.model_copy(update=update),
        deadline=now + terms.taken_over_deadline,
        due_at=now,
        entries=(entry,),
    )


def _handed_back(case: Case, entry: EntryDraft, now: datetime, terms: Terms) -> Change:
    """The ladder goes on where it stood, judged anew; what shadow alone had ended begins anew."""
    handed = {"taken_over_by": None, "level_since": now}
    why = f"{entry.actor} handed it back"
    if case.incident.progress.shadow and case.incident.by_hand is None and not attempted(case):
        return begun_anew(case, now, terms, why, entry, **handed)
    return go_on(case, now, terms, why, entry, **handed)


def _handed_on(case: Case, entry: EntryDraft, now: datetime, terms: Terms) -> Change:
    """Told to people, and given back by them: the ladder goes on where it stood, judged anew.

    Whoever has acknowledged it does not act any more. Where automation has nothing left to try they keep it,
    as it is: they have just heard of it.
    """
    if not _step_left(case, now):
        told = f"{entry.text}; no step is left, it stays with people"
        facts = {**entry.facts, "changed": False}
        return stay(case, _still_due(case, now), entry.model_copy(update={"text": told, "facts": facts}))
    handed = {"acknowledged_by": None, "acknowledged_at": None, "level_since": now}
    return go_on(case, now, terms, f"{entry.actor} handed it back", entry, **handed)


def _step_left(case: Case, now: datetime) -> bool:
    """What was asked for by hand is not begun after its time, so then nothing is left of it either."""
    asked = case.incident.by_hand
    in_time = asked is None or now < asked.until
    return in_time and case.incident.progress.step < len(case.rule.steps)


def _closed(case: Case, command: Command, entry: EntryDraft) -> Change:
    """A person's word on what it was stands above what the ladder made of it."""
    closed_as = command.facts.closed_as
    why = f"closed by {entry.actor}{_closed_words(command)}"
    change = closed(case, why, entry, quiet=False)
    if case.incident.state not in {IncidentState.RESOLVED, IncidentState.RECORDED}:  # told of its end then
        change = change.model_copy(update={"notices": end_told(case, why)})
    if closed_as is None:
        return change
    update = {"closed_as": closed_as, "outcome": why}
    return change.model_copy(update={"progress": change.progress.model_copy(update=update)})


# --- answers to a question ----------------------------------------------------------------------------


def _answered(case: Case, command: Command, entry: EntryDraft, now: datetime, terms: Terms) -> Change:
    """An answer counts for the very question that the person has read, and until its deadline."""
    incident, question = case.incident, case.incident.progress.question
    if incident.state is not IncidentState.AWAITING_APPROVAL or question is None:
        why = f"nothing is asked, the incident is {incident.state.value.replace('_', ' ')}"
        return _changes_nothing(case, entry, now, why)
    if command.facts.question != question.id:
        return _changes_nothing(case, entry, now, "another question is asked by now")
    if incident.deadline is None or now >= incident.deadline:
        return _changes_nothing(case, entry, now, "the time for an answer is over")
    if command.kind is CommandKind.DECLINE:
        what = f"{question.consent.action} on {question.consent.target}"
        reason = f"{entry.actor} declined {what}: {command.reason}"
        return escalated(case, now, reason, terms, entry)
    approval = _approval(command, question, incident.deadline)
    return go_on(case, now, terms, f"approved by {entry.actor}", entry, approval=approval)


def _approval(command: Command, question: Question, expires_at: datetime) -> Approval:
    return Approval(
        id=command.id,
        consent=question.consent,
        guards=question.guards,
        by=command.actor,
        expires_at=expires_at,
    )


# --- severity -------------------------------------------------------------------------------------------


def _severity_set(case: Case, severity: Severity, entry: EntryDraft, now: datetime, terms: Terms) -> Change:
    """A person's word, up or down: what waits for a person waits as much longer or shorter as the terms say.

    What people were told of is told again where it is worse now. A worse alert that joins later raises it
    again; time alone does not any more (`raising`).
    """
    incident, progress = case.incident, case.incident.progress
    if next_raise(case.rule.raises, progress, severity) is not None:
        entry = entry.model_copy(update={"text": f"{entry.text}; it does not rise by time any more"})
    before, after = (patience(incident.state, each, terms) for each in (incident.severity, severity))
    later = (after or timedelta(0)) - (before or timedelta(0))
    deadline = None if incident.deadline is None else max(now, incident.deadline + later)
    hold = progress.hold
    if hold is not None and deadline is not None:
        hold = hold.model_copy(update={"deadline": deadline, "until": min(hold.until, deadline)})
    worse = severity < incident.severity
    if worse and incident.state in {IncidentState.ESCALATED, IncidentState.TAKEN_OVER}:
        deadline = now
    told = told_again(incident, now) if worse else {}
    change = stay(case, now, entry, told_severity=severity, severity_by=entry.actor, hold=hold, **told)
    notices = asked_again(case, severity, deadline, now) if worse else ()
    return change.model_copy(update={"severity": severity, "deadline": deadline, "notices": notices})
