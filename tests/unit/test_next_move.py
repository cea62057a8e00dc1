"""Each condition of `next_move` by itself: what comes first, and on which side of a moment what happens."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from responder.decide.case import (
    Apply,
    AskSource,
    Case,
    Change,
    Check,
    CloseBySource,
    Finding,
    GatherEvidence,
    Move,
    Page,
    Recheck,
    Settle,
    TakeBack,
    TakeStep,
    Terms,
    Wait,
)
from responder.decide.next_move import next_move
from responder.decide.umbrella import umbrella_move
from responder.model.attempt import Attempt, Outcome
from responder.model.incident import Holder, IncidentState, Progress, Verification
from responder.model.policy import NoticeKind
from responder.model.restraint import RestraintKind
from responder.model.severity import Severity
from responder.model.storm import UMBRELLA, Storm
from tests.support.dossiers import ATTEMPT, an_attempt
from tests.support.virtual import START, incident, ladder, members
from tests.unit.test_restraints import restraint
from tests.unit.test_state_table import hold

TERMS = Terms()
LATER = START + timedelta(minutes=5)
TICK = timedelta(microseconds=1)
TOLD: dict[str, Any] = {"told_members": 1, "told_firing": 1, "covered_members": 1, "opened_at": START}
WINDOW = restraint(RestraintKind.MAINTENANCE, 'alertname="A"', until=START + timedelta(hours=1))
S = IncidentState


def case(
    state: IncidentState,
    *,
    firing: int = 1,
    total: int = 1,
    deadline: datetime | None = LATER,
    quiet: bool = False,
    rule: dict[str, Any] | None = None,
    given: dict[str, Any] | None = None,
    attempt: Attempt | None = None,
    **progress: Any,
) -> Case:
    """A case in that state; `quiet`: under maintenance, which covers all of it."""
    told = {**TOLD, "told_members": total, "told_firing": firing, "covered_members": total, **progress}
    one = incident(state, deadline=deadline, progress=Progress.model_validate(told), **(given or {}))
    its_rule = ladder().model_copy(update=rule or {})
    return Case(
        now=START,
        incident=one,
        rule=its_rule,
        current=its_rule,
        members=members(firing, total),
        holds=False,
        maintenance=(WINDOW,) if quiet else (),
        attempt=attempt,
    )


def move(one: Case, now: datetime = START) -> Move:
    """What happens to it then."""
    return next_move(one, now, TERMS)


def applied(one: Case, now: datetime = START) -> Change:
    """The change that happens to it then."""
    found = move(one, now)
    assert isinstance(found, Apply)
    return found.change


ENDS = [
    (S.PENDING, S.CLOSED, "it ended before `for` was over"),
    (S.OPEN, S.RESOLVED, "no alert of it fires any more"),
    (S.AWAITING_APPROVAL, S.RESOLVED, "it ended before a person answered"),
    (S.HELD, S.RESOLVED, "it ended while it was held"),
    (S.SUPPRESSED, S.RESOLVED, "it ended while it was suppressed"),
    (S.TAKEN_OVER, S.RESOLVED, "recovered in the hands of a person"),
    (S.ESCALATED, S.RESOLVED, "the alert ended"),
]


@pytest.mark.parametrize(("state", "then", "why"), ENDS)
def test_the_end_of_the_last_alert_is_told_in_its_own_words(
    state: IncidentState, then: IncidentState, why: str
) -> None:
    """Before any deadline, hold or maintenance."""
    change = applied(case(state, firing=0, quiet=True), LATER)
    assert (change.state, change.quiet) == (then, True)
    assert why in change.entries[-1].text


DEADLINES: list[tuple[IncidentState, IncidentState, dict[str, Any]]] = [
    (S.PENDING, S.OPEN, {}),
    (S.AWAITING_APPROVAL, S.ESCALATED, {}),
    (S.TAKEN_OVER, S.TAKEN_OVER, {}),
    (S.ESCALATED, S.ESCALATED, {}),
]


@pytest.mark.parametrize(("state", "then", "more"), DEADLINES)
def test_a_deadline_is_waited_for_to_the_moment(
    state: IncidentState, then: IncidentState, more: dict[str, Any]
) -> None:
    """One moment before it is waited for, at it the move is made; without one nothing is waited for."""
    assert move(case(state, **more), LATER - TICK) == Wait(until=LATER)
    assert applied(case(state, **more), LATER).state is then
    assert applied(case(state, deadline=None, **more)).state is then


def test_open_escalates_at_its_deadline_and_not_before() -> None:
    """And says for how long it was open."""
    assert move(case(S.OPEN), LATER - TICK) == TakeStep(index=0)
    change = applied(case(S.OPEN), LATER)
    assert change.state is S.ESCALATED
    assert "open for 5m without a result" in change.notices[0].text
    assert move(case(S.OPEN, deadline=None), LATER) == TakeStep(index=0)


def test_what_is_open_gathers_evidence_once_then_takes_its_steps() -> None:
    """The first step not yet taken; with none left a person is told."""
    step = ladder().steps[0]
    evident = {"evidence": (step,)}
    assert move(case(S.OPEN, rule=evident)) == GatherEvidence()
    assert move(case(S.OPEN, rule=evident, evidence_started=True)) == TakeStep(index=0)
    assert move(case(S.OPEN, step=1)) == TakeStep(index=1)
    assert applied(case(S.OPEN, step=2)).state is S.ESCALATED


def test_a_ladder_that_is_over_ends_as_its_rule_says() -> None:
    """A rule that only asks for a person asks the source first; one that only gathers records."""
    assert move(case(S.OPEN, rule={"steps": (), "escalate": True})) == AskSource()
    recorded = applied(case(S.OPEN, rule={"steps": ()}))
    assert recorded.state is S.RECORDED
    assert "evidence only: the rule has no step that changes anything" in recorded.entries[-1].text
    over = applied(case(S.OPEN, step=2, rule={"escalate": True}))
    assert "nothing was done; no step is left" in over.notices[0].text
    shadow = applied(case(S.OPEN, step=2, shadow=True))
    assert shadow.state is S.RECORDED
    assert "in shadow every step would have been passed over; nothing was done" in shadow.entries[-1].text
    assert applied(case(S.OPEN, step=2, shadow=True, escalations=1)).state is S.ESCALATED


def test_an_undo_that_is_owed_comes_before_everything() -> None:
    """Though nothing fires any more, or its time is over; where its attempt is gone a person is told."""
    done = an_attempt(START, Outcome.DONE, None)
    owed = case(S.OPEN, firing=0, quiet=True, attempt=done, take_back=ATTEMPT)
    assert move(owed, LATER) == TakeBack(attempt=done)
    for attempt in (None, done.model_copy(update={"id": UUID(int=9)})):
        lost = applied(case(S.OPEN, attempt=attempt, take_back=ATTEMPT))
        assert lost.state is S.ESCALATED
        assert "an undo is owed for an attempt that is gone" in lost.notices[0].text


@pytest.mark.parametrize("outcome", list(Outcome))
def test_only_an_attempt_that_runs_is_settled(outcome: Outcome) -> None:
    """One that has an outcome, or none at all, is nothing to ask about."""
    attempt = an_attempt(START, outcome, None)
    found = move(case(S.REMEDIATING, attempt=attempt))
    if outcome is Outcome.STARTED:
        assert found == Settle(attempt=attempt)
    else:
        assert isinstance(found, Apply)
        assert "the ledger has none" in found.change.notices[0].text


def test_while_an_effect_may_run_nothing_else_comes_first() -> None:
    """No person's word, no news, no evidence."""
    attempt = an_attempt(START, Outcome.STARTED, None)
    busy = case(S.REMEDIATING, attempt=attempt, told_members=7)
    findings = (Finding(id=uuid4(), action="a", summary="s", facts={}),)
    assert move(busy.model_copy(update={"findings": findings})) == Settle(attempt=attempt)


QUIET = [S.OPEN, S.AWAITING_APPROVAL, S.HELD]


@pytest.mark.parametrize("state", QUIET)
def test_under_maintenance_it_goes_to_rest(state: IncidentState) -> None:
    """Before the deadline's move, and before any step."""
    change = applied(case(state, quiet=True, hold=hold()), LATER)
    assert (change.state, change.progress.maintenance) == (S.SUPPRESSED, WINDOW.name)


def test_what_begins_under_maintenance_does_not_open() -> None:
    """Nobody is told that it would have."""
    change = applied(case(S.PENDING, quiet=True, opened_at=None), LATER)
    assert (change.state, change.notices) == (S.SUPPRESSED, ())


def test_a_hold_is_tried_again_when_it_says_and_ends_at_its_deadline() -> None:
    """To the moment; without one there is nothing to wait for."""
    held = case(S.HELD, hold=hold(), step=1)
    assert move(held, hold().until - TICK) == Wait(until=hold().until)
    assert move(held, hold().until) == TakeStep(index=1)
    assert move(held, hold().deadline - TICK) == TakeStep(index=1)
    change = applied(held, hold().deadline)
    assert change.state is S.ESCALATED
    assert "held for 1m: held by incident 7" in change.notices[0].text
    two = hold(
        holders=(Holder(guard="claim", reason="held by incident 7"), Holder(guard="budget", reason="spent"))
    )
    told = applied(case(S.HELD, hold=two), two.deadline).notices[0].text
    assert told.endswith("held for 1m: held by incident 7; also spent")
    free = applied(case(S.HELD, hold=None))
    assert free.state is S.OPEN
    assert "nothing holds it any more" in free.entries[-1].text


def test_what_is_suppressed_is_asked_about_until_its_deadline() -> None:
    """Silenced: the source is asked. Under maintenance: it is waited for, to its end or the deadline."""
    assert move(case(S.SUPPRESSED), LATER - TICK) == Recheck()
    for deadline in (LATER, None):
        change = applied(case(S.SUPPRESSED, deadline=deadline), LATER)
        assert change.state is S.OPEN
        assert "suppressed for long enough: judged anew" in change.entries[-1].text
    quieted = case(S.SUPPRESSED, quiet=True, maintenance=WINDOW.name)
    assert move(quieted) == Wait(until=LATER)
    long = case(S.SUPPRESSED, quiet=True, deadline=START + timedelta(hours=9))
    assert move(long) == Wait(until=WINDOW.until)


def test_maintenance_that_is_over_leads_back_to_where_it_came_from() -> None:
    """Never opened: it opens. Ended before: it reopens. Else it is judged anew, with the window's name."""
    fresh = applied(case(S.SUPPRESSED, maintenance="maintenance 7", opened_at=None))
    assert fresh.state is S.OPEN
    assert fresh.progress.opened_at == START
    again = applied(case(S.SUPPRESSED, maintenance="maintenance 7", outcome="recovered"))
    assert "fires again" in again.entries[-1].text.lower()
    anew = applied(case(S.SUPPRESSED, maintenance="maintenance 7"))
    assert "maintenance 7 does not keep it quiet any more: judged anew" in anew.entries[-1].text
    silenced = applied(case(S.SUPPRESSED, outcome="recovered"), LATER)
    assert "suppressed for long enough" in silenced.entries[-1].text


NEWS = [
    (1, 1, False),
    (1, 2, True),
    (19, 20, True),
    (20, 21, False),
    (20, 39, False),
    (20, 40, True),
    (21, 41, False),
    (21, 42, True),
]


@pytest.mark.parametrize(("known", "total", "news"), NEWS)
def test_from_twenty_on_it_is_news_that_they_have_doubled(known: int, total: int, news: bool) -> None:
    """Below that each one more is."""
    joined = case(S.ESCALATED, total=total, step=2, covered_members=known, acknowledged_by="ann")
    found = move(joined, LATER - TICK)
    if not news:
        assert found == Wait(until=LATER)
        return
    assert isinstance(found, Apply)
    assert found.change.state is S.ESCALATED
    assert "a further alert joined, and no step is left" in found.change.notices[0].text
    progress = found.change.progress
    assert (progress.acknowledged_by, progress.acknowledged_at) == (None, None)
    assert progress.covered_members == total


def test_a_further_alert_takes_the_step_that_is_left() -> None:
    """The acknowledgement is withdrawn: it was for what was known then."""
    joined = case(
        S.ESCALATED, total=2, step=1, covered_members=1, acknowledged_by="ann", acknowledged_at=START
    )
    change = applied(joined)
    assert (change.state, change.progress.step) == (S.OPEN, 1)
    assert (change.progress.acknowledged_by, change.progress.acknowledged_at) == (None, None)
    assert change.progress.covered_members == 2
    assert "a further alert joined" in change.entries[-1].text


def test_people_are_not_told_of_news_or_again_under_maintenance() -> None:
    """Where they would have been it goes to rest; where not it waits on."""
    assert applied(case(S.ESCALATED, total=2, covered_members=1, quiet=True)).state is S.SUPPRESSED
    assert applied(case(S.ESCALATED, quiet=True), LATER).state is S.SUPPRESSED
    assert move(case(S.ESCALATED, quiet=True), LATER - TICK) == Wait(until=LATER)


def test_it_is_told_again_with_its_reason() -> None:
    """Or with that it still fires."""
    change = applied(case(S.ESCALATED, escalation_reason="the floor"), LATER)
    assert change.notices[0].kind is NoticeKind.AGAIN
    assert "the floor" in change.notices[0].text
    assert "it still fires" in applied(case(S.ESCALATED), LATER).notices[0].text
    mine = applied(case(S.TAKEN_OVER, firing=0, taken_over_by="ann"))
    assert "recovered in the hands of ann" in mine.entries[-1].text


def test_what_is_resolved_stays_so_or_comes_back() -> None:
    """To the moment; what never opened opens, what comes back under maintenance goes to rest."""
    assert move(case(S.RESOLVED, firing=0), LATER - TICK) == Wait(until=LATER)
    for deadline in (LATER, None):
        closed = applied(case(S.RESOLVED, firing=0, deadline=deadline), LATER)
        assert (closed.state, closed.quiet) == (S.CLOSED, True)
        assert "it stayed resolved" in closed.entries[-1].text
    assert applied(case(S.RESOLVED, quiet=True)).state is S.SUPPRESSED
    assert applied(case(S.RESOLVED, step=1)).progress.step == 1
    fresh = applied(case(S.RESOLVED, opened_at=None))
    assert (fresh.state, fresh.progress.opened_at) == (S.OPEN, START)


def test_what_is_recorded_is_kept_while_it_fires() -> None:
    """Then closed; news of it open it again, and wait under maintenance."""
    for firing in (0, 1):
        assert move(case(S.RECORDED, firing=firing), LATER - TICK) == Wait(until=LATER)
    closed = applied(case(S.RECORDED, firing=0), LATER)
    assert (closed.state, closed.quiet) == (S.CLOSED, True)
    assert move(case(S.RECORDED), LATER) == Wait(until=LATER + TERMS.recorded_for)
    assert move(case(S.RECORDED, deadline=None)) == Wait(until=START + TERMS.recorded_for)
    assert applied(case(S.RECORDED, firing=0, deadline=None)).state is S.CLOSED
    joined: dict[str, Any] = {"total": 2, "covered_members": 1}
    assert applied(case(S.RECORDED, **joined)).state is S.OPEN
    assert move(case(S.RECORDED, quiet=True, **joined)) == Wait(until=WINDOW.until)
    assert move(case(S.RECORDED, firing=0, **joined), LATER - TICK) == Wait(until=LATER)


def test_what_is_part_of_a_storm_waits_for_its_end() -> None:
    """Judged anew when it is over, or when it has become one that acts in storms; not when nothing fires."""
    umbrella = uuid4()
    part = case(S.RECORDED, part_of=umbrella, given={"severity": Severity.P2})
    storm = Storm(umbrella=umbrella)
    raging = Storm(openings=TERMS.storm.openings)
    assert applied(part.model_copy(update={"storm": storm})).state is S.RECORDED
    assert applied(part.model_copy(update={"storm": raging})).state is S.RECORDED
    assert applied(part).state is S.OPEN
    worse = case(S.RECORDED, part_of=umbrella, given={"severity": Severity.P1})
    assert applied(worse.model_copy(update={"storm": storm})).state is S.OPEN
    over = case(S.RECORDED, firing=0, part_of=umbrella, given={"severity": Severity.P2})
    assert move(over.model_copy(update={"storm": storm}), LATER - TICK) == Wait(until=LATER)


def test_a_verification_is_closed_by_the_source_where_only_the_notification_is_missing() -> None:
    """Stable, in time, and still firing by our record; else it is looked at."""
    good = Verification(started_at=START, deadline=LATER, attempt_id=ATTEMPT, good_since=START)
    ripe = START + timedelta(seconds=30)
    assert move(case(S.VERIFYING, verification=good), ripe) == CloseBySource()
    assert move(case(S.VERIFYING, verification=good), ripe - TICK) == Check()
    assert move(case(S.VERIFYING, firing=0, verification=good), ripe) == Check()
    assert move(case(S.VERIFYING, verification=None), ripe) == Check()
    late = LATER + timedelta(seconds=30) + 2 * TERMS.verify_every
    assert move(case(S.VERIFYING, verification=good), late) == Check()


def test_findings_and_news_of_members_are_told_first() -> None:
    """In this order: evidence, another severity, other members. What is closed has no news."""
    finding = Finding(id=uuid4(), action="a", summary="found", facts={})
    news = case(S.OPEN, told_members=7, told_severity=Severity.P3)
    told = applied(news.model_copy(update={"findings": (finding,)}))
    assert told.told_findings == (finding.id,)
    worse = applied(news)
    assert worse.progress.told_severity is Severity.P1
    assert applied(case(S.OPEN, told_members=7)).progress.told_members == 1
    assert applied(case(S.OPEN, told_firing=7)).progress.told_firing == 1
    assert move(case(S.OPEN, told_severity=Severity.P1)) == TakeStep(index=0)
    assert move(case(S.CLOSED, told_members=7)) == Wait(until=None)
    closed = case(S.CLOSED).model_copy(update={"findings": (finding,)})
    assert applied(closed).told_findings == (finding.id,)


def test_what_is_pending_tells_nothing_yet() -> None:
    """It has not begun: its members are told when it opens."""
    finding = Finding(id=uuid4(), action="a", summary="found", facts={})
    waiting = case(S.PENDING, told_members=7).model_copy(update={"findings": (finding,)})
    assert move(waiting) == Wait(until=LATER)


def test_the_umbrella_incident_goes_its_own_way() -> None:
    """Its members are no news, and no step is taken for it."""
    for state in (S.OPEN, S.ESCALATED):
        over_all = case(state, told_members=7, given={"rule": UMBRELLA.name})
        assert move(over_all) == umbrella_move(over_all, START, TERMS)


def paging(state: IncidentState = S.OPEN, at: datetime | None = START, **more: Any) -> Case:
    """A case of which people are to be told that it has opened, at that moment."""
    return case(state, page_at=at, **more)


def test_people_are_told_that_it_opened_when_that_is_due() -> None:
    """To the moment, in the states that tell; what fires no more goes its own way, unless it is verified."""
    assert move(paging()) == Page()
    assert move(paging(at=START + TICK)) == TakeStep(index=0)
    assert move(paging(at=None)) == TakeStep(index=0)
    assert move(paging(S.ESCALATED), LATER - TICK) == Wait(until=LATER)
    assert applied(paging(firing=0)).state is S.RESOLVED
    assert move(paging(S.VERIFYING, firing=0)) == Page()
    assert move(paging(S.VERIFYING, firing=0, at=START + TICK)) == Check()


def test_a_page_under_maintenance_is_put_off_while_it_is_verified() -> None:
    """To the end of the window, and looked at again meanwhile; what is not verified goes to rest."""
    assert applied(paging(quiet=True)).state is S.SUPPRESSED
    verified = paging(S.VERIFYING, quiet=True)
    soon = applied(verified)
    assert (soon.state, soon.progress.page_at) == (S.VERIFYING, START + TERMS.suppressed_every)
    assert WINDOW.until is not None
    late = WINDOW.until - timedelta(seconds=3)
    assert applied(verified, late).progress.page_at == WINDOW.until


def test_a_page_in_a_storm_is_put_off_unless_it_is_of_the_worst() -> None:
    """The umbrella incident tells of it; it is looked at again when the storm may be over."""
    raging = {"storm": Storm(openings=TERMS.storm.openings)}
    mild = paging(given={"severity": Severity.P2})
    assert applied(mild.model_copy(update=raging)).progress.page_at == START + TERMS.storm.look_every
    assert move(mild) == Page()
    assert move(paging(given={"severity": Severity.P1}).model_copy(update=raging)) == Page()


def test_a_worse_severity_is_news_by_itself() -> None:
    """Nobody joined: what people hear is how bad it is by now."""
    change = applied(case(S.ESCALATED, covered_members=0, step=2))
    assert "it is P1 now, and no step is left" in change.notices[0].text
    bare = case(S.ESCALATED, covered_members=0)
    bare = bare.model_copy(update={"rule": bare.rule.model_copy(update={"steps": ()})})
    assert "it is P1 now, and its rule has no step" in applied(bare).notices[0].text
    assert change.notices[0].kind is NoticeKind.ESCALATED
