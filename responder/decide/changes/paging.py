"""The page: people are told that an incident has opened, while automation works on it (`notify:` of a rule).

It is no state and no escalation: the ladder goes on beside it, nothing climbs because nobody acknowledged
it. `Progress.page_at` is when it is due. It is moot where people were told by an escalation, or where a
person has acknowledged or taken over. It is put off while somebody keeps the incident quiet (a silence,
maintenance) and, for P2 and P3, while a storm rages, of which the umbrella incident tells. Where nothing of
the incident may act (shadow, observe) nobody is told: nobody is paged because nothing was done.
"""

from datetime import datetime

from responder.decide.case import Case, Change, Notice, SourceView, Terms
from responder.decide.changes.base import stay
from responder.model.autonomy import Autonomy, Ceiling
from responder.model.duration import format_duration
from responder.model.incident import IncidentState
from responder.model.policy import NoticeKind
from responder.model.rule import PageAfter, PageAt, Rule
from responder.model.spoken import span
from responder.model.timeline import EntryDraft, EntryKind


def page_due(rule: Rule, now: datetime) -> datetime | None:
    """When people are told of an incident of this rule that opens now."""
    after = rule.notify.page_after
    return None if after is None else now + after


def paged(case: Case, view: SourceView, reach: Ceiling | None, now: datetime, terms: Terms) -> Change:
    """Tell people, unless the source says that somebody silenced all of it, or nothing of it may act.

    `reach` is how far any step that changes something may go. A source that does not answer keeps nobody
    from being told.
    """
    if view.suppressed and not view.firing:
        return put_off(case, now, now + terms.suppressed_every)
    if reach is None or reach.level <= Autonomy.SHADOW:
        return stay(case, now, page_at=None)
    severity, level = case.incident.severity, max(1, case.incident.progress.escalations)
    opened_at = case.incident.progress.opened_at or case.incident.opened_at
    since = span(now - opened_at)
    what = f"opened {since} ago, {_goes_on(case)}"
    facts = {"level": level, "reason": what, "severity": severity.value}
    entry = EntryDraft(kind=EntryKind.TOLD, text=f"People are told (level {level}): {what}", facts=facts)
    notice = Notice(kind=NoticeKind.OPENED, level=level, text=f"{severity} {case.rule.name}: {what}")
    change = stay(case, now, entry, page_at=None, paged_at=now, told_at=now)
    return change.model_copy(update={"notices": (notice,)})


def put_off(case: Case, now: datetime, until: datetime) -> Change:
    """Nobody is told before `until`."""
    return stay(case, now, page_at=until)


def _goes_on(case: Case) -> str:
    hold = case.incident.progress.hold
    match case.incident.state:
        case IncidentState.HELD if hold is not None:
            return f"held: {hold.reasons}"
        case IncidentState.AWAITING_APPROVAL:
            return "a person is asked"
        case IncidentState.VERIFYING:
            return "what was done is being verified"
        case _:
            return "automation works on it"


def page_in_auto(case: Case) -> str | None:
    """What people would have heard by the page, of what shadow has ended."""
    severity = case.incident.severity
    match case.rule.notify.page:
        case PageAfter(after=after):
            return (
                f"a person would have been told after {format_duration(after)} ({severity}) if it still fired"
            )
        case PageAt.AT_ONCE:
            return f"a person would have been told at once ({severity})"
        case PageAt.ON_ESCALATION:
            return None
