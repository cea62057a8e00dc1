"""Lanes of connections on a real server that is stopped, restarted and slow."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from responder.model.errors import PermanentError, StoreAwayError
from responder.store.connection import Connections, Lane, _shut_out_is_away, connect
from responder.store.embedded import EmbeddedServer
from responder.store.settings import StoreSettings
from tests.support.databases import database_on, directory_for_a_server, execute
from tests.support.parts import until

SHORT = StoreSettings(connect_timeout=timedelta(seconds=2), statement_timeout=timedelta(seconds=1))


@asynccontextmanager
async def _opened(dsn: str, settings: StoreSettings) -> AsyncIterator[Connections]:
    connections = await Connections.open(dsn, settings)
    try:
        yield connections
    finally:
        await connections.close()


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """Where a server is that the test stops and starts."""
    with directory_for_a_server() as directory:
        yield directory


async def test_a_database_that_lets_nobody_in_any_more_is_away(dsn: str) -> None:
    """Somebody shuts it to new connections: told as away, and healed when it is opened again."""
    raw = await connect(database_on(dsn, "postgres"), name="test")
    name = urlsplit(dsn).path[1:]
    async with _opened(dsn, StoreSettings()) as connections:
        await raw.execute(f"alter database {name} allow_connections false")
        await raw.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = $1", name)
        for _ in range(3):
            with pytest.raises(StoreAwayError):
                async with connections.workers.connection() as connection:
                    await connection.execute("select 1")
        await raw.execute(f"alter database {name} allow_connections true")
        async with connections.workers.connection() as connection:
            assert await connection.fetchval("select 1") == 1
    await raw.close()


@pytest.mark.parametrize("error", [asyncpg.InvalidPasswordError, asyncpg.InvalidCatalogNameError])
def test_who_is_let_in_no_more_is_told_that_it_is_away(error: type[asyncpg.PostgresError]) -> None:
    """A role or password that was changed under a running service."""
    with pytest.raises(StoreAwayError), _shut_out_is_away():
        raise error("no")


async def test_lanes_heal_after_a_restart(data_dir: Path) -> None:
    """While PostgreSQL is away every lane says so; when it is back the same lanes work again."""
    server = await asyncio.to_thread(EmbeddedServer.start, data_dir)
    async with _opened(server.dsn, StoreSettings()) as connections:
        lanes = (connections.intake, connections.workers, connections.web, connections.heartbeat)
        await asyncio.to_thread(server.stop)
        for lane in lanes:
            with pytest.raises(StoreAwayError):
                async with lane.transaction() as connection:
                    await connection.execute("select 1")
        server = await asyncio.to_thread(EmbeddedServer.start, data_dir)
        for lane in lanes:
            async with lane.transaction() as connection:
                assert await connection.fetchval("select 1") == 1
        await asyncio.to_thread(server.stop)


@pytest.mark.parametrize("moment", [0, 0.1])
async def test_a_session_that_is_ended_in_a_transaction_is_store_away(empty_dsn: str, moment: float) -> None:
    """A connection lost between two statements is the store's absence, noticed before the second or by it."""
    async with _opened(empty_dsn, StoreSettings()) as connections:

        async def lose() -> None:
            async with connections.workers.transaction() as connection:
                pid = await connection.fetchval("select pg_backend_pid()")
                await execute(empty_dsn, f"select pg_terminate_backend({pid})")
                await asyncio.sleep(moment)
                await connection.execute("select 1")

        with pytest.raises(StoreAwayError):
            await lose()
        async with connections.workers.connection() as connection:
            assert await connection.fetchval("select 1") == 1


async def test_a_statement_that_takes_too_long_is_store_away(empty_dsn: str) -> None:
    """The server gives it up, the words say why, and the connection is used again."""
    async with _opened(empty_dsn, SHORT) as connections:
        with pytest.raises(StoreAwayError, match="statement timeout"):
            async with connections.workers.connection() as connection:
                await connection.execute("select pg_sleep(600)")
        async with connections.workers.connection() as connection:
            assert await connection.fetchval("select 1") == 1


async def test_a_full_lane_is_store_away_and_leaves_the_others_free(empty_dsn: str) -> None:
    """Who finds no connection in time gets an answer; a flood on one lane does not reach the heartbeat."""
    settings = SHORT.model_copy(update={"intake_connections": 1})
    async with _opened(empty_dsn, settings) as connections, connections.intake.connection():
        with pytest.raises(StoreAwayError):
            async with connections.intake.connection():
                pass
        async with connections.heartbeat.connection() as connection:
            assert await connection.fetchval("select 1") == 1


async def test_who_waits_for_a_connection_has_the_next_one_that_is_free(empty_dsn: str) -> None:
    """They are kept at hand between uses, and go to whoever waits; closing the lane leaves none open."""
    lane = await Lane.open(empty_dsn, StoreSettings(), name="few", size=1)
    sessions: list[int] = []

    async def use() -> None:
        async with lane.connection() as connection:
            sessions.append(await connection.fetchval("SELECT pg_backend_pid()"))
            await asyncio.sleep(0)  # the others begin to wait

    await use()
    await asyncio.gather(*(use() for _ in range(5)))
    assert len(sessions) == 6
    assert len(set(sessions)) == 1
    async with asyncio.timeout(60):
        await lane.close(timedelta(minutes=10))
    left = await asyncpg.connect(empty_dsn)
    here = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid = ANY($1)"

    async def none_is_open() -> bool:
        return int(await left.fetchval(here, sessions)) == 0

    await until(none_is_open, "the session ends", within=30)
    await left.close()


async def test_what_is_left_open_is_rolled_back(empty_dsn: str) -> None:
    """Sessions are not reset between uses, yet no transaction outlives its block."""
    await execute(empty_dsn, "create table t (x int)")
    async with _opened(empty_dsn, StoreSettings(web_connections=1)) as connections:
        with pytest.raises(asyncpg.DivisionByZeroError):
            async with connections.web.transaction() as connection:
                await connection.execute("insert into t values (1); select 1/0")
        async with connections.web.connection() as connection:
            await connection.execute("begin; insert into t values (2)")
        async with connections.web.connection() as connection:
            assert not connection.is_in_transaction()
            assert await connection.fetchval("select count(*) from t") == 0


async def test_a_mistake_of_the_caller_is_not_store_away(empty_dsn: str) -> None:
    """The driver says both with one class; only a closed connection is the store's absence."""
    async with _opened(empty_dsn, StoreSettings()) as connections:
        with pytest.raises(asyncpg.InterfaceError):
            async with connections.workers.connection() as connection:
                await connection.fetchval("select $1::int", 1, 2)


async def test_jsonb_goes_both_ways_also_by_copy(empty_dsn: str) -> None:
    """Values come back as they went, in parameters and in COPY, whatever characters they hold."""
    value = {"labels": {"ünï": "“x”\n"}, "list": [1, 2.5, None, True]}
    connection = await connect(empty_dsn, name="test")
    await connection.execute("create table t (x jsonb)")
    await connection.execute("insert into t values ($1)", value)
    await connection.copy_records_to_table("t", records=[(value,)])
    assert [row["x"] for row in await connection.fetch("select x from t")] == [value, value]
    assert await connection.fetchval("select x #>> '{list,1}' from t limit 1") == "2.5"
    await connection.close()


async def test_lanes_tell_what_they_are_for(empty_dsn: str) -> None:
    """Whoever looks into pg_stat_activity sees which part of the responder holds which session."""
    async with _opened(empty_dsn, StoreSettings()) as connections:
        async with connections.web.connection() as connection:
            names = await connection.fetchval(
                "select array_agg(distinct application_name order by application_name) from pg_stat_activity "
                "where datname = current_database()"
            )
        assert names == ["responder heartbeat", "responder intake", "responder web", "responder workers"]


async def test_nobody_there_is_away_and_a_wrong_name_is_permanent(empty_dsn: str, tmp_path: Path) -> None:
    """What may pass is tried again; what is written wrong is told with the setting to mend."""
    with pytest.raises(StoreAwayError):
        await Connections.open(f"postgresql://responder@/postgres?host={tmp_path}", StoreSettings())
    with pytest.raises(PermanentError, match="mend `database`"):
        await Connections.open(empty_dsn.replace("responder@", "stranger@"), StoreSettings())


async def test_closing_cuts_off_what_hangs(empty_dsn: str) -> None:
    """A statement that runs on does not keep the process from stopping."""
    async with _opened(empty_dsn, StoreSettings()) as connections:

        async def hang() -> None:
            async with connections.workers.connection() as connection:
                await connection.execute("select pg_sleep(600)")

        hanging = asyncio.create_task(hang())
        watcher = await connect(empty_dsn, name="test")
        asleep = "select exists (select from pg_stat_activity where wait_event = 'PgSleep')"
        while not await watcher.fetchval(asleep):  # noqa: ASYNC110 - only asking shows
            await asyncio.sleep(0.01)
        await connections.close(timedelta(milliseconds=100))
        with pytest.raises(StoreAwayError):
            await hanging
        await watcher.close()
