"""Each guard says no when it must, in words, and the strictest of all verdicts wins."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from responder.decide.case import Facts, ProbeReading, SourceView, Terms
from responder.decide.clock import Unsteady
from responder.decide.guards import GUARDS, judge
from responder.model.attempt import Claim, PastAttempt
from responder.model.autonomy import Autonomy, Ceiling
from responder.model.guard import Guard, Refuses, Ruling
from responder.model.rule import Limits, StepKind
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
        "limits": Limits(attempts=3, per=timedelta(hours=1), cooldown=timedelta(minutes=10)),
        "elements": ("pid 1",),
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


def ceiling(level: Autonomy) -> dict[str, Any]:
    """A second ceiling below the settings' one."""
    return {"ceilings": (*AUTO, Ceiling(level=level, origin="the rule"))}


HELD = [
    (Guard.HALT, Ruling.WAIT, {"halted": "by ann: deploy"}, "by ann: deploy"),
    (Guard.CLOCK, Ruling.WAIT, {"unsteady": Unsteady(reason="the clock jumped by 3h")}, "by 3h"),
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
    (Guard.CONDITION, Ruling.ASK, {"condition": ProbeReading(holds=None, text="empty")}, "no data"),
    (Guard.LOOK, Ruling.WAIT, {"look_problem": "does not answer"}, "does not answer"),
    (Guard.COOLDOWN, Ruling.WAIT, {"history": (past(9),)}, "another 1m"),
    (Guard.ATTEMPTS, Ruling.REFUSE, {"history": (past(50), past(40), past(30))}, "3 of 3"),
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


def test_the_undo_is_never_let_past_halt_clock_scope_claim_ground_and_floors() -> None:
    """An undo skips what only forbids new remediation, and nothing else."""
    kept = {v.guard for v in judge(facts(), TERMS).for_undo().verdicts}
    assert kept == {
        Guard.HALT,
        Guard.CLOCK,
        Guard.SCOPE,
        Guard.OWN_GROUND,
        Guard.LOOK,
        Guard.CLAIM,
        Guard.FLOOR,
        Guard.AUTONOMY,
    }
