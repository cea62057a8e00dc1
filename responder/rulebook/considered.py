"""Why an alert belongs to one rule and not to others: what matched, and the matchers that did not."""

from collections.abc import Iterable, Mapping

from responder.decide.match import contenders, incident_key
from responder.model.base import Frozen
from responder.model.matcher import Matcher
from responder.model.rule import Position, Rule
from responder.model.severity import Severity

NEAREST = 5
"""How many rules are told that do not take the alert, the nearest first."""


class Failed(Frozen):
    """A matcher that does not hold, and the label's value; empty where the alert has no such label."""

    matcher: str
    value: str


class Considered(Frozen):
    """A rule that does not take the alert: by matchers that failed, or because an earlier one takes it."""

    rule: str
    position: Position
    failed: tuple[Failed, ...] = ()


class Taken(Frozen):
    """The rule that takes the alert, as what it opens, and the labels that tell its incidents apart."""

    rule: str
    position: Position
    severity: Severity
    key: dict[str, str]


class Matching(Frozen):
    """What becomes of one alert's labels. `others` counts the rules that are not told.

    `further` are the rules that take it because those before them pass it on.
    """

    taken: Taken | None
    further: tuple[Taken, ...] = ()
    considered: tuple[Considered, ...]
    others: int


def considered(rules: Iterable[Rule], labels: Mapping[str, str]) -> Matching:
    """How these rules, in their order, match an alert with these labels.

    Told are the rule that takes it, those behind it that would take it too, and the nearest of the others:
    those that ask for its very name, and those of which one matcher fails.
    """
    taken: list[Rule] = []
    also: list[Considered] = []
    missed: list[tuple[tuple[bool, int], Considered]] = []
    for rule in contenders(rules, labels):
        failed = [matcher for matcher in rule.match if not matcher.matches(labels)]
        if not failed and (not taken or taken[-1].continues):
            taken.append(rule)
            continue
        told = Considered(rule=rule.name, position=rule.position, failed=_told(failed, labels))
        if failed:
            missed.append(((not _by_name(rule, failed), len(failed)), told))
        else:
            also.append(told)
    missed.sort(key=lambda one: one[0])
    near = [told for (other_name, failures), told in missed if not other_name or failures == 1]
    told_of = (*also[:NEAREST], *near[:NEAREST])
    return Matching(
        taken=_taken(taken[0], labels) if taken else None,
        further=tuple(_taken(rule, labels) for rule in taken[1:]),
        considered=told_of,
        others=len(also) + len(missed) - len(told_of),
    )


def _by_name(rule: Rule, failed: list[Matcher]) -> bool:
    """Whether it asks for the alert's name, and that holds."""
    names = [matcher for matcher in rule.match if matcher.name == "alertname"]
    return bool(names) and not any(matcher in failed for matcher in names)


def _told(failed: Iterable[Matcher], labels: Mapping[str, str]) -> tuple[Failed, ...]:
    return tuple(Failed(matcher=str(one), value=labels.get(one.name, "")) for one in failed)


def _taken(rule: Rule, labels: Mapping[str, str]) -> Taken:
    key = incident_key(rule, labels)
    return Taken(rule=rule.name, position=rule.position, severity=rule.severity_of(labels), key=key)
