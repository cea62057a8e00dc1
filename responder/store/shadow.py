"""The table `shadow_runs`: what steps in shadow would have done, and how their incidents went without it."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from responder.decide.case import ShadowRun
from responder.ports import ShadowRunTold
from responder.store.connection import Connection
from responder.store.storable import storable_json, storable_text

_WRITE = """
INSERT INTO shadow_runs (incident_id, rule, step, action, target, ruling, guard, reason, elements,
                         element_count, at)
SELECT id, rule, $2, $3, $4, $5, $6, $7, $8::text::jsonb, $9, $10 FROM incidents WHERE id = $1
"""

_QUIET = """
SELECT min(t.at) FROM timeline t
WHERE t.incident_id = r.incident_id AND t.at >= r.at AND t.kind = 'alert' AND (t.facts ->> 'firing') = '0'
"""

_PERSON = """
SELECT c.actor FROM commands c
WHERE c.incident_id = r.incident_id AND c.kind <> 'acknowledge'
      AND c.given_at BETWEEN r.at AND coalesce(q.quiet_at, 'infinity')
ORDER BY c.number LIMIT 1
"""
"""Whoever has only seen it has not acted."""

_OTHER = """
SELECT a.incident_id FROM attempts a
WHERE a.target = r.target AND a.incident_id <> r.incident_id AND a.outcome <> 'not_done'
      AND a.intended_at BETWEEN r.at AND coalesce(q.quiet_at, 'infinity')
ORDER BY a.number LIMIT 1
"""

_OWN = """
SELECT EXISTS (
    SELECT FROM attempts a
    WHERE a.incident_id = r.incident_id AND a.outcome <> 'not_done'
          AND a.intended_at BETWEEN r.at AND coalesce(q.quiet_at, 'infinity')
)
"""
"""Promoted in the meantime, the same incident was acted on: it did not recover by itself."""

_OBSERVED = """
SELECT EXISTS (
    SELECT FROM timeline t
    WHERE t.incident_id = r.incident_id AND t.kind = 'judged' AND t.at = r.at
          AND (t.facts ->> 'step')::integer = r.step AND (t.facts ->> 'observed')::boolean
)
"""
"""Written with the judgement, at the same time."""

_READ = f"""
SELECT r.incident_id, r.rule, r.step, r.action, r.target, r.ruling, r.guard, r.reason, r.elements,
       r.element_count, r.at, i.severity, i.key, q.quiet_at, ({_PERSON}) AS person,
       ({_OTHER}) AS other_incident, ({_OWN}) AS own_attempt,
       ({_OBSERVED}) AS observed
FROM shadow_runs r JOIN incidents i ON i.id = r.incident_id, LATERAL ({_QUIET}) AS q (quiet_at)
WHERE r.at >= $1 AND ($2::text IS NULL OR r.rule = $2)
ORDER BY r.at DESC, r.id DESC LIMIT $3
"""


async def write_run(connection: Connection, incident_id: UUID, run: ShadowRun, now: datetime) -> None:
    """Keep one."""
    await connection.execute(
        _WRITE,
        incident_id,
        run.step,
        run.action,
        run.target,
        run.ruling.name.lower(),
        run.guard.value,
        storable_text(run.reason),
        storable_json(list(run.elements)),
        run.element_count,
        now,
    )


async def runs_since(
    connection: Connection, since: datetime, rule: str | None, limit: int
) -> Sequence[ShadowRunTold]:
    """The newest first, of one rule or of all."""
    rows = await connection.fetch(_READ, since, rule, limit)
    return [ShadowRunTold.model_validate(dict(row)) for row in rows]
