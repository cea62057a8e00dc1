"""The responder as a process of its own, and the HTTP API through which the demo speaks to it.

The process gets a session of its own, so that Ctrl-C reaches the demo alone, which then ends it in order.
"""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from responder.model.errors import PermanentError
from responder.settings.model import PREFIX

_POLL_S = 0.1
_STOP_S = 10.0
_LOG_TAIL = 2000


@dataclass(frozen=True, slots=True)
class Service:
    """A running responder."""

    url: str
    session: aiohttp.ClientSession
    source: str
    token: str

    async def deliver(self, payload: Mapping[str, Any]) -> None:
        """Post a delivery as Alertmanager does. Raises PermanentError when it is not taken."""
        path = f"{self.url}/api/v1/webhooks/alertmanager/{self.source}"
        headers = {"Authorization": f"Bearer {self.token}"}
        async with self.session.post(path, json=payload, headers=headers) as answer:
            if answer.status != HTTPStatus.OK:
                raise PermanentError(f"the responder answered {answer.status}: {await answer.text()}")

    async def incidents(self) -> list[dict[str, Any]]:
        """All incidents, newest first."""
        told = await self._json("/api/v1/incidents?live=false")
        incidents: list[dict[str, Any]] = told["incidents"]
        return incidents

    async def dossier(self, incident: str) -> dict[str, Any]:
        """Everything about one incident."""
        told: dict[str, Any] = await self._json(f"/api/v1/incidents/{incident}")
        return told

    async def review(self, incident: str) -> str:
        """The post-incident document in Markdown."""
        async with self.session.get(f"{self.url}/api/v1/incidents/{incident}/review?format=md") as answer:
            answer.raise_for_status()
            return await answer.text()

    async def ready(self) -> bool:
        """Whether every part of it is."""
        try:
            async with self.session.get(f"{self.url}/readyz") as answer:
                return answer.status == HTTPStatus.OK
        except aiohttp.ClientConnectionError:
            return False

    async def _json(self, path: str) -> Any:
        async with self.session.get(f"{self.url}{path}") as answer:
            answer.raise_for_status()
            return await answer.json()


@asynccontextmanager
async def service(
    folder: Path, settings: Mapping[str, Any], source: str, token: str
) -> AsyncIterator[Service]:
    """Start `responder serve` with these settings on a free loopback port; ended at the end.

    Raises:
        PermanentError: it did not start; with the end of its log.
    """
    port = _free_port()
    configuration, log = folder / "responder.yaml", folder / "responder.log"
    write_settings(configuration, {**settings, "web": {"listen": f"127.0.0.1:{port}"}})
    process = _start(configuration, log)
    try:
        timeout = aiohttp.ClientTimeout(total=10)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            running = Service(f"http://127.0.0.1:{port}", session, source, token)
            while not await running.ready():
                if process.poll() is not None:
                    raise PermanentError(f"the responder did not start:\n{_tail(log)}")
                await asyncio.sleep(_POLL_S)
            yield running
    finally:
        await asyncio.to_thread(_end, process)


def write_settings(file: Path, settings: Mapping[str, Any]) -> None:
    """Write a settings file that only its owner may read: it holds tokens."""
    file.touch(mode=0o600)
    file.write_text(yaml.safe_dump(dict(settings)), encoding="utf-8")


def _start(configuration: Path, log: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "responder.cli", "serve", "--config", str(configuration)]
    with log.open("wb") as output:
        return subprocess.Popen(  # noqa: S603 - our own program, every argument is ours
            command,
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env=_environment(),
        )


def _environment() -> dict[str, str]:
    """Without the settings of the user's own responder: the demo must not come near its database."""
    return {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _tail(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-_LOG_TAIL:]
