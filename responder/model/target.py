"""What actions act on: targets, the elements inside them, and the fresh state of a target."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import Field

from responder.model.base import Frozen
from responder.model.expectation import FieldKind


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

    @property
    def result(self) -> dict[str, Any]:
        """The fields that a rule may expect something of, by name; durations are in seconds."""
        return {name: _plain(getattr(self, name)) for name in result_fields(type(self))}


@cache
def result_fields(state: type[State]) -> Mapping[str, FieldKind]:
    """What a rule may expect of a state: its own fields and properties that are plain, or lists of such."""
    known = {name: field.annotation for name, field in state.model_fields.items()}
    own = {name: known[name] for name in known if name not in State.model_fields}
    for base in reversed(state.__mro__[: state.__mro__.index(State)]):
        told = {name: one for name, one in vars(base).items() if isinstance(one, property)}
        own |= {name: get_type_hints(one.fget).get("return") for name, one in told.items()}
    kinds = {name: _kind(annotation) for name, annotation in own.items() if name != "summary"}
    return {name: kind for name, kind in kinds.items() if kind is not None}


_KINDS: tuple[tuple[type, FieldKind], ...] = (
    (bool, FieldKind.TRUTH),
    (int, FieldKind.NUMBER),
    (float, FieldKind.NUMBER),
    (timedelta, FieldKind.DURATION),
    (str, FieldKind.TEXT),
)


def _kind(annotation: Any) -> FieldKind | None:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(arguments[0])
    if origin in {Union, UnionType}:
        kinds = {_kind(one) for one in arguments if one is not type(None)}
        return kinds.pop() if len(kinds) == 1 else None
    if origin in {tuple, list}:
        listed = [one for one in arguments if one is not Ellipsis]
        nested = len(listed) != 1 or get_origin(listed[0]) in {tuple, list}
        return None if nested else _kind(listed[0])
    if origin is Literal:
        return _kind(type(arguments[0]))
    if isinstance(annotation, type):
        return next((kind for of, kind in _KINDS if issubclass(annotation, of)), None)
    return None


def _plain(value: Any) -> Any:
    match value:
        case timedelta():
            return value.total_seconds()
        case Enum():
            return value.value
        case list() | tuple():
            return [_plain(one) for one in value]
        case _:
            return value
