"""What a test names must be there: a word that nobody knows would make a test that proves nothing."""

from collections.abc import Collection

from responder.model.by_hand import GIVE_BACK
from responder.model.rule import GiveBack, Position, Rulebook
from responder.model.storm import UMBRELLA
from responder.rehearsal.script import RuleTest, Wanted
from responder.rulebook.mistake import Mistakes, did_you_mean
from responder.rulebook.surroundings import Surroundings


def check_names(test: RuleTest, rulebook: Rulebook, own: Surroundings, mistakes: Mistakes) -> None:
    """Rules, actions, queries and steps that the test names and that there are not."""
    _Names(rulebook, own, mistakes).check(test)


class _Names:
    """What there is, for the tests of one file."""

    def __init__(self, rulebook: Rulebook, own: Surroundings, mistakes: Mistakes) -> None:
        self._rules = {rule.name: len(rule.checks or rule.steps) for rule in rulebook.rules}
        self._rules |= {UMBRELLA.name: 0} | {f"{GIVE_BACK}{name}": 1 for name in _giving_back(rulebook)}
        self._actions = own.catalogue.names()
        self._queries = own.queries
        self._mistakes = mistakes

    def check(self, test: RuleTest) -> None:
        for faked in test.actions:
            self._known("action", faked.action, self._actions, faked.position)
            self._known("rule", faked.rule, self._rules, faked.position)
            self._step(faked.rule, faked.step, faked.position)
        for probe in test.probes:
            self._known("query", probe.sql, self._queries, probe.position)
        for person in test.people:
            self._known("rule", person.rule, self._rules, person.position)
        for expectation in test.expect:
            for wanted in (one for several in expectation.lists.values() for one in several):
                self._wanted(wanted)

    def _wanted(self, wanted: Wanted) -> None:
        rule, action = wanted.fields.get("rule"), wanted.fields.get("action")
        self._known("rule", rule, self._rules, wanted.position)
        self._known("action", action, self._actions, wanted.position)
        self._step(rule, wanted.fields.get("step"), wanted.position)

    def _known(self, what: str, name: object, known: Collection[str], at: Position) -> None:
        if name is not None and name not in known:
            mend = did_you_mean(str(name), known, _PLURALS[what])
            self._mistakes.add(at, f"there is no {what} {str(name)!r}", mend)

    def _step(self, rule: object, step: object, at: Position) -> None:
        """Of the rule that is named; of any, where none is."""
        if step is None:
            return
        there = self._rules.get(rule, 0) if isinstance(rule, str) else max(self._rules.values())
        if isinstance(step, int) and 1 <= step <= there:
            return
        self._mistakes.add(at, f"there is no step {step}", f"Count from 1 to {there}")


def _giving_back(rulebook: Rulebook) -> list[str]:
    """The rules that have a step which is given back after a while."""
    return [
        rule.name for rule in rulebook.rules if any(isinstance(one.undo, GiveBack) for one in rule.every_step)
    ]


_PLURALS = {"action": "actions", "rule": "rules", "query": "queries"}
