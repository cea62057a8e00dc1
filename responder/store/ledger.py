"""The ledger: attempts, the claims they hold, and promotions.

A claim lasts from intent to verdict. A quarantined one is released by a person alone: neither a verdict nor
an undo gets past it.
"""

import re
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from responder.clients.boottime import boottime
from responder.decide.case import (
    AttemptEnd,
    AttemptVerdict,
    IntentLost,
    LedgerQuestion,
    LedgerView,
    OpenIncidents,
    Quarantine,
)
from responder.model.attempt import Attempt, Claim, Intent, Outcome, OwnAct, PastAttempt, Quarantined
from responder.model.autonomy import Autonomy
from responder.model.breaker import Breaker
from responder.model.budget import BudgetScope
from responder.model.incident import SAMPLE, Incident
from responder.store import breakers, budgets, give_backs, restraints
from responder.store.clock import ServiceClock
from responder.store.connection import Connection
from responder.store.inhibition import UNDER_WAY
from responder.store.storable import storable_json, storable_text

_PLACE = re.compile(r"\$(\d+)")

ATTEMPT_COLUMNS = """
id, incident_id, rule, step, action, params, target, elements, results, outcome, verdict, intended_at,
start_before, timeout_s, ended_at, verdict_at, fenced, undo_of, all_of, part, approval, state_before,
state_after
"""

_INTEND_AT = """
INSERT INTO attempts (id, incident_id, rule, step, action, params, target, elements, outcome, intended_at,
                      start_before, timeout_s, fenced, undo_of, state_before)
SELECT $1::uuid, $2::uuid, $3::text, $4::integer, $5::text, $6::text::jsonb, $7::text, $8::text::jsonb,
       $9::text, {at}, {until}, $12::double precision, $13::boolean, $14::uuid,
       $15::text::jsonb
"""

_INTEND = _INTEND_AT.format(at="$10::timestamptz", until="$11::timestamptz")

_INTEND_UNDO = f"{_INTEND} RETURNING {ATTEMPT_COLUMNS}"

_TAKE_OVER = """
UPDATE claims SET attempt_id = $2, since = $3 WHERE attempt_id = $1 AND target = $4 AND NOT quarantined
RETURNING 1
"""

_IF_FREE = "ON CONFLICT (target) DO NOTHING"

_CLAIM = f"""
INSERT INTO claims (target, attempt_id, incident_id, rule, since)
VALUES ({{target}}, {{attempt}}, {{incident}}, {{rule}}, {{now}})
{_IF_FREE}
RETURNING 1
"""

_CLAIM_ALONE = _CLAIM.format(target="$1", attempt="$2", incident="$3", rule="$4", now="$5")

_NEWEST = """
SELECT id FROM attempts WHERE rule = {rule} AND target = {target}
ORDER BY intended_at DESC, number DESC LIMIT 1
"""

_STILL = f"""
SELECT ({_NEWEST.format(rule="$3", target="$7")}) IS NOT DISTINCT FROM $16 AS in_order,
       NOT EXISTS (SELECT FROM breakers WHERE rule = $3 AND reset_at IS NULL) AS whole
"""
"""What raced with judging: attempts of other incidents, on which the limits count, and the rule's breaker."""

_INTEND_SAFE = f"""
WITH claim AS ({_CLAIM.format(target="$7", attempt="$1", incident="$2", rule="$3", now="$10")}),
still AS MATERIALIZED ({_STILL}),
attempt AS ({_INTEND} FROM claim, still WHERE in_order AND whole RETURNING {ATTEMPT_COLUMNS})
SELECT EXISTS (SELECT FROM claim) AS claimed, in_order, whole, true AS affordable, attempt.*
FROM still LEFT JOIN attempt ON true
"""

_NOW = "greatest($10::timestamptz, {ready}.at)"
"""The clock that everybody goes by: what a process takes for the time may be behind it."""

_INTEND_WHERE = f"""
still AS MATERIALIZED (SELECT FROM {{ready}}, ({_STILL}) AS s WHERE in_order AND whole),
claim AS (
    INSERT INTO claims (target, attempt_id, incident_id, rule, since)
    SELECT $7::text, $1::uuid, $2::uuid, $3::text, $10::timestamptz FROM still
    {_IF_FREE}
    RETURNING 1
),
attempt AS (
    {_INTEND_AT.format(at=_NOW, until=f"{_NOW} + ($11::timestamptz - $10::timestamptz)")}
    FROM claim, {{ready}} RETURNING {ATTEMPT_COLUMNS}
)
"""
"""Of a safe step its claim and its attempt, where `ready` has a row and nothing raced with judging."""

_CLAIM_AND_LOCK = f"""
WITH claim AS ({_CLAIM.format(target="$1", attempt="$2", incident="$3", rule="$4", now="$5")})
{budgets.LOCK.format(now="$5", namespace="$6", target="$1", claim="claim")}
"""
"""A statement of its own: only a later one counts what others had spent before the locks were given up."""

_INTEND_DISRUPTIVE = f"""
WITH still AS MATERIALIZED (
    SELECT s.*, ({budgets.left("$7", "$17", "$18", ("$19", "$20", "$21"))}) AS affordable FROM ({_STILL}) s
),
attempt AS ({_INTEND} FROM still WHERE in_order AND whole AND affordable RETURNING {ATTEMPT_COLUMNS}),
start AS (INSERT INTO starts (attempt_id, at, target, namespace)
          SELECT id, intended_at, target, $17 FROM attempt)
SELECT true AS claimed, in_order, whole, affordable, attempt.* FROM still LEFT JOIN attempt ON true
"""

_END = """
UPDATE attempts SET outcome = $2, results = $3::text::jsonb, state_after = $4::text::jsonb, ended_at = $5
WHERE id = $1
"""

_VERDICT = """
UPDATE attempts SET verdict = coalesce(verdict, $2), verdict_at = coalesce(verdict_at, $3)
WHERE id = $1 OR (all_of = $1 AND undo_of IS NULL)
"""
"""Of an `all:` it is that of each part."""

_RELEASE = "DELETE FROM claims WHERE attempt_id = $1 AND NOT quarantined"

_QUARANTINE = "UPDATE claims SET quarantined = true, reason = $2 WHERE attempt_id = $1 AND NOT quarantined"

_SAME_LADDER = "coalesce(incident_id = $4 AND intended_at >= $5, false)"

_OF_TARGET = """
FROM (
    SELECT a.incident_id, a.intended_at, a.ended_at, a.outcome, a.verdict
    FROM attempts a WHERE a.rule = $1 AND a.target = $2 AND a.undo_of IS NULL
         AND (a.all_of IS NULL OR NOT EXISTS (
             SELECT FROM attempts e WHERE e.all_of = a.all_of AND e.number < a.number AND e.target = a.target
                                          AND e.undo_of IS NULL AND e.outcome <> 'not_done'))
    UNION ALL
    SELECT incident_id, at, at, 'done', NULL
    FROM shadow_runs WHERE $14::boolean AND rule = $1 AND target = $2 AND ruling = 'go'
) tried WHERE true
"""
"""What was tried on a target; in shadow what would have been, too. Shadow's own counts for nobody else.

The parts of an `all:` are one attempt on each of its targets: the first counts that may have happened."""

_PAST = f"""
SELECT jsonb_agg(jsonb_build_object(
           'intended_at', intended_at, 'ended_at', ended_at, 'spent', outcome <> 'not_done',
           'verdict', verdict, 'same_ladder', {_SAME_LADDER})
       ORDER BY intended_at)
FROM (
    (SELECT * {_OF_TARGET} AND intended_at >= $3)
    UNION ALL (SELECT * {_OF_TARGET} AND intended_at < $3 ORDER BY intended_at DESC LIMIT 1)
) past
"""
"""What the limits count: attempts of (rule, target) in any incident. An undo is no attempt.

The last one before that time is there, too: it may have ended after it, and the cooldown counts from the end.
"""

_RECURRED = f"""
SELECT count(DISTINCT incident_id) {_OF_TARGET}
       AND outcome <> 'not_done' AND intended_at > $6 AND NOT {_SAME_LADDER}
"""

_OPEN_COUNTED = 200
"""So many are counted in any case: in a storm each one that looks must not look at all of them."""

_OTHERS_NAMED = 3

_OPEN = f"""
-- What a person opened under the rule's name is not one more that the rule's alerts did.
WITH others AS MATERIALIZED (
    SELECT i.id, i.key FROM incidents i
    WHERE i.rule = $1 AND i.id <> $4 AND i.by_hand IS NULL AND {UNDER_WAY.format(now="$17")}
    LIMIT greatest($7::integer, {_OPEN_COUNTED} - 1)
)
SELECT jsonb_build_object(
    'count', 1 + (SELECT count(*) FROM others),
    'more', (SELECT count(*) FROM others) = greatest($7, {_OPEN_COUNTED} - 1),
    'others', ARRAY(
        SELECT (SELECT left(string_agg(l.name || '=' || left(l.value, 60), ', ' ORDER BY l.name), 120)
                FROM jsonb_each_text(o.key) AS l (name, value))
        FROM others o WHERE o.key <> '{{}}' ORDER BY o.id LIMIT {_OTHERS_NAMED}))
WHERE $7 IS NOT NULL
"""
"""The incident that asks is one of them in any case: its own opening may still be being written."""

_FLAPPED = f"""
SELECT max(episode.joined_at)
FROM (
    SELECT source, fingerprint FROM members
    WHERE incident_id = $4 AND firing AND $2 IS NOT NULL ORDER BY joined_at DESC LIMIT {SAMPLE}
) f, LATERAL (
    SELECT e.joined_at FROM (
        SELECT DISTINCT ON (m.generation) m.generation, m.joined_at FROM members m
        WHERE m.source = f.source AND m.fingerprint = f.fingerprint
        ORDER BY m.generation DESC
    ) e ORDER BY e.generation DESC OFFSET $8::integer - 1 LIMIT 1
) episode
"""
"""Of alerts that fire, those that joined last: what flaps has just joined again. Episodes are numbered by
alert, so the n-th newest of each is found by its key, whichever incidents it belonged to: it joined the
incidents of all rules that took it at one moment."""

_OWN_ACT = """
SELECT to_jsonb(a) FROM (
    SELECT target, rule, incident_id, intended_at AS at FROM attempts
    WHERE intended_at > $15 AND intended_at <= $16 AND (target = $2 OR starts_with(target, $9 || '/'))
          AND incident_id <> $4 AND outcome <> 'not_done' AND (rule, target) <> ($1, $2)
    ORDER BY intended_at DESC LIMIT 1
) a
"""

_AS_PART = f"""
UPDATE attempts SET all_of = $2, part = $3 WHERE id = $1 RETURNING {ATTEMPT_COLUMNS}
"""

_START = "INSERT INTO starts (attempt_id, at, target, namespace) VALUES ($1, $2, $3, $4)"

_STILL_CLAIMED = "SELECT 1 FROM claims WHERE target = $1 AND attempt_id = $2 AND NOT quarantined FOR UPDATE"

_STILL_OF = f"""
SELECT ({_NEWEST.format(rule="$1", target="$2")}) IS NOT DISTINCT FROM $3 AS in_order,
       NOT EXISTS (SELECT FROM breakers WHERE rule = $1 AND reset_at IS NULL) AS whole
"""

_USE_UP = """
UPDATE attempts SET approval = $2
WHERE id = $1 AND NOT EXISTS (SELECT FROM attempts WHERE approval = $2)
RETURNING 1
"""

CLAIM_COLUMNS = """
target, attempt_id, incident_id, rule, since, quarantined, reason,
(SELECT i.by_hand ->> 'actor' FROM incidents i WHERE i.id = incident_id) AS asked_by
"""

_PROVEN_BY = """
(SELECT i.deadline FROM incidents i WHERE i.id = claims.incident_id AND i.state = 'verifying') AS proven_by
"""

_VIEW = f"""
SELECT wall_clock() AS wall, shift, taken_back, quiet_until, quiet_why,
       {restraints.FLAGGED}, ({restraints.STANDING}) AS restraints, ({_PAST}) AS history,
       ({_NEWEST.format(rule="$1", target="$2")}) AS newest, ({_RECURRED}) AS recurred,
       ({_OPEN}) AS open_incidents, ({_FLAPPED}) AS flapped_at,
       ({budgets.view("$2", "$9", "$10", ("$11", "$12", "$13"))}) AS budgets,
       (SELECT to_jsonb(b) FROM (SELECT {breakers.COLUMNS} FROM breakers
                                 WHERE rule = $1 AND reset_at IS NULL) b) AS breaker,
       (SELECT to_jsonb(c) FROM (
          SELECT {CLAIM_COLUMNS}, {_PROVEN_BY} FROM claims WHERE target = $2
       ) c) AS claim,
       ({_OWN_ACT}) AS own_act
FROM service_clock
"""


def intend_where(ready: str, first: int) -> str:
    """SQL of the parts `still`, `claim` and `attempt` of a WITH, given `values_of_safe` from $`first` on.

    `ready` names a part of it before these, with the time in a column `at`.

    No attempt comes of it where `ready` is empty, somebody else holds the target, or others acted meanwhile.
    """
    sql = _INTEND_WHERE.format(ready=ready)
    return _PLACE.sub(lambda place: f"${int(place[1]) + first - 1}", sql)


def values_of_safe(intent: Intent, now: datetime) -> tuple[Any, ...]:
    """What `intend_where` is given."""
    return (*_of_intent(intent, now), intent.newest_known)


async def write_intent(connection: Connection, intent: Intent, now: datetime) -> Attempt | IntentLost:
    """Claim the target, look again at what raced with judging, and write the attempt.

    Where one of these says no nothing may be kept: the caller's transaction must be rolled back.
    """
    values = _of_intent(intent, now)
    if intent.all_of is not None:
        return await _write_part(connection, intent, values, now)
    if intent.undo_of is not None:
        return await _write_undo(connection, intent, values, now)
    if not intent.disruptive:
        row = await connection.fetchrow(_INTEND_SAFE, *values_of_safe(intent, now))
    elif await _claimed_and_locked(connection, intent, now):
        row = await connection.fetchrow(
            _INTEND_DISRUPTIVE, *values, intent.newest_known, *_spends(intent, now)
        )
    else:
        return IntentLost.CLAIMED
    return _written(row)


def _of_intent(intent: Intent, now: datetime) -> tuple[Any, ...]:
    """What `_INTEND` is given: $1 to $15."""
    return (
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


def _spends(intent: Intent, now: datetime) -> tuple[Any, ...]:
    """What `_INTEND_DISRUPTIVE` is given of budgets: $17 to $21."""
    allowed = (intent.budgets.allowed(scope) for scope in BudgetScope)
    return (intent.namespace, now - intent.budgets.within, *allowed)


async def _claimed_and_locked(connection: Connection, intent: Intent, now: datetime) -> bool:
    """Claim the target and lock its budgets; False where somebody else holds it."""
    new = (intent.target, intent.attempt_id, intent.incident_id, intent.rule, now, intent.namespace)
    return await connection.fetchval(_CLAIM_AND_LOCK, *new) is not None


def _written(row: asyncpg.Record | None) -> Attempt | IntentLost:
    """The attempt, or the first thing that was in its way."""
    if row is None:
        raise AssertionError("what is looked at again is one row")
    written = dict(row)
    in_the_way = {
        "claimed": IntentLost.CLAIMED,
        "in_order": IntentLost.OVERTAKEN,
        "whole": IntentLost.BROKEN,
        "affordable": IntentLost.BUDGET,
    }
    lost = [reason for look, reason in in_the_way.items() if not written.pop(look)]
    return lost[0] if lost else Attempt.model_validate(written)


async def _write_undo(
    connection: Connection, intent: Intent, values: tuple[Any, ...], now: datetime
) -> Attempt | IntentLost:
    """An undo does less, not more: no limit, no breaker and no budget is in its way."""
    row = await connection.fetchrow(_INTEND_UNDO, *values)
    if row is None:
        raise AssertionError("an insert with RETURNING and no conflict clause gives a row")
    claimed = await _taken_over(connection, intent, now)
    return Attempt.model_validate(dict(row)) if claimed else IntentLost.CLAIMED


async def _write_part(
    connection: Connection, intent: Intent, values: tuple[Any, ...], now: datetime
) -> Attempt | IntentLost:
    """A part of an `all:`: the first claims and checks for all, a further one goes on under its claims."""
    first = intent.all_of == intent.attempt_id
    lost = await (_group_lost(connection, intent, now) if first else _part_lost(connection, intent, now))
    if lost is not None:
        return lost
    await connection.execute(_INTEND, *values)
    row = await connection.fetchrow(_AS_PART, intent.attempt_id, intent.all_of, intent.part)
    if row is None:
        raise AssertionError("the attempt was written in this transaction")
    for one in intent.group:
        if one.disruptive:
            await connection.execute(_START, intent.attempt_id, now, one.target, one.namespace)
    return Attempt.model_validate(dict(row))


async def _part_lost(connection: Connection, intent: Intent, now: datetime) -> IntentLost | None:
    """Its target is claimed by the first attempt still; what takes a part back may claim another."""
    if await connection.fetchval(_STILL_CLAIMED, intent.target, intent.all_of) is not None:
        return None
    if intent.undo_of is None:
        return IntentLost.CLAIMED
    new = (intent.target, intent.all_of, intent.incident_id, intent.rule, now)
    claimed = await connection.fetchval(_CLAIM_ALONE, *new) is not None
    return None if claimed else IntentLost.CLAIMED


async def _group_lost(connection: Connection, intent: Intent, now: datetime) -> IntentLost | None:
    """Claim all targets in the order of their keys, lock what they spend, look again at what raced."""
    for one in intent.group:
        new = (one.target, intent.attempt_id, intent.incident_id, intent.rule, now)
        if await connection.fetchval(_CLAIM_ALONE, *new) is None:
            return IntentLost.CLAIMED
    spending = [one for one in intent.group if one.disruptive]
    if spending:
        await budgets.lock(connection, [(one.target, one.namespace) for one in spending], now)
    for one in intent.group:
        seen = await connection.fetchrow(_STILL_OF, intent.rule, one.target, one.newest_known)
        if seen is None or not seen["in_order"]:
            return IntentLost.OVERTAKEN
        if not seen["whole"]:
            return IntentLost.BROKEN
    since = now - intent.budgets.within
    places = [(one.target, one.namespace) for one in spending]
    affordable = await budgets.all_left(connection, places, since, intent.budgets)
    return None if affordable else IntentLost.BUDGET


async def _taken_over(connection: Connection, intent: Intent, now: datetime) -> bool:
    """Claim the target for an undo: from the attempt that it takes back, where that still holds it."""
    taken = await connection.fetchval(_TAKE_OVER, intent.undo_of, intent.attempt_id, now, intent.target)
    if taken is not None:
        return True
    new = (intent.target, intent.attempt_id, intent.incident_id, intent.rule, now)
    return await connection.fetchval(_CLAIM_ALONE, *new) is not None


async def use_up(connection: Connection, attempt: UUID, approval: UUID) -> bool:
    """Bind an approval to its one attempt; False, and nothing is written, where another one has it."""
    written = await connection.fetchval(_USE_UP, attempt, approval)
    return written is not None


async def write_end(connection: Connection, end: AttemptEnd, now: datetime) -> None:
    """Write the outcome of an attempt."""
    after = None if end.state_after is None else storable_json(end.state_after)
    results = storable_json([result.model_dump(mode="json") for result in end.results])
    await connection.execute(_END, end.attempt_id, end.outcome.value, results, after, now)
    if end.give_back_after is not None:
        await give_backs.owe(connection, end.attempt_id, end.give_back_after, now)


async def write_verdict(connection: Connection, verdict: AttemptVerdict, now: datetime) -> None:
    """Write the verdict of an attempt and release its claim, unless that stays or is quarantined."""
    if not verdict.claim_stays:
        await connection.execute(_RELEASE, verdict.attempt_id)
    await connection.execute(_VERDICT, verdict.attempt_id, verdict.verdict, now)
    if verdict.breaks_after is not None:
        await breakers.open_after(connection, verdict.attempt_id, verdict.breaks_after, now)


async def write_quarantine(connection: Connection, quarantine: Quarantine) -> None:
    """Mark the claim of an attempt of which nobody knows whether it happened."""
    await connection.execute(_QUARANTINE, quarantine.attempt_id, storable_text(quarantine.reason))


async def attempts_of(connection: Connection, incident_id: UUID) -> tuple[Attempt, ...]:
    """All attempts of an incident, in the order of their intents."""
    query = f"SELECT {ATTEMPT_COLUMNS} FROM attempts WHERE incident_id = $1 ORDER BY number"
    return tuple(Attempt.model_validate(dict(row)) for row in await connection.fetch(query, incident_id))


_QUARANTINED = """
SELECT target, attempt_id, reason, released_at, released_by
FROM (
    SELECT c.target, c.attempt_id, c.reason, NULL::timestamptz AS released_at, NULL AS released_by, a.number
    FROM attempts a JOIN claims c ON c.attempt_id = a.id
    WHERE a.incident_id = $1 AND c.quarantined
    UNION ALL
    SELECT r.target, r.attempt_id, r.held_for, r.released_at, r.actor, a.number
    FROM attempts a JOIN releases r ON r.attempt_id = a.id WHERE a.incident_id = $1
) left_behind
ORDER BY number
"""


async def quarantined_by(connection: Connection, incident_id: UUID) -> tuple[Quarantined, ...]:
    """What the attempts of an incident have left quarantined, released or not, in their order."""
    rows = await connection.fetch(_QUARANTINED, incident_id)
    return tuple(Quarantined.model_validate(dict(row)) for row in rows)


async def attempt(connection: Connection, attempt_id: UUID) -> Attempt | None:
    """One attempt, or None where there is none of that id."""
    query = f"SELECT {ATTEMPT_COLUMNS} FROM attempts WHERE id = $1"
    row = await connection.fetchrow(query, attempt_id)
    return None if row is None else Attempt.model_validate(dict(row))


async def view(
    connection: Connection, clock: ServiceClock, question: LedgerQuestion, incident: Incident
) -> LedgerView:
    """Everything that the ledger has to say on one step, as of one moment."""
    before = boottime()
    row = await connection.fetchrow(_VIEW, *_asked(question, incident))
    unsteady = clock.unsteady_by(row, before)
    if row is None:
        raise AssertionError("the row of service_clock is made with the schema")
    return LedgerView(
        restraints=restraints.as_restraints(row),
        unsteady=unsteady,
        history=tuple(PastAttempt.model_validate(past) for past in row["history"] or ()),
        newest=row["newest"],
        claim=None if row["claim"] is None else Claim.model_validate(row["claim"]),
        flapped_at=row["flapped_at"],
        recurred=row["recurred"],
        breaker=None if row["breaker"] is None else Breaker.model_validate(row["breaker"]),
        open_incidents=_open_incidents(row["open_incidents"]),
        budgets=budgets.as_budgets(row["budgets"], question) if _spends_any(question) else (),
        own_act=None if row["own_act"] is None else OwnAct.model_validate(row["own_act"]),
    )


def _asked(question: LedgerQuestion, incident: Incident) -> tuple[Any, ...]:
    """What `_VIEW` is given. What is not counted is asked for since no time."""
    now, limits, allowed = question.now, question.limits, question.budgets
    recurrence = limits.recurrence
    return (
        question.rule,
        question.target,
        now - max(limits.per, limits.cooldown),
        incident.id,
        incident.progress.opened_at,
        None if recurrence is None else now - recurrence.within,
        limits.only_if_open_at_most,
        question.flapping.episodes,
        question.namespace,
        now - allowed.within if _spends_any(question) else None,
        *(allowed.allowed(scope) for scope in BudgetScope),
        question.shadow,
        question.acts_since,
        incident.opened_at,
        now,
    )


def _spends_any(question: LedgerQuestion) -> bool:
    return question.disruptive and question.target is not None


def _open_incidents(told: dict[str, Any] | None) -> OpenIncidents | None:
    return None if told is None else OpenIncidents.model_validate(told)


async def claim(connection: Connection, target: str) -> Claim | None:
    """Who holds a target."""
    row = await connection.fetchrow(f"SELECT {CLAIM_COLUMNS} FROM claims WHERE target = $1", target)
    return None if row is None else as_claim(row)


def as_claim(row: asyncpg.Record) -> Claim:
    """A row of `claims`."""
    return Claim.model_validate(dict(row))


async def promotion(connection: Connection, rule: str, acting_hash: str) -> Autonomy | None:
    """The newest word on how far an acting part may go."""
    level = await connection.fetchval(
        "SELECT level FROM promotions WHERE rule = $1 AND acting_hash = $2 ORDER BY id DESC LIMIT 1",
        rule,
        acting_hash,
    )
    return None if level is None else Autonomy[level.upper()]
