"""A receiver of signed webhooks: checks the signature as specified, and answers as it is told."""

import asyncio
import hmac
import json
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from aiohttp import web

KEY = b"0123456789abcdef0123456789abcdef"
SECRET = f"whsec_{b64encode(KEY).decode()}"


@dataclass(slots=True)
class Page:
    """One message that it took."""

    id: str
    body: dict[str, Any]


@dataclass(slots=True)
class PagerDesk:
    """Everything that came. `answers` says with which statuses it answers next; then always with 204.

    An answer that is no success says `retry_after`, where there is one.
    """

    url: str = ""
    tries: list[Page] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    retry_after: str | None = None
    hangs: bool = False
    came: asyncio.Event = field(default_factory=asyncio.Event)

    async def receive(self, request: web.Request) -> web.Response:
        """Take one message."""
        body = await request.read()
        assert signed_by_us(request.headers, body)
        self.tries.append(Page(request.headers["webhook-id"], json.loads(body)))
        self.came.set()
        if self.hangs:
            await asyncio.Event().wait()
        status = self.answers.pop(0) if self.answers else 204
        asks = status >= 300 and self.retry_after is not None
        return web.Response(status=status, headers={"Retry-After": self.retry_after or ""} if asks else {})

    async def got(self, number: int) -> list[Page]:
        """The tries, once there are so many."""
        while len(self.tries) < number:
            self.came.clear()
            await self.came.wait()
        return self.tries


def signed_by_us(headers: Mapping[str, str], body: bytes) -> bool:
    """Whether a word bears the signature that our secret gives it."""
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    version, _, given = headers["webhook-signature"].partition(",")
    return (version, b64decode(given)) == ("v1", hmac.new(KEY, signed, sha256).digest())


@asynccontextmanager
async def pager_desk() -> AsyncIterator[PagerDesk]:
    """Listen on loopback."""
    desk = PagerDesk()
    app = web.Application()
    app.router.add_post("/hook/secret-path", desk.receive)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        desk.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook/secret-path?a=%2F"
        yield desk
    finally:
        await runner.cleanup()
