"""Alerts that no rule covers: Prometheus's alerting rules, or what was heard of, held against a rulebook.

Of an alerting rule only its name and the labels that it sets are known. A rule of ours covers it where it
asks for any of these and all of that holds; what it asks of other labels decides for each alert. Of what was
heard of all labels are known: a rule takes it, or none does.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from responder.decide.match import contenders
from responder.model.base import Frozen
from responder.model.rule import Rule
from responder.rulebook.considered import Failed
from responder.rulebook.index import RuleIndex
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


class Heard(NamedTuple):
    """An alert that was heard of: its labels, how many episodes are known, when it was heard last."""

    labels: Mapping[str, str]
    episodes: int
    seen_at: datetime


class HeardGap(Frozen):
    """Alerts of one name that no rule takes. `near` is as in `Gap`, for one of them."""

    name: str
    alerts: int
    episodes: int
    last_seen: datetime
    labels: dict[str, str]
    """Of the one that was heard last."""
    near: str | None = None
    failed: tuple[Failed, ...] = ()


class HeardGaps:
    """Counts what no rule takes, alert by alert: there may be more of them than memory holds."""

    def __init__(self, rules: Sequence[Rule], index: RuleIndex) -> None:
        self._rules = rules
        self._index = index
        self._found: dict[str, HeardGap] = {}
        self.alerts = 0

    def hear(self, one: Heard) -> None:
        """One more alert."""
        self.alerts += 1
        if self._index.taking(one.labels):
            return
        name = one.labels.get("alertname", "")
        known = self._found.get(name)
        if known is None:
            near, failed = _nearest(one.labels, self._rules)
            self._found[name] = HeardGap(
                name=name,
                alerts=1,
                episodes=one.episodes,
                last_seen=one.seen_at,
                labels=dict(one.labels),
                near=near,
                failed=failed,
            )
            return
        newer = one.seen_at > known.last_seen
        self._found[name] = known.model_copy(
            update={
                "alerts": known.alerts + 1,
                "episodes": known.episodes + one.episodes,
                **({"last_seen": one.seen_at, "labels": dict(one.labels)} if newer else {}),
            }
        )

    def found(self) -> tuple[HeardGap, ...]:
        """By name, what was heard the most often first."""
        return tuple(sorted(self._found.values(), key=lambda one: (-one.episodes, one.name)))


def _nearest(labels: Mapping[str, str], rules: Sequence[Rule]) -> tuple[str | None, tuple[Failed, ...]]:
    """The first rule for its name, with what it misses by."""
    for rule in rules:
        failed = [matcher for matcher in rule.match if not matcher.matches(labels)]
        asks = any(one.name == "alertname" for one in rule.match)
        if asks and not any(one.name == "alertname" for one in failed):
            told = tuple(Failed(matcher=str(one), value=labels.get(one.name, "")) for one in failed)
            return rule.name, told
    return None, ()
