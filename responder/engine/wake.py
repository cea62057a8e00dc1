"""How resting workers hear, within a process, that incidents are due: as many are woken as there is work for.

Waking all of them for one incident would make each look, and all but one find nothing. Whoever is not woken
looks at the due index by itself, every polling interval.
"""

import asyncio


class Wake:
    """Rests workers, and wakes them."""

    def __init__(self) -> None:
        self._resting: list[asyncio.Future[None]] = []
        self._unheard = False

    def due(self, incidents: int) -> None:
        """So many incidents have become due."""
        while incidents and self._resting:
            self._resting.pop().set_result(None)
            incidents -= 1
        self._unheard = self._unheard or incidents > 0

    def everybody(self) -> None:
        """Wake all who rest."""
        self.due(len(self._resting))

    async def rest(self, seconds: float) -> None:
        """Until woken, or for so long. Not at all, where something became due while nobody was resting."""
        if self._unheard:
            self._unheard = False
            return
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._resting.append(mine)
        try:
            await asyncio.wait((mine,), timeout=seconds)
        finally:
            if mine in self._resting:
                self._resting.remove(mine)
