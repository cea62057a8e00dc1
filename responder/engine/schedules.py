"""Scheduled rules: who makes a planned run, what it asks, how what it finds gets in.

Every replica looks each second; the store decides who makes a run. What a run finds goes through intake, as
alerts of a source of its own: from there on it is an incident like any other. Its report is kept before
anything is told, and told of what is kept: whoever takes over a telling tells the same.

Nothing that a halt, a freeze or maintenance forbids is done here, because a run only looks: so it goes on
under each of them. Under maintenance the incident of its findings is kept quiet by the window, as any other.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from uuid import UUID

import structlog

from responder.decide.schedules import (
    Answer,
    Next,
    due,
    given_up,
    lasts,
    next_of,
    next_run,
    over,
    report,
    reported,
    told_of,
    trouble,
    unanswered,
)
from responder.engine.looking import looked, problem
from responder.engine.ownership import Ownership
from responder.engine.rules import ActiveRules, IndexedRules
from responder.model.alert import Alert, Delivery
from responder.model.errors import ResponderError
from responder.model.rule import Rule
from responder.model.schedule import (
    SCHEDULE_LABEL,
    SCHEDULES_SOURCE,
    Outcome,
    Plan,
    PlanStanding,
    RunReport,
    RunState,
    ScheduledRun,
    ScheduleStanding,
    StepReport,
)
from responder.ports import Actions, Intake, Schedules
from responder.telemetry import Metrics

_log = structlog.get_logger(__name__)

_AT_ONCE = 4
"""Steps of one run that are asked at the same time."""
_FORGOTTEN_EVERY = 60
"""In how many rounds it is looked for findings of which no rule is left."""


def _nothing(rule: Rule, step: int) -> AbstractContextManager[object]:
    del rule, step
    return nullcontext()


class ScheduledRules:
    """The planned runs that this process makes.

    Args:
        at_once: how many steps of one run are asked at the same time.
        around: entered around each look, with its rule and its step (from 0).
    """

    def __init__(
        self,
        schedules: Schedules,
        rules: ActiveRules,
        actions: Actions,
        intake: Intake,
        ownership: Ownership,
        metrics: Metrics,
        *,
        at_once: int = _AT_ONCE,
        around: Callable[[Rule, int], AbstractContextManager[object]] = _nothing,
    ) -> None:
        self._at_once = at_once
        self._around = around
        self._schedules = schedules
        self._rules = rules
        self._actions = actions
        self._intake = intake
        self._ownership = ownership
        self._metrics = metrics
        self._followed: str | None = None
        """The rulebook whose plans stand."""
        self._rounds = 0
        self._making: dict[UUID, asyncio.Task[None]] = {}
        self.troubled: Mapping[str, str] = {}
        """Rules whose last run was not made, or failed, each with a word on it, as last seen."""

    async def round(self) -> None:
        """Decide what is planned by now, and take up what nobody makes."""
        active = self._rules.indexed  # another may be the active one a moment later
        if not self._ownership.alive() or not await self._follow(active):
            return
        if not any(rule.on is not None for rule in active.rulebook.rules):
            self.troubled = {}
            return
        standing = await self._schedules.standing()
        self.troubled = {plan.rule: words for plan in standing.plans if (words := trouble(plan)) is not None}
        for plan in standing.plans:
            rule = active.rulebook.rule(plan.rule)
            if rule is None or rule.on is None or rule.on.key != plan.plan:
                continue
            try:
                await self._see_to(rule, rule.on, plan, standing, active.hash)
            except ResponderError as error:  # it must not keep the other rules from their turn
                _log.warning("a scheduled rule could not be seen to", rule=rule.name, error=str(error))

    async def _see_to(
        self, rule: Rule, plan: Plan, standing: PlanStanding, now: ScheduleStanding, rulebook: str
    ) -> None:
        if standing.going is not None:
            await self._look_after(rule, standing, standing.going, now)
        if next_run(plan, standing.decided_to) <= now.civil or now.civil < standing.decided_to:
            await self._decide(rule, plan, rulebook)

    async def made(self) -> None:
        """Until every run of this process has ended: for whoever wants to know what came of it."""
        while self._making:
            await asyncio.wait(self._making.values())

    async def stop(self) -> None:
        """Cut off what is asked now, and leave it to others."""
        making = tuple(self._making.values())
        for task in making:
            task.cancel()
        await asyncio.gather(*making, return_exceptions=True)
        await self._schedules.leave(self._ownership.worker_id)

    # --- plans -------------------------------------------------------------------------------------------

    async def _follow(self, active: IndexedRules) -> bool:
        """Whether the plans that stand are those of the rulebook that this process knows."""
        rulebook = active.hash
        plans = {rule.name: rule.on.key for rule in active.rulebook.rules if rule.on is not None}
        self._rounds += 1
        if self._followed != rulebook:
            if not await self._schedules.follow(plans, rulebook):
                return False
            self._followed, self._rounds = rulebook, 0
        if self._rounds % _FORGOTTEN_EVERY == 0:
            await self._end_forgotten(plans)
        return True

    async def _end_forgotten(self, plans: Mapping[str, str]) -> None:
        """What rules have found that are gone, or not planned any more, is over: nobody looks after it."""
        labels = await self._schedules.open_findings()
        forgotten = [one for one in labels if one.get(SCHEDULE_LABEL) not in plans]
        if forgotten:
            standing = await self._schedules.standing()
            await self._deliver(over(forgotten, standing.now))

    async def _decide(self, rule: Rule, plan: Plan, rulebook: str) -> None:
        """What is planned up to now. What is decided here is decided by this replica alone."""
        decided = await self._schedules.decide(
            rule.name,
            rulebook,
            self._ownership.worker_id,
            lasts(rule),
            lambda standing, civil: due(plan, standing.decided_to, civil, going=standing.going is not None),
        )
        for run in decided:
            self._count(run)
            if run.state is RunState.RUNNING:
                self._make(rule, run)

    # --- runs --------------------------------------------------------------------------------------------

    async def _look_after(
        self, rule: Rule, plan: PlanStanding, run: ScheduledRun, standing: ScheduleStanding
    ) -> None:
        """Take up a run that waits, hangs, or whose process died."""
        if run.id in self._making:
            return
        worker_id = self._ownership.worker_id
        alive = plan.owner_alive and run.owner != worker_id
        match next_of(run, standing.now, owner_alive=alive):
            case Next.LEAVE:
                pass
            case Next.BEGIN:
                begun = await self._schedules.begin(run, worker_id, lasts(rule))
                if begun is not None:
                    self._make(rule, begun)
            case Next.GIVE_UP:
                await self._end(rule, run, given_up(run, standing.now))
            case Next.TELL:
                telling = await self._schedules.tell(run, worker_id)
                if telling is not None and telling.report is not None:
                    await self._tell(rule, telling, telling.report)

    def _make(self, rule: Rule, run: ScheduledRun) -> None:
        task = asyncio.create_task(self._run(rule, run), name=f"scheduled run of {rule.name}")
        self._making[run.id] = task
        task.add_done_callback(partial(self._made, run))

    def _made(self, run: ScheduledRun, task: asyncio.Task[None]) -> None:
        self._making.pop(run.id, None)
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            _log.warning("a scheduled run is not over", rule=run.rule, run=str(run.id), error=problem(error))

    async def _run(self, rule: Rule, run: ScheduledRun) -> None:
        """Ask every step, keep the report, tell what was found."""
        turns = asyncio.Semaphore(self._at_once)
        asked = (self._ask(rule, step, turns) for step in range(len(rule.checks)))
        try:
            async with asyncio.timeout(lasts(rule).total_seconds()):
                steps = await asyncio.gather(*asked)
            found = report(steps)
        except TimeoutError:
            found = RunReport(outcome=Outcome.FAILED, problem="it did not end in its time")
        await self._end(rule, run, found)

    async def _ask(self, rule: Rule, index: int, turns: asyncio.Semaphore) -> StepReport:
        step = rule.checks[index]
        async with turns:
            try:
                with self._around(rule, index):
                    states = await looked(self._actions, step, {}, step.timeout.total_seconds())
            except Exception as error:  # noqa: BLE001 - whatever went wrong, it is no answer, and told
                return unanswered(step, problem(error))
        return reported(step, [Answer(target.key, state.summary, state.result) for target, state in states])

    async def _end(self, rule: Rule, run: ScheduledRun, found: RunReport) -> None:
        """Keep the report, where the run is still ours, and tell what it found."""
        kept = await self._schedules.found(run, found, self._ownership.worker_id)
        if kept is not None and kept.report is not None:
            self._count(kept)
            await self._tell(rule, kept, kept.report)

    async def _tell(self, rule: Rule, run: ScheduledRun, found: RunReport) -> None:
        """What is told is what is kept. Where intake takes nothing now, the next round tells it."""
        labels = await self._schedules.open_findings()
        own = [one for one in labels if one.get(SCHEDULE_LABEL) == rule.name]
        await self._deliver(told_of(run, found, rule, own))
        await self._schedules.ended(run)

    async def _deliver(self, alerts: tuple[Alert, ...]) -> None:
        if alerts:
            await self._intake.take(Delivery(source=SCHEDULES_SOURCE, alerts=alerts))

    def _count(self, run: ScheduledRun) -> None:
        outcome = run.report.outcome.value if run.report is not None else run.state.value
        if run.state is RunState.RUNNING:
            return
        times = run.missed if run.state is RunState.MISSED else 1
        self._metrics.scheduled_runs.labels(rule=run.rule, outcome=outcome).inc(times)
        _log.info("scheduled run", rule=run.rule, run=str(run.id), outcome=outcome)
