"""Decisions that follow from each other without a look at the world, as one change."""

from datetime import datetime, timedelta
from uuid import uuid4

import pytest

from responder.decide import run_on as module
from responder.decide.case import (
    Apply,
    AttemptEnd,
    AttemptVerdict,
    Case,
    Move,
    Notice,
    Quarantine,
    ShadowRun,
    TakeStep,
    Terms,
    Wait,
)
from responder.decide.changes import stay
from responder.decide.run_on import _after, _joined, has_to_last, run_on
from responder.model.attempt import Outcome
from responder.model.guard import Guard, Ruling
from responder.model.incident import IncidentState, Progress
from responder.model.policy import NoticeKind
from responder.model.severity import Severity
from responder.model.timeline import EntryKind
from tests.support.virtual import START, incident, ladder, members

TERMS = Terms()


def case(state: IncidentState, firing: int = 1, total: int = 1, **progress: object) -> Case:
    """A case that is due."""
    moved = Progress.model_validate({"told_members": 1, "told_firing": 1, "opened_at": START, **progress})
    later = START + timedelta(minutes=5)
    one = incident(state, progress=moved, deadline=START if state is IncidentState.PENDING else later)
    both = {"rule": ladder(), "current": ladder()}
    return Case(now=START, incident=one, **both, members=members(firing, total), holds=False)


def test_an_opening_is_recorded_while_the_first_step_looks() -> None:
    """Pending, its wait over: the change opens it, and the case after it takes the first step."""
    opening = run_on(case(IncidentState.PENDING), TERMS)
    assert opening.change is not None
    assert opening.case is not None
    assert (opening.change.state, opening.move) == (IncidentState.OPEN, TakeStep(index=0))
    assert opening.case.incident.timeline_length == len(opening.change.entries)


ATTEMPT = uuid4()


@pytest.mark.parametrize(
    "more",
    [
        {"notices": (Notice(kind=NoticeKind.RESOLVED, level=0, text="look"),)},
        {"end": AttemptEnd(attempt_id=ATTEMPT, outcome=Outcome.DONE, results=())},
        {"verdict": AttemptVerdict(attempt_id=ATTEMPT)},
        {"quarantine": Quarantine(attempt_id=ATTEMPT, reason="nobody knows")},
        {"command": uuid4()},
        {"told_findings": (uuid4(),)},
        {"rulebook_hash": "abc"},
        {"quiet": True},
        {"opens_storm": True},
        {
            "shadow_runs": (
                ShadowRun(
                    step=0,
                    action="a",
                    target="t",
                    ruling=Ruling.GO,
                    guard=Guard.AUTONOMY,
                    reason="shadow",
                    element_count=0,
                ),
            )
        },
    ],
    ids=lambda more: next(iter(more)),
)
def test_what_others_go_by_is_on_disk_before_anything_follows(more: dict[str, object]) -> None:
    """Words to people, the ledger, a person's command, what gives the lease up; not what only goes on."""
    opening = run_on(case(IncidentState.PENDING), TERMS).change
    assert opening is not None
    assert not has_to_last(opening, ends=False)
    assert has_to_last(opening, ends=True)
    assert has_to_last(opening.model_copy(update=more), ends=False)


def test_news_and_the_wait_after_it_are_one_change() -> None:
    """An escalated incident with an alert less tells of it, and waits for its deadline, in one record."""
    told = run_on(case(IncidentState.ESCALATED, 1, 1, told_firing=2, covered_members=1), TERMS)
    assert told.change is not None
    assert [entry.kind for entry in told.change.entries] == [EntryKind.ALERT]
    assert told.change.due_at == START + timedelta(minutes=5)


def test_what_touches_the_ledger_ends_the_run() -> None:
    """Where no member fires any more the incident resolves; what follows is decided from the store's word."""
    ended = run_on(case(IncidentState.OPEN, 0, 1, told_firing=1), TERMS)
    assert ended.change is not None
    assert (ended.change.state, ended.change.quiet) == (IncidentState.RESOLVED, True)
    assert ended.change.entries[0].kind is EntryKind.ALERT
    assert ended.case is None


def test_what_is_closed_waits_for_nothing() -> None:
    """It has no moment to be looked at again."""
    done = run_on(case(IncidentState.CLOSED), TERMS)
    assert done.change is not None
    assert (done.change.state, done.change.due_at, done.move) == (IncidentState.CLOSED, None, None)


def test_two_changes_in_one_lose_no_word() -> None:
    """Entries and notices of both, in their order; the newest severity; all else is as the second has it."""
    first, then = (
        run_on(case(state), TERMS).change for state in (IncidentState.PENDING, IncidentState.ESCALATED)
    )
    assert first is not None
    assert then is not None
    notices = [Notice(kind=NoticeKind.RESOLVED, level=level, text="look") for level in (1, 2)]
    first = first.model_copy(update={"notices": (notices[0],), "severity": Severity.P1})
    then = then.model_copy(update={"notices": (notices[1],)})
    both = _joined(first, then)
    assert both.entries == (*first.entries, *then.entries)
    assert both.notices == tuple(notices)
    assert both.severity is Severity.P1
    worse = then.model_copy(update={"severity": Severity.P0})
    assert _joined(first, worse).severity is Severity.P0
    assert (both.state, both.due_at, both.deadline) == (then.state, then.due_at, then.deadline)
    assert _joined(None, then) is then


def test_the_case_after_a_change_is_as_it_would_be_loaded() -> None:
    """State and since when, severity, deadline, when it is due, and how long its timeline is by then."""
    before = case(IncidentState.PENDING)
    now = START + timedelta(minutes=1)
    before = before.model_copy(update={"now": now, "timeline_head": b"head"})
    change = run_on(before, TERMS).change
    assert change is not None
    worse = change.model_copy(update={"severity": Severity.P0, "due_at": now + timedelta(seconds=9)})
    after = _after(before, worse)
    assert after.incident.state is IncidentState.OPEN
    assert after.incident.state_since == now
    assert after.incident.severity is Severity.P0
    assert (after.incident.deadline, after.incident.due_at) == (worse.deadline, worse.due_at)
    assert after.incident.progress == worse.progress
    assert after.incident.timeline_length == before.incident.timeline_length + len(worse.entries)
    assert after.timeline_head is None
    same = worse.model_copy(update={"state": IncidentState.PENDING, "severity": None})
    assert _after(before, same).incident.state_since == before.incident.state_since
    assert _after(before, same).incident.severity is before.incident.severity


SOON = START + timedelta(milliseconds=1)


@pytest.mark.parametrize(("due_at", "goes_on"), [(START, True), (SOON, False), (None, False)])
def test_what_is_to_wait_is_not_decided_again_before_its_time(
    monkeypatch: pytest.MonkeyPatch, due_at: datetime | None, *, goes_on: bool
) -> None:
    """Whatever would come next: a step that has its time is not taken before, nor is it asked for."""
    it = case(IncidentState.OPEN)
    moves: list[Move] = [TakeStep(index=0), Apply(change=stay(it, due_at))]
    monkeypatch.setattr(module, "next_move", lambda *_: moves.pop())
    taken = run_on(it, TERMS)
    assert taken.change is not None
    assert (taken.change.due_at, taken.move) == (due_at, TakeStep(index=0) if goes_on else None)
    assert len(moves) == (0 if goes_on else 1)


def test_what_decides_the_same_for_ever_is_written_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake in the table costs a few rounds, and not the worker that has the incident."""
    it = case(IncidentState.OPEN)
    monkeypatch.setattr(module, "next_move", lambda *_: Wait(until=START))
    assert run_on(it, TERMS).change == stay(it, START)
