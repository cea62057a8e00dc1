"""Reads what clients send, with a limit on everything: bytes, seconds, bytes of all together."""

import asyncio
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

from aiohttp import hdrs, web
from pydantic import ValidationError

from responder.model.base import Frozen
from responder.model.errors import OverloadedError
from responder.web.answers import RequestError

M = TypeVar("M", bound=Frozen)

PEOPLE_LIMIT = 64 * 1024
"""Bytes of a person's request."""
FILES_LIMIT = 8 * 1024 * 1024
"""Bytes of files sent for a check."""
HEAD = 8 * 1024
"""Bytes of the head of a body over its limit: more than is kept, so that no secret is cut in two."""
_ENCODINGS = {"", "identity", "gzip"}
_PIECE = 64 * 1024
_PATIENCE = timedelta(seconds=30)
SLOWEST = 1024 * 1024
"""Bytes in a second that a body has to come with, once its first seconds are over."""
_GZIP_WINDOW = zlib.MAX_WBITS | 16
"""zlib's way to say: with gzip's header and trailer."""


class TooLargeError(Exception):
    """A body over its limit: `size` as declared or as far as it was read, `head` is how it began."""

    def __init__(self, limit: int, size: int, head: bytes) -> None:
        super().__init__(f"the body is larger than {limit} bytes")
        self.limit = limit
        self.size = size
        self.head = head


class InFlight:
    """Room for bodies: so many bytes of small ones together, and one large one at a time.

    Args:
        limit: bytes of all small bodies from their first byte to their answer.
        large: from this size on a body is large.
        delay: when whoever is refused may come again.
    """

    def __init__(self, limit: int, large: int, delay: timedelta) -> None:
        self._limit = limit
        self._delay = delay
        self._held = 0
        self._large_taken = False
        self.large = large

    @contextmanager
    def share(self) -> Iterator["Share"]:
        """One request's part of the room, given back at the end of the block."""
        share = Share(self)
        try:
            yield share
        finally:
            self._held -= share.held
            if share.large:
                self._large_taken = False

    def take(self, amount: int) -> None:
        """Count more bytes. Raises OverloadedError where they would be too many."""
        if self._held + amount > self._limit:
            raise OverloadedError("too many bytes of deliveries are in flight", self._delay)
        self._held += amount

    def take_large(self, held: int) -> None:
        """Be the large one, and give back the small one's bytes. Raises OverloadedError where another is."""
        if self._large_taken:
            raise OverloadedError("another large delivery is being taken in", self._delay)
        self._large_taken = True
        self._held -= held


class Share:
    """The part of the room that one request holds."""

    def __init__(self, flight: InFlight) -> None:
        self._flight = flight
        self.held = 0
        self.large = False
        """Whether it is the large one."""

    def expect(self, size: int) -> None:
        """So much will come: what cannot be taken is refused before it has come. Raises OverloadedError."""
        if size >= self._flight.large and not self.large:
            self._flight.take_large(self.held)
            self.held, self.large = 0, True

    def grow(self, size: int) -> None:
        """So much has come by now. Raises OverloadedError where there is no room for it."""
        self.expect(size)
        if not self.large:
            self._flight.take(size - self.held)
            self.held = size


def require_json(request: web.Request) -> None:
    """Refuse a body that is not declared as JSON, or is packed in a way that we do not unpack.

    Raises:
        RequestError: 415, naming the header.
    """
    kind = request.content_type
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise RequestError(
            415, f"the body is declared as {kind}", field=hdrs.CONTENT_TYPE, mend="send application/json"
        )
    packed = request.headers.get(hdrs.CONTENT_ENCODING, "").strip().lower()
    if packed not in _ENCODINGS:
        raise RequestError(
            415, f"the body is packed as {packed}", field=hdrs.CONTENT_ENCODING, mend="send gzip or plain"
        )


async def read(
    request: web.Request, limit: int, patience: timedelta = _PATIENCE, share: Share | None = None
) -> bytearray:
    """The body, unpacked. The limit counts unpacked bytes, so that a small gzip cannot become a large body.

    It has `patience` to come, and a second more for each `SLOWEST` bytes that have come: a large body over a
    slow line is no attack, one that trickles is.

    Raises:
        TooLargeError: it is larger than `limit`.
        TimeoutError: it did not come in time.
        OverloadedError: all bodies together are too large.
        RequestError: 400 where it is broken on the way, or cannot be unpacked.
    """
    declared = 0 if _is_packed(request) else request.content_length or 0
    if share is not None and declared <= limit:
        share.expect(declared)
    if request.content.is_eof() and not _is_packed(request):
        return _arrived(request.content.read_nowait(), declared, limit, share)
    loop = asyncio.get_running_loop()
    began, arrived = loop.time(), 0
    body, unpacking = bytearray(), Gunzip() if _is_packed(request) else Plain()
    try:
        async with asyncio.timeout(patience.total_seconds()) as clock:
            async for part in request.content.iter_any():
                arrived += len(part)
                clock.reschedule(began + patience.total_seconds() + arrived / SLOWEST)
                for piece in unpacking.pieces(part):
                    body += piece
                    _check_size(body, declared, limit)
                    if share is not None:
                        share.grow(len(body))
                    await asyncio.sleep(0)  # a few packed bytes may be a thousand pieces: others come between
    except TimeoutError:
        if declared > limit:  # no later try of the same will be smaller
            raise TooLargeError(limit, declared, bytes(body)) from None
        raise
    except web.RequestPayloadError as error:
        raise RequestError(400, f"the body is broken: {error}", field="the body") from None
    unpacking.end()
    return body


def _is_packed(request: web.Request) -> bool:
    return request.headers.get(hdrs.CONTENT_ENCODING, "").strip().lower() == "gzip"


def _check_size(body: bytearray, declared: int, limit: int) -> None:
    if max(len(body), declared if len(body) >= HEAD else 0) > limit:
        raise TooLargeError(limit, max(len(body), declared), bytes(body[:HEAD]))


def _arrived(part: bytes, declared: int, limit: int, share: Share | None) -> bytearray:
    """A body that came together with its head, as all but large ones do."""
    body = bytearray(part)
    _check_size(body, declared, limit)
    if share is not None:
        share.grow(len(body))
    return body


class Plain:
    """A body that is not packed."""

    def pieces(self, arrived: bytes) -> Iterator[bytes]:
        """What arrived, as it is."""
        yield arrived

    def end(self) -> None:
        """Any end is good."""


class Gunzip:
    """Unpacks gzip in small pieces, so that whoever reads can stop before it is too much."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(_GZIP_WINDOW)

    def pieces(self, arrived: bytes) -> Iterator[bytes]:
        """What became of the bytes that arrived. Raises RequestError (400) where they are no gzip."""
        rest = arrived
        while rest:
            try:
                piece = self._stream.decompress(rest, _PIECE)
            except zlib.error as error:
                raise _broken_gzip(str(error)) from None
            if self._stream.unused_data:
                raise _broken_gzip("something follows its end")
            yield piece
            rest = self._stream.unconsumed_tail

    def end(self) -> None:
        """Raises RequestError (400) where the body ends before the gzip does."""
        if not self._stream.eof:
            raise _broken_gzip("it is cut off")


def _broken_gzip(why: str) -> RequestError:
    return RequestError(400, f"the body is broken gzip: {why}", field="the body", mend="send it unpacked")


async def read_as(request: web.Request, model: type[M], limit: int = PEOPLE_LIMIT) -> M:
    """A person's request, checked against its model.

    Raises:
        RequestError: 400, 408, 413 or 415, naming the field.
    """
    require_json(request)
    try:
        body = await read(request, limit)
        return model.model_validate_json(body)
    except TimeoutError:
        raise RequestError(408, "the body did not arrive", field="the body") from None
    except TooLargeError as error:
        raise RequestError(413, str(error), field="the body") from None
    except ValidationError as error:
        raise RequestError.of_validation(error) from None
