"""What a guard that says wait waits for: each names the moment of the next look, and who or what holds."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from responder.decide.case import OpenIncidents, ProbeReading, Restrained, SourceView
from responder.decide.clock import Unsteady
from responder.decide.guards import judge
from responder.decide.guards.consent import autonomy
from responder.decide.guards.limits import attempts_left, cooldown, open_at_most
from responder.decide.guards.limits import budget as budget_left
from responder.decide.guards.service import storm
from responder.decide.guards.source import (
    self_caused,
    source_answers,
    stale_at,
    still_firing,
    suppressed,
    too_old,
)
from responder.decide.guards.target import (
    claim_free,
    condition,
    floor,
    human_override,
    look,
    managed_elsewhere,
    opt_out,
    own_ground,
)
from responder.decide.opt_out import opt_out_holds
from responder.model.approval import Approval, Consent
from responder.model.attempt import OwnAct, PastAttempt
from responder.model.autonomy import Autonomy, Ceiling
from responder.model.breaker import Breaker
from responder.model.budget import Budget, BudgetScope
from responder.model.guard import Guard, GuardVerdict, Refuses, Ruling
from responder.model.rule import StepKind
from responder.model.severity import Severity
from responder.model.storm import Storm
from responder.model.way import Way, WayKind
from tests.unit.test_guards import NOW, TERMS, budget, ceiling, claim, facts, limits, past

MINUTE = timedelta(minutes=1)
SOON = NOW + TERMS.hold_every
LATER = NOW + TERMS.suppressed_every
ACT = OwnAct(target="postgres/orders", rule="Restart", incident_id=UUID(int=9), at=NOW - MINUTE)
SILENT = SourceView(configured=True, problem="timeout")

WAITS: list[tuple[Guard, dict[str, Any], datetime, str | None]] = [
    (Guard.HALT, {"halted": "by ann"}, SOON, "halt"),
    (Guard.CLOCK, {"unsteady": Unsteady(reason="it jumped")}, SOON, "the clock"),
    (Guard.CLOCK, {"unsteady": Unsteady(reason="it jumped", until=NOW + MINUTE)}, NOW + MINUTE, "the clock"),
    (Guard.CLOCK, {"unsteady": Unsteady(reason="it jumped", until=NOW - MINUTE)}, NOW, "the clock"),
    (Guard.STILL_FIRING, {"firing": 0}, NOW, None),
    (Guard.STILL_FIRING, {"source": SourceView(configured=True, absent=1)}, SOON, "the source"),
    (
        Guard.SUPPRESSED,
        {"source": SourceView(configured=True, suppressed=1, suppressed_by="silence 9")},
        LATER,
        "silence 9",
    ),
    (
        Guard.SUPPRESSED,
        {"source": SourceView(configured=True, suppressed=1)},
        LATER,
        "a silence or an inhibition",
    ),
    (Guard.SOURCE, {"source": SILENT}, SOON, "the source"),
    (Guard.TOO_OLD, {"source": SILENT, "newest_seen_at": None}, SOON, "the source"),
    (
        Guard.SELF_CAUSED,
        {"own_act": ACT},
        ACT.at + TERMS.self_caused_within,
        f"the attempt of incident {ACT.incident_id}",
    ),
    (Guard.LOOK, {"look_problem": "does not answer"}, SOON, "postgres/orders"),
    (Guard.FLAPPING, {"flapped_at": NOW - 29 * MINUTE}, NOW + MINUTE, "flapping"),
    (Guard.COOLDOWN, {"history": (past(9),)}, NOW + MINUTE, "cooldown"),
    (Guard.BUDGET, {"budgets": (budget(BudgetScope.TARGET, 3, 3),)}, NOW + 30 * MINUTE, "budget"),
    (Guard.CLAIM, {"claim": claim()}, SOON, f"incident {UUID(int=2)} (rule Other)"),
    (Guard.CLAIM, {"claim": claim(asked_by="ann")}, SOON, f"incident {UUID(int=2)} (by hand, ann)"),
]


def verdict_of(guard: Guard, **changed: Any) -> GuardVerdict:
    """What one guard says; of the two of `scope` the stricter."""
    found = [one for one in judge(facts(**changed), TERMS).verdicts if one.guard is guard]
    return max(found, key=lambda one: one.ruling)


@pytest.mark.parametrize(("guard", "changed", "until", "holder"), WAITS)
def test_a_wait_has_a_next_look_and_a_holder(
    guard: Guard, changed: dict[str, Any], until: datetime, holder: str | None
) -> None:
    """Without a moment it would be held until its deadline, without a holder nobody knows whom to ask."""
    verdict = verdict_of(guard, **changed)
    assert (verdict.ruling, verdict.until, verdict.holder) == (Ruling.WAIT, until, holder)


@pytest.mark.parametrize(
    "view",
    [
        SourceView(configured=False, absent=1),
        SourceView(configured=True, problem="timeout", absent=1),
        SourceView(configured=True, absent=1, firing=1),
        SourceView(configured=True, absent=1, suppressed=1),
        SourceView(configured=True, absent=0),
    ],
)
def test_the_sources_word_that_it_ended_needs_a_source_that_was_asked(view: SourceView) -> None:
    """Not configured, no answer, or one alert that it does know: it fires on, by our record."""
    assert still_firing(facts(source=view), TERMS).ruling is Ruling.GO


def test_an_alert_that_fires_beside_a_silenced_one_is_not_suppressed() -> None:
    """One that is not silenced is enough to act for."""
    view = SourceView(configured=True, suppressed=1, firing=1)
    assert suppressed(facts(source=view), TERMS).ruling is Ruling.GO
    assert source_answers(facts(source=view), TERMS).reason == "the source was asked"
    assert source_answers(facts(source=SourceView(configured=False)), TERMS).asked is False


def test_when_a_word_is_too_old_is_known_where_nobody_can_confirm_it() -> None:
    """From the newest word on; a source that can be asked confirms it, and a person needs no alert."""
    unasked, heard = SourceView(configured=False), NOW - MINUTE
    assert stale_at(facts(source=unasked, newest_seen_at=heard), TERMS) == heard + TERMS.max_alert_age
    assert stale_at(facts(source=unasked, newest_seen_at=None), TERMS) is None
    assert stale_at(facts(source=SourceView(configured=True), newest_seen_at=heard), TERMS) is None
    assert stale_at(facts(source=unasked, newest_seen_at=heard, by_hand="ann"), TERMS) is None


def test_a_word_is_too_old_one_moment_after_its_age() -> None:
    """Exactly as old as allowed is not too old; and only an answer of the source makes it young again."""
    age = TERMS.max_alert_age
    unasked = SourceView(configured=False, asked_at=NOW)
    assert too_old(facts(source=unasked, newest_seen_at=NOW - age), TERMS).ruling is Ruling.GO
    over = NOW - age - timedelta(seconds=1)
    verdict = too_old(facts(source=unasked, newest_seen_at=over), TERMS)
    assert (verdict.ruling, verdict.refuses) == (Ruling.REFUSE, Refuses.INCIDENT)
    hung = SILENT.model_copy(update={"asked_at": NOW})
    assert too_old(facts(source=hung, newest_seen_at=over), TERMS).ruling is Ruling.WAIT
    asked = SourceView(configured=True, firing=1, asked_at=NOW - MINUTE)
    newest = too_old(facts(source=asked, newest_seen_at=NOW - 9 * MINUTE), TERMS)
    assert newest.reason == "heard of 1m ago"


BUDGETS = [
    ((), "no target to spend a budget on", None),
    (
        (budget(BudgetScope.GLOBAL, 19, 20), budget(BudgetScope.TARGET, 2, 3)),
        "spent: 19 of 20 of the global budget, 2 of 3 of the budget of postgres/orders",
        None,
    ),
    (
        (
            budget(BudgetScope.TARGET, 3, 3),
            Budget(scope=BudgetScope.GLOBAL, name="", spent=20, allowed=20, frees_at=NOW + 9 * MINUTE),
        ),
        "the budget of postgres/orders is spent: 3 of 3 starts, the next is free at 00:30:00 UTC",
        NOW + 30 * MINUTE,
    ),
    (
        (
            Budget(scope=BudgetScope.GLOBAL, name="", spent=20, allowed=20),
            budget(BudgetScope.TARGET, 3, 3),
        ),
        "the budget of postgres/orders is spent: 3 of 3 starts, the next is free at 00:30:00 UTC",
        NOW + 30 * MINUTE,
    ),
    (
        (Budget(scope=BudgetScope.TARGET, name="a", spent=3, allowed=3),),
        "the budget of a is spent: 3 of 3 starts, the next is free at 00:00:00 UTC",
        NOW,
    ),
    (
        (Budget(scope=BudgetScope.TARGET, name="a", spent=4, allowed=3, frees_at=NOW - MINUTE),),
        "the budget of a is spent: 4 of 3 starts, the next is free at 00:00:00 UTC",
        NOW,
    ),
]


@pytest.mark.parametrize(("budgets", "reason", "until"), BUDGETS)
def test_the_budget_that_frees_last_decides(
    budgets: tuple[Budget, ...], reason: str, until: datetime | None
) -> None:
    """Every one has to be free; a moment that is past is now."""
    verdict = budget_left(facts(kind=StepKind.DISRUPTIVE, budgets=budgets), TERMS)
    assert (verdict.reason, verdict.until) == (reason, until)
    assert (verdict.ruling is Ruling.GO) is (until is None)


OPEN = [
    (OpenIncidents(count=3), "3 incidents of this rule are open, more than 2: treat them as one outage"),
    (
        OpenIncidents(count=3, others=("server=a", "server=b")),
        "3 incidents of this rule are open, more than 2: treat them as one outage (also server=a; server=b)",
    ),
    (
        OpenIncidents(count=4, others=("server=a", "server=b")),
        (
            "4 incidents of this rule are open, more than 2: treat them as one outage "
            "(also server=a; server=b; and 1 more)"
        ),
    ),
    (
        OpenIncidents(count=200, more=True),
        "at least 200 incidents of this rule are open, more than 2: treat them as one outage",
    ),
    (OpenIncidents(count=2), "open of this rule: 2 incidents; up to 2 it acts"),
    (OpenIncidents(count=1), "open of this rule: 1 incident; up to 2 it acts"),
]


@pytest.mark.parametrize(("found", "reason"), OPEN)
def test_how_many_are_open_is_told_as_it_is_known(found: OpenIncidents, reason: str) -> None:
    """Some by name, the rest as a number; what was not counted to its end says so."""
    verdict = open_at_most(facts(limits=limits(only_if_open_at_most=2), open_incidents=found), TERMS)
    assert verdict.reason == reason
    assert (verdict.ruling is Ruling.REFUSE) is (found.count > 2)
    unknown = facts(limits=limits(only_if_open_at_most=2), open_incidents=None)
    assert open_at_most(unknown, TERMS).reason == "the rule sets no limit of open incidents"


def test_an_approval_that_fits_is_named_in_the_reason() -> None:
    """Who said yes is what lets it go; of an approval that does not fit it says why."""
    consent = Consent(
        action="test.act",
        target="postgres/orders",
        params={},
        facts="f",
        elements=("pid 1",),
        titles=("pid 1",),
    )
    approval = Approval(
        id=UUID(int=5),
        consent=consent,
        guards=(Guard.AUTONOMY,),
        by="ann",
        expires_at=NOW + MINUTE,
    )
    asked = {**ceiling(Autonomy.APPROVE), "approval": approval, "consent": consent}
    verdict = autonomy(facts(**asked), TERMS)
    assert (verdict.ruling, verdict.reason, verdict.approved) == (Ruling.GO, "approved by ann", True)
    late = autonomy(facts(**{**asked, "approval": approval.model_copy(update={"expires_at": NOW})}), TERMS)
    assert (late.ruling, late.approved) == (Ruling.ASK, False)
    assert late.reason == ("a person must approve (the rule); ann approved it, but the approval has expired")


def test_the_targets_own_reasons_are_told() -> None:
    """Who changed it, what it opted out with, how many elements: the words are what people go by."""
    nobody = human_override(facts(began_at=NOW, changed_at=NOW, changed_by=None), TERMS)
    assert nobody.reason.startswith("somebody changed postgres/orders at 2026-01-01 00:00:00 UTC")
    assert human_override(facts(began_at=None, changed_at=NOW), TERMS).ruling is Ruling.GO
    assert opt_out(facts(), TERMS).reason == "the target has not opted out"
    assert floor(facts(elements=("a",)), TERMS).reason == "1 element, within the limits"
    assert floor(facts(elements=("a", "b")), TERMS).reason == "2 elements, within the limits"
    assert floor(facts(elements=()), TERMS).reason == "0 elements, within the limits"
    assert condition(facts(condition=None), TERMS).reason == "no condition"
    held = facts(condition=ProbeReading(holds=True, text="3 > 0"))
    assert condition(held, TERMS).reason == "3 > 0"


def test_of_no_target_nothing_is_said() -> None:
    """Where none was found no guard of the target's claims that it was asked and is in order."""
    nowhere = facts(target=None, out_of_scope="no connection fits")
    of_the_target = (opt_out, own_ground, managed_elsewhere, human_override, look, claim_free, floor)
    assert {guard(nowhere, TERMS).reason for guard in of_the_target} == {"no target: not asked"}


def test_the_cooldown_counts_from_the_latest_end_to_the_moment() -> None:
    """An attempt that runs on counts from its intent; at the very end of the cooldown it is over."""
    ten = limits().cooldown
    long = PastAttempt(intended_at=NOW - 60 * MINUTE, ended_at=NOW - MINUTE, spent=True, same_ladder=False)
    running = PastAttempt(intended_at=NOW - 5 * MINUTE, ended_at=None, spent=True, same_ladder=False)
    assert cooldown(facts(history=(long,)), TERMS).until == NOW - MINUTE + ten
    assert cooldown(facts(history=(running,)), TERMS).until == NOW - 5 * MINUTE + ten
    assert cooldown(facts(history=(past(30), past(2), past(9))), TERMS).until == NOW - 2 * MINUTE + ten
    over = cooldown(facts(history=(past(10),)), TERMS)
    assert (over.ruling, over.reason) == (Ruling.GO, "the cooldown after an earlier ladder is over")
    own = cooldown(facts(history=(past(1, same_ladder=True),)), TERMS)
    assert (own.ruling, own.reason) == (Ruling.GO, "no attempt of an earlier ladder to cool down from")


def test_attempts_are_counted_within_the_window_and_only_if_spent() -> None:
    """One exactly as old as the window has left it; a proven no was none."""
    for history in ((past(60), past(50), past(40)), (past(50), past(40), past(30, spent=False))):
        verdict = attempts_left(facts(history=history), TERMS)
        assert (verdict.ruling, verdict.reason) == (Ruling.GO, "2 of 3 attempts in 1h are spent")


def test_spent_attempts_say_when_one_is_free() -> None:
    """When the oldest of those that are too many leaves the window."""
    verdict = attempts_left(facts(history=(past(30), past(50), past(40), past(20))), TERMS)
    free = (NOW - 40 * MINUTE + 60 * MINUTE).strftime("%H:%M:%S")
    told = f"4 of 3 attempts on postgres/orders in 1h are spent; one is free at {free} UTC"
    assert verdict.reason == told


def test_a_target_that_is_only_observed_is_not_said_to_have_been_looked_at() -> None:
    """What needs a look was not asked; what does not was."""
    verdicts = judge(facts(observed=True), TERMS).verdicts
    unasked = {one.guard for one in verdicts if not one.asked}
    seen = {Guard.SCOPE, Guard.OWN_GROUND, Guard.LOOK, Guard.MANAGED, Guard.OVERRIDE, Guard.FLOOR}
    assert seen <= unasked
    assert not {Guard.HALT, Guard.CLAIM, Guard.ATTEMPTS} & unasked
    nowhere = {one.guard for one in judge(facts(target=None), TERMS).verdicts if not one.asked}
    assert {Guard.CLAIM, Guard.LOOK} <= nowhere


SPENT = budget(BudgetScope.TARGET, 2, 2)
FROZEN = Restrained(
    holder="freeze 7", reason="frozen", until=NOW + MINUTE, way=Way(kind=WayKind.END_FREEZE, of="7")
)
UPGRADE = Restrained(
    holder="maintenance 3", reason="m", until=NOW + MINUTE, way=Way(kind=WayKind.END_MAINTENANCE, of="3")
)
BROKEN = Breaker(rule="Hit", opened_at=NOW, attempts=(UUID(int=1),))


@pytest.mark.parametrize(
    ("guard", "given", "way", "over_at"),
    [
        (Guard.FREEZE, {"freeze": FROZEN}, FROZEN.way, NOW + MINUTE),
        (Guard.FREEZE, {"freeze": FROZEN.model_copy(update={"way": None})}, None, NOW + MINUTE),
        (Guard.MAINTENANCE, {"maintenance": UPGRADE}, UPGRADE.way, NOW + MINUTE),
        (Guard.BREAKER, {"breaker": BROKEN}, Way(kind=WayKind.RESET_BREAKER, of="Hit"), None),
        (Guard.BUDGET, {"budgets": (SPENT,)}, Way(kind=WayKind.SEE_BUDGETS), SPENT.frees_at),
    ],
)
def test_what_holds_a_step_says_when_it_is_over_and_what_ends_it_before(
    guard: Guard, given: dict[str, Any], way: Way | None, over_at: datetime | None
) -> None:
    """Each leads to its own command; what nobody can end from here has none."""
    [said] = [one for one in judge(facts(**given), TERMS).verdicts if one.guard is guard]
    assert said.ruling in {Ruling.WAIT, Ruling.REFUSE}
    assert (said.ways, said.over_at) == (() if way is None else (way,), over_at)


@pytest.mark.parametrize(("budgets", "was_asked"), [((), False), ((budget(BudgetScope.TARGET, 1, 2),), True)])
def test_no_budget_was_asked_where_there_is_no_target_to_spend_it_on(
    budgets: tuple[Budget, ...], *, was_asked: bool
) -> None:
    """What has something left says so; of nothing nothing is said."""
    assert budget_left(facts(budgets=budgets), TERMS).asked is was_asked


def test_a_rule_that_may_never_act_names_no_time_at_which_it_may() -> None:
    """No attempt at all is allowed, and none was made."""
    never = limits().model_copy(update={"attempts": 0})
    assert (
        attempts_left(facts(limits=never), TERMS).reason
        == "0 of 0 attempts on postgres/orders in 1h are spent"
    )


def test_of_no_target_it_is_not_said_that_it_is_only_observed() -> None:
    """There is none to be looked at."""
    assert look(facts(target=None, observed=True), TERMS).reason == "no target: not asked"
    assert look(facts(observed=True), TERMS).reason == "observe: the target is not looked at"


def test_a_storm_and_our_own_act_lead_to_the_incident_that_tells_more() -> None:
    """The umbrella, where there is one; the act's own incident, with when its time is over."""
    raging = TERMS.storm.openings
    for umbrella, ways in ((None, ()), (UUID(int=5), (Way(kind=WayKind.SEE_INCIDENT, of=str(UUID(int=5))),))):
        told = storm(facts(storm=Storm(openings=raging, umbrella=umbrella), severity=Severity.P2), TERMS)
        assert (told.ruling, told.ways) == (Ruling.REFUSE, ways)
    ours = self_caused(facts(own_act=ACT), TERMS)
    assert ours.ways == (Way(kind=WayKind.SEE_INCIDENT, of=str(ACT.incident_id)),)
    assert ours.over_at == ACT.at + TERMS.self_caused_within


def test_who_holds_the_target_says_until_when_it_is_verified() -> None:
    """And a quarantine how it is released, that of this attempt; neither has an end that is sure."""
    busy = claim().model_copy(update={"proven_by": NOW + MINUTE})
    told = claim_free(facts(claim=busy), TERMS)
    assert told.reason.endswith(f", which verifies until {NOW + MINUTE:%H:%M:%S} UTC")
    see = Way(kind=WayKind.SEE_INCIDENT, of=str(busy.incident_id))
    assert (told.over_at, told.verifies_until, told.ways) == (None, NOW + MINUTE, (see,))
    lost = claim_free(facts(claim=busy.model_copy(update={"quarantined": True})), TERMS)
    release = Way(kind=WayKind.RELEASE, of=busy.target, by=str(busy.attempt_id))
    assert (lost.verifies_until, lost.ways) == (None, (see, release))


def test_every_ceiling_that_is_as_low_names_how_it_is_raised() -> None:
    """Raising one alone would change nothing."""
    promote, raised = Way(kind=WayKind.PROMOTE, of="Hit"), Way(kind=WayKind.RAISE_CEILING)
    ceilings = (
        Ceiling(level=Autonomy.SHADOW, origin="the settings' ceiling", way=raised),
        Ceiling(level=Autonomy.AUTO, origin="the rule"),
        Ceiling(level=Autonomy.SHADOW, origin="nobody has promoted this version of Hit", way=promote),
        Ceiling(level=Autonomy.APPROVE, origin="x", way=Way(kind=WayKind.PROMOTE, of="Other")),
    )
    verdict = autonomy(facts(ceilings=ceilings), TERMS)
    assert verdict.shadow
    assert verdict.ways == (raised, promote)
    assert verdict.reason == "shadow only, the settings' ceiling"
    bare = Ceiling(level=Autonomy.SHADOW, origin="source web takes alerts without a token")
    fixed = autonomy(facts(ceilings=(*ceilings, bare)), TERMS)
    assert fixed.reason == f"shadow only, the settings' ceiling, and {bare.origin}"
    assert fixed.ways == (raised, promote)


def test_without_a_limit_any_number_may_be_open() -> None:
    """What the ledger counted is nobody's business then."""
    verdict = open_at_most(facts(open_incidents=OpenIncidents(count=500)), TERMS)
    assert (verdict.ruling, verdict.reason) == (Ruling.GO, "the rule sets no limit of open incidents")


def test_an_opt_out_until_a_day_holds_until_that_day_is_over_everywhere() -> None:
    """The last places on earth are twelve hours behind."""
    noon = datetime(2026, 1, 2, 12, tzinfo=UTC)
    assert opt_out_holds("until 2026-01-01: moving house", noon - timedelta(microseconds=1))
    assert not opt_out_holds("UNTIL 2026-01-01: moving house", noon)
