"""How resting workers hear, within a process, that incidents are due: as many are woken as there is work for.

Waking all of them for one incident would make each look, and all but one find nothing. What nobody was woken
for (a due time that came, another process's work) is found by polling: one of the resting workers looks at
the due index every polling interval, and who finds something looks again until there is no more.
"""

import asyncio
import random


class Wake:
    """Rests workers, and wakes them."""

    def __init__(self) -> None:
        self._resting: list[asyncio.Future[None]] = []
        self._unheard = False
        self._poll: asyncio.TimerHandle | None = None

    def due(self, incidents: int) -> None:
        """So many incidents have become due."""
        while incidents and self._resting:
            incidents -= self._wake_one()
        self._unheard = self._unheard or incidents > 0

    def everybody(self) -> None:
        """Wake all who rest."""
        self.due(len(self._resting))

    async def rest(self, seconds: float) -> None:
        """Until woken, be it to poll: every so many seconds, with some jitter, one of those who rest is.

        Not at all, where something became due while nobody was resting.
        """
        if self._unheard:
            self._unheard = False
            return
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._resting.append(mine)
        self._look_in(seconds)
        try:
            await mine
        finally:
            if mine in self._resting:
                self._resting.remove(mine)

    def _look_in(self, seconds: float) -> None:
        """See to it that somebody looks in a while, unless that is seen to."""
        if self._poll is None:
            pause = seconds * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
            self._poll = asyncio.get_running_loop().call_later(pause, self._time_to_look, seconds)

    def _time_to_look(self, seconds: float) -> None:
        """Wake one. It may find work for hours: so the next time is set while others rest."""
        self._poll = None
        while self._resting and not self._wake_one():
            pass
        if self._resting:
            self._look_in(seconds)

    def _wake_one(self) -> bool:
        """False where that one was cancelled while it rested."""
        one = self._resting.pop()
        if one.done():
            return False
        one.set_result(None)
        return True
