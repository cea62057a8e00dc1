"""The page for newcomers, followed to its end against the real Prometheus: every file, command and line."""

import asyncio
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.parts import folder, free_port, prometheus, until
from tests.support.walkthrough import Command, Reader, Written, steps

pytestmark = pytest.mark.real

PAGE = Path(__file__).parents[2] / "docs" / "first-rule.md"
HUNG = {
    "alert": "PostgresLongRunningQuery",
    "expr": "vector(time()) % 8 < 4",
    "labels": {"server": "orders-db:5432", "datname": "reports"},
}
UP = "responder up &"


@contextmanager
def service_of(reader: Reader) -> Iterator[Path]:
    """What the reader has in the other terminal; where its output goes."""
    log = reader.folder / "up.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["responder", "up"], cwd=reader.folder, env=reader.environment(), stdout=out, stderr=out
        )
    try:
        yield log
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.timeout(300)
async def test_a_newcomer_follows_the_page(tmp_path: Path) -> None:
    """From nothing to a promoted rule, with a past out of Prometheus: it prints what the page says."""
    port, own = free_port(), tmp_path / "mine"
    own.mkdir()
    async with folder() as data, prometheus(targets={}, alertmanagers=[], rules=[HUNG]) as server:
        reader = Reader(
            own,
            {
                "9090 --since 30d": "9090 --since 2m --step 1s",
                "http://127.0.0.1:9090": server.url,
                "--since 30d": "--since 5m",
            },
            {"RESPONDER_DATA_DIR": str(data / "state"), "RESPONDER_WEB__LISTEN": f"127.0.0.1:{port}"},
        )
        (own / "orders.dsn").touch(mode=0o600)
        (own / "orders.dsn").write_text("postgresql://responder@127.0.0.1:1/postgres\n")
        followed = steps(PAGE.read_text())
        assert await asyncio.to_thread(_play, reader, followed), "the page keeps a service up"

        async def flapped() -> bool:
            found = await server.query("count_over_time(ALERTS[2m])")
            return bool(found) and int(found[0]["value"][1]) >= 8

        await until(flapped, "it has fired more than once", within=60)
        with service_of(reader) as log:

            async def up() -> bool:
                told = log.read_text(errors="replace")
                assert "responder: " not in told, told
                return "Responder is up" in told

            await until(up, "the service is up", within=90)
            assert not await asyncio.to_thread(_play, reader, followed)
        printed = "\n".join(reader.printed)
        assert re.search(r"^[1-9]\d* episodes? imported", printed, re.MULTILINE), printed
        assert re.search(r"^[1-9]\d* incidents? opened", printed, re.MULTILINE), printed
        assert "<svg" in (own / "backtest.html").read_text()


def _play(reader: Reader, followed: Iterator[Written | Command]) -> bool:
    """Follow the page, up to the command that keeps a service up: whether there was one."""
    for step in followed:
        if isinstance(step, Written):
            reader.write(step)
        elif step.typed == UP:
            return True
        else:
            reader.type(step)
    return False
