"""What stands in deploy/ fits the program: its metrics, its route, its receiver, its settings."""

import re
from pathlib import Path
from typing import Any

import yaml

from responder.model.autonomy import Autonomy
from responder.settings import load as load_settings
from responder.telemetry import build_metrics

DEPLOY = Path(__file__).parents[2] / "deploy"


def load(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text())


def known_samples() -> dict[str, set[str]]:
    """Every sample name of our metrics with the names of its labels."""
    known: dict[str, set[str]] = {}
    metrics = build_metrics("test")
    for collector in vars(type(metrics))["__slots__"]:
        metric = getattr(metrics, collector)
        if collector == "registry":
            continue
        labels = set(metric._labelnames)
        for family in metric.describe():
            suffixes = {
                "counter": ("_total",),
                "histogram": ("_bucket", "_sum", "_count"),
                "info": ("_info",),
            }
            for suffix in suffixes.get(family.type, ("",)):
                known[family.name + suffix] = labels | ({"le"} if suffix == "_bucket" else set())
    return known


def test_the_alerts_ask_for_metrics_that_exist() -> None:
    """Every responder_ metric and every label in the Prometheus rules is one that the program exposes."""
    known = known_samples()
    rules = [rule for group in load("prometheus-rules.yml")["groups"] for rule in group["rules"]]
    asked = {name for rule in rules for name in re.findall(r"responder_\w+", rule["expr"])}
    assert asked
    assert asked <= known.keys()
    for rule in rules:
        for name, selector in re.findall(r"(responder_\w+)\{([^}]*)\}", rule["expr"]):
            assert set(re.findall(r"(\w+)\s*=", selector)) <= known[name]


def test_the_query_of_the_readme_is_the_one_that_the_shipped_rules_ask_for() -> None:
    """README, example settings and the rules mean the same by `blocked_sessions`."""
    told = [
        " ".join((DEPLOY.parent / name).read_text().replace("#", " ").split()).casefold()
        for name in ("README.md", "deploy/responder.yaml", "rules/postgres.yaml")
    ]
    condition = "cardinality(pg_blocking_pids(pid)) > 0 and now() - query_start > interval '10 s'"
    assert [condition in text for text in told] == [True, True, True]


def test_the_receiver_is_what_the_responder_needs() -> None:
    """send_resolved, no cut, a token from a file, our route; and people are the fallback."""
    config = load("alertmanager.yml")
    receivers = {receiver["name"]: receiver for receiver in config["receivers"]}
    (webhook,) = receivers["responder"]["webhook_configs"]
    assert webhook["send_resolved"] is True
    assert webhook["max_alerts"] == 0
    assert webhook["url"].endswith("/api/v1/webhooks/alertmanager/default")
    assert webhook["http_config"]["authorization"]["type"] == "Bearer"
    assert "credentials" not in webhook["http_config"]["authorization"]
    assert config["route"]["receiver"] == "people"
    assert config["route"]["routes"][-1]["receiver"] == "people"
    assert [route.get("continue", False) for route in config["route"]["routes"]] == [
        False,
        False,
        True,
        False,
    ]


def test_what_is_wrong_with_the_responder_is_told_without_it() -> None:
    """Every alert of ours but the watchdog goes to people by a route that ends before the responder's."""
    config = load("alertmanager.yml")
    watchdog, about_us = config["route"]["routes"][:2]
    assert (watchdog["receiver"], about_us["receiver"]) == ("responder", "people")
    names = {rule["alert"] for group in load("prometheus-rules.yml")["groups"] for rule in group["rules"]}
    assert {name for name in names if not name.startswith("Responder")} == {"Watchdog"}


def test_the_example_settings_are_valid(tmp_path: Path) -> None:
    """Every key is known and every value fits; it listens on loopback, in shadow, with no open source."""
    text = (DEPLOY / "responder.yaml").read_text()
    for name in credentials(text):
        secret = "postgresql://u:p@127.0.0.1:5432/db" if name in {"database", "orders-dsn"} else "s" * 64
        (tmp_path / name).write_text(secret)
    file = tmp_path / "responder.yaml"
    file.write_text(text.replace("/run/credentials/responder.service", str(tmp_path)))
    settings = load_settings(file, {}).settings
    assert settings.web.listen.loopback
    assert settings.engine.ceiling is Autonomy.SHADOW
    assert settings.open_sources == ()
    assert settings.sources["default"].bearer() is not None
    assert [entry.name for entry in settings.inventory.load().postgres] == ["orders"]


def test_the_unit_hands_over_every_secret_that_the_settings_name() -> None:
    """Each credential of the example settings is loaded by the unit, and none besides."""
    unit = (DEPLOY / "responder.service").read_text()
    loaded = set(re.findall(r"^LoadCredential=([\w-]+):", unit, re.MULTILINE))
    assert loaded == credentials((DEPLOY / "responder.yaml").read_text())


def credentials(text: str) -> set[str]:
    return set(re.findall(r"^[^#]*/run/credentials/responder\.service/([\w-]+)", text, re.MULTILINE))
