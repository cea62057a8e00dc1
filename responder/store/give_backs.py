"""The table `give_backs`: what is owed back, since when it is due, and as which incident it is given back."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from responder.model.attempt import Attempt
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
WHERE l.opened_as IS NULL AND b.target = a.target AND b.number > a.number
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
WHERE g.opened_as IS NULL AND g.due_at <= $1 AND NOT EXISTS ({_LATER})
ORDER BY g.due_at, a.number LIMIT $2
"""

_OPENED = "UPDATE give_backs SET opened_as = $2 WHERE attempt_id = $1 AND opened_as IS NULL"


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
            opened = await by_hand.open_by_hand(connection, self._clock, self._rulebooks, new)
            await connection.execute(_OPENED, owed.attempt.id, opened.incident.id)


async def owe(connection: Connection, attempt_id: UUID, after: timedelta, now: datetime) -> None:
    """Something is owed back after so long. What is owed already stays due when it was."""
    await connection.execute(OWE, attempt_id, now, after)
