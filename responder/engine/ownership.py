"""Being a worker: the heartbeat, and knowing when this process has been deposed.

The gap that counts is this process's own (CLOCK_BOOTTIME: a paused or suspended process sees it). It is
measured from before the last heartbeat that the database confirmed.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID, uuid4

import structlog

from responder.clients.boottime import boottime
from responder.model.errors import ResponderError
from responder.ports import Lease, Store
from responder.telemetry import Metrics

_log = structlog.get_logger(__name__)


class Ownership:
    """This process's standing as a worker. After a gap it becomes a new worker with a new id."""

    def __init__(self, store: Store, metrics: Metrics, lease_time: timedelta, every: timedelta) -> None:
        self._store = store
        self._metrics = metrics
        self.lease_time = lease_time
        """How long a heartbeat counts."""
        self._lease_s = lease_time.total_seconds()
        self._every_s = every.total_seconds()
        self._confirmed = float("-inf")
        self._stopping = False
        self.worker_id: UUID = uuid4()
        self.leases: set[Lease] = set()
        """What the workers of this process hold."""
        self._faults = 0
        self._sure_of = 0
        """Up to which fault it is sure again that the database counts no more as theirs."""
        self._takers = 0
        self._nobody_takes = asyncio.Event()
        self._nobody_takes.set()
        self._making_sure = asyncio.Lock()

    def stop(self) -> None:
        """From now on no intent is committed by this process."""
        self._stopping = True

    @property
    def stopping(self) -> bool:
        """Whether this process is about to end."""
        return self._stopping

    def alive(self) -> bool:
        """Whether the last confirmed heartbeat is younger than the lease time."""
        return boottime() - self._confirmed < self._lease_s

    def owns(self, lease: Lease) -> bool:
        """Whether this process is still the worker that took the lease, and alive as such."""
        return lease.worker_id == self.worker_id and self.alive()

    def doubt(self) -> None:
        """Something failed: the database may count more as this worker's than `leases` has."""
        self._faults += 1

    @asynccontextmanager
    async def taking(self) -> AsyncIterator[None]:
        """Around taking a lease and noting it.

        A lease whose answer was lost, or that could not be given up, would stay this live worker's for ever:
        after any fault all that is not noted is given up first. Nobody takes one meanwhile: what is taken and
        not yet noted would be given up, too, and its effect run without an owner.
        """
        while self._sure_of < self._faults:
            await self._make_sure()
        self._takers += 1
        self._nobody_takes.clear()
        try:
            yield
        finally:
            self._takers -= 1
            if not self._takers:
                self._nobody_takes.set()

    async def _make_sure(self) -> None:
        async with self._making_sure:
            await self._nobody_takes.wait()
            faults = self._faults
            if self._sure_of < faults:
                known = [lease.incident_id for lease in self.leases]
                await self._store.give_up_others(self.worker_id, known)
                self._sure_of = faults

    async def begin(self) -> None:
        """Become a worker."""
        before = boottime()
        await self._store.register(self.worker_id, socket.gethostname(), ["worker", f"pid {os.getpid()}"])
        self._confirmed = before

    async def run(self) -> None:
        """Renew the heartbeat until cancelled."""
        while True:
            await asyncio.sleep(self._every_s)
            try:
                await self._beat()
            except ResponderError as error:
                _log.warning("heartbeat failed", error=str(error))
            except Exception:  # noqa: BLE001 - logged; without its heartbeat this process would never act again
                _log.exception("heartbeat failed")

    async def _beat(self) -> None:
        before = boottime()
        late = before - self._confirmed >= self._lease_s
        if not late and await self._store.heartbeat(self.worker_id):
            self._confirmed = before
            return
        self._metrics.worker_deposed.inc()
        _log.warning("deposed: this process missed its heartbeat and starts anew", worker=str(self.worker_id))
        self.worker_id = uuid4()
        await self.begin()

    async def end(self) -> None:
        """Give everything up."""
        await self._store.unregister(self.worker_id)
