"""What came of a backtest, counted as it happens: there is too much of it to be kept."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from responder.decide.case import Change
from responder.model.guard import Ruling
from responder.model.incident import Incident, IncidentState
from responder.model.schedule import ScheduledRun
from responder.model.severity import Severity
from responder.model.timeline import EntryDraft, EntryKind
from responder.rehearsal.kept import Kept

_NEVER_OPENED = {IncidentState.PENDING, IncidentState.CLOSED}
"""What is still pending after a change was only woken; what closes by it never opened."""


@dataclass(slots=True)
class RuleTally:
    """What one rule did."""

    incidents: int = 0
    severities: Counter[Severity] = field(default_factory=Counter)
    """What its incidents were at their worst."""
    alerts: int = 0
    """Episodes that joined them."""
    starts: Counter[str] = field(default_factory=Counter)
    """Actions that would have started, undo left out."""
    guards: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By guard and ruling, how often one held, asked or refused."""
    escalations: int = 0
    """How often people were told that they have to act."""


@dataclass(slots=True)
class Tally:
    """Implements `kept.Observer`: counts by rule, and over time."""

    bucket: timedelta
    since: datetime
    rules: dict[str, RuleTally] = field(default_factory=lambda: defaultdict(RuleTally))
    opened_over_time: dict[int, Counter[Severity]] = field(default_factory=lambda: defaultdict(Counter))
    """By the number of the bucket."""
    starts_over_time: Counter[int] = field(default_factory=Counter)
    _live: dict[UUID, Severity] = field(default_factory=dict)
    """The worst severity of each incident that is not closed."""

    def opened(self, kept: Kept, at: datetime) -> None:
        """It is pending: counted when it opens."""

    def changed(self, kept: Kept, before: Incident, change: Change, at: datetime) -> None:
        """Everything that a change says."""
        incident = kept.incident
        tally = self.rules[incident.rule]
        for entry in change.entries:
            self._entry(kept, tally, entry, at)
        if before.state is IncidentState.PENDING and incident.state not in _NEVER_OPENED:
            tally.incidents += 1
            self._live[incident.id] = incident.severity
            self.opened_over_time[(at - self.since) // self.bucket][incident.severity] += 1
        worst = self._live.get(incident.id)
        if worst is not None and incident.severity < worst:
            self._live[incident.id] = incident.severity
        if incident.state is IncidentState.CLOSED:
            self.over(kept)

    def ran(self, run: ScheduledRun, at: datetime) -> None:
        """Scheduled rules are not played: what they ask is asked of the systems outside."""

    def over(self, kept: Kept) -> None:
        """Nothing more comes of it."""
        worst = self._live.pop(kept.incident.id, None)
        if worst is not None:
            tally = self.rules[kept.incident.rule]
            tally.severities[worst] += 1
            tally.alerts += kept.members.total

    def _entry(self, kept: Kept, tally: RuleTally, entry: EntryDraft, at: datetime) -> None:
        match entry.kind:
            case EntryKind.INTENT if "undo_of" not in entry.facts:
                self._started(tally, entry.facts, at)
            case EntryKind.JUDGED if entry.facts["ruling"] != Ruling.GO.name.lower():
                tally.guards[entry.facts["decided_by"], entry.facts["ruling"]] += 1
            case EntryKind.ESCALATION:
                tally.escalations += 1
            case _:
                del kept

    def _started(self, tally: RuleTally, facts: Mapping[str, object], at: datetime) -> None:
        tally.starts[str(facts["action"])] += 1
        self.starts_over_time[(at - self.since) // self.bucket] += 1
