"""What `responder doctor` finds out about `queries:`: each is tried read-only, as a probe would ask it."""

import asyncio
from datetime import timedelta

from responder.actions.probes import NO_ROW, NULL, tried
from responder.cli.findings import Finding, failed, good, warned
from responder.clients.postgres import PostgresServers
from responder.model.errors import TemporaryError
from responder.settings import Settings

_LIMIT = timedelta(seconds=5)
"""For one query on one connection."""
_MEND = "Mend it under queries: it has to answer with one row and one number"
_EMPTY = "Where that means nought, write it so: coalesce(..., 0)"
_ELSEWHERE = "Let only rules ask it whose connection it is for"


async def named_queries(chosen: Settings) -> list[Finding]:
    """One finding for each query on each connection that answers.

    A query may be meant for some of the connections: it fails where no connection gives a number.
    """
    inventory = chosen.inventory.load()
    if not chosen.queries or not inventory.postgres:
        return []
    servers = PostgresServers(inventory)
    try:
        standing = await servers.warm()
        away = [name for name, problem in standing.items() if problem is not None]
        up = [name for name in standing if name not in away]
        found = await asyncio.gather(*(_on(servers, name, chosen) for name in up))
    finally:
        await servers.close()
    useful = {query for answers in found for query, (value, _) in answers.items() if value is not None}
    findings = [
        _finding(query, name, answers[query], known_elsewhere=query in useful)
        for query in chosen.queries
        for name, answers in zip(up, found, strict=True)
    ]
    untried = "Check the DSN, the network and pg_hba.conf, and ask again"
    return [*findings, *(warned("queries", f"not tried on {name}", untried) for name in away)]


async def _on(
    servers: PostgresServers, connection: str, chosen: Settings
) -> dict[str, tuple[float | None, str]]:
    """Every query on one connection, one after the other: the number, or why there is none."""
    return {name: await _tried(servers, connection, query.sql) for name, query in chosen.queries.items()}


async def _tried(servers: PostgresServers, connection: str, sql: str) -> tuple[float | None, str]:
    try:
        return await tried(servers, connection, sql, _LIMIT)
    except TemporaryError as error:
        return None, str(error)


def _finding(
    query: str, connection: str, answer: tuple[float | None, str], *, known_elsewhere: bool
) -> Finding:
    value, problem = answer
    part = f"query {query}"
    if value is not None:
        return good(part, f"on {connection}: {value:g}")
    text = f"on {connection}: {problem}"
    if problem in {NO_ROW, NULL}:
        return warned(part, f"{text}, which is no data and never recovery", _EMPTY)
    return warned(part, text, _ELSEWHERE) if known_elsewhere else failed(part, text, _MEND)
