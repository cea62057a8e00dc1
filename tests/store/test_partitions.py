"""The journal's partitions on a real server, with readers and writers in the way."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone

import asyncpg
import pytest

from responder.model.errors import StoreAwayError
from responder.store.connection import Connection, Lane, connect
from responder.store.partitions import (
    days_ahead,
    drop_older,
    is_missing_partition,
    make_ahead,
    make_partition,
    partition_of,
)
from responder.store.settings import StoreSettings

NOON = datetime(2031, 3, 9, 12, tzinfo=UTC)
"""Long after any partition that a migration could have made."""


@pytest.fixture
async def lane(dsn: str) -> AsyncIterator[Lane]:
    """Connections as the workers have them."""
    opened = await Lane.open(dsn, StoreSettings(), name="test", size=4)
    yield opened
    await opened.close(timedelta(seconds=5))


async def _insert(connection: Connection, received_at: datetime) -> None:
    await connection.execute(
        """
        insert into journal (source, fingerprint, received_at, content_hash, standing, starts_at, labels,
                             annotations, generator_url)
        values ('prometheus', '00aa', $1, '\\x00', 'firing', $1, $2, $2, '')
        """,
        received_at,
        {"alertname": "Slow"},
    )


async def test_a_week_is_made_ahead_once(lane: Lane) -> None:
    """Yesterday, today and the coming 7 days are made; a second time there is nothing to do."""
    made = await make_ahead(lane, NOON, 7)
    assert made[0] == "journal_20310308"
    assert made[-1] == "journal_20310316"
    assert len(made) == 9
    assert await make_ahead(lane, NOON, 7) == ()
    assert await days_ahead(lane, NOON) == 7


async def test_days_ahead_counts_up_to_the_first_gap(lane: Lane) -> None:
    """A missing day ends the count, because rows of that day have no place; none today is -1."""
    assert await days_ahead(lane, NOON) == -1
    for offset in (0, 1, 3):
        await make_partition(lane, NOON + timedelta(days=offset))
    assert await days_ahead(lane, NOON) == 1


async def test_days_are_those_of_utc(lane: Lane) -> None:
    """A time of another zone belongs to the day that it is in UTC, and its row finds its place."""
    late = datetime(2031, 3, 9, 23, 30, tzinfo=timezone(timedelta(hours=-5)))
    assert partition_of(late) == "journal_20310310"
    await make_partition(lane, late)
    async with lane.transaction() as connection:
        await _insert(connection, late)
        assert await connection.fetchval("select count(*) from journal_20310310") == 1


async def test_a_missing_partition_is_known_and_made(lane: Lane) -> None:
    """The insert's error is recognised, the partition is made, and the same insert works."""
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        async with lane.transaction() as connection:
            await _insert(connection, NOON)
    assert is_missing_partition(refused.value)
    assert await make_partition(lane, NOON)
    async with lane.transaction() as connection:
        await _insert(connection, NOON)


async def test_other_violations_are_not_taken_for_a_missing_partition(lane: Lane) -> None:
    """A check that a row fails is the row's fault: no partition would help."""
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        async with lane.transaction() as connection:
            await connection.execute(
                "create temporary table small (x int check (x > 0)); insert into small values (0)"
            )
    assert not is_missing_partition(refused.value)
    assert not is_missing_partition(ValueError("no"))


async def test_readers_and_writers_go_on(lane: Lane) -> None:
    """A partition is attached under open transactions that read and write the journal, without waiting."""
    await make_partition(lane, NOON)
    async with lane.transaction() as reader, lane.transaction() as writer:
        await reader.fetch("select * from journal")
        await _insert(writer, NOON)
        assert await make_partition(lane, NOON + timedelta(days=1))
        await _insert(writer, NOON + timedelta(seconds=1))
        assert await reader.fetch("select * from journal") == []


async def test_a_lock_in_the_way_is_waited_out(lane: Lane, dsn: str) -> None:
    """Who locks the journal for a moment delays the partition, which is made afterwards."""
    other = await connect(dsn, name="test")
    holding = other.transaction()
    await holding.start()
    await other.execute("lock table journal in share mode")
    making = asyncio.create_task(make_partition(lane, NOON))
    while not await other.fetchval("select exists (select from pg_locks where not granted)"):  # noqa: ASYNC110 - only asking shows
        await asyncio.sleep(0.01)
    await holding.rollback()
    assert await making
    await other.close()


async def test_a_lock_that_stays_is_told(lane: Lane, dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After some tries the words say what to look for, and nothing half-made is left."""
    monkeypatch.setattr("responder.store.partitions._LOCK_TIMEOUT", "10ms")
    monkeypatch.setattr("responder.store.partitions._PAUSE", timedelta(milliseconds=1))
    other = await connect(dsn, name="test")
    await other.execute("begin; lock table journal in access exclusive mode")
    with pytest.raises(StoreAwayError, match="something locks the journal"):
        await make_partition(lane, NOON)
    await other.execute("rollback")
    await other.close()
    assert await make_partition(lane, NOON)


async def test_replicas_make_the_same_day_at_once(lane: Lane) -> None:
    """One makes it, the others find it made, nobody fails."""
    assert sorted(await asyncio.gather(*(make_partition(lane, NOON) for _ in range(4)))) == [
        False,
        False,
        False,
        True,
    ]


async def test_a_partition_has_the_journals_indexes(lane: Lane) -> None:
    """What the journal demands of rows, each partition demands."""
    await make_partition(lane, NOON)
    async with lane.connection() as connection:
        parent, child = [
            await connection.fetchval(
                "select count(*) from pg_index where indrelid = $1::text::regclass", name
            )
            for name in ("journal", partition_of(NOON))
        ]
    assert parent == child > 0


# --- the end of a partition --------------------------------------------------------------------------------


async def _days(lane: Lane) -> list[str]:
    async with lane.connection() as connection:
        rows = await connection.fetch(
            "select relname from pg_class where relname ~ '^journal_[0-9]+$' order by relname"
        )
    return [row["relname"] for row in rows]


async def test_days_are_dropped_when_they_were_over_long_enough(lane: Lane, dsn: str) -> None:
    """Exactly the days before the one that the time lies in; a second time there is nothing to do."""
    await make_ahead(lane, NOON, 2)
    assert await drop_older(dsn, NOON) == ("journal_20310308",)
    assert await drop_older(dsn, NOON) == ()
    assert await _days(lane) == ["journal_20310309", "journal_20310310", "journal_20310311"]
    async with lane.transaction() as connection:
        await _insert(connection, NOON)


async def test_a_reader_is_not_disturbed_and_the_day_is_dropped_after_it(lane: Lane, dsn: str) -> None:
    """While somebody reads the journal the day stays readable, writers go on, and it goes the next time."""
    yesterday = NOON - timedelta(days=1)
    await make_ahead(lane, NOON, 2)
    async with lane.transaction() as writer:
        await _insert(writer, yesterday)
    async with lane.transaction() as reader:
        assert len(await reader.fetch("select * from journal")) == 1
        assert await drop_older(dsn, NOON) == ()
        async with lane.transaction() as writer:
            await _insert(writer, NOON)
        assert await drop_older(dsn, NOON) == ()
        assert await make_partition(lane, NOON + timedelta(days=3))
    assert await drop_older(dsn, NOON) == ("journal_20310308",)
    async with lane.connection() as connection:
        assert len(await connection.fetch("select * from journal")) == 1


async def test_nobody_waits_behind_a_drop_that_waits(
    lane: Lane, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the end of a day waits for a reader, others read and write the journal without waiting."""
    monkeypatch.setattr("responder.store.partitions._LOCK_TIMEOUT", "60s")
    await make_ahead(lane, NOON, 2)
    async with lane.transaction() as reader:
        await reader.fetch("select * from journal")
        dropping = asyncio.create_task(drop_older(dsn, NOON))
        while not await reader.fetchval("select exists (select from pg_locks where not granted)"):  # noqa: ASYNC110 - only asking shows
            await asyncio.sleep(0.01)
        async with lane.transaction() as writer:
            await writer.execute("set local lock_timeout = '1ms'")
            await _insert(writer, NOON)
            assert len(await writer.fetch("select * from journal")) == 1
    assert await dropping == ("journal_20310308",)


async def test_what_was_detached_and_not_dropped_is_dropped(lane: Lane, dsn: str) -> None:
    """A process that died in between leaves a table that belongs to nobody."""
    await make_ahead(lane, NOON, 2)
    async with lane.connection() as connection:
        await connection.execute("alter table journal detach partition journal_20310308")
    assert await drop_older(dsn, NOON) == ("journal_20310308",)


async def test_one_replica_at_a_time_drops(lane: Lane, dsn: str) -> None:
    """Both want the same days: each is dropped once, and nobody fails."""
    await make_ahead(lane, NOON, 2)
    dropped = await asyncio.gather(*(drop_older(dsn, NOON + timedelta(days=2)) for _ in range(3)))
    assert sorted(name for names in dropped for name in names) == [
        "journal_20310308",
        "journal_20310309",
        "journal_20310310",
    ]


async def test_days_that_a_reader_holds_are_left_all_together(lane: Lane, dsn: str) -> None:
    """Several days are over and somebody reads: only one can be half detached, so the others wait for it."""
    await make_ahead(lane, NOON, 2)
    later = NOON + timedelta(days=2)
    async with lane.transaction() as reader:
        assert await reader.fetch("select * from journal") == []
        assert await drop_older(dsn, later) == ()
        assert await drop_older(dsn, later) == ()
    assert await drop_older(dsn, later) == ("journal_20310308", "journal_20310309", "journal_20310310")


async def test_a_day_half_detached_is_finished_before_an_older_one(lane: Lane, dsn: str) -> None:
    """Days are kept for longer by now: the half detached one goes all the same, or no other ever would."""
    await make_ahead(lane, NOON, 2)
    async with lane.transaction() as reader, lane.connection() as other:
        await reader.fetch("select * from journal")
        await other.execute("set lock_timeout = '1ms'")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await other.execute("alter table journal detach partition journal_20310309 concurrently")
        await other.execute("reset lock_timeout")
    assert await drop_older(dsn, NOON) == ("journal_20310309", "journal_20310308")
