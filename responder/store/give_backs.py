"""The table `give_backs`: what is owed back, since when it is due, and as which incident it is given back."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from responder.model.attempt import Attempt, Owed
from responder.model.severity import Severity
from responder.ports import NewByHand, OwedBack
from responder.store import by_hand
from responder.store.clock import ServiceClock
from responder.store.connection import Connection, Lane
from responder.store.rulebooks import Rulebooks
from responder.store.transaction import refusals, transaction

OWE = """
INSERT INTO give_backs (attempt_id, due_at) VALUES ($1, $2::timestamptz + $3::interval) ON CONFLICT DO NOTHING
"""

_LATER = """
SELECT FROM give_backs l JOIN attempts b ON b.id = l.attempt_id
WHERE l.opened_as IS NULL AND l.kept_at IS NULL AND b.target = a.target AND b.number > a.number
"""
"""What was built on it and is given back, too: that comes first."""

_NEWER = """
SELECT to_jsonb(b) - 'number' FROM attempts b
WHERE b.target = a.target AND b.number > a.number AND b.action = a.action AND b.undo_of IS NULL
      AND b.outcome <> 'not_done'
      AND NOT EXISTS (SELECT FROM give_backs l JOIN attempts u ON u.incident_id = l.opened_as
                      WHERE l.attempt_id = b.id AND u.outcome = 'done')
      AND NOT EXISTS (SELECT FROM attempts u WHERE u.undo_of = b.id AND u.outcome = 'done')
      AND NOT EXISTS (SELECT FROM give_backs l WHERE l.opened_as = b.incident_id)
ORDER BY b.number DESC LIMIT 1
"""
"""What was built on it and stands."""

_DUE = f"""
SELECT to_jsonb(a) - 'number' AS attempt, i.key, i.severity, ({_NEWER}) AS newer
FROM give_backs g JOIN attempts a ON a.id = g.attempt_id JOIN incidents i ON i.id = a.incident_id
WHERE g.opened_as IS NULL AND g.kept_at IS NULL AND g.due_at <= $1 AND NOT EXISTS ({_LATER})
ORDER BY g.due_at, a.number LIMIT $2
"""

_STILL = "SELECT FROM give_backs WHERE attempt_id = $1 AND kept_at IS NULL FOR UPDATE"

_OPENED = "UPDATE give_backs SET opened_as = $2 WHERE attempt_id = $1 AND opened_as IS NULL"

_KEEP = """
UPDATE give_backs SET kept_at = $2, kept_by = $3, kept_reason = $4
WHERE attempt_id = $1 AND opened_as IS NULL AND kept_at IS NULL
RETURNING 1
"""

_TOLD = """
SELECT g.attempt_id, a.incident_id, a.rule, a.action, a.target, g.due_at, g.opened_as,
       g.kept_at, g.kept_by, g.kept_reason
FROM give_backs g JOIN attempts a ON a.id = g.attempt_id
"""

_PENDING = "WHERE g.opened_as IS NULL AND g.kept_at IS NULL ORDER BY g.due_at, a.number LIMIT $1"

_NEWEST = "ORDER BY g.due_at DESC, a.number DESC LIMIT $1"


class PostgresGiveBacks:
    """See `ports.GiveBackStore`."""

    def __init__(self, lane: Lane, clock: ServiceClock, rulebooks: Rulebooks) -> None:
        self._lane = lane
        self._clock = clock
        self._rulebooks = rulebooks

    async def owed_back(self, limit: int) -> Sequence[OwedBack]:
        """See `ports.GiveBackStore.owed_back`."""
        with refusals():
            async with self._lane.connection() as connection:
                now = await self._clock.now(connection)
                rows = await connection.fetch(_DUE, now, limit)
        return [
            OwedBack(
                attempt=Attempt.model_validate(row["attempt"]),
                key=row["key"],
                severity=Severity(row["severity"]),
                newer=None if row["newer"] is None else Attempt.model_validate(row["newer"]),
                now=now,
            )
            for row in rows
        ]

    async def open_give_back(self, owed: OwedBack, new: NewByHand) -> None:
        """See `ports.GiveBackStore.open_give_back`."""
        async with transaction(self._lane) as connection:
            if await connection.fetchrow(_STILL, owed.attempt.id) is None:
                return  # a person keeps it since it was found
            opened = await by_hand.open_by_hand(connection, self._clock, self._rulebooks, new)
            await connection.execute(_OPENED, owed.attempt.id, opened.incident.id)


async def listed(connection: Connection, limit: int, *, pending_only: bool) -> Sequence[Owed]:
    """What is owed back, the next due first; with what was given back or kept, too, the newest due first."""
    rows = await connection.fetch(f"{_TOLD} {_PENDING if pending_only else _NEWEST}", limit)
    return [Owed.model_validate(dict(row)) for row in rows]


async def one(connection: Connection, attempt_id: UUID) -> Owed | None:
    """What that attempt owes back, whatever became of it."""
    row = await connection.fetchrow(f"{_TOLD} WHERE g.attempt_id = $1", attempt_id)
    return None if row is None else Owed.model_validate(dict(row))


async def of_incident(connection: Connection, incident_id: UUID) -> tuple[Owed, ...]:
    """What its attempts owe back, in their order."""
    rows = await connection.fetch(f"{_TOLD} WHERE a.incident_id = $1 ORDER BY a.number", incident_id)
    return tuple(Owed.model_validate(dict(row)) for row in rows)


async def keep(connection: Connection, attempt_id: UUID, actor: str, reason: str, now: datetime) -> bool:
    """What was done stays; False where it is not owed back any more."""
    return await connection.fetchval(_KEEP, attempt_id, now, actor, reason) is not None


async def owe(connection: Connection, attempt_id: UUID, after: timedelta, now: datetime) -> None:
    """Something is owed back after so long. What is owed already stays due when it was."""
    await connection.execute(OWE, attempt_id, now, after)
