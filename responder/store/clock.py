"""Service time as this process goes by it, and the offset that keeps it when the wall clock jumps.

What is a jump is decided in `decide.clock`; here the clocks are read, what was seen is left beside the
heartbeat for the other processes, and the offset is moved: under the lock of its row, after reading again.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from responder.clients.boottime import boottime
from responder.decide.clock import (
    NO_JUMP,
    Agreement,
    ClockJump,
    ClockRuling,
    Reading,
    Unsteady,
    Watched,
    Witness,
    agreed,
    believed,
    heard,
    off,
    rule_on,
    told,
)
from responder.model.duration import format_duration
from responder.store.connection import Connection, Lane
from responder.store.transaction import transaction

_READ = "SELECT wall_clock() AS wall, shift, taken_back FROM service_clock"

_READ_NUMBERED = """
SELECT nextval('clock_readings') AS number, wall_clock() AS wall, shift, taken_back FROM service_clock
"""

_LOCK = "SELECT only_row FROM service_clock FOR UPDATE"

_PUBLISH = "UPDATE workers SET clock_since = $2, clock_number = $3, clock_off = $4 WHERE id = $1"

_WITNESSES = """
SELECT clock_since AS since, clock_number AS number, clock_off AS off, heartbeat_at
FROM workers WHERE id IS DISTINCT FROM $1 AND clock_number IS NOT NULL
"""

_MOVE = """
UPDATE service_clock
SET shift = shift - $1, taken_back = taken_back - $1, jumps = jumps + 1,
    quiet_until = wall_clock() + shift - $1 + $2, quiet_why = $3
"""


class ServiceClock:
    """The clock of one process. Until `watch` has decided on a jump, time goes on as if there were none."""

    def __init__(self, lane: Lane, lease_time: timedelta) -> None:
        self._lane = lane
        self._lease_time = lease_time
        self._watched: Watched | None = None
        self._first: Reading | None = None
        """What a process that has just started asks the others about."""
        self._quiet_until = float("-inf")
        """Own boottime: no intent before, because this process's clock was the one that jumped."""

    async def now(self, connection: Connection) -> datetime:
        """Service time, as this process believes it."""
        now, _ = await self.read(connection)
        return now

    async def read(self, connection: Connection) -> tuple[datetime, timedelta]:
        """Service time as this process believes it, and how far the wall clock is off; 0 where it is not."""
        before = boottime()
        row = await connection.fetchrow(_READ if self._watched is not None else _READ_NUMBERED)
        return self.judge(row, before)

    def judge(self, row: asyncpg.Record | None, before: float) -> tuple[datetime, timedelta]:
        """As `read`, from a row with `wall`, `shift` and `taken_back`, asked for at `before`, just come."""
        reading = _reading(row, before, boottime(), self._number)
        jump = off(self._watched.steady, reading) if self._watched is not None else NO_JUMP
        if jump == NO_JUMP:
            self._watched = heard(self._watched, reading)
        return believed(self._watched, reading), jump

    def expected(self) -> datetime | None:
        """Service time by this process's own clock alone; None where it knows none or is in doubt of it."""
        if self._watched is None or self._watched.doubts:
            return None
        steady = self._watched.steady
        ago = timedelta(seconds=boottime() - (steady.before + steady.after) / 2)
        return steady.wall + steady.shift + ago

    def calm(self) -> datetime | None:
        """As `expected`; None also as long as nothing may start here because this process's clock jumped."""
        return None if boottime() < self._quiet_until else self.expected()

    async def agree(self) -> Agreement:
        """See `ports.Store.agree_on_clock`. After a doubt it is asked about a reading of its own anew."""
        async with self._lane.connection() as connection:
            reading = await self._numbered(connection)
            others = await _witnesses(connection, None)
        if reading.void:
            return Agreement.UNHEARD
        if self._first is None:
            self._first, self._watched = reading, Watched(since=reading.number, steady=reading)
        agreement = agreed(self._first, reading, others)
        if agreement is Agreement.DOUBTED:
            self._first = None
        return agreement

    async def watch(self, worker_id: UUID) -> ClockJump | None:
        """One reading, told to the others; what became of a jump, once it is known whose it was."""
        async with self._lane.connection() as connection:
            reading = await self._numbered(connection)
            if reading.void or self._watched is None:
                return None
            jump = off(self._watched.steady, reading)
            await connection.execute(_PUBLISH, worker_id, self._watched.since, reading.number, jump)
            ruling = await self._ruling(connection, worker_id)
        match ruling:
            case ClockRuling.WALL:
                return await self._move(worker_id)
            case ClockRuling.OWN:
                self._watched = Watched(since=reading.number, steady=reading)
                self._quiet_until = reading.after + self._lease_time.total_seconds()
                return ClockJump(ruling=ruling, by=-jump)
            case ClockRuling.STEADY | ClockRuling.UNSURE:
                return None

    def unsteady_by(self, row: asyncpg.Record | None, before: float) -> Unsteady | None:
        """Why nothing may start for now, from a row with the clock and with what the last jump left."""
        now, jump = self.judge(row, before)
        if jump != NO_JUMP:
            return Unsteady(
                reason=f"the database's clock went {told(jump)} by the clock of this process: "
                "it is being found out which of the two jumped"
            )
        rest = self._quiet_until - boottime()
        if rest > 0:
            why = "this process's own clock jumped, and nothing starts here until that has settled"
            return Unsteady(reason=why, until=now + timedelta(seconds=rest))
        if row is not None and row["quiet_until"] is not None and now < row["quiet_until"]:
            return Unsteady(reason=row["quiet_why"], until=row["quiet_until"])
        return None

    @property
    def _number(self) -> int:
        return self._watched.steady.number if self._watched is not None else 0

    async def _numbered(self, connection: Connection) -> Reading:
        before = boottime()
        row = await connection.fetchrow(_READ_NUMBERED)
        reading = _reading(row, before, boottime())
        self._watched = heard(self._watched, reading)
        return reading

    async def _ruling(self, connection: Connection, worker_id: UUID) -> ClockRuling:
        if self._watched is None or not self._watched.doubts:
            return ClockRuling.STEADY
        return rule_on(self._watched, await _witnesses(connection, worker_id), self._lease_time)

    async def _move(self, worker_id: UUID) -> ClockJump | None:
        """Take the jump back, unless another process has done so meanwhile."""
        async with transaction(self._lane) as connection:
            await connection.fetchrow(_LOCK)
            reading = await self._numbered(connection)
            ruling = await self._ruling(connection, worker_id)
            if reading.void or ruling is not ClockRuling.WALL or self._watched is None:
                return None
            jump = off(self._watched.steady, reading)
            why = (
                f"the database's clock jumped {told(jump)}; service time goes on as before, "
                f"and nothing starts for {format_duration(self._lease_time)}"
            )
            await connection.execute(_MOVE, jump, self._lease_time, why)
        return ClockJump(ruling=ruling, by=jump)


async def _witnesses(connection: Connection, worker_id: UUID | None) -> Sequence[Witness]:
    rows = await connection.fetch(_WITNESSES, worker_id)
    return [Witness.model_validate(dict(row)) for row in rows]


def _reading(row: asyncpg.Record | None, before: float, after: float, number: int = 0) -> Reading:
    """`number` is for a row that has drawn none: the one of the last that has."""
    if row is None:
        raise AssertionError("the row of service_clock is made with the schema")
    drawn = row.get("number", number)
    return Reading(
        number=drawn,
        before=before,
        after=after,
        wall=row["wall"],
        shift=row["shift"],
        taken_back=row["taken_back"],
    )
