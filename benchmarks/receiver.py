"""The other end: where the bench's actions arrive, and the API of the Alertmanager that knows its alerts.

It runs in the process that measures, so that leaving and arriving are read off one clock.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any

from aiohttp import web

from tests.support.parts import free_port


class Receiver:
    """Hands out the moment at which the call for an instance arrived."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._calls: dict[str, asyncio.Future[float]] = {}
        self.firing: dict[str, dict[str, Any]] = {}
        """What the Alertmanager of its API knows, by instance."""

    def expect(self, instance: str) -> "asyncio.Future[float]":
        """The future arrival, in seconds of `perf_counter`."""
        arrival: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._calls[instance] = arrival
        return arrival

    async def called(self, request: web.Request) -> web.Response:
        """An action's call."""
        arrival = self._calls.get(request.match_info["instance"])
        if arrival is not None and not arrival.done():
            arrival.set_result(perf_counter())
        return web.Response()

    async def alerts(self, request: web.Request) -> web.Response:
        """The alerts that fire."""
        del request
        return web.json_response(list(self.firing.values()))

    async def status(self, request: web.Request) -> web.Response:
        """Up for long."""
        del request
        return web.json_response({"uptime": "2020-01-01T00:00:00Z", "config": {"original": ""}})

    async def receivers(self, request: web.Request) -> web.Response:
        """Ours."""
        del request
        return web.json_response([{"name": "responder"}])


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver that listens."""
    one = Receiver()
    app = web.Application()
    app.add_routes(
        [
            web.post("/called/{instance}/{attempt}", one.called),
            web.get("/api/v2/alerts", one.alerts),
            web.get("/api/v2/status", one.status),
            web.get("/api/v2/receivers", one.receivers),
        ]
    )
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", one.port).start()
    try:
        yield one
    finally:
        await runner.cleanup()
