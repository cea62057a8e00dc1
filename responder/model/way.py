"""What a person can do about what holds a step. Typed: whoever shows it names the command."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator

from responder.model.base import Frozen


class WayKind(StrEnum):
    """What is to be done; each is one command, or one place to look."""

    RESUME = "resume"
    """End the halt of that number; 0 is a flag that no halt stands behind."""
    REMOVE_FILE = "remove_file"
    END_FREEZE = "end_freeze"
    EDIT_FREEZE = "edit_freeze"
    """The freeze of that name stands in the settings."""
    END_MAINTENANCE = "end_maintenance"
    PROMOTE = "promote"
    """Promote that rule."""
    EDIT_RULE = "edit_rule"
    """The autonomy of that rule, or of its step."""
    RAISE_CEILING = "raise_ceiling"
    """A ceiling of the settings."""
    ADD_TARGET = "add_target"
    """Add what a step names under that key of the settings."""
    RELEASE = "release"
    """Release that quarantined target."""
    SEE_INCIDENT = "see_incident"
    """What it waits for is that incident's."""
    SEE_BUDGETS = "see_budgets"
    RESET_BREAKER = "reset_breaker"

    @property
    def ends(self) -> bool:
        """Whether it ends something that every replica knows of, so that anyone can say whether it has ended.

        A file halts its own process: whoever is asked may be another. The settings may be edited and not be
        read yet; the active rulebook is the same for all.
        """
        return self in _ENDS

    @property
    def looks(self) -> bool:
        """Whether it is a place to look alone: nothing ends by it."""
        return self in {WayKind.SEE_INCIDENT, WayKind.SEE_BUDGETS}


_ENDS = {
    WayKind.RESUME,
    WayKind.END_FREEZE,
    WayKind.END_MAINTENANCE,
    WayKind.RELEASE,
    WayKind.RESET_BREAKER,
    WayKind.PROMOTE,
    WayKind.EDIT_RULE,
}


class Way(Frozen):
    """One way; `of` says what is meant: a number, a name, a file, a target, an incident.

    `by` is the attempt that left a target quarantined: the same target may be so again by another one.
    """

    kind: WayKind
    of: str = ""
    by: str = ""

    def stands_in(self, standing: Iterable["Way"]) -> bool:
        """Whether it is among those; without `by` whoever's it is."""
        return any((one.kind, one.of) == (self.kind, self.of) and self.by in {"", one.by} for one in standing)


def _known(told: Any) -> Any:
    kinds = frozenset(WayKind)
    return tuple(way for way in told if isinstance(way, Way) or way.get("kind") in kinds)


KnownWays = Annotated[tuple[Way, ...], BeforeValidator(_known)]
"""Those of a kind that this version can name: another version may have written or told more."""
