"""Circuit breakers: opened by the verdict that is one too many, kept for ever with who reset them."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import structlog

from responder.model.breaker import Breaker
from responder.store.connection import Connection

_log = structlog.get_logger("breakers")

COLUMNS = "rule, opened_at, attempts, reset_at, actor, reason"

_LOCK = "LOCK TABLE breakers IN SHARE ROW EXCLUSIVE MODE"
"""One opener at a time: two failures at once count each other. Whoever only reads is not held up."""

_OPEN = """
WITH failed AS (SELECT rule FROM attempts WHERE id = $1),
judged AS (
    SELECT a.id, a.verdict, a.verdict_at, a.number FROM attempts a
    WHERE a.rule = (SELECT rule FROM failed) AND a.undo_of IS NULL AND coalesce(a.all_of, a.id) = a.id
          AND a.verdict IN ('recovered', 'not_recovered')
          AND a.verdict_at > coalesce((SELECT max(b.reset_at) FROM breakers b
                                       WHERE b.rule = (SELECT rule FROM failed)), '-infinity')
    ORDER BY a.verdict_at DESC, a.number DESC LIMIT $3
)
INSERT INTO breakers (rule, opened_at, attempts)
SELECT (SELECT rule FROM failed), $2, array_agg(id ORDER BY verdict_at DESC, number DESC) FROM judged
HAVING count(*) = $3 AND bool_and(verdict = 'not_recovered')
ON CONFLICT (rule) WHERE reset_at IS NULL DO NOTHING
RETURNING rule
"""

_LIST = f"""
SELECT {COLUMNS} FROM breakers WHERE reset_at IS NULL OR NOT $1
ORDER BY reset_at IS NOT NULL, id DESC LIMIT $2
"""

_OPEN_NOW = f"SELECT {COLUMNS} FROM breakers WHERE rule = $1 AND reset_at IS NULL"

_RESET = """
UPDATE breakers SET reset_at = $2, actor = $3, reason = $4 WHERE rule = $1 AND reset_at IS NULL RETURNING 1
"""


async def open_after(connection: Connection, attempt_id: UUID, failures: int, now: datetime) -> None:
    """Open the breaker of an attempt's rule, where the last `failures` verdicts on it were all alike.

    They are counted since it was reset last, in the order of the verdicts. The attempt's own is written.
    """
    await connection.execute(_LOCK)
    rule = await connection.fetchval(_OPEN, attempt_id, now, failures)
    if rule is not None:
        _log.warning("the circuit breaker of a rule has opened", rule=rule, failures=failures)


async def listed(connection: Connection, limit: int, *, open_only: bool) -> Sequence[Breaker]:
    """Openings, those that last first, then the newest."""
    return [Breaker.model_validate(dict(row)) for row in await connection.fetch(_LIST, open_only, limit)]


async def open_now(connection: Connection, rule: str) -> Breaker | None:
    """A rule's breaker; None where it is closed."""
    row = await connection.fetchrow(_OPEN_NOW, rule)
    return None if row is None else Breaker.model_validate(dict(row))


async def reset(connection: Connection, rule: str, actor: str, reason: str, now: datetime) -> bool:
    """Close a rule's breaker; False where it is not open."""
    return await connection.fetchval(_RESET, rule, now, actor, reason) is not None
