"""Properties of the limits: nothing beyond what is allowed, and each wait names the moment that ends it."""

from datetime import timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from responder.decide.budgets import accounts
from responder.decide.case import Flapping, OpenIncidents, Terms
from responder.decide.guards.limits import (
    attempts_left,
    breaker,
    budget,
    cooldown,
    flapping,
    open_at_most,
    recurrence,
)
from responder.model.attempt import PastAttempt
from responder.model.breaker import Breaker
from responder.model.budget import Budgets, BudgetScope, Start
from responder.model.guard import Refuses, Ruling
from responder.model.rule import Limits, Recurrence, StepKind
from responder.model.way import Way, WayKind
from tests.unit.test_guards import NOW, TERMS, facts

SECONDS = st.integers(0, 2 * 3600).map(lambda seconds: timedelta(seconds=seconds))
DURATIONS = st.integers(1, 3600).map(lambda seconds: timedelta(seconds=seconds))
SECOND = timedelta(seconds=1)


@st.composite
def past_attempts(draw: st.DrawFn) -> PastAttempt:
    began = draw(SECONDS)
    ended = draw(st.none() | st.integers(0, int(began.total_seconds())))
    return PastAttempt(
        intended_at=NOW - began,
        ended_at=None if ended is None else NOW - timedelta(seconds=ended),
        spent=draw(st.booleans()),
        same_ladder=draw(st.booleans()),
    )


LIMITS = st.builds(
    Limits,
    attempts=st.integers(1, 5),
    per=DURATIONS,
    cooldown=DURATIONS | st.just(timedelta(0)),
    recurrence=st.none() | st.builds(Recurrence, count=st.integers(1, 5), within=DURATIONS),
    only_if_open_at_most=st.none() | st.integers(1, 5),
)


@given(st.none() | SECONDS, st.builds(Flapping, episodes=st.integers(2, 9), within=DURATIONS))
def test_flapping_waits_until_the_nth_newest_episode_is_old(ago: timedelta | None, asked: Flapping) -> None:
    """Exactly so long, and no longer."""
    terms = Terms(flapping=asked)
    at = None if ago is None else NOW - ago
    verdict = flapping(facts(flapped_at=at), terms)
    assert (verdict.ruling is Ruling.WAIT) is (ago is not None and ago < asked.within)
    if verdict.until is not None:
        assert verdict.until > NOW
        assert flapping(facts(now=verdict.until, flapped_at=at), terms).ruling is Ruling.GO
        assert flapping(facts(now=verdict.until - SECOND, flapped_at=at), terms).ruling is Ruling.WAIT


@given(st.lists(past_attempts(), max_size=6), LIMITS)
def test_the_cooldown_is_counted_from_the_end_of_other_ladders(
    history: list[PastAttempt], limits: Limits
) -> None:
    """Not from their beginning, not between steps of one ladder, not for what is proven not done."""
    ends = [one.ended_at or one.intended_at for one in history if one.spent and not one.same_ladder]
    verdict = cooldown(facts(history=tuple(history), limits=limits), TERMS)
    assert (verdict.ruling is Ruling.GO) is all(NOW - end >= limits.cooldown for end in ends)
    if verdict.until is not None:
        assert verdict.until == max(ends) + limits.cooldown


@given(st.lists(past_attempts(), max_size=8), LIMITS)
def test_no_attempt_beyond_those_of_the_window(history: list[PastAttempt], limits: Limits) -> None:
    """Whoever made them, of this ladder or another; a proven "no" comes back."""
    spent = [one for one in history if one.spent and NOW - one.intended_at < limits.per]
    verdict = attempts_left(facts(history=tuple(history), limits=limits), TERMS)
    assert (verdict.ruling is Ruling.GO) is (len(spent) < limits.attempts)


@given(LIMITS, st.integers(0, 8))
def test_what_recurs_too_often_escalates(limits: Limits, recurred: int) -> None:
    """It is the incident's: the next step would not mend the cause either."""
    verdict = recurrence(facts(limits=limits, recurred=recurred), TERMS)
    asked = limits.recurrence
    assert (verdict.refuses is Refuses.INCIDENT) is (asked is not None and recurred >= asked.count)
    assert (verdict.ruling is Ruling.REFUSE) is (verdict.refuses is not None)


@given(LIMITS, st.none() | st.integers(1, 8), st.booleans())
def test_too_many_open_incidents_of_a_rule_escalate(limits: Limits, number: int | None, more: bool) -> None:
    """The text names how many there are."""
    found = None if number is None else OpenIncidents(count=number, more=more, others=("server=db2",))
    verdict = open_at_most(facts(limits=limits, open_incidents=found), TERMS)
    most = limits.only_if_open_at_most
    refused = most is not None and number is not None and number > most
    assert (verdict.refuses is Refuses.INCIDENT) is refused
    if refused:
        assert str(number) in verdict.reason
        assert "server=db2" in verdict.reason


@given(st.integers(1, 5), LIMITS)
def test_an_open_breaker_escalates_and_says_how_it_is_reset(failures: int, limits: Limits) -> None:
    """Whatever else is in order."""
    found = Breaker(rule="Stuck", opened_at=NOW, attempts=(UUID(int=1),) * failures)
    verdict = breaker(facts(breaker=found, limits=limits), TERMS)
    assert verdict.refuses is Refuses.INCIDENT
    assert verdict.ways == (Way(kind=WayKind.RESET_BREAKER, of="Stuck"),)
    assert breaker(facts(limits=limits), TERMS).ruling is Ruling.GO


@st.composite
def some_starts(draw: st.DrawFn) -> list[Start]:
    made = draw(st.lists(st.tuples(SECONDS, st.sampled_from("ab"), st.sampled_from("xy")), max_size=12))
    return [
        Start(
            at=NOW - ago,
            target=target,
            namespace=namespace,
            attempt_id=UUID(int=number),
            incident_id=UUID(int=0),
            rule="Stuck",
            action="test.act",
        )
        for number, (ago, target, namespace) in enumerate(made)
    ]


SOME_BUDGETS = st.builds(
    Budgets,
    target=st.integers(1, 3),
    namespace=st.integers(1, 4),
    globally=st.integers(1, 6),
    within=DURATIONS,
)


@given(some_starts(), SOME_BUDGETS)
def test_a_disruptive_start_needs_all_three_budgets(starts: list[Start], budgets: Budgets) -> None:
    """It waits while one is spent, to the moment at which, without further starts, none is."""

    def of_target(now_plus: timedelta = timedelta(0)) -> dict[str, object]:
        found = accounts(starts, budgets, NOW + now_plus)
        mine = {BudgetScope.GLOBAL: "", BudgetScope.NAMESPACE: "x", BudgetScope.TARGET: "a"}
        return {
            "now": NOW + now_plus,
            "budgets": tuple(one.budget for one in found if mine[one.budget.scope] == one.budget.name),
        }

    counted = [start for start in starts if NOW - start.at < budgets.within]
    left = (
        len(counted) < budgets.globally
        and sum(start.namespace == "x" for start in counted) < budgets.namespace
        and sum(start.target == "a" for start in counted) < budgets.target
    )
    verdict = budget(facts(**of_target()), TERMS)
    assert (verdict.ruling is Ruling.GO) is left
    assert budget(facts(**of_target(), kind=StepKind.SAFE), TERMS).ruling is Ruling.GO
    if verdict.until is not None:
        assert verdict.holder == "budget"
        assert budget(facts(**of_target(verdict.until - NOW)), TERMS).ruling is Ruling.GO
        assert budget(facts(**of_target(verdict.until - NOW - SECOND)), TERMS).ruling is Ruling.WAIT


@given(some_starts(), SOME_BUDGETS)
def test_every_start_of_the_window_is_in_three_accounts(starts: list[Start], budgets: Budgets) -> None:
    """And in no more: what is told of budgets is what they are counted by."""
    found = accounts(starts, budgets, NOW)
    counted = {start.attempt_id for start in starts if NOW - start.at < budgets.within}
    for scope in BudgetScope:
        told = [start.attempt_id for one in found if one.budget.scope is scope for start in one.starts]
        assert sorted(told) == sorted(counted)
    for account in found:
        assert account.budget.spent == len(account.starts)
        assert account.budget.used_up is (account.budget.frees_at is not None)


@given(LIMITS, LIMITS)
def test_the_tighter_limits_are_as_strict_as_each(one: Limits, other: Limits) -> None:
    """Key by key, whichever of them is the newer rule's; what only one sets counts."""
    both = one.tightened(other)
    assert both == other.tightened(one)
    assert both.tightened(one) == both
    for each in (one, other):
        assert both.attempts <= each.attempts
        assert both.per >= each.per
        assert both.cooldown >= each.cooldown
        if each.recurrence is not None:
            assert both.recurrence is not None
            assert both.recurrence.count <= each.recurrence.count
            assert both.recurrence.within >= each.recurrence.within
        if each.only_if_open_at_most is not None:
            assert both.only_if_open_at_most is not None
            assert both.only_if_open_at_most <= each.only_if_open_at_most
