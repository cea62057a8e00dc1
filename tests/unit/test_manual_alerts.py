"""The alerts of deploy/prometheus: each is tested, says what to do, and covers what the manual watches."""

import re

from tests.support.manual_alerts import defined, fired

THRESHOLDS = {
    "Error Rate": ("HighErrorRate", "> 0.05"),
    "Response Time (95th)": ("SlowResponses", "> 2"),
    "CPU Usage": ("HighCpuUsage", "> 80"),
    "Memory Usage": ("HighMemoryUsage", "> 85"),
    "Disk Usage": ("DiskFilling", "> 80"),
    "Active Connections": (
        "PostgresTooManyConnections",
        "> 0.8 * max by (server) (pg_settings_max_connections)",
    ),
}
"""The manual's table "Key Metrics to Monitor Daily", row by row."""

_BARE_SELECTOR = re.compile(r"^\s*[a-z_]+(\{[^}]*\})?\s*([<>=!]=?|$)")


def test_each_row_of_the_metrics_table_has_its_alert_and_its_threshold() -> None:
    """The manual's own numbers, compared with the end of the expression."""
    for row, (name, threshold) in THRESHOLDS.items():
        exprs = [" ".join(one.expr.split()) for one in defined() if one.name == name]
        assert any(threshold in expr for expr in exprs), row


def test_each_alert_has_fired_in_a_test_with_its_severity() -> None:
    """What promtool has never seen fire may never fire: name and severity of each stand in its tests."""
    wanted = {(one.name, one.labels["severity"]) for one in defined()}
    assert {(labels["alertname"], labels["severity"]) for labels in fired()} == wanted
    assert len(defined()) == len(wanted)


def test_each_alert_says_what_is_wrong_what_to_do_and_where_it_stands() -> None:
    """Summary, description and a link to a heading of the manual; words name only labels that there are."""
    labels: dict[str, set[str]] = {}
    for one in fired():
        labels.setdefault(one["alertname"], set()).update(one)
    for alert in defined():
        assert alert.annotations.keys() == {"summary", "description", "runbook_url"}, alert.name
        assert re.fullmatch(
            r"https://runbooks\.example\.org/operations-manual#[a-z0-9-]+", alert.annotations["runbook_url"]
        )
        named = set(re.findall(r"\$labels\.(\w+)", " ".join(alert.annotations.values())))
        assert named <= labels[alert.name], alert.name


def test_each_alert_is_aggregated() -> None:
    """Two replicas of an exporter are one alert: no expression passes on the labels of whoever scraped."""
    for one in defined():
        assert re.search(r"\b(by \(|absent\()", one.expr), one.name
        assert _BARE_SELECTOR.match(one.expr) is None, one.name
