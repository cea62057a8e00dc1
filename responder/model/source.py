"""What is known of a source beside its alerts: its peers, its gaps, how asking it for all of them goes."""

from datetime import datetime
from uuid import UUID

from responder.model.base import Frozen


class PeerReport(Frozen):
    """What one peer of a source said when it was asked for all its alerts."""

    name: str
    answered: bool
    """Whether it gave its whole list."""
    alerts: int = 0
    unusable: int = 0
    """Alerts of its list that cannot be kept: they are known there, and not taken in."""
    up_for_s: float | None = None
    receiver_known: bool | None = None
    """Whether it has our receiver; None where that was not asked, or not answered."""
    doubt: str | None = None
    """Why an alert that it does not list may be there all the same, in words; None where it is gone."""


class Gap(Frozen):
    """Alerts of a source were missed, since the first and at the last time that was noticed."""

    since: datetime
    noticed_at: datetime
    reason: str


class SourceStanding(Frozen):
    """How asking one source for all its alerts stands, over all replicas. Counts are since `since`."""

    source: str
    now: datetime
    since: datetime
    """When it was first to be asked."""
    owner: UUID | None
    owner_alive: bool
    epoch: int
    due_at: datetime
    began_at: datetime | None = None
    ended_at: datetime | None = None
    complete_at: datetime | None = None
    """When the last round asked in which every peer answered and could be believed."""
    rounds: int = 0
    taken_in: int = 0
    gone: int = 0
    peers: tuple[PeerReport, ...] = ()
    problem: str | None = None
    """Why the last round was not complete, in words."""
    asked_at: datetime | None = None
    asked_by: str | None = None
    """When a person last asked for a round, and who."""
    gap: Gap | None = None

    @property
    def wanted(self) -> bool:
        """Whether a round is to begin: its time has come, a person asked, or alerts were missed since."""
        if self.now >= self.due_at or self.began_at is None:
            return True
        reasons = [self.asked_at, self.gap.noticed_at if self.gap is not None else None]
        return any(at is not None and at > self.began_at for at in reasons)

    @property
    def age_s(self) -> float:
        """Seconds since the last complete round asked; since the first was due, where there was none."""
        return (self.now - (self.complete_at or self.since)).total_seconds()
