"""Which rule takes an alert, and which incident of that rule the alert belongs to.

The first rule whose matchers all hold takes it. With `continue: true` that rule passes the alert on, and the
next one takes it, too: then the alert belongs to an incident of each. What a scheduled rule found belongs to
that rule alone, and nothing else belongs to it. This is the plain loop: the reference that the index of
`rulebook.index` must equal.
"""

from collections.abc import Iterable, Mapping

from responder.model.matcher import all_match
from responder.model.rule import Rule
from responder.model.schedule import SCHEDULE_LABEL


def contenders(rules: Iterable[Rule], labels: Mapping[str, str]) -> Iterable[Rule]:
    """The rules that may take an alert with these labels, whatever they match: see above."""
    scheduled = labels.get(SCHEDULE_LABEL, "")
    if scheduled:
        return (rule for rule in rules if rule.on is not None and rule.name == scheduled)
    return (rule for rule in rules if rule.on is None)


def taken_by(rules: Iterable[Rule], labels: Mapping[str, str]) -> tuple[Rule, ...]:
    """The rules that take an alert with these labels, in their order."""
    return until_one_keeps_it(rule for rule in contenders(rules, labels) if all_match(rule.match, labels))


def until_one_keeps_it(matching: Iterable[Rule]) -> tuple[Rule, ...]:
    """Of the rules that match an alert those that take it: up to the first that does not pass it on."""
    taken: list[Rule] = []
    for rule in matching:
        taken.append(rule)
        if not rule.continues:
            break
    return tuple(taken)


def incident_key(rule: Rule, labels: Mapping[str, str]) -> dict[str, str]:
    """The labels that say which incident of the rule an alert belongs to; a missing one is empty."""
    if rule.group_by is None:
        return dict(labels)
    return {name: labels.get(name, "") for name in rule.group_by}
