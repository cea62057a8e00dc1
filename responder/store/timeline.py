"""The table `timeline`: appending to an incident's chain, and reading it.

Only the incident's owner appends, under the incident's row lock, which is what keeps numbers without gaps.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from responder.model.timeline import Entry, EntryDraft, EntryKind, body_hash, link
from responder.store.connection import Connection
from responder.store.storable import storable, storable_json, storable_text

APPEND = """
INSERT INTO timeline (incident_id, number, at, kind, actor, text, facts, body_hash, mac, key_id)
SELECT $1, number, $2, kind, actor, text, facts::json, body_hash, mac, $3
FROM unnest($4::int[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bytea[], $10::bytea[])
     AS r (number, kind, actor, text, facts, body_hash, mac)
"""

_READ = """
SELECT incident_id, number, at, kind, actor, text, facts::text AS facts, body_hash, mac, key_id, redacted
FROM timeline WHERE incident_id = $1 ORDER BY number
"""


@dataclass(frozen=True, slots=True)
class TimelineKeys:
    """The keys that the chain's MACs are made with: the current one writes, all of them verify."""

    current: str
    keys: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Head:
    """Where a chain ends: the MAC of its last entry, and how many entries there are."""

    mac: bytes
    length: int


def chained(
    incident_id: UUID, head: Head, drafts: Sequence[EntryDraft], now: datetime, keys: TimelineKeys
) -> tuple[Head, list[Entry]]:
    """The drafts as entries, chained to the head; and the new head."""
    entries: list[Entry] = []
    for draft in drafts:
        head, entry = _chained(incident_id, head, draft, now, keys)
        entries.append(entry)
    return head, entries


def appended(
    incident_id: UUID, now: datetime, keys: TimelineKeys, entries: Sequence[Entry]
) -> tuple[Any, ...]:
    """The values that `APPEND` is given."""
    return (
        incident_id,
        now,
        keys.current,
        [entry.number for entry in entries],
        [entry.kind.value for entry in entries],
        [entry.actor for entry in entries],
        [entry.text for entry in entries],
        [storable_json(entry.facts) for entry in entries],
        [entry.body_hash for entry in entries],
        [entry.mac for entry in entries],
    )


async def entries_of(connection: Connection, incident_id: UUID) -> tuple[Entry, ...]:
    """The whole chain, in order."""
    return tuple(_entry(row) for row in await connection.fetch(_READ, incident_id))


def _chained(
    incident_id: UUID, head: Head, draft: EntryDraft, now: datetime, keys: TimelineKeys
) -> tuple[Head, Entry]:
    text, facts = storable_text(draft.text), storable(draft.facts)
    entry = Entry(
        incident_id=incident_id,
        number=head.length + 1,
        at=now,
        kind=draft.kind,
        actor=storable_text(draft.actor),
        text=text,
        facts=facts,
        body_hash=body_hash(text, facts),
        mac=b"",
        key_id=keys.current,
    )
    mac = link(keys.keys[keys.current], head.mac, entry)
    return Head(mac, entry.number), entry.model_copy(update={"mac": mac})


def _entry(row: asyncpg.Record) -> Entry:
    return Entry(
        incident_id=row["incident_id"],
        number=row["number"],
        at=row["at"],
        kind=EntryKind(row["kind"]),
        actor=row["actor"],
        text=row["text"],
        facts=json.loads(row["facts"]),
        body_hash=row["body_hash"],
        mac=row["mac"],
        key_id=row["key_id"],
        redacted=row["redacted"],
    )
