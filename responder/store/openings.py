"""Opening, joining and waking incidents: the only part of intake that touches `incidents` and adds members.

A key is (rule, SHA-256 of the canonical group values). One incident of a key is not closed: a unique index
says so. A `recorded` or `resolved` one counts among them: what fires again within its time joins it and makes
it due, and `next_move` decides whether to reopen it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from responder.decide.fold import AlertRecord
from responder.model.alert import AlertKey
from responder.model.errors import TemporaryError
from responder.model.incident import IncidentState
from responder.model.severity import Severity
from responder.ports import IncidentKey, NewIncident
from responder.store.connection import Connection
from responder.store.ids import uuid7

_LOCK = """
SELECT i.id, i.rule, i.key_hash, i.state
FROM incidents i
WHERE i.id = ANY (ARRAY(
    SELECT w.id
    FROM incidents w JOIN unnest($1::text[], $2::bytea[]) AS k (rule, key_hash) USING (rule, key_hash)
    WHERE w.state <> 'closed'
    UNION ALL
    SELECT unnest($3::uuid[])))
ORDER BY i.rule, i.key_hash, i.id
FOR UPDATE OF i
"""
"""An array and no join: of a row that changed while its lock was waited for PostgreSQL looks at the condition
again, and with some plans of a join the row is lost then."""

_OPEN = """
SELECT rule, (
    SELECT count(*) FROM (
        SELECT FROM incidents i WHERE i.rule = r.rule AND i.state NOT IN ('closed', 'resolved') LIMIT $2) n
    ) AS count
FROM unnest($1::text[]) AS r (rule)
"""

_AMONG = """
SELECT rule, key_hash FROM unnest($1::text[], $2::bytea[]) AS k (rule, key_hash)
WHERE EXISTS (SELECT FROM incidents i
              WHERE i.rule = k.rule AND i.key_hash = k.key_hash AND i.state <> 'closed')
"""

NEWS_WITHIN = timedelta(seconds=5)
"""How soon an incident hears of its members while its ladder runs or waits: one that is quiet hears at once.

A storm brings news with every transaction; each of them told by itself would cost more than the storm.
"""

_OPEN_JOIN_WAKE = """
WITH opened AS (
    INSERT INTO incidents (id, rule, key_hash, key, rulebook_hash, severity, state, opened_at, state_since,
                           deadline, due_at)
    SELECT id, rule, key_hash, key::jsonb, rulebook_hash, severity, 'pending', $1, $1, due_at, due_at
    FROM unnest($3::uuid[], $4::text[], $5::bytea[], $6::text[], $7::text[], $8::text[], $9::timestamptz[])
         AS r (id, rule, key_hash, key, rulebook_hash, severity, due_at)
    ON CONFLICT (rule, key_hash) WHERE state <> 'closed' DO NOTHING
    RETURNING due_at
),
woken AS (
    UPDATE incidents i
    SET wakes = wakes + 1, severity = least(i.severity, r.severity),
        due_at = least(due_at, CASE WHEN i.state IN ('pending', 'open', 'resolved', 'recorded')
                                    THEN $1::timestamptz ELSE $2 END)
    FROM unnest($10::uuid[], $11::text[]) AS r (id, severity)
    WHERE i.id = r.id AND i.state <> 'closed'
    RETURNING due_at, i.owner
),
joined AS (
    INSERT INTO members (source, fingerprint, generation, rule, incident_id, starts_at, seen_at, heard_at,
                         joined_at)
    SELECT source, fingerprint, generation, rule, incident_id, starts_at, seen_at, heard_at, $1
    FROM unnest($12::text[], $13::text[], $14::int[], $15::text[], $16::uuid[], $17::timestamptz[],
                $18::timestamptz[], $19::timestamptz[])
         AS r (source, fingerprint, generation, rule, incident_id, starts_at, seen_at, heard_at)
)
SELECT (SELECT count(*) FROM opened) AS opened,
       (SELECT count(*) FROM opened WHERE due_at <= $1)
       + (SELECT count(*) FROM woken WHERE due_at <= $1 AND owner IS NULL) AS due
"""


@dataclass(frozen=True, slots=True)
class Opening:
    """The episodes that belong into the incident of one key, and with what it opens where there is none."""

    key: IncidentKey
    wanted: NewIncident
    severity: Severity
    joining: tuple[AlertRecord, ...]


@dataclass(frozen=True, slots=True)
class Opened:
    """The incidents that were opened or joined, and how many wait for a worker now."""

    incidents: Mapping[IncidentKey, UUID]
    due: int


async def standing(
    connection: Connection, rules: Sequence[str], keys: Sequence[IncidentKey], at_most: int
) -> tuple[dict[str, int], set[IncidentKey]]:
    """See `ports.Store.standing`."""
    counted = {row["rule"]: row["count"] for row in await connection.fetch(_OPEN, list(rules), at_most)}
    names, hashes = [rule for rule, _ in keys], [key_hash for _, key_hash in keys]
    found = await connection.fetch(_AMONG, names, hashes) if keys else []
    return counted, {(row["rule"], row["key_hash"]) for row in found}


async def open_join_wake(
    connection: Connection,
    openings: Sequence[Opening],
    woken: Sequence[UUID],
    heard_before: Mapping[AlertKey, datetime],
    now: datetime,
) -> Opened:
    """Lock all incidents concerned in key order, open those that are missing, wake the others, add members.

    Severity only rises by joining: a worse alert makes the incident as bad as itself. `heard_before` has the
    alerts that had no rule at first.

    Raises:
        TemporaryError: another transaction opened one of them meanwhile.
    """
    there = await lock(connection, [opening.key for opening in openings], woken)
    missing = sorted((o for o in openings if o.key not in there), key=lambda opening: opening.key)
    ids = {opening.key: there.get(opening.key) or uuid7(now) for opening in openings}
    joined = {there[opening.key]: opening.severity for opening in openings if opening.key in there}
    row = await connection.fetchrow(
        _OPEN_JOIN_WAKE,
        now,
        now + NEWS_WITHIN,
        *_opened(missing, ids, now),
        *_woken(dict.fromkeys(woken) | joined),
        *_joined(
            ((opening.key[0], ids[opening.key], one) for opening in openings for one in opening.joining),
            heard_before,
        ),
    )
    if row is None or row["opened"] < len(missing):
        # Locking it now would be out of order: another transaction may hold it and wait for one of ours.
        raise TemporaryError("another transaction opened the same incident", timedelta(0))
    return Opened(ids, row["due"])


async def lock(
    connection: Connection, keys: Sequence[IncidentKey], woken: Sequence[UUID]
) -> dict[IncidentKey, UUID]:
    """Lock, in key order, those of these keys that are not closed, and these others; the ids of those."""
    rules, hashes = [rule for rule, _ in keys], [key_hash for _, key_hash in keys]
    rows = await connection.fetch(_LOCK, rules, hashes, list(woken))
    # An incident may have been closed while its lock was waited for: the row shows it, the search did not.
    return {
        (row["rule"], row["key_hash"]): row["id"]
        for row in rows
        if row["state"] != IncidentState.CLOSED.value
    }


def _opened(
    missing: Sequence[Opening], ids: Mapping[IncidentKey, UUID], now: datetime
) -> tuple[list[Any], ...]:
    return (
        [ids[opening.key] for opening in missing],
        [opening.key[0] for opening in missing],
        [opening.key[1] for opening in missing],
        [opening.wanted.key_text for opening in missing],
        [opening.wanted.rulebook_hash for opening in missing],
        [opening.severity.value for opening in missing],
        [now + opening.wanted.pending_for for opening in missing],
    )


def _woken(severities: Mapping[UUID, Severity | None]) -> tuple[list[Any], ...]:
    return list(severities), [severity.value if severity else None for severity in severities.values()]


def _joined(
    joined: Iterable[tuple[str, UUID, AlertRecord]], heard_before: Mapping[AlertKey, datetime]
) -> tuple[list[Any], ...]:
    members = list(joined)
    return (
        [record.key.source for _, _, record in members],
        [record.key.fingerprint for _, _, record in members],
        [record.generation for _, _, record in members],
        [rule for rule, _, _ in members],
        [incident_id for _, incident_id, _ in members],
        [record.starts_at for _, _, record in members],
        [record.seen_at for _, _, record in members],
        [heard_before.get(record.key) for _, _, record in members],
    )
