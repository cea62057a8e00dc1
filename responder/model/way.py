"""What a person can do about what holds a step. Typed: whoever shows it names the command."""

from enum import StrEnum

from responder.model.base import Frozen


class WayKind(StrEnum):
    """What is to be done; each is one command, or one place to look."""

    RESUME = "resume"
    """End the halt of that number; without a number, the halt."""
    REMOVE_FILE = "remove_file"
    END_FREEZE = "end_freeze"
    EDIT_FREEZE = "edit_freeze"
    """The freeze of that name stands in the settings."""
    END_MAINTENANCE = "end_maintenance"
    PROMOTE = "promote"
    """Promote that rule."""
    RAISE_CEILING = "raise_ceiling"
    """A ceiling of the settings."""
    RELEASE = "release"
    """Release that quarantined target."""
    SEE_INCIDENT = "see_incident"
    """What it waits for is that incident's."""
    SEE_BUDGETS = "see_budgets"
    RESET_BREAKER = "reset_breaker"

    @property
    def ends(self) -> bool:
        """Whether it ends something that stands, so that it may have ended since."""
        return self in {WayKind.RESUME, WayKind.REMOVE_FILE, WayKind.END_FREEZE, WayKind.END_MAINTENANCE}


class Way(Frozen):
    """One way; `of` says what is meant: a number, a name, a file, a target, an incident."""

    kind: WayKind
    of: str = ""
