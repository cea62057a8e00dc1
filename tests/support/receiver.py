"""A webhook receiver that keeps what it is sent, byte for byte: what real senders really say."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from tests.support.parts import free_port


@dataclass(slots=True)
class Received:
    """One POST."""

    body: bytes
    headers: dict[str, str]


@dataclass(slots=True)
class Receiver:
    """Everything that came, in order."""

    url: str
    posts: list[Received] = field(default_factory=list)


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    """Listen on loopback and answer 200 to every POST."""
    port = free_port()
    kept = Receiver(f"http://127.0.0.1:{port}/webhook")

    async def keep(request: web.Request) -> web.Response:
        kept.posts.append(Received(await request.read(), dict(request.headers)))
        return web.Response()

    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post("/webhook", keep)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield kept
    finally:
        await runner.cleanup()
