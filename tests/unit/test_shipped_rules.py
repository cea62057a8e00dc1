"""The shipped rulebook: each alert that is emitted has its rule, and each rule an alert that is emitted."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from responder.actions.registry import Registry
from responder.cli.main import main
from responder.model.rule import Rulebook
from responder.rulebook.index import RuleIndex, written_out
from responder.rulebook.load import check
from tests.support.manual_alerts import fired
from tests.support.rule_surroundings import surroundings

ROOT = Path(__file__).parents[2]
RULES = ROOT / "rules"
COMMUNITY: Mapping[str, Mapping[str, list[str]]] = yaml.safe_load(
    Path(__file__).with_name("community_alerts.yaml").read_text()
)
LABELS = {name: labels for mixin in COMMUNITY.values() for name, labels in mixin.items()}
OPTIONAL = {"server", "instance", "deployment", "horizontalpodautoscaler"}
"""Labels of group_by that not every alert of its rule has: one rule takes the alerts of several senders."""


@pytest.fixture(scope="module")
def book() -> Rulebook:
    """All of rules/, checked as one rulebook."""
    report = check([RULES], surroundings())
    assert [str(mistake) for mistake in report.mistakes] == []
    assert report.rulebook is not None
    return report.rulebook


def test_each_alert_of_the_manual_has_its_rule(book: Rulebook) -> None:
    """By the labels that promtool saw it fire with; what the incident is about are labels that it has."""
    index = RuleIndex(book)
    for labels in fired():
        taking = index.taking(labels)
        assert taking, labels
        [rule] = taking
        assert rule.group_by is not None
        assert set(rule.group_by) - labels.keys() <= OPTIONAL, labels


def test_each_alert_of_a_mixin_has_its_rule(book: Rulebook) -> None:
    """At whatever severity it is sent."""
    index = RuleIndex(book)
    for name, own in LABELS.items():
        for severity in ("critical", "warning", "info"):
            labels = {"alertname": name, "severity": severity, **dict.fromkeys(own, "x")}
            assert index.taking(labels), labels


def test_no_rule_waits_for_an_alert_that_nobody_emits(book: Rulebook) -> None:
    """Each name in a matcher on alertname is one of the manual's alerts or of a mixin."""
    emitted = LABELS.keys() | {labels["alertname"] for labels in fired()}
    for rule in (one for one in book.rules if one.on is None):
        wanted = [
            name for matcher in rule.match if matcher.name == "alertname" for name in written_out(matcher)
        ]
        assert wanted, rule.name
        assert set(wanted) <= emitted, rule.name


def test_each_rule_names_its_place_in_the_manual() -> None:
    """A comment "Manual: ..." stands above each."""
    for file in sorted(set(RULES.glob("*.yaml")) - set(RULES.glob("*.test.yaml"))):
        rules = re.findall(r"((?:^ *#.*\n)*)^  - name: (\w+)", file.read_text(), re.MULTILINE)
        unnamed = [name for comment, name in rules if "Manual:" not in comment]
        assert unnamed == [], file.name


def test_a_rule_that_does_nothing_says_why(book: Rulebook) -> None:
    """Where no step acts, `notes` say what is missing or whose it is; where one acts, its action exists."""
    known = set(Registry().names())
    for rule in book.rules:
        assert rule.notes, rule.name
        assert {step.action for step in (*rule.steps, *rule.evidence, *rule.checks)} <= known


def test_what_is_said_to_be_missing_is_missing(book: Rulebook) -> None:
    """An action that notes call not built yet, and that there is by now, belongs into the rule."""
    known = set(Registry().names())
    for rule in book.rules:
        _, _, missing = (rule.notes or "").partition("Not built yet")
        assert not known & set(re.findall(r"\b[a-z_]+\.[a-z_]+\b", missing)), rule.name


def test_the_tests_beside_the_rules_pass_and_reach_every_part() -> None:
    """`responder rules test rules/ --require-coverage`: each rule, severity, step, condition and limit."""
    asked = ["rules", "test", str(RULES), "--require-coverage"]
    result = CliRunner(env={"RESPONDER_CONFIG": None}).invoke(main, asked)
    assert result.exit_code == 0, result.output
    found = re.search(r"(\d+) of (\d+) parts reached", result.output)
    assert found is not None
    assert found[1] == found[2]
