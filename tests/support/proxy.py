"""A TCP proxy before a PostgreSQL server that can hold one statement, or the answer to it, for ever.

It reads the frontend's messages only as far as needed to know which statement is being executed. Holding
the statement means that nothing happened and the client waits; holding the answer means that it happened
and the client waits.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum

_LENGTH = 4
_STARTUP = 196608
"""Protocol 3.0: after this message all others carry a type."""


class Hold(Enum):
    """What is held from now on, for statements that contain the proxy's word."""

    NOTHING = "nothing"
    STATEMENT = "statement"
    ANSWER = "answer"


@dataclass(slots=True)
class Frontend:
    """One client's messages, cut apart."""

    typed: bool = False
    buffer: bytes = b""

    def feed(self, data: bytes) -> list[tuple[bytes, bytes]]:
        """Complete messages as (type, whole message); the type is empty before the startup is over."""
        self.buffer += data
        messages = []
        while (message := self._cut()) is not None:
            messages.append(message)
        return messages

    def _cut(self) -> tuple[bytes, bytes] | None:
        head = 1 if self.typed else 0
        if len(self.buffer) < head + _LENGTH:
            return None
        size = head + int.from_bytes(self.buffer[head : head + _LENGTH])
        if len(self.buffer) < size:
            return None
        kind, message, self.buffer = self.buffer[:head], self.buffer[:size], self.buffer[size:]
        if not self.typed and int.from_bytes(message[_LENGTH : 2 * _LENGTH]) == _STARTUP:
            self.typed = True
        return kind, message


@dataclass(slots=True)
class Proxy:
    """Forwards to a server; `held` is set as soon as something is held."""

    port: int
    word: bytes
    hold: Hold = Hold.NOTHING
    held: asyncio.Event = field(default_factory=asyncio.Event)


class _Session:
    """One client's connection through the proxy."""

    def __init__(self, proxy: Proxy, server: asyncio.StreamWriter) -> None:
        self.proxy = proxy
        self.server = server
        self.frontend = Frontend()
        self.named = False
        """The statement that was parsed last contains the word."""
        self.mute = False
        """Nothing from the server reaches the client any more."""
        self.deaf = False
        """Nothing from the client reaches the server any more."""

    def from_client(self, data: bytes) -> None:
        for kind, message in self.frontend.feed(data):
            self._judge(kind, message)
            if not self.deaf:
                self.server.write(message)

    def _judge(self, kind: bytes, message: bytes) -> None:
        if kind in {b"P", b"Q"}:
            self.named = self.proxy.word in message
        executes = kind in {b"E", b"Q"} and self.named
        if executes and self.proxy.hold is Hold.STATEMENT:
            self.deaf = True
            self.proxy.held.set()
        elif executes and self.proxy.hold is Hold.ANSWER:
            self.mute = True
            self.proxy.held.set()


@asynccontextmanager
async def proxy_before(port: int, *, word: bytes = b"pg_terminate_backend") -> AsyncIterator[Proxy]:
    """A proxy before the server on loopback `port`, holding nothing yet."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with suppress(asyncio.CancelledError):  # the end of the proxy is no error of a connection
            await _forward(proxy, port, reader, writer)
        tasks.discard(task)

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    proxy = Proxy(port=listener.sockets[0].getsockname()[1], word=word)
    try:
        yield proxy
    finally:
        listener.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _forward(
    proxy: Proxy, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    answers, server = await asyncio.open_connection("127.0.0.1", port)
    session = _Session(proxy, server)

    async def up() -> None:
        while data := await reader.read(65536):
            session.from_client(data)
            await server.drain()

    async def down() -> None:
        while data := await answers.read(65536):
            if not session.mute:
                writer.write(data)
                await writer.drain()

    ends = [asyncio.create_task(up()), asyncio.create_task(down())]
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for end in ends:
            end.cancel()
        await asyncio.gather(*ends, return_exceptions=True)
        for stream in (server, writer):
            stream.close()
            with suppress(OSError):
                await stream.wait_closed()
