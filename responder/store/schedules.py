"""Rows of `schedules` and `scheduled_runs`: what is planned, what became of it, and whose a run is.

Whoever decides for a rule holds the row of its plan: of two replicas the second finds nothing left to
decide. Beside that a planned time has one row at most, and a rule one run that goes on, whatever decides.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from responder.decide.schedules import Due
from responder.model.redaction import SHIPPED, Redaction
from responder.model.schedule import (
    SCHEDULES_SOURCE,
    PlanStanding,
    RunReport,
    RunState,
    ScheduledRun,
    ScheduleStanding,
)
from responder.ports import RunAsked
from responder.store.clock import ServiceClock
from responder.store.connection import Connection, Lane
from responder.store.ids import uuid7
from responder.store.storable import storable_json, storable_text
from responder.store.transaction import transaction

_ALIVE = "EXISTS (SELECT FROM workers w WHERE w.id = {id} AND w.heartbeat_at > {now} - {lease}::interval)"
_GOES = "state IN ('waiting', 'running', 'found')"
_NEWEST_FIRST = "at DESC, planned_for DESC NULLS FIRST, id DESC"
_ACTIVE = "EXISTS (SELECT FROM active_rulebook WHERE hash = $1)"

_STANDING = f"""
SELECT s.rule, s.plan, s.decided_to, to_jsonb(r) AS going,
       (SELECT to_jsonb(l) FROM scheduled_runs l WHERE l.rule = s.rule AND NOT l.{_GOES}
        ORDER BY {_NEWEST_FIRST} LIMIT 1) AS last,
       {_ALIVE.format(id="r.owner", now="$1::timestamptz", lease="$2")} AS owner_alive
FROM schedules s LEFT JOIN scheduled_runs r ON r.rule = s.rule AND r.{_GOES}
WHERE $3::text IS NULL OR s.rule = $3
ORDER BY s.rule
"""

_BEGIN_PLANS = """
INSERT INTO schedules (rule, plan, decided_to) SELECT *, civil_time() FROM unnest($1::text[], $2::text[])
ON CONFLICT (rule) DO UPDATE SET plan = excluded.plan, decided_to = excluded.decided_to
WHERE schedules.plan <> excluded.plan
"""
_END_PLANS = "DELETE FROM schedules WHERE rule <> ALL($1::text[])"
_END_RUNS = f"""
UPDATE scheduled_runs
SET state = 'ended', owner = NULL, ended_at = $2, why = 'its rule is not planned any more'
WHERE rule <> ALL($1::text[]) AND {_GOES}
"""

_INSERT = """
INSERT INTO scheduled_runs
    (id, rule, rulebook_hash, state, planned_for, planned_from, missed, why, owner, epoch, at, deadline)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT DO NOTHING RETURNING *
"""
_SET_BACK = """
UPDATE scheduled_runs SET planned_for = NULL,
    why = coalesce(why, format('planned for %s by a clock that was set back since', planned_for))
WHERE rule = $1 AND planned_for > $2
"""

_BEGIN = f"""
UPDATE scheduled_runs r SET state = 'running', owner = $3, epoch = epoch + 1, deadline = $4::timestamptz + $5
WHERE r.id = $1 AND r.epoch = $2 AND r.state IN ('waiting', 'running')
  AND {_ALIVE.format(id="$3", now="$4::timestamptz", lease="$6")}
RETURNING *
"""
_FOUND = """
UPDATE scheduled_runs SET state = 'found', owner = $3, report = $4::text::jsonb, found_at = $5
WHERE id = $1 AND epoch = $2 AND state = 'running' RETURNING *
"""
_TELL = """
UPDATE scheduled_runs SET owner = $3, epoch = epoch + 1 WHERE id = $1 AND epoch = $2 AND state = 'found'
RETURNING *
"""
_ENDED = """
UPDATE scheduled_runs SET state = 'ended', owner = NULL, ended_at = $3
WHERE id = $1 AND epoch = $2 AND state = 'found' RETURNING 1
"""
_LEAVE = f"UPDATE scheduled_runs SET owner = NULL WHERE owner = $1 AND {_GOES}"

_OPEN = (
    "SELECT labels FROM alerts WHERE source = $1 AND ends_at IS NULL AND generation > 0 ORDER BY fingerprint"
)

_EXPIRE = f"""
WITH old AS (DELETE FROM scheduled_runs WHERE at < $1 AND NOT {_GOES} RETURNING 1) SELECT count(*) FROM old
"""

_RUNS = f"SELECT * FROM scheduled_runs WHERE rule = $1 ORDER BY {_NEWEST_FIRST} LIMIT $2"
_NEWEST = f"SELECT DISTINCT ON (rule) * FROM scheduled_runs ORDER BY rule, {_NEWEST_FIRST} LIMIT $1"

_ASK = """
INSERT INTO scheduled_runs (id, rule, rulebook_hash, state, asked_by, reason, at)
VALUES ($1, $2, $3, 'waiting', $4, $5, $6) ON CONFLICT DO NOTHING RETURNING *
"""
_GOING = (
    f"SELECT * FROM scheduled_runs WHERE id = $1 OR (rule = $2 AND {_GOES}) ORDER BY id = $1 DESC LIMIT 1"
)


class PostgresSchedules:
    """See `ports.Schedules` and `ports.ScheduleDesk` for what each method promises."""

    def __init__(
        self, lane: Lane, clock: ServiceClock, lease_time: timedelta, redaction: Redaction = SHIPPED
    ) -> None:
        self._lane = lane
        self._clock = clock
        self._lease_time = lease_time
        self._redaction = redaction

    async def follow(self, plans: Mapping[str, str], rulebook: str) -> bool:
        """See `ports.Schedules.follow`."""
        async with transaction(self._lane) as connection:
            if not await connection.fetchval(f"SELECT {_ACTIVE}", rulebook):
                return False
            await connection.execute(_BEGIN_PLANS, list(plans), list(plans.values()))
            await connection.execute(_END_PLANS, list(plans))
            await connection.execute(_END_RUNS, list(plans), await self._clock.now(connection))
        return True

    async def standing(self) -> ScheduleStanding:
        """See `ports.Schedules.standing`."""
        async with self._lane.connection() as connection:
            now, civil = await self._times(connection)
            rows = await connection.fetch(_STANDING, now, self._lease_time, None)
        return ScheduleStanding(now=now, civil=civil, plans=tuple(_plan(row) for row in rows))

    async def decide(
        self,
        rule: str,
        rulebook: str,
        worker_id: UUID,
        lasts: timedelta,
        judge: Callable[[PlanStanding, datetime], Due | None],
    ) -> Sequence[ScheduledRun]:
        """See `ports.Schedules.decide`."""
        async with transaction(self._lane) as connection:
            lock = f"SELECT 1 FROM schedules WHERE rule = $2 AND {_ACTIVE} FOR UPDATE"
            if not await connection.fetchval(lock, rulebook, rule):
                return ()
            now, civil = await self._times(connection)
            row = await connection.fetchrow(_STANDING, now, self._lease_time, rule)
            due = None if row is None else judge(_plan(row), civil)
            if due is None:
                return ()
            if due.set_back:
                await connection.execute(_SET_BACK, rule, civil)
            rows = [
                await connection.fetchrow(_INSERT, uuid7(now), rule, rulebook, *values)
                for values in _decided(due, worker_id, now, lasts)
            ]
            moved = "UPDATE schedules SET decided_to = $2 WHERE rule = $1"
            await connection.execute(moved, rule, due.decided_to)
        return tuple(_run(row) for row in rows if row is not None)

    async def begin(self, run: ScheduledRun, worker_id: UUID, lasts: timedelta) -> ScheduledRun | None:
        """See `ports.Schedules.begin`."""
        async with transaction(self._lane) as connection:
            now = await self._clock.now(connection)
            row = await connection.fetchrow(
                _BEGIN, run.id, run.epoch, worker_id, now, lasts, self._lease_time
            )
        return None if row is None else _run(row)

    async def found(self, run: ScheduledRun, report: RunReport, worker_id: UUID) -> ScheduledRun | None:
        """See `ports.Schedules.found`. What was answered goes through the redaction."""
        kept = storable_json(self._redaction.value(report).model_dump(mode="json"))
        async with transaction(self._lane) as connection:
            now = await self._clock.now(connection)
            row = await connection.fetchrow(_FOUND, run.id, run.epoch, worker_id, kept, now)
        return None if row is None else _run(row)

    async def tell(self, run: ScheduledRun, worker_id: UUID) -> ScheduledRun | None:
        """See `ports.Schedules.tell`."""
        async with transaction(self._lane) as connection:
            row = await connection.fetchrow(_TELL, run.id, run.epoch, worker_id)
        return None if row is None else _run(row)

    async def ended(self, run: ScheduledRun) -> bool:
        """See `ports.Schedules.ended`."""
        async with transaction(self._lane) as connection:
            now = await self._clock.now(connection)
            kept = await connection.fetchval(_ENDED, run.id, run.epoch, now)
        return kept is not None

    async def leave(self, worker_id: UUID) -> None:
        """See `ports.Schedules.leave`."""
        async with transaction(self._lane) as connection:
            await connection.execute(_LEAVE, worker_id)

    async def open_findings(self) -> Sequence[Mapping[str, str]]:
        """See `ports.Schedules.open_findings`."""
        async with self._lane.connection() as connection:
            return [row["labels"] for row in await connection.fetch(_OPEN, SCHEDULES_SOURCE)]

    async def expire(self, kept_for: timedelta) -> int:
        """See `ports.Schedules.expire`."""
        async with transaction(self._lane) as connection:
            before = await self._clock.now(connection) - kept_for
            removed: int = await connection.fetchval(_EXPIRE, before)
        return removed

    async def runs(self, rule: str | None, limit: int) -> Sequence[ScheduledRun]:
        """See `ports.ScheduleDesk.runs`."""
        async with self._lane.connection() as connection:
            if rule is None:
                rows = await connection.fetch(_NEWEST, limit)
            else:
                rows = await connection.fetch(_RUNS, rule, limit)
        return [_run(row) for row in rows]

    async def run(self, run_id: UUID) -> ScheduledRun | None:
        """See `ports.ScheduleDesk.run`."""
        async with self._lane.connection() as connection:
            row = await connection.fetchrow("SELECT * FROM scheduled_runs WHERE id = $1", run_id)
        return None if row is None else _run(row)

    async def ask(self, asked: RunAsked) -> tuple[ScheduledRun, bool]:
        """See `ports.ScheduleDesk.ask`."""
        who, why = (storable_text(self._redaction.text(text)) for text in (asked.actor, asked.reason))
        async with transaction(self._lane) as connection:
            now = await self._clock.now(connection)
            key = asked.key or uuid7(now)
            await connection.execute("SELECT FROM schedules WHERE rule = $1 FOR UPDATE", asked.rule)
            while True:
                row = await connection.fetchrow(_ASK, key, asked.rule, asked.rulebook, who, why, now)
                if row is not None:
                    return _run(row), True
                row = await connection.fetchrow(_GOING, key, asked.rule)
                if row is not None:  # else the one in the way has ended in between
                    return _run(row), False

    async def _times(self, connection: Connection) -> tuple[datetime, datetime]:
        now = await self._clock.now(connection)
        civil: datetime = await connection.fetchval("SELECT civil_time()")
        return now, civil


def _decided(due: Due, worker_id: UUID, now: datetime, lasts: timedelta) -> Sequence[tuple[Any, ...]]:
    """The rows of a decision, from their state on."""
    rows: list[tuple[Any, ...]] = []
    if due.missed is not None:
        one = due.missed
        why = "nobody was there in time"
        rows.append((RunState.MISSED.value, one.last, one.first, one.count, why, None, 0, now, None))
    if due.run is not None and due.skips:
        why = "the run before was still going"
        rows.append((RunState.SKIPPED.value, due.run, None, 0, why, None, 0, now, None))
    elif due.run is not None:
        rows.append((RunState.RUNNING.value, due.run, None, 0, None, worker_id, 1, now, now + lasts))
    return rows


def _plan(row: asyncpg.Record) -> PlanStanding:
    going, last = row["going"], row["last"]
    return PlanStanding(
        rule=row["rule"],
        plan=row["plan"],
        decided_to=row["decided_to"],
        going=None if going is None else ScheduledRun.model_validate(going),
        owner_alive=row["owner_alive"],
        last=None if last is None else ScheduledRun.model_validate(last),
    )


def _run(row: asyncpg.Record) -> ScheduledRun:
    return ScheduledRun.model_validate(dict(row))
