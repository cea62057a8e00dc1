"""A TCP link to a server on loopback that can be cut, stalled one way or both, slowed down, and moved."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field


class Way:
    """One direction: whether what comes is passed on, and how late."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self.delay_s = 0.0

    def stall(self) -> None:
        """From now on nothing is passed on, and nothing is lost."""
        self._open.clear()

    def flow(self) -> None:
        """Everything is passed on again."""
        self._open.set()

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on until the sender ends."""
        while data := await reader.read(65536):
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            await self._open.wait()
            writer.write(data)
            await writer.drain()


@dataclass(slots=True)
class Link:
    """Where clients connect to, instead of to the server."""

    port: int
    target: int
    """The server's port; a failover leads new connections to another one."""
    asks: Way = field(default_factory=Way)
    """From the client to the server."""
    answers: Way = field(default_factory=Way)
    _open: "set[asyncio.Task[None]]" = field(default_factory=set)

    def cut(self) -> None:
        """End every connection at once; new ones are taken."""
        for task in tuple(self._open):
            task.cancel()

    def heal(self) -> None:
        """Nothing is held or slowed down any more."""
        for way in (self.asks, self.answers):
            way.delay_s = 0.0
            way.flow()


@asynccontextmanager
async def link_to(port: int) -> AsyncIterator[Link]:
    """A link to the server on loopback `port`, which may be away at times."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        link._open.add(task)
        try:
            with suppress(asyncio.CancelledError, OSError):  # a cut is no error of this side
                await _forward(link, reader, writer)
        finally:
            link._open.discard(task)
            writer.transport.abort()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    link = Link(port=listener.sockets[0].getsockname()[1], target=port)
    try:
        yield link
    finally:
        listener.close()
        link.cut()
        await asyncio.gather(*tuple(link._open), return_exceptions=True)


async def _forward(link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    answers, server = await asyncio.open_connection("127.0.0.1", link.target)
    ends = [
        asyncio.create_task(link.asks.pump(reader, server)),
        asyncio.create_task(link.answers.pump(answers, writer)),
    ]
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for end in ends:
            end.cancel()
        await asyncio.gather(*ends, return_exceptions=True)
        server.transport.abort()
