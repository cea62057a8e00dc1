"""How many workers are at work: who waits for somebody outside is replaced, so that others need not wait.

A target that takes connections and never answers would otherwise take all workers, one incident after the
other, from what is urgent elsewhere. What is asked of the database is no such wait: more workers would not
make that one quicker.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PATIENCE_S = 1.0
"""How long a worker waits for somebody before another one takes its place."""


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
        """How many have waited for somebody for longer than a moment."""

    @property
    def exhausted(self) -> bool:
        """Whether as many wait as may, so that the next ones take workers from everybody."""
        return self.waiting >= self._waiting_at_most

    @contextmanager
    def waits(self) -> Iterator[None]:
        """Around a question to somebody outside."""
        late = False

        def replaced() -> None:
            nonlocal late
            if self.exhausted:
                return
            late = True
            self.waiting += 1
            self._replace()

        timer = asyncio.get_running_loop().call_later(PATIENCE_S, replaced)
        try:
            yield
        finally:
            timer.cancel()
            if late:
                self.waiting -= 1
                self._at_work += 1

    def leaves(self) -> bool:
        """Whether the worker that asks is one too many now; if so, it has to end."""
        if self._at_work <= self._size:
            return False
        self._at_work -= 1
        return True
