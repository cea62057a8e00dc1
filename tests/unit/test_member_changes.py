"""What is told of an incident's alerts: that it opened, joined, ended, became worse, and what was found."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import pytest

from responder.decide.case import Case, Finding, Notice, Terms
from responder.decide.changes.members import (
    evidence_read,
    evidence_started,
    findings_told,
    members_changed,
    opened,
    patience,
    reopened,
    severity_changed,
)
from responder.decide.changes.question import question_words
from responder.model.incident import OVERFLOW, IncidentState, Progress
from responder.model.policy import NoticeKind
from responder.model.rule import Notify, PageAfter
from responder.model.severity import Severity
from responder.model.timeline import EntryDraft, EntryKind
from tests.support.virtual import START
from tests.unit.test_attempt_changes import ASKED
from tests.unit.test_ending_changes import QUESTION, RUNS, of
from tests.unit.test_next_move import LATER, TICK, case
from tests.unit.test_spent_ladder import NOTHING
from tests.unit.test_state_table import hold

TERMS = Terms()
S = IncidentState
MINUTE = timedelta(minutes=1)
NEWER = "c" * 64
PAGED = {"notify": Notify(page=PageAfter(after=7 * MINUTE))}
NOTE = EntryDraft(kind=EntryKind.EVIDENCE, text="looked", facts={})


def with_members(given: Case, **changed: Any) -> Case:
    """The same case with that known of its members."""
    return given.model_copy(update={"members": given.members.model_copy(update=changed)})


def test_an_incident_opens_with_what_is_known_of_it() -> None:
    """Rule, severity and labels in words and in facts; nothing of what was before is kept."""
    given = case(S.PENDING, total=3, firing=2, told_members=0, step=1, outcome="x", rule=PAGED)
    change = opened(given, LATER, TERMS)
    assert (change.state, change.due_at, change.deadline) == (S.OPEN, LATER, LATER + TERMS.open_deadline)
    assert change.progress == Progress(
        opened_at=LATER,
        told_severity=Severity.P1,
        told_members=3,
        told_firing=2,
        page_at=LATER + 7 * MINUTE,
    )
    first, alerts = change.entries
    assert (first.kind, first.text) == (EntryKind.OPENED, "P1 Hit opened for alertname=A")
    assert first.facts == {"rule": "Hit", "severity": "P1", "labels": {"alertname": "A"}}
    assert (alerts.kind, alerts.text) == (EntryKind.ALERT, "3 alerts joined; 2 of 3 firing")
    assert alerts.facts == {
        "joined": 3,
        "firing": 2,
        "total": 3,
        "first_starts_at": "2026-01-01T00:00:00+00:00",
    }


KEYS = [
    ({"b": "2", "a": "1"}, "a=1, b=2"),
    ({}, "all alerts"),
    (OVERFLOW, "its further alerts: too many of its incidents are open"),
    ({"a": "x" * 200}, f"a={'x' * 200}"),
    ({"a": "x" * 201}, f"a={'x' * 200}\u2026"),
]


@pytest.mark.parametrize(("key", "words"), KEYS)
def test_a_group_is_named_by_its_labels(key: dict[str, str], words: str) -> None:
    """In order, and the long ones not to their end; the facts have all of them."""
    (first, _) = opened(case(S.PENDING, given={"key": key}), START, TERMS).entries
    assert (first.text, first.facts["labels"]) == (f"P1 Hit opened for {words}", key)


def test_what_was_heard_of_before_any_rule_took_it_says_when() -> None:
    """In UTC, whatever the zone of the reading; heard of when it opened is nothing to tell."""
    east = timezone(timedelta(hours=5))
    earlier = (START - TICK).astimezone(east)
    (told, _) = opened(with_members(case(S.PENDING), first_heard_at=earlier), START, TERMS).entries
    assert told.text.endswith(
        "; no rule took it when it was heard of at 2025-12-31 23:59:59 UTC, a new rulebook did"
    )
    assert told.facts["heard_at"] == (START - TICK).astimezone(UTC).isoformat()
    for at in (START, START + TICK, None):
        (usual, _) = opened(with_members(case(S.PENDING), first_heard_at=at), START, TERMS).entries
        assert "heard_at" not in usual.facts


NEWS = [
    (1, 2, 2, "1 alert joined; 2 of 2 firing"),
    (1, 3, 2, "2 alerts joined; 2 of 3 firing"),
    (1, 2, 0, "1 alert joined; 0 of 2 firing"),
    (2, 2, 0, "no alert fires any more (2 in all)"),
    (2, 2, 1, "1 of 2 alerts firing"),
    (3, 2, 1, "1 of 2 alerts firing"),
]


@pytest.mark.parametrize(("told", "total", "firing", "text"), NEWS)
def test_what_changed_of_the_alerts_is_told_once(told: int, total: int, firing: int, text: str) -> None:
    """How many joined and how many fire; it goes on at once, from what is told by then."""
    change = members_changed(case(S.OPEN, told_members=told, total=total, firing=firing), LATER)
    assert (change.state, change.due_at) == (S.OPEN, LATER)
    assert (change.progress.told_members, change.progress.told_firing) == (total, firing)
    (entry,) = change.entries
    assert (entry.kind, entry.text, entry.facts["joined"]) == (EntryKind.ALERT, text, total - told)


def test_an_alert_without_a_start_has_none_in_the_facts() -> None:
    """Of a member that is gone nothing else is known."""
    (entry,) = members_changed(with_members(case(S.OPEN), first_starts_at=None), START).entries
    assert entry.facts["first_starts_at"] is None


ENDED: dict[str, Any] = {
    "outcome": "recovered",
    "maintenance": "maintenance 7",
    "verification": RUNS,
    "hold": hold(),
    "page_at": None,
    "level_since": START,
    "opened_at": START,
    "step": 1,
    "shadow": True,
    "evidence_started": True,
    "passed_over": NOTHING,
    "in_auto": "told at once",
    "acknowledged_by": "ann",
    "acknowledged_at": START,
}
GONE = {"outcome": None, "maintenance": None, "verification": None, "hold": None}


def test_what_is_resolved_goes_on_with_its_ladder_when_it_fires_again() -> None:
    """From its step, without the acknowledgement, which was for what is over; people are told anew."""
    change = reopened(case(S.RESOLVED, rule=PAGED, **ENDED), LATER, TERMS)
    assert (change.state, change.due_at, change.deadline) == (S.OPEN, LATER, LATER + TERMS.open_deadline)
    assert of(change.progress, *GONE) == GONE
    told = {"page_at": LATER + 7 * MINUTE, "level_since": LATER}
    assert of(change.progress, *told) == told
    kept = {name: ENDED[name] for name in ("step", "opened_at", "evidence_started", "passed_over")}
    assert of(change.progress, *kept) == kept
    assert (change.progress.acknowledged_by, change.progress.acknowledged_at) == (None, None)
    (entry,) = change.entries
    assert entry.text == "Open: it fires again"


def test_what_was_recorded_starts_anew_when_it_fires_again() -> None:
    """With its first step and its evidence; of what shadow found nothing is left."""
    change = reopened(case(S.RECORDED, rule=PAGED, **ENDED), LATER, TERMS)
    assert of(change.progress, *GONE) == GONE
    anew = {
        "step": 0,
        "passed_over": None,
        "opened_at": LATER,
        "shadow": False,
        "evidence_started": False,
        "in_auto": None,
        "part_of": None,
        "page_at": LATER + 7 * MINUTE,
        "level_since": LATER,
        "acknowledged_by": "ann",
    }
    assert of(change.progress, *anew) == anew
    part = reopened(case(S.RECORDED, part_of=uuid4()), LATER, TERMS)
    assert part.progress.part_of is None
    assert part.entries[-1].text == "Open: it is no part of a storm any more"


def test_what_was_recorded_is_judged_by_the_rule_as_it_is_now() -> None:
    """Told with both rulebooks; its page is due as the rule says now, where nothing else changed untold."""
    given = case(S.RECORDED)
    current = given.rule.model_copy(update={"escalate": True, **PAGED})
    change = reopened(given.model_copy(update={"current": current, "current_hash": NEWER}), LATER, TERMS)
    assert change.rulebook_hash == NEWER
    assert change.progress.page_at == LATER + 7 * MINUTE
    assert change.entries[0].kind is EntryKind.RULE
    assert change.entries[0].facts == {"rulebook": NEWER, "before": given.incident.rulebook_hash}
    same = given.model_copy(update={"current": current, "current_hash": given.incident.rulebook_hash})
    still = reopened(same, LATER, TERMS)
    assert (still.rulebook_hash, still.progress.page_at, len(still.entries)) == (None, None, 1)


def worse(state: IncidentState, **more: Any) -> Case:
    """It is P1 by now, and P3 was told."""
    return case(state, told_severity=Severity.P3, **more)


def test_a_worse_alert_is_told_in_words_and_facts() -> None:
    """From which severity to which; it goes on at once."""
    change = severity_changed(worse(S.OPEN), START, TERMS)
    (entry,) = change.entries
    assert (entry.kind, entry.text) == (
        EntryKind.ALERT,
        "it is P1 now, no longer P3: a worse alert joined",
    )
    assert entry.facts == {"from": "P3", "to": "P1"}
    assert (change.state, change.due_at, change.deadline) == (S.OPEN, START, LATER)
    assert (change.progress.told_severity, change.notices) == (Severity.P1, ())


ALLOWED = TERMS.severities[Severity.P1]
FAR = START + timedelta(days=1)
HASTENED = [
    (S.OPEN, FAR, START, FAR),
    (S.HELD, FAR, START, START + ALLOWED.response_time),
    (S.AWAITING_APPROVAL, FAR, START, START + ALLOWED.response_time),
    (S.AWAITING_APPROVAL, START + MINUTE, START, START + MINUTE),
    (S.AWAITING_APPROVAL, FAR, START + timedelta(hours=5), START + timedelta(hours=5)),
    (S.ESCALATED, FAR, START, START + ALLOWED.update_interval),
    (S.ESCALATED, None, START, None),
    (S.TAKEN_OVER, FAR, START + MINUTE, START + MINUTE),
]


@pytest.mark.parametrize(("state", "deadline", "now", "then"), HASTENED)
def test_a_worse_alert_hastens_what_waits_for_a_person(
    state: IncidentState, deadline: datetime | None, now: datetime, then: datetime | None
) -> None:
    """As if it had been so from the beginning of its state, never later, and no sooner than now."""
    assert severity_changed(worse(state, deadline=deadline), now, TERMS).deadline == then


def test_a_worse_alert_hastens_a_hold() -> None:
    """Its end and its next look: within what the severity allows, from when it began."""
    long = hold(until=FAR, deadline=FAR + MINUTE)
    change = severity_changed(worse(S.HELD, hold=long, deadline=FAR), START, TERMS)
    allowed = START + ALLOWED.response_time
    assert change.progress.hold == long.model_copy(update={"until": allowed, "deadline": allowed})
    short = hold()
    assert severity_changed(worse(S.HELD, hold=short), START, TERMS).progress.hold == short


TOLD_AGAIN: list[tuple[IncidentState, dict[str, Any], dict[str, Any]]] = [
    (S.ESCALATED, {}, {"covered_members": 0, "level_since": LATER, "page_at": None}),
    (S.RECORDED, {}, {"covered_members": 0, "level_since": START, "page_at": None}),
    (S.HELD, {"paged_at": START}, {"covered_members": 1, "level_since": START, "page_at": LATER}),
    (S.HELD, {}, {"covered_members": 1, "level_since": START, "page_at": None}),
    (S.REMEDIATING, {"paged_at": START}, {"covered_members": 1, "level_since": START, "page_at": None}),
]


@pytest.mark.parametrize(("state", "told", "moves"), TOLD_AGAIN)
def test_who_was_told_of_a_lesser_one_is_told_again(
    state: IncidentState, told: dict[str, Any], moves: dict[str, Any]
) -> None:
    """Escalated and recorded ones as of new alerts, the others by the page, where there was one."""
    change = severity_changed(worse(state, level_since=START, **told), LATER, TERMS)
    assert of(change.progress, *moves) == moves


def test_a_question_goes_to_those_who_answer_for_the_severity_that_it_has_now() -> None:
    """As a question, with its new deadline; where nothing waits for an answer nobody is asked."""
    asked = worse(S.AWAITING_APPROVAL, question=QUESTION, deadline=FAR)
    change = severity_changed(asked, START, TERMS)
    words = question_words(asked, QUESTION, Severity.P1, START + ALLOWED.response_time, START)
    assert change.notices == (Notice(kind=NoticeKind.QUESTION, level=0, text=f"It is P1 now. {words}"),)
    assert severity_changed(worse(S.HELD, question=QUESTION), START, TERMS).notices == ()
    assert severity_changed(worse(S.AWAITING_APPROVAL), START, TERMS).notices == ()


@pytest.mark.parametrize("state", list(S))
def test_a_severity_says_how_long_a_person_may_be_waited_for(state: IncidentState) -> None:
    """Held or asked the response time, escalated the update interval; of other states it says nothing."""
    expected = {
        S.HELD: ALLOWED.response_time,
        S.AWAITING_APPROVAL: ALLOWED.response_time,
        S.ESCALATED: ALLOWED.update_interval,
    }
    assert patience(state, Severity.P1, TERMS) == expected.get(state)


def test_what_was_found_is_told_with_its_facts() -> None:
    """Each by its action; then it goes on, unless it is closed, where nothing is due."""
    one = Finding(id=uuid4(), action="postgres.activity", summary="7 wait", facts={"waits": 7})
    other = Finding(id=uuid4(), action="http.get", summary="200", facts={})
    found = case(S.OPEN).model_copy(update={"findings": (one, other)})
    change = findings_told(found, LATER)
    assert (change.told_findings, change.due_at) == ((one.id, other.id), LATER)
    assert [entry.text for entry in change.entries] == ["postgres.activity: 7 wait", "http.get: 200"]
    assert change.entries[0].kind is EntryKind.EVIDENCE
    assert change.entries[0].facts == {"action": "postgres.activity", "summary": "7 wait", "waits": 7}
    gone = one.model_copy(update={"facts": {"evidence": 0}})
    (told,) = findings_told(case(S.OPEN).model_copy(update={"findings": (gone,)}), LATER).entries
    assert told.text == "postgres.activity: 7 wait", (
        "the rule has no such evidence any more, and no name for it"
    )
    closed = findings_told(case(S.CLOSED).model_copy(update={"findings": (one,)}), LATER)
    assert (closed.told_findings, closed.due_at) == ((one.id,), None)


def test_evidence_is_gathered_once_and_a_step_that_only_looks_leads_to_the_next() -> None:
    """Both go on at once; nothing else moves."""
    begun = evidence_started(case(S.OPEN, step=1), START)
    assert (begun.progress.evidence_started, begun.progress.step) == (True, 1)
    assert begun.progress.evidence_at == START
    assert (begun.state, begun.due_at, begun.entries) == (S.OPEN, START, ())
    read = evidence_read(case(S.OPEN, step=1), 1, NOTE, START, TERMS)
    told = NOTE.model_copy(update={"facts": {"step": 1}})
    assert (read.state, read.due_at, read.progress.step, read.entries) == (S.OPEN, START, 2, (told,))


def test_what_a_person_had_looked_at_by_hand_is_what_came_of_it() -> None:
    """There is nothing to go on with: it is recorded, with what was seen as its outcome."""
    read = evidence_read(case(S.OPEN, given={"by_hand": ASKED}), 0, NOTE, START, TERMS)
    assert (read.state, read.progress.outcome, read.entries[0]) == (S.RECORDED, "looked", NOTE)
