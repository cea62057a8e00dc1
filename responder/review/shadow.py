"""The report on shadow: what would have been done, when a person acted instead, what recovered by itself.

It is what somebody looks at who thinks about promoting a rule.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import groupby
from statistics import median_low

from responder.model.base import Frozen
from responder.model.guard import Ruling
from responder.ports import ShadowRunTold


class WithoutIt(StrEnum):
    """How it went without the step."""

    PERSON = "a person acted instead"
    OTHER = "another incident's attempt hit the target"
    US = "ended by our own later attempt"
    ALONE = "recovered by itself"
    FIRING = "still fires"


class Run(ShadowRunTold):
    """One step that was judged in shadow, and how it went without it."""

    without_it: WithoutIt
    lasted: timedelta | None
    """From the judgement until no alert fired any more; None while one does."""

    @property
    def found_nothing(self) -> bool:
        """Whether all let it go, and nothing was there that it would have hit."""
        return self.ruling is Ruling.GO and not self.observed and self.element_count == 0


class RuleInShadow(Frozen):
    """What is to be said of one rule."""

    rule: str
    incidents: int
    would_start: int
    would_find_nothing: int
    """All let it go, and nothing was there to act on."""
    would_ask: int
    would_wait: int
    would_be_refused: int
    against: dict[str, int]
    """How often each guard was the strictest one of those that did not let it go."""
    without_it: dict[WithoutIt, int]
    """Of the incidents, by how the first judged step of each went."""
    alone_after: timedelta | None
    """The median time to recovery of those that recovered by themselves."""


class ShadowReport(Frozen):
    """By rule, and each run, the newest first."""

    since: datetime
    until: datetime
    rules: tuple[RuleInShadow, ...]
    runs: tuple[Run, ...]
    cut: bool
    """Whether there are more runs than were read: then the numbers are of the newest ones."""


def report(told: Sequence[ShadowRunTold], since: datetime, until: datetime, *, cut: bool) -> ShadowReport:
    """What became of these runs."""
    runs = tuple(_run(one) for one in told)
    by_rule = groupby(sorted(runs, key=lambda run: run.rule), key=lambda run: run.rule)
    rules = tuple(_rule(name, tuple(group)) for name, group in by_rule)
    return ShadowReport(since=since, until=until, rules=rules, runs=runs, cut=cut)


def _run(told: ShadowRunTold) -> Run:
    lasted = None if told.quiet_at is None else told.quiet_at - told.at
    return Run(**dict(told), without_it=_without_it(told), lasted=lasted)


def _without_it(told: ShadowRunTold) -> WithoutIt:
    if told.person is not None:
        return WithoutIt.PERSON
    if told.other_incident is not None:
        return WithoutIt.OTHER
    if told.quiet_at is None:
        return WithoutIt.FIRING
    return WithoutIt.US if told.own_attempt else WithoutIt.ALONE


def _rule(name: str, runs: tuple[Run, ...]) -> RuleInShadow:
    rulings = Counter(run.ruling for run in runs)
    nothing = sum(run.found_nothing for run in runs)
    firsts = tuple(_first_of_each(runs))
    alone = [run.lasted for run in firsts if run.without_it is WithoutIt.ALONE and run.lasted is not None]
    return RuleInShadow(
        rule=name,
        incidents=len(firsts),
        would_start=rulings[Ruling.GO] - nothing,
        would_find_nothing=nothing,
        would_ask=rulings[Ruling.ASK],
        would_wait=rulings[Ruling.WAIT],
        would_be_refused=rulings[Ruling.REFUSE],
        against=dict(Counter(run.guard for run in runs if run.ruling is not Ruling.GO).most_common()),
        without_it=dict(Counter(run.without_it for run in firsts)),
        alone_after=median_low(alone) if alone else None,
    )


def _first_of_each(runs: Iterable[Run]) -> Iterable[Run]:
    """The oldest run of each incident: what came after it is the same trouble."""
    return {run.incident_id: run for run in sorted(runs, key=lambda run: run.at, reverse=True)}.values()
