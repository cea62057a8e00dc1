"""The storm's umbrella incident: opened by whoever is held back first, and by nobody twice."""

from datetime import datetime, timedelta
from hashlib import sha256

from responder.model.base import canonical_json
from responder.model.incident import IncidentState
from responder.model.storm import UMBRELLA
from responder.store.connection import Connection
from responder.store.ids import uuid7

_KEY = canonical_json({})
_KEY_HASH = sha256(_KEY.encode()).digest()

_OPEN = """
INSERT INTO incidents (id, rule, key_hash, key, rulebook_hash, severity, state, opened_at, state_since,
                       deadline, due_at)
VALUES ($1, $2, $3, $4::text::jsonb, coalesce((SELECT hash FROM active_rulebook), ''), $5, $6, $7, $7, $8, $8)
ON CONFLICT (rule, key_hash) WHERE state <> 'closed' DO NOTHING
RETURNING 1
"""

_WAKE = """
UPDATE incidents SET wakes = wakes + 1, due_at = least(due_at, $3)
WHERE rule = $1 AND key_hash = $2 AND state IN ('resolved', 'recorded')
"""


async def open_or_wake(connection: Connection, now: datetime, pending_for: timedelta) -> None:
    """See `ports.Store.open_umbrella`."""
    opened = await connection.fetchval(
        _OPEN,
        uuid7(now),
        UMBRELLA.name,
        _KEY_HASH,
        _KEY,
        UMBRELLA.severity[0].severity,
        IncidentState.PENDING.value,
        now,
        now + pending_for,
    )
    if opened is None:
        await connection.execute(_WAKE, UMBRELLA.name, _KEY_HASH, now)
