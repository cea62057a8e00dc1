"""Ids that sort by time: UUID version 7 (RFC 9562)."""

import secrets
from datetime import UTC, datetime, timedelta
from uuid import UUID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_VERSION = 0x7 << 76
_VARIANT = 0b10 << 62


def uuid7(at: datetime) -> UUID:
    """A new id: 48 bits of milliseconds of `at`, the rest random."""
    milliseconds = (at - _EPOCH) // timedelta(milliseconds=1)
    high, low = secrets.randbits(12), secrets.randbits(62)
    return UUID(int=(milliseconds << 80) | _VERSION | (high << 64) | _VARIANT | low)
