"""Times and texts as Go programs write them, made safe to keep.

Only what every client and source needs before a value may reach Python's `datetime` or PostgreSQL. What the
values mean is not decided here.
"""

import re
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache

from responder.model.redaction import SHIPPED

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(9998, 12, 31, tzinfo=UTC)
"""The bounds of a time that is kept: inside of them no time zone makes Python or PostgreSQL overflow."""

_RFC3339 = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,18}))?"
    r"(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_REPLACEMENT = "\ufffd"
_SHOWN = 60
_TOLD = 500


@lru_cache(maxsize=4096)
def parse_time(text: str) -> datetime | None:
    """Read an RFC 3339 time into UTC, truncated to microseconds, and moved into the bounds.

    None stands for Go's zero time (year 1), which means "not set". Python's own reader is not used: it takes
    more than RFC 3339, and rounding and truncation must not be mixed. A group's alerts share most of their
    times, and each resend has the same ones, so what was read is remembered; what is no time is not.

    Raises:
        ValueError: the text is no such time; says what it was.
    """
    found = _RFC3339.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:_SHOWN]!r} is no time of RFC 3339")
    year, month, day, hour, minute, second = map(int, found.group(1, 2, 3, 4, 5, 6))
    fraction, sign, offset_hours, offset_minutes = found.group(7, 8, 9, 10)
    if year <= 1:
        return None
    zone = UTC
    if sign:
        offset = timedelta(hours=int(offset_hours), minutes=int(offset_minutes))
        zone = _zone(-offset if sign == "-" else offset, text)
    microsecond = int(((fraction or "") + "000000")[:6])
    try:
        local = datetime(year, month, day, hour, minute, second, microsecond, zone)
    except ValueError as error:
        raise ValueError(f"{text!r} is no time of RFC 3339: {error}") from None
    return _bounded(local)


def storable(text: str) -> str:
    """The text with NUL and lone surrogates replaced by U+FFFD: PostgreSQL refuses the first, UTF-8 both."""
    if text.isascii() and "\x00" not in text:  # almost always, and ten times faster
        return text
    return _UNSTORABLE.sub(_REPLACEMENT, text)


def told(text: str) -> str:
    """A text of another program, fit for a log or a timeline: storable, on one line, and not endless."""
    line = " ".join(storable(text).split())
    if len(line) <= _TOLD:
        return line
    # Before it is cut: half a secret has no form any more, and whoever keeps the text would not know it.
    return f"{SHIPPED.text(line)[: _TOLD - 1]}\u2026"


def _zone(offset: timedelta, text: str) -> timezone:
    try:
        return timezone(offset)
    except ValueError:
        raise ValueError(f"{text!r} is no time of RFC 3339: its offset is a day or more") from None


def _bounded(local: datetime) -> datetime:
    if local.year <= EARLIEST.year:
        return max(local.astimezone(UTC), EARLIEST)
    if local.year >= LATEST.year:
        return LATEST if local.year > LATEST.year else min(local.astimezone(UTC), LATEST)
    return local.astimezone(UTC)
