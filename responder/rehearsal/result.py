"""What came of a backtest, as it is told: totals, each rule, over time, what was assumed; and differences."""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime

from responder.model.base import Frozen
from responder.model.severity import Severity
from responder.model.storm import UMBRELLA
from responder.rehearsal.assumed import Assumption
from responder.rehearsal.backtest import Backtest
from responder.rehearsal.recorded import Known
from responder.rehearsal.tally import RuleTally


class GuardTimes(Frozen):
    """How often a guard held a step, asked a person or refused."""

    guard: str
    ruling: str
    times: int


class RuleResult(Frozen):
    """What one rule did."""

    rule: str
    incidents: int
    alerts: int
    """Episodes that joined its incidents."""
    severities: dict[Severity, int]
    """What its incidents were at their worst."""
    starts: dict[str, int]
    """By action, how often it would have started."""
    guards: tuple[GuardTimes, ...]
    told: int
    """How often people were told that they have to act."""


class Counted(Frozen):
    """Something that was assumed, or taken from the record: of what, and how often."""

    text: str
    of: str
    times: int


class Interval(Frozen):
    """What happened in one interval of the span."""

    since: datetime
    opened: dict[Severity, int]
    starts: int


class Result(Frozen):
    """What came of a backtest."""

    rulebook: str
    """Its hash."""
    since: datetime
    until: datetime
    rows: int
    without_rule: int
    """Episodes that no rule took."""
    rules: tuple[RuleResult, ...]
    """The noisiest first."""
    silent: tuple[str, ...]
    """Rules that took nothing."""
    over_time: tuple[Interval, ...]
    recorded: tuple[Counted, ...]
    """What was taken from the record."""
    assumptions: tuple[Counted, ...]

    @property
    def incidents(self) -> int:
        """Over all rules, umbrella incidents of storms left out."""
        return sum(one.incidents for one in self.rules if one.rule != UMBRELLA.name)

    @property
    def severities(self) -> Mapping[Severity, int]:
        """Over all rules."""
        total: Counter[Severity] = Counter()
        for one in self.rules:
            if one.rule != UMBRELLA.name:
                total.update(one.severities)
        return dict(sorted(total.items()))

    @property
    def starts(self) -> Mapping[str, int]:
        """Over all rules, by action."""
        total: Counter[str] = Counter()
        for one in self.rules:
            total.update(one.starts)
        return dict(total.most_common())

    @property
    def guards(self) -> tuple[GuardTimes, ...]:
        """Over all rules, the most frequent first."""
        total: Counter[tuple[str, str]] = Counter()
        for one in self.rules:
            total.update({(each.guard, each.ruling): each.times for each in one.guards})
        return _guards(total)


class Difference(Frozen):
    """One number of a rule that is another with the other rulebook."""

    rule: str
    what: str
    here: int
    there: int


def result_of(backtest: Backtest) -> Result:
    """What came of it, once it has ended."""
    tally, setting = backtest.tally, backtest.setting
    rules = [_rule(name, one) for name, one in tally.rules.items() if one.incidents]
    buckets = -((setting.since - setting.until) // setting.bucket)
    return Result(
        rulebook=backtest.rulebook.hash,
        since=setting.since,
        until=setting.until,
        rows=backtest.rows,
        without_rule=backtest.rehearsal.without_rule,
        rules=tuple(sorted(rules, key=lambda one: (-one.told, -one.incidents, one.rule))),
        silent=tuple(rule.name for rule in backtest.rulebook.rules if not tally.rules[rule.name].incidents),
        over_time=tuple(
            Interval(
                since=setting.since + number * setting.bucket,
                opened=dict(sorted(tally.opened_over_time[number].items())),
                starts=tally.starts_over_time[number],
            )
            for number in range(buckets)
        ),
        recorded=tuple(_counted(backtest.recorded.used)),
        assumptions=tuple(_counted(backtest.assumed.times)),
    )


def _counted(
    times: Mapping[tuple[Assumption, str], int] | Mapping[tuple[Known, str], int],
) -> Iterator[Counted]:
    for (what, of), number in sorted(times.items(), key=lambda item: (item[0][0].name, item[0][1])):
        yield Counted(text=what.value, of=of, times=number)


def differences(here: Result, there: Result) -> tuple[Difference, ...]:
    """Every number of every rule that is not the same."""
    one = {result.rule: dict(_numbers(result)) for result in here.rules}
    other = {result.rule: dict(_numbers(result)) for result in there.rules}
    found: list[Difference] = []
    for rule in sorted({*one, *other}):
        mine, theirs = one.get(rule, {}), other.get(rule, {})
        found += (
            Difference(rule=rule, what=what, here=mine.get(what, 0), there=theirs.get(what, 0))
            for what in dict.fromkeys([*mine, *theirs])
            if mine.get(what, 0) != theirs.get(what, 0)
        )
    return tuple(found)


def _numbers(one: RuleResult) -> Iterator[tuple[str, int]]:
    yield "incidents", one.incidents
    yield "alerts", one.alerts
    yield from ((f"incidents of {severity}", number) for severity, number in one.severities.items())
    yield from ((f"starts of {action}", number) for action, number in one.starts.items())
    yield "times that people are told", one.told


def _rule(name: str, tally: RuleTally) -> RuleResult:
    return RuleResult(
        rule=name,
        incidents=tally.incidents,
        alerts=tally.alerts,
        severities=dict(sorted(tally.severities.items())),
        starts=dict(tally.starts.most_common()),
        guards=_guards(tally.guards),
        told=tally.escalations,
    )


def _guards(counted: Mapping[tuple[str, str], int]) -> tuple[GuardTimes, ...]:
    ordered = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    return tuple(GuardTimes(guard=guard, ruling=ruling, times=times) for (guard, ruling), times in ordered)
