"""Scheduled rules in a whole service: run by a person over HTTP, kept, told, and over with their rule."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from responder.settings import Settings
from tests.support.whole import incident_in, serving, settings_for, told

pytestmark = pytest.mark.real  # it takes long

REASON = {"actor": "ann", "reason": "after the mend"}
CHECKS = """\
rules:
  - name: Morning
    on: {schedule: "0 7 1 1 *", timezone: Europe/Berlin}
    severity: [{when: ['finding = "connections"'], is: P1}, {is: P2}]
    group_by: [finding]
    steps:
      - {name: connections, action: postgres.activity, with: {connection: own}, expect: {percent: '< LIMIT'}}
      - {name: primary, action: postgres.activity, with: {connection: own}, expect: {in_recovery: '== false'}}
"""


def found_wanting(dsn: str, folder: Path) -> Settings:
    """A service whose first check is never as expected: nobody has less than no connection."""
    inventory = {"postgres": [{"name": "own", "dsn": dsn}]}
    return settings_for(dsn, folder, CHECKS.replace("LIMIT", "0"), inventory=inventory)


async def asked(client: aiohttp.ClientSession, key: str | None = None) -> dict[str, Any]:
    headers = {} if key is None else {"Idempotency-Key": key}
    async with client.post("/api/v1/schedules/Morning/run", json=REASON, headers=headers) as response:
        assert response.status in {200, 202}, await response.text()
        return dict(await response.json())


async def report(client: aiohttp.ClientSession, run: str) -> dict[str, Any]:
    """Of a run, once it has ended."""
    async with asyncio.timeout(60):
        while True:
            found = await told(client, f"/api/v1/schedules/Morning/runs/{run}")
            if found["state"] == "ended":
                return dict(found)
            await asyncio.sleep(0.1)


async def test_a_check_is_run_by_hand_and_what_it_finds_is_an_incident_until_it_is_over(
    dsn: str, tmp_path: Path
) -> None:
    """Its report says what was found; its incident is escalated, and resolved by the next run."""
    inventory = {"postgres": [{"name": "own", "dsn": dsn}]}
    async with serving(
        settings_for(dsn, tmp_path, CHECKS.replace("LIMIT", "0"), inventory=inventory)
    ) as client:
        (line,) = (await told(client, "/api/v1/schedules"))["schedules"]
        assert (line["name"], line["steps"], line["last"]) == ("Morning", ["connections", "primary"], None)
        assert line["next"].endswith("-01-01T06:00:00Z") or line["next"].endswith("-01-01T06:00:00+00:00")
        first = await asked(client, "one")
        run = await report(client, first["run"])
        assert (run["asked_by"], run["reason"]) == ("ann", "after the mend")
        assert [step["finding"] for step in run["report"]["steps"]] == [True, False]
        assert "connections: percent is " in run["report"]["summary"]
        incident = await incident_in(client, "escalated")
        assert (incident["rule"], incident["severity"], incident["key"]) == (
            "Morning",
            "P1",
            {"finding": "connections"},
        )
        assert (await asked(client, "one"))["given"] is False
        (tmp_path / "rules.yaml").write_text(CHECKS.replace("LIMIT", "100"))
        async with client.post("/api/v1/rules/reload", json={}) as response:
            assert response.status == 200
        second = await report(client, (await asked(client))["run"])
        assert second["report"]["outcome"] == "as_expected"
        await incident_in(client, "resolved")
        shown = await told(client, "/api/v1/schedules/Morning?limit=5")
        assert [one["id"] for one in shown["runs"]] == [second["id"], run["id"]]


async def test_what_a_rule_found_is_over_when_the_rule_is_gone(dsn: str, tmp_path: Path) -> None:
    """Nobody has to close it, and there is nothing left to run."""
    inventory = {"postgres": [{"name": "own", "dsn": dsn}]}
    async with serving(
        settings_for(dsn, tmp_path, CHECKS.replace("LIMIT", "0"), inventory=inventory)
    ) as client:
        await report(client, (await asked(client))["run"])
        await incident_in(client, "escalated")
        (tmp_path / "rules.yaml").write_text(
            "rules:\n  - {name: Other, match: ['alertname = \"x\"'], severity: P3}\n"
        )
        async with client.post("/api/v1/rules/reload", json={}) as response:
            assert response.status == 200
        await incident_in(client, "resolved")
        assert (await told(client, "/api/v1/schedules"))["schedules"] == []
        async with client.post("/api/v1/schedules/Morning/run", json=REASON) as response:
            assert response.status == 404
