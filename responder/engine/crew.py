"""How many workers are at work: who waits for somebody outside is replaced, so that others need not wait.

A target that takes connections and never answers would otherwise take all workers, one incident after the
other, from what is urgent elsewhere. Everything that a move waits for counts, our own database included: a
slow one brings more workers to the line before its pool of connections, which stays as large as it is.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

PATIENCE_S = 1.0
"""How long a worker waits for somebody before another one takes its place."""


@dataclass(slots=True, eq=False)
class _Wait:
    """One worker's wait."""

    replaced: bool = False


class Crew:
    """The workers of one process.

    Args:
        size: how many are at work.
        waiting_at_most: how many may be replaced at a time.
        replace: begins one more.
    """

    def __init__(self, size: int, waiting_at_most: int, replace: Callable[[], None]) -> None:
        self._size = size
        self._waiting_at_most = waiting_at_most
        self._replace = replace
        self._at_work = size
        self.waiting = 0
        """How many have waited for somebody for longer than a moment, and were replaced."""
        self._beyond: list[_Wait] = []
        """Those that wait as long and were not, for as many as may were replaced by then."""

    @property
    def exhausted(self) -> bool:
        """Whether as many wait as may, so that the next ones take workers from everybody."""
        return self.waiting >= self._waiting_at_most

    @contextmanager
    def waits(self) -> Iterator[None]:
        """Around a question to somebody outside."""
        mine = _Wait()
        timer = asyncio.get_running_loop().call_later(PATIENCE_S, self._late, mine)
        try:
            yield
        finally:
            timer.cancel()
            if mine in self._beyond:
                self._beyond.remove(mine)
            if mine.replaced:
                self._back()

    def _late(self, wait: "_Wait") -> None:
        if self.exhausted:
            self._beyond.append(wait)
            return
        wait.replaced = True
        self.waiting += 1
        self._replace()

    def _back(self) -> None:
        """One that was replaced comes back: it takes the place of the next that nobody could replace."""
        if self._beyond:
            self._beyond.pop(0).replaced = True
            return
        self.waiting -= 1
        self._at_work += 1

    def leaves(self) -> bool:
        """Whether the worker that asks is one too many now; if so, it has to end."""
        if self._at_work <= self._size:
            return False
        self._at_work -= 1
        return True
