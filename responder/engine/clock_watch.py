"""Watching the database's clock: every second one reading, and a jump is counted and told."""

import structlog

from responder.decide.clock import ClockRuling, told
from responder.engine.ownership import Ownership
from responder.ports import Store
from responder.telemetry import Metrics

_log = structlog.get_logger(__name__)


class ClockWatch:
    """This process's eye on the wall clock of the database."""

    def __init__(self, store: Store, ownership: Ownership, metrics: Metrics) -> None:
        self._store = store
        self._ownership = ownership
        self._metrics = metrics

    async def round(self) -> None:
        """One reading."""
        jump = await self._store.watch_clock(self._ownership.worker_id)
        if jump is None:
            return
        own = jump.ruling is ClockRuling.OWN
        self._metrics.clock_jumps.labels(clock="own" if own else "database").inc()
        _log.error(
            "this process's clock jumped" if own else "the database's clock jumped: service time was kept",
            by=told(jump.by),
        )
