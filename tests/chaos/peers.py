"""Two Alertmanagers that tell the replicas what fires: each group until it is acknowledged, and again.

Whom a delivery goes to is drawn among the replicas that a load balancer would think alive.
"""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

import aiohttp

from tests.chaos.world import Alert, Place, World
from tests.support.deliveries import payload

_AGAIN_AFTER_S = 0.3
_PATIENCE = aiohttp.ClientTimeout(total=5)
_RESEND_S = 5.0
_BATCH = 20


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """One alert of a delivery that was answered with 2xx."""

    alert: Alert
    at: float


@dataclass(slots=True)
class Peers:
    """Both of them: what was acknowledged, what was refused for ever."""

    world: World
    random: Random
    alive: Callable[[], Sequence[str]]
    """The webhooks of the replicas that seem to be up."""
    token: str
    acknowledged: list[Acknowledged] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    deliveries: int = 0
    """How many were acknowledged."""
    tries: int = 0
    _changed: dict[int, list[asyncio.Event]] = field(default_factory=dict)
    _untold: int = 0

    @property
    def all_told(self) -> bool:
        """Whether nothing waits to be acknowledged."""
        return not self._untold and not any(
            event.is_set() for events in self._changed.values() for event in events
        )

    async def tell(self, names: Sequence[int] = (0, 1)) -> None:
        """Tell until cancelled."""
        self._changed = {id(place): [asyncio.Event() for _ in names] for place in self.world.places}
        self.world.changed = self._note
        async with aiohttp.ClientSession(timeout=_PATIENCE) as session, asyncio.TaskGroup() as group:
            for name in names:
                group.create_task(self._resend(session))
                for place in self.world.places:
                    group.create_task(self._tell_group(session, place, name))

    def _note(self, place: Place) -> None:
        for event in self._changed[id(place)]:
            event.set()

    async def _tell_group(self, session: aiohttp.ClientSession, place: Place, name: int) -> None:
        """The alerts of one place, as they stand, whenever they have changed; the second peer hears later."""
        news = self._changed[id(place)][name]
        while True:
            await news.wait()
            await asyncio.sleep(name * self.random.uniform(0, 1))
            self._untold += 1
            news.clear()
            try:
                await self._deliver(session, place.alerts)
            finally:
                self._untold -= 1

    async def _resend(self, session: aiohttp.ClientSession) -> None:
        """Everything that fires, in batches; what has ended until one is taken is told all the same."""
        while True:
            await asyncio.sleep(self.random.uniform(0.5, 1.5) * _RESEND_S)
            firing = list(self.world.firing())
            self._untold += 1
            try:
                for start in range(0, len(firing), _BATCH):
                    await self._deliver(session, firing[start : start + _BATCH])
            finally:
                self._untold -= 1

    async def _deliver(self, session: aiohttp.ClientSession, alerts: Sequence[Alert]) -> None:
        body = json.dumps(payload([alert.told() for alert in alerts])).encode()
        while not await self._taken(session, body):  # noqa: ASYNC110 - nothing here knows when one is back
            await asyncio.sleep(_AGAIN_AFTER_S)
        at = time.time()
        self.deliveries += 1
        self.acknowledged.extend(Acknowledged(alert, at) for alert in alerts)

    async def _taken(self, session: aiohttp.ClientSession, body: bytes) -> bool:
        urls = self.alive()
        if not urls:
            return False
        self.tries += 1
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        with suppress(aiohttp.ClientError, TimeoutError, OSError):
            async with session.post(self.random.choice(urls), data=body, headers=headers) as answer:
                if answer.status // 100 == 4:
                    self.refusals.append(f"{answer.status}: {await answer.text()}")
                return answer.status // 100 == 2
        return False
