"""A server with a truly stuck query that blocks others, and the questions that prove what became of it.

The stuck query is one long active statement that holds a row lock; the blocked ones wait for that row and
end by themselves as soon as it is gone. The server logs every statement: `Victim.effects` counts from its
log what was done to its sessions, whoever did it.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime

import asyncpg

from tests.support.parts import PostgresServer, until

STUCK_USER = "reporting"
BLOCKED_USER = "shop"
DATABASE = "orders"
_STUCK = """
with held as (update orders set state = 'archived' where id = $1 returning id)
select pg_sleep(600) from held
"""
_BLOCKED = "update orders set state = 'paid' where id = $1"


@dataclass(frozen=True, slots=True)
class Backend:
    """One session of the server, for ever: a pid alone comes again."""

    pid: int
    started: datetime


@dataclass(slots=True)
class Victim:
    """A PostgreSQL server with a database `orders`, seen through a connection of the test's own."""

    server: PostgresServer
    watch: asyncpg.Connection
    _stack: AsyncExitStack = field(repr=False)

    def dsn(self, *, port: int | None = None) -> str:
        """Where the responder connects; `port` names a proxy before the server."""
        return self.server.dsn(DATABASE, port=port)

    async def stick(self, *, row: int = 1, blocked: int = 2) -> Backend:
        """Start a query that never ends and `blocked` others that wait for it; returns the stuck one."""
        backend = await self._run(STUCK_USER, _STUCK, row)
        await until(lambda: self._sleeps(backend), "the stuck query runs", within=15)
        for _ in range(blocked):
            await self._run(BLOCKED_USER, _BLOCKED, row)

        async def all_wait() -> bool:
            return await self.blocked_by(backend) == blocked

        await until(all_wait, f"{blocked} sessions wait for the stuck query", within=15)
        return backend

    async def _run(self, user: str, statement: str, row: int) -> Backend:
        connection = await asyncpg.connect(self.server.dsn(DATABASE, user=user), timeout=10)
        pid = connection.get_server_pid()
        started = await self.watch.fetchval("select backend_start from pg_stat_activity where pid = $1", pid)
        task = asyncio.create_task(_ended(connection, statement, row))
        self._stack.push_async_callback(_close, connection, task)
        return Backend(pid, started)

    async def _sleeps(self, backend: Backend) -> bool:
        query = "select wait_event = 'PgSleep' from pg_stat_activity where pid = $1 and backend_start = $2"
        return bool(await self.watch.fetchval(query, backend.pid, backend.started))

    async def alive(self, backend: Backend) -> bool:
        """Whether the server still has that session."""
        query = "select exists (select from pg_stat_activity where pid = $1 and backend_start = $2)"
        return bool(await self.watch.fetchval(query, backend.pid, backend.started))

    async def stuck(self, backend: Backend) -> bool:
        """Whether that session still runs its statement."""
        query = """select exists (select from pg_stat_activity
                   where pid = $1 and backend_start = $2 and state = 'active')"""
        return bool(await self.watch.fetchval(query, backend.pid, backend.started))

    async def older_than(self, seconds: float, *backends: Backend) -> None:
        """Wait until their statements have been running for longer."""
        query = """select bool_and(clock_timestamp() - query_start > make_interval(secs => $1))
                   from pg_stat_activity where pid = any($2)"""

        async def old() -> bool:
            return bool(await self.watch.fetchval(query, seconds, [backend.pid for backend in backends]))

        await until(old, f"the statements run for more than {seconds:g} s")

    async def ends(self, backend: Backend) -> None:
        """Wait until that session is gone."""

        async def gone() -> bool:
            return not await self.alive(backend)

        await until(gone, f"session {backend.pid} is gone", within=15)

    async def blocked_by(self, backend: Backend) -> int:
        """How many sessions wait for it, directly or behind another one that waits."""
        query = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = $1"
        chain = """
            with recursive waiting as (
                select pid from pg_stat_activity where $1 = any(pg_blocking_pids(pid))
                union
                select a.pid from pg_stat_activity a join waiting w on w.pid = any(pg_blocking_pids(a.pid))
            ) select count(*) from waiting"""
        if await self.watch.fetchval(query, DATABASE) == 0:
            return 0
        return int(await self.watch.fetchval(chain, backend.pid))

    @property
    def terminations(self) -> int:
        """How many sessions the server ended because a statement asked for it, by its log."""
        return len(
            re.findall(r"FATAL:  terminating connection due to administrator command", self.server.log)
        )

    @property
    def cancellations(self) -> int:
        """How many statements the server cancelled because a statement asked for it, by its log."""
        return len(re.findall(r"ERROR:  canceling statement due to user request", self.server.log))

    @property
    def orders(self) -> int:
        """How often a statement that ends or cancels sessions was executed, by the server's log."""
        executed = r"LOG:  (?:execute [^:]*|statement): .*?pg_(?:terminate|cancel)_backend"
        entries = re.split(r"^(?=\d{4}-\d\d-\d\d )", self.server.log, flags=re.MULTILINE)
        return sum(1 for entry in entries if re.search(executed, entry, re.DOTALL))

    @property
    def untouched(self) -> bool:
        """Whether nothing was ended, cancelled or even asked for, by the server's log."""
        return self.terminations == self.cancellations == self.orders == 0


async def _ended(connection: asyncpg.Connection, statement: str, row: int) -> None:
    """Wait until the statement ends, however it ends: being ended is what these sessions are for."""
    with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        await connection.execute(statement, row, timeout=None)


async def _close(connection: asyncpg.Connection, task: "asyncio.Task[None]") -> None:
    connection.terminate()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@asynccontextmanager
async def victim_on(server: PostgresServer) -> AsyncIterator[Victim]:
    """Make the database, its roles and a row to fight for on a running server."""
    setup = await asyncpg.connect(server.dsn(), timeout=10)
    try:
        for role in (STUCK_USER, BLOCKED_USER):
            await setup.execute(f"create role {role} login")
        await setup.execute(f"create database {DATABASE}")
    finally:
        await setup.close()
    async with AsyncExitStack() as stack:
        watch = await asyncpg.connect(
            server.dsn(DATABASE),
            timeout=10,
            server_settings={"application_name": "test-watch", "log_statement": "none"},
        )
        stack.push_async_callback(watch.close)
        await watch.execute("create table orders (id int primary key, state text not null)")
        await watch.execute("insert into orders select n, 'new' from generate_series(1, 10) n")
        await watch.execute(f"grant select, update on orders to {STUCK_USER}, {BLOCKED_USER}")
        yield Victim(server, watch, stack)
