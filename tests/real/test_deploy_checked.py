"""What stands in deploy/, read by the programs that it is for."""

import subprocess
from pathlib import Path

import pytest

from tests.support.parts import program

pytestmark = pytest.mark.real

DEPLOY = Path(__file__).parents[2] / "deploy"


def accepted(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=DEPLOY, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_accepts_the_rules_and_they_fire_as_meant() -> None:
    """Promtool reads the rules, and their own tests pass."""
    promtool = program("promtool", "prometheus")
    accepted(promtool, "check", "rules", "prometheus-rules.yml")
    assert "SUCCESS" in accepted(promtool, "test", "rules", "prometheus-rules.test.yml")


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
