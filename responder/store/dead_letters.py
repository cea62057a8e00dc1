"""Rows of `dead_letters` and of what people did with them. Intake writes them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from responder.ports import DeadLetter
from responder.store.connection import Connection

HEAD = 200
"""Characters of a payload in a list: a whole one may have millions."""

Act = Literal["retry", "drop", "expire"]
"""Why a letter is gone."""

_NEWEST = f"""
SELECT id, source, reason, left(payload, {HEAD}) AS payload, length(payload) AS size, received_at
FROM dead_letters ORDER BY id DESC LIMIT $1
"""

_ONE = """
SELECT id, source, reason, payload, length(payload) AS size, received_at FROM dead_letters WHERE id = $1
"""

_REMOVE = """
WITH gone AS (DELETE FROM dead_letters WHERE id = ANY($1::bigint[]) RETURNING id, source, reason, received_at)
INSERT INTO dead_letter_acts (letter, act, source, rejected_for, received_at, actor, reason, at)
SELECT id, $2, source, reason, received_at, $3, $4, $5 FROM gone
RETURNING letter
"""

_EXPIRED = "SELECT id FROM dead_letters WHERE received_at < $1 ORDER BY received_at LIMIT $2"


async def newest(connection: Connection, limit: int) -> list[DeadLetter]:
    """The newest letters, with the heads of their payloads."""
    return [DeadLetter(**row) for row in await connection.fetch(_NEWEST, limit)]


async def one(connection: Connection, number: int) -> DeadLetter | None:
    """One letter, whole."""
    row = await connection.fetchrow(_ONE, number)
    return None if row is None else DeadLetter(**row)


async def remove(
    connection: Connection, act: Act, numbers: Sequence[int], actor: str, reason: str, now: datetime
) -> list[int]:
    """Remove letters and record it; which of them were there."""
    rows = await connection.fetch(_REMOVE, list(numbers), act, actor, reason, now)
    return sorted(row["letter"] for row in rows)


async def expired(connection: Connection, before: datetime, limit: int) -> list[int]:
    """Letters that came before then, the oldest first."""
    return [row["id"] for row in await connection.fetch(_EXPIRED, before, limit)]
