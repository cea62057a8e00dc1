"""What of the rules the tests have reached: rules, severities, steps, conditions, undos, limits, guards.

A step is reached where it started or looked, a limit where it has held or refused a step.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from responder.model.guard import Guard, Ruling
from responder.model.rule import AllOf, PageAt, Rule, Rung, Step, Undo, parts_of
from responder.rehearsal.happened import Happened
from responder.rehearsal.play import Played
from responder.rehearsal.script import What

_GO = Ruling.GO.name.lower()


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a rule, and in how many tests it was reached."""

    rule: str
    file: str
    part: str
    times: int

    @property
    def reached(self) -> bool:
        """By any test."""
        return self.times > 0


@dataclass(frozen=True, slots=True)
class Coverage:
    """All parts of all rules, in their order, and how many tests made each guard hold, ask or refuse."""

    parts: tuple[Part, ...]
    guards: Mapping[Guard, int]

    @property
    def missing(self) -> tuple[Part, ...]:
        """What no test has reached."""
        return tuple(part for part in self.parts if not part.reached)


def coverage(played: Sequence[Played]) -> Coverage:
    """Of the rules of all these tests, whichever files of tests they are in."""
    known: dict[tuple[str, str], Rule] = {}
    reached: Counter[tuple[tuple[str, str], str]] = Counter()
    guards: Counter[Guard] = Counter()
    for one in played:
        for rule in one.rulebook.rules:
            key = (rule.position.file, rule.name)
            known[key] = rule
            reached.update({(key, part): 1 for part in _reached(rule, one.happened)})
        guards.update(set(_stopped(one.happened, None)))
    return Coverage(
        parts=tuple(
            Part(rule.name, rule.position.file, part, reached[key, part])
            for key, rule in known.items()
            for part in _parts(rule)
        ),
        guards={guard: guards[guard] for guard in Guard},
    )


# --- what a rule has ------------------------------------------------------------------------------------


def _parts(rule: Rule) -> Iterator[str]:
    opens = rule.on is None or any(step.expect for step in rule.checks)
    if opens:
        yield _OPENED
    if opens and len(rule.severity) > 1:
        yield from dict.fromkeys(_severity(case.severity.value) for case in rule.severity)
    yield from (_raised(one.to.value) for one in rule.raises)
    yield from (_inhibited(name) for name in rule.inhibited_by)
    for index, step in enumerate(rule.checks):
        yield _check(index, step, finding=False)
        if step.expect:
            yield _check(index, step, finding=True)
    for index, rung in enumerate(rule.steps):
        for number, step in _numbered(index, rung):
            yield _step(number, step)
            if step.undo is not Undo.NEVER:
                yield _undo(number, step) if step.undo is Undo.IF_NOT_RECOVERED else _given_back(number, step)
        if rung.when is not None:
            yield _when(index, rung)
        if rung.repeat:
            yield _again(index, rung)
    if rule.changing:
        yield from (_limit(guard) for guard in _limits(rule))
    if rule.notify.page is not PageAt.ON_ESCALATION:
        yield _PAGED


_OPENED = "opened"
_PAGED = "people told at its opening"


def _severity(word: str) -> str:
    return f"severity {word}"


def _inhibited(name: str) -> str:
    return f"inhibited by {name}"


def _raised(word: str) -> str:
    return f"raised to {word}"


def _numbered(index: int, rung: Rung) -> Iterator[tuple[str, Step]]:
    """A step with its number from 1; the parts of one with theirs."""
    for part, step in enumerate(parts_of(rung)):
        yield (f"{index + 1}.{part + 1}" if isinstance(rung, AllOf) else f"{index + 1}"), step


def _check(index: int, step: Step, *, finding: bool) -> str:
    wanted = "as expected" if step.expect else "told"
    return f"step {index + 1}: {step.title}, {f'not {wanted}' if finding else wanted}"


def _step(number: str, step: Step) -> str:
    return f"step {number}: {step.action}"


def _when(index: int, step: Rung) -> str:
    return f"step {index + 1}: {step.action}, its condition not met"


def _undo(number: str, step: Step) -> str:
    return f"step {number}: {step.action}, taken back"


def _given_back(number: str, step: Step) -> str:
    return f"step {number}: {step.action}, given back"


def _again(index: int, step: Rung) -> str:
    return f"step {index + 1}: {step.action}, taken again"


def _limit(guard: Guard) -> str:
    return f"limit: {guard.value}"


def _limits(rule: Rule) -> Iterator[Guard]:
    yield Guard.ATTEMPTS
    if rule.limits.cooldown:
        yield Guard.COOLDOWN
    if rule.limits.recurrence is not None:
        yield Guard.RECURRENCE
    if rule.limits.only_if_open_at_most is not None:
        yield Guard.OPEN_AT_MOST


# --- what a test has reached ------------------------------------------------------------------------------


def _reached(rule: Rule, happened: Happened) -> Iterator[str]:
    for index, step in enumerate(rule.checks):
        for finding in (False, True):
            if (rule.name, index, finding) in happened.checked:
                yield _check(index, step, finding=finding)
    yield from (_inhibited(name) for name in happened.inhibited.get(rule.name, ()))
    if rule.name not in happened.severities:
        return
    yield _OPENED
    yield from (_severity(word) for word in happened.severities[rule.name])
    yield from (_raised(word) for word in happened.raised.get(rule.name, ()))
    started = {
        (fact.fields["step"] - 1, fact.fields.get("part", 1) - 1)
        for fact in happened.facts
        if fact.what is What.STEPS and fact.fields["rule"] == rule.name and not fact.fields["undo"]
    }
    stopped = set(_stopped(happened, rule.name))
    for index, rung in enumerate(rule.steps):
        for part, (number, step) in enumerate(_numbered(index, rung)):
            if (index, part) in started or (rule.name, index) in happened.looked:
                yield _step(number, step)
            if (rule.name, index, part) in happened.undone:
                yield _undo(number, step)
            if (rule.name, index) in happened.given_back:
                yield _given_back(number, step)
        if (rule.name, index) in happened.passed_by_condition:
            yield _when(index, rung)
        if (rule.name, index) in happened.repeated:
            yield _again(index, rung)
    yield from (_limit(guard) for guard in _limits(rule) if guard in stopped)
    kinds = {
        fact.fields["kind"]
        for fact in happened.facts
        if fact.what is What.NOTICES and fact.fields["rule"] == rule.name
    }
    if "opened" in kinds:
        yield _PAGED


def _stopped(happened: Happened, rule: str | None) -> Iterator[Guard]:
    """The guards that did not let a step go, whichever of them decided."""
    for name, facts in happened.judged:
        if rule in {None, name}:
            yield from (Guard(one["guard"]) for one in _verdicts(facts) if one["ruling"] != _GO)


def _verdicts(facts: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    verdicts: Sequence[Mapping[str, Any]] = facts["verdicts"]
    return verdicts
