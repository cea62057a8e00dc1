"""`responder schedule`: what a tired person reads of planned checks, and what a script gets."""

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from responder.model.expectation import compared
from responder.model.schedule import (
    Outcome,
    PlanStanding,
    RunReport,
    RunState,
    ScheduledRun,
    StepReport,
)
from responder.web.api import StartedWith
from tests.support.http_api import NOW, Served
from tests.support.scheduled import BELOW_80, check, scheduled
from tests.unit.test_cli import responder, service_of

RUN = UUID("019ab3c2-3333-7000-8000-000000000003")


def step(percent: float | None, *, expected: bool = True, name: str = "connections") -> StepReport:
    fields = compared(BELOW_80, {"percent": percent}) if expected else ()
    holds = [one.holds for one in fields]
    outcome = {True: Outcome.AS_EXPECTED, False: Outcome.NOT_AS_EXPECTED, None: Outcome.NO_ANSWER}
    return StepReport(
        name=name,
        action="postgres.activity",
        outcome=outcome[holds[0] if holds else True],
        answer=f"postgres/orders: {percent} %",
        fields=fields,
        expected=expected,
    )


def made(*steps: StepReport, problem: str | None = None) -> ScheduledRun:
    found = any(one.finding for one in steps)
    outcome = Outcome.FAILED if problem else Outcome.NOT_AS_EXPECTED if found else Outcome.AS_EXPECTED
    return ScheduledRun(
        id=RUN,
        rule="Morning",
        rulebook_hash="b",
        state=RunState.ENDED,
        planned_for=NOW - timedelta(hours=1),
        at=NOW - timedelta(hours=1),
        report=RunReport(outcome=outcome, steps=steps, problem=problem),
    )


@pytest.fixture(name="morning")
def _morning() -> Iterator[Served]:
    """An API with one scheduled rule, whose last run found something."""
    with service_of(StartedWith(settings={})) as served:
        served.desk.scheduled = (scheduled(schedule="0 7 * * *", checks=(check("connections"),)),)
        unknown, fine = step(None, name="lag"), step(12.0, name="idle")
        bad = made(step(91.0), unknown, fine, step(3, expected=False, name="told"))
        served.schedules.kept = [bad]
        served.schedules.plans = [PlanStanding(rule="Morning", plan="p", decided_to=NOW, last=bad)]
        yield served


def test_a_report_says_each_answer_what_was_expected_and_what_was_found(morning: Served) -> None:
    """Step by step, the wrong ones marked, what has no data told as not known."""
    told = responder("schedule", "show", "Morning", served=morning).output
    for words in (
        "Morning runs at 0 7 * * * (UTC); next 2026-11-24 07:00 UTC (in 4h)",
        "Morning, run of 2026-11-24 02:00 UTC: 2 of 4 are not as expected",
        "  WRONG: connections: postgres/orders: 91.0 %",
        "percent is 91, expected < 80",
        "  NO ANSWER: lag: postgres/orders: None %",
        "percent is not known (no data), expected < 80",
        "  ok: idle: postgres/orders: 12.0 %",
        "  told: told: postgres/orders: 3 %",
    ):
        assert words in told
    assert responder("schedule", "show", "Morning", "--run", str(RUN), served=morning).output in told


def test_the_list_says_when_each_runs_next_and_what_came_of_it(morning: Served) -> None:
    """One line for each rule."""
    told = responder("schedule", "list", served=morning).output
    assert "0 7 * * * UTC" in told
    assert "2026-11-24 07:00 UTC (in 4h)" in told
    assert "not as expected: connections: percent is 91, expected < 80; lag: percent is not known" in told


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (
            {"state": RunState.MISSED, "missed": 3, "why": "nobody was there in time"},
            "missed 3 times: nobody",
        ),
        ({"state": RunState.SKIPPED, "why": "the run before was still going"}, "skipped: the run before"),
        ({"state": RunState.RUNNING}, "it is going"),
    ],
)
def test_a_run_without_a_report_says_why(morning: Served, run: dict[str, object], words: str) -> None:
    """Missed, skipped, or still going."""
    bare = made().model_dump() | {"report": None, "planned_from": NOW - timedelta(days=2)}
    morning.schedules.kept = [ScheduledRun.model_validate(bare | run)]
    assert words in responder("schedule", "show", "Morning", served=morning).output


def test_a_failed_run_is_trouble(morning: Served) -> None:
    """Its reason stands above the runs."""
    failed = made(problem="it did not end in its time")
    morning.schedules.kept = [failed]
    morning.schedules.plans = [PlanStanding(rule="Morning", plan="p", decided_to=NOW, last=failed)]
    told = responder("schedule", "show", "Morning", served=morning).output
    assert "Look at this: the last run failed: it did not end in its time" in told
    assert "failed: it did not end in its time" in told.splitlines()[-1]


def test_a_run_by_hand_waits_for_its_report_and_says_by_its_exit_whether_it_found_something(
    morning: Served,
) -> None:
    """0 where all is as expected, 1 where not; nobody is asked for twice, and another run is in the way."""
    morning.schedules.kept = []

    def ends(report: RunReport) -> threading.Timer:
        def end() -> None:
            waiting = morning.schedules.kept[-1]
            update = {"state": RunState.ENDED, "report": report}
            morning.schedules.kept[-1] = waiting.model_copy(update=update)

        timer = threading.Timer(0.5, end)
        timer.start()
        return timer

    for percent, code in ((12.0, 0), (91.0, 1)):
        timer = ends(made(step(percent)).report or RunReport(outcome=Outcome.FAILED))
        told = responder("schedule", "run", "Morning", "--reason", "after the mend", served=morning)
        timer.join()
        assert told.exit_code == code, told.output
        assert "asked by ada: after the mend" in told.output
    asked = responder("schedule", "run", "Morning", "--reason", "x", "--no-wait", "--json", served=morning)
    assert json.loads(asked.output)["given"] is True
    refused = responder("schedule", "run", "Morning", "--reason", "x", "--no-wait", served=morning)
    assert refused.exit_code == 3
    assert "a run of Morning is still going" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("show", "Nobody"), "there is no rule 'Nobody'"),
        (("show", "RunawayQueries"), "RunawayQueries is not scheduled"),
        (("run", "RunawayQueries", "--reason", "x"), "responder schedule list shows those that are"),
        (("show", "Morning", "--run", str(uuid4())), "Morning has no such run"),
        (("show", "Morning", "--run", "x"), "responder schedule show Morning lists its runs"),
    ],
)
def test_what_is_not_there_is_told(morning: Served, arguments: tuple[str, ...], words: str) -> None:
    """Exit 3 with what to do."""
    told = responder("schedule", *arguments, served=morning)
    assert told.exit_code == 3
    assert words in told.stderr
