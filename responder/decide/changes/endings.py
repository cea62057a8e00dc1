"""How a ladder ends: a person is told, it is recorded, resolved or closed."""

from datetime import datetime
from typing import Any

from responder.decide.case import (
    Case,
    Change,
    Notice,
    Quarantine,
    Terms,
)
from responder.decide.changes.base import go_on, moved, nothing_done, soon, stay
from responder.decide.changes.paging import page_in_auto
from responder.decide.levels import next_level, told_again_at, told_at_level
from responder.model.incident import IncidentState
from responder.model.policy import NoticeKind
from responder.model.storm import ACTING
from responder.model.timeline import EntryDraft, EntryKind

NOTHING_ASKED: dict[str, None] = {"question": None, "approval": None}
NOTHING_UNDER_WAY: dict[str, None] = {**NOTHING_ASKED, "hold": None, "verification": None, "group": None}
"""What of a progress ends with the ladder, or where a person takes it over."""


def failed(case: Case, now: datetime, terms: Terms, problem: str) -> Change:
    """A move that could not be made: try again a little later, and escalate at the state's deadline."""
    entry = EntryDraft(kind=EntryKind.ERROR, text=f"a move failed: {problem}", facts={"problem": problem})
    incident = case.incident
    if incident.deadline is not None and now >= incident.deadline:
        return escalated(case, now, f"it cannot go on: {problem}", terms, entry)
    later, page_at = soon(case, now, terms.hold_every), incident.progress.page_at
    if page_at is not None and page_at <= now:
        page_at = later
    return stay(case, later, entry, page_at=page_at)


def escalated(
    case: Case, now: datetime, reason: str, terms: Terms, *entries: EntryDraft, again: bool = False
) -> Change:
    """Tell a person, again and again, until the alert ends or a person takes over.

    One level up where the last one had its time and nobody acknowledged (`levels`).
    A target that is still held becomes a quarantine: nobody works on it any more, so a person must be able to
    release it. In a storm people hear of it by the umbrella incident, where nothing was done yet.
    """
    if _by_the_storm(case, terms):
        return part_of_storm(case, now, reason, terms, *entries)
    progress, severity = case.incident.progress, case.incident.severity
    reminds = again and progress.acknowledged_by is not None
    level = next_level(case.incident, now, terms)
    facts = {"level": level, "reason": reason, "severity": severity.value}
    text = f"{'Reminder' if reminds else 'Escalated'} (level {level}): {reason}"
    told = EntryDraft(kind=EntryKind.ESCALATION, text=text, facts=facts)
    at_level = told_at_level(case.incident, level, now)
    deadline = told_again_at(case.incident, at_level["level_since"], now, terms)
    kind = NoticeKind.AGAIN if again else NoticeKind.ESCALATED
    return Change(
        state=IncidentState.ESCALATED,
        progress=progress.model_copy(
            update={
                **NOTHING_UNDER_WAY,
                "take_back": None,
                **at_level,
                "escalation_reason": reason,
                "covered_members": case.members.total,
            }
        ),
        deadline=deadline,
        due_at=deadline,
        entries=(*entries, told),
        notices=(Notice(kind=kind, level=level, text=f"{severity} {case.rule.name}: {reason}"),),
        quarantine=_left_behind(case, reason),
    )


def told_and_goes_on(case: Case, now: datetime, terms: Terms, why: str, **progress: Any) -> Change:
    """People who were told before hear what is new, at the level that they had; automation goes on."""
    incident = case.incident
    level = max(1, incident.progress.escalations)
    reason = f"{why}; the next step is taken"
    facts = {"level": level, "reason": reason, "severity": incident.severity.value}
    entry = EntryDraft(
        kind=EntryKind.TOLD, text=f"People are told again (level {level}): {reason}", facts=facts
    )
    told = told_at_level(incident, level, now)
    change = go_on(case, now, terms, why, entry, **{**told, **progress})
    text = f"{incident.severity} {case.rule.name}: {reason}"
    return change.model_copy(update={"notices": (Notice(kind=NoticeKind.AGAIN, level=level, text=text),)})


def _by_the_storm(case: Case, terms: Terms) -> bool:
    """Whether it is one of too many: what acted, or told people before, speaks for itself to its end."""
    if not case.storm.raging(terms.storm) or case.incident.severity in ACTING:
        return False
    if case.incident.by_hand is not None:
        return False
    return nothing_done(case) and not case.holds


def part_of_storm(case: Case, now: datetime, why: str, terms: Terms, *entries: EntryDraft) -> Change:
    """To `recorded`: nobody is paged for this one, the umbrella incident tells people of all.

    It is looked at again: what still fires when the storm is over is judged anew.
    """
    umbrella = case.storm.umbrella
    if umbrella is None:
        return stay(case, now).model_copy(update={"opens_storm": True})
    change = recorded(case, now, f"part of the storm, see {umbrella}: {why}", terms)
    update = {"part_of": umbrella, "verification": None, "take_back": None}
    return change.model_copy(
        update={
            "progress": change.progress.model_copy(update=update),
            "due_at": now + min(terms.storm.within, terms.recorded_for),
            "entries": (*entries, *change.entries),
        }
    )


def _left_behind(case: Case, why: str) -> Quarantine | None:
    attempt = case.attempt
    if attempt is None or not case.holds:
        return None
    reason = f"{attempt.action} has no verdict: {why}"
    return Quarantine(attempt_id=attempt.holder, reason=reason)


def recorded(case: Case, now: datetime, why: str, terms: Terms) -> Change:
    """To `recorded`: evidence only. Nobody is paged because nothing was done."""
    update = {
        **NOTHING_ASKED,
        "hold": None,
        "shadow": False,
        "outcome": why,
        "in_auto": None,
        "page_at": None,
        "covered_members": case.members.total,
    }
    return Change(
        state=IncidentState.RECORDED,
        progress=case.incident.progress.model_copy(update=update),
        deadline=now + terms.recorded_for,
        due_at=now + terms.recorded_for,
        entries=(moved(case, IncidentState.RECORDED, why),),
        notices=end_told(case, f"recorded: {why}"),
    )


def recorded_in_shadow(
    case: Case, now: datetime, why: str, terms: Terms, *entries: EntryDraft, in_auto: str | None
) -> Change:
    """To `recorded`: shadow is done. Nobody is paged, so it says whether somebody would have been."""
    in_auto = in_auto or page_in_auto(case)
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
    update = {
        **NOTHING_UNDER_WAY,
        "outcome": why,
        "page_at": None,
        "covered_members": case.members.total,
    }
    return Change(
        state=IncidentState.RESOLVED,
        progress=progress.model_copy(update=update),
        deadline=now + terms.reopen_within,
        due_at=now + terms.reopen_within,
        entries=(*entries, moved(case, IncidentState.RESOLVED, why)),
        notices=end_told(case, f"resolved: {why}"),
        quiet=True,
    )


def end_told(case: Case, how: str) -> tuple[Notice, ...]:
    """The word that it is over, for people who were told that it is not."""
    if not case.incident.progress.people_know:
        return ()
    text = f"{case.incident.severity} {case.rule.name} {how}"
    return (Notice(kind=NoticeKind.RESOLVED, level=0, text=text),)


def closed(case: Case, why: str, *entries: EntryDraft, quiet: bool = True) -> Change:
    """To `closed`: the review is final."""
    progress = case.incident.progress
    return Change(
        state=IncidentState.CLOSED,
        progress=progress.model_copy(
            update={**NOTHING_UNDER_WAY, "page_at": None, "outcome": progress.outcome or why}
        ),
        deadline=None,
        due_at=None,
        entries=(*entries, moved(case, IncidentState.CLOSED, why)),
        quiet=quiet,
    )


def reminded(case: Case, now: datetime, terms: Terms) -> Change:
    """A person took over long ago: remind them, then tell one level up each time."""
    level = next_level(case.incident, now, terms)
    who = case.incident.progress.taken_over_by or "nobody"
    still = "the alert still fires" if case.incident.by_hand is None else "it is not closed"
    reason = f"taken over by {who}, and {still}"
    entry = EntryDraft(
        kind=EntryKind.ESCALATION,
        text=f"Reminder (level {level}): {reason}",
        facts={"level": level, "reason": reason, "severity": case.incident.severity.value},
    )
    deadline = now + terms.taken_over_deadline
    change = stay(case, deadline, entry, **told_at_level(case.incident, level, now))
    text = f"{case.incident.severity} {case.rule.name}: {reason}"
    notice = Notice(kind=NoticeKind.REMINDER, level=level, text=text)
    return change.model_copy(update={"deadline": deadline, "notices": (notice,)})
