"""The timeline: what is told of an incident, chained so that a change afterwards shows.

Entry n's MAC is HMAC-SHA-256 under the responder's key over (incident, n, at, kind, actor, hash of body,
MAC of n-1). A body that is redacted later keeps its hash, so the chain still verifies.
"""

import hmac
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any
from uuid import UUID

from pydantic import Field

from responder.model.base import Frozen, canonical_json

GENESIS = bytes(32)
"""What stands before the first entry."""


class EntryKind(StrEnum):
    """What an entry is about."""

    ALERT = "alert"
    OPENED = "opened"
    RULE = "rule"
    EVIDENCE = "evidence"
    JUDGED = "judged"
    INTENT = "intent"
    EFFECT = "effect"
    VERIFICATION = "verification"
    STATE = "state"
    ESCALATION = "escalation"
    TOLD = "told"
    """People were told, and automation goes on."""
    PERSON = "person"
    CLAIM = "claim"
    ERROR = "error"


class EntryDraft(Frozen):
    """What the owner wants told; the store adds the time and the chain.

    `text` is one sentence for people, `facts` are the same for programs. `actor` is `responder` or a person.
    """

    kind: EntryKind
    text: str
    facts: dict[str, Any] = Field(default_factory=dict)
    actor: str = "responder"


class Entry(Frozen):
    """One entry as it stands in the chain."""

    incident_id: UUID
    number: int
    """From 1, without gaps."""
    at: datetime
    kind: EntryKind
    actor: str
    text: str
    facts: dict[str, Any]
    body_hash: bytes
    mac: bytes
    key_id: str
    redacted: bool = False


def body_hash(text: str, facts: dict[str, Any]) -> bytes:
    """SHA-256 over the canonical body."""
    return sha256(canonical_json({"text": text, "facts": facts}).encode()).digest()


def link(key: bytes, previous: bytes, entry: Entry) -> bytes:
    """The MAC of an entry that follows `previous`. Reads everything of the entry but its own MAC."""
    told = canonical_json(
        [
            str(entry.incident_id),
            entry.number,
            entry.at.isoformat(),
            entry.kind.value,
            entry.actor,
            entry.body_hash.hex(),
            entry.key_id,
        ]
    )
    return hmac.new(key, previous + told.encode(), sha256).digest()


def broken_at(entries: tuple[Entry, ...], keys: dict[str, bytes], head: bytes, length: int) -> str | None:
    """Where the chain is broken, in words, or None when it holds to its head."""
    previous = GENESIS
    for expected, entry in enumerate(entries, start=1):
        if entry.number != expected:
            return f"entry {expected} is missing"
        key = keys.get(entry.key_id)
        if key is None:
            return f"entry {expected} was written under the unknown key {entry.key_id!r}"
        if not entry.redacted and body_hash(entry.text, entry.facts) != entry.body_hash:
            return f"the text or the facts of entry {expected} were changed"
        if not hmac.compare_digest(link(key, previous, entry), entry.mac):
            return f"entry {expected} does not follow from the one before it"
        previous = entry.mac
    if len(entries) != length:
        return f"{length} entries were written, {len(entries)} are there"
    if previous != head:
        return "the last entry is not the one that the incident names as its head"
    return None
