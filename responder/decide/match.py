"""Which rule takes an alert, and which incident of that rule the alert belongs to.

The first rule whose matchers all hold takes it. What a scheduled rule found belongs to that rule alone, and
nothing else belongs to it. This is the plain loop: the reference that the index of `rulebook.index` must
equal.
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


def first_match(rules: Iterable[Rule], labels: Mapping[str, str]) -> Rule | None:
    """The first rule that takes an alert with these labels, or None."""
    return next((rule for rule in contenders(rules, labels) if all_match(rule.match, labels)), None)


def incident_key(rule: Rule, labels: Mapping[str, str]) -> dict[str, str]:
    """The labels that say which incident of the rule an alert belongs to; a missing one is empty."""
    if rule.group_by is None:
        return dict(labels)
    return {name: labels.get(name, "") for name in rule.group_by}
