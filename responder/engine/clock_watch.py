"""Watching the database's clock: every second one reading, and a jump is counted and told.

And before: whoever starts asks the others first whether it may go by that clock at all.
"""

import asyncio

import structlog

from responder.decide.clock import Agreement, ClockRuling, told
from responder.engine.ownership import Ownership
from responder.ports import Store
from responder.telemetry import Metrics

_log = structlog.get_logger(__name__)


_ASK_EVERY_S = 0.2


async def agree_on_clock(store: Store) -> None:
    """Return when the processes that live, if any, know the database's clock as it is."""
    doubted = False
    while (agreement := await store.agree_on_clock()) is not Agreement.AGREED:
        if agreement is Agreement.DOUBTED and not doubted:
            doubted = True
            _log.warning("the start waits: another process sees that the database's clock jumped")
        await asyncio.sleep(_ASK_EVERY_S)


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
