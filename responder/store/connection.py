"""Connections to PostgreSQL: one lane for each kind of work, and what its errors mean to the rest.

No query of the program's own tables belongs here. Lanes are separate so that one kind of work cannot starve
another: a flood of alerts must not keep the heartbeat waiting, and a slow page must not stop the workers.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from responder.model.errors import PermanentError, StoreAwayError, StoreFullError, StoreRefusesError
from responder.store.settings import StoreSettings

if TYPE_CHECKING:  # asyncpg's classes are generic in their stubs only
    Session: TypeAlias = asyncpg.Connection[asyncpg.Record]
    Loan: TypeAlias = PoolConnectionProxy[asyncpg.Record]
    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]
    Connection: TypeAlias = Session | Loan
else:
    Session = asyncpg.Connection
    Loan = PoolConnectionProxy
    Pool = asyncpg.Pool
    Connection = asyncpg.Connection | PoolConnectionProxy
    """What queries are written against; from a lane or made by `connect`."""

_AWAY = (
    OSError,
    TimeoutError,  # no connection free in time, or no answer in time
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # shutting down, crashed, starting up, statement cancelled
    asyncpg.InsufficientResourcesError,  # out of memory, too many connections
    asyncpg.PostgresSystemError,
    asyncpg.ReadOnlySQLTransactionError,  # what was the primary is a standby now
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InvalidCachedStatementError,  # another version migrated meanwhile; the next try plans anew
)
_WRONG_SETTINGS = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ClientConfigurationError,
    asyncpg.ProtocolViolationError,  # what a pooler answers to a parameter that it does not let through
)
_SHUT_OUT = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ObjectNotInPrerequisiteStateError,  # the database takes no connections for now
)
"""What a server answers to a new connection that let us in before: a person is at work on it."""
_CLIENT_GRACE = timedelta(seconds=2)
"""How much later than the server this side gives a statement up."""
_LONGEST_IDLE_TRANSACTION = timedelta(seconds=30)
_BY_KEY = """
set plan_cache_mode = force_generic_plan;
set enable_hashjoin = off;
set enable_mergejoin = off;
set enable_seqscan = off
"""
"""A plan made while a table was empty would scan it, and go on to do so when it holds a million rows."""


Admission: TypeAlias = Callable[[Session], Awaitable[None]]
"""Lets a new session in, or raises StoreAwayError."""


@contextmanager
def store_errors(connection: Connection | None = None) -> Iterator[None]:
    """Turn what means "PostgreSQL is away" into StoreAwayError; every other error passes.

    A full disk is told apart: the same again works only when there is room.

    Give the connection, where there is one: asyncpg says "connection is closed" with the same class as a
    mistake of the caller.
    """
    try:
        yield
    except asyncpg.DiskFullError as error:
        raise StoreFullError("the database's disk is full: nothing is stored until there is room") from error
    except _AWAY as error:
        raise StoreAwayError(f"PostgreSQL is away: {_told(error)}") from error
    except (asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        if connection is not None and not _is_lost(connection):
            raise
        raise StoreAwayError(f"PostgreSQL is away: {_told(error)}") from error


def _is_unclean(connection: Connection) -> bool:
    return _is_lost(connection) or connection.is_in_transaction()


def _is_lost(connection: Connection) -> bool:
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:  # the pool took it back, as it does when the server ended it
        return True


def _told(error: BaseException) -> str:
    return str(error) or type(error).__name__


async def connect(dsn: str, *, name: str, timeout: timedelta = timedelta(seconds=5)) -> Connection:  # noqa: ASYNC109 - bounds the connect alone
    """One connection outside all lanes, without a statement timeout: for migrations and checks.

    Raises:
        StoreAwayError: nobody answers, or not now.
        PermanentError: the DSN, its user, password or database is wrong.
    """
    with store_errors(), _settings_errors():
        connection = await asyncpg.connect(
            dsn,
            timeout=timeout.total_seconds(),
            server_settings={"application_name": f"responder {name}"},
        )
    await _speak_json(connection)
    return connection


@contextmanager
def _settings_errors() -> Iterator[None]:
    try:
        yield
    except asyncpg.ObjectNotInPrerequisiteStateError as error:
        raise StoreAwayError(f"PostgreSQL is away: {_told(error)}") from error
    except _WRONG_SETTINGS as error:
        raise StoreRefusesError(
            f"PostgreSQL refuses the connection: {_told(error)}; mend `database` in the store's settings"
        ) from error
    except ValueError:
        # Its text quotes the DSN, and with an unescaped sign in the password a piece of that.
        raise PermanentError(
            "the DSN in `database` of the store's settings cannot be read: write /, #, @ and : of a user or "
            "password as %2F, %23, %40 and %3A"
        ) from None


@contextmanager
def _shut_out_is_away() -> Iterator[None]:
    try:
        yield
    except _SHUT_OUT as error:
        raise StoreAwayError(f"PostgreSQL is away: it refuses the connection: {_told(error)}") from error


async def _speak_json(connection: Session) -> None:
    # Binary, because COPY knows no other format; 1 is the version of jsonb's format on the wire.
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=_encode_jsonb, decoder=_decode_jsonb, format="binary"
    )


def _encode_jsonb(value: Any) -> bytes:
    return b"\x01" + json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _decode_jsonb(data: bytes) -> Any:
    return json.loads(data[1:])


_USES_OF_A_LOAN = 1000
"""How often a connection is used before its pool has it back, which replaces it after very many queries."""


async def _nothing_to_reset(_: Session) -> None:
    """Saves asyncpg's `RESET ALL` and its round trip at each release: sessions here have no state to lose."""


@dataclass(slots=True)
class Disk:
    """What the lanes of one process know of the database's disk."""

    full: bool = False
    """Whether it was when something was written last, and no room was found since then."""


class Lane:
    """The connections of one kind of work.

    Sessions are not reset between uses: change settings with SET LOCAL only, lock with transaction-level
    advisory locks only. asyncpg itself rolls back what was left open.
    """

    def __init__(
        self,
        dsn: str,
        settings: StoreSettings,
        *,
        name: str,
        size: int,
        by_key: bool = False,
        admit: Admission | None = None,
        disk: Disk | None = None,
    ) -> None:
        self._dsn = dsn
        self._settings = settings
        self._name = name
        self._size = size
        self._by_key = by_key
        self._admit = admit
        self._disk = disk or Disk()
        self._wait = settings.connect_timeout.total_seconds()
        self._pool: Pool | None = None
        self._at_hand: list[tuple[Loan, int]] = []
        """Connections that nobody uses, kept back from the pool, and how often each was used.

        To give one to the pool and to take it again costs twice what a short statement does.
        """
        self._closing = False
        self._asking = 0
        """How many wait for the pool to have one."""

    @classmethod
    async def open(
        cls, dsn: str, settings: StoreSettings, *, name: str, size: int, by_key: bool = False
    ) -> Self:
        """A lane that has reached its database.

        `by_key` is for lanes whose statements all find their rows by key: each is planned once, by index.
        """
        lane = cls(dsn, settings, name=name, size=size, by_key=by_key)
        await lane.reach()
        return lane

    async def reach(self) -> None:
        """Connect once, so that a wrong DSN shows now, and further connections as they are needed.

        Before, whoever asks for a connection is told that the database is away.
        """
        if self._pool is not None:
            return
        settings = self._settings
        with store_errors(), _settings_errors():
            self._pool = await asyncpg.create_pool(
                self._dsn,
                min_size=1,
                max_size=self._size,
                timeout=settings.connect_timeout.total_seconds(),
                command_timeout=(settings.statement_timeout + _CLIENT_GRACE).total_seconds(),
                max_inactive_connection_lifetime=0,
                max_queries=1_000_000,
                server_settings={"application_name": f"responder {self._name}"},
                init=self._prepare,
                reset=_nothing_to_reset,
            )

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection without a transaction. Only statements belong into the block, no other I/O.

        Raises:
            StoreAwayError: PostgreSQL does not answer, or did not in time. What was being done
                may have happened.
            StoreFullError: its disk is full.
        """
        pool = self._pool
        if pool is None:
            raise StoreAwayError("PostgreSQL is away: it was not reached since the start")
        connection, uses = await self._taken(pool)
        try:
            with store_errors(connection):
                yield connection
        except BaseException as error:  # it may be in a transaction, or lost: the pool sees to that
            if isinstance(error, StoreFullError):
                self._disk.full = True
            await _give_back(pool, connection, self._wait)
            raise
        if self._closing or self._asking or uses >= _USES_OF_A_LOAN or _is_unclean(connection):
            await _give_back(pool, connection, self._wait)
        else:
            self._at_hand.append((connection, uses + 1))

    async def _taken(self, pool: Pool) -> tuple[Loan, int]:
        while self._at_hand:
            connection, uses = self._at_hand.pop()
            if not _is_lost(connection):
                return connection, uses
            await _give_back(pool, connection, self._wait)
        self._asking += 1
        try:
            with store_errors(), _shut_out_is_away():
                # asyncpg's own limit costs a task for each connection
                async with asyncio.timeout(self._wait):
                    return await pool.acquire(), 1
        finally:
            self._asking -= 1

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection in a transaction, committed at the end of the block, rolled back on an exception.

        Raises:
            StoreAwayError: as `connection`; when COMMIT itself got no answer, it may have happened.
        """
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def close(self, timeout: timedelta) -> None:  # noqa: ASYNC109 - what is not done by then is cut off
        """Close all connections, waiting for what still runs; cut off what takes longer."""
        if self._pool is None:
            return
        self._closing = True
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                while self._at_hand:
                    await _give_back(self._pool, self._at_hand.pop()[0], self._wait)
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    async def _prepare(self, connection: Session) -> None:
        await _set_up(connection, self._settings)
        if self._by_key:
            await connection.execute(_BY_KEY)
        if self._admit is not None:
            await self._admit(connection)


async def _give_back(pool: Pool, connection: Loan, within_s: float) -> None:
    # A connection that cannot be given back is dropped by the pool, which makes a new one when asked:
    # the error that led here is the one to tell.
    with suppress(*_AWAY, asyncpg.InterfaceError, asyncpg.InternalClientError):
        await pool.release(connection, timeout=within_s)


async def _set_up(connection: Session, settings: StoreSettings) -> None:
    # Not as start-up parameters: session poolers refuse those that they do not know.
    await connection.execute(
        f"set statement_timeout = {_milliseconds(settings.statement_timeout)};"
        f"set idle_in_transaction_session_timeout = {_milliseconds(_LONGEST_IDLE_TRANSACTION)};"
        "set timezone = 'UTC';"
        "set jit = off"  # short statements only: compiling one costs more than running it
    )
    await _speak_json(connection)


def _milliseconds(value: timedelta) -> int:
    return max(1, int(value / timedelta(milliseconds=1)))


@dataclass(frozen=True, slots=True)
class Connections:
    """All lanes of one process."""

    intake: Lane
    workers: Lane
    web: Lane
    heartbeat: Lane
    """A single connection that nothing else uses."""
    dsn: str
    disk: Disk

    @classmethod
    def to(cls, dsn: str, settings: StoreSettings, admit: Admission | None = None) -> Self:
        """Lanes to a database that is not reached yet. `admit` is asked for each new session."""
        sizes = {
            "intake": settings.intake_connections,
            "workers": settings.worker_connections,
            "web": settings.web_connections,
            "heartbeat": 1,
        }
        disk, by_key = Disk(), {"intake", "workers"}
        lanes = {
            name: Lane(dsn, settings, name=name, size=size, by_key=name in by_key, admit=admit, disk=disk)
            for name, size in sizes.items()
        }
        return cls(**lanes, dsn=dsn, disk=disk)

    @asynccontextmanager
    async def apart(self, name: str) -> AsyncIterator[Connection]:
        """A connection outside of all lanes, for one who keeps it; cut off at the end of the block.

        Raises:
            StoreAwayError: PostgreSQL does not answer, or not any more.
        """
        connection = await connect(self.dsn, name=name)
        try:
            with store_errors(connection):
                yield connection
        finally:
            connection.terminate()

    @classmethod
    async def open(cls, dsn: str, settings: StoreSettings) -> Self:
        """Lanes that have reached their database, all or none.

        Raises:
            StoreAwayError: PostgreSQL does not answer.
            PermanentError: it refuses the DSN.
        """
        connections = cls.to(dsn, settings)
        try:
            await connections.reach()
        except BaseException:
            await connections.close(timedelta(0))
            raise
        return connections

    async def reach(self) -> None:
        """Let every lane connect that has not yet. Raises as `open` does; then it may be tried again."""
        for lane in (self.intake, self.workers, self.web, self.heartbeat):
            await lane.reach()

    async def close(self, grace: timedelta = timedelta(seconds=5)) -> None:
        """Close every lane; statements still running get `grace`. The heartbeat ends last."""
        for lane in (self.web, self.intake, self.workers, self.heartbeat):
            await lane.close(grace)
