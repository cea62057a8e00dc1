"""Whose turn it is where only one may: the more urgent first, then who came first.

In a storm many incidents look at the same target. What is urgent must not stand at the end of that line.
"""

import asyncio
import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from itertools import count

from responder.model.severity import Severity

URGENCY: ContextVar[Severity] = ContextVar("urgency", default=Severity.P3)
"""How urgent that is for which the running task asks; the tasks that it starts have it from there."""


class Turns:
    """One at a time."""

    def __init__(self) -> None:
        self._taken = False
        self._numbers = count()
        self._waiting: list[tuple[Severity, int, asyncio.Future[None]]] = []

    @asynccontextmanager
    async def turn(self, within_s: float | None = None) -> AsyncIterator[None]:
        """Hold the turn.

        Raises:
            TimeoutError: it did not come in time.
        """
        async with asyncio.timeout(within_s):
            await self._acquire()
        try:
            yield
        finally:
            self._release()

    async def _acquire(self) -> None:
        if not self._taken:
            self._taken = True
            return
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (URGENCY.get(), next(self._numbers), mine))
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():  # it came in the same moment: it goes on
                self._release()
            raise

    def _release(self) -> None:
        while self._waiting:
            *_, following = heapq.heappop(self._waiting)
            if not following.done():
                following.set_result(None)
                return
        self._taken = False
