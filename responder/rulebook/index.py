"""The matching index: the first rule that takes an alert, without trying all of them.

Each rule stands under one (label, value) pair that its match demands: by equality, or as one of the plain
alternatives of an anchored `a|b|c`. Of several it stands under the rarest, so that ten thousand rules on one
`severity` but each with its own `alertname` are found by name. Rules that demand no such pair are tried for
every alert. The candidates are tried in the rulebook's order, by the rules' own matchers: the index only
leaves out what cannot match.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from responder.model.matcher import Matcher, MatchOp, all_match
from responder.model.rule import Rule, Rulebook

Pair = tuple[str, str]

_META = frozenset(r"\.+*?()[]{}^$")


class RuleIndex:
    """A rulebook, ready to be asked for each alert. Built once for each active rulebook."""

    def __init__(self, rulebook: Rulebook) -> None:
        self._rules = rulebook.rules
        self._under: dict[str, dict[str, list[int]]] = {}
        self._always: list[int] = []
        choices = [_choices(rule) for rule in self._rules]
        counts = Counter(pair for rule in choices for pairs in rule for pair in pairs)
        for at, rule_choices in enumerate(choices):
            self._place(at, rule_choices, counts)

    def first(self, labels: Mapping[str, str]) -> Rule | None:
        """The first rule that takes an alert with these labels, or None."""
        for at in self.candidates(labels):
            if all_match(self._rules[at].match, labels):
                return self._rules[at]
        return None

    def candidates(self, labels: Mapping[str, str]) -> Sequence[int]:
        """The positions of the rules that may take it, in the rulebook's order."""
        found = [self._always] if self._always else []
        for name, values in self._under.items():
            under = values.get(labels.get(name, ""))
            if under is not None:
                found.append(under)
        match found:
            case []:
                return ()
            case [one]:
                return one
            case several:
                return sorted(at for group in several for at in group)

    def _place(self, at: int, choices: list[tuple[Pair, ...]], counts: Counter[Pair]) -> None:
        if not choices:
            self._always.append(at)
            return
        rarest = min(choices, key=lambda pairs: sum(counts[pair] for pair in pairs))
        for name, value in rarest:
            self._under.setdefault(name, {}).setdefault(value, []).append(at)


def _choices(rule: Rule) -> list[tuple[Pair, ...]]:
    """For each matcher that demands it: the pairs of which the labels must have one."""
    return [pairs for matcher in rule.match if (pairs := _demanded(matcher))]


def _demanded(matcher: Matcher) -> tuple[Pair, ...]:
    if matcher.op is MatchOp.EQUAL:
        return ((matcher.name, matcher.value),)
    if matcher.op is MatchOp.REGEX and not _META & set(matcher.value):
        return tuple((matcher.name, value) for value in dict.fromkeys(matcher.value.split("|")))
    return ()
