"""Workers: lease a due incident, decide, perform, record, and again until it has to wait."""

import asyncio
import random
import time
from datetime import timedelta

import structlog

from responder.crash_points import Point, reached
from responder.decide import changes
from responder.decide.case import Case, Change, Terms
from responder.decide.next_move import next_move
from responder.engine.ownership import Ownership
from responder.engine.perform import Perform
from responder.model.errors import DeposedError, ResponderError, StoreAwayError
from responder.ports import Lease, Notifier, Store
from responder.telemetry import Metrics

_log = structlog.get_logger(__name__)

_MOVES_AT_ONCE = 50
"""How many moves one lease may make before it is given up, so that no incident starves the others."""
_UNREADABLE_AGAIN = timedelta(seconds=30)


class Worker:
    """Takes due incidents one at a time. Several run in one process."""

    def __init__(
        self,
        store: Store,
        ownership: Ownership,
        perform: Perform,
        notifier: Notifier,
        metrics: Metrics,
        terms: Terms,
        wake: asyncio.Event,
        poll_s: float,
    ) -> None:
        self._store = store
        self._ownership = ownership
        self._perform = perform
        self._notifier = notifier
        self._metrics = metrics
        self._terms = terms
        self._wake = wake
        self._poll_s = poll_s
        self._stopping = False

    def stop(self) -> None:
        """Take nothing new; what is being done is finished."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Work until stopped."""
        while not self._stopping:
            try:
                worked = await self._once()
            except StoreAwayError:
                worked, self._ownership.unsure = False, True
            except Exception:  # noqa: BLE001 - logged; one incident's fault must not end the worker
                _log.exception("a worker failed and goes on")
                worked, self._ownership.unsure = False, True
            if not worked:
                await self._rest()

    async def _once(self) -> bool:
        """Take one due incident as far as it goes now. False where none is due."""
        if self._ownership.stopping or not self._ownership.alive():
            return False
        lease = await self._leased()
        if lease is None:
            return False
        reached(Point.INCIDENT_LEASED)
        try:
            await self._work(lease)
        except DeposedError:
            _log.warning("deposed while working", incident=str(lease.incident_id))
        finally:
            self._ownership.leases.discard(lease)
        await self._store.give_up(lease)
        return True

    async def _leased(self) -> Lease | None:
        """The most urgent due incident.

        A lease whose answer was lost, or that could not be given up, would stay this live worker's for ever:
        after any fault all that no worker of this process knows of is given up first.
        """
        ownership = self._ownership
        if ownership.unsure:
            known = [lease.incident_id for lease in ownership.leases]
            await self._store.give_up_others(ownership.worker_id, known)
            ownership.unsure = False
        lease = await self._store.lease(ownership.worker_id)
        if lease is not None:
            ownership.leases.add(lease)
        return lease

    async def _work(self, lease: Lease) -> None:
        for _ in range(_MOVES_AT_ONCE):
            case = await self._load(lease)
            if case is None:
                return
            due = case.incident.due_at
            if self._ownership.stopping or due is None or due > await self._store.now():
                return
            began = time.monotonic()
            await self._move(lease, case)
            self._metrics.move_seconds.observe(time.monotonic() - began)

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

    async def _move(self, lease: Lease, case: Case) -> None:
        now = await self._store.now()
        try:
            change = await self._perform(lease, case, next_move(case, now, self._terms), now)
        except (DeposedError, StoreAwayError):
            raise
        except Exception as error:  # noqa: BLE001 - logged and told in the timeline
            _log.exception("a move failed", incident=str(lease.incident_id))
            problem = str(error) if isinstance(error, ResponderError) else type(error).__name__
            case, now = await self._store.load(lease), await self._store.now()
            change = changes.failed(case, now, self._terms, problem)
        if change is not None and await self._store.record(lease, case, change):
            reached(Point.CHANGE_RECORDED if change.end is None else Point.OUTCOME_RECORDED)
            await self._tell(case, change)

    async def _tell(self, case: Case, change: Change) -> None:
        if change.verdict is not None and change.verdict.verdict is not None:
            self._metrics.verifications.labels(verdict=change.verdict.verdict.value).inc()
        for notice in change.notices:
            if notice.level > 0:
                self._metrics.escalations.labels(severity=case.incident.severity.value).inc()
            await self._notifier.tell(case.incident, notice)

    async def _rest(self) -> None:
        """Until something wakes this process, or for the polling interval with jitter."""
        self._wake.clear()
        try:
            async with asyncio.timeout(self._poll_s * random.uniform(0.8, 1.2)):  # noqa: S311 - jitter
                await self._wake.wait()
        except TimeoutError:
            return
