"""The parts of an `all:`: judged together, taken one after the other, and never half done in silence."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from responder.decide.all_of import (
    deciding,
    done_parts,
    kept_parts,
    owed_parts,
    step_of,
    together,
    whole,
    words,
)
from responder.decide.case import AttemptEnd, AttemptVerdict, Case, Facts, Terms
from responder.decide.changes import groups
from responder.decide.changes.attempts import ended, too_late, undo_over
from responder.model.approval import Consent, consent_of_all
from responder.model.attempt import Attempt, ElementOutcome, GroupTarget, Intent, Outcome
from responder.model.budget import Budget, BudgetScope
from responder.model.guard import Guard, GuardVerdict, Judgement, Refuses, Ruling
from responder.model.incident import Group, IncidentState
from responder.model.rule import AllOf, Step, StepKind, Undo
from responder.model.timeline import EntryKind
from tests.support.dossiers import an_attempt
from tests.support.virtual import START
from tests.unit.test_attempt_changes import APPROVED, NOTE, intent
from tests.unit.test_guards import NOW, facts
from tests.unit.test_next_move import case

S = IncidentState
TERMS = Terms()
MINUTE = timedelta(minutes=1)
FIRST = UUID(int=1)
BACK, STAYS = Undo.IF_NOT_RECOVERED, Undo.NEVER


def consent(name: str) -> Consent:
    return Consent(action=name, target=name, params={}, facts=name, elements=(), titles=())


def budgets(spent: int, target: str, **more: Any) -> tuple[Budget, ...]:
    """Three of them, each with as many starts spent."""
    return (
        Budget(scope=BudgetScope.GLOBAL, name="", spent=spent, allowed=9, **more),
        Budget(scope=BudgetScope.NAMESPACE, name="shop", spent=spent, allowed=5, **more),
        Budget(scope=BudgetScope.TARGET, name=target, spent=spent, allowed=3, **more),
    )


def part(target: str, kind: StepKind = StepKind.DISRUPTIVE, **more: Any) -> Facts:
    """What is known of one part, which acts on that target."""
    spends = budgets(0, target) if kind is StepKind.DISRUPTIVE else ()
    return facts(target=target, kind=kind, consent=consent(target), **{"budgets": spends, **more})


def spent(one: Facts) -> list[int]:
    return [budget.spent for budget in one.budgets]


# --- judged together ----------------------------------------------------------------------------------


def test_a_yes_is_to_all_parts_or_to_none() -> None:
    """Each part asks for the whole, in its order; where one says nothing of what it would do, none asks."""
    both = together([part("a"), part("b")])
    assert [one.consent for one in both] == [consent_of_all((consent("a"), consent("b")))] * 2
    unknown = part("b").model_copy(update={"consent": None})
    assert [one.consent for one in together([part("a"), unknown])] == [None, None]


def test_a_later_target_finds_less_left_of_the_budgets_that_it_shares() -> None:
    """Of the global one and the namespace's, not of its own; a target that comes twice spends one start."""
    assert [spent(one) for one in together([part("a"), part("b"), part("c")])] == [
        [0, 0, 0],
        [1, 1, 0],
        [2, 2, 0],
    ]
    assert [spent(one) for one in together([part("a"), part("a"), part("b")])] == [
        [0, 0, 0],
        [0, 0, 0],
        [1, 1, 0],
    ]
    safe = part("a", StepKind.SAFE, budgets=budgets(0, "a"))
    assert spent(together([safe, part("b")])[1]) == [0, 0, 0], "what is not disruptive spends nothing"


def test_only_a_budget_that_both_draw_on_is_less_for_the_later_one() -> None:
    """By its scope and its name: another namespace's start, and one target's budget, leave it as it is."""
    other = (
        Budget(scope=BudgetScope.GLOBAL, name="", spent=3, allowed=9),
        Budget(scope=BudgetScope.NAMESPACE, name="blog", spent=3, allowed=5),
        Budget(scope=BudgetScope.TARGET, name="shop", spent=3, allowed=5),
    )
    assert spent(together([part("a"), part("b", budgets=other)])[1]) == [4, 3, 3]
    same_target = (Budget(scope=BudgetScope.TARGET, name="a", spent=1, allowed=3),)
    assert spent(together([part("a"), part("b", budgets=same_target)])[1]) == [1]


def test_a_budget_that_has_room_for_some_of_the_targets_is_looked_at_again_soon() -> None:
    """Nobody knows when it has room for all; where one frees later, that is known."""
    later = NOW + timedelta(minutes=9)
    known = part("b", budgets=budgets(1, "b", frees_at=later))
    assert [one.frees_at for one in together([part("a"), part("b")])[1].budgets] == [
        NOW + MINUTE,
        NOW + MINUTE,
        None,
    ]
    assert [one.frees_at for one in together([part("a"), known])[1].budgets] == [later] * 3


def ruled(ruling: Ruling, refuses: Refuses | None = None) -> Judgement:
    verdict = GuardVerdict(guard=Guard.HALT, ruling=ruling, reason="x", refuses=refuses)
    free = GuardVerdict(guard=Guard.CLOCK, ruling=Ruling.GO, reason="steady")
    return Judgement(verdicts=(free, verdict))


def test_the_strictest_part_decides_and_of_equals_the_first() -> None:
    """Of refusals that by the incident: the next step would not be let go either."""
    go, ask, wait = ruled(Ruling.GO), ruled(Ruling.ASK), ruled(Ruling.WAIT)
    target, incident = ruled(Ruling.REFUSE, Refuses.TARGET), ruled(Ruling.REFUSE, Refuses.INCIDENT)
    for judged, decides in (
        ([go, ask], 1),
        ([wait, ask, go], 0),
        ([ask, wait], 1),
        ([go, go], 0),
        ([wait, target], 1),
        ([target, incident], 1),
        ([incident, target], 0),
        ([target, target], 0),
        ([go, ask, ask], 1),
    ):
        assert deciding(judged) == decides
    assert [one.ruling for one in whole([go, wait]).verdicts] == [
        Ruling.GO,
        Ruling.GO,
        Ruling.GO,
        Ruling.WAIT,
    ]


# --- what was done ------------------------------------------------------------------------------------


def attempt(number: int, outcome: Outcome = Outcome.DONE, **more: Any) -> Attempt:
    """That of part `number`, of the first step."""
    given = {"id": UUID(int=number + 1), "part": number, "all_of": FIRST, "action": f"act{number}"}
    made = an_attempt(START, outcome, None)
    return made.model_copy(update={**given, "target": f"t{number}", "step": 0, **more})


def under_way(
    undos: tuple[Undo, ...], done: tuple[Attempt, ...], at: int, *, state: S = S.REMEDIATING, **group: Any
) -> Case:
    """An `all:` of parts with these undos that is at part `at`."""
    parts = tuple(
        Step(action=f"act{number}", kind=StepKind.SAFE, timeout=timedelta(seconds=5), undo=undo)
        for number, undo in enumerate(undos)
    )
    alone = Step(action="alone", kind=StepKind.SAFE, timeout=timedelta(seconds=5))
    rule = {"steps": (AllOf.model_validate({"all": parts}), alone)}
    targets = tuple(f"t{number}" for number in range(len(undos)))
    going = Group(step=0, part=at, of=len(undos), first=FIRST, targets=targets, **group)
    used: dict[str, Any] = {"missed_starts": 1, "approval": APPROVED, "take_back": done[-1].id}
    found = case(state, rule=rule, step=1, taken=1, group=going, attempt=done[-1], **used)
    return found.model_copy(update={"parts": done})


def test_what_was_done_is_owed_back_in_reverse_where_its_part_says_so() -> None:
    """Only what had its effect, and only parts before one where that is taken back itself."""
    undone = attempt(0, id=UUID(int=9), undo_of=FIRST)
    found = under_way((BACK, STAYS, BACK), (attempt(0), attempt(1), attempt(2), undone), 2)
    assert [one.part for one in done_parts(found)] == [0, 1, 2]
    assert [one.part for one in owed_parts(found)] == [2, 0]
    assert [one.part for one in owed_parts(found, below=2)] == [0]
    assert owed_parts(found, below=0) == ()
    assert [one.part for one in kept_parts(found)] == [1]
    unknown = under_way((BACK, BACK), (attempt(0), attempt(1, Outcome.UNKNOWN)), 1)
    assert [one.part for one in done_parts(unknown)] == [0]
    assert step_of(found, attempt(1)).action == "act1"
    assert step_of(found, attempt(0, step=1, part=None)).action == "alone"
    assert words(done_parts(found)) == "act0 on t0, act1 on t1, act2 on t2"
    assert words(()) == "nothing"


def test_a_step_alone_is_no_part_that_is_owed() -> None:
    """Its own undo is decided where it did not help."""
    found = under_way((BACK, BACK), (attempt(0),), 1)
    alone = found.model_copy(update={"parts": (attempt(0, part=None, all_of=None),)})
    assert owed_parts(alone) == ()


# --- under way ----------------------------------------------------------------------------------------


def begins(**more: Any) -> Intent:
    return intent(step=0, attempt_id=FIRST, all_of=FIRST, part=0, **more)


def test_an_all_begins_with_its_first_intent_and_keeps_the_yes_that_it_used() -> None:
    """By that all targets are claimed; a later part moves it on, and an undo leaves it as it is."""
    ready = under_way((BACK, BACK), (attempt(0),), 0, state=S.OPEN)
    progress = ready.incident.progress.model_copy(update={"group": None, "approval": APPROVED})
    ready = ready.model_copy(update={"incident": ready.incident.model_copy(update={"progress": progress})})
    targets = tuple(GroupTarget(target=name, namespace="", disruptive=False) for name in ("t0", "t1"))
    group = Group(step=0, part=0, of=2, first=FIRST, targets=("t0", "t1"))
    assert groups.begun(ready, begins(group=targets)) == group
    with_yes = groups.begun(ready, begins(group=targets, approval=APPROVED.id))
    assert with_yes == group.model_copy(update={"approval": APPROVED})
    going = under_way((BACK, BACK), (attempt(0),), 0)
    there = going.incident.progress.group
    further = intent(step=0, attempt_id=UUID(int=2), all_of=FIRST, part=1)
    assert there is not None
    assert groups.begun(going, further) == there.model_copy(update={"part": 1})
    assert groups.begun(ready, further) is None
    for other in (
        intent(step=0, attempt_id=UUID(int=8), all_of=FIRST, part=1, undo_of=FIRST),
        intent(step=1, attempt_id=UUID(int=8)),
        intent(step=0, attempt_id=UUID(int=8), all_of=UUID(int=8)),
    ):
        assert groups.begun(going, other) == there


@pytest.mark.parametrize(("at", "left"), [(0, True), (1, True), (2, False)])
def test_a_part_is_left_until_the_last_one(at: int, left: bool) -> None:
    """Nothing is left of what is not under way."""
    found = under_way((BACK, BACK, BACK), (attempt(0),), at)
    assert groups.left(found.incident.progress) is left
    assert not groups.left(found.incident.progress.model_copy(update={"group": None}))


def done(one: Attempt, outcome: Outcome = Outcome.DONE) -> AttemptEnd:
    results = tuple(ElementOutcome(element=each.key, outcome=outcome) for each in one.elements)
    return AttemptEnd(attempt_id=one.id, outcome=outcome, results=results)


def test_after_a_part_the_next_one_comes() -> None:
    """With a new count of starts that were missed, no yes of its own, and no wait that was told."""
    runs = attempt(0, Outcome.STARTED)
    found = under_way((BACK, BACK), (runs,), 0, waits=True)
    change = ended(found, runs, done(runs), START, TERMS)
    group = change.progress.group
    assert group is not None
    assert (change.state, group.part, group.waits) == (S.OPEN, 1, False)
    assert (change.progress.missed_starts, change.progress.approval) == (0, None)
    assert change.entries[-1].text.endswith("act0 ran; part 2 of 2 is next")
    assert change.entries[0].kind is EntryKind.EFFECT
    last = attempt(1, Outcome.STARTED)
    over = ended(under_way((BACK, BACK), (attempt(0), last), 1), last, done(last), START, TERMS)
    assert over.state is S.VERIFYING
    with pytest.raises(ValueError, match="no `all:` is under way"):
        groups.next_part(case(S.OPEN), START, TERMS, "x")


def test_a_part_that_cannot_be_judged_is_told_once() -> None:
    """It is looked at again soon; a second look adds nothing to the timeline."""
    first = groups.part_waits(under_way((BACK, BACK), (attempt(0),), 0), START, TERMS, "away")
    assert [(one.text, one.facts) for one in first.entries] == [
        ("the next part waits: away", {"problem": "away"})
    ]
    assert first.progress.group is not None
    assert first.progress.group.waits
    assert first.due_at == START + TERMS.hold_every
    again = groups.part_waits(under_way((BACK, BACK), (attempt(0),), 0, waits=True), START, TERMS, "away")
    assert again.entries == ()
    assert again.progress.group is not None
    assert again.progress.group.waits
    nothing = groups.part_waits(case(S.OPEN), START, TERMS, "away")
    assert (nothing.entries, nothing.progress.group) == ((), None)


# --- stopped ------------------------------------------------------------------------------------------


def test_what_stops_in_the_middle_is_taken_back() -> None:
    """The last part first; why it stopped is kept for the end."""
    found = under_way((BACK, BACK, STAYS), (attempt(0), attempt(1)), 2)
    change = groups.stopped(found, START, TERMS, "refused", NOTE)
    reason = "step 1 stopped at part 3 of 3: refused"
    assert change.state is S.OPEN
    assert change.progress.take_back == UUID(int=2)
    assert change.progress.group is not None
    assert change.progress.group.stopped == reason
    assert change.entries[0] == NOTE
    assert change.entries[-1].text.endswith(f"{reason}; what was done is taken back")


def test_what_is_never_taken_back_is_told_to_a_person() -> None:
    """With what stands of it; where nothing was done the ladder goes on, and the claims end."""
    change = groups.stopped(under_way((STAYS, BACK), (attempt(0),), 1), START, TERMS, "refused", NOTE)
    told = "step 1 stopped at part 2 of 2: refused; done and not taken back: act0 on t0"
    assert (change.state, change.progress.escalation_reason) == (S.ESCALATED, told)
    assert change.entries[0] == NOTE
    nothing = groups.stopped(
        under_way((BACK, BACK), (attempt(0, Outcome.NOT_DONE),), 1), START, TERMS, "refused", NOTE
    )
    assert (nothing.state, nothing.progress.group) == (S.OPEN, None)
    assert nothing.verdict == AttemptVerdict(attempt_id=FIRST)
    assert nothing.entries[0] == NOTE
    assert nothing.entries[-1].text.endswith("step 1 stopped at part 2 of 2: refused; nothing was done")
    with pytest.raises(ValueError, match="no `all:` is under way"):
        groups.stopped(case(S.OPEN), START, TERMS, "x")


def test_a_part_that_finds_nothing_left_stops_what_was_begun() -> None:
    """Where nothing was done before it is verified as a step alone."""
    runs = attempt(1, Outcome.STARTED)
    found = under_way((BACK, BACK), (attempt(0), runs), 1)
    change = ended(found, runs, done(runs, Outcome.NOT_DONE), START, TERMS)
    assert (change.state, change.progress.take_back) == (S.OPEN, FIRST)
    assert change.end == done(runs, Outcome.NOT_DONE)
    first = attempt(0, Outcome.STARTED)
    alone = ended(under_way((BACK, BACK), (first,), 0), first, done(first, Outcome.NOT_DONE), START, TERMS)
    assert alone.state is S.VERIFYING


def test_a_further_part_that_was_not_started_is_taken_again_by_itself() -> None:
    """The first takes the whole step again; what never starts stops it, and is taken back."""
    later, first = attempt(1, Outcome.STARTED), attempt(0, Outcome.STARTED)
    again = too_late(
        under_way((BACK, BACK), (attempt(0), later), 1), later, done(later, Outcome.NOT_DONE), START, TERMS
    )
    assert again.progress.group is not None
    assert (again.progress.step, again.progress.missed_starts, again.verdict) == (1, 2, None)
    anew = too_late(under_way((BACK, BACK), (first,), 0), first, done(first, Outcome.NOT_DONE), START, TERMS)
    assert (anew.progress.step, anew.progress.group) == (0, None)
    assert anew.verdict == AttemptVerdict(attempt_id=FIRST)
    once = Terms(missed_starts=2)
    never = too_late(
        under_way((BACK, BACK), (attempt(0), later), 1), later, done(later, Outcome.NOT_DONE), START, once
    )
    assert never.progress.take_back == FIRST
    assert any("could not be started, 2 times in a row" in one.text for one in never.entries)


# --- taken back ---------------------------------------------------------------------------------------


def test_one_part_after_the_other_is_taken_back_and_then_the_ladder_goes_on() -> None:
    """In reverse; the verdict of the first ends all claims."""
    both = under_way((BACK, BACK), (attempt(0), attempt(1)), 1, stopped="step 1 stopped")
    back = attempt(1, id=UUID(int=7), undo_of=UUID(int=2))
    change = undo_over(both, back, START, TERMS, "act1 was taken back", NOTE)
    assert (change.progress.take_back, change.verdict) == (FIRST, None)
    assert change.progress.group is not None
    assert change.entries[0] == NOTE
    assert change.entries[-1].text.endswith("act1 was taken back; act0 on t0 is next")
    last = attempt(0, id=UUID(int=8), undo_of=FIRST)
    over = undo_over(both, last, START, TERMS, "act0 was taken back", NOTE)
    assert (over.state, over.progress.take_back, over.progress.group) == (S.OPEN, None, None)
    assert over.verdict == AttemptVerdict(attempt_id=FIRST)
    assert over.entries[0] == NOTE


def test_what_stands_after_all_that_could_be_was_taken_back_is_told() -> None:
    """Only where it had stopped in the middle: what was done whole and did not help leaves the ladder."""
    stopped = under_way((STAYS, BACK, BACK), (attempt(0), attempt(1)), 2, stopped="step 1 stopped: refused")
    last = attempt(1, id=UUID(int=8), undo_of=UUID(int=2))
    change = undo_over(stopped, last, START, TERMS, "act1 was taken back", NOTE)
    told = "step 1 stopped: refused; done and not taken back: act0 on t0"
    assert (change.state, change.progress.escalation_reason) == (S.ESCALATED, told)
    assert change.entries[0] == NOTE
    whole_one = under_way((STAYS, BACK), (attempt(0), attempt(1)), 1)
    assert undo_over(whole_one, last, START, TERMS, "x").state is S.OPEN
    gone = whole_one.incident.progress.model_copy(update={"group": None})
    lost = whole_one.model_copy(update={"incident": whole_one.incident.model_copy(update={"progress": gone})})
    assert undo_over(lost, last, START, TERMS, "x").state is S.OPEN


def test_who_ends_it_in_the_middle_reads_what_stands() -> None:
    """Nothing where nothing was done, or where no `all:` is under way."""
    found = under_way((BACK, BACK), (attempt(0),), 1)
    assert groups.half_done(found) == "; done before it: act0 on t0"
    assert groups.half_done(under_way((BACK, BACK), (attempt(0, Outcome.NOT_DONE),), 1)) == ""
    over = found.incident.progress.model_copy(update={"group": None})
    ended_one = found.model_copy(update={"incident": found.incident.model_copy(update={"progress": over})})
    assert groups.half_done(ended_one) == ""
