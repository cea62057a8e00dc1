"""What the listener does not wait for, does not read, and does not let in beside another."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import aiohttp
import pytest

from responder.model.errors import StoreAwayError
from responder.web.settings import WebSettings
from tests.support.http_api import Served, listening

PATH = "/api/v1/webhooks/alertmanager/default"
HEAD = f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
SHORT = timedelta(milliseconds=200)
BODY = json.dumps({"alerts": [{"alertname": "A", "x": "y" * 3000}]}).encode()


@asynccontextmanager
async def line(served: Served) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(served.url.rpartition(":")[2]))
    try:
        async with asyncio.timeout(20):
            yield reader, writer
    finally:
        writer.close()


async def status(reader: asyncio.StreamReader) -> int:
    """The status of the next answer; its body is left."""
    return int((await reader.readuntil(b"\r\n\r\n")).split()[1])


@pytest.mark.parametrize("sent", [b"", b"POST /api", HEAD.encode(), HEAD.encode() + b"X-Slow: "])
async def test_headers_that_do_not_come_end_the_connection(sent: bytes) -> None:
    """Whoever sends no whole request holds a connection for no longer than `idle_timeout`."""
    async with listening(WebSettings(idle_timeout=SHORT)) as served, line(served) as (reader, writer):
        writer.write(sent)
        assert await reader.read() == b""


async def test_a_second_large_body_is_refused_while_the_first_comes() -> None:
    """By its Content-Length alone, before a byte of it; small ones go past, and then it is let in."""
    async with listening(WebSettings(large_body=2000)) as served, line(served) as (reader, writer):
        writer.write(f"{HEAD}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY[:10])
        async with line(served) as (second, asking):
            while True:
                asking.write(f"{HEAD}Content-Length: {len(BODY)}\r\n\r\n".encode())
                if await status(second) == 503:
                    break
        async with aiohttp.ClientSession(served.url) as client:
            async with client.post(PATH, json={"alerts": [{"alertname": "Small"}]}) as response:
                assert response.status == 200
            writer.write(BODY[10:])
            assert await status(reader) == 200
            async with client.post(PATH, data=BODY, headers={"Content-Type": "application/json"}) as response:
                assert response.status == 200
    assert [len(part.alerts) for part in served.intake.taken] == [1, 1, 1]


async def test_small_bodies_together_are_refused_before_memory_is_full() -> None:
    """The bytes of all that are being read are counted, and given back at the end of each request."""
    settings = WebSettings(in_flight_limit=4096, large_body=4096)
    json_type = {"Content-Type": "application/json"}
    async with listening(settings) as served, aiohttp.ClientSession(served.url) as client:
        async with line(served) as (reader, writer):
            writer.write(f"{HEAD}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY[:-1])
            seen = []
            while 503 not in seen:
                async with client.post(PATH, data=BODY, headers=json_type) as response:
                    seen.append(response.status)
            assert set(seen) <= {200, 503}
            writer.write(BODY[-1:])
            assert await status(reader) == 200
        async with client.post(PATH, data=BODY, headers=json_type) as response:
            assert response.status == 200


async def test_a_limit_that_no_delivery_could_meet_is_refused() -> None:
    """What is not large has to find room at least alone."""
    with pytest.raises(ValueError, match="could never be taken"):
        WebSettings(in_flight_limit=4096, large_body=8192)


async def test_what_is_declared_too_large_is_refused_by_its_head() -> None:
    """413 after the first bytes: the dead letter has them and the size, and the source has to be asked."""
    async with listening(WebSettings(body_limit=20_000)) as served, line(served) as (reader, writer):
        writer.write(f"{HEAD}Content-Length: 90000\r\n\r\n".encode() + BODY + b" " * 9000)
        assert await status(reader) == 413
        writer.write(b" " * 81_000)
        [letter] = served.intake.taken[0].rejected
        assert letter.missed
        assert "90000" in letter.reason
        assert BODY.startswith(letter.payload.encode())
        async with aiohttp.ClientSession(served.url) as client, client.get("/metrics") as response:
            assert 'responder_alerts_missed_total{source="default"} 1.0' in await response.text()


async def test_what_is_declared_too_large_is_so_even_if_it_does_not_come() -> None:
    """A body that could never be taken is no 503: the sender would bring it for ever."""
    async with (
        listening(WebSettings(body_limit=20_000, read_timeout=SHORT)) as served,
        line(served) as (reader, writer),
    ):
        writer.write(f"{HEAD}Content-Length: 90000\r\n\r\n".encode() + BODY[:100])
        assert await status(reader) == 413
        assert len(served.intake.taken[0].rejected) == 1
        writer.write(b" " * 89_900)


async def test_admission_is_decided_before_the_body_comes() -> None:
    """With the database known to be away nobody has to send 60 MB to hear it."""
    async with listening() as served, line(served) as (reader, writer):
        served.intake.problem = StoreAwayError("the database is away")
        writer.write(f"{HEAD}Connection: close\r\nContent-Length: 60000\r\n\r\n".encode())
        assert await status(reader) == 503
        writer.write(b" " * 60_000)
        await reader.read()


@pytest.mark.parametrize("sent", [b"zz\r\n", b"5\r\n{}\r\n0\r\n\r\n", b"-1\r\n{}"])
async def test_broken_chunks_are_the_clients_mistake(sent: bytes) -> None:
    """A body that cannot be read to its end is a 400 or a closed connection, and nothing is taken."""
    async with listening() as served, line(served) as (reader, writer):
        writer.write(f"{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode() + sent)
        writer.write_eof()
        answer = await reader.read()
        assert answer == b"" or answer.startswith(b"HTTP/1.1 400")
        assert served.intake.taken == []


async def test_a_large_body_that_comes_slowly_is_waited_for() -> None:
    """Every MiB that has come gives it another second; one that stops is told to come again."""
    large = json.dumps({"alerts": [{"alertname": "A", "x": "y" * 8_000_000}]}).encode()
    settings = WebSettings(read_timeout=timedelta(seconds=1))
    async with listening(settings) as served, line(served) as (reader, writer):
        writer.write(f"{HEAD}Content-Length: {len(large)}\r\n\r\n".encode() + large[:-5])
        await writer.drain()
        await asyncio.sleep(1.5)
        writer.write(large[-5:])
        assert await status(reader) == 200
        assert len(served.intake.taken) == 1


async def test_what_is_no_http_is_answered_and_leaves_nothing_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A broken header is a 400: no traceback, which a stranger could repeat for ever, no header."""
    async with listening() as served:
        for broken in (
            "Authorization: Bearer a-secret\x00\r\n",
            "X: " + "a-secret" * 9000 + "\r\n",
            "no\r\n",
        ):
            async with line(served) as (reader, writer):
                writer.write(f"{HEAD}{broken}Content-Length: 2\r\n\r\n{{}}".encode())
                assert await status(reader) == 400
        async with line(served) as (_, writer):
            writer.write(f"{HEAD}Content-Length: 200\r\n\r\n".encode() + BODY[:100])
            await writer.drain()
    assert [record for record in caplog.records if record.levelname in {"WARNING", "ERROR"}] == []
    assert "a-secret" not in caplog.text
