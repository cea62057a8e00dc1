"""What a rehearsal keeps of one incident, its one clock, and who is told what happens."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

from responder.decide.case import Change, Finding, LedgerQuestion
from responder.model.incident import Command, Incident
from responder.model.inhibition import Inhibits
from responder.model.rule import Rule
from responder.model.schedule import ScheduledRun
from responder.ports import IncidentKey
from responder.rehearsal.members import Membership


@dataclass(slots=True)
class Kept:
    """One incident as it stands."""

    incident: Incident
    rule: Rule
    """As pinned."""
    identity: IncidentKey
    members: Membership = field(default_factory=Membership)
    attempt: UUID | None = None
    """The newest."""
    commands: deque[Command] = field(default_factory=deque)
    findings: list[Finding] = field(default_factory=list)
    asked: LedgerQuestion | None = None
    """What it asked the ledger last."""
    inhibits: Sequence[Inhibits] = ()
    """What would explain it, by its rule."""


@dataclass(slots=True)
class Clock:
    """The one clock of a rehearsal."""

    now: datetime


class Observer(Protocol):
    """Who is told what happens. A rehearsal keeps no history of its own: a backtest has too much of it."""

    def opened(self, kept: Kept, at: datetime) -> None:
        """An incident was opened; it may be pending."""
        ...

    def changed(self, kept: Kept, before: Incident, change: Change, at: datetime) -> None:
        """A change was recorded: of an intent, too."""
        ...

    def ran(self, run: ScheduledRun, at: datetime) -> None:
        """A scheduled rule ran: the run has its report."""
        ...
