"""The person on call: looks at what is quarantined, sees that nothing runs there, and releases it."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import UUID

import aiohttp

from tests.chaos.stage import Replica, Stage
from tests.support.parts import get_json, post_json

_LOOKS_EVERY_S = 1.5
_WAITS_S = 5.0
"""How long a quarantine stands before it is released: no call may have its effect any more."""


@dataclass(slots=True)
class Person:
    """Releases what nobody else may."""

    stage: Stage
    random: Random
    released: int = 0
    _since: dict[UUID, float] = field(default_factory=dict)

    async def work(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(_LOOKS_EVERY_S)
            replica = self.random.choice(self.stage.replicas)
            with suppress(OSError, aiohttp.ClientError, TimeoutError):
                for claim in await _quarantined(replica):
                    await self._judge(replica, claim)

    async def _judge(self, replica: Replica, claim: dict[str, Any]) -> None:
        attempt = UUID(claim["attempt_id"])
        since = self._since.setdefault(attempt, time.time())
        if time.time() - since < _WAITS_S or self.stage.targets.running[attempt]:
            return
        words = {"target": claim["target"], "actor": "chaos", "reason": "nothing runs there any more"}
        await post_json(f"{replica.url}/api/v1/targets/release", words)
        self.released += 1


async def _quarantined(replica: Replica) -> Sequence[dict[str, Any]]:
    told = await get_json(f"{replica.url}/api/v1/targets")
    return [claim for claim in told["targets"] if claim["quarantined"]]
