"""What people have said that keeps automation from acting: halts, freezes and maintenance windows.

What is written in the settings, and by which one an attempt is held, stands in `decide.restraints`.
"""

from datetime import datetime
from enum import StrEnum

from responder.model.base import Frozen
from responder.model.matcher import Matcher
from responder.model.severity import Severity


class RestraintKind(StrEnum):
    """What a restraint does."""

    HALT = "halt"
    """Nothing starts that it may concern, until a person resumes."""
    FREEZE = "freeze"
    """Nothing that changes something starts in its time."""
    MAINTENANCE = "maintenance"
    """Incidents of matching alerts are recorded only: no page, no action."""


class Restraint(Frozen):
    """One of them, as it stands. `match` without a matcher is everything.

    `since` and `until` are civil time for a freeze, else service time. `allow`: severities that a freeze lets
    act all the same.
    """

    id: int
    kind: RestraintKind
    match: tuple[Matcher, ...] = ()
    allow: tuple[Severity, ...] = ()
    actor: str
    reason: str
    since: datetime
    until: datetime | None = None
    ended_at: datetime | None = None
    """When it was ended before its time; None while nobody has."""

    @property
    def name(self) -> str:
        """What people call it: its kind and its number."""
        return f"{self.kind.value} {self.id}"

    @property
    def scope(self) -> str:
        """Where it holds, in words."""
        return ", ".join(str(matcher) for matcher in self.match) or "everything"


class Restraints(Frozen):
    """All that stand at one moment.

    `flag` says why everything halts although no halt says so: the flag is missing, or another version of this
    program has set it. `unreadable` names what cannot be understood: nobody can say what it forbids.
    """

    flag: str | None = None
    unreadable: str | None = None
    standing: tuple[Restraint, ...] = ()
    civil: datetime | None = None
    """What the clock of the database's host showed when they were read: freezes alone go by it."""

    def of(self, kind: RestraintKind) -> tuple[Restraint, ...]:
        """Those of one kind, the oldest first."""
        return tuple(one for one in self.standing if one.kind is kind)

    @property
    def halts_all(self) -> str | None:
        """Why nothing at all may start, in words: every halt over everything; None where something may."""
        halts = [f"by {one.actor}: {one.reason}" for one in self.of(RestraintKind.HALT) if not one.match]
        unclear = [why for why in (self.flag, self.unreadable) if why is not None]
        return "; and ".join([*halts, *unclear]) or None
