"""Claims about what a backtest takes from the record: which answer fits which question, and for how long."""

from datetime import UTC, datetime, timedelta
from typing import Any

from responder.model.attempt import Outcome
from responder.model.guard import Guard
from responder.ports import IncidentKey
from responder.rehearsal.assumed import Assumed, AssumedActions
from responder.rehearsal.kept import Clock
from responder.rehearsal.recorded import Fact, FactKind, Known, Recorded
from responder.rehearsal.rehearsal import Doing, Now
from responder.rehearsal.scene import own_actions
from tests.support.pools import with_pools
from tests.support.rule_surroundings import surroundings

T0 = datetime(2026, 11, 1, tzinfo=UTC)
MINE: IncidentKey = ("Stuck", b"\x01")
OTHERS: IncidentKey = ("Other", b"\x02")
ACTION, TARGET = "postgres.cancel_queries", "postgres/a"


def after(minutes: float) -> datetime:
    return T0 + timedelta(minutes=minutes)


def verdict(guard: Guard, ruling: str, reason: str = "so") -> dict[str, str]:
    return {"guard": guard.value, "ruling": ruling, "reason": reason}


def judged(minute: float, *verdicts: dict[str, str], of: IncidentKey = MINE, **more: Any) -> Fact:
    told = {"step": 0, "action": ACTION, "target": TARGET, "verdicts": list(verdicts), "elements": ["pid 7"]}
    return Fact(after(minute), FactKind.JUDGED, of, {**told, "element_count": 1, **more})


def attempt(minute: float, outcome: Outcome, of: IncidentKey = MINE, **more: Any) -> Fact:
    told = {
        "step": 0,
        "action": ACTION,
        "target": TARGET,
        "elements": [{"key": "7/1", "title": "pid 7"}],
        "state_before": {"replicas": 3},
        "outcome": outcome.value,
        "results": [{"element": "7/1", "outcome": outcome.value, "detail": "as it says"}],
    }
    return Fact(after(minute), FactKind.ATTEMPT, of, {**told, **more})


def recorded(*facts: Fact, of: IncidentKey | None = MINE, step: int = 0) -> Recorded:
    known = Recorded(Now(None if of is None else Doing(of[0], step), of))
    for fact in facts:
        known.hear(fact)
    return known


def test_a_look_finds_what_was_judged_and_an_attempt_says_it_better() -> None:
    """By titles at first, and as many as were counted; with the elements themselves where it was begun."""
    known = recorded(judged(0, element_count=3))
    found = known.found(ACTION, TARGET, after(0))
    assert found is not None
    assert [one.title for one in found.elements] == ["pid 7", "element 2", "element 3"]
    known.hear(attempt(0, Outcome.DONE))
    found = known.found(ACTION, TARGET, after(0))
    assert found is not None
    assert ([one.key for one in found.elements], found.state) == (["7/1"], {"replicas": 3})
    assert known.used == {(Known.LOOK, ACTION): 2}


def test_a_target_that_did_not_answer_or_refused_does_so_again() -> None:
    """With the words that it had; what let it go says nothing."""
    away = recorded(judged(0, verdict(Guard.LOOK, "wait", "it is away"))).found(ACTION, TARGET, after(0))
    assert away is not None
    assert (away.away, away.floor) == ("it is away", None)
    for guard in (Guard.FLOOR, Guard.SCOPE, Guard.MANAGED, Guard.OVERRIDE, Guard.OWN_GROUND):
        floor = recorded(judged(0, verdict(Guard.LOOK, "go"), verdict(guard, "refuse", "no"))).found(
            ACTION, TARGET, after(0)
        )
        assert floor is not None
        assert (floor.away, floor.floor) == (None, "no")
    ours = recorded(judged(0, verdict(Guard.COOLDOWN, "refuse"))).found(ACTION, TARGET, after(0))
    assert ours is not None
    assert ours.floor is None, "limits are judged by the backtest itself"


def test_what_was_not_looked_at_is_not_known() -> None:
    """Of an observed step, of one without a target, and of a redacted entry."""
    for fact in (judged(0, observed=True), judged(0, target=None), Fact(T0, FactKind.JUDGED, MINE, {})):
        assert recorded(fact).found(ACTION, TARGET, after(0)) is None


def test_the_own_answer_holds_until_another_comes_and_that_of_others_for_an_hour() -> None:
    """An incident that sees nothing new writes nothing; of others nobody knows for how long it was so.

    After a day it may be another incident of the group, for which nothing was recorded.
    """
    own = recorded(judged(0))
    assert own.found(ACTION, TARGET, after(24 * 60)) is not None
    assert own.found(ACTION, TARGET, after(24 * 60 + 1)) is None
    theirs = recorded(judged(0, of=OTHERS))
    assert theirs.found(ACTION, TARGET, after(60)) is not None
    assert theirs.found(ACTION, TARGET, after(61)) is None
    assert theirs.found(ACTION, "postgres/b", after(1)) is None
    assert recorded(judged(0), judged(1, element_count=0, elements=[], of=OTHERS)).found(
        ACTION, TARGET, after(2)
    ) == recorded(judged(0)).found(ACTION, TARGET, after(0))


def test_a_look_comes_a_little_before_it_was_recorded() -> None:
    """Within a second it is this very look, whatever was known; what came first answers the first look."""
    known = recorded(
        judged(1, verdict(Guard.FLOOR, "refuse", "one")), judged(2, element_count=0, elements=[])
    )

    def refused(minute: float) -> str | None:
        found = known.found(ACTION, TARGET, after(minute))
        return None if found is None else found.floor

    assert [refused(one) for one in (0, 1, 1.9, 1.99)] == ["one", "one", "one", None]
    assert known.found(ACTION, TARGET, after(-4.1)) is None, "that is another look"
    theirs = recorded(judged(1, of=OTHERS))
    assert theirs.found(ACTION, TARGET, after(0.9)) is None, "of others only what was seen before"


def test_an_act_comes_to_what_became_of_each_element() -> None:
    """Not where it has not ended, nor for an element that was not there."""
    known = recorded(attempt(0, Outcome.NOT_DONE))
    done = known.done(ACTION, TARGET, "7/1", after(0))
    assert done is not None
    assert (done.outcome, done.detail) == (Outcome.NOT_DONE, "as it says")
    assert known.done(ACTION, TARGET, "8/1", after(0)) is None
    assert recorded(attempt(0, Outcome.STARTED)).done(ACTION, TARGET, "7/1", after(0)) is None
    assert recorded(attempt(0, Outcome.DONE, of=OTHERS)).done(ACTION, TARGET, "7/1", after(61)) is None


def test_conditions_are_of_the_step_and_probes_of_the_incident() -> None:
    """Yes, no, and that nobody could say; of another step or incident nothing is known."""
    for ruling, holds in (("go", True), ("refuse", False), ("ask", None)):
        fact = judged(0, verdict(Guard.CONDITION, ruling))
        assert recorded(fact).condition("q", T0) == (holds,)
        assert recorded(fact, step=1).condition("q", T0) is None
        assert recorded(fact, of=OTHERS).condition("q", T0) is None
    read = Fact(T0, FactKind.VERIFICATION, MINE, {"probes": {"q": False, "r": None}})
    known = recorded(read)
    assert (known.probe("q", T0), known.probe("r", T0), known.probe("s", T0)) == ((False,), (None,), None)
    assert recorded(read, of=OTHERS).probe("q", T0) is None
    assert recorded(read, of=None).probe("q", T0) is None


def test_what_nobody_asks_for_any_more_is_forgotten() -> None:
    """Of an incident that is live here everything stays."""
    for live, stays in (((), False), ((MINE,), True)):
        known = recorded(judged(0), attempt(0, Outcome.DONE))
        known.forget(after(1), live)
        assert (known.found(ACTION, TARGET, after(1)) is not None) is stays
        assert (known.done(ACTION, TARGET, "7/1", after(1)) is not None) is stays


async def test_a_state_that_was_kept_is_the_actions_own() -> None:
    """It pins and says what is there by its own logic; of a state that it does not know nothing is."""
    around = surroundings(catalogue=with_pools())
    own = own_actions(around).get("test.scale_pools")
    given = {"connection": "orders", "group": "workers", "size": 5, "at_most": 2}
    params = own.Params.model_validate(given)
    [target] = own.resolve(params)
    pools = [{"name": "a", "size": 3, "version": 1}, {"name": "b", "size": 3, "version": 1}]
    known, clock = recorded(), Clock(T0)
    for state, present, elements in (
        ({"ground": [], "pools": pools}, {"size": 3}, ["pool a, from 3 to 5", "pool b, from 3 to 5"]),
        ({"unknown": 1}, {}, ["pid 7"]),
    ):
        known.hear(attempt(0, Outcome.DONE, action=own.name, target=target.key, state_before=state))
        action = AssumedActions(own_actions(around), Assumed(), known, clock).get(own.name)
        found = await action.look(params, target)
        assert action.present(found) == present
        assert [one.title for one in action.pin(params, found)] == elements
        assert action.relative == own.relative
