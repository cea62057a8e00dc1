"""A rule, checked and resolved: what the rulebook gives and the engine obeys. See docs/rules.md."""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Any

from pydantic import Field

from responder.model.autonomy import Autonomy, AutonomyWord
from responder.model.base import Frozen, digest
from responder.model.duration import Duration
from responder.model.expectation import Expectation
from responder.model.matcher import Matcher
from responder.model.schedule import Plan
from responder.model.severity import Severity


class Undo(StrEnum):
    """Whether a step is taken back."""

    NEVER = "never"
    IF_NOT_RECOVERED = "if_not_recovered"


class GiveBack(Frozen):
    """What was done is given back so long after it, whatever it helped."""

    after: Duration


class Comparison(Frozen):
    """An expected answer, for example `< 1`."""

    op: str
    value: float

    def holds(self, answer: float) -> bool:
        """Whether an answer is as expected. NaN never is."""
        match self.op:
            case "<":
                return answer < self.value
            case "<=":
                return answer <= self.value
            case ">":
                return answer > self.value
            case ">=":
                return answer >= self.value
            case "==":
                return answer == self.value
            case "!=":
                return answer != self.value and answer == answer  # noqa: PLR0124 - NaN is not unequal, it is no answer
            case other:
                raise ValueError(f"unknown comparison {other!r}")

    def __str__(self) -> str:
        """As users write it."""
        return f"{self.op} {self.value:g}"


class PromqlProbe(Frozen):
    """A query whose every series must be as expected; `$labels.x` inside is a string literal."""

    promql: str
    expect: Comparison = Field(alias="is")

    def __str__(self) -> str:
        """What it asks, and what it expects."""
        return f"{self.promql} is {self.expect}"


class SqlProbe(Frozen):
    """A named, read-only query from the settings, run on a connection of the inventory.

    `connection` is a name or a label set, possibly with `$labels.x` values, as in an action's parameters.
    """

    sql: str
    connection: str | dict[str, str]
    expect: Comparison = Field(alias="is")

    def __str__(self) -> str:
        """What it asks, of whom, and what it expects."""
        where = self.connection
        named = where if isinstance(where, str) else ", ".join(f"{n}={v}" for n, v in sorted(where.items()))
        return f"the query {self.sql} on {named} is {self.expect}"


Probe = PromqlProbe | SqlProbe


class OnEvidence(Frozen):
    """A condition on what a piece of the rule's own evidence found."""

    evidence: str
    """What it is called."""
    index: int
    """Its place in the rule's `evidence`, from 0."""
    expect: Expectation = Field(alias="is")


class StepKind(StrEnum):
    """What a step may change. Copied from its action when the rule is checked."""

    READ_ONLY = "read_only"
    SAFE = "safe"
    DISRUPTIVE = "disruptive"

    @property
    def changing(self) -> bool:
        """Whether it has an intent, a claim and limits."""
        return self is not StepKind.READ_ONLY


def _zero(value: object) -> bool:
    return value == 0


def _absent(value: object) -> bool:
    return value is None


def _empty(value: object) -> bool:
    return value == ()


def _no(value: object) -> bool:
    return value is False


class Step(Frozen):
    """One rung of the ladder. `params` are as written: `$labels.x` is bound when the step is taken.

    What is not given of `name` and `expect` is not written either, as in `Limits`.
    """

    action: str
    name: str | None = Field(default=None, exclude_if=_absent)
    """What evidence, or a step of a scheduled rule, is called; None for its action's name."""
    kind: StepKind
    params: dict[str, Any] = Field(default_factory=dict, alias="with")
    when: Probe | OnEvidence | None = None
    timeout: Duration
    undo: Undo | GiveBack = Undo.NEVER
    repeat: int = Field(default=0, exclude_if=_zero)
    """How often it may be taken again, where it was taken and has not helped."""
    autonomy: AutonomyWord = Autonomy.AUTO
    expect: Expectation = Field(default=(), exclude_if=_empty)
    """What the answer of a scheduled rule's step has to be."""

    @property
    def title(self) -> str:
        """What it is called."""
        return self.name or self.action


class AllOf(Frozen):
    """One rung of several steps: run in order, taken back in reverse, verified once at the end.

    Its parts change something, each of them, and have no condition and no repeat of their own.
    """

    parts: tuple[Step, ...] = Field(alias="all")
    when: Probe | OnEvidence | None = None
    repeat: int = Field(default=0, exclude_if=_zero)
    """As of a step."""

    @property
    def kind(self) -> StepKind:
        """That of its worst part."""
        kinds = {part.kind for part in self.parts}
        return StepKind.DISRUPTIVE if StepKind.DISRUPTIVE in kinds else StepKind.SAFE

    @property
    def action(self) -> str:
        """Its actions in their order, for people."""
        return " then ".join(part.action for part in self.parts)


Rung = Step | AllOf


class Verify(Frozen):
    """What "recovered" means: all that is given must hold."""

    alert_resolved_within: Duration | None = None
    stable_for: Duration
    probes: tuple[Probe, ...] = ()


class Recurrence(Frozen):
    """How many incidents of a rule may have needed it on one target within a while, though it worked."""

    count: int
    within: Duration


class Limits(Frozen):
    """How often, for (rule, target), across incidents; and with how many incidents of the rule open.

    What is not given is not written either: a rule without it keeps its hash, and its promotion.
    """

    attempts: int
    per: Duration
    cooldown: Duration
    recurrence: Recurrence | None = Field(default=None, exclude_if=_absent)
    only_if_open_at_most: int | None = Field(default=None, exclude_if=_absent)

    def tightened(self, by: "Limits") -> "Limits":
        """The stricter of two, key by key: fewer in a longer window, and a longer cooldown."""
        return Limits(
            attempts=min(self.attempts, by.attempts),
            per=max(self.per, by.per),
            cooldown=max(self.cooldown, by.cooldown),
            recurrence=_rarer(self.recurrence, by.recurrence),
            only_if_open_at_most=_fewer(self.only_if_open_at_most, by.only_if_open_at_most),
        )


def _rarer(one: Recurrence | None, other: Recurrence | None) -> Recurrence | None:
    if one is None or other is None:
        return one or other
    return Recurrence(count=min(one.count, other.count), within=max(one.within, other.within))


def _fewer(one: int | None, other: int | None) -> int | None:
    given = [number for number in (one, other) if number is not None]
    return min(given, default=None)


class PageAt(StrEnum):
    """When people are told that an incident of a rule has opened, where no time is given."""

    AT_ONCE = "at_once"
    ON_ESCALATION = "on_escalation"
    """Only when a person has to act."""


class PageAfter(Frozen):
    """People are told of what is still not over so long after it opened."""

    after: Duration


class Notify(Frozen):
    """When people are told of an incident that automation still works on. It changes nothing that acts."""

    page: PageAt | PageAfter = PageAt.ON_ESCALATION

    @property
    def page_after(self) -> timedelta | None:
        """How long after its opening people are told of an incident; None for only when it escalates."""
        match self.page:
            case PageAfter(after=after):
                return after
            case PageAt.AT_ONCE:
                return timedelta(0)
            case PageAt.ON_ESCALATION:
                return None


def _as_by_default(value: object) -> bool:
    return value == Notify()


class SeverityCase(Frozen):
    """One line of a conditional severity: the first whose matchers all hold decides."""

    when: tuple[Matcher, ...] = ()
    severity: Severity = Field(alias="is")


class Raise(Frozen):
    """How bad an incident is from some time after its opening on, where it is not over by then."""

    after: Duration
    to: Severity


class Position(Frozen):
    """Where something stands in a file; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        """`file:line:column`."""
        return f"{self.file}:{self.line}:{self.column}"


class Rule(Frozen):
    """Matchers, severity, ladder, proof and limits. A scheduled one has a plan, and what its runs ask."""

    name: str
    match: tuple[Matcher, ...]
    on: Plan | None = Field(default=None, exclude_if=_absent)
    """When it runs, where it is scheduled; then `match` is for what its runs find."""
    checks: tuple[Step, ...] = Field(default=(), exclude_if=_empty)
    """What each run asks, where it is scheduled."""
    continues: bool = Field(default=False, alias="continue", exclude_if=_no)
    """Whether the rules behind it are asked for its alerts as well."""
    severity: tuple[SeverityCase, ...]
    raises: tuple[Raise, ...] = Field(default=(), alias="raise", exclude_if=_empty)
    """In the order of their times, each worse than the one before."""
    group_by: tuple[str, ...] | None
    """The labels that make an incident; None for all (`[...]`)."""
    inhibited_by: tuple[str, ...] = Field(default=(), exclude_if=_empty)
    """The rules whose incidents explain those of this one: see `decide.inhibit`."""
    wait_for: Duration = Field(alias="for")
    autonomy: AutonomyWord
    evidence: tuple[Step, ...] = ()
    steps: tuple[Rung, ...] = ()
    verify: Verify | None = None
    limits: Limits
    escalate: bool = False
    notify: Notify = Field(default=Notify(), exclude_if=_as_by_default)
    runbook_url: str | None = None
    owner: str | None = None
    notes: str | None = None
    position: Position
    origins: dict[str, str] = Field(default_factory=dict)
    """Where each value comes from that the rule itself does not give, by its path (`limits.attempts`)."""

    @property
    def changing(self) -> bool:
        """Whether any of its steps may change something."""
        return any(step.kind.changing for step in self.steps)

    @property
    def every_step(self) -> tuple[Step, ...]:
        """Its steps and the parts of those that have some, in their order."""
        return tuple(part for rung in self.steps for part in parts_of(rung))

    @property
    def acting_hash(self) -> str:
        """What a promotion is bound to: everything that acts, nothing that only tells."""
        told = {"notify", "runbook_url", "owner", "notes", "position", "origins"}
        return digest(self.model_dump(mode="json", by_alias=True, exclude=told))

    def severity_of(self, labels: Mapping[str, str]) -> Severity:
        """The severity for these labels; without a case that holds, the last line's."""
        for case in self.severity:
            if all(matcher.matches(labels) for matcher in case.when):
                return case.severity
        return self.severity[-1].severity


def parts_of(rung: Rung) -> tuple[Step, ...]:
    """The parts of a step: itself, where it is but one."""
    return rung.parts if isinstance(rung, AllOf) else (rung,)


class Rulebook(Frozen):
    """All loaded rules, in the order in which they are tried."""

    rules: tuple[Rule, ...]

    @property
    def hash(self) -> str:
        """The identity of the content: what the database's active row names."""
        return digest(self.model_dump(mode="json", by_alias=True))

    def rule(self, name: str) -> Rule | None:
        """The rule of that name."""
        return next((rule for rule in self.rules if rule.name == name), None)
