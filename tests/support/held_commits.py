"""COMMITs of intake that come no further until a test lets them: everything is written, and nothing is yet.

The last thing before each COMMIT that stores an alert is a wait for a lock that the test holds.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg

from tests.support.parts import until

_LOCK = 7_310_442
_WAIT = f"""
CREATE FUNCTION wait_at_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    PERFORM pg_advisory_xact_lock_shared({_LOCK});
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER wait_at_commit AFTER INSERT OR UPDATE ON alerts
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait_at_commit()
"""
_WAITING = """
SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


@dataclass(frozen=True, slots=True)
class HeldCommits:
    """What waits at its COMMIT, and a session beside it that sees what is committed."""

    raw: "asyncpg.Connection[asyncpg.Record]"

    async def reached(self) -> None:
        """Until one has come so far."""

        async def waits() -> bool:
            return bool(await self.raw.fetch(_WAITING))

        await until(waits, "a COMMIT of intake is reached", within=60, every=0.02)

    async def fail(self) -> None:
        """End the sessions that wait: their transactions never were."""
        await self.raw.execute(f"SELECT pg_terminate_backend(pid, 10000) FROM ({_WAITING}) waiting")

    async def release(self) -> None:
        """Let all go on, from now on without a wait."""
        await self.raw.execute(f"SELECT pg_advisory_unlock({_LOCK})")

    async def one(self, query: str, *values: Any) -> Any:
        """The first value of what is committed."""
        return await self.raw.fetchval(query, *values)


@asynccontextmanager
async def commits_held(dsn: str) -> AsyncIterator[HeldCommits]:
    """From here on."""
    raw = await asyncpg.connect(dsn)
    try:
        await raw.execute(f"SELECT pg_advisory_lock({_LOCK})")
        await raw.execute(_WAIT)
        yield HeldCommits(raw)
    finally:
        await raw.close()
