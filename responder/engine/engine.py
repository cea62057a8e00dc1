"""The engine: the writer, the workers and the loops around them, started and stopped together."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from datetime import timedelta
from functools import partial

import structlog

from responder.decide.case import Terms
from responder.decide.freezes import Freeze
from responder.engine.clock_watch import ClockWatch
from responder.engine.contests import Contests
from responder.engine.crew import Crew
from responder.engine.evidence import Evidence
from responder.engine.foresight import Foresight
from responder.engine.gather import Gather
from responder.engine.give_backs import GiveBacks
from responder.engine.halting import Halt
from responder.engine.intake import GroupCommit
from responder.engine.loop_lag import LoopLag
from responder.engine.outbox import Dispatcher
from responder.engine.ownership import Ownership
from responder.engine.perform import Perform
from responder.engine.reconcile import Reconcile
from responder.engine.rematch import Rematch
from responder.engine.rules import ActiveRules
from responder.engine.schedules import ScheduledRules
from responder.engine.settings import EngineSettings
from responder.engine.trust import Trust
from responder.engine.wake import Wake
from responder.engine.watchdog import Watchdog
from responder.engine.worker import Worker
from responder.model.autonomy import Ceiling
from responder.model.errors import ResponderError
from responder.model.inventory import Inventory
from responder.ports import (
    Actions,
    AlertState,
    Channel,
    GiveBackStore,
    Outbox,
    PeerList,
    Probes,
    Rounds,
    Schedules,
    Store,
)
from responder.telemetry import Metrics

_log = structlog.get_logger(__name__)

_SOON = timedelta(seconds=1)
_OFTEN = timedelta(seconds=5)


class Engine:
    """Everything of one process that decides and acts. Before its start intake refuses what comes.

    `terms` are the pace of `settings` with what severities promise and who is told. `lease_time` and
    `heartbeat_every` are the store's: they say when others take over.
    """

    def __init__(
        self,
        *,
        store: Store,
        actions: Actions,
        probes: Probes,
        alert_state: AlertState,
        outbox: Outbox,
        channels: Sequence[Channel],
        give_up_after: timedelta,
        rounds: Rounds,
        schedules: Schedules,
        give_backs: GiveBackStore,
        inventory: Inventory,
        lists: Mapping[str, Sequence[PeerList]],
        metrics: Metrics,
        settings: EngineSettings,
        terms: Terms,
        source_ceilings: Mapping[str, Ceiling],
        lease_time: timedelta,
        heartbeat_every: timedelta,
    ) -> None:
        wake = Wake()
        self._settings = settings
        self._store = store
        self.actions = actions
        self._metrics = metrics
        self.dispatcher = Dispatcher(outbox, channels, metrics, give_up_after)
        self.rules = ActiveRules(store)
        self.halt = Halt(store, settings.halt_file)
        self.intake = GroupCommit(store, self.rules, settings, metrics, wake)
        self.intake.starting = True
        self.ownership = Ownership(store, metrics, lease_time, heartbeat_every)
        self._evidence = Evidence(store, actions, settings.evidence_timeout.total_seconds())
        self.trust = Trust(settings, source_ceilings)
        gather = self._gather(probes, alert_state, terms)
        self.foresight = Foresight(store, self.rules, gather, terms)
        self.crew = Crew(settings.workers, settings.waiting_at_most, self._begin_worker)
        perform, poll = self._perform(gather, probes, terms), settings.poll_every.total_seconds()
        self._worker = Worker(
            store, self.ownership, perform, self.dispatcher, metrics, terms, wake, self.crew, poll
        )
        self._workers_begun = 0
        self._rematch = Rematch(store, self.rules, self.intake)
        self._clock = ClockWatch(store, self.ownership, metrics)
        self.lag = LoopLag(metrics)
        self._contests = Contests(store, self.intake, alert_state)
        self.reconcile = Reconcile(
            rounds=rounds,
            intake=self.intake,
            lists=lists,
            ownership=self.ownership,
            metrics=metrics,
            settings=settings.reconcile,
        )
        self.schedules = ScheduledRules(schedules, self.rules, actions, self.intake, self.ownership, metrics)
        self._give_backs = GiveBacks(give_backs, actions, inventory)
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def _gather(self, probes: Probes, alert_state: AlertState, terms: Terms) -> Gather:
        return Gather(
            self._store,
            self.actions,
            probes,
            alert_state,
            self.halt,
            self.trust,
            terms,
            self._settings.budgets,
            Watchdog(self._store, self._settings.watchdog),
            self._settings.freezes,
        )

    def _perform(self, gather: Gather, probes: Probes, terms: Terms) -> Perform:
        return Perform(
            store=self._store,
            intake=self.intake,
            actions=self.actions,
            probes=probes,
            gather=gather,
            evidence=self._evidence,
            ownership=self.ownership,
            halt=self.halt,
            metrics=self._metrics,
            terms=terms,
            budgets=self._settings.budgets,
        )

    @property
    def freezes(self) -> tuple[Freeze, ...]:
        """Those of the settings."""
        return self._settings.freezes

    def store_away(self) -> None:
        """Nothing can be stored before the start: from now on deliveries are refused for that reason."""
        self.intake.away = True

    async def start(self) -> None:
        """Become a worker and start every loop. What the store raises has started none."""
        await self.rules.follow()
        await self.ownership.begin()
        await self.reconcile.enter()
        await self.dispatcher.start()
        self.intake.away = self.intake.starting = False
        self._begin("heartbeat", self.ownership.run())
        self._begin("event loop", self.lag.run())
        self._begin("clock", _every(_SOON, "clock", self._clock.round))
        self._begin("writer", self.intake.run())
        self._begin("rules", _every(_SOON, "rules", self._follow_rules))
        self._begin("crowds", _every(_SOON, "crowds", self.intake.crowds.round))
        self._begin("halt", self.halt.follow(self._metrics))
        self._begin("outbox", _every(_OFTEN, "outbox", self.dispatcher.look))
        self._begin("schedules", _every(_SOON, "schedules", self.schedules.round))
        self._begin("give-backs", _every(_SOON, "give-backs", self._give_backs.round))
        self._begin("contests", _every(_SOON, "contests", self._contests.round))
        for source in self.reconcile.sources:
            look = partial(self.reconcile.look, source)
            self._begin(f"reconcile {source}", _every(_SOON, f"reconcile {source}", look))
        for _ in range(self._settings.workers):
            self._begin_worker()

    def each_second(self, name: str, once: Callable[[], Awaitable[object]]) -> None:
        """Do one thing more, from now on and until the stop."""
        self._begin(name, _every(_SOON, name, once))

    @property
    def loops(self) -> tuple[str, ...]:
        """What goes on now, by name."""
        return tuple(self._tasks)

    def dead(self) -> tuple[str, ...]:
        """The loops that have ended although nobody stopped them."""
        ended = tuple(name for name, task in self._tasks.items() if task.done())
        return (*ended, *self.dispatcher.dead())

    async def stop(self) -> None:
        """Stop in the order of semantics.md: what waits is written, no intents, running effects end."""
        self.ownership.stop()
        self.intake.close()
        await self._end("writer")
        self._worker.stop()
        running = [name for name in self._tasks if name.startswith("worker")]
        grace = self._settings.stop_grace.total_seconds()
        if running:
            await asyncio.wait([self._tasks[name] for name in running], timeout=grace)
        await self._evidence.stop()
        await self.dispatcher.stop()
        for name in sorted(self._tasks, key=lambda name: name == "heartbeat"):  # that one last
            await self._end(name, cancel=True)
        try:
            await self.reconcile.leave()
            await self.schedules.stop()
            await self.ownership.end()
        except ResponderError as error:
            _log.warning("leases could not be given up", error=str(error))

    def _begin_worker(self) -> None:
        name = f"worker {self._workers_begun}"
        self._workers_begun += 1
        self._begin(name, self._worker.run())
        self._tasks[name].add_done_callback(partial(self._worker_left, name))

    def _worker_left(self, name: str, task: asyncio.Task[None]) -> None:
        """One that was too many has not died."""
        if not task.cancelled() and task.exception() is None:
            self._tasks.pop(name, None)

    def _begin(self, name: str, work: Coroutine[None, None, None]) -> None:
        self._tasks[name] = asyncio.create_task(work, name=name)

    async def _end(self, name: str, *, cancel: bool = False) -> None:
        task = self._tasks.pop(name, None)
        if task is None:
            return
        if cancel:
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def _follow_rules(self) -> None:
        await self.rules.follow()
        await self._rematch.round()


async def _every(pause: timedelta, name: str, once: Callable[[], Awaitable[object]]) -> None:
    """Do something again and again; a failure is logged and tried again at the next turn."""
    while True:
        try:
            await once()
        except ResponderError as error:
            _log.warning("a round failed", round=name, error=str(error))
        except Exception:  # noqa: BLE001 - logged; the loop must outlive it
            _log.exception("a round failed", round=name)
        await asyncio.sleep(pause.total_seconds())
