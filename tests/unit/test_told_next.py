"""Who is told next: what people read of an incident is what happens where nothing comes before it."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from responder.cli.story import next_lines
from responder.decide.case import Apply, Terms
from responder.decide.next_move import next_move
from responder.decide.told_next import promised
from responder.model.approval import Consent, Question
from responder.model.incident import Hold, Incident, IncidentState, Progress, Verification
from responder.model.policy import EscalationPolicy, PolicyLevel
from responder.model.rule import Raise
from responder.model.severity import MANUAL_TERMS, Severity
from tests.support.virtual import START, VirtualStore, World, incident, ladder, lease_of, members

POLICY = EscalationPolicy(levels=(PolicyLevel(channels=("chat",)), PolicyLevel(channels=("phone",))))
TERMS = Terms(
    severities={
        **MANUAL_TERMS,
        Severity.P1: MANUAL_TERMS[Severity.P1].model_copy(update={"policy": "usual"}),
    },
    policies={"usual": POLICY},
)
DEADLINE = START + timedelta(minutes=30)
KNOWN = {"told_members": 1, "told_firing": 1, "covered_members": 1, "told_severity": Severity.P1}
HELD = Hold(guard="halt", reason="halted", until=DEADLINE, since=START, deadline=DEADLINE)
FIRST = {"escalations": 1, "level_since": START, "told_at": START}


def an_incident(state: IncidentState, **progress: Any) -> Incident:
    """In that state until the deadline, with nothing new to tell."""
    told = Progress(**{**KNOWN, **progress})
    return incident(state, deadline=DEADLINE, due_at=DEADLINE, progress=told)


def line(found: Incident) -> str:
    """What people read, at the start."""
    told = next_lines(found, promised(found, 2, TERMS), START)
    return told[0].removeprefix("next: ") if told else ""


CASES: list[tuple[IncidentState, dict[str, Any], str]] = [
    (
        IncidentState.ESCALATED,
        FIRST,
        "escalates to level 2 (chat, phone) in 30m, at 00:30:00 UTC, unless it is acknowledged",
    ),
    (
        IncidentState.ESCALATED,
        {**FIRST, "acknowledged_by": "ada"},
        "tells level 1 (chat) again in 30m, at 00:30:00 UTC, unless it is over by then",
    ),
    (
        IncidentState.ESCALATED,
        {**FIRST, "escalations": 2},
        "tells level 2 (chat, phone) again in 30m, at 00:30:00 UTC, unless it is over by then",
    ),
    (
        IncidentState.TAKEN_OVER,
        {**FIRST, "taken_over_by": "ada"},
        "reminds ada at level 1 (chat) in 30m, at 00:30:00 UTC, unless it is over by then",
    ),
    (
        IncidentState.HELD,
        {"hold": HELD},
        "escalates to level 1 (chat) in 30m, at 00:30:00 UTC, unless what holds it ends first",
    ),
    (
        IncidentState.HELD,
        {**FIRST, "escalations": 2, "hold": HELD},
        (
            "escalates, and tells level 2 (chat, phone) again in 30m, at 00:30:00 UTC, "
            "unless what holds it ends first"
        ),
    ),
    (
        IncidentState.AWAITING_APPROVAL,
        {},
        "escalates to level 1 (chat) in 30m, at 00:30:00 UTC, unless somebody answers",
    ),
    (
        IncidentState.OPEN,
        {},
        "escalates to level 1 (chat) in 30m, at 00:30:00 UTC, unless the next step has a result",
    ),
]


@pytest.mark.parametrize(("state", "progress", "told"), CASES)
def test_what_is_told_next_is_what_happens_then(
    state: IncidentState, progress: dict[str, Any], told: str
) -> None:
    """The level and the time that people read are those of the word that comes of it."""
    found = an_incident(state, **progress)
    assert line(found) == told
    word = promised(found, 2, TERMS).next
    assert word is not None
    store = VirtualStore(World(now=word.at), ladder(), found, members())
    move = next_move(asyncio.run(store.load(lease_of(store))), word.at, TERMS)
    assert isinstance(move, Apply)
    (notice,) = move.change.notices
    assert (notice.kind, notice.level) == (word.kind, word.level)


def test_what_is_held_is_told_when_its_word_is_too_old_where_that_comes_first() -> None:
    """Nobody reads of a deadline that another guard does not wait for."""
    ends = "unless what holds it ends first"
    for stale, told in (
        (10, f"10m, at 00:10:00 UTC, {ends}, or its alert is told again (by then its word is too old)"),
        (30, f"30m, at 00:30:00 UTC, {ends}"),
    ):
        hold = HELD.model_copy(update={"stale_at": START + timedelta(minutes=stale)})
        assert line(an_incident(IncidentState.HELD, hold=hold)) == f"escalates to level 1 (chat) in {told}"


def test_a_reminder_goes_up_a_level_unless_the_one_who_acts_answers() -> None:
    """An answer keeps the next level from hearing of it; reminded they are in any case."""
    reminded = {**FIRST, "taken_over_by": "ada", "told_at": DEADLINE - TERMS.taken_over_deadline}
    for said_at, told in (
        (None, "level 2 (chat, phone) in 30m, at 00:30:00 UTC, unless it is over or acknowledged by then"),
        (START, "level 1 (chat) in 30m, at 00:30:00 UTC, unless it is over by then"),
    ):
        found = an_incident(IncidentState.TAKEN_OVER, **reminded, acknowledged_at=said_at)
        found = found.model_copy(update={"state_since": START - timedelta(hours=2)})
        assert line(found) == f"reminds ada at {told}"


def test_a_page_goes_to_the_level_that_people_were_told_at_last() -> None:
    """Told at the second level already, it pages that one; a verification then tells nothing else."""
    paging = an_incident(IncidentState.VERIFYING, page_at=DEADLINE, escalations=2)
    assert line(paging) == "pages level 2 (chat, phone) in 30m, at 00:30:00 UTC, unless it is over by then"


def test_a_person_s_word_on_how_bad_it_is_is_told_where_time_would_have_made_it_worse() -> None:
    """They read why it does not rise; where it would not have risen there is nothing to tell."""
    raises = [Raise(after=timedelta(hours=1), to=Severity.P0)]
    said = an_incident(IncidentState.ESCALATED, **FIRST, severity_by="ada", raise_from=START)
    told = next_lines(said, promised(said, 2, TERMS, raises), START)
    assert told[1:] == ["ada said that it is P1: it does not rise by time any more"]
    assert next_lines(said, promised(said, 2, TERMS), START)[1:] == []
    over = an_incident(IncidentState.RESOLVED, **FIRST, severity_by="ada", raise_from=START)
    assert promised(over, 2, TERMS, raises).kept_by is None, "it rises no more anyway"
    worst = [Raise(after=timedelta(hours=1), to=Severity.P1)]
    assert next_lines(said, promised(said, 2, TERMS, worst), START)[1:] == []


def test_until_when_a_yes_helps_follows_what_was_heard_since_the_question() -> None:
    """Nothing where the source can be asked, and nothing once the question is over."""
    consent = Consent(action="a", target="t", params={}, facts="f", elements=(), titles=())
    asked = {"id": UUID(int=1), "step": 0, "consent": consent, "guards": (), "reasons": (), "times": 1}
    stale = Question(**asked, asked_at=START, stale_at=START + timedelta(minutes=10))
    heard = START + timedelta(minutes=5)
    for state, question, heard_at, at in (
        (IncidentState.AWAITING_APPROVAL, stale, heard, heard + TERMS.max_alert_age),
        (IncidentState.AWAITING_APPROVAL, stale, None, stale.stale_at),
        (IncidentState.AWAITING_APPROVAL, stale.model_copy(update={"stale_at": None}), heard, None),
        (IncidentState.HELD, stale, heard, None),
    ):
        found = an_incident(state, question=question)
        assert promised(found, 2, TERMS, heard_at=heard_at).stale_at == at


def test_without_a_deadline_no_word_is_promised() -> None:
    """Nobody can be told when it would be."""
    for state in (IncidentState.ESCALATED, IncidentState.OPEN, IncidentState.CLOSED):
        found = an_incident(state).model_copy(update={"deadline": None})
        assert promised(found, 2, TERMS).next is None


def test_a_page_to_come_is_told_before_what_comes_later() -> None:
    """People read the word that comes first."""
    page = {"page_at": START + timedelta(minutes=5)}
    asks = an_incident(IncidentState.AWAITING_APPROVAL, **page)
    assert line(asks) == "pages level 1 (chat) in 5m, at 00:05:00 UTC, unless it is over by then"


@pytest.mark.parametrize(("step", "told"), [(1, ""), (2, "escalates to level 1 (chat)")])
def test_a_verification_tells_people_only_after_the_last_step(step: int, told: str) -> None:
    """While a step is left the next one comes first."""
    running = Verification(started_at=START, deadline=DEADLINE)
    assert line(an_incident(IncidentState.VERIFYING, step=step, verification=running)).startswith(told)
    assert bool(line(an_incident(IncidentState.VERIFYING, step=step, verification=running))) == bool(told)
    again = promised(an_incident(IncidentState.VERIFYING, step=2, verification=running), 2, TERMS, again=True)
    assert again.next is None, "it is taken once more"


@pytest.mark.parametrize("state", [IncidentState.RESOLVED, IncidentState.RECORDED, IncidentState.CLOSED])
def test_of_what_is_over_nobody_is_told_any_more(state: IncidentState) -> None:
    """A page that was still to come is not told of either."""
    assert line(an_incident(state, page_at=START)) == ""
