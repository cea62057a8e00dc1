"""The whole service in this process, as its operator configures it, and a client that asks it over HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from responder import app
from responder.actions.registry import Registry
from responder.rulebook.load import check
from responder.settings import Settings, load

TOKEN = "the-token-of-source-default"
HOOK = "/api/v1/webhooks/alertmanager/default"
AUTH = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
RULES = """\
rules:
  - name: Watched
    match: 'alertname = "Watched"'
    severity: P2
    group_by: [instance]
    evidence: []
    escalate: true
"""


def settings_for(dsn: str, folder: Path, rules_are: str = RULES, /, **more: Any) -> Settings:
    """Settings of a service on loopback, with one rule that only escalates."""
    (folder / "rules.yaml").write_text(rules_are)
    written = {
        "database": dsn,
        "timeline_key": "the key of a throw-away timeline",
        "rules": ["rules.yaml"],
        "sources": {"default": {"token": TOKEN}},
        "web": {"listen": "127.0.0.1:0"},
        **more,
    }
    file = folder / "responder.yaml"
    file.write_text(json.dumps(written))
    return load(file, {}).settings


def promoted(settings: Settings) -> Settings:
    """The same, and every rule may go as far as it says."""
    report = check(settings.rules, app.surroundings(settings, settings.inventory.load(), Registry()))
    assert report.rulebook is not None, [str(mistake) for mistake in report.mistakes]
    hashes = tuple(rule.acting_hash for rule in report.rulebook.rules)
    engine = settings.engine.model_copy(update={"promoted": hashes})
    return settings.model_copy(update={"engine": engine})


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[aiohttp.ClientSession]:
    """A running service with these settings, and a client of it."""
    async with app.running(settings) as running, aiohttp.ClientSession(running.url) as client:
        yield client


@asynccontextmanager
async def service(dsn: str, folder: Path, **more: Any) -> AsyncIterator[aiohttp.ClientSession]:
    """A running service, and a client of it."""
    async with serving(settings_for(dsn, folder, **more)) as client:
        yield client


def payload(*alerts: Any) -> dict[str, Any]:
    """A delivery as Alertmanager posts it."""
    return {"version": "4", "status": "firing", "receiver": "responder", "alerts": list(alerts)}


def firing(**labels: str) -> dict[str, Any]:
    """An alert that just began."""
    return {
        "status": "firing",
        "labels": {"alertname": "Watched", **labels},
        "annotations": {},
        "startsAt": "2026-11-24T01:00:00.123456789Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "",
    }


async def told(client: aiohttp.ClientSession, path: str) -> Any:
    """The JSON at a path."""
    async with client.get(path) as response:
        assert response.status == 200
        return await response.json()


async def incident_in(client: aiohttp.ClientSession, state: str) -> dict[str, Any]:
    """The one incident, once it is in this state."""
    async with asyncio.timeout(60):
        while True:
            found = (await told(client, "/api/v1/incidents?live=false"))["incidents"]
            if [one["state"] for one in found] == [state]:
                return dict(found[0])
            await asyncio.sleep(0.1)
