"""Looks that would only see what the last one saw: they are left out, and nothing is different for it.

Whatever waits looks again every few seconds: in a rehearsal of hours that is nearly all the work. A look that
has changed nothing says the same until something happens: an act outside, another answer of the systems, a
change of any incident, or a moment that the incident itself knows of. Until then it is idle. When something
happens, it looks at the very moment at which it would have looked next.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from responder.decide.case import Terms
from responder.decide.raising import next_raise
from responder.model.incident import Incident, IncidentState
from responder.model.rule import Rule

_LOOKS = {
    IncidentState.HELD,
    IncidentState.VERIFYING,
    IncidentState.SUPPRESSED,
    IncidentState.RECORDED,
}
"""The states that look again at something outside; what is recorded, at its own alerts."""
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Idle:
    """When it looked last, and how often it does."""

    since: datetime
    every: timedelta

    def look(self, moment: datetime) -> datetime:
        """Its first look at a moment or after it."""
        return self.since + max(1, -((self.since - moment) // self.every)) * self.every

    def last_look(self, before: datetime) -> datetime:
        """Its last look before a moment; the next one in any case."""
        return max(self.since + self.every, self.look(before) - self.every)


def rests(before: Incident, after: Incident) -> bool:
    """Whether the next look sees what this one saw, where nothing happens until then.

    So it is where one has changed nothing, and where a step was judged just now and is held: it is judged
    again by the same.
    """
    judged = after.state is IncidentState.HELD and before.state is not IncidentState.HELD
    return judged or (repeats(before, after) and looked(before, after))


def repeats(before: Incident, after: Incident) -> bool:
    """Whether a look has changed nothing but when the next one is."""
    told = before.state is not after.state or before.timeline_length != after.timeline_length
    return after.state in _LOOKS and not told and _seen(before) == _seen(after)


def looked(before: Incident, after: Incident) -> bool:
    """Whether it has really looked: what is held and woken before its time only waits on."""
    held, still = before.progress.hold, after.progress.hold
    return after.state is not IncidentState.HELD or held is None or held.until != (still and still.until)


def _seen(incident: Incident) -> Incident:
    progress = incident.progress
    if progress.hold is not None:
        hold = progress.hold.model_copy(update={"until": progress.hold.deadline})
        progress = progress.model_copy(update={"hold": hold})
    return incident.model_copy(update={"progress": progress, "due_at": None})


def idle_until(
    incident: Incident, rule: Rule, newest_seen_at: datetime | None, terms: Terms, now: datetime
) -> datetime:
    """The first moment after now at which another outcome may follow from the time alone.

    Some hold up to a moment and some at it: what is looked at then may differ a moment later.
    """
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + _DAY  # from then on texts have a date
    known = [*_moments(incident, rule, terms), midnight]
    if newest_seen_at is not None and incident.state is IncidentState.HELD:  # only its step is judged anew
        known.append(newest_seen_at + terms.max_alert_age)
    return min(moment for moment in known if moment >= now) + timedelta.resolution


def _moments(incident: Incident, rule: Rule, terms: Terms) -> Iterator[datetime]:
    progress = incident.progress
    stable_for = rule.verify.stable_for if rule.verify is not None else timedelta(0)
    yield from (one for one in (incident.deadline, progress.page_at) if one is not None)
    if (rises := next_raise(rule.raises, progress, incident.severity)) is not None:
        yield rises[1]
    if progress.hold is not None:
        yield progress.hold.deadline
        yield from (one.over_at for one in progress.hold.holders if one.over_at is not None)
    if (running := progress.verification) is not None:
        patience = 2 * terms.verify_every
        yield from (running.deadline, running.deadline + stable_for, running.deadline + stable_for + patience)
        if running.good_since is not None:
            yield running.good_since + stable_for
