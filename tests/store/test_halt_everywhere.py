"""A halt stops every replica within five seconds: three engines on one PostgreSQL, with effects under way.

Each attempt has two elements. The effect on the first one waits for the test; so every intent is committed
when somebody halts, and the effect on the second one has not begun.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, cast
from uuid import UUID

from responder.decide.case import ProbeReading, SourceView, Terms
from responder.engine.engine import Engine
from responder.engine.settings import EngineSettings
from responder.model.alert import Alert, Delivery, Standing, fingerprint
from responder.model.attempt import Attempt, ElementOutcome, Outcome
from responder.model.autonomy import Autonomy
from responder.model.base import Frozen
from responder.model.incident import MemberAlert
from responder.model.matcher import Matcher, MatchOp
from responder.model.rule import Limits, Position, Probe, Rule, Rulebook, SeverityCase, Step, StepKind, Verify
from responder.model.severity import Severity
from responder.model.target import Element, State, Target
from responder.notify.log import LogChannel
from responder.ports import Actions, AlertState, Probes, UndoStep
from responder.rulebook.matchers import parse_matchers
from responder.store.connection import Connections
from responder.store.migrate import migrate
from responder.store.postgres import PostgresStore
from responder.store.settings import StoreSettings
from responder.telemetry import build_metrics
from tests.support.link import link_to
from tests.support.parts import embedded_postgres, until
from tests.support.stored import KEYS, Stored, stored

PROMISED_S = 5.0
LEASE_TIME = timedelta(seconds=30)
NAMES = tuple(f"db{number}" for number in range(12))


class GateParams(Frozen):
    """Which target."""

    target: str


@dataclass
class Gate:
    """What is done to the targets, and when; each first effect waits until it is let through."""

    begun: list[tuple[float, str, str]] = field(default_factory=list)
    running: int = 0
    open: asyncio.Event = field(default_factory=asyncio.Event)

    def elements(self, key: str) -> set[str]:
        """The targets of which this element's effect has begun."""
        return {target for _, target, element in self.begun if element == key}


class Act:
    """Two effects on each target; see the gate."""

    name: ClassVar[str] = "test.act"
    kind: ClassVar[StepKind] = StepKind.SAFE
    deadline: ClassVar[timedelta] = timedelta(seconds=60)
    fenced: ClassVar[bool] = True
    Params: ClassVar[type[Frozen]] = GateParams

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    def resolve(self, params: GateParams) -> tuple[Target, ...]:  # noqa: D102 - the contract's
        return (Target(key=f"test/{params.target}", name=params.target),)

    async def look(self, params: GateParams, target: Target) -> State:  # noqa: D102
        del params, target
        return State()

    def pin(self, params: GateParams, state: State) -> tuple[Element, ...]:  # noqa: D102
        del params, state
        return (Element(key="first", title="first"), Element(key="second", title="second"))

    def at_most(self, params: GateParams) -> int:  # noqa: D102
        del params
        return 2

    def refuse(self, params: GateParams, state: State) -> str | None:  # noqa: D102
        del params, state
        return None

    async def run(  # noqa: D102
        self, target: Target, element: Element, params: GateParams, state: State, attempt_id: UUID
    ) -> ElementOutcome:
        del params, state, attempt_id
        self.gate.begun.append((time.monotonic(), target.name, element.key))
        self.gate.running += 1
        await self.gate.open.wait()
        self.gate.running -= 1
        return ElementOutcome(element=element.key, outcome=Outcome.DONE)

    async def happened(self, attempt: Attempt) -> tuple[ElementOutcome, ...]:  # noqa: D102
        begun = self.gate.elements("second")
        return tuple(
            ElementOutcome(
                element=one.key,
                outcome=Outcome.DONE if one.key == "first" or attempt.target in begun else Outcome.NOT_DONE,
            )
            for one in attempt.elements
        )

    def undo(self, params: GateParams, state_before: Mapping[str, Any]) -> UndoStep | None:  # noqa: D102
        del params, state_before
        return None

    def consent(self, params: GateParams, state: State) -> Mapping[str, Any]:  # noqa: D102
        del params, state
        return {}


class OneAction:
    """The registry of these tests."""

    def __init__(self, act: Act) -> None:
        self.act = act

    def get(self, _name: str) -> Act:
        """The action."""
        return self.act


class NoSource:
    """No API is configured, and no probe."""

    async def ask(self, _what: Sequence[MemberAlert] | Probe, _how: Any = None, **_more: Any) -> SourceView:
        """Nobody to ask."""
        return SourceView(configured=False)

    async def standings(self, _source: str, _labels: Any) -> None:
        """Nobody to ask."""

    async def read(self) -> ProbeReading:
        """No rule here has a probe."""
        raise AssertionError


RULE = Rule(
    name="Act",
    match=(Matcher(name="alertname", op=MatchOp.EQUAL, value="A"),),
    severity=(SeverityCase(severity=Severity.P1),),
    group_by=("server",),
    wait_for=timedelta(0),
    autonomy=Autonomy.AUTO,
    steps=(
        Step(
            action="test.act",
            kind=StepKind.SAFE,
            timeout=timedelta(seconds=60),
            params={"target": "$labels.server"},
        ),
    ),
    verify=Verify(alert_resolved_within=timedelta(minutes=5), stable_for=timedelta(seconds=30)),
    limits=Limits(attempts=10, per=timedelta(hours=1), cooldown=timedelta(seconds=1)),
    position=Position(file="test.yaml", line=1, column=1),
)


def namespace(name: str) -> str:
    """Half of the targets are in prod."""
    return "prod" if name in NAMES[: len(NAMES) // 2] else "dev"


def firing(name: str) -> Alert:
    labels = {"alertname": "A", "server": name, "namespace": namespace(name)}
    return Alert(fingerprint(labels), labels, {}, Standing.FIRING, datetime.now(UTC))


@dataclass
class Stage:
    """Three replicas, and what they do."""

    db: Stored
    gate: Gate
    engines: list[Engine]
    file: Path

    async def under_way(self, number: int = len(NAMES)) -> None:
        """Alerts for every target, until so many attempts have begun their first effect."""
        await self.engines[0].intake.take(Delivery(source="am", alerts=tuple(map(firing, NAMES))))

        async def begun() -> bool:
            return len(self.gate.elements("first")) >= number

        await until(begun, f"{number} attempts have begun", within=20)

    async def nobody_acts(self) -> bool:
        """Whether no effect is under way."""
        return not self.gate.running

    async def outcomes(self, number: int, wanted: str) -> list[tuple[Any, ...]]:
        """Until so many attempts have ended: what became of their second effects."""
        query = "SELECT outcome, results->1->>'outcome', results->1->>'detail' FROM attempts ORDER BY number"

        async def ended() -> list[tuple[Any, ...]]:
            rows = await self.db.sql(query)
            return rows if len(rows) == number and all(row[0] != "started" for row in rows) else []

        found = await until(ended, f"{number} attempts have ended", within=30)
        assert {row[1] for row in found} == {wanted}
        return found

    async def held(self, number: int) -> None:
        """Until so many incidents wait, held by the halt."""
        query = "SELECT count(*) FROM incidents WHERE state = 'held' AND progress->'hold'->>'guard' = 'halt'"

        async def all_held() -> bool:
            return bool(await self.db.one(query) == number)

        await until(all_held, f"{number} incidents are held", within=30)


@asynccontextmanager
async def replica(dsn: str, gate: Gate, file: Path) -> AsyncIterator[Engine]:
    """One engine with four workers, on connections of its own."""
    settings = EngineSettings.model_validate(
        {
            "ceiling": "auto",
            "promoted": (RULE.acting_hash,),
            "halt_file": file,
            "terms": {"hold_every": "200ms"},
            "stop_grace": "1s",
        }
    )
    connections = await Connections.open(dsn, StoreSettings())
    store = PostgresStore(connections, LEASE_TIME, KEYS)
    engine = Engine(
        store=store,
        actions=cast("Actions", OneAction(Act(gate))),
        probes=cast("Probes", NoSource()),
        alert_state=cast("AlertState", NoSource()),
        outbox=store.outbox,
        channels=[LogChannel()],
        give_up_after=timedelta(hours=24),
        rounds=store.rounds,
        lists={},
        metrics=build_metrics("test"),
        settings=settings,
        terms=Terms.model_validate(dict(settings.terms)),
        source_ceilings={},
        lease_time=LEASE_TIME,
        heartbeat_every=timedelta(seconds=1),
    )
    await engine.start()
    try:
        yield engine
    finally:
        gate.open.set()
        await engine.stop()
        await connections.close(timedelta(seconds=1))


@asynccontextmanager
async def stage(dsn: str, folder: Path, behind: str | None = None) -> AsyncIterator[Stage]:
    """Three replicas on one database; they reach it by `behind`, the test itself by `dsn`."""
    async with stored(dsn) as db, AsyncExitStack() as stack:
        await db.store.activate(Rulebook(rules=(RULE,)), "the test")
        gate, file = Gate(), folder / "halt"
        engines = [await stack.enter_async_context(replica(behind or dsn, gate, file)) for _ in range(3)]
        yield Stage(db, gate, engines, file)


def begun_after(gate: Gate, at: float) -> list[tuple[float, str, str]]:
    return [effect for effect in gate.begun if effect[0] > at]


async def test_a_halt_stops_every_replica_intents_committed_before_it_included(
    dsn: str, tmp_path: Path
) -> None:
    """All twelve first effects run; after the halt no second one begins, on any replica; resumed, they do."""
    async with stage(dsn, tmp_path) as on:
        await on.under_way()
        await on.db.store.halt("ada", "storm")
        halted_at = time.monotonic()

        async def all_know() -> bool:
            return all(engine.halt._followed and engine.halt._followed.halts_all for engine in on.engines)

        await until(all_know, "every replica has heard of it", within=PROMISED_S, every=0.01)
        on.gate.open.set()
        outcomes = await on.outcomes(len(NAMES), "not_done")
        assert {detail for _, _, detail in outcomes} <= {
            "it was halted before the effect could start",
            "the start window was over, or this process was deposed",
        }
        assert begun_after(on.gate, halted_at) == []


async def test_what_is_due_under_a_halt_starts_nothing_and_goes_on_when_resumed(
    dsn: str, tmp_path: Path
) -> None:
    """Alerts that come while everything is halted are held on all replicas."""
    async with stage(dsn, tmp_path) as on:
        on.gate.open.set()
        await on.db.store.halt("ada", "storm")
        await on.engines[1].intake.take(Delivery(source="am", alerts=tuple(map(firing, NAMES))))
        await on.held(len(NAMES))
        assert on.gate.begun == []
        await on.db.store.resume("ada", "over")

        async def all_done() -> bool:
            # A replica that has not heard of the end yet lets an effect not begin: its step is taken again.
            return on.gate.elements("second") == set(NAMES)

        await until(all_done, "every effect begins", within=60)


async def test_a_halt_over_a_part_lets_the_rest_go_on(dsn: str, tmp_path: Path) -> None:
    """Half of the targets are in prod: theirs do not begin, the others do."""
    async with stage(dsn, tmp_path) as on:
        on.gate.open.set()
        await on.db.store.halt("ada", "migration", parse_matchers('namespace="prod"'))
        await on.engines[1].intake.take(Delivery(source="am", alerts=tuple(map(firing, NAMES))))
        await on.held(len(NAMES) // 2)
        await on.outcomes(len(NAMES) // 2, "done")
        assert on.gate.elements("second") == {name for name in NAMES if namespace(name) == "dev"}


async def test_a_halt_by_file_holds_while_the_database_is_cut_and_when_it_is_back(tmp_path: Path) -> None:
    """Intents are committed, nobody reaches the database, somebody makes the file: nothing more begins."""
    async with embedded_postgres("store") as server, link_to(server.port) as link:
        await migrate(server.dsn())
        async with stage(server.dsn(), tmp_path, server.dsn(port=link.port)) as on:
            await on.under_way()
            link.asks.stall()
            link.cut()
            on.file.write_text("ada: storm\n")
            halted_at = time.monotonic()
            on.gate.open.set()
            await until(on.nobody_acts, "every effect that had begun has ended")
            link.heal()
            await on.outcomes(len(NAMES), "not_done")
            await on.engines[2].intake.take(Delivery(source="am", alerts=(firing("late"),)))
            await on.held(1)
            assert begun_after(on.gate, halted_at) == []
