"""A database whose clock a test sets: a real PostgreSQL, of which only what `wall_clock()` reads is moved."""

from datetime import timedelta

import asyncpg

FAKE = """
CREATE TABLE set_by (amount interval NOT NULL);
INSERT INTO set_by VALUES ('0');
CREATE OR REPLACE FUNCTION wall_clock() RETURNS timestamptz LANGUAGE sql VOLATILE
    AS $$ SELECT clock_timestamp() + (SELECT amount FROM set_by) $$;
"""
"""Makes the clock of a database one that can be set."""


async def set_clock(raw: "asyncpg.Connection[asyncpg.Record]", jump: timedelta) -> None:
    """Set the clock of the database's host."""
    await raw.execute("UPDATE set_by SET amount = amount + $1", jump)
