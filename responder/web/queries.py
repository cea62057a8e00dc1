"""Reads query parameters and the key of a request, and says what is wrong with them."""

import re
from datetime import UTC, datetime
from uuid import UUID

from aiohttp import web

from responder.web.answers import RequestError

DEFAULT_LIMIT = 100
LARGEST_LIMIT = 10_000
_KEY = re.compile(r"[\x21-\x7e]{1,200}")
_WORDS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def asked_limit(request: web.Request) -> int:
    """The `limit` of a list. Raises RequestError (400) where it is no number from 1 to 10,000."""
    text = request.query.get("limit", str(DEFAULT_LIMIT))
    if not (text.isascii() and text.isdigit() and len(text) < len("100000")):
        raise _bad_limit(text)
    if not 1 <= int(text) <= LARGEST_LIMIT:
        raise _bad_limit(text)
    return int(text)


def asked_flag(request: web.Request, name: str, *, default: bool) -> bool:
    """A yes or no. Raises RequestError (400) where it is neither."""
    text = request.query.get(name)
    if text is None:
        return default
    if text.lower() not in _WORDS:
        raise RequestError(400, f"{text!r} is neither true nor false", field=name, mend="send true or false")
    return _WORDS[text.lower()]


def asked_moment(request: web.Request, name: str) -> datetime:
    """A moment with its zone. Raises RequestError (400) where it is none."""
    text = request.query.get(name, "")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise RequestError(
            400, f"{text[:40]!r} is no moment", field=name, mend="send one like 2026-11-24T03:00:00+00:00"
        )
    return moment.astimezone(UTC)


def asked_id(request: web.Request, name: str) -> UUID | None:
    """An id, or None where there is none. Raises RequestError (400) where it is none of ours."""
    text = request.query.get(name)
    if text is None:
        return None
    try:
        return UUID(text)
    except ValueError as error:
        raise RequestError(400, f"{text[:40]!r} is no id", field=name, mend="send a UUID") from error


def asked_key(request: web.Request) -> str | None:
    """The key under which a request may come again and is the same one; None where it has none.

    Raises RequestError (400) where it is no key.
    """
    key = request.headers.get("Idempotency-Key")
    if key is not None and not _KEY.fullmatch(key):
        raise RequestError(
            400,
            "the key has to be 1 to 200 printable characters",
            field="Idempotency-Key",
            mend="send a UUID",
        )
    return key


def _bad_limit(text: str) -> RequestError:
    return RequestError(
        400, f"{text[:40]!r} is no limit", field="limit", mend=f"send a number from 1 to {LARGEST_LIMIT}"
    )
