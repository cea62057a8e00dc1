"""Brings the schema to where the code needs it: numbered SQL files, each applied once in a transaction.

Schema N works with code N and code N-1, so replicas can be replaced one after the other; further apart is
refused. A file that was applied never changes: what it did is history, the next change is the next file.

That is promised from the first release on, for the schema and for what rows hold as documents: a model that
is read from the store refuses a key that it does not know, so a release writes none that the one before would
refuse. Until then a document may gain a key without notice: replace all replicas at once.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import asyncpg

from responder.model.errors import PermanentError, TemporaryError
from responder.store.connection import Connection, connect, store_errors

MIGRATIONS = Path(__file__).parent / "migrations"
_FILE_NAME = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
_LOCK = 0x7265_7370_6F6E_6400
"""The advisory lock that lets one process at a time migrate; any number of our own."""
_PATIENCE = timedelta(minutes=2)
"""How long another process may migrate while this one waits."""
_TABLE = """
create table if not exists schema_migrations (
    version integer primary key,
    name text not null,
    sha256 text not null,
    applied_at timestamptz not null default now()
)
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file."""

    version: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        """What is remembered of the file, to see later that it has not changed."""
        return sha256(self.sql.encode()).hexdigest()


def migrations_in(directory: Path) -> tuple[Migration, ...]:
    """The files of a directory in order.

    Raises:
        PermanentError: a name that is no NNNN_name.sql, or a number missing or used twice.
    """
    found = []
    for path in sorted(directory.glob("*.sql")):
        match = _FILE_NAME.fullmatch(path.name)
        if match is None:
            raise PermanentError(f"{path}: name it like 0002_what_it_does.sql")
        found.append(Migration(int(match[1]), match[2], path.read_text(encoding="utf-8")))
    for expected, migration in enumerate(found, start=1):
        if migration.version != expected:
            raise PermanentError(
                f"{directory}: after {expected - 1:04} comes {migration.version:04}_{migration.name}.sql; "
                f"number the files 0001, 0002, ... without gaps"
            )
    return tuple(found)


async def migrate(dsn: str, directory: Path = MIGRATIONS) -> tuple[int, ...]:
    """Apply what is missing; the versions applied now.

    Several processes may call it at once: one works, the others wait for it.

    Raises:
        PermanentError: an applied file was changed, a file fails, or the schema is too new for this code.
        TemporaryError: another process holds the lock, or a table, for too long.
        StoreAwayError: PostgreSQL does not answer.
    """
    migrations = migrations_in(directory)
    connection = await connect(dsn, name="migrate")
    try:
        with store_errors(connection):
            await _lock(connection)
            return await _apply_missing(connection, migrations)
    finally:
        await connection.close(timeout=5)  # ends the session, and the lock with it


async def _lock(connection: Connection) -> None:
    try:
        await connection.execute(f"set lock_timeout = '{int(_PATIENCE.total_seconds())}s'")
        await connection.execute("select pg_advisory_lock($1)", _LOCK)
    except asyncpg.LockNotAvailableError:
        raise TemporaryError(
            f"another process has been migrating the database for {_PATIENCE}: it shows in pg_locks "
            f"(locktype advisory); start again when it is done"
        ) from None


async def _apply_missing(connection: Connection, migrations: Sequence[Migration]) -> tuple[int, ...]:
    await connection.execute(_TABLE)
    rows = await connection.fetch("select version, name, sha256 from schema_migrations order by version")
    _refuse_too_new(rows, migrations)
    _refuse_changed(rows, migrations)
    missing = migrations[len(rows) :]
    for migration in missing:
        await _apply(connection, migration)
    return tuple(migration.version for migration in missing)


def _refuse_too_new(rows: Sequence[asyncpg.Record], migrations: Sequence[Migration]) -> None:
    if len(rows) > len(migrations) + 1:
        raise PermanentError(
            f"the database's schema is version {len(rows)}, this program knows {len(migrations)} and can "
            f"work with one more at most: start the newer version of the responder, or restore the backup "
            f"made before it"
        )


def _refuse_changed(rows: Sequence[asyncpg.Record], migrations: Sequence[Migration]) -> None:
    for row, migration in zip(rows, migrations, strict=False):
        if row["version"] != migration.version:
            raise PermanentError(
                f"schema_migrations lacks version {migration.version:04}: its rows were changed by hand; "
                f"put them back"
            )
        if row["sha256"] != migration.sha256:
            raise PermanentError(
                f"migration {migration.version:04}_{migration.name}.sql is not the file that was applied as "
                f"{row['version']:04}_{row['name']}: undo the change and put it into a new migration"
            )


async def _apply(connection: Connection, migration: Migration) -> None:
    try:
        async with connection.transaction():
            await connection.execute("set local lock_timeout = '10s'")
            await connection.execute(migration.sql)
            await connection.execute(
                "insert into schema_migrations (version, name, sha256) values ($1, $2, $3)",
                migration.version,
                migration.name,
                migration.sha256,
            )
    except asyncpg.LockNotAvailableError as error:
        raise TemporaryError(
            f"migration {migration.version:04}_{migration.name} waited 10s for a lock ({error}): end the "
            f"long transaction that holds it (pg_stat_activity) and start again"
        ) from error
    except (
        asyncpg.SyntaxOrAccessError,
        asyncpg.DataError,
        asyncpg.IntegrityConstraintViolationError,
    ) as error:
        raise PermanentError(
            f"migration {migration.version:04}_{migration.name}.sql fails: {error}; nothing of it was kept"
        ) from error
