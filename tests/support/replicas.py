"""Several replicas of the engine on one PostgreSQL, and an action whose effects a test sees, counts, holds.

The engines are the product's, each with connections and workers of its own. Their target is a gate: it keeps
a record of every effect that began, and each effect waits until the test opens it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, cast
from uuid import UUID

from responder.decide.case import ProbeReading, SourceView, Terms
from responder.engine.engine import Engine
from responder.engine.settings import EngineSettings
from responder.model.alert import Alert, Delivery, Standing, fingerprint
from responder.model.attempt import Attempt, ElementOutcome, Outcome
from responder.model.autonomy import Autonomy
from responder.model.base import Frozen
from responder.model.errors import RefusedError
from responder.model.incident import MemberAlert
from responder.model.inventory import Inventory
from responder.model.matcher import Matcher, MatchOp
from responder.model.rule import Limits, Position, Probe, Rule, Rulebook, SeverityCase, Step, StepKind, Verify
from responder.model.severity import Severity
from responder.model.target import Element, State, Target
from responder.notify.log import LogChannel
from responder.ports import Actions, AlertState, Probes, UndoStep
from responder.store.connection import Connections
from responder.store.postgres import PostgresStore
from responder.store.settings import StoreSettings
from responder.telemetry import build_metrics
from tests.support.parts import until
from tests.support.stored import KEYS, Stored, stored

LEASE_TIME = timedelta(seconds=30)
MINUTE = timedelta(minutes=1)


class Begun(NamedTuple):
    """One effect that began."""

    at: float
    target: str
    element: str
    attempt: UUID


@dataclass
class Gate:
    """What is done to the targets, and when; each effect waits until it is let through."""

    begun: list[Begun] = field(default_factory=list)
    running: int = 0
    open: asyncio.Event = field(default_factory=asyncio.Event)
    present: tuple[str, ...] = ("first", "second")
    """The elements that a look finds."""
    crowds: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """What it finds in targets that have others."""
    floor: int = 0
    """So many elements have to be left alone: the action refuses more."""
    nowhere: tuple[str, ...] = ()
    """Names that lead to no target."""

    def elements(self, key: str) -> set[str]:
        """The targets of which this element's effect has begun."""
        return {one.target for one in self.begun if one.element == key}

    def after(self, at: float) -> list[Begun]:
        """The effects that began later than that."""
        return [one for one in self.begun if one.at > at]


class GateParams(Frozen):
    """Which target."""

    target: str
    at_most: int = 2


class GateState(State):
    """What a look sees."""

    present: tuple[str, ...]
    floor: int


class Act:
    """One effect on each element of a target; see the gate."""

    name: ClassVar[str] = "test.act"
    kind: ClassVar[StepKind] = StepKind.SAFE
    deadline: ClassVar[timedelta] = timedelta(seconds=60)
    fenced: ClassVar[bool] = True
    Params: ClassVar[type[Frozen]] = GateParams

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    def resolve(self, params: GateParams) -> tuple[Target, ...]:  # noqa: D102 - the contract's
        if params.target in self.gate.nowhere:
            return ()
        return (Target(key=f"test/{params.target}", name=params.target),)

    async def look(self, params: GateParams, target: Target) -> GateState:  # noqa: D102
        del params
        present = self.gate.crowds.get(target.name, self.gate.present)
        return GateState(present=present, floor=self.gate.floor)

    def pin(self, params: GateParams, state: GateState) -> tuple[Element, ...]:  # noqa: D102
        del params
        return tuple(Element(key=one, title=one) for one in state.present)

    def at_most(self, params: GateParams) -> int:  # noqa: D102
        return params.at_most

    def refuse(self, params: GateParams, state: GateState) -> str | None:  # noqa: D102
        del params
        low = bool(state.floor) and len(state.present) <= state.floor
        return f"{len(state.present)} are left, and {state.floor} have to be" if low else None

    async def run(  # noqa: D102
        self, target: Target, element: Element, params: GateParams, state: GateState, attempt_id: UUID
    ) -> ElementOutcome:
        del params, state
        self.gate.begun.append(Begun(time.monotonic(), target.name, element.key, attempt_id))
        self.gate.running += 1
        try:
            await self.gate.open.wait()
        finally:
            self.gate.running -= 1
        return ElementOutcome(element=element.key, outcome=Outcome.DONE)

    async def happened(self, attempt: Attempt) -> tuple[ElementOutcome, ...]:  # noqa: D102
        begun = {one.element for one in self.gate.begun if one.attempt == attempt.id}
        return tuple(
            ElementOutcome(element=one.key, outcome=Outcome.DONE if one.key in begun else Outcome.NOT_DONE)
            for one in attempt.elements
        )

    def undo(self, params: GateParams, state_before: Mapping[str, Any]) -> UndoStep | None:  # noqa: D102
        del params, state_before
        return None

    def consent(self, params: GateParams, state: GateState) -> Mapping[str, Any]:  # noqa: D102
        del params, state
        return {}


class OneAction:
    """The registry of these replicas."""

    def __init__(self, act: Act) -> None:
        self.act = act

    def get(self, name: str) -> Act:
        """The action."""
        if name != self.act.name:
            raise RefusedError(f"there is no action {name}")
        return self.act


@dataclass
class World:
    """What the source's API and every probe answer; nobody can be asked unless a test says so."""

    source: SourceView = field(default_factory=lambda: SourceView(configured=False))
    answers: list[bool | None] = field(default_factory=lambda: [None])
    """What a probe answers: one after the other, the last one for ever."""
    asked: list[datetime] = field(default_factory=list)
    """When a probe was asked."""

    async def ask(
        self, what: Sequence[MemberAlert] | Probe, _how: Any = None, **_more: Any
    ) -> SourceView | ProbeReading:
        """The source of members, or a probe."""
        if isinstance(what, Probe):
            self.asked.append(datetime.now(UTC))
            holds = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            return ProbeReading(holds=holds, text=f"the probe says {holds}")
        return self.source

    async def standings(self, _source: str, _labels: Any) -> None:
        """Nobody to ask."""


RULE = Rule(
    name="Act",
    match=(Matcher(name="alertname", op=MatchOp.EQUAL, value="A"),),
    severity=(SeverityCase(severity=Severity.P1),),
    group_by=("server",),
    wait_for=timedelta(0),
    autonomy=Autonomy.AUTO,
    steps=(Step(action="test.act", kind=StepKind.SAFE, timeout=MINUTE, params={"target": "$labels.server"}),),
    verify=Verify(alert_resolved_within=timedelta(minutes=5), stable_for=timedelta(seconds=30)),
    limits=Limits(attempts=10, per=timedelta(hours=1), cooldown=timedelta(seconds=1)),
    position=Position(file="test.yaml", line=1, column=1),
)


def firing(name: str, **labels: str) -> Alert:
    """An alert of that server that began just now."""
    known = {"alertname": "A", "server": name, **labels}
    return Alert(fingerprint(known), known, {}, Standing.FIRING, datetime.now(UTC))


def over(alert: Alert) -> Alert:
    """That it ended just now."""
    return replace(alert, standing=Standing.RESOLVED, ends_at=datetime.now(UTC))


def delivered(*alerts: Alert) -> Delivery:
    """One delivery of them."""
    return Delivery(source="am", alerts=alerts)


@dataclass
class Stage:
    """Some replicas, what they do, and what they are told."""

    db: Stored
    gate: Gate
    engines: list[Engine]
    file: Path
    world: World

    async def under_way(self, *names: str) -> None:
        """Alerts for every target, until an attempt on each has begun its first effect."""
        await self.engines[0].intake.take(delivered(*map(firing, names)))

        async def begun() -> bool:
            return {one.target for one in self.gate.begun} >= set(names)

        await until(begun, f"{len(names)} attempts have begun", within=60)

    async def nobody_acts(self) -> bool:
        """Whether no effect is under way."""
        return not self.gate.running

    async def held(self, number: int, guard: str = "halt") -> None:
        """Until so many incidents wait, held by that guard."""
        query = "SELECT count(*) FROM incidents WHERE state = 'held' AND progress->'hold'->>'guard' = $1"

        async def all_held() -> bool:
            return bool(await self.db.one(query, guard) == number)

        await until(all_held, f"{number} incidents are held by {guard}", within=60)

    async def holds(self) -> str:
        """Why the only held incident is held, in words."""
        query = "SELECT progress->'hold'->>'reason' FROM incidents WHERE state = 'held'"
        return str(await self.db.one(query))

    async def told_of(self, server: str) -> str:
        """All that the timeline of a server's incident says."""
        query = """SELECT string_agg(t.text || t.facts, ' ') FROM timeline t
                   JOIN incidents i ON i.id = t.incident_id WHERE i.key ->> 'server' = $1"""
        return str(await self.db.one(query, server))

    async def are(self, state: str, number: int) -> None:
        """Until so many incidents are in this state."""

        async def there() -> bool:
            return bool(await self.db.one("SELECT count(*) FROM incidents WHERE state = $1", state) == number)

        await until(there, f"{number} incidents are {state}", within=60)


def _settings(rules: Sequence[Rule], file: Path, engine: Mapping[str, Any]) -> EngineSettings:
    """Settings of an engine that looks often, and trusts these rules."""
    given = {
        "ceiling": "auto",
        "promoted": tuple(rule.acting_hash for rule in rules),
        "halt_file": file,
        "stop_grace": "1s",
        **engine,
        "terms": {"hold_every": "200ms", "verify_every": "200ms", **engine.get("terms", {})},
    }
    return EngineSettings.model_validate(given)


@asynccontextmanager
async def replica(
    dsn: str,
    gate: Gate,
    file: Path,
    *,
    rules: Sequence[Rule] = (RULE,),
    world: World | None = None,
    lease_time: timedelta = LEASE_TIME,
    start_window: timedelta = Terms().start_window,
    **engine: Any,
) -> AsyncIterator[Engine]:
    """One engine with four workers, on connections of its own.

    With a start window that is longer than any operator may set it, what else stops effects is seen.
    """
    world = world or World()
    connections = await Connections.open(dsn, StoreSettings())
    store = PostgresStore(connections, lease_time, KEYS)
    settings = _settings(rules, file, engine)
    terms = Terms.model_validate(dict(settings.terms))
    one = Engine(
        store=store,
        actions=cast("Actions", OneAction(Act(gate))),
        probes=cast("Probes", world),
        alert_state=cast("AlertState", world),
        outbox=store.outbox,
        channels=[LogChannel()],
        give_up_after=timedelta(hours=24),
        rounds=store.rounds,
        schedules=store.schedules,
        give_backs=store.give_backs,
        inventory=Inventory(),
        lists={},
        metrics=build_metrics("test"),
        settings=settings,
        terms=terms.model_copy(update={"start_window": start_window}),
        source_ceilings={},
        lease_time=lease_time,
        heartbeat_every=min(timedelta(seconds=1), lease_time / 5),
    )
    await one.start()
    try:
        yield one
    finally:
        gate.open.set()
        await one.stop()
        await connections.close(timedelta(seconds=1))


@asynccontextmanager
async def stage(
    dsn: str,
    folder: Path,
    *,
    replicas: int = 3,
    behind: str | None = None,
    rules: Sequence[Rule] = (RULE,),
    **more: Any,
) -> AsyncIterator[Stage]:
    """Replicas on one database; they reach it by `behind`, the test itself by `dsn`."""
    async with stored(dsn) as db, AsyncExitStack() as stack:
        await db.store.activate(Rulebook(rules=tuple(rules)), "the test")
        gate, file, world = Gate(), folder / "halt", World()
        engines = [
            await stack.enter_async_context(
                replica(behind or dsn, gate, file, rules=rules, world=world, **more)
            )
            for _ in range(replicas)
        ]
        yield Stage(db, gate, engines, file, world)
