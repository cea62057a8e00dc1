"""Whose turn it is: what is due at which moment, in which order, and who may be left to wait.

As workers take incidents: the worst first of those that are due. Whoever is idle (`idle`) looks only when
something is stirred that it depends on, or when its time has come.
"""

import heapq
from collections.abc import Iterable, Mapping
from datetime import datetime
from uuid import UUID

from responder.model.incident import Incident
from responder.model.severity import Severity
from responder.rehearsal.idle import Idle
from responder.rehearsal.kept import Clock, Kept
from responder.rehearsal.stirred import Dependents, Stir, dependencies

Order = tuple[Severity, datetime, int]
"""Who comes first of those that are due at one moment."""


def _order(incident: Incident, due: datetime) -> Order:
    return (incident.severity, due, incident.id.int)


class Turns:
    """Of all incidents of a rehearsal."""

    def __init__(self, clock: Clock, incidents: Mapping[UUID, Kept]) -> None:
        self._clock = clock
        self._incidents = incidents
        self._due: list[tuple[datetime, int, UUID]] = []
        self._ready: list[tuple[Severity, datetime, int, UUID]] = []
        """Those that are due now, the worst first."""
        self.idle: dict[UUID, Idle] = {}
        self._dependents = Dependents()
        self.working: Order | None = None
        """The place in line of the incident that is at work."""

    def next_due(self) -> datetime | None:
        """When the next incident is due."""
        while self._due and self._is_stale(self._due[0][0], self._due[0][2]):
            heapq.heappop(self._due)
        return self._due[0][0] if self._due else None

    def take_due(self) -> Kept | None:
        """The incident that is due now, the worst first."""
        while (due := self.next_due()) is not None and due <= self._clock.now:
            _, order, incident_id = heapq.heappop(self._due)
            severity = self._incidents[incident_id].incident.severity
            heapq.heappush(self._ready, (severity, due, order, incident_id))
        while self._ready:
            _, due, _, incident_id = heapq.heappop(self._ready)
            if not self._is_stale(due, incident_id):
                self._not_idle(incident_id)
                self.working = _order(self._incidents[incident_id].incident, due)
                return self._incidents[incident_id]
        return None

    def put_back(self, kept: Kept) -> None:
        """It is due when it says."""
        due = kept.incident.due_at
        if due is not None:
            heapq.heappush(self._due, (due, kept.incident.id.int, kept.incident.id))

    def rest(self, kept: Kept, until: datetime) -> None:
        """Its last look has changed nothing: before `until` the next ones would not either, but the last."""
        incident, now = kept.incident, self._clock.now
        if incident.due_at is None or incident.due_at <= now:
            return
        idle = Idle(now, incident.due_at - now)
        look = idle.last_look(until)
        if look > incident.due_at:
            self.idle[incident.id] = idle
            self._dependents.add(incident.id, dependencies(incident, kept.asked, kept.inhibits, now))
            self._due_at(kept, look)

    def rouse(self, stirred: Iterable[Stir], moment: datetime) -> None:
        """These things happen: whoever is idle and depends on them looks when it would have looked next."""
        for incident_id in self._dependents.on(stirred):
            self._rouse(incident_id, moment)

    def rouse_all(self, moment: datetime) -> None:
        """Something happens that everybody may see."""
        for incident_id in list(self.idle):
            self._rouse(incident_id, moment)

    def _rouse(self, incident_id: UUID, moment: datetime) -> None:
        """What an incident does at a moment comes after the looks of those that are before it in line."""
        idle, kept, after = self.idle[incident_id], self._incidents[incident_id], self.working
        look = idle.look(moment)
        if after is not None and look == moment and _order(kept.incident, look) < after:
            look += idle.every
        if kept.incident.due_at is not None and look < kept.incident.due_at:
            self._due_at(kept, look)
        self._not_idle(incident_id)

    def _not_idle(self, incident_id: UUID) -> None:
        if self.idle.pop(incident_id, None) is not None:
            self._dependents.remove(incident_id)

    def _due_at(self, kept: Kept, moment: datetime) -> None:
        """As the looks that were left out would have written it."""
        incident = kept.incident
        progress, hold = incident.progress, incident.progress.hold
        if hold is not None and hold.until == incident.due_at:
            progress = progress.model_copy(update={"hold": hold.model_copy(update={"until": moment})})
        kept.incident = incident.model_copy(update={"due_at": moment, "progress": progress})
        self.put_back(kept)

    def _is_stale(self, due: datetime, incident_id: UUID) -> bool:
        kept = self._incidents.get(incident_id)
        return kept is None or kept.incident.due_at != due
