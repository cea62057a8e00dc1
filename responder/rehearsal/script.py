"""A test file, read: what happens outside in each test, and what is expected of it. See docs/rules.md."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from responder.model.attempt import Outcome
from responder.model.autonomy import Autonomy
from responder.model.incident import CommandKind
from responder.model.inventory import PostgresConnection
from responder.model.matcher import Matcher
from responder.model.restraint import RestraintKind
from responder.model.rule import Position
from responder.model.severity import Severity


@dataclass(frozen=True, slots=True)
class Span:
    """From an offset of the test on, up to another; None for its end."""

    since: timedelta
    until: timedelta | None = None

    def holds(self, offset: timedelta) -> bool:
        """Whether an offset is in it."""
        return self.since <= offset and (self.until is None or offset < self.until)


@dataclass(frozen=True, slots=True)
class AlertSeries:
    """One alert: its labels, and when it fires."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    fires: tuple[Span, ...]


class Effect(StrEnum):
    """What an effect on one element comes to."""

    DONE = Outcome.DONE.value
    NOT_DONE = Outcome.NOT_DONE.value
    UNKNOWN = Outcome.UNKNOWN.value
    RAISES = "raises"


@dataclass(frozen=True, slots=True)
class FakedAction:
    """What an action finds and what its effect comes to, from `since` on.

    `rule` and `step` (from 1) narrow it; None is any. `run` is an outcome for every element, or one for each.
    """

    position: Position
    action: str
    rule: str | None = None
    step: int | None = None
    since: timedelta = timedelta(0)
    finds: tuple[str, ...] = ()
    state: Mapping[str, Any] = field(default_factory=dict)
    look: Mapping[str, Any] | None = None
    """The action's own state, whole: then what it pins and refuses follows from that."""
    floor: str | None = None
    """Why the action itself refuses."""
    away: str | None = None
    """Why the target cannot be looked at."""
    run: Effect | Mapping[str, Effect] = Effect.DONE


@dataclass(frozen=True, slots=True)
class Answer:
    """What a probe answers from `since` on; None for no data."""

    since: timedelta
    value: float | None


@dataclass(frozen=True, slots=True)
class FakedProbe:
    """The answers of one query: `sql` by its name, `promql` as it is asked, with the labels in it."""

    position: Position
    sql: str | None
    promql: str | None
    connection: str | None
    answers: tuple[Answer, ...]

    def at(self, offset: timedelta) -> float | None:
        """What it answers at an offset; no data before its first answer."""
        given = [answer for answer in self.answers if answer.since <= offset]
        return given[-1].value if given else None


class SourceWord(StrEnum):
    """What a source's API says of an alert, where that is not what its series says."""

    FIRING = "firing"
    RESOLVED = "resolved"
    SILENCED = "silenced"
    NO_ANSWER = "no_answer"


@dataclass(frozen=True, slots=True)
class SourceSays:
    """What the source's API says of the alerts that `match`, for a while."""

    span: Span
    says: SourceWord
    match: tuple[Matcher, ...]
    why: str


@dataclass(frozen=True, slots=True)
class PersonDoes:
    """A person's act, on every incident that it can mean."""

    position: Position
    at: timedelta
    does: CommandKind
    who: str
    reason: str
    rule: str | None
    severity: Severity | None


@dataclass(frozen=True, slots=True)
class Restrains:
    """A halt, a freeze or maintenance, for a while."""

    span: Span
    kind: RestraintKind
    match: tuple[Matcher, ...]
    who: str
    reason: str

    @property
    def halts(self) -> bool:
        """A person ends it, and nothing else does."""
        return self.kind is RestraintKind.HALT


@dataclass(frozen=True, slots=True)
class Wanted:
    """One thing that is expected: only what is given is compared."""

    position: Position
    fields: Mapping[str, Any]


class What(StrEnum):
    """The kinds of things that can be expected at a time."""

    INCIDENTS = "incidents"
    STEPS = "steps"
    VERDICTS = "verdicts"
    ESCALATIONS = "escalations"
    NOTICES = "notices"
    GUARDS = "guards"
    RUNS = "runs"


@dataclass(frozen=True, slots=True)
class Expectation:
    """What is expected at a time. Each list is whole; a kind that is not named is not looked at."""

    position: Position
    at: timedelta
    lists: Mapping[What, tuple[Wanted, ...]]
    places: Mapping[What, Position]
    """Where each list stands."""


@dataclass(frozen=True, slots=True)
class RuleTest:
    """One test: a world of its own, from its start on."""

    name: str
    position: Position
    start: datetime
    ceiling: Autonomy
    promoted: bool
    alerts: tuple[AlertSeries, ...]
    actions: tuple[FakedAction, ...]
    probes: tuple[FakedProbe, ...]
    source: tuple[SourceSays, ...]
    people: tuple[PersonDoes, ...]
    restraints: tuple[Restrains, ...]
    expect: tuple[Expectation, ...]


@dataclass(frozen=True, slots=True)
class GivenSource:
    """The source of all alerts of a file."""

    name: str
    has_api: bool


@dataclass(frozen=True, slots=True)
class RuleTests:
    """One file of tests. What it does not give of settings is that of the settings."""

    file: str
    rules: tuple[tuple[Position, Path], ...]
    connections: tuple[PostgresConnection, ...] | None
    queries: frozenset[str] | None
    source: GivenSource | None
    tests: tuple[RuleTest, ...]
