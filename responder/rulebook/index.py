"""The matching index: the rules that take an alert, without trying all of them.

Each rule stands under one thing that its match demands, the first of these that it has:

- a (label, value) pair, by equality or as one of the plain alternatives of `a|b|c`. Of several it stands
  under the rarest, so that ten thousand rules on one `severity` but each with its own `alertname` are found
  by name;
- an expression on a label, all expressions on one label being asked at once (`patterns`): also where its
  rarest pair is demanded by a crowd of rules;
- that a label is there, as `datname != ""` demands: of several the rarest.

Only what demands nothing of that, such as `namespace != "dev"` alone, is tried for every alert. The
candidates are tried in the rulebook's order, by the rules' own matchers: the index only leaves out what
cannot match. What a scheduled rule found is that rule's, by its label.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from responder.decide.match import until_one_keeps_it
from responder.model.matcher import Matcher, MatchOp, all_match
from responder.model.rule import Rule, Rulebook
from responder.model.schedule import SCHEDULE_LABEL
from responder.rulebook.patterns import Patterns

Pair = tuple[str, str]

_META = frozenset(r"\.+*?()[]{}^$")
_CROWD = 16
"""So many rules under one pair are more work to try than the expressions of a label at once."""


class RuleIndex:
    """A rulebook, ready to be asked for each alert. Built once for each active rulebook."""

    def __init__(self, rulebook: Rulebook) -> None:
        self._rules = rulebook.rules
        self._under: dict[str, dict[str, list[int]]] = {}
        self._present: dict[str, list[int]] = {}
        self._always: list[int] = []
        self._expressions: dict[str, Patterns] = {}
        self._by_expression: dict[str, list[int]] = {}
        self._scheduled = {rule.name: at for at, rule in enumerate(self._rules) if rule.on is not None}
        self._place_all()

    def taking(self, labels: Mapping[str, str]) -> tuple[Rule, ...]:
        """The rules that take an alert with these labels, in the rulebook's order."""
        rules = self._rules
        return until_one_keeps_it(
            rules[at] for at in self.candidates(labels) if all_match(rules[at].match, labels)
        )

    def candidates(self, labels: Mapping[str, str]) -> Sequence[int]:
        """The positions of the rules that may take it, in the rulebook's order."""
        scheduled = labels.get(SCHEDULE_LABEL, "")
        if scheduled:
            return (self._scheduled[scheduled],) if scheduled in self._scheduled else ()
        return _in_order(list(self._found(labels)))

    def candidates_beside(self, labels: Mapping[str, str]) -> Sequence[int]:
        """As `candidates`, for an alert that has these labels and may have any others.

        Rules that demand an exact value of another label are left out nevertheless.
        """
        open_ended = [
            group
            for name, group in (*self._present.items(), *self._by_expression.items())
            if name not in labels
        ]
        return _in_order([*self._found(labels), *open_ended])

    def _found(self, labels: Mapping[str, str]) -> Iterator[Sequence[int]]:
        """Groups of positions, each in the rulebook's order; no position stands in two of them."""
        if self._always:
            yield self._always
        for name, values in self._under.items():
            under = values.get(labels.get(name, ""))
            if under is not None:
                yield under
        for name, patterns in self._expressions.items():
            matching = patterns.may_match(labels.get(name, ""))
            if matching:
                yield sorted(matching)
        if self._present:
            yield from (self._present[name] for name in labels if name in self._present)

    def _place_all(self) -> None:
        demands = [[pairs for m in rule.match if (pairs := _pairs(m))] for rule in self._rules]
        counts = Counter(pair for rule in demands for pairs in rule for pair in pairs)
        expressions: dict[str, list[tuple[str, int]]] = {}
        rest: list[int] = []

        def rules_under(pairs: tuple[Pair, ...]) -> int:
            return sum(counts[pair] for pair in pairs)

        for at, (rule, demanded) in enumerate(zip(self._rules, demands, strict=True)):
            pairs = min(demanded, key=rules_under, default=())
            crowded = rules_under(pairs) > _CROWD
            expression = _expression(rule) if crowded or not pairs else None
            if expression is not None:
                expressions.setdefault(expression.name, []).append((expression.value, at))
            elif pairs:
                self._put_under(pairs, at)
            else:
                rest.append(at)
        for name, of_label in expressions.items():
            self._expressions[name] = Patterns(of_label)
            self._by_expression[name] = [at for _, at in of_label]
        self._place_by_label(rest)

    def _put_under(self, pairs: tuple[Pair, ...], at: int) -> None:
        for name, value in pairs:
            self._under.setdefault(name, {}).setdefault(value, []).append(at)

    def _place_by_label(self, rest: Sequence[int]) -> None:
        labels = {at: _labels(self._rules[at]) for at in rest}
        counts = Counter(name for names in labels.values() for name in names)
        for at, names in labels.items():
            if names:
                self._present.setdefault(min(names, key=counts.__getitem__), []).append(at)
            else:
                self._always.append(at)


def _in_order(groups: Sequence[Sequence[int]]) -> Sequence[int]:
    match groups:
        case []:
            return ()
        case [one]:
            return one
        case several:
            return sorted({at for group in several for at in group})


def written_out(matcher: Matcher) -> tuple[str, ...]:
    """The values that alone meet a matcher, where they stand in it: `= "a"`, `=~ "a|b"`. Else empty."""
    if matcher.op is MatchOp.EQUAL:
        return (matcher.value,)
    if matcher.op is MatchOp.REGEX and not _META & set(matcher.value):
        return tuple(dict.fromkeys(matcher.value.split("|")))
    return ()


def _pairs(matcher: Matcher) -> tuple[Pair, ...]:
    """The pairs of which the labels must have one; empty where it demands none."""
    return tuple((matcher.name, value) for value in written_out(matcher))


def _expression(rule: Rule) -> Matcher | None:
    """The longest expression that the labels must match: it probably leaves out most. None without one."""
    demanded = [matcher for matcher in rule.match if matcher.op is MatchOp.REGEX]
    return max(demanded, key=lambda matcher: len(matcher.value), default=None)


def _labels(rule: Rule) -> list[str]:
    """The labels that must be there: without them a matcher does not hold."""
    return [matcher.name for matcher in rule.match if not matcher.matches({})]
