"""What time alone makes of an incident: it becomes as bad as its rule's `raise` says (`changes.raised`).

- It counts from the opening of the ladder. What resolves and fires again is the same trouble, so its time
  goes on; the time suppressed does not count, as for a page.
- It rises while it fires, and automation or people are at work on it. While an effect runs its outcome comes
  first; what recovers, is recorded, or waits for `for` is not made worse.
- It never falls by it, and what a worse alert has made as bad already stays as it is.
- A person's word on how bad it is stands above the rule's: they said it knowing the incident, the rule's
  author did not. A worse alert that joins is news to them, and still counts.

The moment is no timer: it follows from what is stored, and every change is due at it (`in_time`).
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from responder.decide.case import Case, Change
from responder.model.incident import IncidentState, Progress
from responder.model.rule import Raise, Rule
from responder.model.severity import Severity

RISES = frozenset(
    {
        IncidentState.OPEN,
        IncidentState.VERIFYING,
        IncidentState.AWAITING_APPROVAL,
        IncidentState.HELD,
        IncidentState.TAKEN_OVER,
        IncidentState.ESCALATED,
    }
)


def begins(rule: Rule, now: datetime) -> Mapping[str, datetime]:
    """What moves in the progress where the ladder of an incident of this rule opens now."""
    return {"raise_from": now} if rule.raises else {}


def raise_due(case: Case, now: datetime) -> Raise | None:
    """How bad it has become by time alone, where that is worse than it is."""
    incident = case.incident
    if incident.state not in RISES or case.members.firing == 0:
        return None
    due = [one for one, at in _to_come(case.rule.raises, incident.progress, incident.severity) if at <= now]
    return due[-1] if due else None


def next_raise(
    raises: Iterable[Raise], progress: Progress, severity: Severity
) -> tuple[Raise, datetime] | None:
    """What it becomes next by time alone, and when, while it lives as it does now."""
    return next(iter(_to_come(raises, progress, severity)), None)


def _to_come(raises: Iterable[Raise], progress: Progress, severity: Severity) -> list[tuple[Raise, datetime]]:
    since = progress.raise_from
    if since is None or progress.severity_by is not None:
        return []
    return [(one, since + one.after) for one in raises if one.to < severity]


def in_time(case: Case, change: Change) -> Change:
    """The change, due no later than the incident rises; and later by as long as it was suppressed."""
    if not case.rule.raises:
        return change
    incident, progress = case.incident, change.progress
    over = incident.state is IncidentState.SUPPRESSED and change.state is not IncidentState.SUPPRESSED
    if over and progress.raise_from is not None and progress.raise_from == incident.progress.raise_from:
        since = progress.raise_from + (case.now - incident.state_since)
        progress = progress.model_copy(update={"raise_from": since})
    rises = next_raise(case.rule.raises, progress, change.severity or incident.severity)
    due_at = change.due_at
    if rises is not None and due_at is not None and change.state in RISES and case.members.firing:
        due_at = min(due_at, rises[1])
    return change.model_copy(update={"progress": progress, "due_at": due_at})
