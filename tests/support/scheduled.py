"""Scheduled rules for tests: a rule, an action that answers what a test says, a replica that makes runs."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, cast

from responder.decide.case import Terms
from responder.engine.intake import GroupCommit
from responder.engine.ownership import Ownership
from responder.engine.rules import ActiveRules
from responder.engine.schedules import ScheduledRules
from responder.engine.settings import EngineSettings
from responder.engine.wake import Wake
from responder.model.base import Frozen
from responder.model.expectation import ExpectedField, FieldKind
from responder.model.rule import Position, Rule, SeverityCase, Step, StepKind
from responder.model.schedule import Plan, ScheduledRun
from responder.model.severity import Severity
from responder.model.target import State, Target
from responder.ports import Actions
from responder.rulebook.rules import DEFAULT_LIMITS
from responder.rulebook.schedules import own_match
from responder.store.postgres import PostgresStore
from responder.telemetry import Metrics, build_metrics

AT = datetime(2026, 3, 2, 7, 0, 30, tzinfo=UTC)
"""What the clock on the wall shows when a test begins."""
CIVIL = """
CREATE TABLE civil_now (at timestamptz NOT NULL);
CREATE OR REPLACE FUNCTION civil_time() RETURNS timestamptz LANGUAGE sql VOLATILE
    AS $$ SELECT at FROM civil_now $$;
"""
"""A clock on the wall that stands still until a test moves it."""
BELOW_80 = (ExpectedField(field="percent", kind=FieldKind.NUMBER, op="<", value=80.0),)
HOUR = timedelta(hours=1)


class Percent(State):
    """What the fake action sees."""

    percent: float | None = None

    @property
    def summary(self) -> str:
        """One line."""
        return f"{self.percent} %"


class NoParams(Frozen):
    """None."""


@dataclass
class Looks:
    """An action that answers what the test says, and counts who asked; `opened` holds it until it is set."""

    name: ClassVar[str] = "test.percent"
    percent: float | None = 50.0
    error: Exception | None = None
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    asked: int = 0
    Params: ClassVar[type[Frozen]] = NoParams

    def __post_init__(self) -> None:
        self.opened.set()

    def resolve(self, params: Any) -> tuple[Target, ...]:
        """One target."""
        del params
        return (Target(key="test/one", name="one"),)

    async def look(self, params: Any, target: Target) -> State:
        """As the test says."""
        del params, target
        self.asked += 1
        await self.opened.wait()
        if self.error is not None:
            raise self.error
        return Percent(percent=self.percent)

    def get(self, name: str) -> "Looks":
        """Implements `ports.Actions`."""
        assert name == self.name
        return self


def check(name: str | None = None, timeout: str = "30s") -> Step:
    """A step that expects less than 80 %."""
    return Step(action=Looks.name, name=name, kind=StepKind.READ_ONLY, timeout=timeout, expect=BELOW_80)


def scheduled(
    name: str = "Morning",
    schedule: str = "* * * * *",
    *,
    run_late: timedelta = HOUR,
    checks: Sequence[Step] = (check(),),
    zone: str = "UTC",
) -> Rule:
    """A scheduled rule."""
    return Rule(
        name=name,
        match=own_match(name),
        on=Plan(schedule=schedule, timezone=zone, run_late=run_late),
        checks=tuple(checks),
        severity=(SeverityCase(severity=Severity.P2),),
        group_by=(),
        wait_for=timedelta(0),
        autonomy="shadow",
        limits=DEFAULT_LIMITS,
        escalate=True,
        position=Position(file="test.yaml", line=1, column=1),
    )


@dataclass
class Replica:
    """One process that makes runs, with an intake of its own."""

    schedules: ScheduledRules
    looks: Looks
    ownership: Ownership
    intake: GroupCommit
    rules: ActiveRules
    metrics: Metrics

    async def round(self) -> None:
        """One look, and whatever it began, to its end."""
        await self.schedules.round()
        await self.schedules.made()


@asynccontextmanager
async def replica(
    store: PostgresStore, looks: Looks | None = None, lease_time: timedelta = HOUR
) -> AsyncIterator[Replica]:
    """A process of its own on a store; its heartbeat does not beat beside the test."""
    looks = looks or Looks()
    metrics, rules = build_metrics("test"), ActiveRules(store)
    await rules.follow()
    intake = GroupCommit(store, rules, EngineSettings(terms=Terms()), metrics, Wake())
    ownership = Ownership(store, metrics, lease_time, HOUR)
    await ownership.begin()
    schedules = ScheduledRules(store.schedules, rules, cast("Actions", looks), intake, ownership, metrics)
    writer = asyncio.create_task(intake.run())
    try:
        yield Replica(schedules, looks, ownership, intake, rules, metrics)
    finally:
        looks.opened.set()
        intake.close()
        await writer
        await schedules.stop()


async def runs(store: PostgresStore, rule: str = "Morning") -> Sequence[ScheduledRun]:
    """All runs of a rule, the oldest first."""
    return tuple(reversed(await store.schedule_desk.runs(rule, 100)))
