"""What a look depends on beside its own incident, and what others do that may change it.

Whoever is idle looks again when anything that it depends on is stirred, and only then: where hundreds of
incidents wait for each other, nearly all that happens concerns a few of them.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from enum import Enum, auto
from typing import NamedTuple
from uuid import UUID

from responder.decide.case import LedgerQuestion
from responder.model.budget import BudgetScope
from responder.model.incident import Incident, IncidentState
from responder.model.inhibition import Inhibits


class Kind(Enum):
    """Of what kind it is."""

    INCIDENT = auto()
    """An incident's own alerts, commands and findings."""
    TARGET = auto()
    """Who holds a target, and what was tried on it."""
    BREAKER = auto()
    """The circuit breaker of a rule."""
    UNDER_WAY = auto()
    """How many incidents of a rule are under way."""
    BUDGET = auto()
    """Whether a budget is spent, by scope and name."""
    NEAR = auto()
    """What was done in a namespace."""
    STORM = auto()
    """Whether it is a storm, and who tells of it."""


class Stir(NamedTuple):
    """One thing that looks depend on."""

    kind: Kind
    of: object = None


STORM = Stir(Kind.STORM)


def budget(scope: BudgetScope, name: str) -> Stir:
    """A budget."""
    return Stir(Kind.BUDGET, (scope, name))


def dependencies(
    incident: Incident, asked: LedgerQuestion | None, explained_by: Iterable[Inhibits], now: datetime
) -> Iterator[Stir]:
    """What the next look of an incident depends on, if its last one was at this moment.

    What the systems outside say, and what people do, stirs everybody.
    """
    yield Stir(Kind.INCIDENT, incident.id)
    yield from (Stir(Kind.UNDER_WAY, one.rule) for one in explained_by)
    if incident.state is not IncidentState.HELD:
        return
    yield STORM
    if asked is None:
        return
    yield Stir(Kind.BREAKER, asked.rule)
    if asked.limits.only_if_open_at_most is not None:
        yield Stir(Kind.UNDER_WAY, asked.rule)
    if asked.target is None:
        return
    yield Stir(Kind.TARGET, asked.target)
    if incident.opened_at >= now:  # nothing that is done later can have caused it
        yield Stir(Kind.NEAR, asked.namespace)
    if asked.disruptive:
        yield budget(BudgetScope.GLOBAL, "")
        yield budget(BudgetScope.NAMESPACE, asked.namespace or "")
        yield budget(BudgetScope.TARGET, asked.target)


class Dependents:
    """Who depends on what."""

    def __init__(self) -> None:
        self._on: dict[Stir, dict[UUID, None]] = {}
        self._of: dict[UUID, tuple[Stir, ...]] = {}

    def add(self, incident_id: UUID, on: Iterable[Stir]) -> None:
        """One more."""
        self._of[incident_id] = tuple(on)
        for one in self._of[incident_id]:
            self._on.setdefault(one, {})[incident_id] = None

    def remove(self, incident_id: UUID) -> None:
        """It depends on nothing any more."""
        for one in self._of.pop(incident_id, ()):
            there = self._on[one]
            there.pop(incident_id, None)
            if not there:
                del self._on[one]

    def on(self, stirred: Iterable[Stir]) -> list[UUID]:
        """Who depends on any of these, each once."""
        found: dict[UUID, None] = {}
        for one in stirred:
            found.update(self._on.get(one, {}))
        return list(found)
