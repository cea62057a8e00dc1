"""How late the event loop is: what blocks it holds up heartbeats, effects and answers alike."""

import asyncio
from collections import deque
from datetime import timedelta

from responder.clients.boottime import boottime
from responder.telemetry import Metrics

_EVERY_S = 0.5
_REMEMBERED_S = 60.0


class LoopLag:
    """Measures by waking regularly, and remembers the worst of the last minute."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._seen: deque[tuple[float, float]] = deque()

    @property
    def worst(self) -> timedelta:
        """The longest time by which it was late within the last minute."""
        since = boottime() - _REMEMBERED_S
        return timedelta(seconds=max((late for at, late in self._seen if at >= since), default=0.0))

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            before = boottime()
            await asyncio.sleep(_EVERY_S)
            self._note(boottime(), max(0.0, boottime() - before - _EVERY_S))

    def _note(self, now: float, late: float) -> None:
        self._seen.append((now, late))
        while self._seen[0][0] < now - _REMEMBERED_S:
            self._seen.popleft()
        self._metrics.loop_lag_seconds.observe(late)
