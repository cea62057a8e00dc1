"""The alerts of the operations manual: as deploy/prometheus defines them, and as promtool saw them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

PROMETHEUS = Path(__file__).parents[2] / "deploy" / "prometheus"
_FIRED = re.compile(r"ALERTS\{(.*)\}", re.DOTALL)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Defined:
    """One alerting rule of Prometheus."""

    name: str
    expr: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


def defined() -> list[Defined]:
    """Every alerting rule of manual.rules.yml."""
    groups = yaml.safe_load((PROMETHEUS / "manual.rules.yml").read_text())["groups"]
    return [
        Defined(rule["alert"], rule["expr"], rule.get("labels", {}), rule.get("annotations", {}))
        for group in groups
        for rule in group["rules"]
    ]


def fired() -> list[dict[str, str]]:
    """Every set of labels that an alert fires with in the tests, which promtool compares label by label."""
    tests = yaml.safe_load((PROMETHEUS / "manual.rules.test.yml").read_text())["tests"]
    unlike = {tuple(sorted(labels.items())) for test in tests for labels in _of_test(test)}
    return [dict(labels) for labels in sorted(unlike)]


def _of_test(test: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    for asked in test.get("promql_expr_test", ()):
        for sample in asked["exp_samples"]:
            found = _FIRED.fullmatch(sample["labels"].strip())
            assert found is not None, sample
            yield {name: value for name, value in _LABEL.findall(found[1]) if name != "alertstate"}
