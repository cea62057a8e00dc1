"""The pager: a receiver of signed words that keeps every one, and behaves badly by the seed.

Some it refuses, some it takes and never says so, some it never takes. Whoever sends at least once reaches it
in the end; whoever sends what was never written is found out.
"""

import asyncio
import json
import time
from dataclasses import dataclass, field
from enum import Enum
from random import Random
from uuid import UUID

from aiohttp import web

from tests.chaos.target import drop
from tests.support.pager import signed_by_us
from tests.support.parts import free_port

TIMEOUT_S = 2.0
"""How long a replica waits for its answer."""
_HANG_S = 3.0


class Manner(Enum):
    """What a word meets."""

    WELL = "well"
    REFUSED = "refused for now"
    HANGS_BEFORE = "hangs before it is kept"
    HANGS_AFTER = "hangs when it is kept"
    DROPS_BEFORE = "drops the connection before it is kept"
    DROPS_AFTER = "drops the connection when it is kept"


_MANNERS = {
    Manner.WELL: 90.0,
    Manner.REFUSED: 2.0,
    Manner.HANGS_BEFORE: 2.0,
    Manner.HANGS_AFTER: 2.0,
    Manner.DROPS_BEFORE: 2.0,
    Manner.DROPS_AFTER: 2.0,
}
"""How often each of them, of a hundred."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One word as the pager took it: its idempotency key, and the incident that it is about."""

    key: str
    incident: UUID | None
    at: float


@dataclass(slots=True)
class Pager:
    """The server, and all that it heard."""

    random: Random
    port: int = field(default_factory=free_port)
    heard: list[Heard] = field(default_factory=list)
    calm: bool = False
    """Whether it takes everything."""

    @property
    def url(self) -> str:
        """Where words are sent."""
        return f"http://127.0.0.1:{self.port}/words"

    def routes(self) -> list[web.RouteDef]:
        """What a webhook channel posts to."""
        return [web.post("/words", self._receive)]

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        if not signed_by_us(request.headers, body):
            return web.Response(status=401)
        manner = Manner.WELL if self.calm else self.random.choices(list(_MANNERS), list(_MANNERS.values()))[0]
        match manner:
            case Manner.REFUSED:
                return web.Response(status=503)
            case Manner.DROPS_BEFORE:
                drop(request)
            case Manner.HANGS_BEFORE:
                await asyncio.sleep(_HANG_S)
            case _:
                pass
        incident = json.loads(body)["data"].get("incident")
        key = request.headers["webhook-id"]
        self.heard.append(Heard(key, None if incident is None else UUID(incident), time.time()))
        match manner:
            case Manner.DROPS_AFTER:
                drop(request)
            case Manner.HANGS_AFTER:
                await asyncio.sleep(_HANG_S)
            case _:
                pass
        return web.Response(status=204)
