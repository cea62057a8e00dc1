"""Rows of `journal`, `alerts` and `members`: what was heard, what it means, and whose it is.

Every statement here takes whole batches as arrays: a batch costs as many round trips as one alert.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import asyncpg

from responder.clients.boottime import boottime
from responder.decide.fold import AlertRecord
from responder.model.alert import Alert, AlertKey, Heard, Observation, Standing
from responder.model.base import json_of_texts
from responder.ports import Unmatched, UnmatchedPage
from responder.store.clock import ServiceClock
from responder.store.connection import Connection

_BEGIN = """
WITH known AS MATERIALIZED (
    SELECT a.source, a.fingerprint, a.generation, a.starts_at, a.ends_at, a.last_end, a.last_end_received_at,
           a.seen_at, a.last_received_at, a.last_hash, a.contested_at, a.contested_starts_at, a.newest_start,
           a.generator_url, CASE WHEN c.same THEN NULL ELSE a.labels END AS labels,
           CASE WHEN c.same THEN NULL ELSE a.annotations END AS annotations
    FROM alerts a JOIN unnest($1::text[], $2::text[], $3::bytea[]) AS k (source, fingerprint, hash)
         USING (source, fingerprint),
         LATERAL (
             SELECT coalesce(a.last_hash = k.hash AND a.ends_at IS NULL AND a.generation > 0, false)
                    AND a.last_received_at > coalesce(a.last_end_received_at, '-infinity')
         ) AS c (same)
    ORDER BY a.source, a.fingerprint
    FOR UPDATE OF a
)
SELECT wall_clock() AS wall, clock.shift, clock.taken_back, known.*
FROM service_clock AS clock LEFT JOIN known ON true
"""
"""The clock of the last row is read after the last lock: who was waited for may have a later time than ours
before. With an earlier one the row would sort before the stored ones, and all the alert's past be read."""

_HISTORY = """
SELECT fingerprint, received_at, content_hash, standing, starts_at, ends_at, labels, annotations,
       generator_url
FROM journal
WHERE source = $1 AND fingerprint = $2
ORDER BY received_at, content_hash
"""

_STORE = """
WITH r AS MATERIALIZED (
    SELECT source, fingerprint, received_at, content_hash, standing, starts_at, ends_at,
           labels::jsonb AS labels, annotations::jsonb AS annotations, generator_url, becomes
    FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::bytea[], $5::text[], $6::timestamptz[],
                $7::timestamptz[], $8::text[], $9::text[], $10::text[], $11::text[])
         AS r (source, fingerprint, received_at, content_hash, standing, starts_at, ends_at, labels,
               annotations, generator_url, becomes)
),
heard AS (
    INSERT INTO journal (source, fingerprint, received_at, content_hash, standing, starts_at, ends_at, labels,
                         annotations, generator_url)
    SELECT source, fingerprint, received_at, content_hash, standing, starts_at, ends_at, labels, annotations,
           generator_url
    FROM r
    ON CONFLICT DO NOTHING
),
begun AS (
    INSERT INTO alerts (source, fingerprint, labels, annotations, generator_url, generation, starts_at,
                        newest_start, seen_at, last_received_at, last_hash)
    SELECT source, fingerprint, labels, annotations, generator_url, 1, starts_at, starts_at, received_at,
           received_at, content_hash
    FROM r WHERE becomes = 'begun'
    ON CONFLICT DO NOTHING
    RETURNING 1
),
again AS (
    UPDATE alerts a
    SET seen_at = r.received_at, last_received_at = r.received_at, last_hash = r.content_hash
    FROM r
    WHERE r.becomes = 'again' AND a.source = r.source AND a.fingerprint = r.fingerprint
)
SELECT count(*) FROM begun
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

_MOVE = """
WITH r AS MATERIALIZED (
    SELECT *
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int[], $6::timestamptz[],
                $7::timestamptz[], $8::timestamptz[], $9::timestamptz[], $10::timestamptz[],
                $11::timestamptz[], $12::bytea[], $13::timestamptz[], $14::timestamptz[], $15::timestamptz[],
                $16::boolean[])
         AS r (source, fingerprint, annotations, generator_url, generation, starts_at, ends_at, last_end,
               last_end_received_at, seen_at, last_received_at, last_hash, contested_at, contested_starts_at,
               newest_start, other)
),
moved AS (
    UPDATE alerts a
    SET annotations = r.annotations::jsonb, generator_url = r.generator_url, generation = r.generation,
        starts_at = r.starts_at, ends_at = r.ends_at, last_end = r.last_end,
        last_end_received_at = r.last_end_received_at, seen_at = r.seen_at,
        last_received_at = r.last_received_at, last_hash = r.last_hash, contested_at = r.contested_at,
        contested_starts_at = r.contested_starts_at, newest_start = r.newest_start
    FROM r
    WHERE a.source = r.source AND a.fingerprint = r.fingerprint
)
UPDATE members m
SET starts_at = CASE WHEN m.generation = r.generation THEN r.starts_at ELSE m.starts_at END,
    ends_at = CASE WHEN m.generation = r.generation THEN r.ends_at ELSE coalesce(r.last_end, m.starts_at) END,
    seen_at = CASE WHEN m.generation = r.generation THEN r.seen_at ELSE m.seen_at END
FROM r
WHERE r.other AND m.source = r.source AND m.fingerprint = r.fingerprint
  AND (m.generation = r.generation OR m.ends_at IS NULL)
RETURNING m.source, m.fingerprint, m.incident_id
"""

_CLOSED_AMONG = """
SELECT m.source, m.fingerprint
FROM members m JOIN unnest($1::text[], $2::text[], $3::int[]) AS k (source, fingerprint, generation)
     USING (source, fingerprint, generation) JOIN incidents i ON i.id = m.incident_id AND i.state = 'closed'
"""

_MEMBERS_AMONG = """
SELECT m.source, m.fingerprint
FROM members m JOIN unnest($1::text[], $2::text[], $3::int[]) AS k (source, fingerprint, generation)
     USING (source, fingerprint, generation)
"""

_INCIDENTS_OF = """
SELECT DISTINCT m.incident_id
FROM members m JOIN unnest($1::text[], $2::text[], $3::int[]) AS k (source, fingerprint, generation)
     ON m.source = k.source AND m.fingerprint = k.fingerprint
        AND (m.generation = k.generation OR m.ends_at IS NULL)
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

_RECORDS = "SELECT * FROM alerts WHERE source = $1 AND fingerprint = ANY($2::text[]) ORDER BY fingerprint"

_CONTESTED = "SELECT * FROM alerts WHERE contested_at IS NOT NULL ORDER BY contested_at LIMIT $1"

_UNMATCHED_PAGE = """
WITH page AS MATERIALIZED (
    SELECT source, fingerprint, generation, labels, starts_at
    FROM alerts
    WHERE ends_at IS NULL AND generation > 0 AND (source, fingerprint) > ($2, $3)
    ORDER BY source, fingerprint
    LIMIT $1
)
SELECT last.source AS last_source, last.fingerprint AS last_fingerprint, unmatched.*
FROM (SELECT source, fingerprint FROM page ORDER BY source, fingerprint OFFSET $1 - 1) AS last
     FULL JOIN (
         SELECT source, fingerprint, labels, starts_at
         FROM page
         WHERE NOT EXISTS (SELECT FROM members m WHERE (m.source, m.fingerprint, m.generation)
                                                     = (page.source, page.fingerprint, page.generation))
     ) AS unmatched ON false
"""

_UNMATCHED = """
SELECT a.source, a.fingerprint, a.labels, a.starts_at
FROM alerts a
WHERE a.ends_at IS NULL AND a.generation > 0
  AND NOT EXISTS (SELECT FROM members m WHERE (m.source, m.fingerprint, m.generation)
                                            = (a.source, a.fingerprint, a.generation))
ORDER BY a.source, a.fingerprint
LIMIT $1
"""


async def begin(
    connection: Connection,
    clock: ServiceClock,
    keys: Sequence[AlertKey],
    heard: Mapping[AlertKey, Heard],
) -> tuple[datetime, dict[AlertKey, AlertRecord]]:
    """Service time, and the stored records of these alerts, locked in key order.

    The texts of an alert are not read where it fires and just what was said last is `heard` of it again:
    then they are the ones that are stored. Only a row that came no later than an end may have changed none.
    """
    said = [heard.get(key) for key in keys]
    before = boottime()
    rows = await connection.fetch(
        _BEGIN,
        [key.source for key in keys],
        [key.fingerprint for key in keys],
        [one.content_hash if one and one.alert.standing is Standing.FIRING else None for one in said],
    )
    known = [row for row in rows if row["source"] is not None]
    now, _ = clock.judge(rows[-1], before)
    return now, {(key := _key(row)): _record(key, row, heard.get(key)) for row in known}


async def history(connection: Connection, key: AlertKey) -> list[Observation]:
    """All journal rows of one alert, in journal order."""
    rows = await connection.fetch(_HISTORY, key.source, key.fingerprint)
    return [_observation(key.source, row) for row in rows]


class Becomes(StrEnum):
    """What a row of the journal means for its alert, where it means that and nothing else."""

    BEGUN = "begun"
    """A new alert, just as the row tells of it."""
    AGAIN = "again"
    """An open episode was told of again: only that is noted."""


def becomes(before: AlertRecord | None, record: AlertRecord, row: Observation) -> Becomes | None:
    """What the last row of an alert alone says of the record, or None where more has to be written."""
    if before is not None:
        told = record == before._replace(seen_at=row.received_at, last_order=row.order)
        return Becomes.AGAIN if told else None
    begun = AlertRecord(
        key=record.key,
        labels=row.alert.labels,
        annotations=row.alert.annotations,
        generator_url=row.alert.generator_url,
        generation=1,
        starts_at=row.alert.starts_at,
        newest_start=row.alert.starts_at,
        ends_at=None,
        last_end=None,
        last_end_received_at=None,
        seen_at=row.received_at,
        last_order=row.order,
    )
    return Becomes.BEGUN if record == begun else None


async def store(
    connection: Connection, rows: Sequence[Observation], meanings: Sequence[Becomes | None]
) -> int:
    """Append observations, and what they mean for their alerts; how many of the new alerts were new.

    Give them in lock order: others may be inserting the same alerts. Those told of again must be locked. An
    observation that is there already changes nothing.
    """
    stored: int = await connection.fetchval(_STORE, *_observed(rows), meanings)
    return stored


async def insert_alerts(connection: Connection, records: Sequence[AlertRecord]) -> int:
    """Store new alerts of which no row alone tells everything, in lock order; how many were new."""
    rows = await connection.fetch(
        _INSERT_ALERTS,
        *_names(records),
        [json_of_texts(record.labels) for record in records],
        [json_of_texts(record.annotations) for record in records],
        *_folded(records),
    )
    return len(rows)


async def move(
    connection: Connection, records: Sequence[AlertRecord], others: AbstractSet[AlertKey]
) -> list[tuple[AlertKey, UUID]]:
    """Store what the fold says of alerts that this transaction has locked. Labels never change.

    `others` are those whose episode is another one now, or has another start or end: their members are
    brought up to date too, and come back with the incidents that they belong to. An episode that is open
    although a newer one began ends where the alert's last end is known.
    """
    rows = await connection.fetch(
        _MOVE,
        *_names(records),
        [json_of_texts(record.annotations) for record in records],
        *_folded(records),
        [record.key in others for record in records],
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


async def closed_among(connection: Connection, records: Sequence[AlertRecord]) -> set[AlertKey]:
    """Those whose current episode belongs to a closed incident."""
    rows = await connection.fetch(
        _CLOSED_AMONG,
        *_names(records),
        [record.generation for record in records],
    )
    return {_key(row) for row in rows}


async def incidents_of(connection: Connection, records: Sequence[AlertRecord]) -> list[UUID]:
    """The incidents that hear of what becomes of these alerts: see `move`."""
    rows = await connection.fetch(_INCIDENTS_OF, *_names(records), [record.generation for record in records])
    return [row["incident_id"] for row in rows]


async def first_heard(connection: Connection, records: Sequence[AlertRecord]) -> dict[AlertKey, datetime]:
    """When the open episodes of these alerts were first heard of, as far back as the journal goes."""
    rows = await connection.fetch(
        _FIRST_HEARD,
        *_names(records),
        [record.last_end_received_at for record in records],
        [record.seen_at for record in records],
    )
    return {_key(row): row["heard_at"] for row in rows}


async def contested(connection: Connection, limit: int) -> list[AlertRecord]:
    """Alerts whose firing waits for the source's word, the oldest contest first."""
    return [_record(_key(row), row) for row in await connection.fetch(_CONTESTED, limit)]


async def records(connection: Connection, source: str, fingerprints: Sequence[str]) -> list[AlertRecord]:
    """What is known of these alerts of a source, in the order of their fingerprints."""
    return [_record(_key(row), row) for row in await connection.fetch(_RECORDS, source, list(fingerprints))]


async def unmatched(connection: Connection, limit: int) -> Sequence[asyncpg.Record]:
    """Open episodes that belong to no incident, in key order: source, fingerprint, labels, starts_at."""
    return await connection.fetch(_UNMATCHED, limit)


async def unmatched_page(connection: Connection, looked_at: int, after: AlertKey | None) -> UnmatchedPage:
    """Of so many open episodes those that belong to no incident."""
    rows = await connection.fetch(_UNMATCHED_PAGE, looked_at, *(after or ("", "")))
    last = [AlertKey(r["last_source"], r["last_fingerprint"]) for r in rows if r["last_source"] is not None]
    found = [Unmatched(_key(r), r["labels"], r["starts_at"]) for r in rows if r["source"] is not None]
    return UnmatchedPage(found, last[0] if last else None)


def _names(records: Sequence[AlertRecord]) -> tuple[list[str], list[str]]:
    return [record.key.source for record in records], [record.key.fingerprint for record in records]


def _folded(records: Sequence[AlertRecord]) -> tuple[list[Any], ...]:
    """What a fold may change, in the order of the table's columns."""
    return (
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


def _record(key: AlertKey, row: asyncpg.Record, heard: Heard | None = None) -> AlertRecord:
    same = heard.alert if heard is not None and row["labels"] is None else None
    return AlertRecord(
        key=key,
        labels=same.labels if same else row["labels"],
        annotations=same.annotations if same else row["annotations"],
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


def _observed(rows: Sequence[Observation]) -> tuple[list[Any], ...]:
    return (
        [row.source for row in rows],
        [row.alert.fingerprint for row in rows],
        [row.received_at for row in rows],
        [row.content_hash for row in rows],
        [row.alert.standing.value for row in rows],
        [row.alert.starts_at for row in rows],
        [row.alert.ends_at for row in rows],
        [row.labels_json or json_of_texts(row.alert.labels) for row in rows],
        [row.annotations_json or json_of_texts(row.alert.annotations) for row in rows],
        [row.alert.generator_url for row in rows],
    )


_NAMED = """
SELECT source, fingerprint FROM alerts
WHERE ends_at IS NULL AND generation > 0 AND labels ->> 'alertname' = $1
"""

_SEEN = """
SELECT a.source, a.fingerprint, a.seen_at FROM unnest($1::text[], $2::text[]) AS k (source, fingerprint)
JOIN alerts a USING (source, fingerprint)
"""


async def alerts_named(connection: Connection, alertname: str) -> list[AlertKey]:
    """See `ports.Store.alerts_named`."""
    return [AlertKey(row["source"], row["fingerprint"]) for row in await connection.fetch(_NAMED, alertname)]


async def heard_of(connection: Connection, keys: Sequence[AlertKey]) -> dict[AlertKey, datetime]:
    """See `ports.Store.heard_of`."""
    rows = await connection.fetch(_SEEN, [key.source for key in keys], [key.fingerprint for key in keys])
    return {AlertKey(row["source"], row["fingerprint"]): row["seen_at"] for row in rows}
