"""What is counted over all incidents, kept as they move: counting each time takes too long."""

from collections import Counter, defaultdict, deque
from datetime import datetime
from uuid import UUID

from responder.model.incident import Incident, IncidentState
from responder.model.storm import UMBRELLA, StormTerms

_NOT_UNDER_WAY = {
    IncidentState.PENDING,
    IncidentState.RESOLVED,
    IncidentState.RECORDED,
    IncidentState.CLOSED,
}
_OVER = {IncidentState.RESOLVED, IncidentState.CLOSED}


class Counts:
    """By rule, over time, and of each storm."""

    def __init__(self, storm: StormTerms) -> None:
        self._storm = storm
        self.under_way: dict[str, dict[UUID, None]] = defaultdict(dict)
        self.pending: dict[str, dict[UUID, None]] = defaultdict(dict)
        self.resolved: dict[str, dict[UUID, None]] = defaultdict(dict)
        self.not_closed: dict[str, int] = defaultdict(int)
        """By rule, how many incidents are neither resolved nor closed."""
        self.part_of: dict[UUID, dict[UUID, None]] = defaultdict(dict)
        self.closed_parts: dict[UUID, Counter[str]] = defaultdict(Counter)
        """By rule, how many incidents that were part of it are forgotten."""
        self._openings: deque[datetime] = deque(maxlen=storm.openings)
        """The newest ones, no more than make a storm."""

    def opened(self, incident: Incident, now: datetime) -> bool:
        """One more; whether a storm may begin with it."""
        self.not_closed[incident.rule] += 1
        self.pending[incident.rule][incident.id] = None
        if incident.rule == UMBRELLA.name:
            return False
        self._openings.append(now)
        return self.openings(now) == self._storm.openings

    def openings(self, now: datetime) -> int:
        """How many there were lately; no more are counted than make a storm."""
        while self._openings and self._openings[0] <= now - self._storm.within:
            self._openings.popleft()
        return len(self._openings)

    def moved(self, before: Incident, incident: Incident) -> bool:
        """An incident has another state, perhaps; whether it is under way now and was not, or the reverse."""
        self._storm_moved(before, incident)
        was = incident.id in self.under_way[incident.rule]
        if incident.state is not before.state:
            self.pending[incident.rule].pop(incident.id, None)
            self.resolved[incident.rule].pop(incident.id, None)
            if incident.state is IncidentState.RESOLVED:
                self.resolved[incident.rule][incident.id] = None
            self.not_closed[incident.rule] += (before.state in _OVER) - (incident.state in _OVER)
        if incident.state in _NOT_UNDER_WAY or incident.by_hand is not None:
            self.under_way[incident.rule].pop(incident.id, None)
            return was
        self.under_way[incident.rule][incident.id] = None
        return not was

    def forget(self, incident: Incident) -> None:
        """It is closed. Of a storm that it was part of it is counted on."""
        umbrella = incident.progress.part_of
        if umbrella is not None and self.part_of[umbrella].pop(incident.id, incident) is None:
            self.closed_parts[umbrella][incident.rule] += 1
        self.part_of.pop(incident.id, None)
        self.closed_parts.pop(incident.id, None)

    def _storm_moved(self, before: Incident, incident: Incident) -> None:
        old, new = before.progress.part_of, incident.progress.part_of
        if old == new:
            return
        if old is not None:
            self.part_of[old].pop(incident.id, None)
        if new is not None:
            self.part_of[new][incident.id] = None
