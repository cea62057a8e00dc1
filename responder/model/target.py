"""What actions act on: targets, the elements inside them, and the fresh state of a target."""

from datetime import datetime
from typing import Any

from pydantic import Field

from responder.model.base import Frozen


class Target(Frozen):
    """What an action acts on, from the inventory.

    `key` is what claims, budgets, cooldown and attempts count on, for example `postgres/orders`.
    """

    key: str
    name: str
    """The inventory's name of the connection or workload."""
    namespace: str = Field(default_factory=lambda given: str(given["key"]))
    """What it stands in, and what the budget of a namespace counts on; by itself the target stands alone."""


class Element(Frozen):
    """One thing inside a target that an effect hits: a backend, a pod. Known only after the look.

    `key` identifies it for ever (a pid alone does not: it comes again); `title` is for people; `facts`
    is what the effect needs to be fenced at the target.
    """

    key: str
    title: str
    facts: dict[str, Any] = Field(default_factory=dict)


class State(Frozen):
    """A fresh, typed look at a target. Each action has its own; this is what all have.

    `ground` names the systems that the target stands on (for example
    `postgres-system/7301234567890123456`): where one of them carries the responder itself, the "own
    ground" guard refuses. `summary` is one line for the timeline.
    """

    ground: tuple[str, ...] = ()
    opted_out: str | None = None
    """What the target's own `responder/opt-out` mark says, where it has one; see `decide.opt_out`."""
    managed_by: str | None = None
    """Who puts the target back to what it should be (GitOps with self-heal, an autoscaler, an operator)."""
    changed_at: datetime | None = None
    """When somebody else than the responder changed the target last, by its own clock."""
    changed_by: str | None = None
    """Who that was."""

    @property
    def summary(self) -> str:
        """One line for the timeline; subclasses say what matters."""
        return ""
