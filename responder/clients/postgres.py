"""PostgreSQL servers of the inventory: one standing connection to each, kept for the time when none is free.

Here is how statements get to a server and how its failures are told. Which statements stands elsewhere. A
text that leaves this module names the connection as the inventory does, never a host, a user or a DSN.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, TypeAlias

import asyncpg

from responder.clients.answering import Answering
from responder.clients.turns import Turns
from responder.model.duration import format_duration
from responder.model.errors import PermanentError, TemporaryError
from responder.model.inventory import Inventory, PostgresConnection

APPLICATION_NAME = "responder"
"""What our sessions call themselves at every server."""
ROW_LIMIT = 1000
"""How many rows a read-only query may give where the caller names no other limit."""
_CONNECT_TIMEOUT = timedelta(seconds=5)
_GRACE = timedelta(seconds=2)
"""How much longer than the server's own limit the client waits for its word."""
_TURN = timedelta(seconds=3)
"""How long a call waits for those before it: less than an effect's timeout, so it surely has not run."""
_OUR_MISTAKE = "42"
"""The SQLSTATE class of syntax errors and missing rights: its messages name no data and no host."""

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_LOST = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.OperatorInterventionError,  # the server ended our session: a restart, or a person did
)
_STAND = """
SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'idle_session_timeout'
"""
"""A session that waits for its hour must not be ended for idling."""
_GROUND = "SELECT system_identifier FROM pg_control_system()"


class NotStartedError(TemporaryError):
    """The statement never reached the server, or was refused as a whole: nothing of it happened."""


class PostgresServers:
    """Every PostgreSQL server of the inventory, by the inventory's name.

    Calls to one server go one after the other. Each is a transaction of its own with a `statement_timeout`
    that the server enforces; a call that fails, runs late or is cancelled is rolled back at once, so that the
    next one finds the connection as it was.

    Raises (every call):
        NotStartedError: no connection, or the statement was refused: nothing of it happened.
        TemporaryError: any other failure; says which server and why.
        PermanentError: the inventory has no connection of that name.
    """

    def __init__(self, inventory: Inventory) -> None:
        self.answering = Answering("PostgreSQL connection")
        """Which connections of the inventory answer."""
        self._servers = {entry.name: _Server(entry, self.answering) for entry in inventory.postgres}

    async def fetch(
        self,
        name: str,
        sql: str,
        *args: Any,
        timeout: timedelta,  # noqa: ASYNC109 - the server's limit, not only ours
    ) -> list[dict[str, Any]]:
        """All rows of one statement; `now()` in it is the moment at which the call reached the server."""
        async with self._server(name).transaction("READ WRITE", timeout) as connection:
            rows = await connection.fetch(sql, *args)
        return [dict(row) for row in rows]

    async def fetch_read_only(
        self,
        name: str,
        sql: str,
        timeout: timedelta,  # noqa: ASYNC109 - the server's limit, not only ours
        args: Sequence[Any] = (),
        row_limit: int = ROW_LIMIT,
    ) -> list[dict[str, Any]]:
        """The rows of one statement that may change nothing; more than `row_limit` is an error."""
        async with self._server(name).transaction("READ ONLY", timeout) as connection:
            cursor = await connection.cursor(sql, *args)
            rows = await cursor.fetch(row_limit + 1)
        if len(rows) > row_limit:
            raise TemporaryError(f"PostgreSQL {name!r}: the query gave more than {row_limit} rows")
        return [dict(row) for row in rows]

    async def columns(
        self,
        name: str,
        sql: str,
        timeout: timedelta,  # noqa: ASYNC109 - the server's limit, not only ours
    ) -> list[str]:
        """The columns that one statement would answer with; it is not run. None for what is no query."""
        async with self._server(name).transaction("READ ONLY", timeout) as connection:
            prepared = await connection.prepare(sql)
            return [attribute.name for attribute in prepared.get_attributes()]

    async def ground(self, name: str) -> tuple[str, ...]:
        """The system that the server is: the same for a primary and its standbys, and for all databases."""
        rows = await self.fetch_read_only(name, _GROUND, _CONNECT_TIMEOUT)
        return tuple(f"postgres-system/{row['system_identifier']}" for row in rows)

    async def warm(self) -> Mapping[str, str | None]:
        """Make sure that every standing connection stands; for each name what is wrong, or None."""
        problems = await asyncio.gather(*(self._problem(name) for name in self._servers))
        return dict(zip(self._servers, problems, strict=True))

    async def close(self) -> None:
        """Close all connections."""
        await asyncio.gather(*(server.close() for server in self._servers.values()))

    async def _problem(self, name: str) -> str | None:
        try:
            await self.fetch_read_only(name, "SELECT 1", _CONNECT_TIMEOUT)
        except TemporaryError as error:
            return str(error)
        return None

    def _server(self, name: str) -> "_Server":
        try:
            return self._servers[name]
        except KeyError:
            raise PermanentError(f"the inventory has no PostgreSQL connection {name!r}") from None


class _Server:
    """One server, one connection, one call at a time."""

    def __init__(self, entry: PostgresConnection, answering: Answering) -> None:
        self._entry = entry
        self._answering = answering
        self._turns = Turns()
        self._connection: Connection | None = None
        self._mending: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def transaction(self, mode: str, limit: timedelta) -> AsyncIterator[Connection]:
        """A transaction on the standing connection, with the lock held; rolled back on any exception."""
        async with self._turn():
            started = False
            try:
                connection = await self._begin(mode, limit)
                started = True
                async with asyncio.timeout(_patience(limit)):
                    yield connection
                    await connection.execute("COMMIT")
                self._answering.heard(self._entry.name, None)
            except BaseException as error:
                self._note(error, limit)
                await self._mend()
                if (reason := _reason(error, limit)) is None:
                    raise
                kind = TemporaryError if started and not _refused(error) else NotStartedError
                raise kind(f"PostgreSQL {self._entry.name!r}: {reason}") from None

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """One call at a time. Waiting for the others has an end, and then nothing was sent."""
        had = False
        try:
            async with self._turns.turn(_TURN.total_seconds()):
                had = True
                yield
        except TimeoutError:
            if had:
                raise
            waited = format_duration(_TURN)
            raise NotStartedError(
                f"PostgreSQL {self._entry.name!r}: other calls kept the connection busy for {waited}"
            ) from None

    def _note(self, error: BaseException, limit: timedelta) -> None:
        """A refusal is an answer; who gives a call up before its time heard none."""
        problem = _silence(error, limit)
        if problem is not None or isinstance(error, asyncpg.PostgresError):
            self._answering.heard(self._entry.name, problem)

    async def close(self) -> None:
        async with self._turns.turn():
            connection, self._connection = self._connection, None
            if connection is not None and not connection.is_closed():
                try:
                    await connection.close(timeout=_GRACE.total_seconds())
                except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                    connection.terminate()

    async def _begin(self, mode: str, limit: timedelta) -> Connection:
        """Start a transaction; a connection that turns out to be lost is made anew, once."""
        milliseconds = max(1, int(limit / timedelta(milliseconds=1)))
        begin = f"BEGIN ISOLATION LEVEL READ COMMITTED {mode}; SET LOCAL statement_timeout = {milliseconds}"
        for last in (False, True):
            connection = await self._connected()
            try:
                await connection.execute(begin, timeout=_patience(limit))
            except _LOST:
                connection.terminate()
                if last:
                    raise
            else:
                return connection
        raise AssertionError("the loop returns or raises")

    async def _connected(self) -> Connection:
        if self._mending is not None:
            await asyncio.wait({self._mending})
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(
                self._entry.dsn.get_secret_value(),
                timeout=_CONNECT_TIMEOUT.total_seconds(),
                statement_cache_size=0,
                server_settings={"application_name": APPLICATION_NAME},
            )
            await self._connection.execute(_STAND, timeout=_CONNECT_TIMEOUT.total_seconds())
        return self._connection

    async def _mend(self) -> None:
        """Roll back, even while the caller is being cancelled again; what cannot be mended is dropped."""
        if self._connection is not None and not self._connection.is_closed():
            self._mending = asyncio.create_task(_rolled_back(self._connection))
            await asyncio.shield(self._mending)


async def _rolled_back(connection: Connection) -> None:
    try:
        await connection.execute("ROLLBACK", timeout=_GRACE.total_seconds())
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        connection.terminate()


def _patience(limit: timedelta) -> float:
    return (limit + _GRACE).total_seconds()


def _silence(error: BaseException, limit: timedelta) -> str | None:
    """Why the server gave no usable answer; None where it did, or the mistake is ours."""
    match error:
        case asyncio.CancelledError():
            return "it was given up before an answer came"
        case asyncpg.QueryCanceledError() | ValueError():
            return None
        case asyncpg.InvalidAuthorizationSpecificationError() | asyncpg.TooManyConnectionsError():
            return _reason(error, limit)
        case _:
            return _reason(error, limit) if isinstance(error, (TimeoutError, *_LOST)) else None


def _refused(error: BaseException) -> bool:
    return isinstance(error, asyncpg.PostgresError) and (error.sqlstate or "").startswith(_OUR_MISTAKE)


def _reason(error: BaseException, limit: timedelta) -> str | None:
    """A failure in words without host, user or data; None for what is no failure of a server."""
    match error:
        case asyncpg.QueryCanceledError():
            return f"the statement was cancelled or ran longer than {format_duration(limit)}"
        case TimeoutError():
            return f"no answer within {format_duration(limit)}"
        case asyncpg.TooManyConnectionsError():
            return "no connection slot is free"
        case asyncpg.PostgresConnectionError():
            return "the connection was lost"
        case asyncpg.InvalidPasswordError() | asyncpg.InvalidAuthorizationSpecificationError():
            return f"the login was refused (SQLSTATE {error.sqlstate})"
        case asyncpg.PostgresError():
            code = error.sqlstate or "unknown"
            message = getattr(error, "message", None) if _refused(error) else None
            return f"{message or type(error).__name__} (SQLSTATE {code})"
        case asyncpg.ClientConfigurationError() | ValueError():
            return "the DSN or a bound value cannot be used"
        case asyncpg.InterfaceError():
            return "the connection was lost or the statement cannot take these values"
        case OSError():
            return f"no connection ({type(error).__name__})"
        case _:
            return None
