"""How resting workers hear, within a process, that incidents are due: as many are woken as there is work for.

Waking all of them for one incident would make each look, and all but one find nothing. One is woken when
intake leaves something due, and at the due times that this process has written. What nobody was woken for
(another process's work) is found by polling: one of the resting workers looks at the due index every polling
interval, and who finds something looks again until there is no more.
"""

import asyncio
import random
from datetime import timedelta

_FAR = timedelta(minutes=1)
_AWAITED_AT_MOST = 1000
_A_LITTLE_LATER_S = 0.005
"""So that it is due by the database's clock, too, when somebody looks."""


class Wake:
    """Rests workers, and wakes them."""

    def __init__(self) -> None:
        self._resting: list[asyncio.Future[None]] = []
        self._unheard = False
        self._poll: asyncio.TimerHandle | None = None
        self._awaited = 0

    def due(self, incidents: int) -> None:
        """So many incidents have become due."""
        while incidents and self._resting:
            incidents -= self._wake_one()
        self._unheard = self._unheard or incidents > 0

    def after(self, pause: timedelta) -> None:
        """One will become due then. What is far away, or too many, is left to polling."""
        if pause < _FAR and self._awaited < _AWAITED_AT_MOST:
            self._awaited += 1
            asyncio.get_running_loop().call_later(pause.total_seconds() + _A_LITTLE_LATER_S, self._has_come)

    def _has_come(self) -> None:
        self._awaited -= 1
        self.due(1)

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
