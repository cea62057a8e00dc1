"""Opening, joining and waking incidents: the only part of intake that touches the table `incidents`.

A key is (rule, SHA-256 of the canonical group values). One incident of a key is not closed: a unique index
says so. A `recorded` or `resolved` one counts among them: what fires again within its time joins it and makes
it due, and `next_move` decides whether to reopen it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID

from responder.decide.fold import AlertRecord
from responder.model.base import canonical_json
from responder.model.errors import TemporaryError
from responder.model.incident import IncidentState
from responder.model.severity import Severity
from responder.ports import NewIncident
from responder.store.connection import Connection
from responder.store.ids import uuid7

IncidentKey = tuple[str, bytes]
"""Rule and key hash: what incidents are locked in the order of."""

_LOCK = """
SELECT i.id, i.rule, i.key_hash, i.state
FROM incidents i
WHERE i.id IN (
    SELECT w.id
    FROM incidents w JOIN unnest($1::text[], $2::bytea[]) AS k (rule, key_hash) USING (rule, key_hash)
    WHERE w.state <> 'closed'
    UNION ALL
    SELECT unnest($3::uuid[]))
ORDER BY i.rule, i.key_hash, i.id
FOR UPDATE OF i
"""

_OPEN = """
INSERT INTO incidents (id, rule, key_hash, key, rulebook_hash, severity, state, opened_at, state_since,
                       deadline, due_at)
SELECT id, rule, key_hash, key::jsonb, rulebook_hash, severity, 'pending', $1, $1, due_at, due_at
FROM unnest($2::uuid[], $3::text[], $4::bytea[], $5::text[], $6::text[], $7::text[], $8::timestamptz[])
     AS r (id, rule, key_hash, key, rulebook_hash, severity, due_at)
ON CONFLICT (rule, key_hash) WHERE state <> 'closed' DO NOTHING
RETURNING 1
"""

_NEWS_WITHIN = timedelta(seconds=1)
"""How soon an incident hears of its members once its ladder has begun.

A storm brings news with every transaction; each of them told by itself would cost more than the storm.
"""

_WAKE = """
UPDATE incidents i
SET wakes = wakes + 1, severity = least(i.severity, r.severity),
    due_at = least(due_at, CASE WHEN i.state IN ('pending', 'open') THEN $1::timestamptz ELSE $4::timestamptz END)
FROM unnest($2::uuid[], $3::text[]) AS r (id, severity)
WHERE i.id = r.id AND i.state <> 'closed'
"""


@dataclass(frozen=True, slots=True)
class Opening:
    """The episodes that belong into the incident of one key, and with what it opens where there is none."""

    key: IncidentKey
    wanted: NewIncident
    severity: Severity
    joining: tuple[AlertRecord, ...]


def key_of(wanted: NewIncident) -> IncidentKey:
    """The identity of an incident while it is not closed."""
    return wanted.rule, key_hash(wanted.key)


def key_hash(key: object) -> bytes:
    """SHA-256 of the canonical group values."""
    return sha256(canonical_json(key).encode()).digest()


async def open_join_wake(
    connection: Connection, openings: Sequence[Opening], woken: Sequence[UUID], now: datetime
) -> dict[IncidentKey, UUID]:
    """Lock all incidents concerned in key order, open those that are missing, wake the others.

    Severity only rises by joining: a worse alert makes the incident as bad as itself.

    Raises:
        TemporaryError: another transaction opened one of them meanwhile.
    """
    there = await _lock(connection, openings, woken)
    missing = [opening for opening in openings if opening.key not in there]
    opened = await _open(connection, missing, now)
    joined = {there[opening.key]: opening.severity for opening in openings if opening.key in there}
    await _wake(connection, dict.fromkeys(woken) | joined, now)
    return {**{opening.key: there[opening.key] for opening in openings if opening.key in there}, **opened}


async def _lock(
    connection: Connection, openings: Sequence[Opening], woken: Sequence[UUID]
) -> dict[IncidentKey, UUID]:
    rules, hashes = [opening.key[0] for opening in openings], [opening.key[1] for opening in openings]
    rows = await connection.fetch(_LOCK, rules, hashes, list(woken))
    # An incident may have been closed while its lock was waited for: the row shows it, the search did not.
    return {
        (row["rule"], row["key_hash"]): row["id"]
        for row in rows
        if row["state"] != IncidentState.CLOSED.value
    }


async def _open(connection: Connection, missing: Sequence[Opening], now: datetime) -> dict[IncidentKey, UUID]:
    if not missing:
        return {}
    ordered = sorted(missing, key=lambda opening: opening.key)
    ids = {opening.key: uuid7(now) for opening in ordered}
    rows = await connection.fetch(
        _OPEN,
        now,
        list(ids.values()),
        [opening.key[0] for opening in ordered],
        [opening.key[1] for opening in ordered],
        [canonical_json(dict(opening.wanted.key)) for opening in ordered],
        [opening.wanted.rulebook_hash for opening in ordered],
        [opening.severity.value for opening in ordered],
        [now + opening.wanted.pending_for for opening in ordered],
    )
    if len(rows) < len(ordered):
        # Locking it now would be out of order: another transaction may hold it and wait for one of ours.
        raise TemporaryError("another transaction opened the same incident", timedelta(0))
    return ids


async def _wake(connection: Connection, woken: dict[UUID, Severity | None], now: datetime) -> None:
    if woken:
        severities = [severity.value if severity else None for severity in woken.values()]
        await connection.execute(_WAKE, now, list(woken), severities, now + _NEWS_WITHIN)
