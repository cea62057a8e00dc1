"""The global anchor: one line that fixes every timeline, kept outside of the database.

A timeline grows, so a later state cannot be compared with an old line by itself. Therefore each anchor covers
only the heads that are new since the one before it, as (incident, number of entries, MAC of the last one),
and is chained to that one: the hash of anchor n depends on every head that was anchored up to n. The database
keeps these heads, the file keeps the hash under a MAC. Later the hash is computed again from the heads that
the database names, and each of them is looked up in its timeline, where entries up to that number never
change.

What a line that holds proves, together with the chains of the timelines themselves: every timeline has at
least the entries that it had then, and up to there they are the same, even towards somebody who holds the
database *and* the timeline key, as long as the file is out of reach for them. What it does not prove:
anything about entries written after the newest line; that nobody cut lines off the end of the file; that what
was written was true when it was written. Who holds the file and the key can write everything anew.
"""

import hmac
from collections.abc import Iterable
from datetime import datetime
from hashlib import sha256
from uuid import UUID

from pydantic import Field, ValidationError

from responder.model.base import Frozen, canonical_json

NOTHING_ANCHORED = bytes(32)
"""What stands before the first anchor."""
_PURPOSE = b"responder anchor\n"
"""Keeps the code of a line from being taken for one of a timeline entry, which is made with the same key."""


class AnchoredHead(Frozen):
    """Where one timeline ended when it was anchored."""

    incident_id: UUID
    length: int
    head: bytes


class Anchor(Frozen):
    """One line of the file.

    `system` and `wal_timeline` name the PostgreSQL that carried the store; `at` is service time; `heads` is
    the chained hash as 64 hexadecimal digits; `mac` is HMAC-SHA-256 of all else under the timeline key
    `key_id`.
    """

    number: int = Field(ge=1, lt=2**62)
    at: datetime
    system: str
    wal_timeline: int
    incidents: int
    """How many incidents have a timeline."""
    entries: int
    """How many entries all timelines have together."""
    heads: str
    key_id: str
    mac: str = ""

    @property
    def line(self) -> str:
        """As it stands in the file, without the line's end."""
        return canonical_json(self.model_dump(mode="json"))


class AnchorState(Frozen):
    """How anchoring stands in one process: which file, the service time of its newest line, what is wrong."""

    file: str | None = None
    last: datetime | None = None
    problem: str | None = None


class AnchorCheck(Frozen):
    """What became of one line: `text` says it in words; `behind` where the store has forgotten something."""

    line: int
    number: int | None
    holds: bool
    behind: bool = False
    text: str


def chained(previous: bytes, heads: Iterable[AnchoredHead]) -> bytes:
    """The hash of an anchor: over the one before, and over its new heads in the order of their incidents."""
    told = sha256(previous)
    for head in sorted(heads, key=lambda one: one.incident_id.bytes):
        told.update(head.incident_id.bytes + head.length.to_bytes(8) + head.head)
    return told.digest()


def sealed(anchor: Anchor, key: bytes) -> Anchor:
    """The anchor with its MAC."""
    return anchor.model_copy(update={"mac": _mac(anchor, key)})


def is_sealed(anchor: Anchor, key: bytes) -> bool:
    """Whether the MAC is that of this anchor."""
    return hmac.compare_digest(_mac(anchor, key), anchor.mac)


def read_anchor(line: str) -> Anchor | None:
    """The anchor of a line, or None where it is none."""
    try:
        return Anchor.model_validate_json(line)
    except ValidationError:
        return None


def _mac(anchor: Anchor, key: bytes) -> str:
    told = anchor.model_copy(update={"mac": ""}).line
    return hmac.new(key, _PURPOSE + told.encode(), sha256).hexdigest()
