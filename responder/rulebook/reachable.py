"""Rules and severities that are rightly written, and that no alert ever reaches.

Only what is certain is a mistake: of a label that may have any value nothing is said. What is found here its
author believes to be there, and would miss in an outage.
"""

from collections.abc import Iterable, Mapping, Sequence

from responder.model.matcher import Matcher, all_match
from responder.model.rule import Rule, Rulebook
from responder.model.schedule import SCHEDULE_LABEL
from responder.rulebook.index import RuleIndex, written_out
from responder.rulebook.reading import Reader

Values = Mapping[str, Sequence[str]]
"""The few values that a label can have, for labels that are fixed to some."""


def check_reach(rules: Sequence[Rule], reader: Reader) -> None:
    """Note every rule that takes no alert, and every severity that never applies."""
    index = RuleIndex(Rulebook(rules=tuple(rules)))
    for at, rule in enumerate(rules):
        if rule.on is not None:
            _check_severities(rule, reader)
            continue
        if any(one.name == SCHEDULE_LABEL and not one.matches({}) for one in rule.match):
            text = (
                f"no alert can match {_named(rule)}: what has a label {SCHEDULE_LABEL} is a scheduled rule's"
            )
            reader.wrong(rule.position, text, "Say in the scheduled rule itself what is to be done")
            continue
        if (why := impossible(rule.match)) is not None:
            text = f"no alert can match {_named(rule)}: {why}"
            reader.wrong(rule.position, text, "Correct its `match`, or remove the rule")
            continue
        _check_severities(rule, reader)
        _check_shadow(at, rules, index, reader)
        if rule.continues:
            _check_passes_on(rule, rules[at + 1 :], reader)


def impossible(matchers: Iterable[Matcher]) -> str | None:
    """Why no label set meets all of these; None where some may."""
    for name, same in _by_label(matchers).items():
        if _left(name, same) == []:
            return f"{' and '.join(map(str, same))} exclude each other"
    return None


def _check_severities(rule: Rule, reader: Reader) -> None:
    for number, case in enumerate(rule.severity):
        if (why := impossible((*rule.match, *case.when))) is not None:
            text = f"the severity {case.severity} of {_named(rule)} never applies: {why}"
            reader.wrong(rule.position, text, "Correct its `when`, or remove it")
            continue
        values = _values((*rule.match, *case.when))
        before = next((one for one in rule.severity[:number] if _follows(one.when, case.when, values)), None)
        if before is not None and case.when:
            text = (
                f"the severity {case.severity} of {_named(rule)} never applies: {before.severity} comes first"
            )
            reader.wrong(rule.position, text, "Put the one that asks for more before it")


def _check_shadow(at: int, rules: Sequence[Rule], index: RuleIndex, reader: Reader) -> None:
    rule = rules[at]
    values = _values(rule.match)
    certain = {name: left[0] for name, left in values.items() if left}
    for earlier in index.candidates_beside(certain):
        if earlier >= at:
            return
        other = rules[earlier]
        if other.continues:
            continue
        if _follows(other.match, rule.match, values) and impossible(other.match) is None:
            text = (
                f"{_named(rule)} never takes an alert: {_named(other)} at {other.position} takes all of them"
            )
            reader.wrong(rule.position, text, "Put it before that one, or narrow that one's `match`")
            return


def _check_passes_on(rule: Rule, later: Sequence[Rule], reader: Reader) -> None:
    """Whoever writes `continue` believes that another rule is asked."""
    if any(one.on is None and impossible((*rule.match, *one.match)) is None for one in later):
        return
    text = f"{_named(rule)} passes its alerts on, and no rule behind it can take any"
    reader.wrong(rule.position, text, "Put it before the rule that is meant, or remove `continue`")


def _follows(wanted: Sequence[Matcher], given: Sequence[Matcher], values: Values) -> bool:
    """Whether whatever meets the given matchers meets the wanted ones, too."""
    return all(
        one in given
        or (one.name in values and all(one.matches({one.name: text}) for text in values[one.name]))
        for one in wanted
    )


def _values(matchers: Iterable[Matcher]) -> Values:
    found = {name: _left(name, same) for name, same in _by_label(matchers).items()}
    return {name: left for name, left in found.items() if left is not None}


def _by_label(matchers: Iterable[Matcher]) -> Mapping[str, Sequence[Matcher]]:
    found: dict[str, list[Matcher]] = {}
    for matcher in matchers:
        found.setdefault(matcher.name, []).append(matcher)
    return found


def _left(name: str, same: Sequence[Matcher]) -> list[str] | None:
    """The values that meet all matchers of one label; None where they are not bound to a few."""
    few = next((texts for matcher in same if (texts := written_out(matcher))), None)
    if few is None:
        return None
    return [text for text in few if all_match(tuple(same), {name: text})]


def _named(rule: Rule) -> str:
    return rule.name or "the rule"
