"""The ceiling: the least that any durable intake on this machine can be.

aiohttp, a pydantic decode, a dict look-up, and one COPY into one table for all that waited, then 200. Beside
it, by the first argument: `empty` answers 200 to everything, `ceiling` does what is said above.

    python -m benchmarks.ceiling MODE PORT DSN
"""

import asyncio
import sys
from datetime import UTC, datetime
from typing import Any

import asyncpg
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

_TABLE = """
CREATE TABLE IF NOT EXISTS ceiling (
    fingerprint text, received_at timestamptz, status text, starts_at text, labels text, annotations text
)
"""
_COLUMNS = ["fingerprint", "received_at", "status", "starts_at", "labels", "annotations"]
_RULES = {"Intake": "rule", "Call": "rule"}


class _Alert(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    status: str
    labels: dict[str, str]
    annotations: dict[str, str]
    starts_at: str = Field(alias="startsAt")
    fingerprint: str = ""


class _Payload(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    alerts: list[_Alert]


class Ceiling:
    """A group commit by COPY and nothing else."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._waiting: list[tuple[list[tuple[Any, ...]], asyncio.Future[None]]] = []
        self._something = asyncio.Event()

    async def receive(self, request: web.Request) -> web.Response:
        """Decode, look up, wait for COMMIT, answer."""
        payload = _Payload.model_validate_json(await request.read())
        now = datetime.now(UTC)
        rows = [
            (a.fingerprint, now, a.status, a.starts_at, str(a.labels), str(a.annotations))
            for a in payload.alerts
            if a.labels["alertname"] in _RULES
        ]
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((rows, done))
        self._something.set()
        await done
        return web.json_response({"stored": len(rows)})

    async def write(self) -> None:
        """For ever: one COPY for all that waits."""
        async with self._pool.acquire() as connection:
            while True:
                await self._something.wait()
                self._something.clear()
                while self._waiting:
                    batch, self._waiting = self._waiting[:200], self._waiting[200:]
                    rows = [row for group, _ in batch for row in group]
                    await connection.copy_records_to_table("ceiling", records=rows, columns=_COLUMNS)
                    for _, done in batch:
                        done.set_result(None)


async def _empty(request: web.Request) -> web.Response:
    await request.read()
    return web.json_response({"stored": 0})


async def _main(mode: str, port: int, dsn: str) -> None:
    app = web.Application(client_max_size=1 << 30)
    writing = None
    if mode == "empty":
        app.router.add_post("/{path:.*}", _empty)
    else:
        pool = await asyncpg.create_pool(dsn, min_size=1, max_size=2)
        await pool.execute(_TABLE)
        ceiling = Ceiling(pool)
        app.router.add_post("/{path:.*}", ceiling.receive)
        writing = asyncio.create_task(ceiling.write())
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await (writing or asyncio.Event().wait())


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
