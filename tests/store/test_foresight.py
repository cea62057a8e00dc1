"""What an alert would lead to, asked of a whole service: real guards, a real look, and nothing done."""

from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from tests.support.parts import PostgresServer, embedded_postgres
from tests.support.scenes import sessions_on
from tests.support.whole import AUTH, HOOK, firing, payload, promoted, serving, settings_for

pytestmark = pytest.mark.timeout(180)

RULES = """\
rules:
  - name: Stuck
    match: ['alertname = "Stuck"', 'server != ""']
    severity: P2
    continue: true
    group_by: [server]
    autonomy: approve
    steps:
      - {action: postgres.activity, with: {connection: {server: $labels.server}, longer_than: 1m}}
      - action: postgres.terminate_queries
        with: {connection: {server: $labels.server}, application: %s, older_than: 1ms, at_most: 3}
    verify: {alert_resolved_within: 10m, stable_for: 7m}
  - name: Counted
    match: ['alertname = "Stuck"']
    severity: P3
    group_by: [server]
    inhibited_by: [Down]
    escalate: true
  - name: Down
    match: ['alertname = "Down"']
    severity: P1
    group_by: [server]
    escalate: true
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> Any:
    async with embedded_postgres("foreseen") as running:
        yield running


def settings(dsn: str, folder: Path, server: PostgresServer, application: str) -> Any:
    orders = {"name": "orders", "dsn": server.dsn(), "matches": ['server="orders"']}
    engine = {"ceiling": "auto"}
    written = RULES % application
    return promoted(
        settings_for(dsn, folder, written, inventory={"postgres": [orders]}, engine=engine, queries={})
    )


async def everything(dsn: str) -> list[int]:
    """How many rows there are of whatever an alert or a step would write."""
    connection = await asyncpg.connect(dsn)
    try:
        tables = ("journal", "alerts", "incidents", "attempts", "claims", "timeline", "findings")
        return [await connection.fetchval(f"SELECT count(*) FROM {table}") for table in tables]
    finally:
        await connection.close()


async def test_every_guard_is_asked_and_nothing_is_done(
    dsn: str, tmp_path: Path, server: PostgresServer
) -> None:
    """The very elements are named; under a halt it says so; no row is written and no session ended."""
    async with sessions_on(server) as sessions:
        stuck = await sessions.start()
        chosen = settings(dsn, tmp_path, server, sessions.application)
        async with serving(chosen) as client:
            before = await everything(dsn)
            asked = {"labels": {"alertname": "Stuck", "server": "orders"}}
            async with client.post("/api/v1/rules/explain", json=asked) as answered:
                assert answered.status == 200
                told = await answered.json()
            reads, ends = told["steps"]
            assert told["matching"]["taken"]["key"] == {"server": "orders"}
            [counted] = told["matching"]["further"]
            assert (counted["rule"], counted["severity"]) == ("Counted", "P3")
            assert [(one["steps"], one["joins"], one["inhibitor"]) for one in told["further"]] == [
                ([], False, None)
            ]
            assert (reads["kind"], reads["held_by"]) == ("read_only", [])
            assert (ends["target"], len(ends["elements"])) == ("postgres/orders", 1)
            assert f"pid {stuck}" in ends["elements"][0]
            assert ("autonomy", "ask") in [(one["guard"], one["ruling"]) for one in ends["held_by"]]
            async with client.post("/api/v1/halt", json={"actor": "ada", "reason": "all stop"}) as halted:
                assert halted.status == 200
            async with client.post("/api/v1/rules/explain", json=asked) as answered:
                halted_now = (await answered.json())["steps"][1]["held_by"]
            assert [(one["guard"], one["ruling"]) for one in halted_now if one["guard"] == "halt"] == [
                ("halt", "wait")
            ]
            assert await everything(dsn) == before
            assert await sessions.standing() == 1


async def test_a_rule_that_nobody_promoted_is_not_said_to_go(dsn: str, tmp_path: Path) -> None:
    """A new rule is in shadow: what holds its step to that is told, and no guard needs to hold it."""
    orders = {"name": "orders", "dsn": dsn, "matches": ['server="orders"']}
    chosen = settings_for(dsn, tmp_path, RULES % "nobody", inventory={"postgres": [orders]})
    async with serving(chosen) as client:
        asked = {"labels": {"alertname": "Stuck", "server": "orders"}}
        async with client.post("/api/v1/rules/explain", json=asked) as answered:
            assert answered.status == 200
            step = (await answered.json())["steps"][1]
    assert "shadow" in step["shadow"]


async def test_a_live_incident_of_the_group_and_a_storm_are_said(dsn: str, tmp_path: Path) -> None:
    """What is there already goes on as it stands; while a storm rages a P2 waits for its end."""
    orders = {"name": "orders", "dsn": dsn, "matches": ['server=~".*"']}
    engine = {"ceiling": "auto", "terms": {"storm": {"openings": 2, "within": "1h"}}}
    chosen = promoted(
        settings_for(dsn, tmp_path, RULES % "nobody", inventory={"postgres": [orders]}, engine=engine)
    )
    async with serving(chosen) as client:

        async def foreseen(server: str) -> Any:
            asked = {"labels": {"alertname": "Stuck", "server": server}}
            async with client.post("/api/v1/rules/explain", json=asked) as answered:
                assert answered.status == 200
                return await answered.json()

        alone = await foreseen("a")
        for server in ("a", "b"):
            told = payload(firing(alertname="Stuck", server=server))
            async with client.post(HOOK, json=told, headers=AUTH) as answered:
                assert answered.status == 200
        joining, new = await foreseen("a"), await foreseen("c")
    assert [one["joins"] for one in (alone, joining, new)] == [False, True, False]
    storms = [
        [word for word in one["steps"][1]["held_by"] if word["guard"] == "storm"] for one in (alone, new)
    ]
    assert (storms[0], len(storms[1])) == ([], 1)


async def test_an_incident_that_explains_it_is_named(dsn: str, tmp_path: Path) -> None:
    """While it is under way: of another server it says nothing. Each rule that takes it has its own."""
    orders = {"name": "orders", "dsn": dsn, "matches": ['server=~".*"']}
    chosen = settings_for(dsn, tmp_path, RULES % "nobody", inventory={"postgres": [orders]})
    async with serving(chosen) as client:

        async def explained(server: str) -> list[Any]:
            asked = {"labels": {"alertname": "Stuck", "server": server}}
            async with client.post("/api/v1/rules/explain", json=asked) as answered:
                assert answered.status == 200
                told = await answered.json()
            return [told["inhibitor"], *(one["inhibitor"] for one in told["further"])]

        told = payload(firing(alertname="Down", server="a"))
        async with client.post(HOOK, json=told, headers=AUTH) as answered:
            assert answered.status == 200
        here, elsewhere = await explained("a"), await explained("b")
    assert [one and one["rule"] for one in here] == [None, "Down"]
    assert elsewhere == [None, None]
