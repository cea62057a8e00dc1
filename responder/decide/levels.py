"""Which level of the severity's policy is told next: a step up only where nobody answered, never down.

A level has the severity's `update_interval` to acknowledge. What happens meanwhile (a further alert joins,
a later step does not help either, it became worse) is told at the same level, and gives it no more time.
Once it is acknowledged the level stays, and is reminded. A person who took over is reminded once, and has as
long again, before the next level hears of it; handed back, the level that was told last has its time anew.
Past the last level of the policy the last one is told again.
"""

from datetime import datetime, timedelta
from typing import Any

from responder.decide.case import Terms
from responder.model.incident import Incident, IncidentState


def next_level(incident: Incident, now: datetime, terms: Terms) -> int:
    """The level that people are told at, if they are told now that a person has to act."""
    level = incident.progress.escalations
    if level == 0:
        return 1
    last = len(terms.policy(incident.severity).levels)
    return max(level, min(level + 1, last)) if _had_its_time(incident, now, terms) else level


def _had_its_time(incident: Incident, now: datetime, terms: Terms) -> bool:
    """Whether the last level was told long enough ago, and nobody has said since that they act."""
    progress, since = incident.progress, incident.progress.level_since
    if incident.state is IncidentState.TAKEN_OVER:
        told, said = progress.told_at, progress.acknowledged_at
        if told is None or told <= incident.state_since or (said is not None and said >= told):
            return False
        return now >= told + terms.taken_over_deadline
    if progress.acknowledged_by is not None:
        return False
    return since is None or now >= since + _patience(incident, terms)


def told_again_at(incident: Incident, since: datetime, now: datetime, terms: Terms) -> datetime:
    """When people hear of it anew, told now at the level that they have `since` then: when it had its time.

    It has its time anew only at the last level, once that is over: nobody is left to hear after it, and each
    word, of a further alert too, moves the next one. That word is told at this very level, so nobody waits in
    silence.
    """
    patience = _patience(incident, terms)
    return since + patience if since + patience > now else now + patience


def _patience(incident: Incident, terms: Terms) -> timedelta:
    return terms.severities[incident.severity].update_interval


def told_at_level(incident: Incident, level: int, now: datetime) -> dict[str, Any]:
    """What moves in the progress where people are told at that level."""
    progress = incident.progress
    goes_on = level == progress.escalations and progress.acknowledged_by is None
    return {
        "escalations": level,
        "level_since": (progress.level_since or now) if goes_on else now,
        "told_at": now,
        "page_at": None,
    }
