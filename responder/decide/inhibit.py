"""What inhibits an incident: `inhibited_by` of its rule, for the very values of its group.

Compared are the labels that both rules know of an incident: by `group_by` of at least one of them, and by
`group_by` or an equality matcher of the other. What both fix by a matcher is a property of the two rules, of
which the author knew; `alertname` says what is wrong and not where. Neither is compared.

An incident inhibits while it is under way: neither pending nor resolved, recorded or closed. As in
Alertmanager, a cause that ended explains nothing any more; what only waits for its `for` is not yet
believed. An overflow incident has no values of its own: it neither inhibits nor is inhibited.
"""

from collections.abc import Iterable, Mapping

from responder.decide.bind import fixed_in
from responder.model.incident import OVERFLOW
from responder.model.inhibition import Inhibits
from responder.model.rule import Rule, Rulebook

NEVER_COMPARED = "alertname"


def shared_labels(rule: Rule, other: Rule) -> frozenset[str]:
    """The labels of which the values have to be equal."""
    mine, theirs = fixed_in(rule.match), fixed_in(other.match)
    named = {*(rule.group_by or ()), *(other.group_by or ()), *mine, *theirs}
    shared = {name for name in named if _knows(rule, mine, name) and _knows(other, theirs, name)}
    both = {name for name in mine.keys() & theirs.keys() if mine[name] != theirs[name]}
    return frozenset(shared - both - {NEVER_COMPARED})


def _knows(rule: Rule, fixed: Mapping[str, str], name: str) -> bool:
    return rule.group_by is None or name in rule.group_by or name in fixed


def inhibits(rule: Rule, key: Mapping[str, str], book: Rulebook) -> tuple[Inhibits, ...]:
    """What would inhibit an incident of the rule with this key, as this rulebook, the rule's own, has it."""
    if key == OVERFLOW:
        return ()
    found = (_of(rule, key, other) for name in rule.inhibited_by if (other := book.rule(name)) is not None)
    return tuple(one for one in found if one is not None)


def _of(rule: Rule, key: Mapping[str, str], other: Rule) -> Inhibits | None:
    """None where no incident of the other rule can have the values of this one."""
    shared = shared_labels(rule, other)
    if not shared:
        return None
    mine, theirs = {**fixed_in(rule.match), **key}, fixed_in(other.match)
    asked: dict[str, str] = {}
    for name in sorted(shared):
        value = mine.get(name, "")
        if name in theirs and value != theirs[name]:
            return None
        if name not in theirs:
            asked[name] = value
    return Inhibits(rule=other.name, labels=asked)


def has_values(key: Mapping[str, str], wanted: Inhibits) -> bool:
    """Whether an incident with this key is of these values; PostgreSQL asks the same (`store.inhibition`)."""
    return key != OVERFLOW and all(key.get(name, "") == value for name, value in wanted.labels.items())


def together(*found: Iterable[Inhibits]) -> tuple[Inhibits, ...]:
    """By the pinned rule or by the current one: what runs may not be loosened."""
    known = [one for each in found for one in each]
    return tuple(one for at, one in enumerate(known) if one not in known[:at])
