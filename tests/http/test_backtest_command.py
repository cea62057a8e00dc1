"""Claims about `responder rules backtest`, against a running service on a real PostgreSQL."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.command import Done, responder
from tests.support.whole import AUTH, HOOK, firing, incident_in, payload, service

pytestmark = pytest.mark.real  # it takes long

OTHER = """\
rules:
  - {name: Watched, match: 'alertname = "Watched"', severity: P1, group_by: [], evidence: [], escalate: true}
  - {name: Never, match: 'alertname = "Never"', severity: P3, group_by: [], evidence: []}
"""


async def heard(client: aiohttp.ClientSession, *alerts: dict[str, Any]) -> None:
    async with client.post(HOOK, json=payload(*alerts), headers=AUTH) as response:
        assert response.status == 200


async def called(client: aiohttp.ClientSession, folder: Path, *arguments: str) -> Done:
    return await responder(client, *arguments, "--config", str(folder / "responder.yaml"))


async def backtest(client: aiohttp.ClientSession, folder: Path, *more: str) -> dict[str, Any]:
    done = await called(client, folder, "rules", "backtest", *more, "--since", "1d", "--format", "json")
    assert done.exit_code == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


async def test_the_active_rules_open_what_they_opened(dsn: str, tmp_path: Path) -> None:
    """One incident for each group, whatever was told twice; what no rule takes is counted."""
    async with service(dsn, tmp_path) as client:
        for _ in range(2):
            await heard(client, firing(instance="a"), firing(instance="b"))
        await heard(client, {**firing(instance="c"), "labels": {"alertname": "Nobody"}})
        told = await backtest(client, tmp_path, str(tmp_path / "rules.yaml"), "--against", "current")
        assert (told["rows"], told["incidents"], told["without_rule"]) == (5, 2, 1)
        assert told["severities"] == {"P2": 2}
        assert told["differences"] == []
        assert [one["rule"] for one in told["rules"]] == ["Watched"]
        assert sum(sum(one["opened"].values()) for one in told["over_time"]) == 2


async def test_what_people_did_is_played(dsn: str, tmp_path: Path) -> None:
    """On the incident of that rule and group; told as taken from the record, in the table, too."""
    async with service(dsn, tmp_path) as client:
        await heard(client, firing(instance="a"))
        incident = await incident_in(client, "escalated")
        given = await called(client, tmp_path, "incidents", "take-over", incident["id"], "--reason", "mine")
        assert given.exit_code == 0, given.stderr
        found = await backtest(client, tmp_path, str(tmp_path / "rules.yaml"))
        assert [(one["of"], one["times"]) for one in found["recorded"]] == [("take_over", 1)]
        done = await called(client, tmp_path, "rules", "backtest", str(tmp_path / "rules.yaml"))
        assert "- take_over: people say what they said (1 times)" in done.stdout


async def test_other_rules_are_told_by_what_they_do_otherwise(dsn: str, tmp_path: Path) -> None:
    """As a table, and as a page that needs nothing beside itself; labels are no markup."""
    (tmp_path / "other.yaml").write_text(OTHER)
    async with service(dsn, tmp_path) as client:
        await heard(client, firing(instance="a"), firing(instance="<b>"))
        command = ["rules", "backtest", str(tmp_path / "other.yaml"), "--since", "1d", "--against", "current"]
        done = await called(client, tmp_path, *command, "--html", str(tmp_path / "page.html"))
        assert done.exit_code == 0, done.stderr
        assert "1 incident opened: 1 P1." in done.stdout
        assert "Took nothing: Never." in done.stdout
        assert "nobody says anything beside what was recorded" in done.stdout
        rows = [line.split() for line in done.stdout.splitlines()]
        assert ["Watched", "incidents", "2", "1"] in rows
        page = (tmp_path / "page.html").read_text()
        assert page.count("<svg") == 2
        assert "http://" not in page
        assert "src=" not in page


async def test_what_was_imported_is_played_too(dsn: str, tmp_path: Path) -> None:
    """An installation that has heard of nothing yet has a past."""
    async with service(dsn, tmp_path) as client:
        body = {
            "source": "default",
            "episodes": [
                {
                    "labels": {"alertname": "Watched", "instance": name},
                    "starts_at": f"{_days_ago(2)}T01:00:00+00:00",
                    "ends_at": f"{_days_ago(2)}T02:00:00+00:00",
                }
                for name in "abc"
            ],
        }
        async with client.post("/api/v1/journal/imported", json=body) as response:
            assert await response.json() == {"new": 3, "longer": 0, "known": 0}
        told = await backtest(client, tmp_path, str(tmp_path / "rules.yaml"))
        assert told["rows"] == 0, "a day ago nothing fired"
        done = await called(
            client, tmp_path, "rules", "backtest", str(tmp_path / "rules.yaml"), "--since", "4d"
        )
        assert "3 incidents opened: 3 P2." in done.stdout


def _days_ago(days: int) -> str:
    return (datetime.now(UTC) - timedelta(days=days)).date().isoformat()


async def test_rules_with_a_mistake_are_not_played(dsn: str, tmp_path: Path) -> None:
    """The mistake is told, and nothing else."""
    (tmp_path / "wrong.yaml").write_text("rules: [{name: A, severity: P3}]\n")
    async with service(dsn, tmp_path) as client:
        done = await called(client, tmp_path, "rules", "backtest", str(tmp_path / "wrong.yaml"))
        assert done.exit_code == 1
        assert "the rule has no `match`" in done.stderr
