"""A whole responder as a process of its own, started as its operator would, and asked over HTTP and CLI.

Its pace is quick (looks every second, a lease of three); everything else is as shipped, except what a test
says. `RESPONDER_*` variables of whoever runs the tests do not reach it.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import yaml

from responder.actions.registry import Registry
from responder.app import surroundings
from responder.rulebook.load import check
from responder.settings import load
from tests.support.parts import (
    Alertmanager,
    Part,
    PostgresServer,
    alertmanager,
    alertmanager_pair,
    embedded_postgres,
    folder,
    free_port,
    get_json,
    get_text,
    post_json,
    until,
    webhook_configuration,
)
from tests.support.proxy import Proxy, proxy_before
from tests.support.victim import DATABASE, Victim, victim_on

SOURCE = "main"
TOKEN = "a-token-of-the-test-source"
CONNECTION = "orders"
"""What the inventory calls the victim."""
BLOCKED = "SELECT count(*) FROM pg_stat_activity WHERE cardinality(pg_blocking_pids(pid)) > 0"


class Responder(Part):
    """`responder serve`. It keeps its settings, and so its port, when it is started again."""

    def __init__(self, folder: Path, port: int, settings: Mapping[str, Any]) -> None:
        super().__init__("responder", folder)
        self.url = f"http://127.0.0.1:{port}"
        self.file = folder / "responder.yaml"
        self._settings = {**settings, "web": {**settings.get("web", {}), "listen": f"127.0.0.1:{port}"}}

    def argv(self) -> Sequence[str]:
        """With a settings file whose rules are promoted by their hashes."""
        self.file.touch(mode=0o600)
        self.file.write_text(yaml.safe_dump(self._promoted()))
        return [sys.executable, "-m", "responder.cli", "serve", "--config", str(self.file)]

    def _promoted(self) -> dict[str, Any]:
        self.file.write_text(yaml.safe_dump(self._settings))
        settings = load(self.file, {}).settings
        report = check(settings.rules, surroundings(settings, settings.inventory.load(), Registry()))
        assert report.rulebook is not None, [str(mistake) for mistake in report.mistakes]
        hashes = [rule.acting_hash for rule in report.rulebook.rules]
        return {**self._settings, "engine": {**self._settings["engine"], "promoted": hashes}}

    def environment(self) -> Mapping[str, str]:
        """Without the settings of a responder of whoever runs the tests."""
        return _clean()

    async def ready(self) -> bool:
        """Whether every part of it is."""
        return bool((await get_json(f"{self.url}/readyz"))["ready"])

    async def incidents(self) -> list[dict[str, Any]]:
        """All incidents, newest first."""
        told = await get_json(f"{self.url}/api/v1/incidents", live="false")
        incidents: list[dict[str, Any]] = told["incidents"]
        return incidents

    async def incident(self) -> dict[str, Any]:
        """Everything about the only incident there is, or nothing where there is none yet."""
        found = await self.incidents()
        assert len(found) <= 1, f"one alert, {len(found)} incidents"
        if not found:
            return {}
        dossier: dict[str, Any] = await get_json(f"{self.url}/api/v1/incidents/{found[0]['id']}")
        return dossier

    async def reaches(self, state: str, *, within: float = 40.0) -> dict[str, Any]:
        """Wait until the only incident is in this state, and return everything about it."""
        return await self.when(
            lambda dossier: bool(dossier["incident"]["state"] == state),
            f"the incident is {state}",
            within=within,
        )

    async def when(
        self, holds: Callable[[dict[str, Any]], bool], what: str, *, within: float = 40.0
    ) -> dict[str, Any]:
        """Wait until something holds of the only incident, and return everything about it."""
        seen: dict[str, Any] = {}

        async def there() -> dict[str, Any]:
            nonlocal seen
            seen = await self.incident()
            return seen if seen and holds(seen) else {}

        try:
            return await until(there, what, within=within)
        except AssertionError as error:
            raise AssertionError(f"{str(error).partition(';')[0]}\n{_short(seen)}") from None

    async def review(self) -> str:
        """The review of the only incident, in Markdown."""
        dossier = await self.incident()
        return await get_text(f"{self.url}/api/v1/incidents/{dossier['incident']['id']}/review?format=md")

    async def halt(self) -> None:
        """Stop all automation."""
        await post_json(f"{self.url}/api/v1/halt", {"actor": "test", "reason": "the test looks first"})

    async def resume(self) -> None:
        """Let automation go on."""
        await post_json(f"{self.url}/api/v1/resume", {"actor": "test", "reason": "the test has looked"})

    async def cli(self, *arguments: str) -> str:
        """What `responder ARGUMENTS` prints; a failure fails the test with it."""
        done = await asyncio.to_thread(self._cli, arguments)
        assert done.returncode == 0, f"responder {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    def _cli(self, arguments: Sequence[str]) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "responder.cli", *arguments],
            env={**_clean(), "RESPONDER_URL": self.url, "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )


def _clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("RESPONDER_")}


def _short(dossier: Mapping[str, Any]) -> str:
    if not dossier:
        return "no incident"
    incident = dossier["incident"]
    lines = [f"{entry['at']} {entry['kind']}: {entry['text']}" for entry in dossier["entries"]]
    return "\n".join([f"{incident['state']}, due {incident['due_at']}", *lines])


def stuck_query_rule() -> dict[str, Any]:
    """The rule of these tests: a query of `reporting` that runs long is terminated, at most one."""
    server = {"server": "$labels.server"}
    terminate = {
        "connection": server,
        "database": "$labels.datname",
        "user": "reporting",
        "older_than": "1s",
        "at_most": 1,
    }
    return {
        "name": "StuckQuery",
        "match": ['alertname = "PostgresLongRunningQuery"', 'datname != ""'],
        "severity": "P1",
        "group_by": ["server", "datname"],
        "autonomy": "auto",
        "evidence": [{"action": "postgres.activity", "with": {"connection": server, "longer_than": "1s"}}],
        "steps": [{"action": "postgres.terminate_queries", "with": terminate, "timeout": "3s"}],
        "verify": {"alert_resolved_within": "1m", "stable_for": "2s"},
        "limits": {"attempts": 3, "per": "1h", "cooldown": "1s"},
    }


def settings_for(
    *,
    database: str,
    victim: str,
    rules: Path,
    alertmanagers: Sequence[str],
) -> dict[str, Any]:
    """Settings with one source, one connection and the ceiling `auto`."""
    return {
        "database": database,
        "timeline_key": "the key of a throw-away timeline",
        "data_dir": str(rules.parent / "state"),
        "lease_time": "3s",
        "heartbeat_every": "1s",
        "rules": [str(rules)],
        "queries": {"blocked_sessions": {"sql": BLOCKED}},
        "inventory": {
            "postgres": [{"name": CONNECTION, "dsn": victim, "matches": ['server =~ "127.0.0.1(:[0-9]+)?"']}]
        },
        "sources": {
            SOURCE: {
                "token": TOKEN,
                "alertmanager": list(alertmanagers),
                "receiver": "responder",
                "resend_period": "1s",
                "evaluation_interval": "1s",
                "group_interval": "1s",
            }
        },
        "engine": {
            "ceiling": "auto",
            "terms": {
                "verify_every": "1s",
                "hold_every": "1s",
                "suppressed_every": "1s",
                "start_window": "2s",
                "contest_window": "5s",
            },
        },
    }


@dataclass(frozen=True, slots=True)
class Scene:
    """A responder, the Alertmanager peers that tell it, and a server with stuck queries to come."""

    responder: Responder
    peers: Sequence[Alertmanager]
    victim: Victim
    proxy: Proxy
    """Stands between the responder and the victim, holding nothing unless a test says so."""
    started: datetime = field(default_factory=lambda: datetime.now(UTC))

    async def alert(self, *, ended: bool = False, **labels: str) -> None:
        """Tell all peers, as Prometheus would, that the victim has a long query, or that it has none."""
        now = datetime.now(UTC)
        told = {
            "labels": {
                "alertname": "PostgresLongRunningQuery",
                "severity": "critical",
                "server": f"127.0.0.1:{self.victim.server.port}",
                "datname": DATABASE,
                **labels,
            },
            "annotations": {"summary": "a query runs for too long"},
            "startsAt": self.started.isoformat(),
            "endsAt": (now if ended else now + timedelta(minutes=10)).isoformat(),
        }
        for peer in self.peers:
            await peer.post(told)


@asynccontextmanager
async def scene(
    *,
    pair: bool = False,
    store: PostgresServer | None = None,
    on_own_ground: bool = False,
) -> AsyncIterator[Scene]:
    """Everything started and ready, except Prometheus.

    The store is on `store`, on the victim itself (`on_own_ground`), or on the bundled server that the
    responder starts for itself.
    """
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(embedded_postgres("victim"))
        victim = await stack.enter_async_context(victim_on(server))
        proxy = await stack.enter_async_context(proxy_before(server.port))
        port = free_port()
        told = webhook_configuration(
            f"http://127.0.0.1:{port}/api/v1/webhooks/alertmanager/{SOURCE}", token=TOKEN
        )
        peers: Sequence[Alertmanager]
        if pair:
            peers = await stack.enter_async_context(alertmanager_pair(told))
        else:
            peers = [await stack.enter_async_context(alertmanager(told))]
        home = await stack.enter_async_context(folder())
        ground = server if on_own_ground else store
        settings = settings_for(
            database="embedded" if ground is None else await _database(ground),
            victim=victim.dsn(port=proxy.port),
            rules=_rules(home),
            alertmanagers=[peer.url for peer in peers],
        )
        responder = await stack.enter_async_context(Responder(home, port, settings))
        yield Scene(responder, peers, victim, proxy)


def _rules(home: Path) -> Path:
    file = home / "rules.yaml"
    file.write_text(yaml.safe_dump({"rules": [stuck_query_rule()]}, sort_keys=False))
    return file


async def _database(server: PostgresServer) -> str:
    """A database of the responder's own on a running server; its DSN."""
    connection = await asyncpg.connect(server.dsn(), timeout=10)
    try:
        await connection.execute("create database responder")
    finally:
        await connection.close()
    return server.dsn("responder")
