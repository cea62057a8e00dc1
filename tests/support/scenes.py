"""Where the conformance suite runs the PostgreSQL actions: real sessions on a real server."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
from pydantic import SecretStr

from responder.actions.base import Clients
from responder.actions.registry import BuiltActions, Registry
from responder.clients.postgres import PostgresServers
from responder.model.inventory import Inventory, PostgresConnection
from responder.model.target import Element
from responder.ports import Action
from responder.rulebook.matchers import parse_matchers
from tests.support.parts import PostgresServer, free_port, until

CONNECTION = "orders"
"""What the inventory of every scene calls the server."""
_LOOSE = "postgresql://postgres@127.0.0.1:{port}/postgres"


def clients_for(dsn: str) -> Clients:
    """Clients with an inventory of the server and of two twins that only an ambiguous label finds."""
    twins = tuple(
        PostgresConnection(name=name, dsn=SecretStr(dsn), matches=parse_matchers('twin="yes"'))
        for name in ("twin-a", "twin-b")
    )
    inventory = Inventory(postgres=(PostgresConnection(name=CONNECTION, dsn=SecretStr(dsn)), *twins))
    return Clients(inventory=inventory, postgres=PostgresServers(inventory))


class Sessions:
    """Sessions of a test's own, each in a statement that lasts, and a connection that watches them."""

    def __init__(self, server: PostgresServer, watch: "asyncpg.Connection[asyncpg.Record]") -> None:
        self.server = server
        self.watch = watch
        self.application = f"scene-{uuid4().hex[:12]}"
        self._open: list[tuple[asyncpg.Connection[asyncpg.Record], asyncio.Task[None]]] = []
        self._made: dict[int, asyncpg.Record] = {}

    async def start(
        self, statement: str = "select pg_sleep(600)", *, application: str | None = None, **connect: Any
    ) -> int:
        """Open a session, let it run a statement, and return its pid once the server says it is active."""
        connection = await asyncpg.connect(
            self.server.dsn(**connect),
            timeout=10,
            server_settings={"application_name": application or self.application},
        )
        pid = connection.get_server_pid()
        self._open.append((connection, asyncio.create_task(_ended(connection, statement))))
        await until(lambda: self._runs(pid), "the statement runs", every=0.01)
        return pid

    async def open(self, *statements: str, **connect: Any) -> int:
        """Open a session that has run these statements and sits idle; returns its pid."""
        connection = await asyncpg.connect(
            self.server.dsn(**connect), timeout=10, server_settings={"application_name": self.application}
        )
        for statement in statements:
            await connection.execute(statement)
        pid = connection.get_server_pid()
        self._open.append((connection, asyncio.create_task(asyncio.sleep(0))))
        self._made[pid] = (await self._now())[pid]
        return pid

    async def standing(self) -> int:
        """How many are the same sessions, in the same statement, as when they were made."""
        now = await self._now()
        return sum(1 for pid, made in self._made.items() if now.get(pid) == made)

    async def end(self, pid: int) -> None:
        """End one session as somebody else would, and see it gone."""
        await self.watch.execute("select pg_terminate_backend($1, 10000)", pid)

    async def close(self) -> None:
        """End all of them."""
        for connection, task in self._open:
            connection.terminate()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await self.watch.execute(
            "select pg_terminate_backend(pid, 10000) from unnest($1::int[]) pid", [*self._made]
        )

    async def _runs(self, pid: int) -> bool:
        """Whether it is active; from then on it counts as made.

        The server tells that it is active a moment before the time at which its transaction began.
        """
        self._made[pid] = (await self._now())[pid]
        return bool(self._made[pid]["state"] == "active" and self._made[pid]["xact_start"] is not None)

    async def _now(self) -> dict[int, "asyncpg.Record"]:
        rows = await self.watch.fetch(
            "select pid, backend_start, state, query_start, xact_start from pg_stat_activity"
        )
        return {row["pid"]: row for row in rows}


async def _ended(connection: "asyncpg.Connection[asyncpg.Record]", statement: str) -> None:
    """Wait until the statement ends, however it ends: being ended is what these sessions are for."""
    with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        await connection.execute(statement, timeout=None)


class PostgresScene:
    """A scene of one of the PostgreSQL actions: each element is a session in a long statement."""

    def __init__(self, name: str, sessions: Sessions, clients: Clients, away: Clients) -> None:
        registry = Registry(installed=())
        self.lost: Mapping[str, Any] = {"connection": "no-such-connection"}
        self.ambiguous: Mapping[str, Any] = {"connection": {"twin": "yes"}}
        self.sessions = sessions
        self.clients = clients
        self.action: Action[Any, Any] = BuiltActions(registry, clients).get(name)
        self.stranded: Action[Any, Any] = BuiltActions(registry, away).get(name)
        self.params: Mapping[str, Any] = {
            "connection": CONNECTION,
            **(
                {"older_than": "1ms", "application": sessions.application, "at_most": 2}
                if self.action.kind.changing
                else {"longer_than": "1ms"}
            ),
        }

    async def arrange(self, count: int) -> None:
        """Sessions in a statement that lasts for longer than `older_than`."""
        for _ in range(count):
            await self.sessions.start()
        await asyncio.sleep(timedelta(milliseconds=2).total_seconds())

    async def standing(self) -> int:
        """Sessions that are still in the same statement."""
        return await self.sessions.standing()

    async def vanish(self, element: Element) -> None:
        """Somebody else ends it."""
        await self.sessions.end(element.facts["pid"])

    def impostor(self, element: Element) -> Element:
        """An earlier session that had the same pid."""
        earlier = datetime.fromisoformat(element.facts["backend_start"]) - timedelta(hours=1)
        facts = {**element.facts, "backend_start": earlier.isoformat()}
        return element.model_copy(update={"facts": facts})


@asynccontextmanager
async def sessions_on(server: PostgresServer) -> AsyncIterator[Sessions]:
    """Sessions that are gone afterwards."""
    watch = await asyncpg.connect(
        server.dsn(), timeout=10, server_settings={"application_name": "test-watch"}
    )
    sessions = Sessions(server, watch)
    try:
        yield sessions
    finally:
        await sessions.close()
        await watch.close()


@asynccontextmanager
async def clients_on(dsn: str) -> AsyncIterator[Clients]:
    """Clients that are closed afterwards."""
    clients = clients_for(dsn)
    try:
        yield clients
    finally:
        await clients.postgres.close()


@asynccontextmanager
async def postgres_scene(name: str, server: PostgresServer) -> AsyncIterator[PostgresScene]:
    """The scene of one action."""
    async with AsyncExitStack() as stack:
        sessions = await stack.enter_async_context(sessions_on(server))
        clients = await stack.enter_async_context(clients_on(server.dsn()))
        away = await stack.enter_async_context(clients_on(_LOOSE.format(port=free_port())))
        yield PostgresScene(name, sessions, clients, away)
