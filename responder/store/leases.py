"""Who owns which incident: workers, their heartbeats, and leases.

A lease is a worker's id and an epoch on the incident. It is lost when the worker's heartbeat is older than
the lease time: then anybody may take the incident, with the next epoch. While the clocks are in doubt nobody
takes anything, and heartbeats go on in the time that their process believes.

Taking a lease waits for no disk. It gives nobody the right to an effect: that is the intent's, whose commit
waits, and looks at owner and epoch again. PostgreSQL writes its log in order, so with an intent on disk the
lease before it is there too. Where PostgreSQL crashes in between, the lease was never taken: the incident is
due as before, and whoever still works on it finds at its next record that it owns nothing. Only another
worker of the same process may then be given the very same lease; `engine.worker` gives that up.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
from pydantic import ValidationError

from responder.clients.boottime import boottime
from responder.decide.case import Case
from responder.decide.clock import LEAST_JUMP
from responder.model.errors import DeposedError, ResponderError, TemporaryError
from responder.model.severity import Severity
from responder.model.storm import StormTerms
from responder.ports import Lease, Leased
from responder.store.cases import CASE_COLUMNS, case_body, case_of
from responder.store.clock import ServiceClock
from responder.store.connection import Connection, Lane
from responder.store.rulebooks import Rulebooks
from responder.store.transaction import WITHOUT_WAITING, refusals, transaction

_REGISTER = """
INSERT INTO workers (id, host, roles, started_at, heartbeat_at)
VALUES ($1, $2, $3, $4, $4)
ON CONFLICT (id) DO UPDATE SET heartbeat_at = excluded.heartbeat_at
"""

_FORGET = "DELETE FROM workers WHERE heartbeat_at < $1::timestamptz - interval '1 day'"

_HEARTBEAT = """
UPDATE workers SET heartbeat_at = now - $3::interval
FROM service_time() AS now
WHERE id = $1 AND heartbeat_at > now - $3::interval - $2::interval
RETURNING 1
"""

_GIVE_UP_ALL = """
WITH mine AS MATERIALIZED (
    SELECT id FROM incidents WHERE owner = $1 ORDER BY rule, key_hash, id FOR UPDATE
)
UPDATE incidents SET owner = NULL WHERE id IN (SELECT id FROM mine)
"""

_ALIVE = """
EXISTS (SELECT FROM workers w
        WHERE w.id = {id} AND w.heartbeat_at > (SELECT service_time()) - $2::interval)
"""

_ORPHAN = f"""
SELECT i.id FROM incidents i
WHERE i.owner IS NOT NULL AND i.due_at IS NOT NULL AND NOT {_ALIVE.format(id="i.owner")}
ORDER BY i.severity, i.due_at, i.id LIMIT 1
FOR UPDATE OF i SKIP LOCKED
"""

_DUE = """
SELECT i.id FROM incidents i
WHERE i.severity = '{severity}' AND i.due_at <= (SELECT service_time()) AND i.owner IS NULL
ORDER BY i.due_at, i.id LIMIT 1
FOR UPDATE OF i SKIP LOCKED
"""

_URGENT_FIRST = ", ".join(
    f"({query})" for query in (_ORPHAN, *(_DUE.format(severity=s.value) for s in Severity))
)


def _lease(storm: StormTerms) -> str:
    """In a single statement, which commits itself.

    What is due, and whose heartbeat counts, is read off the clock: the last condition of the update takes
    nothing by one that jumped. The case is `whole` where nobody has written to the incident between the
    statement's beginning and its lock: else its row would be newer than its members.
    """
    return f"""
WITH due AS MATERIALIZED (
    SELECT id, xmin AS version FROM incidents WHERE id = coalesce({_URGENT_FIRST}) FOR UPDATE
),
leased AS (
    UPDATE incidents SET owner = $1, epoch = epoch + 1, due_at = least(due_at, wall_clock() + shift)
    FROM service_clock
    WHERE id = (SELECT id FROM due) AND {_ALIVE.format(id="$1")}
          AND wall_clock() + shift BETWEEN $3::timestamptz - $4::interval AND $3::timestamptz + $4::interval
    RETURNING incidents.*
)
SELECT i.id, i.epoch, due.version = (SELECT o.xmin FROM incidents o WHERE o.id = i.id) AS whole,
       {WITHOUT_WAITING}, {CASE_COLUMNS}
FROM leased i, due, {case_body(storm)}
"""


_GIVE_UP_OTHERS = """
WITH others AS MATERIALIZED (
    SELECT id FROM incidents WHERE owner = $1 AND id <> ALL($2) ORDER BY rule, key_hash, id FOR UPDATE
)
UPDATE incidents SET owner = NULL WHERE id IN (SELECT id FROM others)
"""

_POSTPONE = """
UPDATE incidents SET due_at = $4
WHERE id = $1 AND owner = $2 AND epoch = $3 RETURNING 1
"""


class Leases:
    """Workers and leases. See `ports.Store` for what each one promises."""

    def __init__(
        self,
        lane: Lane,
        heartbeat: Lane,
        lease_time: timedelta,
        clock: ServiceClock,
        rulebooks: Rulebooks,
        storm: StormTerms,
    ) -> None:
        self._lane = lane
        self._heartbeat = heartbeat
        self._lease_time = lease_time
        self._clock = clock
        self._rulebooks = rulebooks
        self._lease = _lease(storm)

    async def register(self, worker_id: UUID, host: str, roles: Sequence[str]) -> None:
        """See `ports.Store.register`. Workers that have been silent for a day are forgotten."""
        async with transaction(self._heartbeat) as connection:
            now = await self._clock.now(connection)
            await connection.execute(_FORGET, now)
            await connection.execute(_REGISTER, worker_id, host, list(roles), now)

    async def heartbeat(self, worker_id: UUID) -> bool:
        """See `ports.Store.heartbeat`.

        A jump of the wall clock deposes nobody: the beat is written in the time that goes on without it.
        """
        async with transaction(self._heartbeat) as connection:
            _, jump = await self._clock.read(connection)
            beats = await connection.fetchval(_HEARTBEAT, worker_id, self._lease_time, jump)
            _, after = await self._clock.read(connection)
            if abs(after - jump) > LEAST_JUMP:
                raise TemporaryError("the database's clock jumped during a heartbeat", timedelta(0))
            return beats is not None

    async def unregister(self, worker_id: UUID) -> None:
        """See `ports.Store.unregister`."""
        async with transaction(self._heartbeat) as connection:
            await connection.execute(_GIVE_UP_ALL, worker_id)
            await connection.execute("DELETE FROM workers WHERE id = $1", worker_id)

    async def lease(self, worker_id: UUID) -> Leased | None:
        """See `ports.Store.lease`.

        What a dead worker left comes first and is due at once, whatever it was waiting for: an effect of its
        may be half done. Then the worst severity, then the longest due. None while the clocks are in doubt.
        """
        with refusals():
            async with self._lane.connection() as connection:
                expected = await self._expected(connection)
                if expected is None:
                    return None
                before, tolerance = boottime(), LEAST_JUMP / 2
                row = await connection.fetchrow(self._lease, worker_id, self._lease_time, expected, tolerance)
                if row is None:
                    return None
                lease = Lease(row["id"], worker_id, row["epoch"])
                return Leased(lease, await self._case(connection, row, before) if row["whole"] else None)

    async def _expected(self, connection: Connection) -> datetime | None:
        """Service time by this process's own clock; None while that is in doubt."""
        if self._clock.expected() is None:
            await self._clock.now(connection)
        return self._clock.expected()

    async def _case(self, connection: Connection, row: asyncpg.Record, before: float) -> Case | None:
        try:
            return await case_of(connection, self._clock, row, before, self._rulebooks)
        except (ResponderError, ValidationError):  # the lease is taken; what is wrong is found by loading it
            return None

    async def give_up(self, lease: Lease) -> None:
        """See `ports.Store.give_up`."""
        async with self._lane.connection() as connection:
            await connection.execute(
                "UPDATE incidents SET owner = NULL WHERE id = $1 AND owner = $2 AND epoch = $3",
                lease.incident_id,
                lease.worker_id,
                lease.epoch,
            )

    async def give_up_others(self, worker_id: UUID, known: Sequence[UUID]) -> None:
        """See `ports.Store.give_up_others`."""
        async with transaction(self._lane) as connection:
            await connection.execute(_GIVE_UP_OTHERS, worker_id, list(known))

    async def postpone(self, lease: Lease, delay: timedelta) -> None:
        """See `ports.Store.postpone`."""
        async with self._lane.connection() as connection:
            until = await self._clock.now(connection) + delay
            owned = await connection.fetchval(
                _POSTPONE, lease.incident_id, lease.worker_id, lease.epoch, until
            )
        if owned is None:
            raise DeposedError(f"incident {lease.incident_id} belongs to another worker now")
