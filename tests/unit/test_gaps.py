"""Which of Prometheus's alerting rules no rule covers."""

import json
from pathlib import Path

from click.testing import CliRunner, Result

from responder.cli.main import main
from responder.rulebook.gaps import gaps
from responder.rulebook.load import check_texts
from responder.rulebook.mistake import Mistakes
from responder.rulebook.prometheus import PrometheusAlert, read_alerts
from tests.support.rule_surroundings import surroundings

RULES = """\
rules:
  - {name: Slow, match: ['alertname = "Slow"', 'severity = "critical"', 'server != ""'], severity: P1}
  - {name: Somewhere, match: ['region = "eu"'], severity: P3}
  - {name: Team, match: ['team =~ "shop|cart"', 'env != "dev"'], severity: P2}
"""
ALERTS = """\
groups:
  - name: g
    rules:
      - {alert: Slow, expr: x, labels: {severity: critical}}
      - {alert: Slow, expr: y, labels: {severity: warning}}
      - {alert: Slow, expr: z, labels: {severity: '{{ $labels.level }}'}}
      - {alert: Cart, expr: x, labels: {team: cart}}
      - {alert: DevCart, expr: x, labels: {team: cart, env: dev}}
      - {alert: Nobody, expr: x, labels: {team: books}}
"""


def read() -> tuple[PrometheusAlert, ...]:
    mistakes = Mistakes()
    found = read_alerts([("a.yml", ALERTS)], mistakes)
    assert mistakes.found == []
    return found


def test_what_is_known_of_an_alert_decides() -> None:
    """Its name and fixed labels have to fit; one that comes with the alert, or by a template, may."""
    report = check_texts([("r.yaml", RULES)], surroundings())
    assert report.rulebook is not None
    found = gaps(read(), report.rulebook.rules)
    assert [(gap.alert.name, gap.alert.position.line) for gap in found] == [
        ("Slow", 5),
        ("DevCart", 8),
        ("Nobody", 9),
    ]
    assert found[0].near == "Slow"
    assert [(one.matcher, one.value) for one in found[0].failed] == [('severity="critical"', "warning")]
    assert [gap.near for gap in found[1:]] == [None, None]


def asked(folder: Path, rules: str, *more: str) -> Result:
    (folder / "responder.yaml").write_text("rules: [rules.yaml]\n")
    (folder / "rules.yaml").write_text(rules)
    (folder / "alerts.yml").write_text(ALERTS)
    command = ["rules", "gaps", "--prometheus", str(folder / "alerts.yml"), "--config"]
    return CliRunner().invoke(main, [*command, str(folder / "responder.yaml"), *more])


def test_gaps_are_listed_by_the_settings_own_rules(tmp_path: Path) -> None:
    """Exit 1, with the place, and what is in the way of the rule for that name."""
    told = asked(tmp_path, RULES)
    assert told.exit_code == 1
    assert told.stdout.splitlines()[1].split() == [
        "Slow",
        f"{tmp_path}/alerts.yml:5",
        *["Slow:", 'severity="critical"', "does", "not", "hold,", "it", "is", "'warning'"],
    ]
    assert json.loads(asked(tmp_path, RULES, "--json").stdout)["alerts"] == 6


def test_all_covered_is_said(tmp_path: Path) -> None:
    """Exit 0 and one sentence."""
    told = asked(tmp_path, "rules: [{name: All, match: [], severity: P3}]\n")
    assert (told.exit_code, told.stdout) == (0, "Covered: 6 alerting rules.\n")


def test_rules_that_cannot_be_read_are_no_coverage(tmp_path: Path) -> None:
    """A mistake in the rules is told, and nothing is said of gaps."""
    told = asked(tmp_path, "rules: [{name: All, severity: P3}]\n")
    assert told.exit_code == 1
    assert "the rule has no `match`" in told.stderr
