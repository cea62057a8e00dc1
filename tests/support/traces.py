"""Looks for a text in everything that a responder has left behind."""

import json
from collections.abc import Iterable

import asyncpg

_TABLES = """
SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
WHERE schemaname NOT IN ('pg_catalog', 'information_schema')
"""


async def everything_stored(dsn: str) -> str:
    """Every row of every table, as text."""
    connection = await asyncpg.connect(dsn)
    try:
        tables = [row[0] for row in await connection.fetch(_TABLES)]
        rows = [await connection.fetch(f"SELECT row_to_json(t)::text FROM {name} t") for name in tables]
        return "\n".join(row[0] for of_table in rows for row in of_table)
    finally:
        await connection.close()


def found_in(place: str, secrets: Iterable[str]) -> list[str]:
    """The secrets that stand in a text, as they are or escaped once or twice as JSON does."""
    return [secret for secret in secrets if any(form in place for form in _forms(secret))]


def _forms(secret: str) -> set[str]:
    once = json.dumps(secret)[1:-1]
    return {secret, once, json.dumps(once)[1:-1]}
