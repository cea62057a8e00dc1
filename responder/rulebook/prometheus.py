"""Alerting rules of Prometheus, read for what a rule of ours takes from them, and a skeleton of such rules.

A skeleton is a start for whoever writes rules: each alert has one that records and changes nothing. What acts
is never made up here.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import re2
import yaml

from responder.model.autonomy import Autonomy
from responder.model.base import Frozen
from responder.model.rule import Position
from responder.model.severity import Severity
from responder.rulebook.document import (
    FLOAT,
    NUMBERS_BEGIN,
    Entry,
    Listing,
    Mapped,
    Node,
    Scalar,
    read_document,
)
from responder.rulebook.mistake import Mistakes

SEVERITIES: Mapping[str, Severity] = {
    **dict.fromkeys(("critical", "page", "emergency", "fatal"), Severity.P1),
    **dict.fromkeys(("error", "major", "high", "warning", "warn"), Severity.P2),
    **dict.fromkeys(("minor", "low", "info", "notice", "none", ""), Severity.P3),
}
"""What the usual words of the label `severity` come to. Nothing says of an alert that all is down: P0 is a
person's choice. The empty word is the missing label."""

_TEMPLATE = "{{"
_LABEL = re.compile(r"(?:\$labels|\.Labels)(?:\.|\s+[\"`])([a-zA-Z_][a-zA-Z0-9_]*)")
"""As templates name one: `$labels.pod`, `.Labels.pod`, `index $labels "pod"`."""
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_.:-]+")
_NAME_AT_MOST = 120
_NOTES_AT_MOST = 500
_TELLING = ("summary", "description", "message")


class PrometheusAlert(Frozen):
    """One alerting rule: its name and place, the labels that it sets, and the words that go with it."""

    name: str
    position: Position
    group: str
    labels: dict[str, str]
    annotations: dict[str, str]

    @property
    def severity(self) -> str | None:
        """The word of its label; empty without one, None where a template decides."""
        word = self.labels.get("severity", "")
        return None if _TEMPLATE in word else word

    @property
    def fixed_labels(self) -> dict[str, str]:
        """The labels that it sets to the same value for all of its alerts."""
        return {name: value for name, value in self.labels.items() if value and _TEMPLATE not in value}

    @property
    def named_labels(self) -> tuple[str, ...]:
        """The labels that its words name, in their order: by these people tell its alerts apart."""
        texts = (
            self.annotations[name] for name in (*_TELLING, *self.annotations) if name in self.annotations
        )
        found = (label for text in texts for label in _LABEL.findall(text))
        return tuple(dict.fromkeys(label for label in found if label not in self.labels))

    @property
    def runbook_url(self) -> str | None:
        """Where its runbook is, if that is one address for all of its alerts."""
        url = self.annotations.get("runbook_url") or self.annotations.get("runbook") or ""
        usable = url.startswith(("https://", "http://")) and _TEMPLATE not in url
        return url if usable else None

    @property
    def words(self) -> str | None:
        """What it tells, shortened, in one line."""
        text = next((self.annotations[name] for name in _TELLING if self.annotations.get(name)), "")
        return " ".join(text.split())[:_NOTES_AT_MOST] or None


def read_alerts(files: Iterable[tuple[str, str]], mistakes: Mistakes) -> tuple[PrometheusAlert, ...]:
    """The alerting rules of files given as (name, text), in their order; recording rules are passed over.

    A file has `groups`, or is a PrometheusRule of Kubernetes with them under `spec`; else it is a mistake.
    """
    found: list[PrometheusAlert] = []
    for name, text in files:
        document = read_document(name, text, mistakes)
        groups = _groups(document)
        if groups is None and document is not None:
            mend = "Name a file with `groups:`, as Prometheus's `rule_files` or a PrometheusRule have them"
            mistakes.add(document.position, "this is no file of Prometheus's rules", mend)
        for group in _items(groups):
            found += _alerts(group)
    return tuple(found)


def skeleton(
    alerts: Iterable[PrometheusAlert], severities: Mapping[str, Severity] = SEVERITIES
) -> tuple[str, int]:
    """A rule file with a rule for each alert's name, and how many these are.

    Alerting rules of one name (one for each of several severities) become one. Each only records (`observe`),
    is as severe as the label says, keeps its runbook, and is grouped by the labels that its words name.
    """
    by_name: dict[str, list[PrometheusAlert]] = {}
    for alert in alerts:
        by_name.setdefault(alert.name, []).append(alert)
    names = _names(by_name)
    rules = [_rule(names[name], same, severities) for name, same in by_name.items()]
    return "".join([_HEAD, *rules]) if rules else f"{_HEAD}  []\n", len(rules)


_HEAD = """\
# Made of Prometheus's alerting rules: each alert opens an incident that is only recorded.
# Next: steps and `verify` for those that have a remedy, `group_by` and `severity` as you mean them.
rules:
"""


def _groups(document: Node | None) -> Node | None:
    if not isinstance(document, Mapped):
        return None
    spec = document.entries.get("spec")
    if spec is not None:
        return _groups(spec.value)
    entry = document.entries.get("groups")
    return None if entry is None else entry.value


def _items(node: Node | None) -> tuple[Node, ...]:
    return node.items if isinstance(node, Listing) else ()


def _alerts(group: Node) -> Iterator[PrometheusAlert]:
    if not isinstance(group, Mapped):
        return
    name = _text(group.entries.get("name"))
    for rule in _items(group.entries["rules"].value if "rules" in group.entries else None):
        alert = _text(rule.entries.get("alert")) if isinstance(rule, Mapped) else ""
        if alert and isinstance(rule, Mapped):
            labels, annotations = (_texts(rule.entries.get(key)) for key in ("labels", "annotations"))
            yield PrometheusAlert(
                name=alert, position=rule.position, group=name, labels=labels, annotations=annotations
            )


def _text(entry: Entry | None) -> str:
    return entry.value.text if entry is not None and isinstance(entry.value, Scalar) else ""


def _texts(entry: Entry | None) -> dict[str, str]:
    if entry is None or not isinstance(entry.value, Mapped):
        return {}
    return {name: _text(one) for name, one in entry.value.entries.items()}


def _names(alerts: Iterable[str]) -> dict[str, str]:
    """A rule's name for each alert's: the same, but for what a rule's name may not have."""
    names: dict[str, str] = {}
    for alert in alerts:
        plain = _NOT_IN_A_NAME.sub("-", alert)[:_NAME_AT_MOST].lstrip("-_.:") or "Alert"
        taken, name, number = set(names.values()), plain, 2
        while name in taken:
            name, number = f"{plain}-{number}", number + 1
        names[alert] = name
    return names


def _rule(name: str, same: list[PrometheusAlert], severities: Mapping[str, Severity]) -> str:
    first = same[0]
    rule: dict[str, Any] = {
        "name": name,
        "match": [f"alertname = {_quoted(first.name)}"],
        "severity": _severity(same, severities),
        "group_by": list(dict.fromkeys(label for alert in same for label in alert.named_labels)),
        "autonomy": Autonomy.OBSERVE.word,
        "runbook_url": next((alert.runbook_url for alert in same if alert.runbook_url), None),
        "notes": next((alert.words for alert in same if alert.words), None),
    }
    given = {key: value for key, value in rule.items() if value not in (None, [])}
    text = _written([given])
    origin = _plain(f"# {first.position.file}:{first.position.line}, group {first.group}")
    return "".join(f"  {line}\n" for line in (origin, *text.split("\n")) if line)


def _written(rules: list[dict[str, Any]]) -> str:
    """In YAML, as people read it; with escapes where a sign would not come back as it is."""
    how: Mapping[str, Any] = {"Dumper": _Dumper, "sort_keys": False, "width": 110}
    text: str = yaml.dump(rules, allow_unicode=True, **how)
    return text if yaml.safe_load(text) == rules else str(yaml.dump(rules, **how))


class _Dumper(yaml.SafeDumper):
    """Quotes whatever the rulebook would read as a number, which are more texts than PyYAML takes for one."""


_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, sorted(NUMBERS_BEGIN))


def _severity(same: list[PrometheusAlert], severities: Mapping[str, Severity]) -> Any:
    """One word, or a case for each of several: the worst first, the rest by the least bad.

    Where a template decides, each word has its case that has a meaning: any of them may come.
    """
    known = {word: level for word, level in severities.items() if word}
    words: dict[str, Severity] = {}
    for alert in same:
        if alert.severity is None:
            words |= {**known, "": Severity.P3}
        else:
            words[alert.severity] = severities.get(alert.severity.lower(), Severity.P3)
    levels = sorted(set(words.values()))
    if len(levels) == 1:
        return levels[0].value
    cases = [
        {"when": [_one_of(sorted(word for word in words if words[word] is level))], "is": level.value}
        for level in levels[:-1]
    ]
    return [*cases, {"is": levels[-1].value}]


def _one_of(words: list[str]) -> str:
    """A matcher of these words, none of which is an expression."""
    match words:
        case [word]:
            return f"severity = {_quoted(word)}"
        case several:
            return f"severity =~ {_quoted('|'.join(map(re2.escape, several)))}"


def _plain(text: str) -> str:
    """In one line, of signs that may stand in a comment."""
    return "".join(sign if sign.isprintable() else "?" for sign in " ".join(text.split()))


def _quoted(value: str) -> str:
    """As a matcher's value."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
