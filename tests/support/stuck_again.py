"""Databases of a running server whose queries hang, and where one is ended the next one hangs at once.

A second start of the same effect would always hit something here.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import asyncpg

from tests.support.parts import PostgresServer, until
from tests.support.victim import STUCK_USER


@asynccontextmanager
async def database_on(server: PostgresServer, name: str) -> AsyncIterator[None]:
    """A database of that name, gone at the end."""
    await execute(server.dsn(), f"create database {name}")
    try:
        yield
    finally:
        await execute(server.dsn(), f"drop database {name} with (force)")


@asynccontextmanager
async def stuck_again(
    server: PostgresServer, database: str, queries: int, for_at_least: str
) -> AsyncIterator[None]:
    """So many queries that never end; they have hung twice `for_at_least` when the block begins."""
    dsn = server.dsn(database, user=STUCK_USER)
    tasks = [asyncio.create_task(_stuck_for_ever(dsn)) for _ in range(queries)]
    try:
        await until(lambda: _all_hang(server.dsn(database), queries, for_at_least), "the queries hang")
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def execute(dsn: str, statement: str) -> None:
    """One statement over a connection of its own."""
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def _stuck_for_ever(dsn: str) -> None:
    while True:
        connection = await asyncpg.connect(dsn, timeout=10)
        try:
            with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await connection.execute("select pg_sleep(600)", timeout=None)
        finally:
            connection.terminate()


async def _all_hang(dsn: str, queries: int, for_at_least: str) -> bool:
    """Whether all of them are as old as asked for, and a little older."""
    query = f"""select count(*) from pg_stat_activity
                where usename = '{STUCK_USER}' and datname = current_database() and state = 'active'
                and clock_timestamp() - query_start > 2 * interval '{for_at_least}'"""
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        return bool(await connection.fetchval(query) == queries)
    finally:
        await connection.close()
