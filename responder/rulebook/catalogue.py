"""What the check knows of the actions: a catalogue that the registry of actions implements.

The rulebook never imports an action. It asks the catalogue by name and checks what users wrote under `with:`
against the action's own parameters.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from responder.model.base import Frozen
from responder.model.expectation import FieldKind
from responder.model.rule import StepKind


@dataclass(frozen=True, slots=True)
class ActionFacts:
    """What a rule may rely on of one action.

    A parameter called `connection` is a connection of the inventory: a name, or labels that lead to one. One
    called `source` is the name of a source of alerts, and one called `promql` a question to Prometheus.
    """

    name: str
    kind: StepKind
    params: type[Frozen]
    """The model that `with:` must fit."""
    deadline: timedelta
    """The timeout of a step that gives none."""
    undoable: bool
    """Whether the action has an inverse: only then may a step say `undo: if_not_recovered`."""
    relative: frozenset[str] = frozenset()
    """The parameters that may be relative to what is there: `{by: +2, ceiling: 10}`."""
    results: Mapping[str, FieldKind] = field(default_factory=dict)
    """The fields of what its look finds that a rule may expect something of."""


class Catalogue(Protocol):
    """All actions by name."""

    def names(self) -> Sequence[str]:
        """Every name that `find` knows."""
        ...

    def find(self, name: str) -> ActionFacts | None:
        """The facts of one action, or None where there is none of that name."""
        ...
