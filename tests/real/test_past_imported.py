"""Claims about giving a new installation a past, against the real Prometheus."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from responder.cli.output import moment
from tests.support.command import responder
from tests.support.parts import Prometheus, prometheus, until
from tests.support.whole import service
from tests.support.whole import told as told_of

pytestmark = pytest.mark.real

FLAPS = {"alert": "Flaps", "expr": "vector(time()) % 10 < 5", "labels": {"team": "shop"}}
STEADY = {"alert": "Watched", "expr": "vector(1)", "labels": {"instance": "a", "password": "hunter2"}}
ALL = """\
rules:
  - {name: All, match: [], severity: P2, group_by: [], evidence: [], escalate: true}
"""


async def samples(server: Prometheus, alertname: str) -> int:
    found = await server.query(f'count_over_time(ALERTS{{alertname="{alertname}"}}[5m])')
    return int(found[0]["value"][1]) if found else 0


async def imported(client: aiohttp.ClientSession, server: Prometheus, *more: str) -> dict[str, Any]:
    command = ["journal", "import", "--prometheus", server.url, "--since", "2m", "--step", "1s", "--json"]
    done = await responder(client, *command, *more)
    assert done.exit_code == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


async def test_the_past_comes_out_of_prometheus_and_nothing_is_done_about_it(
    dsn: str, tmp_path: Path
) -> None:
    """Its episodes are there as they were, once, however often; no rule ever takes them."""
    async with prometheus(targets={}, alertmanagers=[], rules=[FLAPS, STEADY]) as server:

        async def flapped() -> bool:
            return await samples(server, "Flaps") >= 13

        await until(flapped, "it has flapped", within=90)
        async with service(dsn, tmp_path) as client:
            told = await imported(client, server)
            assert told["source"] == "default"
            assert told["new"] >= 3
            again = await imported(client, server)
            assert again["new"] <= 1, "at most what has begun meanwhile"
            assert again["known"] + again["longer"] >= told["new"] - 1
            lines = await _lines(client)
            await _as_they_were(lines)
            gaps = await responder(client, "rules", "gaps", "--json")
            assert gaps.exit_code == 1
            assert [one["name"] for one in json.loads(gaps.stdout)["gaps"]] == ["Flaps"]
            assert "hunter2" not in "".join(map(str, lines))
        async with service(dsn, tmp_path, web={"listen": "127.0.0.1:0"}) as client:
            (tmp_path / "rules.yaml").write_text(ALL)
            async with client.post("/api/v1/rules/reload", json={}) as response:
                assert (await response.json())["ok"]
            await asyncio.sleep(2)
            assert (await told_of(client, "/api/v1/incidents?live=false"))["incidents"] == []
            assert await told_of(client, "/api/v1/alerts/unmatched") == {"alerts": []}


async def _lines(client: aiohttp.ClientSession) -> list[Any]:
    span = {"after": "2020-01-01T00:00:00+00:00", "until": "2100-01-01T00:00:00+00:00", "limit": "10000"}
    async with client.get("/api/v1/journal/rows", params=span) as response:
        text = await response.text()
    return [json.loads(line) for line in text.splitlines()[1:]]


async def _as_they_were(lines: list[Any]) -> None:
    """Five seconds of firing in each ten, and the other one fires on."""
    names = [line[6]["alertname"] for line in lines]
    assert names.count("Watched") == 1
    whole = [line for line in lines if line[6]["alertname"] == "Flaps" and line[3] == "resolved"]
    lasted = [moment(line[5]) - moment(line[4]) for line in whole]
    assert len(lasted) >= 2
    assert all(one <= timedelta(seconds=6) for one in lasted)
    assert timedelta(seconds=4) <= max(lasted)


async def test_a_prometheus_that_does_not_answer_is_named(dsn: str, tmp_path: Path) -> None:
    """Exit 4, the address, and what to do; a wrong one is no traceback."""
    async with service(dsn, tmp_path) as client:
        command = ["journal", "import", "--prometheus", "http://127.0.0.1:1", "--since", "2m"]
        done = await responder(client, *command)
        assert done.exit_code == 4
        assert "http://127.0.0.1:1" in done.stderr
        assert "--step" in done.stderr
