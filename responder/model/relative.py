"""A parameter relative to what is there: `{by: +2, ceiling: 10}`, as rules write it, and what it comes to.

What it comes to is computed from a fresh look and stands in the intent: whoever repeats a move, after a crash
or for a new owner, means the same number and never adds twice.
"""

from typing import Any

from responder.model.base import Frozen


class By(Frozen):
    """So much more, or less where it is negative, and never beyond the bound."""

    by: int
    bound: int
    """The `ceiling` of what goes up, the `floor` of what goes down."""

    @property
    def up(self) -> bool:
        """Whether it goes up."""
        return self.by > 0

    def since(self, now: int) -> int | None:
        """What it comes to, from what is there now; None where the bound is reached already."""
        if self.up:
            return None if now >= self.bound else min(now + self.by, self.bound)
        return None if now <= self.bound else max(now + self.by, self.bound)

    def __str__(self) -> str:
        """In words."""
        return f"by {self.by:+d}, at {'most' if self.up else 'least'} {self.bound}"


def as_relative(value: Any) -> By | None:
    """What a checked rule has in the place of a value; None where it is a value as it stands."""
    match value:
        case {"by": int(by), "ceiling": int(bound), **more} if not more:
            return By(by=by, bound=bound)
        case {"by": int(by), "floor": int(bound), **more} if not more:
            return By(by=by, bound=bound)
        case _:
            return None
