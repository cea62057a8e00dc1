"""What is decided about a run: who may take it up, what its report means, what of it is told."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from pydantic import ValidationError

from responder.decide.schedules import (
    GRACE,
    TRIES,
    Answer,
    Next,
    given_up,
    lasts,
    next_of,
    over,
    report,
    reported,
    told_of,
    trouble,
    unanswered,
)
from responder.model.alert import Standing
from responder.model.schedule import (
    RUN_FAILED,
    SCHEDULE_LABEL,
    Outcome,
    PlanStanding,
    RunReport,
    RunState,
    ScheduledRun,
)
from responder.sources.settings import SourceSettings
from tests.support.scheduled import check, scheduled

NOW = datetime(2026, 3, 2, 7, tzinfo=UTC)
RULE = scheduled(checks=(check("a"), check("b")))


def run(state: RunState = RunState.RUNNING, **more: object) -> ScheduledRun:
    told = {"owner": uuid4(), "epoch": 1, "deadline": NOW + timedelta(minutes=1), "found_at": NOW, **more}
    return ScheduledRun.model_validate(
        {"id": UUID(int=7), "rule": "Morning", "rulebook_hash": "b", "state": state, "at": NOW, **told}
    )


@pytest.mark.parametrize(
    ("one", "alive", "then"),
    [
        (run(RunState.WAITING, owner=None), False, Next.BEGIN),
        (run(), True, Next.LEAVE),
        (run(), False, Next.BEGIN),
        (run(owner=None), True, Next.BEGIN),
        (run(epoch=TRIES - 1), False, Next.BEGIN),
        (run(epoch=TRIES), False, Next.GIVE_UP),
        (run(epoch=TRIES), True, Next.LEAVE),
        (run(deadline=NOW), True, Next.GIVE_UP),
        (run(deadline=NOW + timedelta(microseconds=1)), True, Next.LEAVE),
        (run(RunState.FOUND), True, Next.LEAVE),
        (run(RunState.FOUND), False, Next.TELL),
        (run(RunState.ENDED), False, Next.LEAVE),
        (run(RunState.SKIPPED), False, Next.LEAVE),
        (run(RunState.MISSED), False, Next.LEAVE),
    ],
)
def test_a_run_is_its_owners_until_that_is_dead_or_the_deadline_has_come(
    one: ScheduledRun, alive: bool, then: Next
) -> None:
    """No state is for ever: each has somebody who goes on with it, or ends it."""
    assert next_of(one, NOW, owner_alive=alive) is then


def test_a_run_may_take_what_its_steps_may_take() -> None:
    """One after the other at the worst, and a moment more."""
    assert lasts(RULE) == timedelta(seconds=60) + GRACE


def test_a_run_that_is_given_up_says_why() -> None:
    """It hung, or nobody lived to make it."""
    assert given_up(run(deadline=NOW), NOW).problem == "it did not end by 07:00:00 UTC, its deadline"
    assert given_up(run(epoch=3), NOW).problem == "the processes that began it died, 3 times"


def test_what_is_found_fires_and_what_is_no_more_ends() -> None:
    """At the moment at which it was found; told twice it is the same."""
    found = report([reported(check("a"), [Answer("t", "91 %", {"percent": 91.0})])])
    old = {"alertname": "Morning", SCHEDULE_LABEL: "Morning", "finding": "b"}
    same = {**old, "finding": "a"}
    alerts = told_of(run(), found, RULE, [old, same])
    assert [(one.labels["finding"], one.standing) for one in alerts] == [
        ("a", Standing.FIRING),
        ("b", Standing.RESOLVED),
    ]
    assert alerts[0].annotations["summary"] == "a: percent is 91, expected < 80"
    assert {one.starts_at for one in alerts} == {NOW}
    assert alerts == told_of(run(), found, RULE, [old, same])


def test_a_run_that_failed_ends_nothing_that_was_found_before() -> None:
    """It has seen nothing: no data is no recovery. The next that does ends its own failure, too."""
    old = {"alertname": "Morning", SCHEDULE_LABEL: "Morning", "finding": "a"}
    failed = RunReport(outcome=Outcome.FAILED, problem="it hung")
    (alert,) = told_of(run(), failed, RULE, [old])
    assert (alert.labels["finding"], alert.annotations["summary"]) == (RUN_FAILED, "it hung")
    fine = report([reported(check("a"), [Answer("t", "1 %", {"percent": 1.0})])])
    ended = told_of(run(), fine, RULE, [old, dict(alert.labels)])
    assert {(one.labels["finding"], one.standing) for one in ended} == {
        ("a", Standing.RESOLVED),
        (RUN_FAILED, Standing.RESOLVED),
    }


def test_of_a_rule_that_is_gone_nothing_is_found() -> None:
    """Whatever its last run says, all that it found is over."""
    old = {"alertname": "Morning", SCHEDULE_LABEL: "Morning", "finding": "a"}
    found = report([unanswered(check("a"), "away")])
    assert [one.standing for one in told_of(run(), found, None, [old])] == [Standing.RESOLVED]
    assert [one.ends_at for one in over([old], NOW)] == [NOW]


def test_a_step_that_expects_nothing_is_never_a_finding() -> None:
    """Its answer is told, and that there is none; it makes the run no worse."""
    bare = check("a").model_copy(update={"expect": ()})
    told, silent = reported(bare, [Answer("t", "91 %", {"percent": 91})]), unanswered(bare, "away")
    assert (told.outcome, silent.outcome) == (Outcome.AS_EXPECTED, Outcome.NO_ANSWER)
    assert report([told, silent]).outcome is Outcome.AS_EXPECTED
    assert report([told, silent]).findings == {}


def test_of_several_targets_each_has_to_be_as_expected() -> None:
    """And each is named; nobody to ask is no answer."""
    answers = [Answer("t/a", "1 %", {"percent": 1.0}), Answer("t/b", "99 %", {"percent": 99.0})]
    one = reported(check("a"), answers)
    assert one.outcome is Outcome.NOT_AS_EXPECTED
    assert one.words == "a: t/b percent is 99, expected < 80"
    assert one.answer == "t/a: 1 %; t/b: 99 %"
    assert reported(check("a"), []).outcome is Outcome.NO_ANSWER


@pytest.mark.parametrize(
    ("last", "words"),
    [
        (None, None),
        (run(RunState.ENDED, report=RunReport(outcome=Outcome.NOT_AS_EXPECTED)), None),
        (
            run(RunState.ENDED, report=RunReport(outcome=Outcome.FAILED, problem="x")),
            "the last run failed: x",
        ),
        (run(RunState.SKIPPED), None),
        (
            run(RunState.MISSED, planned_for=NOW, missed=3),
            "the run planned for 2026-03-02 07:00 UTC was missed, and 2 before it",
        ),
    ],
)
def test_trouble_is_a_run_that_told_nothing(last: ScheduledRun | None, words: str | None) -> None:
    """What was found has an incident; what was not looked at has nobody else who says so."""
    assert trouble(PlanStanding(rule="Morning", plan="p", decided_to=NOW, last=last)) == words


def test_no_source_has_the_name_of_what_runs_find() -> None:
    """Its deliveries would be taken for findings, and ended with them."""
    with pytest.raises(ValidationError, match="is the name of what scheduled rules find"):
        SourceSettings(name="schedule")
