"""The targets of `chaos.call`: each keeps a durable record of every effect, and behaves badly by the seed.

A call waits a while, has its effect, waits again and is answered. Some hang before or after the effect, some
lose their connection before or after it. Whether a call happened is answered from the record.
"""

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from random import Random
from typing import Any, NoReturn
from uuid import UUID

from aiohttp import web

from tests.chaos.action import SIDES
from tests.support.parts import free_port

_HANG_S = 6.0
"""Longer than any caller waits, and than any call may still have its effect."""


class Manner(Enum):
    """What a call meets."""

    WELL = "well"
    HANGS_BEFORE = "hangs before the effect"
    HANGS_AFTER = "hangs after the effect"
    DROPS_BEFORE = "drops the connection before the effect"
    DROPS_AFTER = "drops the connection after the effect"


_MANNERS = {
    Manner.WELL: 93.0,
    Manner.HANGS_BEFORE: 1.5,
    Manner.HANGS_AFTER: 2.0,
    Manner.DROPS_BEFORE: 1.5,
    Manner.DROPS_AFTER: 2.0,
}
"""How often each of them, of a hundred."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A call that has just arrived, from the process that made it."""

    pid: int
    attempt: UUID
    element: str


@dataclass(frozen=True, slots=True)
class Effect:
    """One effect as the target recorded it. Times are seconds since the epoch."""

    attempt: UUID
    element: str
    called_at: float
    at: float


@dataclass(slots=True)
class Targets:
    """The server of all targets."""

    file: Path
    random: Random
    mended: Callable[[str], None]
    """Told of each target whose sides have all had an effect of one attempt."""
    port: int = field(default_factory=free_port)
    running: Counter[UUID] = field(default_factory=Counter)
    """The calls of each attempt that are not over."""
    _done: set[tuple[UUID, str]] = field(default_factory=set)
    _effects: Counter[str] = field(default_factory=Counter)
    _waiting: "list[asyncio.Future[Arrival]]" = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where they are called."""
        return f"http://127.0.0.1:{self.port}"

    async def next_call(self) -> Arrival:
        """The next call that arrives, at the moment at which it does."""
        coming: asyncio.Future[Arrival] = asyncio.get_running_loop().create_future()
        self._waiting.append(coming)
        return await coming

    def routes(self) -> list[web.RouteDef]:
        """What `tests.chaos.action` asks."""
        return [
            web.get("/targets/{target}", self._state),
            web.post("/calls/{attempt}/{target}/{side}", self._call),
            web.get("/calls/{attempt}/{target}/{side}", self._happened),
        ]

    async def _state(self, request: web.Request) -> web.Response:
        return web.json_response({"effects": self._effects[request.match_info["target"]]})

    async def _happened(self, request: web.Request) -> web.Response:
        attempt, element = _asked(request)
        return web.json_response({"happened": (attempt, element) in self._done})

    async def _call(self, request: web.Request) -> web.Response:
        attempt, element = _asked(request)
        call = await request.json()
        called_at = time.time()
        self._arrived(Arrival(call["pid"], attempt, element))
        manner = self.random.choices(list(_MANNERS), list(_MANNERS.values()))[0]
        self.running[attempt] += 1
        try:
            await asyncio.sleep(_HANG_S if manner is Manner.HANGS_BEFORE else self.random.uniform(0.1, 0.6))
            if manner is Manner.DROPS_BEFORE:
                drop(request)
            if time.time() > call["not_after"]:
                return web.Response(status=409)
            self._have_effect(Effect(attempt, element, called_at, time.time()), request.match_info["target"])
            await asyncio.sleep(_HANG_S if manner is Manner.HANGS_AFTER else self.random.uniform(0.1, 0.5))
            if manner is Manner.DROPS_AFTER:
                drop(request)
            return web.Response()
        finally:
            self.running[attempt] -= 1

    def _arrived(self, arrival: Arrival) -> None:
        for coming in self._waiting:
            if not coming.done():
                coming.set_result(arrival)
        self._waiting.clear()

    def _have_effect(self, effect: Effect, target: str) -> None:
        """On disk before anything else is done. A second one is recorded like the first."""
        line = {**vars_of(effect), "attempt": str(effect.attempt)}
        with self.file.open("a") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._done.add((effect.attempt, effect.element))
        self._effects[target] += 1
        sides = sum(1 for attempt, _ in self._done if attempt == effect.attempt)
        if sides == len(SIDES):
            self.mended(target)


def vars_of(effect: Effect) -> dict[str, Any]:
    """Its fields by name."""
    return {name: getattr(effect, name) for name in Effect.__slots__}


def recorded(file: Path) -> tuple[Effect, ...]:
    """Every effect in a target's file."""
    if not file.exists():
        return ()
    lines = (json.loads(line) for line in file.read_text().splitlines())
    return tuple(Effect(**{**line, "attempt": UUID(line["attempt"])}) for line in lines)


def _asked(request: web.Request) -> tuple[UUID, str]:
    match: Mapping[str, str] = request.match_info
    return UUID(match["attempt"]), f"{match['target']}/{match['side']}"


def drop(request: web.Request) -> NoReturn:
    """Break the connection without an answer."""
    if request.transport is not None:
        request.transport.abort()
    raise web.HTTPInternalServerError


@asynccontextmanager
async def serving(routes: list[web.RouteDef], *ports: int) -> AsyncIterator[None]:
    """These routes on loopback, at every port."""
    app = web.Application()
    app.add_routes(routes)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        for port in ports:
            await web.TCPSite(runner, "127.0.0.1", port).start()
        yield
    finally:
        await runner.cleanup()
