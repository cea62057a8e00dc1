"""The ledger: attempts, the claims they hold, the halt flag and promotions.

A claim lasts from intent to verdict. A quarantined one is released by a person alone: neither a verdict nor
an undo gets past it.
"""

from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from responder.clients.boottime import boottime
from responder.decide.case import AttemptEnd, AttemptVerdict, LedgerView, Quarantine
from responder.model.attempt import Attempt, Claim, Intent, Outcome, PastAttempt
from responder.model.autonomy import Autonomy
from responder.model.incident import Incident
from responder.store.clock import ServiceClock
from responder.store.connection import Connection
from responder.store.storable import storable_json, storable_text

ATTEMPT_COLUMNS = """
id, incident_id, rule, step, action, params, target, elements, results, outcome, verdict, intended_at,
start_before, timeout_s, ended_at, verdict_at, fenced, undo_of, state_before, state_after
"""

_INTEND = f"""
INSERT INTO attempts (id, incident_id, rule, step, action, params, target, elements, outcome, intended_at,
                      start_before, timeout_s, fenced, undo_of, state_before)
VALUES ($1, $2, $3, $4, $5, $6::text::jsonb, $7, $8::text::jsonb, $9, $10, $11, $12, $13, $14,
        $15::text::jsonb)
RETURNING {ATTEMPT_COLUMNS}
"""

_TAKE_OVER = """
UPDATE claims SET attempt_id = $2, since = $3 WHERE attempt_id = $1 AND target = $4 AND NOT quarantined
RETURNING 1
"""

_CLAIM = """
INSERT INTO claims (target, attempt_id, incident_id, rule, since) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (target) DO NOTHING
RETURNING 1
"""

_INTEND_AND_CLAIM = f"""
WITH attempt AS ({_INTEND}), claim AS (
    INSERT INTO claims (target, attempt_id, incident_id, rule, since) VALUES ($7, $1, $2, $3, $10)
    ON CONFLICT (target) DO NOTHING
    RETURNING 1
)
SELECT attempt.*, EXISTS (SELECT FROM claim) AS claimed FROM attempt
"""

_END = """
UPDATE attempts SET outcome = $2, results = $3::text::jsonb, state_after = $4::text::jsonb, ended_at = $5
WHERE id = $1
"""

_VERDICT = """
UPDATE attempts SET verdict = coalesce(verdict, $2), verdict_at = coalesce(verdict_at, $3) WHERE id = $1
"""

_RELEASE = "DELETE FROM claims WHERE attempt_id = $1 AND NOT quarantined"

_QUARANTINE = "UPDATE claims SET quarantined = true, reason = $2 WHERE attempt_id = $1 AND NOT quarantined"

_PAST = """
SELECT jsonb_agg(jsonb_build_object(
           'intended_at', intended_at, 'ended_at', ended_at, 'spent', outcome <> 'not_done',
           'verdict', verdict,
           'same_ladder', coalesce(incident_id = $4 AND intended_at >= $5, false))
       ORDER BY intended_at)
FROM attempts
WHERE rule = $1 AND target = $2 AND intended_at >= $3 AND undo_of IS NULL
"""
"""What the limits count: attempts of (rule, target) in any incident. An undo is no attempt."""

CLAIM_COLUMNS = "target, attempt_id, incident_id, rule, since, quarantined, reason"

HALTED = """
SELECT CASE WHEN halted THEN format('by %s: %s', actor, reason) END AS why FROM halt
"""

_VIEW = f"""
SELECT wall_clock() AS wall, shift, taken_back, quiet_until, quiet_why,
       EXISTS (SELECT FROM halt) AS flagged, ({HALTED}) AS why, ({_PAST}) AS history,
       (SELECT to_jsonb(c) FROM (SELECT {CLAIM_COLUMNS} FROM claims WHERE target = $2) c) AS claim
FROM service_clock
"""


async def write_intent(connection: Connection, intent: Intent, now: datetime) -> Attempt | None:
    """Write the attempt and claim its target; None where somebody else holds it, then nothing may be kept.

    The caller's transaction must be rolled back after None.
    """
    row = await connection.fetchrow(
        _INTEND if intent.undo_of is not None else _INTEND_AND_CLAIM,
        intent.attempt_id,
        intent.incident_id,
        intent.rule,
        intent.step,
        intent.action,
        storable_json(intent.params),
        intent.target,
        storable_json([element.model_dump(mode="json") for element in intent.elements]),
        Outcome.STARTED.value,
        now,
        now + timedelta(seconds=intent.start_window_s),
        intent.timeout_s,
        intent.fenced,
        intent.undo_of,
        storable_json(intent.state_before),
    )
    if row is None:
        raise AssertionError("an insert with RETURNING and no conflict clause gives a row")
    written = dict(row)
    claimed = written.pop("claimed", None)
    if claimed is None:
        claimed = await _taken_over(connection, intent, now)
    return Attempt.model_validate(written) if claimed else None


async def _taken_over(connection: Connection, intent: Intent, now: datetime) -> bool:
    """Claim the target for an undo: from the attempt that it takes back, where that still holds it."""
    taken = await connection.fetchval(_TAKE_OVER, intent.undo_of, intent.attempt_id, now, intent.target)
    if taken is not None:
        return True
    new = (intent.target, intent.attempt_id, intent.incident_id, intent.rule, now)
    return await connection.fetchval(_CLAIM, *new) is not None


async def write_end(connection: Connection, end: AttemptEnd, now: datetime) -> None:
    """Write the outcome of an attempt."""
    after = None if end.state_after is None else storable_json(end.state_after)
    results = storable_json([result.model_dump(mode="json") for result in end.results])
    await connection.execute(_END, end.attempt_id, end.outcome.value, results, after, now)


async def write_verdict(connection: Connection, verdict: AttemptVerdict, now: datetime) -> None:
    """Write the verdict of an attempt and release its claim, unless that stays or is quarantined."""
    if not verdict.claim_stays:
        await connection.execute(_RELEASE, verdict.attempt_id)
    await connection.execute(_VERDICT, verdict.attempt_id, verdict.verdict, now)


async def write_quarantine(connection: Connection, quarantine: Quarantine) -> None:
    """Mark the claim of an attempt of which nobody knows whether it happened."""
    await connection.execute(_QUARANTINE, quarantine.attempt_id, storable_text(quarantine.reason))


async def attempts_of(connection: Connection, incident_id: UUID) -> tuple[Attempt, ...]:
    """All attempts of an incident, in the order of their intents."""
    query = f"SELECT {ATTEMPT_COLUMNS} FROM attempts WHERE incident_id = $1 ORDER BY number"
    return tuple(Attempt.model_validate(dict(row)) for row in await connection.fetch(query, incident_id))


async def view(
    connection: Connection,
    clock: ServiceClock,
    rule: str,
    target: str | None,
    since: datetime,
    incident: Incident,
) -> LedgerView:
    """Everything that the ledger has to say on one step, as of one moment."""
    before = boottime()
    ladder = incident.progress.opened_at
    row = await connection.fetchrow(_VIEW, rule, target, since, incident.id, ladder)
    unsteady = clock.unsteady_by(row, before)
    if row is None:
        raise AssertionError("the row of service_clock is made with the schema")
    return LedgerView(
        halted=why_halted(row if row["flagged"] else None),
        unsteady=unsteady,
        history=tuple(PastAttempt.model_validate(past) for past in row["history"] or ()),
        claim=None if row["claim"] is None else Claim.model_validate(row["claim"]),
    )


async def claim(connection: Connection, target: str) -> Claim | None:
    """Who holds a target."""
    row = await connection.fetchrow(f"SELECT {CLAIM_COLUMNS} FROM claims WHERE target = $1", target)
    return None if row is None else as_claim(row)


def as_claim(row: asyncpg.Record) -> Claim:
    """A row of `claims`."""
    return Claim.model_validate(dict(row))


async def halted(connection: Connection) -> str | None:
    """Why the flag halts, in words, or None."""
    row = await connection.fetchrow(HALTED)
    return why_halted(row)


def why_halted(row: asyncpg.Record | None) -> str | None:
    """The flag's reason. A missing flag halts: nobody can say that acting is allowed."""
    if row is None:
        return "the halt flag is missing from the database"
    why: str | None = row["why"]
    return why


async def promotion(connection: Connection, rule: str, acting_hash: str) -> Autonomy | None:
    """The newest word on how far an acting part may go."""
    level = await connection.fetchval(
        "SELECT level FROM promotions WHERE rule = $1 AND acting_hash = $2 ORDER BY id DESC LIMIT 1",
        rule,
        acting_hash,
    )
    return None if level is None else Autonomy[level.upper()]
