"""Workers: lease a due incident, decide, perform, record, and again until it has to wait."""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import structlog

from responder.clients.turns import URGENCY
from responder.crash_points import Point, reached
from responder.decide.case import AttemptEnd, Case, Change, Move, Terms
from responder.engine.crew import Crew
from responder.engine.moves import moved
from responder.engine.outlast import outlast
from responder.engine.ownership import Ownership
from responder.engine.perform import Perform, Recording
from responder.engine.wake import Wake
from responder.model.attempt import Outcome
from responder.model.errors import DeposedError, ResponderError, StoreAwayError
from responder.ports import Dispatch, Lease, Leased, Store
from responder.telemetry import Metrics

_log = structlog.get_logger(__name__)

_MOVES_AT_ONCE = 50
"""How many moves one lease may make before it is given up, so that no incident starves the others."""
_UNREADABLE_AGAIN = timedelta(seconds=30)
_A_WHILE = timedelta(milliseconds=20)


@dataclass(frozen=True, slots=True)
class _Next:
    """What follows a move: the case, where it is known without loading it; and whether it waits."""

    case: Case | None
    waits: bool = False


class Worker:
    """Takes due incidents one at a time. Several run in one process, as many as its crew has."""

    def __init__(
        self,
        store: Store,
        ownership: Ownership,
        perform: Perform,
        dispatch: Dispatch,
        metrics: Metrics,
        terms: Terms,
        wake: Wake,
        crew: Crew,
        poll_s: float,
    ) -> None:
        self._store = store
        self._ownership = ownership
        self._perform = perform
        self._dispatch = dispatch
        self._metrics = metrics
        self._terms = terms
        self._wake = wake
        self._crew = crew
        self._poll_s = poll_s
        self._stopping = False

    def stop(self) -> None:
        """Take nothing new; what is being done is finished."""
        self._stopping = True
        self._wake.everybody()

    async def run(self) -> None:
        """Work until stopped, or one too many."""
        while not self._stopping and not self._crew.leaves():
            try:
                worked = await self._once()
            except StoreAwayError:
                worked = self._doubtful()
            except Exception:  # noqa: BLE001 - logged; one incident's fault must not end the worker
                _log.exception("a worker failed and goes on")
                worked = self._doubtful()
            if not worked and not self._stopping:
                await self._wake.rest(self._poll_s)

    async def _once(self) -> bool:
        """Take one due incident as far as it goes now. False where none is due."""
        if self._ownership.stopping or not self._ownership.alive():
            return False
        leased = await self._leased()
        if leased is None:
            return False
        lease = leased.lease
        reached(Point.INCIDENT_LEASED)
        ended = False
        try:
            ended = await self._work(lease, leased.case)
        except DeposedError:
            _log.warning("deposed while working", incident=str(lease.incident_id))
        finally:
            self._ownership.leases.discard(lease)
        if not ended:
            await self._store.give_up(lease)
        return True

    def _doubtful(self) -> bool:
        """A turn that came to nothing, and what the database made of it is not known."""
        self._ownership.doubt()
        return False

    async def _leased(self) -> Leased | None:
        """The most urgent due incident.

        Behind one that has been due for a while others are: another worker looks, too, so that what has just
        become due waits for none of them.

        The very lease that another worker of this process still works with comes only where PostgreSQL has
        crashed and forgotten the first: given up, it belongs to neither, and the next one has a new epoch.
        """
        ownership = self._ownership
        async with ownership.taking():
            leased = await self._store.lease(ownership.worker_id)
            if leased is None:
                return None
            if leased.lease not in ownership.leases:
                ownership.leases.add(leased.lease)
                if leased.case is not None and _overdue(leased.case):
                    self._wake.due(1)
                return leased
        await self._store.give_up(leased.lease)
        return None

    async def _work(self, lease: Lease, case: Case | None) -> bool:
        """Move after move. True where the last record has ended the lease."""
        case = case or await self._load(lease)
        for _ in range(_MOVES_AT_ONCE):
            if case is None:
                return False
            if self._ownership.stopping or not _due(case.incident.due_at, case.now):
                return False
            began = time.monotonic()
            following = await self._move(lease, case)
            self._metrics.move_seconds.observe(time.monotonic() - began)
            if following.waits:
                return True
            case = following.case or await self._load(lease)
        return False

    async def _load(self, lease: Lease) -> Case | None:
        """The case, or None where it cannot be read: then it is looked at again later, and told loudly."""
        try:
            return await self._store.load(lease)
        except (DeposedError, StoreAwayError):
            raise
        except Exception as error:  # noqa: BLE001 - it must not take the workers from all others
            self._metrics.incidents_unreadable.inc()
            problem = str(error) if isinstance(error, ResponderError) else type(error).__name__
            _log.error("an incident cannot be read", incident=str(lease.incident_id), problem=problem)
            await self._store.postpone(lease, _UNREADABLE_AGAIN)
            return None

    async def _move(self, lease: Lease, case: Case) -> _Next:
        """One move and its record; what follows."""
        made = await moved(lease, case, self._terms, self._performed, self._record, self._store.load)
        case, change = made.case, made.change
        if change is None:
            return _Next(None)
        if change.opens_storm:
            await self._store.open_umbrella(self._terms.storm.gather_for)
            return _Next(None)
        waits = not _due(change.due_at, case.now)
        if waits and change.due_at is not None:
            self._wake.after(change.due_at - case.now)
        if not await self._record(lease, case, change, ends=waits):
            return _Next(None)
        self._told(case, change)
        return _Next(made.after, waits=waits)

    async def _performed(
        self, lease: Lease, case: Case, move: Move, now: datetime, before: Recording | None
    ) -> Change | None:
        URGENCY.set(case.incident.severity)
        with self._crew.waits():
            return await self._perform(lease, case, move, now, before)

    async def _record(self, lease: Lease, case: Case, change: Change, *, ends: bool = False) -> bool:
        try:
            recorded = await self._store.record(lease, case, change, ends=ends)
        except StoreAwayError:
            if change.end is None:
                raise
            again = partial(self._record_once, lease, case, change, change.end, ends=ends)
            recorded = await outlast(self._ownership, lease, again)
        if not recorded:
            return False
        reached(Point.CHANGE_RECORDED if change.end is None else Point.OUTCOME_RECORDED)
        return True

    async def _record_once(
        self, lease: Lease, case: Case, change: Change, end: AttemptEnd, *, ends: bool
    ) -> bool:
        """An outcome, when the database answers again; not twice, where only the answer was lost.

        Recorded against the case that it was decided on: what happened since then is not slept over.
        """
        attempt = (await self._store.load(lease)).attempt
        if attempt is None or attempt.id != end.attempt_id:
            return False
        if attempt.outcome is not Outcome.STARTED:
            return True
        return await self._store.record(lease, case, change, ends=ends)

    def _told(self, case: Case, change: Change) -> None:
        """Count what was recorded, and see to it that people hear of it now."""
        if change.verdict is not None and change.verdict.verdict is not None:
            self._metrics.verifications.labels(verdict=change.verdict.verdict.value).inc()
        for notice in change.notices:
            if notice.level > 0:
                self._metrics.escalations.labels(severity=case.incident.severity.value).inc()
        if change.notices:
            self._dispatch.wake()


def _overdue(case: Case) -> bool:
    due = case.incident.due_at
    return due is not None and due < case.now - _A_WHILE


def _due(at: datetime | None, now: datetime) -> bool:
    return at is not None and at <= now
