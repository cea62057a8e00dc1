"""Rows of `journal`, `alerts` and `members`: what was heard, what it means, and whose it is.

Every statement here takes whole batches as arrays: a batch costs as many round trips as one alert.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from responder.decide.fold import AlertRecord
from responder.model.alert import Alert, AlertKey, Observation, Standing
from responder.model.base import canonical_json
from responder.store.connection import Connection

_LOCK = """
SELECT a.*
FROM alerts a JOIN unnest($1::text[], $2::text[]) AS k (source, fingerprint) USING (source, fingerprint)
ORDER BY a.source, a.fingerprint
FOR UPDATE OF a
"""

_JOURNAL = """
INSERT INTO journal (source, fingerprint, received_at, content_hash, standing, starts_at, ends_at, labels,
                     annotations, generator_url)
SELECT source, fingerprint, received_at, content_hash, standing, starts_at, ends_at, labels::jsonb,
       annotations::jsonb, generator_url
FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::bytea[], $5::text[], $6::timestamptz[],
            $7::timestamptz[], $8::text[], $9::text[], $10::text[])
     AS r (source, fingerprint, received_at, content_hash, standing, starts_at, ends_at, labels, annotations,
           generator_url)
ON CONFLICT DO NOTHING
"""

_HISTORY = """
SELECT fingerprint, received_at, content_hash, standing, starts_at, ends_at, labels, annotations,
       generator_url
FROM journal
WHERE source = $1 AND fingerprint = $2
ORDER BY received_at, content_hash
"""

_INSERT_ALERTS = """
INSERT INTO alerts (source, fingerprint, labels, annotations, generator_url, generation, starts_at, ends_at,
                    last_end, last_end_received_at, seen_at, last_received_at, last_hash, contested_at,
                    contested_starts_at, newest_start)
SELECT source, fingerprint, labels::jsonb, annotations::jsonb, generator_url, generation, starts_at, ends_at,
       last_end, last_end_received_at, seen_at, last_received_at, last_hash, contested_at,
       contested_starts_at, newest_start
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int[], $7::timestamptz[],
            $8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::timestamptz[], $12::timestamptz[],
            $13::bytea[], $14::timestamptz[], $15::timestamptz[], $16::timestamptz[])
     AS r (source, fingerprint, labels, annotations, generator_url, generation, starts_at, ends_at, last_end,
           last_end_received_at, seen_at, last_received_at, last_hash, contested_at, contested_starts_at,
           newest_start)
ON CONFLICT DO NOTHING
RETURNING 1
"""

_UPDATE_ALERTS = """
UPDATE alerts a
SET annotations = r.annotations::jsonb, generator_url = r.generator_url, generation = r.generation,
    starts_at = r.starts_at, ends_at = r.ends_at, last_end = r.last_end,
    last_end_received_at = r.last_end_received_at, seen_at = r.seen_at, last_received_at = r.last_received_at,
    last_hash = r.last_hash, contested_at = r.contested_at, contested_starts_at = r.contested_starts_at,
    newest_start = r.newest_start
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int[], $6::timestamptz[], $7::timestamptz[],
            $8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::timestamptz[], $12::bytea[],
            $13::timestamptz[], $14::timestamptz[], $15::timestamptz[])
     AS r (source, fingerprint, annotations, generator_url, generation, starts_at, ends_at, last_end,
           last_end_received_at, seen_at, last_received_at, last_hash, contested_at, contested_starts_at,
           newest_start)
WHERE a.source = r.source AND a.fingerprint = r.fingerprint
"""

_TOUCH_ALERTS = """
UPDATE alerts a
SET seen_at = r.seen_at, last_received_at = r.last_received_at, last_hash = r.last_hash
FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::bytea[])
     AS r (source, fingerprint, seen_at, last_received_at, last_hash)
WHERE a.source = r.source AND a.fingerprint = r.fingerprint
"""

_UPDATE_MEMBERS = """
UPDATE members m
SET starts_at = CASE WHEN m.generation = r.generation THEN r.starts_at ELSE m.starts_at END,
    ends_at = CASE WHEN m.generation = r.generation THEN r.ends_at ELSE coalesce(r.last_end, m.starts_at) END,
    seen_at = CASE WHEN m.generation = r.generation THEN r.seen_at ELSE m.seen_at END
FROM unnest($1::text[], $2::text[], $3::int[], $4::timestamptz[], $5::timestamptz[], $6::timestamptz[],
            $7::timestamptz[])
     AS r (source, fingerprint, generation, starts_at, ends_at, last_end, seen_at)
WHERE m.source = r.source AND m.fingerprint = r.fingerprint
  AND (m.generation = r.generation OR m.ends_at IS NULL)
RETURNING m.source, m.fingerprint, m.incident_id
"""

_MEMBERS_AMONG = """
SELECT m.source, m.fingerprint
FROM members m JOIN unnest($1::text[], $2::text[], $3::int[]) AS k (source, fingerprint, generation)
     USING (source, fingerprint, generation)
"""

_INSERT_MEMBERS = """
INSERT INTO members (source, fingerprint, generation, incident_id, starts_at, seen_at, heard_at, joined_at)
SELECT source, fingerprint, generation, incident_id, starts_at, seen_at, heard_at, $1
FROM unnest($2::text[], $3::text[], $4::int[], $5::uuid[], $6::timestamptz[], $7::timestamptz[],
            $8::timestamptz[])
     AS r (source, fingerprint, generation, incident_id, starts_at, seen_at, heard_at)
"""

_FIRST_HEARD = """
SELECT r.source, r.fingerprint, coalesce(j.received_at, r.seen_at) AS heard_at
FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[])
     AS r (source, fingerprint, last_end_received_at, seen_at)
LEFT JOIN LATERAL (
    SELECT received_at FROM journal
    WHERE source = r.source AND fingerprint = r.fingerprint AND standing IN ('firing', 'confirmed')
      AND received_at > coalesce(r.last_end_received_at, '-infinity') AND received_at <= r.seen_at
    ORDER BY received_at LIMIT 1
) j ON true
"""
"""What was heard firing after the last end is of the open episode, be it by opening it or by contest."""

_CONTESTED = "SELECT * FROM alerts WHERE contested_at IS NOT NULL ORDER BY contested_at LIMIT $1"

_UNMATCHED = """
SELECT a.source, a.fingerprint, a.labels, a.starts_at
FROM alerts a
WHERE a.ends_at IS NULL AND a.generation > 0 AND (a.source, a.fingerprint) > ($2, $3)
  AND NOT EXISTS (SELECT FROM members m WHERE (m.source, m.fingerprint, m.generation)
                                            = (a.source, a.fingerprint, a.generation))
ORDER BY a.source, a.fingerprint
LIMIT $1
"""


async def lock_alerts(connection: Connection, keys: Sequence[AlertKey]) -> dict[AlertKey, AlertRecord]:
    """Lock the stored records in key order, whatever order they are asked in."""
    rows = await connection.fetch(_LOCK, [key.source for key in keys], [key.fingerprint for key in keys])
    records = [_record(row) for row in rows]
    return {record.key: record for record in records}


async def append_journal(connection: Connection, rows: Sequence[Observation]) -> None:
    """Append observations; one that is there already changes nothing."""
    await connection.execute(
        _JOURNAL,
        [row.source for row in rows],
        [row.alert.fingerprint for row in rows],
        [row.received_at for row in rows],
        [row.content_hash for row in rows],
        [row.alert.standing.value for row in rows],
        [row.alert.starts_at for row in rows],
        [row.alert.ends_at for row in rows],
        [_json(row.alert.labels) for row in rows],
        [_json(row.alert.annotations) for row in rows],
        [row.alert.generator_url for row in rows],
    )


async def history(connection: Connection, key: AlertKey) -> list[Observation]:
    """All journal rows of one alert, in journal order."""
    rows = await connection.fetch(_HISTORY, key.source, key.fingerprint)
    return [_observation(key.source, row) for row in rows]


async def insert_alerts(connection: Connection, records: Sequence[AlertRecord]) -> int:
    """Store new alerts; how many were new. Give them in lock order: others may be inserting them too."""
    rows = await connection.fetch(
        _INSERT_ALERTS, *_names(records), [_json(record.labels) for record in records], *_folded(records)
    )
    return len(rows)


async def update_alerts(connection: Connection, records: Sequence[AlertRecord]) -> None:
    """Store what the fold says of alerts that this transaction has locked. Labels never change."""
    await connection.execute(_UPDATE_ALERTS, *_names(records), *_folded(records))


async def touch_alerts(connection: Connection, records: Sequence[AlertRecord]) -> None:
    """Store that alerts which this transaction has locked were told again, and nothing new of them."""
    await connection.execute(
        _TOUCH_ALERTS,
        *_names(records),
        [record.seen_at for record in records],
        [record.last_order[0] for record in records],
        [record.last_order[1] for record in records],
    )


def only_told_again(before: AlertRecord, record: AlertRecord) -> bool:
    """Whether nothing but the time of hearing is new: by far the most that an Alertmanager sends."""
    return record == replace(before, seen_at=record.seen_at, last_order=record.last_order)


async def update_members(
    connection: Connection, records: Sequence[AlertRecord]
) -> list[tuple[AlertKey, UUID]]:
    """Bring the episodes of members up to date; which alerts are members of which incidents.

    An episode that is open although a newer one began ends where the alert's last end is known.
    """
    rows = await connection.fetch(
        _UPDATE_MEMBERS,
        *_names(records),
        [record.generation for record in records],
        [record.starts_at for record in records],
        [record.ends_at for record in records],
        [record.last_end for record in records],
        [record.seen_at for record in records],
    )
    return [(_key(row), row["incident_id"]) for row in rows]


async def members_among(connection: Connection, records: Sequence[AlertRecord]) -> set[AlertKey]:
    """Those whose current episode belongs to an incident already, be it open or closed."""
    rows = await connection.fetch(
        _MEMBERS_AMONG,
        *_names(records),
        [record.generation for record in records],
    )
    return {_key(row) for row in rows}


async def first_heard(connection: Connection, records: Sequence[AlertRecord]) -> dict[AlertKey, datetime]:
    """When the open episodes of these alerts were first heard of, as far back as the journal goes."""
    rows = await connection.fetch(
        _FIRST_HEARD,
        *_names(records),
        [record.last_end_received_at for record in records],
        [record.seen_at for record in records],
    )
    return {_key(row): row["heard_at"] for row in rows}


async def insert_members(
    connection: Connection,
    joined: Sequence[tuple[UUID, AlertRecord]],
    heard_before: Mapping[AlertKey, datetime],
    now: datetime,
) -> None:
    """Add the current episodes of alerts to incidents. `heard_before` has those that had no rule at first."""
    await connection.execute(
        _INSERT_MEMBERS,
        now,
        [record.key.source for _, record in joined],
        [record.key.fingerprint for _, record in joined],
        [record.generation for _, record in joined],
        [incident_id for incident_id, _ in joined],
        [record.starts_at for _, record in joined],
        [record.seen_at for _, record in joined],
        [heard_before.get(record.key) for _, record in joined],
    )


async def contested(connection: Connection, limit: int) -> list[AlertRecord]:
    """Alerts whose firing waits for the source's word, the oldest contest first."""
    return [_record(row) for row in await connection.fetch(_CONTESTED, limit)]


async def unmatched(
    connection: Connection, limit: int, after: AlertKey | None = None
) -> Sequence[asyncpg.Record]:
    """Open episodes that belong to no incident, in key order: source, fingerprint, labels, starts_at."""
    source, fingerprint = (after.source, after.fingerprint) if after else ("", "")
    return await connection.fetch(_UNMATCHED, limit, source, fingerprint)


def _names(records: Sequence[AlertRecord]) -> tuple[list[str], list[str]]:
    return [record.key.source for record in records], [record.key.fingerprint for record in records]


def _folded(records: Sequence[AlertRecord]) -> tuple[list[Any], ...]:
    """What a fold may change, in the order of the table's columns."""
    return (
        [_json(record.annotations) for record in records],
        [record.generator_url for record in records],
        [record.generation for record in records],
        [record.starts_at for record in records],
        [record.ends_at for record in records],
        [record.last_end for record in records],
        [record.last_end_received_at for record in records],
        [record.seen_at for record in records],
        [record.last_order[0] for record in records],
        [record.last_order[1] for record in records],
        [record.contested_at for record in records],
        [record.contested_starts_at for record in records],
        [record.newest_start for record in records],
    )


def _record(row: asyncpg.Record) -> AlertRecord:
    return AlertRecord(
        key=_key(row),
        labels=row["labels"],
        annotations=row["annotations"],
        generator_url=row["generator_url"],
        generation=row["generation"],
        starts_at=row["starts_at"],
        ends_at=row["ends_at"],
        last_end=row["last_end"],
        last_end_received_at=row["last_end_received_at"],
        seen_at=row["seen_at"],
        last_order=(row["last_received_at"], row["last_hash"]),
        contested_at=row["contested_at"],
        contested_starts_at=row["contested_starts_at"],
        newest_start=row["newest_start"],
    )


def _observation(source: str, row: asyncpg.Record) -> Observation:
    alert = Alert(
        fingerprint=row["fingerprint"],
        labels=row["labels"],
        annotations=row["annotations"],
        standing=Standing(row["standing"]),
        starts_at=row["starts_at"],
        ends_at=row["ends_at"],
        generator_url=row["generator_url"],
    )
    return Observation(source, alert, row["received_at"], row["content_hash"])


def _key(row: asyncpg.Record) -> AlertKey:
    return AlertKey(row["source"], row["fingerprint"])


def _json(labels: Any) -> str:
    return canonical_json(dict(labels)) if labels else "{}"
