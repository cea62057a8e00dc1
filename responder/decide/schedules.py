"""Planned runs: which are due, skipped or missed, what becomes of one that goes on, what its report means.

Plans are civil time, everything else about a run is service time. Of what was planned while nobody was there
one run is made at most, the newest, and only where it is not too late: after an outage there is no burst.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import assert_never
from zoneinfo import ZoneInfo

from responder.decide.civil import last_planned, next_planned
from responder.model.alert import Alert, Standing, fingerprint
from responder.model.expectation import compared, together
from responder.model.rule import Rule, Step
from responder.model.schedule import (
    FINDING_LABEL,
    RUN_FAILED,
    SCHEDULE_LABEL,
    Outcome,
    Plan,
    PlanStanding,
    RunReport,
    RunState,
    ScheduledRun,
    StepReport,
)

COUNTED = 1000
"""Missed times that are counted; beyond it is said that there were more."""
TRIES = 3
"""How often a run is begun, where its processes die."""
GRACE = timedelta(seconds=30)
"""Added to what the steps of a run may take together: its deadline."""
SET_BACK = timedelta(hours=1)
"""A clock that stands so long before what it has decided already was wrong then."""


@dataclass(frozen=True, slots=True)
class Missed:
    """Planned times, in a row, for which nobody was there in time."""

    first: datetime
    last: datetime
    count: int


@dataclass(frozen=True, slots=True)
class Due:
    """What a plan comes to at one moment. Up to `decided_to` all is decided by this.

    `run` is planned for that time; it is skipped where `skips`. `set_back`: the clock was wrong before.
    """

    decided_to: datetime
    missed: Missed | None = None
    run: datetime | None = None
    skips: bool = False
    set_back: bool = False


def due(plan: Plan, decided_to: datetime, civil: datetime, *, going: bool) -> Due | None:
    """What is to be decided now; None where nothing is. `going`: a run of the rule is not over."""
    if civil < decided_to - SET_BACK:
        return Due(decided_to=civil, set_back=True)
    zone = ZoneInfo(plan.timezone)
    newest = _newest(plan, zone, decided_to, civil)
    if newest is None:
        return None
    late = civil - newest > plan.run_late
    missed = _missed(plan, zone, decided_to, newest, newest_too=late)
    if late:
        return Due(decided_to=newest, missed=missed)
    return Due(decided_to=newest, missed=missed, run=newest, skips=going)


def next_run(plan: Plan, after: datetime) -> datetime:
    """The next planned moment, civil."""
    return next_planned(plan.schedule, ZoneInfo(plan.timezone), after)


def _newest(plan: Plan, zone: ZoneInfo, decided_to: datetime, civil: datetime) -> datetime | None:
    """The last planned time that has come since; an hour that comes twice may have had its own already."""
    if next_planned(plan.schedule, zone, decided_to) > civil:
        return None
    newest = last_planned(plan.schedule, zone, civil)
    while newest is not None and next_planned(plan.schedule, zone, newest - timedelta(seconds=1)) != newest:
        newest = last_planned(plan.schedule, zone, newest - timedelta(seconds=1))
    return newest


def _missed(
    plan: Plan, zone: ZoneInfo, decided_to: datetime, newest: datetime, *, newest_too: bool
) -> Missed | None:
    first = at = next_planned(plan.schedule, zone, decided_to)
    count, last = 0, None
    while (at < newest or (newest_too and at == newest)) and count < COUNTED:
        count, last = count + 1, at
        at = next_planned(plan.schedule, zone, at)
    if last is None:
        return None
    if count == COUNTED:
        end = newest if newest_too else newest - timedelta(seconds=1)
        last = last_planned(plan.schedule, zone, end) or last
    return Missed(first, last, count)


# --- a run that goes on -----------------------------------------------------------------------------------


class Next(StrEnum):
    """What is to be done about a run that is not over, by whoever looks at it."""

    LEAVE = "leave"
    """Its owner is at work."""
    BEGIN = "begin"
    """Nobody is: make it, or make it again."""
    GIVE_UP = "give_up"
    """It hangs, or all that began it died."""
    TELL = "tell"
    """Its report is kept, and nobody tells what it found."""


def next_of(run: ScheduledRun, now: datetime, *, owner_alive: bool) -> Next:
    """What is to be done about it. Only a run whose owner is dead, or past its deadline, is anybody's."""
    owned = run.owner is not None and owner_alive
    match run.state:
        case RunState.WAITING:
            return Next.BEGIN
        case RunState.RUNNING:
            if run.deadline is not None and now >= run.deadline:
                return Next.GIVE_UP
            if owned:
                return Next.LEAVE
            return Next.BEGIN if run.epoch < TRIES else Next.GIVE_UP
        case RunState.FOUND:
            return Next.LEAVE if owned else Next.TELL
        case RunState.ENDED | RunState.SKIPPED | RunState.MISSED:
            return Next.LEAVE
        case other:
            assert_never(other)


def trouble(plan: PlanStanding) -> str | None:
    """Why a person should look at a plan, in words: its last run was not made, or came to no report."""
    last = plan.last
    if last is None:
        return None
    if last.state is RunState.MISSED and last.planned_for is not None:
        times = "" if last.missed <= 1 else f", and {last.missed - 1} before it"
        return f"the run planned for {last.planned_for:%Y-%m-%d %H:%M} UTC was missed{times}"
    if last.report is not None and last.report.problem is not None:
        return f"the last run failed: {last.report.problem}"
    return None


def lasts(rule: Rule) -> timedelta:
    """How long a run may take."""
    return sum((step.timeout for step in rule.checks), timedelta(0)) + GRACE


def given_up(run: ScheduledRun, now: datetime) -> RunReport:
    """The report of a run that came to no end."""
    if run.deadline is not None and now >= run.deadline:
        problem = f"it did not end by {run.deadline:%H:%M:%S} UTC, its deadline"
    else:
        problem = f"the processes that began it died, {run.epoch} times"
    return RunReport(outcome=Outcome.FAILED, problem=problem)


# --- what comes of a run ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answer:
    """What one target said to a step: its summary and its fields."""

    target: str
    summary: str
    result: Mapping[str, object]


def reported(step: Step, answers: Sequence[Answer]) -> StepReport:
    """What one step was answered, against what is expected of it. Without an answer it is not as expected."""
    several = len(answers) > 1
    fields = tuple(
        one.model_copy(update={"field": f"{answer.target} {one.field}"}) if several else one
        for answer in answers
        for one in compared(step.expect, answer.result)
    )
    holds = together(fields)
    told = "; ".join(f"{answer.target}: {answer.summary}" for answer in answers)
    if not answers or holds is None:
        outcome = Outcome.NO_ANSWER
    else:
        outcome = Outcome.AS_EXPECTED if holds else Outcome.NOT_AS_EXPECTED
    return StepReport(
        name=step.title,
        action=step.action,
        outcome=outcome,
        answer=told or "there is nothing to ask",
        fields=fields,
        expected=bool(step.expect),
    )


def unanswered(step: Step, problem: str) -> StepReport:
    """What is kept of a step that could not be asked."""
    return StepReport(
        name=step.title,
        action=step.action,
        outcome=Outcome.NO_ANSWER,
        answer=problem,
        expected=bool(step.expect),
    )


def report(steps: Iterable[StepReport]) -> RunReport:
    """What all of it comes to."""
    every = tuple(steps)
    found = any(one.finding for one in every)
    return RunReport(outcome=Outcome.NOT_AS_EXPECTED if found else Outcome.AS_EXPECTED, steps=every)


def told_of(
    run: ScheduledRun, found: RunReport, rule: Rule | None, open_alerts: Iterable[Mapping[str, str]]
) -> tuple[Alert, ...]:
    """What is told of a run: alerts that fire for its findings, and the end of those that are over.

    `open_alerts` are the labels of those of its rule that fire. A run that failed says nothing of what was
    found before; of a rule that is gone nothing is found any more.
    """
    at = run.found_at or run.at
    findings = found.findings if rule is not None else {}
    firing = {fingerprint(one.labels): one for one in (_finding(run, *item, at) for item in findings.items())}
    keeps = RUN_FAILED in findings
    ended = [
        _over(labels, at)
        for labels in open_alerts
        if fingerprint(labels) not in firing and (not keeps or rule is None)
    ]
    return (*firing.values(), *ended)


def over(labels: Iterable[Mapping[str, str]], at: datetime) -> tuple[Alert, ...]:
    """The end of findings whose rule is gone, or is not planned any more."""
    return tuple(_over(one, at) for one in labels)


def _finding(run: ScheduledRun, name: str, words: str, at: datetime) -> Alert:
    labels = {"alertname": run.rule, SCHEDULE_LABEL: run.rule, FINDING_LABEL: name}
    annotations = {"summary": words, "report": f"responder schedule show {run.rule} --run {run.id}"}
    return Alert(fingerprint(labels), labels, annotations, Standing.FIRING, at)


def _over(labels: Mapping[str, str], at: datetime) -> Alert:
    return Alert(fingerprint(labels), dict(labels), {}, Standing.RESOLVED, at, at)
