"""What a run starts: one PostgreSQL, the ceiling's servers, and responders as an operator starts them."""

import json
import secrets
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import reduce
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import yaml

from responder.actions.registry import Registry
from responder.app import surroundings
from responder.rulebook.load import check
from responder.settings import load
from tests.support.installed import found_here, install_actions
from tests.support.parts import Part, PostgresServer, embedded_bin_folder, free_port

HERE = Path(__file__).parent
ROOT = HERE.parent
SETTINGS = (HERE / "settings.yaml").read_text()
TOKEN = secrets.token_hex(16)


class BenchPostgres(PostgresServer):
    """As shipped, with durable commits: no statement log, and nothing tuned."""

    def argv(self) -> Sequence[str]:
        """Without the log of the tests' server."""
        flags = (
            "-c",
            "log_line_prefix=%m [%p] %a ",
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            f"unix_socket_directories={self.folder}",
        )
        return [str(self.bin_folder / "postgres"), "-D", str(self.data), "-p", str(self.port), *flags]


class Ceiling(Part):
    """One of the servers of `ceiling.py`."""

    def __init__(self, folder: Path, mode: str, dsn: str) -> None:
        super().__init__(f"ceiling-{mode}", folder)
        self.mode, self.dsn = mode, dsn
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def argv(self) -> Sequence[str]:
        """As a process of its own."""
        return [sys.executable, "-m", "benchmarks.ceiling", self.mode, str(self.port), self.dsn]

    def environment(self) -> Mapping[str, str]:
        """Finds the checkout."""
        return {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}

    async def ready(self) -> bool:
        """Whether it takes an empty delivery."""
        return await _answers(f"{self.url}/", 200, post={"alerts": []})


class Responder(Part):
    """`responder serve` with the settings of `settings.yaml`, `bench.call` installed, its rules promoted."""

    def __init__(self, name: str, folder: Path, dsn: str, receiver: str) -> None:
        super().__init__(name, folder)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.webhook = f"{self.url}/api/v1/webhooks/alertmanager/bench"
        given = {"<token>": TOKEN, "<port>": str(self.port), "<receiver>": receiver}
        settings = yaml.safe_load(reduce(lambda text, pair: text.replace(*pair), given.items(), SETTINGS))
        self._settings: dict[str, Any] = {
            **settings["responder"],
            "database": dsn,
            "timeline_key": secrets.token_hex(16),
        }
        (folder / "rules.yaml").write_text(settings["rules"])
        self._site = folder / "site"
        install_actions(self._site, {"bench.call": "benchmarks.action:Call"})

    def argv(self) -> Sequence[str]:
        """With a settings file that promotes the rules by their hashes."""
        file = self.folder / "responder.yaml"
        file.touch(mode=0o600)
        file.write_text(yaml.safe_dump(self._settings))
        with found_here(self._site):
            settings = load(file, {}).settings
            report = check(settings.rules, surroundings(settings, settings.inventory.load(), Registry()))
        if report.rulebook is None:
            raise AssertionError([str(mistake) for mistake in report.mistakes])
        hashes = [rule.acting_hash for rule in report.rulebook.rules]
        engine = {**self._settings["engine"], "promoted": hashes}
        file.write_text(yaml.safe_dump({**self._settings, "engine": engine}))
        return [sys.executable, "-m", "responder.cli", "serve", "--config", str(file)]

    def environment(self) -> Mapping[str, str]:
        """Finds the checkout, and `bench.call` as an installed package's."""
        return {"PYTHONPATH": f"{ROOT}:{self._site}", "PATH": "/usr/bin:/bin"}

    async def ready(self) -> bool:
        """Whether every part of it is."""
        return await _answers(f"{self.url}/readyz", 200)

    def resident_mib(self) -> float:
        """Resident memory of its process, in MiB."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise AssertionError("no VmRSS")


async def _answers(url: str, status: int, post: Any = None) -> bool:
    async with aiohttp.ClientSession() as session:
        method = "GET" if post is None else "POST"
        async with session.request(method, url, json=post) as answer:
            return answer.status == status


@asynccontextmanager
async def postgres(folder: Path) -> AsyncIterator[BenchPostgres]:
    """The bundled PostgreSQL with an empty database for each of those who measure."""
    async with BenchPostgres("postgres", folder, embedded_bin_folder()) as server:
        yield server


async def database(server: BenchPostgres, name: str) -> str:
    """A new database; its DSN."""
    connection = await asyncpg.connect(server.dsn())
    try:
        await connection.execute(f"CREATE DATABASE {name}")
    finally:
        await connection.close()
    return server.dsn(name)


def told(figures: Mapping[str, Any]) -> str:
    """Figures as one line of JSON."""
    return json.dumps(figures, sort_keys=True)
