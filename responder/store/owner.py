"""What the owner of an incident writes, under the incident's row lock and its own epoch.

Each function is one transaction that first makes sure, under that lock, that the caller still owns the
incident: same worker, same epoch, heartbeat younger than the lease time. A deposed owner writes nothing.
Lock order: the incident, its claim, its budgets (global, namespace, target), then what is only appended to,
the words to people in the outbox among it.

What `has_to_last` is on disk when the function returns, an intent always. The rest may be forgotten by a
crash of PostgreSQL, together with all that came after it: an intent finds that by the length of the timeline.
"""

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from responder.clients.boottime import boottime
from responder.crash_points import Point, reached
from responder.decide.case import Case, Change, Finding, IntentLost
from responder.decide.clock import LEAST_JUMP, Unsteady
from responder.decide.run_on import has_to_last
from responder.model.attempt import Attempt, Intent
from responder.model.errors import DeposedError
from responder.ports import Lease
from responder.store import inhibition, ledger, outbox, restraints, shadow, timeline
from responder.store.clock import ServiceClock
from responder.store.connection import Connection, Lane
from responder.store.openings import NEWS_WITHIN
from responder.store.outbox import Wording
from responder.store.storable import storable_json, storable_text
from responder.store.timeline import Head, TimelineKeys
from responder.store.transaction import WITHOUT_WAITING, refusals, transaction

_ENDINGS_KEPT = 1024
"""More than this process works on at once."""

_MINE = """
SELECT id, wakes, severity, timeline_head, timeline_length, by_hand IS NOT NULL AS by_hand, xmin AS version
FROM incidents
WHERE id = $1 AND owner = $2 AND epoch = $5
FOR UPDATE
"""

_LOOK = f"""
       wall_clock() AS wall, shift, taken_back, quiet_until, quiet_why,
       (SELECT heartbeat_at FROM workers WHERE id = $2) AS heartbeat_at,
       EXISTS (SELECT FROM members WHERE incident_id = $1 AND firing) AS firing,
       EXISTS (SELECT FROM commands
               WHERE incident_id = $1 AND applied_at IS NULL AND id IS DISTINCT FROM $3) AS commanded,
       EXISTS (SELECT FROM findings
               WHERE incident_id = $1 AND told_at IS NULL AND id <> ALL ($4::uuid[])) AS found,
       NOT EXISTS (SELECT FROM halt WHERE NOT halted) AS halted, ({restraints.STANDING_IDS}) AS standing
"""

_LOCK_AND_LOOK = f"""
WITH mine AS MATERIALIZED ({_MINE} SKIP LOCKED)
SELECT mine.*, {_LOOK} FROM mine, service_clock
WHERE mine.version = (SELECT xmin FROM incidents WHERE id = $1)
"""
"""Both in one statement, where that is the same: nobody held the lock, so it was not waited for, and nobody
has written to the incident since the statement began, as all do who change what is looked at. No row: either
that, or it is owned by somebody else."""

_LOCK = _MINE.replace("$5", "$3")

_UNDER_LOCK = f"SELECT {_LOOK} FROM service_clock"

_SET = """
SET state_since = CASE WHEN state = $11 THEN state_since ELSE $2 END,
    state = $11, progress = $12::text::jsonb, severity = coalesce($13, severity), deadline = $14,
    due_at = $15, timeline_head = $16, timeline_length = $17, owner = CASE WHEN $18 THEN NULL ELSE owner END,
    rulebook_hash = coalesce($19, rulebook_hash)
"""

_CHANGE = f"WITH told AS ({timeline.APPEND}) UPDATE incidents {_SET} WHERE id = $1"

_FINDING = """
INSERT INTO findings (id, incident_id, action, summary, facts, found_at)
VALUES ($1, $2, $3, $4, $5::text::jsonb, $6)
ON CONFLICT DO NOTHING
"""

_WAKE = "UPDATE incidents SET wakes = wakes + 1, due_at = least(due_at, $2) WHERE id = $1"


@dataclass(frozen=True, slots=True)
class _Locked:
    """An owned incident under its lock: what is true now, and stays so until the transaction ends."""

    id: UUID
    now: datetime
    wakes: int
    severity: str
    firing: bool
    by_hand: bool
    unsteady: Unsteady | None
    commanded: bool
    """Whether a person's word waits that the change does not apply."""
    found: bool
    """Whether evidence waits that the change does not tell."""
    halted: bool
    """Whether the flag halts everything, or is missing."""
    standing: frozenset[int]
    """Every restraint that stands."""
    head: Head


_CHANGE_IN_PASSING = f"{_CHANGE} RETURNING {WITHOUT_WAITING}"

_AT_ONCE = f"""
WITH mine AS MATERIALIZED (
    SELECT i.id FROM incidents i, service_clock, workers w
    WHERE i.id = $1 AND i.owner = $20 AND i.epoch = $21 AND i.wakes = $22 AND i.timeline_length = $23
          AND w.id = i.owner AND w.heartbeat_at > wall_clock() + shift - $24::interval
          AND wall_clock() + shift BETWEEN $2::timestamptz - $25::interval AND $2::timestamptz + $25::interval
    FOR UPDATE OF i SKIP LOCKED
),
told AS ({timeline.APPEND} WHERE EXISTS (SELECT FROM mine))
UPDATE incidents {_SET} WHERE id = (SELECT id FROM mine) RETURNING {WITHOUT_WAITING}
"""
"""A change in passing, in one statement that commits itself: where its owner knows what the timeline ends
with, nothing has happened to the incident since it was loaded, and its lock is free."""


_INTEND_AT_ONCE = f"""
WITH mine AS MATERIALIZED (
    SELECT i.id, i.xmin AS version FROM incidents i, service_clock, workers w
    WHERE i.id = $1 AND i.owner = $20 AND i.epoch = $21 AND i.timeline_length = $22 AND i.timeline_head = $23
          AND w.id = i.owner AND w.heartbeat_at > wall_clock() + shift - $24::interval
          AND wall_clock() + shift BETWEEN $2::timestamptz - $25::interval AND $2::timestamptz + $25::interval
          AND (quiet_until IS NULL OR quiet_until <= wall_clock() + shift)
    FOR UPDATE OF i SKIP LOCKED
),
ready AS MATERIALIZED (
    SELECT wall_clock() + shift AS at FROM mine, service_clock
    WHERE version = (SELECT xmin FROM incidents WHERE id = $1)
          AND EXISTS (SELECT FROM halt WHERE NOT halted)
          AND coalesce(({restraints.STANDING_IDS}), '{{}}') <@ $26::bigint[]
          AND EXISTS (SELECT FROM members WHERE incident_id = $1 AND firing)
          AND NOT EXISTS (SELECT FROM commands WHERE incident_id = $1 AND applied_at IS NULL)
),
{ledger.intend_where("ready", 27)},
told AS ({timeline.APPEND} WHERE EXISTS (SELECT FROM attempt)),
moved AS (UPDATE incidents {_SET} WHERE id = (SELECT incident_id FROM attempt))
SELECT * FROM attempt
"""
"""An intent of a safe step, in one statement that commits itself: where everything speaks for it at one look,
nothing has happened to the incident since then, and its lock is free. No row: the long way says why not."""


@dataclass(frozen=True, slots=True)
class _Ending:
    """What this process knows of a timeline's end: the database is asked whether it still ends so."""

    head: Head
    at: datetime
    """No entry that follows is older."""


class _NothingWrittenError(Exception):
    """Rolls the transaction back: something that raced with judging is in the way of the intent."""

    def __init__(self, lost: IntentLost) -> None:
        super().__init__(lost)
        self.lost = lost


class Owner:
    """The owner's writes. See `ports.Store` for what each one promises."""

    def __init__(
        self, lane: Lane, lease_time: timedelta, keys: TimelineKeys, clock: ServiceClock, wording: Wording
    ) -> None:
        self._lane = lane
        self._lease_time = lease_time
        self._keys = keys
        self._clock = clock
        self._wording = wording
        self._endings: OrderedDict[UUID, _Ending] = OrderedDict()
        """Of the incidents that were at work last."""

    def loaded(self, case: Case) -> None:
        """Its timeline's end was just read."""
        if case.timeline_head is not None:
            head = Head(case.timeline_head, case.incident.timeline_length)
            self._note(case.incident.id, _Ending(head, case.now))

    def _note(self, incident_id: UUID, ending: _Ending) -> None:
        self._endings[incident_id] = ending
        self._endings.move_to_end(incident_id)
        if len(self._endings) > _ENDINGS_KEPT:
            self._endings.popitem(last=False)

    async def record(self, lease: Lease, case: Case, change: Change, *, ends: bool = False) -> bool:
        """See `ports.Store.record`."""
        if not has_to_last(change, ends=ends) and await self._recorded_at_once(lease, case, change):
            return True
        async with transaction(self._lane) as connection:
            locked = await self._lock(connection, lease, change)
            if (change.quiet and locked.firing) or _severity_moved(case, change, locked):
                return False
            due_at = change.due_at if locked.wakes == case.incident.wakes else _woken(locked, change)
            await self._write_ledger(connection, locked.id, change, locked.now)
            position = locked.head.length + len(change.entries)
            await outbox.write(connection, self._wording, case, change, position, locked.now)
            ending = await self._write_change(
                connection, locked, change, due_at, ends=ends, lasts=has_to_last(change, ends=ends)
            )
        self._note(locked.id, ending)
        return True

    async def _recorded_at_once(self, lease: Lease, case: Case, change: Change) -> bool:
        """False, and nothing is written, where that takes a look under the lock first."""
        expected = self._clock.expected()
        if expected is None or case.timeline_head is None:
            return False
        incident = case.incident
        head = Head(case.timeline_head, incident.timeline_length)
        now = max(expected, case.now)
        head, values = self._values(incident.id, head, change, change.due_at, now)
        unmoved = (lease.worker_id, lease.epoch, incident.wakes, incident.timeline_length)
        with refusals():
            async with self._lane.connection() as connection:
                row = await connection.fetchrow(_AT_ONCE, *values, *unmoved, self._lease_time, LEAST_JUMP / 2)
        if row is not None:
            self._note(incident.id, _Ending(head, now))
        return row is not None

    async def commit_intent(
        self, lease: Lease, intent: Intent, change: Change, *, after: int | None = None
    ) -> Attempt | IntentLost:
        """See `ports.Store.commit_intent`."""
        attempt = await self._intended_at_once(lease, intent, change, after)
        if attempt is not None:
            return attempt
        try:
            async with transaction(self._lane) as connection:
                return await self._commit_intent(connection, lease, intent, change, after)
        except DeposedError:
            return IntentLost.DEPOSED
        except _NothingWrittenError as error:
            return error.lost

    async def _intended_at_once(
        self, lease: Lease, intent: Intent, change: Change, after: int | None
    ) -> Attempt | None:
        """None, and nothing is written, where that takes locks or a further look."""
        known, expected = self._endings.get(lease.incident_id), self._clock.calm()
        alone = not (intent.undo_of or intent.all_of)
        plain = alone and not (intent.disruptive or intent.approval or intent.inhibits)
        if not plain or known is None or expected is None or after not in {None, known.head.length}:
            return None
        now = max(expected, known.at)
        head, values = self._values(lease.incident_id, known.head, change, change.due_at, now)
        unmoved = (lease.worker_id, lease.epoch, known.head.length, known.head.mac, self._lease_time)
        judged = (LEAST_JUMP / 2, intent.restraints, *ledger.values_of_safe(intent, now))
        with refusals():
            async with self._lane.connection() as connection:
                row = await connection.fetchrow(_INTEND_AT_ONCE, *values, *unmoved, *judged)
        if row is None:
            return None
        self._note(lease.incident_id, _Ending(head, now))
        return Attempt.model_validate(dict(row))

    async def _commit_intent(
        self, connection: Connection, lease: Lease, intent: Intent, change: Change, after: int | None
    ) -> Attempt | IntentLost:
        locked = await self._lock(connection, lease, change)
        if after is not None and locked.head.length != after:
            return IntentLost.FORGOTTEN
        if locked.halted:
            return IntentLost.HALTED
        if not locked.standing <= set(intent.restraints):
            return IntentLost.RESTRAINED
        if locked.unsteady is not None:
            return IntentLost.CLOCK
        if not (locked.firing or locked.by_hand or _goes_on(intent)):
            return IntentLost.NOT_FIRING
        if locked.commanded:
            return IntentLost.COMMANDED
        inhibited = () if _goes_on(intent) else intent.inhibits
        if await inhibition.find(connection, inhibited, locked.now) is not None:
            return IntentLost.INHIBITED
        attempt = await ledger.write_intent(connection, intent, locked.now)
        if isinstance(attempt, IntentLost):
            raise _NothingWrittenError(attempt)
        if intent.approval is not None:
            attempt = await _approved(connection, attempt, intent, intent.approval, locked.now)
        ending = await self._write_change(connection, locked, change, change.due_at, ends=False, lasts=True)
        self._note(locked.id, ending)  # where it is not committed, the database knows of no such end
        reached(Point.INTENT_WRITTEN)
        return attempt

    async def _lock(self, connection: Connection, lease: Lease, change: Change) -> _Locked:
        """Lock first, look then: whoever held the lock may have changed what is looked at."""
        before = boottime()
        looked = (lease.incident_id, lease.worker_id, change.command, list(change.told_findings))
        row = seen = await connection.fetchrow(_LOCK_AND_LOOK, *looked, lease.epoch)
        if seen is None:
            row = await connection.fetchrow(_LOCK, lease.incident_id, lease.worker_id, lease.epoch)
            before = boottime()
            seen = await connection.fetchrow(_UNDER_LOCK, *looked)
        if row is None or seen is None:
            raise DeposedError(f"incident {lease.incident_id} belongs to another worker now")
        now, _ = self._clock.judge(seen, before)
        if seen["heartbeat_at"] is None or seen["heartbeat_at"] <= now - self._lease_time:
            raise DeposedError(f"worker {lease.worker_id} missed its heartbeat")
        unsteady = self._clock.unsteady_by(seen, before)
        head = Head(row["timeline_head"], row["timeline_length"])
        return _Locked(
            id=row["id"],
            now=now,
            wakes=row["wakes"],
            severity=row["severity"],
            firing=seen["firing"],
            by_hand=row["by_hand"],
            unsteady=unsteady,
            commanded=seen["commanded"],
            found=seen["found"],
            halted=seen["halted"],
            standing=frozenset(seen["standing"] or ()),
            head=head,
        )

    async def _write_change(
        self,
        connection: Connection,
        locked: _Locked,
        change: Change,
        due_at: datetime | None,
        *,
        ends: bool,
        lasts: bool,
    ) -> _Ending:
        """The new state and its timeline entries, in one statement; what the timeline ends with then."""
        head, values = self._values(locked.id, locked.head, change, due_at, locked.now, ends=ends)
        await connection.execute(_CHANGE if lasts else _CHANGE_IN_PASSING, *values)
        return _Ending(head, locked.now)

    def _values(
        self,
        incident_id: UUID,
        old: Head,
        change: Change,
        due_at: datetime | None,
        now: datetime,
        *,
        ends: bool = False,
    ) -> tuple[Head, tuple[Any, ...]]:
        """What the timeline ends with then, and what `_CHANGE` is given: $1 to $19."""
        head, entries = timeline.chained(incident_id, old, change.entries, now, self._keys)
        return head, (
            *timeline.appended(incident_id, now, self._keys, entries),
            change.state.value,
            storable_json(change.progress.model_dump(mode="json")),
            change.severity,
            change.deadline,
            due_at,
            head.mac,
            head.length,
            ends,
            change.rulebook_hash,
        )

    async def _write_ledger(
        self, connection: Connection, incident_id: UUID, change: Change, now: datetime
    ) -> None:
        """What a change says of attempts and claims, commands and findings."""
        if change.end is not None:
            await ledger.write_end(connection, change.end, now)
        if change.quarantine is not None:
            await ledger.write_quarantine(connection, change.quarantine)
        if change.verdict is not None:
            await ledger.write_verdict(connection, change.verdict, now)
        for run in change.shadow_runs:
            await shadow.write_run(connection, incident_id, run, now)
        if change.command is not None:
            await connection.execute("UPDATE commands SET applied_at = $2 WHERE id = $1", change.command, now)
        if change.told_findings:
            told = list(change.told_findings)
            await connection.execute("UPDATE findings SET told_at = $2 WHERE id = ANY($1)", told, now)


def _goes_on(intent: Intent) -> bool:
    """Whether it ends what was begun while it fired: takes it back, or is a further part of it."""
    return intent.undo_of is not None or intent.all_of not in {None, intent.attempt_id}


async def _approved(
    connection: Connection, attempt: Attempt, intent: Intent, approval: UUID, now: datetime
) -> Attempt:
    """The attempt with the approval that it uses up. Raises where that has expired or is used up."""
    in_time = intent.approved_until is not None and now < intent.approved_until
    if not in_time or not await ledger.use_up(connection, attempt.id, approval):
        raise _NothingWrittenError(IntentLost.APPROVAL)
    return attempt.model_copy(update={"approval": approval})


def _woken(locked: _Locked, change: Change) -> datetime:
    """When it is due again, although something happened while its owner was thinking."""
    if locked.commanded or locked.found:
        return locked.now
    news = locked.now + NEWS_WITHIN
    return news if change.due_at is None else min(change.due_at, news)


def _severity_moved(case: Case, change: Change, locked: _Locked) -> bool:
    """Whether it is to be set from what it is no longer: what a worse alert raised is not lowered unseen."""
    return change.severity is not None and locked.severity != case.incident.severity.value


async def lock_incident(connection: Connection, incident_id: UUID, clock: ServiceClock) -> datetime | None:
    """Lock an incident for something that comes from outside; service time, or None where there is none."""
    found = await connection.fetchval("SELECT true FROM incidents WHERE id = $1 FOR UPDATE", incident_id)
    if found is None:
        return None
    return await clock.now(connection)


async def wake(connection: Connection, incident_id: UUID, now: datetime) -> None:
    """Make a locked incident due, and leave a mark that its owner sees."""
    await connection.execute(_WAKE, incident_id, now)


async def write_finding(connection: Connection, incident_id: UUID, finding: Finding, now: datetime) -> None:
    """Keep one finding of a locked incident until its owner tells it, and wake the incident."""
    await connection.execute(
        _FINDING,
        finding.id,
        incident_id,
        storable_text(finding.action),
        storable_text(finding.summary),
        storable_json(finding.facts),
        now,
    )
    await wake(connection, incident_id, now)
