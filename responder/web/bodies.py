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
_GZIP_WINDOW = zlib.MAX_WBITS | 16
"""zlib's way to say: with gzip's header and trailer."""


class TooLargeError(Exception):
    """A body over its limit; `head` is how it began."""

    def __init__(self, limit: int, head: bytes) -> None:
        super().__init__(f"the body is larger than {limit} bytes")
        self.limit = limit
        self.head = head


class InFlight:
    """Counts the bytes of all bodies that are being read, so that many clients together are limited too."""

    def __init__(self, limit: int, delay: timedelta) -> None:
        self._limit = limit
        self._delay = delay
        self._held = 0

    @contextmanager
    def share(self) -> Iterator["Share"]:
        """One request's part of the bytes, given back at the end of the block."""
        share = Share(self)
        try:
            yield share
        finally:
            self._held -= share.held

    def take(self, amount: int) -> None:
        """Count more bytes. Raises OverloadedError where they would be too many."""
        if self._held + amount > self._limit:
            raise OverloadedError("too many bytes of deliveries are in flight", self._delay)
        self._held += amount


class Share:
    """The bytes that one request holds."""

    def __init__(self, flight: InFlight) -> None:
        self._flight = flight
        self.held = 0

    def grow(self, amount: int) -> None:
        """Hold more. Raises OverloadedError where all requests together would hold too many."""
        self._flight.take(amount)
        self.held += amount


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


async def read(request: web.Request, limit: int, share: Share | None = None) -> bytes:
    """The body, unpacked. The limit counts unpacked bytes, so that a small gzip cannot become a large body.

    Raises:
        TooLargeError: it is larger than `limit`.
        OverloadedError: all bodies together are too large.
        RequestError: 400 where it cannot be unpacked.
    """
    body = bytearray()
    packed = request.headers.get(hdrs.CONTENT_ENCODING, "").strip().lower() == "gzip"
    unpacking = Gunzip() if packed else Plain()
    async for arrived in request.content.iter_any():
        for piece in unpacking.pieces(arrived):
            if share is not None:
                share.grow(len(piece))
            body += piece
            if len(body) > limit:
                raise TooLargeError(limit, bytes(body[:HEAD]))
    unpacking.end()
    return bytes(body)


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
        async with asyncio.timeout(30):
            body = await read(request, limit)
        return model.model_validate_json(body)
    except TimeoutError:
        raise RequestError(408, "the body did not arrive", field="the body") from None
    except TooLargeError as error:
        raise RequestError(413, str(error), field="the body") from None
    except ValidationError as error:
        raise RequestError.of_validation(error) from None
