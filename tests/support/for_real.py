"""A rule's test played by the engine itself on a real PostgreSQL, with the same systems outside.

The worker, the intake, the store and its SQL are the product's. Only the clocks are set: the database's and
the process's show the test's moment, and move when nothing is due any more. So what happens has the very
times that the rehearsal gives it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import cast
from uuid import uuid4

import asyncpg
import pytest

from responder.decide.case import Case, Change, Move
from responder.decide.schedules import next_run
from responder.engine.contests import Contests
from responder.engine.evidence import Evidence
from responder.engine.gather import Gather
from responder.engine.give_backs import GiveBacks
from responder.engine.halting import Halt
from responder.engine.intake import GroupCommit
from responder.engine.ownership import Ownership
from responder.engine.perform import Perform, Recording
from responder.engine.rules import ActiveRules
from responder.engine.schedules import ScheduledRules
from responder.engine.trust import Trust
from responder.engine.wake import Wake
from responder.engine.watchdog import Watchdog
from responder.engine.worker import Worker
from responder.model.alert import Delivery, Receipt
from responder.model.incident import Command, Incident
from responder.model.rule import Rule
from responder.model.schedule import Plan
from responder.ports import Dispatch, Lease, NewRestraint
from responder.rehearsal.enact import Enactment
from responder.rehearsal.faked import Stage
from responder.rehearsal.kept import Clock
from responder.rehearsal.rehearsal import Act, Doing, Now, doing
from responder.rehearsal.scene import Scene
from responder.rehearsal.script import Restrains
from responder.store.postgres import PostgresStore
from responder.telemetry import build_metrics
from tests.support.crews import ALONE
from tests.support.lives import Line, Lived, in_order, lived
from tests.support.stored import KEYS, Stored, stored

_FOR_EVER = timedelta(days=3650)
_CONTESTS_EVERY = timedelta(seconds=1)
_SETTABLE = """
CREATE TABLE set_to (moment timestamptz NOT NULL);
INSERT INTO set_to VALUES ('2026-01-01 00:00:00+00');
CREATE OR REPLACE FUNCTION wall_clock() RETURNS timestamptz LANGUAGE sql VOLATILE
    AS $$ SELECT moment FROM set_to $$;
"""


class _Nobody:
    def wake(self) -> None:
        """See `ports.Dispatch.wake`: what people are told stays in the outbox."""


class _NeverWoken(Wake):
    def after(self, pause: timedelta) -> None:
        """Time moves when nothing is due: nobody has to be woken."""


@dataclass
class ForReal:
    """Implements `enact.Before` by the engine's parts, on a database whose clock is set."""

    db: Stored
    store: PostgresStore
    clock: Clock
    intake: GroupCommit
    contests: Contests
    worker: Worker
    evidence: Evidence
    schedules: ScheduledRules
    give_backs: GiveBacks
    planned: tuple[Plan, ...]
    halts: dict[int, int] = field(default_factory=dict)

    # --- what happens outside -----------------------------------------------------------------------

    async def take(self, delivery: Delivery) -> Receipt:
        """By the engine's intake."""
        return await self.intake.take(delivery)

    async def incidents(self) -> Sequence[Incident]:
        """In the order in which they were opened."""
        return list(reversed(await self.store.incidents(live_only=False, limit=1000)))

    async def command(self, command: Command) -> None:
        """As a person gives it."""
        assert await self.store.give_command(command)

    async def restrain(self, one: Restrains, until: datetime | None) -> None:
        """A halt as `responder halt` makes it; a window as `freeze` and `maintenance` do."""
        if one.halts:
            self.halts[id(one)] = (await self.store.halt(one.who, one.reason, one.match)).id
            return
        new = NewRestraint(one.kind, str(uuid4()), one.who, one.reason, one.match, until=until)
        await self.store.restrain(new)

    async def resume(self, one: Restrains) -> None:
        """As `responder resume` does."""
        await self.store.resume(one.who, "it is over", [self.halts[id(one)]])

    # --- time ------------------------------------------------------------------------------------------

    async def run(self, acts: Sequence[tuple[datetime, Act]], until: datetime) -> None:
        """Everything up to that moment, and at it."""
        left = sorted(acts, key=lambda act: act[0])
        await self.schedules.round()
        while True:
            runs = min((next_run(plan, self.clock.now) for plan in self.planned), default=None)
            owed = await self._owed_back()
            known = [await self._due(), await self._contested(), left[0][0] if left else None, runs, owed]
            moment = min((one for one in known if one is not None), default=None)
            if moment is None or moment > until:
                await self._set(until)
                return
            await self._set(max(moment, self.clock.now))
            while left and left[0][0] <= self.clock.now:
                await left.pop(0)[1]()
            if runs is not None and runs <= self.clock.now:
                await self.schedules.round()
                await self.schedules.made()
            if known[1] is not None and known[1] <= self.clock.now:
                await self.contests.round()
            if owed is not None and owed <= self.clock.now:
                await self.give_backs.round()
            await self._work()

    async def _owed_back(self) -> datetime | None:
        """When the next one is due that is not behind a later one on its target."""
        found: datetime | None = await self.db.one(
            """SELECT min(due_at) FROM (
                   SELECT max(l.due_at) AS due_at
                   FROM give_backs g JOIN attempts a ON a.id = g.attempt_id
                   JOIN attempts b ON b.target = a.target AND b.number >= a.number
                   JOIN give_backs l ON l.attempt_id = b.id
                   WHERE g.opened_as IS NULL AND l.opened_as IS NULL
                   GROUP BY g.attempt_id) due"""
        )
        return found

    async def _set(self, moment: datetime) -> None:
        self.clock.now = moment
        await self.db.raw.execute("UPDATE set_to SET moment = $1", moment)

    async def _due(self) -> datetime | None:
        found: datetime | None = await self.db.one("SELECT min(due_at) FROM incidents")
        return found

    async def _contested(self) -> datetime | None:
        """The engine asks every second while any alert is contested."""
        some = await self.db.one("SELECT EXISTS (SELECT FROM alerts WHERE contested_at IS NOT NULL)")
        return self.clock.now + _CONTESTS_EVERY if some else None

    async def _work(self) -> None:
        while await self.worker._once():
            await self.evidence.gathered()


@asynccontextmanager
async def for_real(scene: Scene, stage: Stage, dsn: str, patch: pytest.MonkeyPatch) -> AsyncIterator[ForReal]:
    """The engine's parts for one test, at its start."""
    clock, start = stage.clock, stage.test.start
    patch.setattr(time, "clock_gettime", lambda _: (clock.now - start).total_seconds())
    raw = await asyncpg.connect(dsn)
    await raw.execute(_SETTABLE)
    await raw.execute("UPDATE set_to SET moment = $1", start)
    await raw.close()
    async with stored(dsn) as db:
        terms, settings, metrics = scene.terms, scene.settings, build_metrics("test")
        store = PostgresStore(db.connections, _FOR_EVER, KEYS, storm=terms.storm)
        await store.activate(scene.rulebook, "the test")
        world, rules, wake = scene.world(stage), ActiveRules(store), _NeverWoken()
        await rules.follow()
        intake = GroupCommit(store, rules, settings, metrics, wake)
        ownership = Ownership(store, metrics, _FOR_EVER, timedelta(seconds=1))
        await ownership.begin()
        evidence, halt = Evidence(store, world.actions, 30.0), Halt(store, None)
        gather = Gather(
            store,
            world.actions,
            world.probes,
            world.alert_state,
            halt,
            Trust(settings, {}),
            terms,
            settings.budgets,
            Watchdog(store, None),
        )
        perform = Perform(
            store=store,
            intake=intake,
            actions=world.actions,
            probes=world.probes,
            gather=gather,
            evidence=evidence,
            ownership=ownership,
            halt=halt,
            metrics=metrics,
            terms=terms,
            budgets=settings.budgets,
        )
        dispatch = cast("Dispatch", _Nobody())

        async def performing(
            lease: Lease, case: Case, move: Move, now: datetime, before: Recording | None = None
        ) -> Change | None:
            stage.now.doing = doing(case, move)
            try:
                return await perform(lease, case, move, now, before)
            finally:
                stage.now.doing = None

        worker = Worker(
            store, ownership, cast("Perform", performing), dispatch, metrics, terms, wake, ALONE, 0.25
        )
        writing = asyncio.create_task(intake.run())
        try:
            contests = Contests(store, intake, world.alert_state)
            schedules = ScheduledRules(
                store.schedules,
                rules,
                world.actions,
                intake,
                ownership,
                metrics,
                at_once=1,
                around=partial(_asking, stage),
            )
            give_backs = GiveBacks(store.give_backs, world.actions, world.inventory)
            planned = tuple(rule.on for rule in scene.rulebook.rules if rule.on is not None)
            parts = (intake, contests, worker, evidence, schedules, give_backs)
            yield ForReal(db, store, clock, *parts, planned)
        finally:
            intake.close()
            await writing


@contextmanager
def _asking(stage: Stage, rule: Rule, step: int) -> Iterator[None]:
    stage.now.doing = Doing(rule.name, step, expects=bool(rule.checks[step].expect))
    try:
        yield
    finally:
        stage.now.doing = None


async def played_for_real(scene: Scene, dsn: str, patch: pytest.MonkeyPatch) -> list[Lived]:
    """What became of each incident of a test, by the engine itself."""
    stage = Stage(scene.test, Clock(scene.test.start), Now())
    async with for_real(scene, stage, dsn, patch) as real:
        acts = list(Enactment(scene.source, stage, real, scene.surroundings.redaction).acts())
        await real.run(acts, scene.test.start + scene.test.expect[-1].at)
        return in_order([await _lived(real, incident) for incident in await real.incidents()])


async def _lived(real: ForReal, incident: Incident) -> Lived:
    lines = "SELECT at, kind, text FROM timeline WHERE incident_id = $1 ORDER BY number"
    notices = "SELECT kind, level, body ->> 'text' FROM outbox WHERE incident_id = $1 ORDER BY number"
    dossier = await real.store.incident(incident.id)
    assert dossier is not None
    return lived(
        incident,
        cast("list[Line]", await real.db.sql(lines, incident.id)),
        dossier.attempts,
        cast("list[tuple[str, int, str]]", await real.db.sql(notices, incident.id)),
    )
