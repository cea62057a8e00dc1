"""Scheduled rules in virtual time: what `ports.Schedules` promises, in memory, for one process.

Civil time is the rehearsal's: it has one clock. Nobody dies here, and nothing hangs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from responder.decide.fold import AlertRecord
from responder.decide.schedules import Due
from responder.model.alert import AlertKey
from responder.model.schedule import (
    SCHEDULES_SOURCE,
    PlanStanding,
    RunReport,
    RunState,
    ScheduledRun,
    ScheduleStanding,
)
from responder.rehearsal.kept import Clock, Observer

_RUNS = 1 << 127
"""Where the ids of runs begin: no incident has one of them."""


@dataclass(slots=True)
class MemorySchedules:
    """Implements `ports.Schedules`."""

    clock: Clock
    records: Mapping[AlertKey, AlertRecord]
    observer: Observer
    plans: dict[str, PlanStanding] = field(default_factory=dict)
    _made: int = 0

    async def follow(self, plans: Mapping[str, str], rulebook: str) -> bool:
        """The rulebook stays the same: its plans begin at the beginning."""
        del rulebook
        for rule, plan in plans.items():
            self.plans[rule] = PlanStanding(rule=rule, plan=plan, decided_to=self.clock.now)
        return True

    async def standing(self) -> ScheduleStanding:
        """See `ports.Schedules.standing`."""
        now = self.clock.now
        return ScheduleStanding(now=now, civil=now, plans=tuple(self.plans.values()))

    async def decide(
        self,
        rule: str,
        rulebook: str,
        worker_id: UUID,
        lasts: timedelta,
        judge: Callable[[PlanStanding, datetime], Due | None],
    ) -> Sequence[ScheduledRun]:
        """See `ports.Schedules.decide`. Time jumps from one planned time to the next: none is missed."""
        now = self.clock.now
        due = judge(self.plans[rule], now)
        if due is None:
            return ()
        self._move(rule, decided_to=due.decided_to)
        if due.run is None:
            return ()
        self._made += 1
        run = ScheduledRun(
            id=UUID(int=_RUNS + self._made),
            rule=rule,
            rulebook_hash=rulebook,
            state=RunState.RUNNING,
            planned_for=due.run,
            owner=worker_id,
            epoch=1,
            at=now,
            deadline=now + lasts,
        )
        self._move(rule, going=run)
        return (run,)

    async def begin(self, run: ScheduledRun, worker_id: UUID, lasts: timedelta) -> ScheduledRun | None:
        """No run waits for somebody, and nobody dies."""
        del run, worker_id, lasts
        return None

    async def found(self, run: ScheduledRun, report: RunReport, worker_id: UUID) -> ScheduledRun | None:
        """See `ports.Schedules.found`."""
        del worker_id
        kept = run.model_copy(update={"state": RunState.FOUND, "report": report, "found_at": self.clock.now})
        self._move(run.rule, going=kept)
        self.observer.ran(kept, self.clock.now)
        return kept

    async def tell(self, run: ScheduledRun, worker_id: UUID) -> ScheduledRun | None:
        """What is found is told at once."""
        del run, worker_id
        return None

    async def ended(self, run: ScheduledRun) -> bool:
        """See `ports.Schedules.ended`."""
        over = run.model_copy(update={"state": RunState.ENDED, "ended_at": self.clock.now})
        self._move(run.rule, going=None, last=over)
        return True

    async def leave(self, worker_id: UUID) -> None:
        """There is nobody else."""
        del worker_id

    async def open_findings(self) -> Sequence[Mapping[str, str]]:
        """See `ports.Schedules.open_findings`."""
        return [
            record.labels
            for key, record in sorted(self.records.items())
            if key.source == SCHEDULES_SOURCE and record.firing
        ]

    async def expire(self, kept_for: timedelta) -> int:
        """A rehearsal is short."""
        del kept_for
        return 0

    def _move(self, rule: str, **changes: object) -> None:
        self.plans[rule] = self.plans[rule].model_copy(update=changes)
