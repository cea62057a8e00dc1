"""A skeleton of rules from Prometheus's: what is carried over, and that it is always right as it stands."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from responder.cli.main import main
from responder.model.autonomy import Autonomy
from responder.model.rule import Rule
from responder.model.severity import Severity
from responder.rulebook.load import check_texts
from responder.rulebook.mistake import Mistakes
from responder.rulebook.prometheus import SEVERITIES, read_alerts, skeleton
from tests.support.rule_surroundings import surroundings

ROOT = Path(__file__).parents[2]
GROUPS = """\
groups:
  - name: pods
    rules:
      - record: job:up:sum
        expr: sum by (job) (up)
      - alert: PodCrashLooping
        expr: rate(kube_pod_container_status_restarts_total[5m]) > 0
        for: 15m
        labels: {severity: critical, team: shop}
        annotations:
          summary: "{{ $labels.namespace }}/{{ $labels.pod }} restarts again and again"
          runbook_url: https://runbooks.example.com/pods
      - alert: PodCrashLooping
        expr: rate(kube_pod_container_status_restarts_total[1h]) > 0
        labels: {severity: warning}
      - alert: Watchdog
        expr: vector(1)
        labels: {severity: none}
        annotations:
          message: 'Always fires. {{ index $labels "team" }} {{ .Labels.node }} {{ index $labels `zone` }}'
          runbook_url: 'https://x/{{ $labels.a }}'
      - alert: Templated
        expr: up == 0
        labels: {severity: '{{ $labels.level }}'}
"""


def made(*texts: str) -> tuple[Rule, ...]:
    mistakes = Mistakes()
    alerts = read_alerts([(f"{at}.yml", text) for at, text in enumerate(texts)], mistakes)
    assert mistakes.found == []
    text, number = skeleton(alerts)
    report = check_texts([("made.yaml", text)], surroundings())
    assert report.mistakes == ()
    assert report.rulebook is not None
    assert len(report.rulebook.rules) == number
    return report.rulebook.rules


def test_each_alert_has_a_rule_that_only_records() -> None:
    """Nothing that acts is made up; recording rules are passed over."""
    rules = made(GROUPS)
    assert [rule.name for rule in rules] == ["PodCrashLooping", "Watchdog", "Templated"]
    assert {rule.autonomy for rule in rules} == {Autonomy.OBSERVE}
    assert not any(rule.steps for rule in rules)


def test_what_people_know_of_an_alert_is_carried_over() -> None:
    """Severity by its word, one rule for all severities of a name; its runbook, its words, its labels."""
    loops, watchdog, templated = made(GROUPS)
    assert [str(matcher) for matcher in loops.match] == ['alertname="PodCrashLooping"']
    assert loops.severity_of({"severity": "critical"}) is Severity.P1
    assert loops.severity_of({"severity": "warning"}) is Severity.P2
    assert loops.group_by == ("namespace", "pod")
    assert loops.runbook_url == "https://runbooks.example.com/pods"
    assert loops.notes == "{{ $labels.namespace }}/{{ $labels.pod }} restarts again and again"
    assert (watchdog.severity_of({}), watchdog.group_by) == (
        Severity.P3,
        ("team", "node", "zone", "a"),
    )
    assert watchdog.runbook_url is None, "an address with a template is none"
    levels = [templated.severity_of({"severity": word}) for word in ("critical", "warning", "odd", "")]
    assert levels == [Severity.P1, Severity.P2, Severity.P3, Severity.P3], "any of them may come"


def test_words_of_a_severity_are_no_expressions() -> None:
    """`a.b` means itself alone, though several words of one level stand in one expression."""
    alert = "{alert: A, expr: up, labels: {severity: %s}}"
    rules = ", ".join(alert % word for word in ("a.b", "c", "info"))
    mistakes = Mistakes()
    alerts = read_alerts([("a.yml", f"groups: [{{name: g, rules: [{rules}]}}]")], mistakes)
    text, _ = skeleton(alerts, {**SEVERITIES, "a.b": Severity.P1, "c": Severity.P1})
    report = check_texts([("made.yaml", text)], surroundings())
    assert report.rulebook is not None
    [rule] = report.rulebook.rules
    found = [rule.severity_of({"severity": word}) for word in ("a.b", "c", "axb")]
    assert found == [Severity.P1, Severity.P1, Severity.P3]


def test_the_rules_of_a_kubernetes_object_are_read_too() -> None:
    """A PrometheusRule has its groups under `spec`."""
    spec = "apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nspec:\n"
    (rule,) = made(spec + "  groups: [{name: a, rules: [{alert: Down, expr: up == 0}]}]\n")
    assert rule.name == "Down"


def test_what_is_no_file_of_prometheus_is_a_mistake_with_its_place() -> None:
    """A file of something else is refused, and not an empty rulebook."""
    mistakes = Mistakes()
    assert read_alerts([("a.yml", "scrape_configs: []\n"), ("b.yml", "groups: [\n")], mistakes) == ()
    told = [str(mistake) for mistake in mistakes.sorted()]
    assert told[0].startswith("a.yml:1:1: this is no file of Prometheus's rules. Name a file with `groups:`")
    assert told[1].startswith("b.yml:")


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
WORDS = st.one_of(
    TEXTS,
    st.sampled_from([*SEVERITIES, "{{ $value }}", "a\x85b", "é", "a: b", "no", "- x", "#", "'", '"', "\\"]),
)
ALERTS = st.fixed_dictionaries(
    {
        "alert": WORDS,
        "expr": st.just("up == 0"),
        "labels": st.dictionaries(st.sampled_from(["severity", "team"]), WORDS),
        "annotations": st.dictionaries(
            st.sampled_from(["summary", "description", "runbook_url"]),
            st.one_of(WORDS, st.just("{{ $labels.pod }} {{ $labels.pod }}"), st.just("https://a.example/x")),
        ),
    }
)


@settings(max_examples=60)
@given(st.lists(ALERTS, max_size=4), WORDS)
def test_whatever_the_words_the_skeleton_passes_the_check(alerts: list[dict[str, Any]], group: str) -> None:
    """Names, labels and texts of any signs come through YAML and the matchers as they were."""
    rules = made(yaml.safe_dump({"groups": [{"name": group, "rules": alerts}]}))
    names = dict.fromkeys(alert["alert"] for alert in alerts if alert["alert"])
    assert [rule.match[0].value for rule in rules] == list(names)
    by_name = {rule.match[0].value: rule for rule in rules}
    for alert in alerts:
        word = alert["labels"].get("severity", "")
        if alert["alert"] and "{{" not in word:
            meant = SEVERITIES.get(word.lower(), Severity.P3)
            assert by_name[alert["alert"]].severity_of({"severity": word}) is meant


def test_the_command_writes_a_new_file_and_never_over_one(tmp_path: Path) -> None:
    """What somebody has written since is not lost to a second import; the words of severities can be set."""
    source, target = tmp_path / "alerts.yml", tmp_path / "rules.yaml"
    source.write_text(GROUPS)
    command = ["rules", "import", "--prometheus", str(source), "--output", str(target)]
    first = CliRunner().invoke(main, [*command, "--severity", "critical=P0"])
    assert (first.exit_code, first.stdout.splitlines()[0]) == (
        0,
        f"3 rules of 4 alerting rules in {target}.",
    )
    kept = target.read_text()
    assert "is: P0" in kept
    second = CliRunner().invoke(main, command)
    assert (second.exit_code, "is there already" in second.stderr) == (1, True)
    assert target.read_text() == kept


@pytest.mark.parametrize("written", ["critical", "critical=P4", "=", "critical=high"])
def test_a_meaning_that_is_none_is_refused(written: str) -> None:
    """`--severity` says what it takes."""
    file = str(ROOT / "deploy" / "prometheus" / "manual.rules.yml")
    asked = CliRunner().invoke(main, ["rules", "import", "--prometheus", file, "--severity", written])
    assert (asked.exit_code, "is not WORD=P0 to WORD=P3" in asked.stderr) == (2, True)


def test_the_alerts_that_ship_become_rules() -> None:
    """Printed without --output; grouped by the labels that their words name."""
    file = str(ROOT / "deploy" / "prometheus" / "manual.rules.yml")
    printed = CliRunner().invoke(main, ["rules", "import", "--prometheus", file])
    assert printed.exit_code == 0
    rules = {rule["name"]: rule for rule in yaml.safe_load(printed.stdout)["rules"]}
    assert rules["PostgresLongRunningQuery"]["group_by"] == ["datname", "server"]
