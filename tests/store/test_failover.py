"""PostgreSQL fails over to a standby that lags, while the service runs: what it forgot is not done again."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg

from tests.support.link import link_to
from tests.support.parts import (
    PostgresServer,
    embedded_bin_folder,
    embedded_postgres,
    folder,
    until,
)
from tests.support.whole import AUTH, HOOK, firing, incident_in, payload, service, told


async def _ask(server: PostgresServer, *statements: str) -> Any:
    connection = await asyncpg.connect(server.dsn())
    try:
        for statement in statements[:-1]:
            await connection.execute(statement)
        return await connection.fetchval(statements[-1])
    finally:
        await connection.close()


def _run(command: list[str], user: str | None) -> None:
    """As that user, where root runs the tests: the server would not start on files of another one."""
    as_user = user if os.geteuid() == 0 else None
    subprocess.run(command, check=True, capture_output=True, timeout=60, user=as_user)


@asynccontextmanager
async def _standby_of(primary: PostgresServer) -> AsyncIterator[PostgresServer]:
    """A hot standby that follows asynchronously."""
    async with folder(primary.user) as home:
        standby = PostgresServer("standby", home, embedded_bin_folder())
        backup = [str(standby.bin_folder / "pg_basebackup"), "-d", primary.dsn(), "-D", str(standby.data)]
        await asyncio.to_thread(_run, [*backup, "-R", "-c", "fast"], primary.user)
        async with standby:
            yield standby


async def test_a_failover_to_a_standby_that_lags_halts_before_anything_goes_on(tmp_path: Path) -> None:
    """The service is not restarted: its new sessions find another WAL timeline, let in once it halted.

    What the standby never heard of is told again by its source and stored; nothing starts until a person
    resumes.
    """
    async with (
        embedded_postgres("primary") as primary,
        _standby_of(primary) as standby,
        link_to(primary.port) as address,
    ):
        dsn = primary.dsn(port=address.port)
        async with service(dsn, tmp_path) as client:
            assert not (await told(client, "/api/v1/halt"))["halted"]
            written = await _ask(primary, "SELECT pg_current_wal_lsn()::text")
            caught_up = f"SELECT pg_last_wal_replay_lsn() >= '{written}'"
            await until(lambda: _ask(standby, caught_up), "the standby has caught up", within=30)
            await _ask(standby, "ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()")
            gone = "SELECT count(*) = 0 FROM pg_stat_replication"
            await until(lambda: _ask(primary, gone), "the standby follows no more", within=30)
            await _post(client)
            await incident_in(client, "escalated")
            await primary.kill()
            assert await _ask(standby, "SELECT pg_promote()")
            address.target = standby.port
            address.cut()
            halted = await _halted(client)
            assert "recovered or failed over (WAL timeline 1 at its last start, now 2)" in halted
            assert await _ask(standby, "SELECT count(*) FROM alerts") == 0, "it had forgotten the alert"
            await _post(client)
            await incident_in(client, "escalated")


async def _post(client: aiohttp.ClientSession) -> None:
    """As Alertmanager does: until it is taken."""

    async def taken() -> bool:
        async with client.post(HOOK, json=payload(firing(instance="a")), headers=AUTH) as response:
            return response.status == 200

    await until(taken, "the delivery is taken", within=60)


async def _halted(client: aiohttp.ClientSession) -> str:
    """Why it halts, once it does."""
    why: list[str] = []

    async def halts() -> bool:
        async with client.get("/api/v1/halt") as response:
            if response.status == 200:
                why[:] = [one["reason"] for one in (await response.json())["by"]]
        return bool(why)

    await until(halts, "every replica is halted", within=60)
    return "; ".join(why)
