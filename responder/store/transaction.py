"""One transaction on a lane, with PostgreSQL's refusals in the program's words."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta

import asyncpg

from responder.model.errors import PermanentError, TemporaryError
from responder.store.connection import Connection, Lane

WITHOUT_WAITING = "set_config('synchronous_commit', 'off', true)"
"""For a statement's output: the commit of its transaction does not wait for the disk, nor for a standby.

It is seen at once and lost only by a crash of PostgreSQL, never before what was committed earlier, never
without what was committed later. Who says it says why nothing follows from it that could not be lost, too.
"""

_RACED = (
    asyncpg.TransactionRollbackError,  # serialization failures and deadlocks
    asyncpg.LockNotAvailableError,
)
_DATA = (
    asyncpg.DataError,
    asyncpg.ProgramLimitExceededError,  # for example a key too long for an index
    asyncpg.IntegrityConstraintViolationError,
)


@asynccontextmanager
async def transaction(lane: Lane) -> AsyncIterator[Connection]:
    """A connection in a transaction, committed at the end of the block.

    Raises:
        TemporaryError: another transaction was in the way; the same again may work at once.
        PermanentError: PostgreSQL refuses the data; the same again will be refused again.
        StoreAwayError: PostgreSQL does not answer.
    """
    with refusals():
        async with lane.transaction() as connection:
            yield connection


@contextmanager
def refusals() -> Iterator[None]:
    """Turn what PostgreSQL refuses into the program's errors."""
    try:
        yield
    except _RACED as error:
        raise TemporaryError(f"another transaction was in the way ({_told(error)})", timedelta(0)) from error
    except _DATA as error:
        raise PermanentError(f"PostgreSQL refuses the data ({_told(error)})") from error


def _told(error: asyncpg.PostgresError) -> str:
    """What kind of refusal it is. Its own words may quote the data."""
    return f"{type(error).__name__.removesuffix('Error')}, SQLSTATE {error.sqlstate or 'unknown'}"
