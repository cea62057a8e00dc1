"""The page that an incident has opened: when it is due, what it says, and what keeps it from being told."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from responder.decide.case import SourceView, Terms
from responder.decide.changes import paged
from responder.decide.changes.paging import page_due, page_in_auto
from responder.model.autonomy import Autonomy, Ceiling
from responder.model.incident import IncidentState
from responder.model.policy import NoticeKind
from responder.model.rule import Notify, PageAfter, PageAt
from responder.model.timeline import EntryKind
from tests.support.virtual import START, ladder
from tests.unit.test_next_move import LATER, case
from tests.unit.test_state_table import hold

TERMS = Terms()
S = IncidentState
MAY_ACT = Ceiling(level=Autonomy.APPROVE, origin="the rule")
FIRES = SourceView(configured=True, firing=1)
FIVE = timedelta(minutes=5)

NOTIFY = [
    (Notify(page=PageAt.AT_ONCE), START, "a person would have been told at once (P1)"),
    (
        Notify(page=PageAfter(after=FIVE)),
        START + FIVE,
        "a person would have been told after 5m (P1) if it still fired",
    ),
    (Notify(page=PageAt.ON_ESCALATION), None, None),
]


@pytest.mark.parametrize(("notify", "due", "in_auto"), NOTIFY)
def test_a_page_is_due_as_its_rule_says(notify: Notify, due: datetime | None, in_auto: str | None) -> None:
    """At once, after a while or not at all; where shadow ends it, it says the same of auto."""
    assert page_due(ladder().model_copy(update={"notify": notify}), START) == due
    assert page_in_auto(case(S.OPEN, rule={"notify": notify})) == in_auto


GOES_ON = [
    (S.OPEN, {}, "automation works on it"),
    (S.OPEN, {"hold": hold()}, "automation works on it"),
    (S.HELD, {"hold": hold()}, "held: held by incident 7"),
    (S.HELD, {}, "automation works on it"),
    (S.AWAITING_APPROVAL, {}, "a person is asked"),
    (S.VERIFYING, {}, "what was done is being verified"),
]


@pytest.mark.parametrize(("state", "progress", "words"), GOES_ON)
def test_a_page_says_since_when_and_what_happens_meanwhile(
    state: IncidentState, progress: dict[str, Any], words: str
) -> None:
    """In the notice and in the timeline, with level and severity; automation goes on beside it."""
    change = paged(case(state, page_at=LATER, **progress), FIRES, MAY_ACT, LATER, TERMS)
    assert (change.state, change.due_at) == (state, LATER)
    what = f"opened 5m ago, {words}"
    (notice,) = change.notices
    assert (notice.kind, notice.level, notice.text) == (NoticeKind.OPENED, 1, f"P1 Hit: {what}")
    (entry,) = change.entries
    assert (entry.kind, entry.text) == (EntryKind.TOLD, f"People are told (level 1): {what}")
    assert entry.facts == {"level": 1, "reason": what, "severity": "P1"}
    told = change.progress
    assert (told.page_at, told.paged_at, told.told_at) == (None, LATER, LATER)


def test_a_page_goes_to_the_level_that_was_told_last() -> None:
    """And counts from when it opened again; where the ladder does not say, from when the incident opened."""
    again = paged(
        case(S.OPEN, escalations=2, opened_at=LATER - timedelta(minutes=1)), FIRES, MAY_ACT, LATER, TERMS
    )
    (notice,) = again.notices
    assert (notice.level, "opened 1m ago" in notice.text) == (2, True)
    (first,) = paged(case(S.OPEN, opened_at=None), FIRES, MAY_ACT, LATER, TERMS).notices
    assert "opened 5m ago" in first.text


SOURCES = [
    (SourceView(configured=True, suppressed=1), False),
    (SourceView(configured=True, suppressed=2, firing=1), True),
    (SourceView(configured=True, problem="timeout"), True),
    (SourceView(configured=True, absent=1), True),
    (SourceView(configured=False), True),
]


@pytest.mark.parametrize(("view", "told"), SOURCES)
def test_only_what_is_silenced_as_a_whole_puts_a_page_off(view: SourceView, told: bool) -> None:
    """A source that does not answer keeps nobody from being told; the page comes when the silence is over."""
    change = paged(case(S.OPEN, page_at=START), view, MAY_ACT, START, TERMS)
    assert bool(change.notices) is told
    if not told:
        again = START + TERMS.suppressed_every
        assert (change.entries, change.progress.page_at, change.progress.told_at) == ((), again, None)
        assert change.due_at == START


REACHES = [
    (None, False),
    (Autonomy.OBSERVE, False),
    (Autonomy.SHADOW, False),
    (Autonomy.APPROVE, True),
    (Autonomy.AUTO, True),
]


@pytest.mark.parametrize(("level", "told"), REACHES)
def test_nobody_is_paged_of_what_may_not_act(level: Autonomy | None, told: bool) -> None:
    """By any of its steps: then the page is over, and nothing is written."""
    reach = None if level is None else Ceiling(level=level, origin="the rule")
    change = paged(case(S.OPEN, page_at=START), FIRES, reach, START, TERMS)
    assert bool(change.notices) is told
    assert change.progress.page_at is None
    if not told:
        assert (change.entries, change.progress.told_at, change.progress.paged_at) == ((), None, None)
