"""5,000 hostile requests against the real service: what it answers, what it keeps, what it holds."""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.hostile import Taking, taking
from tests.support.parts import get_json
from tests.support.shots import IDLE_TIMEOUT, LIMIT, READ_TIMEOUT, Shot, shots

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

SEED = 20261124
NUMBER = 5000
FIRST = 100
AT_ONCE = 16
MEGABYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: a status, or None where the connection ended; and the body, as far as it came."""

    status: int | None
    body: bytes = b""

    def told(self, what: str) -> int:
        """A count that a 2xx tells."""
        number: int = json.loads(self.body)[what] if self.status == 200 else 0
        return number


async def fire(port: int, shot: Shot) -> Answer:
    """Make one connection, write, and read the first answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return await asyncio.wait_for(_exchange(reader, writer, shot), 30)
    except (ConnectionError, asyncio.IncompleteReadError):
        return Answer(None)
    finally:
        writer.close()


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, shot: Shot) -> Answer:
    sending = asyncio.create_task(_send(writer, shot))
    try:
        if shot.hang_up:
            await sending
            return Answer(None)
        return await _answer(reader)
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def _send(writer: asyncio.StreamWriter, shot: Shot) -> None:
    for number, piece in enumerate(shot.pieces):
        await asyncio.sleep(shot.pause if number else 0)
        writer.write(piece)
        await writer.drain()


async def _answer(reader: asyncio.StreamReader) -> Answer:
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    length = next(
        (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
    )
    return Answer(status, b"" if b"HEAD" in head else await reader.read(length) if length else b"")


async def fired(port: int, shot: Shot) -> list[Answer]:
    """The answers to one shot; a friend's is sent again until it is taken, as Alertmanager does."""
    answers = [await fire(port, shot)]
    while shot.friendly and answers[-1].status == 503:
        await asyncio.sleep(0.2)
        answers.append(await fire(port, shot))
    return answers


async def volley(port: int, aimed: Sequence[Shot]) -> list[tuple[Shot, Answer]]:
    """All of them, some at once."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(shot: Shot) -> list[tuple[Shot, Answer]]:
        async with gate:
            return [(shot, answer) for answer in await fired(port, shot)]

    return [pair for pairs in await asyncio.gather(*map(one, aimed)) for pair in pairs]


def wrong(seen: Sequence[tuple[Shot, Answer]]) -> list[str]:
    """The answers that are not right, in words."""
    return [
        f"{shot.kind}: {answer.status} {answer.body[:200]!r} for {bytes(shot.pieces[0][:300])!r}"
        for shot, answer in seen
        if answer.status not in shot.right and not (shot.friendly and answer.status == 503)
    ]


async def kept(on: Taking, seen: Sequence[tuple[Shot, Answer]]) -> None:
    """Every 2xx is in the database, and nothing else is: told and stored are the same numbers."""
    [(journal,)] = await on.rows("SELECT count(*) FROM journal")
    [(letters,)] = await on.rows("SELECT count(*) FROM dead_letters")
    too_large = sum(answer.status == 413 for _, answer in seen)
    assert journal == sum(answer.told("stored") for _, answer in seen)
    assert letters == sum(answer.told("rejected") for _, answer in seen) + too_large


def _tracebacks(on: Taking) -> list[str]:
    """What nobody foresaw."""
    return [line for line in on.responder.log.splitlines() if "Traceback" in line]


async def test_5000_hostile_requests() -> None:
    """No 2xx for what is not kept, no 5xx for a mistake, no friend refused, no memory lost; it goes on."""
    web: dict[str, Any] = {
        "body_limit": LIMIT,
        "read_timeout": f"{READ_TIMEOUT:g}s",
        "idle_timeout": f"{IDLE_TIMEOUT:g}s",
    }
    async with taking(**web) as on:
        port = urlsplit(on.responder.url).port or 0
        aimed = shots(SEED, NUMBER)
        began = monotonic()
        seen = await volley(port, aimed[:FIRST])
        first = on.resident
        seen += await volley(port, aimed[FIRST:])
        grown = on.resident - first
        statuses = Counter(answer.status for _, answer in seen)
        print(  # noqa: T201 - what was measured
            f"\n{monotonic() - began:.0f} s, {len(seen)} answers {dict(statuses)}; "
            f"resident {first / MEGABYTE:.0f} MiB after {FIRST}, {grown / MEGABYTE:+.1f} MiB at the end"
        )
        assert not wrong(seen), "\n".join(wrong(seen)[:20])
        await kept(on, seen)
        [(_, last)] = await volley(port, [shots(1, 1)[0]])
        assert last.status == 200
        assert (await get_json(f"{on.responder.url}/readyz"))["ready"]
        assert not _tracebacks(on), "\n".join(_tracebacks(on)[:5])
        assert grown <= 16 * MEGABYTE
