"""Each guard says no when it must, in words, and the strictest of all verdicts wins."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from responder.decide.case import Facts, OpenIncidents, ProbeReading, Restrained, SourceView, Terms
from responder.decide.clock import Unsteady
from responder.decide.guards import GUARDS, judge
from responder.model.attempt import Claim, PastAttempt
from responder.model.autonomy import Autonomy, Ceiling
from responder.model.breaker import Breaker
from responder.model.budget import Budget, BudgetScope
from responder.model.guard import Guard, Refuses, Ruling
from responder.model.rule import Limits, Recurrence, StepKind
from responder.model.severity import Severity

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TERMS = Terms()
AUTO = (Ceiling(level=Autonomy.AUTO, origin="the settings' ceiling"),)


def facts(**changed: Any) -> Facts:
    """Facts under which everything may go, with some changed."""
    given: dict[str, Any] = {
        "now": NOW,
        "severity": Severity.P2,
        "kind": StepKind.DISRUPTIVE,
        "action": "test.act",
        "target": "postgres/orders",
        "ceilings": AUTO,
        "firing": 1,
        "source": SourceView(configured=True, firing=1, asked_at=NOW),
        "newest_seen_at": NOW,
        "limits": limits(),
        "elements": ("pid 1",),
        "recurred": 0,
    }
    return Facts(**{**given, **changed})


def past(minutes: float, *, spent: bool = True, same_ladder: bool = False) -> PastAttempt:
    """An attempt that many minutes ago."""
    at = NOW - timedelta(minutes=minutes)
    return PastAttempt(intended_at=at, ended_at=at, spent=spent, same_ladder=same_ladder)


def claim(**changed: Any) -> Claim:
    """Somebody else's claim."""
    given: dict[str, Any] = {
        "target": "postgres/orders",
        "attempt_id": UUID(int=1),
        "incident_id": UUID(int=2),
        "rule": "Other",
        "since": NOW,
    }
    return Claim(**{**given, **changed})


def limits(**more: Any) -> Limits:
    """The usual limits, and more."""
    return Limits(attempts=3, per=timedelta(hours=1), cooldown=timedelta(minutes=10), **more)


def budget(scope: BudgetScope, spent: int, allowed: int) -> Budget:
    """A budget of the target's; where it is spent it frees in half an hour."""
    frees_at = NOW + timedelta(minutes=30) if spent >= allowed else None
    name = "" if scope is BudgetScope.GLOBAL else "postgres/orders"
    return Budget(scope=scope, name=name, spent=spent, allowed=allowed, frees_at=frees_at)


def ceiling(level: Autonomy) -> dict[str, Any]:
    """A second ceiling below the settings' one."""
    return {"ceilings": (*AUTO, Ceiling(level=level, origin="the rule"))}


UNTIL = Restrained(holder="freeze 7", reason="not until eight", until=NOW + timedelta(hours=8))

HELD = [
    (Guard.HALT, Ruling.WAIT, {"halted": "by ann: deploy"}, "by ann: deploy"),
    (Guard.CLOCK, Ruling.WAIT, {"unsteady": Unsteady(reason="the clock jumped by 3h")}, "by 3h"),
    (Guard.FREEZE, Ruling.WAIT, {"freeze": UNTIL}, "until eight"),
    (Guard.MAINTENANCE, Ruling.WAIT, {"maintenance": UNTIL}, "until eight"),
    (Guard.SCOPE, Ruling.REFUSE, {"out_of_scope": "no connection fits"}, "no connection fits"),
    (Guard.SCOPE, Ruling.REFUSE, {"opted_out": "migration until 5"}, "migration until 5"),
    (
        Guard.OWN_GROUND,
        Ruling.REFUSE,
        {"ground": ("pg/7",), "own_ground": ("pg/7",)},
        "carries the responder",
    ),
    (Guard.STILL_FIRING, Ruling.WAIT, {"firing": 0}, "no alert"),
    (Guard.STILL_FIRING, Ruling.WAIT, {"source": SourceView(configured=True, absent=1)}, "does not know"),
    (
        Guard.SUPPRESSED,
        Ruling.WAIT,
        {"source": SourceView(configured=True, suppressed=1, suppressed_by="silence 9")},
        "silence 9",
    ),
    (Guard.SOURCE, Ruling.WAIT, {"source": SourceView(configured=True, problem="timeout")}, "timeout"),
    (
        Guard.TOO_OLD,
        Ruling.REFUSE,
        {"newest_seen_at": None, "source": SourceView(configured=False)},
        "unknown",
    ),
    (
        Guard.TOO_OLD,
        Ruling.REFUSE,
        {"newest_seen_at": NOW - timedelta(minutes=11), "source": SourceView(configured=False)},
        "11m old",
    ),
    (
        Guard.SOURCE,
        Ruling.WAIT,
        {
            "newest_seen_at": NOW - timedelta(minutes=11),
            "source": SourceView(configured=True, problem="timeout"),
        },
        "timeout",
    ),
    (Guard.CONDITION, Ruling.REFUSE, {"condition": ProbeReading(holds=False, text="0 > 0")}, "0 > 0"),
    (Guard.CONDITION, Ruling.ASK, {"condition": ProbeReading(holds=None, text="empty")}, "nobody can say"),
    (Guard.LOOK, Ruling.WAIT, {"look_problem": "does not answer"}, "does not answer"),
    (Guard.COOLDOWN, Ruling.WAIT, {"history": (past(9),)}, "cooling down until 00:01:00 UTC"),
    (Guard.ATTEMPTS, Ruling.REFUSE, {"history": (past(50), past(40), past(30))}, "3 of 3"),
    (
        Guard.FLAPPING,
        Ruling.WAIT,
        {"flapped_at": NOW - timedelta(minutes=29)},
        "5 times or more within 30m; not before 00:01:00 UTC",
    ),
    (
        Guard.RECURRENCE,
        Ruling.REFUSE,
        {"limits": limits(recurrence=Recurrence(count=3, within=timedelta(days=10))), "recurred": 3},
        "doing it again mends nothing (the rule's limits.recurrence is 3)",
    ),
    (
        Guard.BREAKER,
        Ruling.REFUSE,
        {"breaker": Breaker(rule="Stuck", opened_at=NOW, attempts=(UUID(int=1),) * 3)},
        "3 attempts in a row did not lead to recovery",
    ),
    (
        Guard.OPEN_AT_MOST,
        Ruling.REFUSE,
        {
            "limits": limits(only_if_open_at_most=2),
            "open_incidents": OpenIncidents(count=5, others=("server=db2", "server=db3")),
        },
        "5 incidents of this rule are open, more than 2: treat them as one outage (also server=db2;",
    ),
    (
        Guard.BUDGET,
        Ruling.WAIT,
        {"budgets": (budget(BudgetScope.GLOBAL, 4, 20), budget(BudgetScope.TARGET, 3, 3))},
        "the budget of postgres/orders is spent: 3 of 3 starts, the next is free at 00:30:00 UTC",
    ),
    (Guard.CLAIM, Ruling.WAIT, {"claim": claim()}, "held by"),
    (Guard.CLAIM, Ruling.WAIT, {"claim": claim(quarantined=True, reason="unknown")}, "quarantined"),
    (Guard.FLOOR, Ruling.REFUSE, {"floor": "9 elements were found"}, "9 elements"),
    (Guard.AUTONOMY, Ruling.ASK, ceiling(Autonomy.APPROVE), "the rule"),
]


@pytest.mark.parametrize(("guard", "ruling", "changed", "words"), HELD)
def test_a_guard_holds_what_it_is_there_for(
    guard: Guard, ruling: Ruling, changed: dict[str, Any], words: str
) -> None:
    """The guard named decides, with its ruling and its reason; all guards are judged all the same."""
    judgement = judge(facts(**changed), TERMS)
    assert (judgement.strictest.guard, judgement.strictest.ruling) == (guard, ruling)
    assert words in judgement.strictest.reason
    assert len(judgement.verdicts) == len(GUARDS)


PASSES = [
    {},
    {"history": (past(9, same_ladder=True),)},
    {"history": (past(9, spent=False),)},
    {"history": (past(11),)},
    {"history": (past(61), past(61), past(61))},
    {"newest_seen_at": NOW - timedelta(minutes=11)},
    {"source": SourceView(configured=False)},
    {"source": SourceView(configured=True, firing=1, suppressed=1, asked_at=NOW)},
    {"ground": ("pg/7",), "own_ground": ("pg/8",)},
    {"condition": ProbeReading(holds=True, text="1 > 0")},
    {"flapped_at": NOW - timedelta(minutes=30)},
    {"limits": limits(recurrence=Recurrence(count=3, within=timedelta(days=10))), "recurred": 2},
    {"limits": limits(only_if_open_at_most=2), "open_incidents": OpenIncidents(count=2)},
    {"budgets": (budget(BudgetScope.GLOBAL, 19, 20), budget(BudgetScope.TARGET, 2, 3))},
    {"kind": StepKind.SAFE, "budgets": (budget(BudgetScope.TARGET, 3, 3),)},
]


@pytest.mark.parametrize("changed", PASSES)
def test_what_is_in_order_may_go(changed: dict[str, Any]) -> None:
    """Steps of one ladder need no cooldown, a proven no is not spent, a fresh API answer renews an alert."""
    judgement = judge(facts(**changed), TERMS)
    assert judgement.strictest.ruling is Ruling.GO
    assert not judgement.shadow


@pytest.mark.parametrize("level", [Autonomy.SHADOW, Autonomy.OBSERVE])
def test_the_least_ceiling_applies(level: Autonomy) -> None:
    """Shadow and observe go without effect, and name who says so."""
    judgement = judge(facts(**ceiling(level)), TERMS)
    assert (judgement.strictest.ruling, judgement.shadow) == (Ruling.GO, True)
    assert "the rule" in judgement.verdicts[-1].reason


def test_refusals_by_the_incident_weigh_more_than_the_targets() -> None:
    """Of two refusals the incident's decides: the next step would meet it again."""
    judgement = judge(facts(floor="too many", out_of_scope="none fits"), TERMS)
    assert judgement.strictest.refuses is Refuses.INCIDENT


HOLDS_AN_UNDO = {
    Guard.HALT: True,
    Guard.CLOCK: True,
    Guard.FREEZE: True,
    Guard.MAINTENANCE: True,
    Guard.STORM: False,
    Guard.SCOPE: True,
    Guard.OWN_GROUND: True,
    Guard.STILL_FIRING: False,
    Guard.SUPPRESSED: False,
    Guard.SOURCE: False,
    Guard.TOO_OLD: False,
    Guard.BLIND: False,
    Guard.SELF_CAUSED: False,
    Guard.CONDITION: False,
    Guard.LOOK: True,
    Guard.MANAGED: True,
    Guard.OVERRIDE: True,
    Guard.FLAPPING: False,
    Guard.COOLDOWN: False,
    Guard.ATTEMPTS: False,
    Guard.RECURRENCE: False,
    Guard.BREAKER: False,
    Guard.OPEN_AT_MOST: False,
    Guard.CLAIM: True,
    Guard.BUDGET: False,
    Guard.FLOOR: True,
    Guard.AUTONOMY: True,
}
"""Whether a guard may keep an attempt from being taken back: decided for each, one by one."""


@pytest.mark.parametrize("guard", Guard)
def test_an_undo_skips_what_only_keeps_more_from_being_done(guard: Guard) -> None:
    """Never halt, clock, scope, claim, ground and floors. For a new guard it has to be decided."""
    judged = {verdict.guard for verdict in judge(facts(), TERMS).verdicts}
    kept = {verdict.guard for verdict in judge(facts(), TERMS).for_undo().verdicts}
    assert guard in judged
    assert (guard in kept) is HOLDS_AN_UNDO[guard]


def test_a_freeze_is_looked_at_again_meanwhile_and_at_its_end_at_the_latest() -> None:
    """A person may end it before its time, and nobody tells those that it holds."""
    soon = UNTIL.model_copy(update={"until": NOW + timedelta(seconds=3)})
    for given, until in ((UNTIL, NOW + TERMS.suppressed_every), (soon, soon.until)):
        verdict = judge(facts(freeze=given), TERMS).strictest
        assert (verdict.until, verdict.holder) == (until, "freeze 7")
