"""No secret stays anywhere, whichever way it came: over the real route, with a real PostgreSQL."""

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import asyncpg
import pytest
import structlog

from responder import app
from responder.model.redaction import REDACTED
from responder.settings import load
from responder.telemetry import LogLevel, LogSettings, configure_logging
from tests.support.secrets import LEAKS, ORDINARY
from tests.support.traces import everything_stored, found_in

pytestmark = pytest.mark.real  # it takes long

HOOK = "/api/v1/webhooks/alertmanager/default"
JSON = {"Content-Type": "application/json"}
BODY_LIMIT = 64 * 1024
RULES = """\
rules:
  - name: Watched
    match: 'alertname = "Watched"'
    severity: P2
    group_by: [instance]
    evidence: []
    escalate: true
"""
SECRETS = [leak.secret for leak in LEAKS]


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Everything that is logged, from the least important on; logging is as before afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    out = io.StringIO()
    configure_logging(LogSettings(level=LogLevel.DEBUG), out)
    yield out
    root.handlers[:], root.level = handlers, level
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


@asynccontextmanager
async def service(dsn: str, folder: Path, **more: Any) -> AsyncIterator["Client"]:
    """A running service with the shipped forms, and a client that keeps all answers."""
    (folder / "rules.yaml").write_text(RULES)
    written = {
        "database": dsn,
        "timeline_key": "the key of a throw-away timeline",
        "rules": ["rules.yaml"],
        "sources": {"default": {}},
        "web": {"listen": "127.0.0.1:0", "body_limit": BODY_LIMIT},
        "engine": {"terms": {"storm": {"openings": 1000}}},  # each of its incidents tells by itself
        **more,
    }
    file = folder / "responder.yaml"
    file.write_text(json.dumps(written))
    async with (
        app.running(load(file, {}).settings) as running,
        aiohttp.ClientSession(running.url) as session,
    ):
        yield Client(session)


class Client:
    """Asks, and keeps what was answered."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self.answers: list[str] = []

    async def get(self, path: str, status: int = 200) -> Any:
        """What is at a path: its JSON where it is that."""
        async with self._session.get(path) as response:
            return await self._kept(response, status)

    async def post(self, path: str, body: Any, status: int = 200, **headers: str) -> Any:
        """Post JSON, or bytes as they are."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self._session.post(path, data=data, headers={**JSON, **headers}) as response:
            return await self._kept(response, status)

    async def _kept(self, response: aiohttp.ClientResponse, status: int) -> Any:
        text = await response.text()
        self.answers.append(text + json.dumps(dict(response.headers)))
        assert response.status == status, text
        return json.loads(text) if response.content_type == "application/json" else text


def firing(note: str, **more: Any) -> dict[str, Any]:
    """An alert that says something in a label that groups, in an annotation and in its link."""
    return {
        "status": "firing",
        "labels": {"alertname": "Watched", "instance": note},
        "annotations": {"description": note},
        "startsAt": "2026-11-24T01:00:00Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": f"http://prometheus/graph?g0.expr=up&x={note}",
        **more,
    }


async def incidents_that(client: Client, state: str, number: int) -> list[dict[str, Any]]:
    """All incidents, once so many are in this state."""
    while True:
        found = (await client.get("/api/v1/incidents?live=false&limit=1000"))["incidents"]
        if len(found) == number and {one["state"] for one in found} == {state}:
            return list(found)
        await asyncio.sleep(0.2)


async def everything_told(client: Client) -> None:
    """Ask for all that can be asked for."""
    for path in ("dead-letters?limit=1000", "alerts/unmatched", "halt", "targets", "rules", "rules/Watched"):
        await client.get(f"/api/v1/{path}")
    for one in await incidents_that(client, "escalated", len(LEAKS)):
        await client.get(f"/api/v1/incidents/{one['id']}")
        for form in ("md", "json", "html"):
            await client.get(f"/api/v1/incidents/{one['id']}/review?format={form}")


async def test_no_secret_of_an_alert_stays_anywhere(dsn: str, tmp_path: Path, log: io.StringIO) -> None:
    """In labels, annotations and links: not in any table, not in the logs, not in any answer or review."""
    async with service(dsn, tmp_path) as client:
        for leak in LEAKS:
            await client.post(HOOK, {"alerts": [firing(leak.text), firing("left", labels={"x": leak.text})]})
        await everything_told(client)
        for one in LEAKS[:5]:
            await client.post(HOOK, {"alerts": [firing(one.text)]})
        assert len(await incidents_that(client, "escalated", len(LEAKS))) == len(LEAKS)
    stored, told = await everything_stored(dsn), "\n".join(client.answers)
    for place in (stored, told):
        assert "Watched" in place
        assert REDACTED[:-1] in place
    assert "notice" in log.getvalue()
    assert [found_in(place, SECRETS) for place in (stored, told, log.getvalue())] == [[], [], []]


async def test_no_secret_stays_of_what_is_refused_or_malformed(
    dsn: str, tmp_path: Path, log: io.StringIO
) -> None:
    """413, 400, 404, 421, dead letters and what people write: the same claim."""
    async with service(dsn, tmp_path) as client:
        for leak in LEAKS:
            text = leak.text
            bad = [
                firing(text, status=text),
                firing(text, startsAt=text),
                {"labels": text, "x": [text]},
                text,
            ]
            receipt = await client.post(HOOK, {"alerts": [*bad, {**firing(text), text: {text: text}}]})
            assert receipt["rejected"] == len(bad)
            large = json.dumps({"alerts": [firing(text)], "padding": "x" * BODY_LIMIT})
            await client.post(HOOK, large.encode(), 413)
            await client.post(HOOK, large[: len(large) // 2].encode(), 400)
            await client.post(HOOK, text.encode(), 400)
            await client.post(HOOK, {"alerts": text}, 400)
            await client.post(HOOK, {text: text}, 400)
            await client.get(f"/api/v1/rules/{quote(text, safe='')}", 404)
            await client.post("/api/v1/webhooks/alertmanager/" + quote(text, safe=""), {}, 404)
            reason = " ".join(text.split())
            await client.post("/api/v1/halt", {"actor": "ada", "reason": reason})
            await client.post("/api/v1/resume", {"actor": "ada", "reason": reason})
            await client.post("/api/v1/rules/check", {"files": {"a.yaml": reason}})
        await client.get("/api/v1/dead-letters?limit=10000")
        await client.get("/api/v1/halt")
    stored, told = await everything_stored(dsn), "\n".join(client.answers)
    letters_and_gap = len(LEAKS) + 1
    assert stored.count("the body is larger") == letters_and_gap
    assert [found_in(place, SECRETS) for place in (stored, told, log.getvalue())] == [[], [], []]


async def test_ordinary_alerts_are_stored_byte_for_byte(dsn: str, tmp_path: Path) -> None:
    """What was written is what stands in the journal: labels, annotations and links."""
    async with service(dsn, tmp_path) as client:
        await client.post(HOOK, {"alerts": [firing(text) for text in ORDINARY]})
    connection = await asyncpg.connect(dsn)
    rows = await connection.fetch(
        "SELECT labels->>'instance', annotations->>'description', generator_url FROM journal"
    )
    await connection.close()
    expected = {(text, text, firing(text)["generatorURL"]) for text in ORDINARY}
    assert {tuple(row) for row in rows} == expected


async def test_the_same_secret_is_the_same_incident_and_the_operators_own_are_redacted_too(
    dsn: str, tmp_path: Path, log: io.StringIO
) -> None:
    """Two customers are two incidents, over a restart too; neither their names nor their numbers stay."""
    told: list[str] = []
    own = {"labels": ["instance"], "annotations": ["mail"], "patterns": ["CUST-[0-9]+"]}
    for _ in range(2):
        async with service(dsn, tmp_path, redaction=own) as client:
            for name in ("Ada Lovelace", "Grace Hopper", "Ada Lovelace"):
                said = {"mail": f"{name}@example.org", "note": "CUST-4711 waits"}
                alert = firing(name, annotations=said, generatorURL="http://crm/CUST-4711")
                bad = {**alert, "annotations": [{"mail": name}]}
                await client.post(HOOK, {"alerts": [alert, bad, "CUST-4711"]})
            assert len(await incidents_that(client, "escalated", 2)) == 2
            told += client.answers
    stored = await everything_stored(dsn)
    places = (stored, "\n".join(told), log.getvalue())
    assert [found_in(place, ("Lovelace", "Hopper", "CUST-4711")) for place in places] == [[], [], []]
