"""What must be true of a PostgreSQL before the responder trusts it with its promises, checked at each start.

Everything acted on is first committed: a server that forgets commits would let the same action run twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from responder.model.errors import PermanentError
from responder.store.connection import Connection, connect, store_errors

OLDEST_VERSION = 150000
"""PostgreSQL 15, as `server_version_num` writes it."""
_SHARED_SESSION_WAIT = 5.0
"""Seconds; behind a transaction pooler with one server connection the second session waits for ever."""


@dataclass(frozen=True, slots=True)
class _Facts:
    version_number: int
    version: str
    in_recovery: bool
    read_only: bool
    fsync: str
    synchronous_commit: str
    encoding: str


async def check_server(dsn: str) -> None:
    """Refuse a server that cannot keep the promises.

    Raises:
        PermanentError: what is wrong with it, all at once, and how to mend it.
        StoreAwayError: PostgreSQL does not answer.
    """
    first = await connect(dsn, name="check")
    try:
        second = await connect(dsn, name="check")
        try:
            with store_errors():
                if not await _sessions_are_kept(first, second):
                    raise PermanentError(
                        "between the responder and PostgreSQL stands a pooler in transaction mode: it takes "
                        "sessions apart, and with them the lock that keeps replicas from migrating at once; "
                        "connect to PostgreSQL itself, or set pool_mode = session"
                    )
                problems = _problems(await _facts(first))
        finally:
            second.terminate()
    finally:
        first.terminate()
    if problems:
        raise PermanentError("this PostgreSQL cannot carry the responder:\n- " + "\n- ".join(problems))


async def _facts(connection: Connection) -> _Facts:
    row = await connection.fetchrow(
        """
        select current_setting('server_version_num')::int as version_number,
               current_setting('server_version') as version,
               pg_is_in_recovery() as in_recovery,
               current_setting('default_transaction_read_only')::bool as read_only,
               current_setting('fsync') as fsync,
               current_setting('synchronous_commit') as synchronous_commit,
               current_setting('server_encoding') as encoding
        """
    )
    if row is None:
        raise AssertionError("a select without a table always has a row")
    return _Facts(**row)


def _problems(facts: _Facts) -> Sequence[str]:
    problems = []
    if facts.version_number < OLDEST_VERSION:
        problems.append(f"it is version {facts.version}: upgrade to 15 or later")
    if facts.in_recovery:
        problems.append("it is a standby: give the DSN of the primary, or add target_session_attrs=primary")
    elif facts.read_only:
        problems.append(
            "default_transaction_read_only is on: switch it off for the responder's role or database"
        )
    if facts.fsync != "on":
        problems.append(
            "fsync is off, so a crash forgets what was promised: set fsync = on in postgresql.conf"
        )
    if facts.synchronous_commit == "off":
        problems.append(
            "synchronous_commit is off, so a crash forgets what was promised: "
            "set it to on (or local) for the responder's role or database"
        )
    if facts.encoding != "UTF8":
        problems.append(
            f"the database's encoding is {facts.encoding}: create one with ENCODING 'UTF8' TEMPLATE template0"
        )
    return problems


async def _sessions_are_kept(first: Connection, second: Connection) -> bool:
    """Whether two connections of ours are two sessions there.

    While the first is idle the second opens a transaction: a pooler in transaction mode gives it the session
    that the first just used, or makes it wait, or hands the first another session afterwards. Everything runs
    in explicit transactions, because such a pooler takes even one prepared statement apart.
    """
    pid = await _backend(first)
    await second.execute("begin", timeout=_SHARED_SESSION_WAIT)
    try:
        if await second.fetchval("select pg_backend_pid()") == pid:
            return False
        try:
            return await _backend(first) == pid
        except TimeoutError:
            return False
    finally:
        await second.execute("rollback")


async def _backend(connection: Connection) -> int:
    async with connection.transaction():
        pid: int = await connection.fetchval("select pg_backend_pid()", timeout=_SHARED_SESSION_WAIT)
    return pid


async def system_identifier(connection: Connection) -> str:
    """Which PostgreSQL carries the store, as `postgres-system/<identifier>`: no action may touch that one.

    All databases and all physical standbys of one server share it.
    """
    try:
        identifier = await connection.fetchval("select system_identifier from pg_control_system()")
    except asyncpg.InsufficientPrivilegeError as error:
        raise PermanentError(
            "the responder may not read which PostgreSQL it runs on: "
            "GRANT EXECUTE ON FUNCTION pg_control_system() TO its role"
        ) from error
    return f"postgres-system/{identifier}"
