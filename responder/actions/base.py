"""What all actions share: the two kinds of base class, and the clients that an action is built from.

An action derives from `ReadOnlyAction` (it looks, and that is all) or from `ChangingAction` (it has an
effect). Both meet `ports.Action`; docs/actions.md says how to write one.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar, Generic, TypeVar
from uuid import UUID

from responder.clients.alertmanagers import AlertmanagerClusters
from responder.clients.postgres import PostgresServers
from responder.clients.prometheuses import PrometheusServers
from responder.model.attempt import Attempt, ElementOutcome, Outcome
from responder.model.base import Frozen
from responder.model.errors import PermanentError
from responder.model.inventory import Inventory
from responder.model.rule import StepKind
from responder.model.target import Element, State, Target
from responder.ports import Attempts, UndoStep

P = TypeVar("P", bound=Frozen)
S = TypeVar("S", bound=State)


@dataclass(frozen=True, slots=True)
class Clients:
    """What every action is built from: the inventory, and a client for each kind of system in it."""

    inventory: Inventory
    postgres: PostgresServers
    alertmanagers: AlertmanagerClusters = field(default_factory=lambda: AlertmanagerClusters({}))
    attempts: Attempts | None = None
    """The ledger; None where there is none to ask."""
    prometheus: PrometheusServers = field(default_factory=PrometheusServers)


class BaseAction(ABC, Generic[P, S]):
    """What read-only and changing actions have in common."""

    name: ClassVar[str]
    """`system.verb`, as rules write it; the same as its name in the registry."""
    kind: ClassVar[StepKind]
    deadline: ClassVar[timedelta]
    fenced: ClassVar[bool] = False
    undoable: ClassVar[bool] = False
    """Whether `undo` has an answer: only then may a step say `undo: if_not_recovered`."""
    relative: ClassVar[frozenset[str]] = frozenset()
    """The parameters that a rule may give relative to what `present` says: `{by: +2, ceiling: 10}`."""
    Params: ClassVar[type[Frozen]]

    def __init__(self, clients: Clients) -> None:
        self._inventory = clients.inventory
        self._postgres = clients.postgres

    @abstractmethod
    def resolve(self, params: P) -> tuple[Target, ...]:
        """The targets, from the inventory. Raises RefusedError where none or several fit."""

    @abstractmethod
    async def look(self, params: P, target: Target) -> S:
        """A fresh state, without changing anything. Raises TemporaryError where there is no answer."""

    def present(self, state: S) -> Mapping[str, int]:
        """Nothing may be relative."""
        del state
        return {}

    def refuse(self, params: P, state: S) -> str | None:
        """No floors and ceilings of its own."""
        del params, state
        return None

    def undo(self, params: P, state_before: Mapping[str, Any]) -> UndoStep | None:
        """No inverse."""
        del params, state_before
        return None


class ReadOnlyAction(BaseAction[P, S]):
    """An action that looks: its state is the evidence."""

    kind: ClassVar[StepKind] = StepKind.READ_ONLY

    def pin(self, params: P, state: S) -> tuple[Element, ...]:
        """Nothing is hit."""
        del params, state
        return ()

    def at_most(self, params: P) -> int:
        """Nothing is hit."""
        del params
        return 0

    async def run(
        self, target: Target, element: Element, params: P, state: S, attempt_id: UUID
    ) -> ElementOutcome:
        """Never: there is no effect. Raises PermanentError."""
        del target, element, params, state, attempt_id
        raise PermanentError(f"{self.name} only looks: it has no effect to run")

    async def happened(self, attempt: Attempt) -> tuple[ElementOutcome, ...]:
        """Nothing ever does."""
        return tuple(
            ElementOutcome(element=element.key, outcome=Outcome.NOT_DONE, detail="it only looks")
            for element in attempt.elements
        )

    def consent(self, params: P, state: S) -> Mapping[str, Any]:
        """Nothing to approve."""
        del params, state
        return {}


class ChangingAction(BaseAction[P, S]):
    """An action with an effect on pinned elements."""

    @abstractmethod
    def pin(self, params: P, state: S) -> tuple[Element, ...]:
        """All elements that the effect would hit: never truncated."""

    @abstractmethod
    def at_most(self, params: P) -> int:
        """How many elements are allowed."""

    @abstractmethod
    async def run(
        self, target: Target, element: Element, params: P, state: S, attempt_id: UUID
    ) -> ElementOutcome:
        """One effect on one element, fenced by what the look saw. An exception counts as unknown."""

    @abstractmethod
    async def happened(self, attempt: Attempt) -> tuple[ElementOutcome, ...]:
        """For each element: done, not done or unknown. Never raises for a target that is away."""

    def consent(self, params: P, state: S) -> Mapping[str, Any]:
        """The systems that it stands on: another server under the same name needs another approval."""
        del params
        return {"ground": list(state.ground)}
