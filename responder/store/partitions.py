"""The journal's partitions: one for each UTC day of `received_at`, made before the day comes.

A partition is made as a table of its own and then attached: attaching lets readers and writers of the journal
go on, while `CREATE TABLE ... PARTITION OF` would wait for all of them and make all others wait behind it.
For the same reason an old one is detached concurrently before it is dropped. That waits for whoever reads the
journal, so it is cut short and taken up again later: a partition that is half detached is finished first.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import asyncpg

from responder.model.errors import StoreAwayError
from responder.store.connection import Connection, Lane, connect, store_errors

_LOCK = 0x7265_7370_6F6E_6401
"""The advisory lock that keeps two replicas from making the same partition at once."""
_DROP_LOCK = 0x7265_7370_6F6E_6404
"""The advisory lock under which one replica at a time drops partitions."""
_LOCK_TIMEOUT = "1s"
_TRIES = 5
_PAUSE = timedelta(milliseconds=500)


def partition_of(received_at: datetime) -> str:
    """The name of the partition that a row belongs to."""
    return _name(received_at.astimezone(UTC).date())


def _name(day: date) -> str:
    return f"journal_{day:%Y%m%d}"


def is_missing_partition(error: BaseException) -> bool:
    """Whether an insert failed because the journal has no partition for the row."""
    return (
        isinstance(error, asyncpg.CheckViolationError)
        and error.table_name == "journal"
        and error.constraint_name is None
    )


async def make_partition(lane: Lane, received_at: datetime) -> bool:
    """Make the partition of one day in a transaction of its own; False where it was there already.

    After an insert that failed with `is_missing_partition`, call it and try the insert again.

    Raises:
        StoreAwayError: the journal stays locked for longer than a few seconds, or PostgreSQL is away.
    """
    day = received_at.astimezone(UTC).date()
    for _ in range(_TRIES):
        try:
            async with lane.transaction() as connection:
                return await _make(connection, day)
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            await asyncio.sleep(_PAUSE.total_seconds())
    raise StoreAwayError(
        f"the journal's partition {_name(day)} cannot be made: something locks the journal (see pg_locks)"
    )


async def make_ahead(lane: Lane, now: datetime, days: int) -> tuple[str, ...]:
    """Make the partitions of yesterday, today and the coming days that are missing; their names.

    Yesterday is among them because service time may lie a little behind at midnight.
    """
    wanted = [now + timedelta(days=offset) for offset in range(-1, days + 1)]
    async with lane.connection() as connection:
        there = set(await _attached(connection))
    missing = [day for day in wanted if partition_of(day) not in there]
    return tuple([partition_of(day) for day in missing if await make_partition(lane, day)])


async def drop_older(dsn: str, before: datetime) -> tuple[str, ...]:
    """Drop the partitions of days that were over before then; the names of those that are gone.

    What somebody still reads is left for the next time.

    Raises:
        StoreAwayError: PostgreSQL does not answer.
    """
    connection = await connect(dsn, name="partitions")
    try:
        with store_errors(connection):
            if not await connection.fetchval("select pg_try_advisory_lock($1)", _DROP_LOCK):
                return ()
            await connection.execute(f"set lock_timeout = '{_LOCK_TIMEOUT}'")
            return await _drop_all(connection, _name(before.astimezone(UTC).date()))
    finally:
        connection.terminate()


async def _drop_all(connection: Connection, old: str) -> tuple[str, ...]:
    """Day after day up to one that is still in use: PostgreSQL half detaches one at a time only."""
    gone: list[str] = []
    for day in await connection.fetch(_DAYS, old):
        if not await _drop(connection, day["relname"]):
            break
        gone.append(day["relname"])
    return tuple(gone)


async def _drop(connection: Connection, name: str) -> bool:
    pending = await connection.fetchval(_DETACH_PENDING, name)
    try:
        if pending is not None:
            how = "finalize" if pending else "concurrently"
            await connection.execute(f"alter table journal detach partition {name} {how}")
        await connection.execute(f"drop table {name}")
    except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
        return False
    return True


_DAYS = """
select relname
from pg_class left join pg_inherits on inhrelid = pg_class.oid
where relkind = 'r' and relname ~ '^journal_[0-9]{8}$'
  and (relname::text collate "C" < $1 or inhdetachpending)
  and relnamespace = (select relnamespace from pg_class where oid = to_regclass('journal'))
order by inhdetachpending desc nulls last, relname
"""
"""Attached or not: one that was detached and not dropped is dropped now. One that is half detached comes
first, however old: nobody reads it any more, and no other day can be detached before it."""

_DETACH_PENDING = """
select inhdetachpending from pg_inherits
where inhparent = to_regclass('journal') and inhrelid = to_regclass($1)
"""


async def days_ahead(lane: Lane, now: datetime) -> int:
    """For how many days after today, without a gap, the journal has partitions; -1 where today has none."""
    async with lane.connection() as connection:
        there = set(await _attached(connection))
    ahead = -1
    while partition_of(now + timedelta(days=ahead + 1)) in there:
        ahead += 1
    return ahead


async def _attached(connection: Connection) -> Sequence[str]:
    rows = await connection.fetch(
        """
        select child.relname
        from pg_inherits join pg_class child on child.oid = inhrelid
        where inhparent = to_regclass('journal') and not inhdetachpending
        """
    )
    return [row["relname"] for row in rows]


async def _make(connection: Connection, day: date) -> bool:
    name = _name(day)
    await connection.execute(f"set local lock_timeout = '{_LOCK_TIMEOUT}'")
    await connection.execute("select pg_advisory_xact_lock($1)", _LOCK)
    if name in await _attached(connection):
        return False
    first, last = (f"{d.isoformat()} 00:00:00+00" for d in (day, day + timedelta(days=1)))
    await connection.execute(f"create table {name} (like journal including all)")
    await connection.execute(
        f"alter table journal attach partition {name} for values from ('{first}') to ('{last}')"
    )
    return True
