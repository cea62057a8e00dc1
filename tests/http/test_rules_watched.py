"""A service whose rule files change under it: it takes them up by itself, and says so where it does not."""

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from click.testing import CliRunner

from responder import app
from responder.cli import main
from tests.support.parts import until
from tests.support.whole import AUTH, HOOK, RULES, firing, payload, settings_for, told

pytestmark = pytest.mark.real  # it takes long

LATER = f"{RULES}  - name: Later\n    match: 'alertname = \"Lonely\"'\n    severity: P3\n    escalate: true\n"
_FAILURES = "responder_rulebook_load_failures_total"


async def _rules_part(client: aiohttp.ClientSession) -> dict[str, Any]:
    """What readiness says of the rules; the service is ready whatever they are."""
    found = {part["name"]: part for part in (await told(client, "/readyz"))["parts"]}
    return dict(found["rules"])


async def _failures(client: aiohttp.ClientSession) -> float:
    async with client.get("/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(_FAILURES))


async def _listed(url: str) -> str:
    command = ["rules", "list", "--url", url]
    told_of = await asyncio.to_thread(CliRunner().invoke, main, command)
    assert told_of.exit_code == 0, told_of.output
    return str(told_of.output)


async def test_files_that_change_are_taken_up_and_broken_ones_are_told(dsn: str, tmp_path: Path) -> None:
    """An alert that no rule took is matched again; a mistake is counted and told, and the old rules stay."""
    rules, settings = tmp_path / "rules.yaml", settings_for(dsn, tmp_path, watch_rules=True)
    async with app.running(settings) as running, aiohttp.ClientSession(running.url) as client:
        lonely = json.dumps(payload(firing(alertname="Lonely"))).encode()
        async with client.post(HOOK, data=lonely, headers=AUTH) as answer:
            assert answer.status == 200
        assert len((await told(client, "/api/v1/alerts/unmatched"))["alerts"]) == 1
        rules.write_text(LATER)

        async def taken_up() -> bool:
            found = (await told(client, "/api/v1/incidents?live=false"))["incidents"]
            return [one["rule"] for one in found] == ["Later"]

        await until(taken_up, "the new rule has taken the alert up", within=60)
        rules.write_text("rules: [{name: Broken}]\n")

        async def warned() -> bool:
            return bool((await _rules_part(client))["warning"])

        await until(warned, "the broken file is told", within=60)
        assert "so what they say is not active" in (await _rules_part(client))["text"]
        assert await _failures(client) == 1
        answered = await told(client, "/api/v1/rules")
        assert [rule["name"] for rule in answered["rules"]] == ["Watched", "Later"]
        assert {one["file"] for one in answered["refused"]} == {str(rules)}
        listed = await _listed(running.url)
        assert "The rule files have mistakes, so what they say is not active" in listed
        assert f"{rules}:1:" in listed
        rules.write_text(RULES)

        async def mended() -> bool:
            return not await warned()

        await until(mended, "the mended file is taken up", within=60)
        answered = await told(client, "/api/v1/rules")
        assert ([rule["name"] for rule in answered["rules"]], answered["refused"]) == (["Watched"], [])
        assert "mistakes" not in await _listed(running.url)


async def test_files_are_not_watched_unless_the_settings_say_so(dsn: str, tmp_path: Path) -> None:
    """Whoever saves a file half done has changed nothing: they are read when somebody says reload."""
    assert not settings_for(dsn, tmp_path).watch_rules
    async with app.running(settings_for(dsn, tmp_path)) as running:
        assert "rule files" not in running.engine.loops
    async with app.running(settings_for(dsn, tmp_path, watch_rules=True)) as running:
        assert "rule files" in running.engine.loops
