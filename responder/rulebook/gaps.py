"""Alerts that no rule covers: Prometheus's alerting rules held against a rulebook.

Of an alerting rule only its name and the labels that it sets are known. A rule of ours covers it where it
asks for any of these and all of that holds; what it asks of other labels decides for each alert.
"""

from collections.abc import Iterable, Sequence

from responder.decide.match import contenders
from responder.model.base import Frozen
from responder.model.rule import Rule
from responder.rulebook.considered import Failed
from responder.rulebook.prometheus import PrometheusAlert


class Gap(Frozen):
    """An alerting rule that no rule of ours covers. `near` is a rule for its name, with what it misses by."""

    alert: PrometheusAlert
    near: str | None = None
    failed: tuple[Failed, ...] = ()


def gaps(alerts: Iterable[PrometheusAlert], rules: Sequence[Rule]) -> tuple[Gap, ...]:
    """The alerting rules that are not covered, in their order."""
    found = ((alert, _missing(alert, rules)) for alert in alerts)
    return tuple(gap for alert, gap in found if gap is not None)


def _missing(alert: PrometheusAlert, rules: Sequence[Rule]) -> Gap | None:
    labels = {**alert.fixed_labels, "alertname": alert.name}
    nearest = Gap(alert=alert)
    for rule in contenders(rules, labels):
        asked = [matcher for matcher in rule.match if matcher.name in labels]
        failed = [matcher for matcher in asked if not matcher.matches(labels)]
        if not failed and (asked or not rule.match):
            return None
        named = any(one.name == "alertname" for one in asked if one not in failed)
        if named and nearest.near is None:
            told = tuple(Failed(matcher=str(one), value=labels[one.name]) for one in failed)
            nearest = Gap(alert=alert, near=rule.name, failed=told)
    return nearest
