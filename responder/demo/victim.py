"""The server that suffers: one query holds a row for ten minutes, and customers wait for that row.

Nothing here is acted: the stuck query is a real statement with a real lock, and what became of it is asked
of the server's own pg_stat_activity.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

import asyncpg

DATABASE = "orders"
CULPRIT = "nightly-report"
"""The application whose query is stuck."""
CUSTOMER = "shop"
"""The application whose sessions wait for it."""
_CONNECT_TIMEOUT_S = 10.0

_SCHEMA = """
    CREATE TABLE orders (id int PRIMARY KEY, state text NOT NULL);
    INSERT INTO orders SELECT n, 'new' FROM generate_series(1, 100) n;
"""
_STUCK = """WITH held AS (UPDATE orders SET state = 'archived' WHERE id = 1 RETURNING id)
SELECT pg_sleep(600) FROM held"""
_BLOCKED = "UPDATE orders SET state = 'paid' WHERE id = 1"
_SESSIONS = f"""
    SELECT pid, backend_start, application_name, coalesce(state, '') AS state, query,
           coalesce(extract(epoch FROM clock_timestamp() - query_start), 0)::float8 AS seconds,
           pg_blocking_pids(pid) AS blocked_by
    FROM pg_stat_activity
    WHERE datname = '{DATABASE}' AND application_name IN ('{CULPRIT}', '{CUSTOMER}')
    ORDER BY backend_start, pid
"""
_RUNS = """
    SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1 AND backend_start = $2 AND state = 'active')
"""

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@dataclass(frozen=True, slots=True)
class Backend:
    """One session of the server, for ever: a pid alone comes again."""

    pid: int
    started: datetime


@dataclass(frozen=True, slots=True)
class Session:
    """One line of pg_stat_activity, as the audience sees it. `seconds` is how long its statement runs."""

    pid: int
    application: str
    state: str
    seconds: float
    blocked_by: tuple[int, ...]
    query: str
    stuck: bool


@dataclass(slots=True)
class Victim:
    """The server, seen through a connection of the demo's own."""

    dsn: str
    watch: Connection
    _stack: AsyncExitStack = field(repr=False)
    culprit: Backend | None = None

    async def start_culprit(self) -> Backend:
        """Start the query that will not end."""
        self.culprit = await self._run(CULPRIT, _STUCK)
        return self.culprit

    async def start_customers(self, count: int) -> None:
        """Start sessions that want the row that the culprit holds."""
        for _ in range(count):
            await self._run(CUSTOMER, _BLOCKED)

    async def _run(self, application: str, statement: str) -> Backend:
        connection = await asyncpg.connect(
            self.dsn,
            database=DATABASE,
            timeout=_CONNECT_TIMEOUT_S,
            server_settings={"application_name": application},
        )
        pid = connection.get_server_pid()
        started = await self.watch.fetchval("SELECT backend_start FROM pg_stat_activity WHERE pid = $1", pid)
        task = asyncio.create_task(_until_it_ends(connection, statement))
        self._stack.push_async_callback(_close, connection, task)
        return Backend(pid, started)

    async def holds(self, backend: Backend) -> bool:
        """Whether the stuck query has its row and sleeps on it."""
        query = "SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = $1"
        return bool(await self.watch.fetchval(query, backend.pid))

    async def runs(self, backend: Backend) -> bool:
        """Whether that session still runs its statement: neither cancelled nor terminated."""
        return bool(await self.watch.fetchval(_RUNS, backend.pid, backend.started))

    async def sessions(self) -> Sequence[Session]:
        """All sessions of the story."""
        rows = await self.watch.fetch(_SESSIONS)
        return [
            Session(
                pid=row["pid"],
                application=row["application_name"],
                state=row["state"],
                seconds=row["seconds"],
                blocked_by=tuple(row["blocked_by"]),
                query=" ".join(row["query"].split())[:60],
                stuck=self.culprit is not None and row["pid"] == self.culprit.pid,
            )
            for row in rows
        ]

    async def blocked(self) -> int:
        """How many sessions wait for another one."""
        return sum(1 for session in await self.sessions() if session.blocked_by)


@asynccontextmanager
async def victim_on(dsn: str) -> AsyncIterator[Victim]:
    """Make the database on a running server, and end every session of the story afterwards."""
    setup = await asyncpg.connect(dsn, timeout=_CONNECT_TIMEOUT_S)
    try:
        await setup.execute(f"CREATE DATABASE {DATABASE}")
    finally:
        await setup.close()
    async with AsyncExitStack() as stack:
        watch = await asyncpg.connect(dsn, database=DATABASE, timeout=_CONNECT_TIMEOUT_S)
        stack.push_async_callback(watch.close)
        await watch.execute(_SCHEMA)
        yield Victim(dsn, watch, stack)


async def _until_it_ends(connection: Connection, statement: str) -> None:
    """Run a statement that is expected to be ended from outside."""
    with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        await connection.execute(statement)


async def _close(connection: Connection, task: "asyncio.Task[None]") -> None:
    connection.terminate()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
