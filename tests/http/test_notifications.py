"""People told by a signed webhook, end to end: a whole service, a real PostgreSQL and a real receiver."""

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
from click.testing import CliRunner

from responder import app
from responder.cli import main
from responder.cli.doctor import examine
from responder.cli.local import URL_FILE
from responder.settings import Settings, load
from tests.support.pager import SECRET, PagerDesk, pager_desk
from tests.support.parts import get_json, until

HOOK = "/api/v1/webhooks/alertmanager/default"
RULES = """\
rules:
  - {name: Watched, match: 'alertname = "Watched"', severity: P1, group_by: [instance], evidence: [],
     escalate: true, runbook_url: 'https://runbooks.example.org/watched', owner: team-watch}
"""


def settings_for(dsn: str, folder: Path, desk: PagerDesk, **more: Any) -> Settings:
    """A service whose P0 and P1 are told to the pager; the file stays for whoever asks it by the CLI."""
    (folder / "rules.yaml").write_text(RULES)
    on_call = {"policy": "on-call"}
    written = {
        "database": dsn,
        "timeline_key": "the key of a throw-away timeline",
        "rules": ["rules.yaml"],
        "sources": {"default": {}},
        "web": {"listen": "127.0.0.1:0", "public_url": "https://responder.example.org/"},
        "channels": {"pager": {"webhook": desk.url, "secret": SECRET, "timeout": "30s"}},
        "policies": {"on-call": {"levels": [{"channels": ["pager", "log"]}]}},
        "severities": {"P0": on_call, "P1": on_call},
        **more,
    }
    file = folder / "responder.yaml"
    file.write_text(json.dumps(written))
    return load(file, {}).settings


def alert(instance: str, status: str = "firing") -> dict[str, Any]:
    ended = {"endsAt": "2026-11-24T01:30:00Z"} if status == "resolved" else {}
    return {
        "status": status,
        "labels": {"alertname": "Watched", "instance": instance},
        "annotations": {},
        "startsAt": "2026-11-24T01:00:00Z",
        **ended,
    }


async def post(url: str, *alerts: dict[str, Any]) -> None:
    async with aiohttp.ClientSession(url) as client, client.post(HOOK, json={"alerts": alerts}) as response:
        assert response.status == 200


async def cli(url: str, *arguments: str) -> tuple[int, str]:
    """One call of the program: its exit code and what it prints."""
    variables = {"RESPONDER_URL": url, "RESPONDER_ACTOR": "ada", "RESPONDER_CONFIG": None}
    done = await asyncio.to_thread(CliRunner().invoke, main, list(arguments), env=variables)
    return done.exit_code, done.output


async def incident(url: str) -> dict[str, Any]:
    [found] = (await get_json(f"{url}/api/v1/incidents", live="false"))["incidents"]
    dossier: dict[str, Any] = await get_json(f"{url}/api/v1/incidents/{found['id']}")
    return dossier


async def test_an_incident_is_told_to_its_policys_channels_from_its_beginning_to_its_end(
    dsn: str, tmp_path: Path
) -> None:
    """Escalated and resolved are one thread, with runbook, owner and link; `show` says what has arrived."""
    async with pager_desk() as desk, app.running(settings_for(dsn, tmp_path, desk)) as running:
        await post(running.url, alert("a"))
        [first] = await asyncio.wait_for(desk.got(1), 60)
        data = first.body["data"]
        thread = data["thread"]
        assert (first.body["type"], data["severity"], data["level"]) == (
            "responder.incident.escalated",
            "P1",
            1,
        )
        assert (data["runbook_url"], data["owner"]) == ("https://runbooks.example.org/watched", "team-watch")
        assert data["key"] == {"instance": "a"}
        assert data["command"] == f"responder explain {thread}"
        shown = f"https://responder.example.org/api/v1/incidents/{thread}/review?format=html"
        assert data["link"] == shown
        async with (
            aiohttp.ClientSession(running.url) as client,
            client.get(shown.removeprefix("https://responder.example.org")) as page,
        ):
            assert page.status == 200

        async def both_have_it() -> bool:
            return all(one["delivered_at"] for one in (await incident(running.url))["notifications"])

        await until(both_have_it, "it is delivered", within=60)
        told = (await incident(running.url))["notifications"]
        assert [(one["channel"], one["kind"]) for one in told] == [
            ("pager", "escalated"),
            ("log", "escalated"),
        ]
        for command in (["incidents", "show", thread], ["explain", thread]):
            code, text = await cli(running.url, *command)
            assert code == 0
            assert "escalated to pager: delivered" in text
        code, text = await cli(running.url, "notifications", "list", "--undelivered")
        assert (code, text.splitlines()[0]) == (0, "Everything has reached its channel.")

        await post(running.url, alert("a", "resolved"))
        second = (await asyncio.wait_for(desk.got(2), 60))[1]
        assert (second.body["data"]["kind"], second.body["data"]["thread"]) == ("resolved", thread)
        assert second.id != first.id


async def test_two_replicas_tell_each_incident_once(dsn: str, tmp_path: Path) -> None:
    """Whichever of the two wrote a word, one of the two sends it."""
    async with pager_desk() as desk, AsyncExitStack() as stack:
        settings = settings_for(dsn, tmp_path, desk)
        two = [await stack.enter_async_context(app.running(settings)) for _ in range(2)]
        for number in range(10):
            await post(two[number % 2].url, alert(f"i{number}"))
        await asyncio.wait_for(desk.got(10), 100)

        async def all_marked() -> bool:
            told = await get_json(f"{two[0].url}/api/v1/notifications", undelivered="true")
            return not told["notifications"]

        await until(all_marked, "all are marked", within=60)
        assert len({page.id for page in desk.tries}) == len(desk.tries) == 10


async def test_a_test_message_goes_the_way_of_all_others(dsn: str, tmp_path: Path) -> None:
    """Through the outbox, signed, marked as a test; refused, the command says why and exits 1."""
    async with pager_desk() as desk, app.running(settings_for(dsn, tmp_path, desk)) as running:
        code, text = await cli(running.url, "notifications", "test", "pager")
        [page] = desk.tries
        assert (code, text) == (0, f"pager has it: {page.id}\n")
        assert page.body["type"] == "responder.test"
        assert (
            page.body["data"]["text"] == "ada tries the channel pager of the responder: nothing has happened"
        )
        desk.answers = [410]
        code, text = await cli(running.url, "notifications", "test", "pager")
        assert code == 1
        assert "given up" in text
        assert "answered 410 Gone" in text
        assert "secret-path" not in text
        assert (await cli(running.url, "notifications", "test", "log"))[0] == 0

        async def warned() -> str:
            parts = (await get_json(f"{running.url}/readyz"))["parts"]
            warnings = {one["name"]: one["text"] for one in parts if one["warning"]}
            return str(warnings.get("notifications", ""))

        text = await until(warned, "readiness warns", within=60)
        assert text == "pager: 1 given up within a day: responder notifications list --undelivered"
        (tmp_path / URL_FILE).write_text(running.url)
        told = await examine(settings_for(dsn, tmp_path, desk, data_dir=str(tmp_path)))
        [found] = [one for one in told if one.part == "channels (service)"]
        assert (found.health.value, found.text) == ("warn", text)


async def test_doctor_says_which_channels_there_are_and_warns_of_a_p0_that_only_the_log_hears(
    dsn: str, tmp_path: Path
) -> None:
    """With a policy for P0 that names another one it is content; its secrets are in none of its words."""

    async def of_channels(settings: Settings) -> tuple[str, str]:
        [found] = [one for one in await examine(settings) if one.part == "channels"]
        return found.health.value, found.text

    async with pager_desk() as desk:
        health, text = await of_channels(settings_for(dsn, tmp_path, desk))
        assert (health, text) == ("ok", "log, pager; try one with: responder notifications test NAME")
        health, text = await of_channels(settings_for(dsn, tmp_path, desk, severities={}))
        assert (health, text) == ("warn", "a P0 is told to the log alone; channels: log, pager")
