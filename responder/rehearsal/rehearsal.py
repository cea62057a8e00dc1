"""The loop: what is due next, in virtual time, carried out by the engine's own parts.

Nothing sleeps. Time jumps to the next thing that happens outside (`at`) or to the next incident that is due;
at one moment the world moves first. An effect takes no time.
"""

import heapq
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache, partial
from typing import cast
from uuid import UUID

from responder.decide.case import Case, Change, Move, TakeBack, TakePart, TakeStep, Terms
from responder.decide.fold import AlertRecord, settle_contest, step
from responder.decide.freezes import Freeze
from responder.decide.schedules import next_run
from responder.engine.contests import Contests
from responder.engine.crowds import Crowds
from responder.engine.evidence import Evidence
from responder.engine.gather import Gather
from responder.engine.give_backs import GiveBacks
from responder.engine.halting import Halt
from responder.engine.moves import moved
from responder.engine.ownership import Ownership
from responder.engine.perform import Perform, Recording
from responder.engine.rules import ActiveRules
from responder.engine.schedules import ScheduledRules
from responder.engine.settings import EngineSettings
from responder.engine.trust import Trust
from responder.engine.watchdog import Watchdog
from responder.model.alert import AlertKey, Delivery, Observation, Receipt, heard
from responder.model.errors import PermanentError
from responder.model.incident import Incident, IncidentState
from responder.model.inventory import Inventory
from responder.model.rule import Rule, Rulebook
from responder.model.schedule import Plan
from responder.ports import Actions, AlertState, IncidentKey, Lease, NewIncident, Probes, Store
from responder.rehearsal.idle import idle_until, rests
from responder.rehearsal.kept import Clock, Kept, Observer
from responder.rehearsal.memory import Memory
from responder.rehearsal.planned import MemorySchedules
from responder.telemetry import Metrics

_OWNER = UUID(int=0)
_MOVES_AT_ONE_MOMENT = 1000
"""More than any incident makes: beyond it, it would never wait."""
_CONTESTS_EVERY = timedelta(seconds=1)
"""As the engine."""

Act = Callable[[], Awaitable[None]]
"""Something that happens outside."""


@dataclass(frozen=True, slots=True)
class Doing:
    """The step that is taken, or taken back, at this moment. Evidence is of no step."""

    rule: str
    step: int
    """From 0."""
    expects: bool = False
    """Whether its answer has to be something: then a test has to say what it is."""


@dataclass(slots=True)
class Now:
    """What is being done at this moment: whoever stands for a system may ask."""

    doing: Doing | None = None
    of: IncidentKey | None = None
    """For which incident, by its rule and group."""


@dataclass(frozen=True, slots=True)
class World:
    """The systems outside: what a look finds, what an effect comes to, what a probe and a source answer."""

    actions: Actions
    probes: Probes
    alert_state: AlertState
    changes_after: Callable[[datetime], datetime | None]
    """The first moment after this one from which on any of them may say another thing; None for never."""
    inventory: Inventory = field(default_factory=Inventory)
    """What the operator allows, with its labels."""


class _AlwaysOwner:
    """A rehearsal has one owner, and is never deposed."""

    stopping = False
    worker_id = _OWNER

    def alive(self) -> bool:
        """Always."""
        return True

    def owns(self, lease: Lease) -> bool:
        """Always."""
        del lease
        return True


class _Uncounted:
    """Any counter, and whatever is done with one: nothing comes of it."""

    def __getattr__(self, _: str) -> "_Uncounted":
        return self

    def __call__(self, *_: object, **__: object) -> "_Uncounted":
        return self

    def inc(self, *_: object) -> None:
        """What is done with a counter most."""


@cache
def _metrics() -> Metrics:
    """Counters that nobody reads."""
    return cast("Metrics", _Uncounted())


class Rehearsal:
    """A whole responder in virtual time: one rulebook, one world, many incidents."""

    def __init__(
        self,
        rulebook: Rulebook,
        world: World,
        settings: EngineSettings,
        terms: Terms,
        clock: Clock,
        observer: Observer,
        now: Now,
        freezes: tuple[Freeze, ...] = (),
        *,
        skips: bool = True,
        forgets: bool = False,
    ) -> None:
        self.clock = clock
        self._world = world
        self._forgets = forgets
        """As a backtest, which plays no scheduled rules: what they ask is asked of the systems outside."""
        self._skips = skips and not freezes  # these begin by the calendar
        self.memory = Memory(clock, rulebook, terms, settings.budgets, observer, forgets=forgets)
        self._terms = terms
        self._now = now
        self._agenda: list[tuple[datetime, int, Act]] = []
        self._settling = False
        """Whether the source is going to be asked about contested alerts."""
        self._number = 0
        store = cast("Store", self.memory)  # it has what deciding and performing ask for
        self._rules = ActiveRules(store)
        self._rules.stand_in(rulebook)
        self._crowds = Crowds(store, settings.open_incidents_per_rule)
        self._contests = Contests(store, self, world.alert_state)
        self._evidence = Evidence(store, world.actions, settings.evidence_timeout.total_seconds())
        self._began = clock.now
        self._schedules = self._planning(world)
        self._give_backs = GiveBacks(self.memory, world.actions, world.inventory)
        self.without_rule = 0
        """Episodes that no rule took."""
        self._perform = self._performing(store, world, settings, freezes)

    def _performing(
        self, store: Store, world: World, settings: EngineSettings, freezes: tuple[Freeze, ...]
    ) -> Perform:
        halt, watchdog = Halt(store, None), Watchdog(store, settings.watchdog, self._monotonic)
        trust = Trust(settings, {})
        gather = Gather(
            store,
            world.actions,
            world.probes,
            world.alert_state,
            halt,
            trust,
            self._terms,
            settings.budgets,
            watchdog,
            freezes,
        )
        return Perform(
            store=store,
            intake=self,
            actions=world.actions,
            probes=world.probes,
            gather=gather,
            evidence=self._evidence,
            ownership=cast("Ownership", _AlwaysOwner()),
            halt=halt,
            metrics=_metrics(),
            terms=self._terms,
            budgets=settings.budgets,
            monotonic=self._monotonic,
        )

    def _planning(self, world: World) -> ScheduledRules:
        """Scheduled rules, each of which begins to be planned now."""
        self._planned = MemorySchedules(self.clock, self.memory.alerts.records, self.memory.observer)
        for rule in () if self._forgets else self._rules.rulebook.rules:
            if rule.on is not None:
                self._plan(rule.on)
        return ScheduledRules(
            self._planned,
            self._rules,
            world.actions,
            self,
            cast("Ownership", _AlwaysOwner()),
            _metrics(),
            at_once=1,
            around=self._asking,
        )

    def _plan(self, plan: Plan) -> None:
        """Its next run happens outside, as alerts do; and then the one after it."""
        self.at(next_run(plan, self.clock.now), partial(self._run_planned, plan))

    async def _run_planned(self, plan: Plan) -> None:
        await self._schedules.round()
        await self._schedules.made()
        self._plan(plan)

    @contextmanager
    def _asking(self, rule: Rule, step: int) -> Iterator[None]:
        self._now.doing = Doing(rule.name, step, expects=bool(rule.checks[step].expect))
        try:
            yield
        finally:
            self._now.doing = None

    def _monotonic(self) -> float:
        return (self.clock.now - self._began).total_seconds()

    # --- time ------------------------------------------------------------------------------------------

    def at(self, moment: datetime, act: Act) -> None:
        """Something happens outside at that moment; what is given first happens first."""
        self._number += 1
        heapq.heappush(self._agenda, (moment, self._number, act))

    async def run(self, until: datetime) -> None:
        """Everything that happens up to that moment, and at it."""
        if self.clock.now == self._began and not self._forgets:
            await self._schedules.round()  # the plans begin now
        while (moment := self._next()) is not None and moment <= until:
            self._other_answers(moment)
            await self._at(moment)
        self._other_answers(until)
        self.clock.now = max(self.clock.now, until)
        self.memory.turns.rouse_all(until + timedelta.resolution)

    def is_due_before(self, moment: datetime) -> bool:
        """Whether anything happens before that moment."""
        if self._agenda and self._agenda[0][0] < moment:
            return True
        due = self.memory.turns.next_due()
        return (due is not None and due < moment) or self._answers_change_before(moment)

    def _answers_change_before(self, moment: datetime) -> bool:
        at = self._world.changes_after(self.clock.now) if self.memory.turns.idle else None
        return at is not None and at < moment

    async def run_before(self, until: datetime) -> None:
        """Everything that happens before that moment, which it is then. Nothing outside changes by itself."""
        while (moment := self._next()) is not None and moment < until:
            await self._at(moment)
        self.clock.now = until

    async def _at(self, moment: datetime) -> None:
        """Everything that happens at one moment; what happens outside comes first."""
        self.clock.now = max(self.clock.now, moment)
        while self._agenda and self._agenda[0][0] <= self.clock.now:
            await heapq.heappop(self._agenda)[2]()
        while (kept := self.memory.turns.take_due()) is not None:
            await self._work(kept)
            self.memory.worked()
            if self._agenda and self._agenda[0][0] <= self.clock.now:
                return

    def _next(self) -> datetime | None:
        acts = self._agenda[0][0] if self._agenda else None
        answers = self._world.changes_after(self.clock.now) if self.memory.turns.idle else None
        known = (self.memory.turns.next_due(), acts, answers)
        return min((one for one in known if one is not None), default=None)

    def _other_answers(self, moment: datetime) -> None:
        """Rouse who is idle where the systems outside answer otherwise from some moment up to this one on."""
        at = self._world.changes_after(self.clock.now) if self.memory.turns.idle else None
        if at is not None and at <= moment:
            self.memory.turns.rouse_all(at)

    # --- intake ----------------------------------------------------------------------------------------

    def admit(self) -> None:
        """See `ports.Intake.admit`: there is always room."""

    async def take(self, delivery: Delivery) -> Receipt:
        """See `ports.Intake.take`: it is heard now."""
        now = self.clock.now
        said = {(one.fingerprint, heard(one).content_hash): heard(one) for one in delivery.alerts}
        rows = [
            Observation(delivery.source, one.alert, now, one.content_hash, one.labels, one.annotations)
            for one in said.values()
        ]
        await self.hear(rows, refold=delivery.refold)
        return Receipt(stored=len(rows), rejected=0)

    async def hear(self, rows: Sequence[Observation], refold: Sequence[AlertKey] = ()) -> None:
        """What a transaction of intake does with these rows of the journal, none older than those before."""
        by_key: dict[AlertKey, Sequence[Observation]] = dict.fromkeys(refold, ())
        if len(rows) != 1 or by_key or not self._fires_on(rows[0]):
            for row in rows:
                key = row.key
                by_key[key] = (*by_key.get(key, ()), row)
        begun = [
            record
            for key, new in by_key.items()
            if (record := self._fold(key, new)) is not None and record[1] and record[0].firing
        ]
        if begun:
            wanted = await self._crowds.all_within(self._wanted([record for record, _ in begun]))
            self._crowds.opened(wanted)
            self.memory.open_or_join(wanted)
        if self.memory.alerts.contested and not self._settling:
            self._settling = True
            self.at(self.clock.now + _CONTESTS_EVERY, self._settle_contests)

    def _fires_on(self, row: Observation) -> bool:
        """Whether a row says only that its alert fires on, as by far the most do: then it is taken."""
        records, key = self.memory.alerts.records, row.key
        old = records.get(key)
        if old is None or old.contested_at is not None or not old.firing:
            return False
        told = step(old, row, self._terms.contest_window)
        moved = told.starts_at is not old.starts_at or told.newest_start is not old.newest_start
        if moved or not told.firing:
            return False
        records[key] = told
        return True

    def _fold(self, key: AlertKey, rows: Sequence[Observation]) -> tuple[AlertRecord, bool] | None:
        """The alert's record as it is now, and whether an episode may have begun."""
        old, window = self.memory.alerts.records.get(key), self._terms.contest_window
        record = old
        for row in sorted(rows, key=lambda one: one.order) if len(rows) > 1 else rows:
            record = step(record, row, window)
        if record is None:
            return None
        if record.contested_at is not None:
            record = settle_contest(record, window, self.clock.now)
        if old is None:
            self.memory.keep(record, news=False)
            return record, True
        record = self._anew(old, _next_episode(old, record))
        changed = (old.generation, old.ends_at, old.starts_at) != (
            record.generation,
            record.ends_at,
            record.starts_at,
        )
        news = (old.generation, old.firing) != (record.generation, record.firing)
        if changed:
            self.memory.keep(record, news=news)
        else:
            self.memory.alerts.keep(record)
        return record, old.generation != record.generation or old.newest_start != record.newest_start

    def _anew(self, old: AlertRecord, record: AlertRecord) -> AlertRecord:
        """What starts anew after a person closed its incident is another episode, though no end was heard."""
        later = (
            record.firing and old.generation == record.generation and record.newest_start > old.newest_start
        )
        if later and self.memory.is_in_closed(record):
            return record._replace(generation=record.generation + 1, starts_at=record.newest_start)
        return record

    def _wanted(self, begun: Sequence[AlertRecord]) -> list[NewIncident]:
        """The incidents that episodes open or join, one for each key, as bad as the worst of its alerts."""
        groups: dict[tuple[str, bytes], NewIncident] = {}
        for record in begun:
            taken = self._rules.indexed.incidents_of(record.labels)
            self.without_rule += not taken
            for new in taken:
                there = groups.get(new.identity)
                members = (*(there.members if there is not None else ()), record.key)
                worst = new if there is None or new.severity < there.severity else there
                groups[new.identity] = replace(worst, members=members)
        return list(groups.values())

    async def _settle_contests(self) -> None:
        self._settling = False
        await self._contests.round()

    # --- work ------------------------------------------------------------------------------------------

    async def _work(self, kept: Kept) -> None:
        """Move after move, as a worker makes them, until it has to wait."""
        lease, first = Lease(kept.incident.id, _OWNER, kept.incident.epoch), kept.incident
        for _ in range(_MOVES_AT_ONE_MOMENT):
            due = kept.incident.due_at
            if due is None or due > self.clock.now or kept.incident.state is IncidentState.CLOSED:
                self._worked(kept, first)
                return
            await self._move(lease, await self.memory.load(lease))
            await self._evidence.gathered()
        raise PermanentError(
            f"the incident of {kept.incident.rule} never comes to rest at {self.clock.now:%H:%M:%S}: it is "
            f"{kept.incident.state.value}"
        )

    def _worked(self, kept: Kept, before: Incident) -> None:
        """It waits: idle, where it has seen nothing new."""
        if kept.incident.state is IncidentState.CLOSED:
            self.memory.forget(kept)
        elif self._skips and rests(before, kept.incident):
            self.memory.worked()  # what it has stirred itself it has seen
            seen = self.memory.newest_seen_at(kept)
            self.memory.rest(kept, idle_until(kept.incident, kept.rule, seen, self._terms, self.clock.now))

    async def _move(self, lease: Lease, case: Case) -> None:
        memory = self.memory
        made = await moved(lease, case, self._terms, self._performed, memory.record, memory.load)
        if made.change is None:
            return
        if made.change.opens_storm:
            await memory.open_umbrella(self._terms.storm.gather_for)
            return
        await memory.record(lease, made.case, made.change)
        end = made.change.end
        if end is not None and end.give_back_after is not None:
            self.at(self.clock.now + end.give_back_after, self._give_back)

    async def _give_back(self) -> None:
        while await self._give_backs.round():  # what was behind a later one on its target is next
            pass

    async def _performed(
        self, lease: Lease, case: Case, move: Move, now: datetime, before: Recording | None
    ) -> Change | None:
        self._now.doing, self._now.of = doing(case, move), self.memory.incidents[lease.incident_id].identity
        try:
            return await self._perform(lease, case, move, now, before)
        finally:
            self._now.doing = self._now.of = None


def doing(case: Case, move: Move) -> Doing | None:
    """The step that a move takes or takes back."""
    match move:
        case TakeStep(index=index) | TakePart(index=index):
            return Doing(case.rule.name, index)
        case TakeBack(attempt=attempt):
            return Doing(case.rule.name, attempt.step)
        case _:
            return None


def _next_episode(before: AlertRecord, record: AlertRecord) -> AlertRecord:
    """As the store: a generation never falls, and rises where an ended episode is open again."""
    least = before.generation + 1 if record.firing and not before.firing else before.generation
    return record if record.generation >= least else record._replace(generation=least)
