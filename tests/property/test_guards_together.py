"""Properties of all guards together, on any facts: nothing that is bad or missing makes them milder.

No state machine: a guard is a function of facts and terms alone, so no order of events can make more of it
than every set of facts does. What follows from verdicts over time is tried by the machine of the ladder.
"""

from datetime import datetime, timedelta
from itertools import chain
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from responder.decide.case import Facts, OpenIncidents, ProbeReading, Restrained, SourceView
from responder.decide.clock import Unsteady
from responder.decide.guards import GUARDS, judge
from responder.model.approval import Approval, Consent
from responder.model.attempt import OwnAct
from responder.model.autonomy import Autonomy, Ceiling
from responder.model.breaker import Breaker
from responder.model.budget import BudgetScope
from responder.model.guard import Guard, Judgement, Refuses, Ruling
from responder.model.rule import Recurrence, StepKind
from responder.model.severity import Severity
from responder.model.storm import Storm
from tests.unit.test_guards import NOW, TERMS, budget, claim, facts, limits, past

CONSENT = Consent(
    action="test.act", target="postgres/orders", params={}, facts="0", elements=("1",), titles=("pid 1",)
)
RAGING = Storm(openings=TERMS.storm.openings)
ACT = OwnAct(target="postgres/orders", rule="Other", incident_id=UUID(int=3), at=NOW)


def restrained(holder: str) -> Restrained:
    """By somebody, for an hour."""
    return Restrained(holder=holder, reason="because", until=NOW + timedelta(hours=1))


def asks(answered: Approval | None = None) -> dict[str, Any]:
    """A step that a person has to approve."""
    return {
        "ceilings": (Ceiling(level=Autonomy.APPROVE, origin="the rule"),),
        "consent": CONSENT,
        "approval": answered,
    }


def approval(*guards: Guard, expires_at: datetime = NOW + timedelta(hours=1)) -> Approval:
    """A yes to what these guards asked."""
    return Approval(id=UUID(int=9), consent=CONSENT, guards=guards, by="ada", expires_at=expires_at)


BAD: dict[Guard, list[dict[str, Any]]] = {
    Guard.HALT: [{"halted": "by ada"}],
    Guard.CLOCK: [
        {"unsteady": Unsteady(reason="it jumped", until=NOW + timedelta(seconds=9))},
        {"unsteady": Unsteady(reason="it may have jumped")},
    ],
    Guard.FREEZE: [{"freeze": restrained("freeze 1")}],
    Guard.MAINTENANCE: [{"maintenance": restrained("maintenance 1")}],
    Guard.STORM: [{"storm": RAGING}],
    Guard.SCOPE: [{"out_of_scope": "no such target", "target": None}, {"opted_out": "leave it"}],
    Guard.OWN_GROUND: [{"ground": ("pg/1",), "own_ground": ("pg/1",)}],
    Guard.STILL_FIRING: [{"firing": 0}, {"source": SourceView(configured=True, absent=1, asked_at=NOW)}],
    Guard.SUPPRESSED: [{"source": SourceView(configured=True, suppressed=1, asked_at=NOW)}],
    Guard.SOURCE: [{"source": SourceView(configured=True, problem="it hangs", asked_at=NOW)}],
    Guard.TOO_OLD: [
        {"source": SourceView(configured=False), "newest_seen_at": NOW - timedelta(hours=1)},
        {"source": SourceView(configured=False), "newest_seen_at": None},
    ],
    Guard.BLIND: [{"blind": "no watchdog"}],
    Guard.SELF_CAUSED: [{"own_act": ACT}],
    Guard.CONDITION: [
        {"condition": ProbeReading(holds=False, text="it is 3")},
        {"condition": ProbeReading(holds=None, text="no series")},
    ],
    Guard.LOOK: [{"look_problem": "it does not answer"}],
    Guard.FLAPPING: [{"flapped_at": NOW - timedelta(minutes=1)}],
    Guard.MANAGED: [{"managed_by": "argocd"}],
    Guard.OVERRIDE: [{"changed_at": NOW, "began_at": NOW - timedelta(minutes=5)}],
    Guard.COOLDOWN: [{"history": (past(5),)}],
    Guard.ATTEMPTS: [{"history": (past(20), past(25), past(30))}],
    Guard.RECURRENCE: [
        {"limits": limits(recurrence=Recurrence(count=2, within=timedelta(days=1))), "recurred": 2}
    ],
    Guard.BREAKER: [{"breaker": Breaker(rule="Stuck", opened_at=NOW, attempts=(UUID(int=1),))}],
    Guard.OPEN_AT_MOST: [
        {"limits": limits(only_if_open_at_most=1), "open_incidents": OpenIncidents(count=2)}
    ],
    Guard.CLAIM: [{"claim": claim()}, {"claim": claim(quarantined=True, reason="unknown")}],
    Guard.BUDGET: [{"budgets": (budget(BudgetScope.TARGET, 3, 3),)}],
    Guard.FLOOR: [{"floor": "one replica is left"}],
    Guard.AUTONOMY: [asks()],
}
"""What makes each guard say no, alone."""

ALL_BAD = [(guard, bad) for guard, each in BAD.items() for bad in each]
MISSING: list[dict[str, Any]] = [
    {"halted": "the halt flag in the database cannot be read"},
    {"look_problem": "it does not answer"},
    {"out_of_scope": "nobody knows it", "target": None},
    {"source": SourceView(configured=True, problem="it hangs")},
    {"source": SourceView(configured=False), "newest_seen_at": None},
    {"condition": ProbeReading(holds=None, text="no series")},
    {"blind": "nobody can say when the watchdog alert was heard of"},
    {"unsteady": Unsteady(reason="it may have jumped")},
    {**asks(approval(Guard.AUTONOMY)), "consent": None},
]
"""What is not known, however it comes."""

HARMLESS = st.fixed_dictionaries(
    {},
    optional={
        "severity": st.sampled_from(list(Severity)),
        "kind": st.sampled_from([StepKind.SAFE, StepKind.DISRUPTIVE]),
        "elements": st.sampled_from([(), ("pid 1",), ("pid 1", "pid 2")]),
        "firing": st.integers(1, 5),
        "history": st.sampled_from(
            [(), (past(100),), (past(20, spent=False),), (past(2, same_ladder=True),)]
        ),
        "changed_at": st.just(NOW - timedelta(days=1)),
        "began_at": st.just(NOW - timedelta(minutes=5)),
        "opted_out": st.just("until 2020-01-01: moving house"),
        "condition": st.just(ProbeReading(holds=True, text="it is 1")),
        "own_act": st.just(ACT.model_copy(update={"at": NOW - timedelta(days=1)})),
        "flapped_at": st.just(NOW - timedelta(days=1)),
    },
)
SOME_BAD = st.lists(st.sampled_from(ALL_BAD), max_size=5)


def made(harmless: dict[str, Any], bad: list[tuple[Guard, dict[str, Any]]]) -> dict[str, Any]:
    """What some facts differ in from those under which all may go; what is said first of a fact stays."""
    merged: dict[str, Any] = dict(harmless)
    for _, each in bad:
        merged |= {name: value for name, value in each.items() if name not in merged or name in harmless}
    return merged


def joined(before: dict[str, Any], bad: dict[str, Any]) -> dict[str, Any] | None:
    """Facts with one more that is bad; None where it would take another one's place."""
    same = before.keys() & bad.keys()
    return None if any(before[name] != bad[name] for name in same) else {**before, **bad}


def may_act(judgement: Judgement) -> bool:
    """Whether an effect may follow."""
    return judgement.strictest.ruling is Ruling.GO and not judgement.shadow


def any_facts(harmless: dict[str, Any], bad: list[tuple[Guard, dict[str, Any]]]) -> Facts:
    """Any facts."""
    return facts(**made(harmless, bad))


@given(HARMLESS, SOME_BAD)
def test_each_guard_is_pure_and_has_an_answer_to_everything(
    harmless: dict[str, Any], bad: list[tuple[Guard, dict[str, Any]]]
) -> None:
    """One verdict of each, the same each time, in words; a refusal says whose it is."""
    found = any_facts(harmless, bad)
    judgement = judge(found, TERMS)
    assert judgement == judge(found.model_copy(), TERMS)
    assert len(judgement.verdicts) == len(GUARDS)
    assert {verdict.guard for verdict in judgement.verdicts} == set(Guard)
    for verdict in judgement.verdicts:
        assert verdict.reason
        assert (verdict.refuses is not None) is (verdict.ruling is Ruling.REFUSE)
        assert (verdict.until is not None) is (verdict.ruling is Ruling.WAIT)


@given(HARMLESS, SOME_BAD)
def test_each_wait_names_a_moment_to_come_and_what_is_waited_for(
    harmless: dict[str, Any], bad: list[tuple[Guard, dict[str, Any]]]
) -> None:
    """Where the alert has ended there is nothing to wait for: that is looked at at once."""
    found = any_facts(harmless, bad)
    for verdict in judge(found, TERMS).verdicts:
        if verdict.until is not None and (verdict.guard is not Guard.STILL_FIRING or found.firing):
            assert verdict.until > found.now
            assert verdict.holder or found.target is None


@given(HARMLESS, SOME_BAD, st.randoms(use_true_random=False))
def test_the_strictest_wins_in_whatever_order_they_are_asked(
    harmless: dict[str, Any], bad: list[tuple[Guard, dict[str, Any]]], random: Any
) -> None:
    """Of several refusals the incident's: it is not passed over for the next step."""
    judgement = judge(any_facts(harmless, bad), TERMS)
    shuffled = list(judgement.verdicts)
    random.shuffle(shuffled)
    for one in (judgement, Judgement(verdicts=tuple(shuffled))):
        strictest = one.strictest
        assert strictest.ruling == max(verdict.ruling for verdict in one.verdicts)
        if any(verdict.refuses is Refuses.INCIDENT for verdict in one.verdicts):
            assert strictest.refuses is Refuses.INCIDENT


@given(HARMLESS, SOME_BAD, st.sampled_from(ALL_BAD))
def test_one_more_bad_fact_never_makes_it_milder(
    harmless: dict[str, Any],
    bad: list[tuple[Guard, dict[str, Any]]],
    more: tuple[Guard, dict[str, Any]],
) -> None:
    """Neither the ruling of all nor that of any guard, and what may not act never may."""
    before = made({}, bad)
    after = joined({**harmless, **before}, more[1])
    if after is None:
        return
    first, then = judge(facts(**{**harmless, **before}), TERMS), judge(facts(**after), TERMS)
    assert then.strictest.ruling >= first.strictest.ruling
    assert may_act(first) or not may_act(then)
    for one, other in zip(first.verdicts, then.verdicts, strict=True):
        assert other.ruling >= one.ruling
    for_undo, still_for_undo = first.for_undo(), then.for_undo()
    assert still_for_undo.strictest.ruling >= for_undo.strictest.ruling


@given(HARMLESS, st.sampled_from(ALL_BAD))
def test_each_guard_alone_keeps_it_from_acting(
    harmless: dict[str, Any], bad: tuple[Guard, dict[str, Any]]
) -> None:
    """Whatever else is in order; and nothing but these verdicts is not a go."""
    guard, found = bad
    calm = {name: value for name, value in harmless.items() if name not in {"severity", "kind", *found}}
    assert may_act(judge(facts(**calm), TERMS))
    judgement = judge(facts(**{**calm, **found}), TERMS)
    assert not may_act(judgement)
    stopped = {verdict.guard for verdict in judgement.verdicts if verdict.ruling is not Ruling.GO}
    assert guard in stopped


def test_every_guard_is_tried() -> None:
    """One that is new here has to be."""
    assert set(BAD) == set(Guard)


@given(HARMLESS, SOME_BAD, st.sampled_from(MISSING))
def test_what_is_not_known_lets_nothing_go(
    harmless: dict[str, Any], bad: list[tuple[Guard, dict[str, Any]]], missing: dict[str, Any]
) -> None:
    """A fact that cannot be read, looked at or found is no good fact."""
    assert not may_act(judge(facts(**{**made(harmless, bad), **missing}), TERMS))


LEVELS = st.lists(st.sampled_from(list(Autonomy)), min_size=1, max_size=5)


@given(LEVELS, LEVELS, SOME_BAD)
def test_one_more_ceiling_never_lets_more_go(
    levels: list[Autonomy], more: list[Autonomy], bad: list[tuple[Guard, dict[str, Any]]]
) -> None:
    """The least of all counts: only auto acts, approve asks, the rest is shadow whatever the others say."""

    def judged(each: list[Autonomy]) -> Judgement:
        ceilings = tuple(Ceiling(level=level, origin=level.word) for level in each)
        return judge(facts(**{**made({}, bad), "ceilings": ceilings, "approval": None}), TERMS)

    first, then = judged(levels), judged([*levels, *more])
    assert may_act(first) or not may_act(then)
    assert then.shadow or not first.shadow
    assert then.shadow is (min([*levels, *more]) <= Autonomy.SHADOW)
    assert not may_act(then) or min([*levels, *more]) is Autonomy.AUTO


YES = st.sets(st.sampled_from([Guard.AUTONOMY, Guard.CONDITION]))
EXPIRES = st.sampled_from([NOW - timedelta(seconds=1), NOW, NOW + timedelta(seconds=1)])


@given(
    YES,
    YES,
    EXPIRES,
    st.sets(st.sampled_from(["1", "2"])),
    st.sampled_from(["0", "1"]),
    st.none() | st.sampled_from([one for one in ALL_BAD if one[0] not in {Guard.AUTONOMY, Guard.CONDITION}]),
)
def test_a_yes_answers_what_was_asked_and_nothing_else(
    asked: set[Guard],
    answered: set[Guard],
    expires_at: datetime,
    elements: set[str],
    digest: str,
    bad: tuple[Guard, dict[str, Any]] | None,
) -> None:
    """In time, by the same facts, for no more elements, to each guard that asks; no other guard hears it."""
    wanted = CONSENT.model_copy(update={"elements": tuple(sorted(elements)), "facts": digest})
    given_ = approval(*sorted(answered), expires_at=expires_at)
    found = chain.from_iterable(BAD[guard][-1].items() for guard in sorted(asked))
    merged = {**dict(found), "consent": wanted, "approval": given_, **(bad[1] if bad else {})}
    judgement = judge(facts(**merged), TERMS)
    fits = asked <= answered and expires_at > NOW and digest == "0" and elements <= {"1"}
    assert may_act(judgement) is ((fits or not asked) and bad is None)
    assert judgement.approved is (
        bool(asked & answered) and expires_at > NOW and digest == "0" and elements <= {"1"}
    )


@given(HARMLESS, SOME_BAD)
def test_an_undo_skips_only_what_keeps_more_from_being_done(
    harmless: dict[str, Any], bad: list[tuple[Guard, dict[str, Any]]]
) -> None:
    """Never halt, clock, freeze, maintenance, scope, claim, floors, look, the target's owners, autonomy."""
    never = {
        Guard.HALT,
        Guard.CLOCK,
        Guard.FREEZE,
        Guard.MAINTENANCE,
        Guard.SCOPE,
        Guard.OWN_GROUND,
        Guard.LOOK,
        Guard.MANAGED,
        Guard.OVERRIDE,
        Guard.CLAIM,
        Guard.FLOOR,
        Guard.AUTONOMY,
    }
    whole = judge(any_facts(harmless, bad), TERMS)
    undo = whole.for_undo()
    assert never == {verdict.guard for verdict in undo.verdicts}
    assert undo.strictest.ruling <= whole.strictest.ruling
