"""Servers on loopback that take connections and then behave as broken ones do.

For what no real server can be made to do. How many connections they have at a time is counted: whoever asks
them must not pile up.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum


class Manner(Enum):
    """What it does with whoever connects."""

    NEVER = "never answers"
    DRIPS = "answers one byte a second"
    GARBAGE = "answers 200 with garbage"
    FAILS = "answers 503"


_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 64\r\n\r\n"
_GARBAGE = _HEAD + b'{"status": "success", "data": {"resultType": "vector", "result"%'
_FAILS = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"


@dataclass(slots=True)
class Hung:
    """One server."""

    port: int = 0
    manner: Manner = Manner.NEVER
    asked: int = 0
    """How many connections it has had."""
    connected: int = 0
    most: int = 0
    """How many it had at a time at most."""
    _tasks: "set[asyncio.Task[None]]" = field(default_factory=set)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until the other side ends it."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.asked += 1
        self.connected += 1
        self.most = max(self.most, self.connected)
        try:
            with suppress(OSError, asyncio.CancelledError):
                await self._answers(reader, writer)
        finally:
            self.connected -= 1
            self._tasks.discard(task)
            writer.transport.abort()

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            match self.manner:
                case Manner.NEVER:
                    continue
                case Manner.DRIPS:
                    for byte in _GARBAGE:
                        if reader.at_eof():
                            return
                        writer.write(bytes((byte,)))
                        await writer.drain()
                        await asyncio.sleep(1)
                case Manner.GARBAGE:
                    writer.write(_GARBAGE)
                case Manner.FAILS:
                    writer.write(_FAILS)
            await writer.drain()

    async def close(self) -> None:
        """End every connection."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*tuple(self._tasks), return_exceptions=True)


@asynccontextmanager
async def hung(manner: Manner = Manner.NEVER) -> AsyncIterator[Hung]:
    """One on a free port."""
    server = Hung(manner=manner)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        await server.close()
