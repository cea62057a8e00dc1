"""A TCP port whose other end can be changed: what a floating address does when its server fails over."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field


@dataclass(slots=True)
class Forwarder:
    """Forwards every new connection on `port` to `target`, both on loopback."""

    port: int
    target: int
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    def lead_to(self, target: int) -> None:
        """End what is open; what comes from now on leads there."""
        self.target = target
        for writer in tuple(self._writers):
            writer.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either end closes."""
        try:
            answers, server = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        self._writers |= {writer, server}
        with suppress(OSError):
            await asyncio.gather(_copy(reader, server), _copy(answers, writer))
        self._writers -= {writer, server}


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until there is no more, then no more goes on."""
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


@asynccontextmanager
async def forwarder(target: int) -> AsyncIterator[Forwarder]:
    """A port that leads to `target`, until something else is said."""
    forward = Forwarder(0, target)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with suppress(asyncio.CancelledError):  # the end of the forwarder is no error of a connection
            await forward.serve(reader, writer)
        tasks.discard(task)

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    forward.port = listener.sockets[0].getsockname()[1]
    try:
        yield forward
    finally:
        listener.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
