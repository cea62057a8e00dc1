"""The standing connection: what it survives, what it never tells, and what it cannot do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg
import pytest
import pytest_asyncio
from pydantic import SecretStr

from responder.clients.postgres import ROW_LIMIT, NotStartedError, PostgresServers
from responder.model.errors import PermanentError, TemporaryError
from responder.model.inventory import Inventory, PostgresConnection
from tests.support.parts import PostgresServer, embedded_postgres, free_port, until

SECOND = timedelta(seconds=1)
LONG = timedelta(seconds=30)
PID = "select pg_backend_pid() as pid"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[PostgresServer]:
    async with embedded_postgres() as running:
        yield running


@asynccontextmanager
async def to(dsn: str) -> AsyncIterator[PostgresServers]:
    servers = PostgresServers(Inventory(postgres=(PostgresConnection(name="one", dsn=SecretStr(dsn)),)))
    try:
        yield servers
    finally:
        await servers.close()


async def pid_of(servers: PostgresServers) -> int:
    (row,) = await servers.fetch("one", PID, timeout=LONG)
    return int(row["pid"])


async def test_one_connection_serves_all_calls(server: PostgresServer) -> None:
    """Calls at the same time share one session, one after the other; it calls itself `responder`."""
    async with to(server.dsn()) as servers:
        assert len(set(await asyncio.gather(*(pid_of(servers) for _ in range(5))))) == 1
        (row,) = await servers.fetch("one", "select current_setting('application_name') as a", timeout=LONG)
        assert row == {"a": "responder"}


@pytest.mark.parametrize("late", ["timeout", "cancelled", "failed"])
async def test_a_call_that_fails_does_not_poison_the_next(late: str, server: PostgresServer) -> None:
    """After a late, a cancelled and a failed call the same session serves on, with no transaction open."""
    async with to(server.dsn()) as servers:
        before = await pid_of(servers)
        match late:
            case "timeout":
                with pytest.raises(TemporaryError, match="longer than 50ms"):
                    await servers.fetch("one", "select pg_sleep(60)", timeout=timedelta(milliseconds=50))
            case "cancelled":
                call = asyncio.create_task(servers.fetch("one", "select pg_sleep(60)", timeout=LONG))
                await until(lambda: sleeps(server, before), "the call runs", every=0.01)
                call.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await call
                assert not await sleeps(server, before)
            case _:
                with pytest.raises(TemporaryError):
                    await servers.fetch("one", "select 1 / 0", timeout=LONG)
        assert await state(server, before) == "idle"
        assert await pid_of(servers) == before


async def test_a_lost_connection_is_made_anew(server: PostgresServer) -> None:
    """A session that the server ended is replaced within the next call, without an error."""
    async with to(server.dsn()) as servers:
        before = await pid_of(servers)
        watch = await asyncpg.connect(server.dsn())
        try:
            await watch.execute("select pg_terminate_backend($1, 5000)", before)
        finally:
            await watch.close()
        assert await pid_of(servers) != before


async def test_read_only_is_the_servers_word(server: PostgresServer) -> None:
    """What asks cannot change: not by a write, not by a second statement, not by switching the mode off."""
    async with to(server.dsn()) as servers:
        for sql in ("create table made (id int)", "select 1; create table made (id int)"):
            with pytest.raises(TemporaryError):
                await servers.fetch_read_only("one", sql, LONG)
        await servers.fetch_read_only("one", "select set_config('transaction_read_only', 'on', true)", LONG)
        (row,) = await servers.fetch_read_only("one", "select to_regclass('made') is null as none", LONG)
        assert row == {"none": True}
        too_many = f"select * from generate_series(0, {ROW_LIMIT})"
        with pytest.raises(TemporaryError, match=f"more than {ROW_LIMIT} rows"):
            await servers.fetch_read_only("one", too_many, LONG)


async def test_the_ground_is_the_system(server: PostgresServer) -> None:
    """Two databases of one server are one ground."""
    async with to(server.dsn()) as first, to(server.dsn("template1")) as second:
        ground = await first.ground("one")
        assert ground == await second.ground("one")
        assert ground[0].startswith("postgres-system/")


async def test_errors_tell_no_secret(server: PostgresServer) -> None:
    """Host, port, user, password and bound values stand in no error, nor in what led to it."""
    port = free_port()
    away = f"postgresql://hidden_user:hunter2@127.0.0.1:{port}/hidden_db"
    wrong = f"postgresql://hidden_user:hunter2@127.0.0.1:{server.port}/hidden_db"
    unknown = "postgresql://hidden_user:hunter2@no-such-host.invalid/hidden_db"
    broken = "postgresql://hidden_user:hunter2@[::1/hidden_db"
    for dsn in (away, wrong, unknown, broken):
        async with to(dsn) as servers:
            with pytest.raises(NotStartedError, match="'one'") as raised:
                await servers.fetch("one", "select 1", timeout=SECOND)
            told = f"{raised.value}{raised.value.__cause__!r}"
            for secret in ("hunter2", "hidden", "127.0.0.1", "invalid", str(port), str(server.port)):
                assert secret not in told
            assert raised.value.__suppress_context__
            assert "hunter2" not in str(await servers.warm())
    async with to(server.dsn()) as servers:
        for sql, values in (("select $1::int", ("hunter2",)), ("select 'hunter2'::int", ())):
            with pytest.raises(TemporaryError) as failed:
                await servers.fetch("one", sql, *values, timeout=SECOND)
            assert "hunter2" not in str(failed.value)


async def test_what_did_not_start_is_told_apart(server: PostgresServer) -> None:
    """Only where nothing of a statement can have happened is it said to have not started."""
    async with to(server.dsn()) as servers:
        with pytest.raises(NotStartedError, match="does not exist"):
            await servers.fetch("one", "select * from nowhere", timeout=SECOND)
        with pytest.raises(TemporaryError) as late:
            await servers.fetch("one", "select pg_sleep(60)", timeout=timedelta(milliseconds=50))
        assert not isinstance(late.value, NotStartedError)
        with pytest.raises(PermanentError, match="'two'"):
            await servers.fetch("two", "select 1", timeout=SECOND)


async def test_warm_says_what_is_wrong(server: PostgresServer) -> None:
    """`warm` connects to all, and has a sentence for each that does not answer."""
    good = PostgresConnection(name="good", dsn=SecretStr(server.dsn()))
    dsn = SecretStr(f"postgresql://postgres@127.0.0.1:{free_port()}/postgres")
    servers = PostgresServers(Inventory(postgres=(good, PostgresConnection(name="bad", dsn=dsn))))
    try:
        told = await servers.warm()
        assert told["good"] is None
        assert "'bad': no connection" in (told["bad"] or "")
    finally:
        await servers.close()


async def sleeps(server: PostgresServer, pid: int) -> bool:
    return await _of(server, pid, "wait_event") == "PgSleep"


async def state(server: PostgresServer, pid: int) -> str | None:
    return await _of(server, pid, "state")


async def _of(server: PostgresServer, pid: int, column: str) -> str | None:
    watch = await asyncpg.connect(server.dsn())
    try:
        value = await watch.fetchval(f"select {column} from pg_stat_activity where pid = $1", pid)
    finally:
        await watch.close()
    return None if value is None else str(value)
