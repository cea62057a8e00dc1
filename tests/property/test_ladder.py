"""Properties of a ladder in virtual time, with the process dying wherever Hypothesis likes."""

import asyncio
from collections import Counter
from datetime import timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from responder.decide.case import Terms, Wait
from responder.decide.next_move import next_move
from responder.model.attempt import Attempt, ElementOutcome, Outcome, Verdict
from responder.model.autonomy import Autonomy
from responder.model.base import digest
from responder.model.incident import CommandKind, IncidentState
from responder.model.rule import Undo
from tests.support.virtual import (
    START,
    Hit,
    HitParams,
    VirtualStore,
    World,
    drive,
    incident,
    ladder,
    lease_of,
    members,
)

TERMS = Terms()
PARAMS = HitParams().model_dump(mode="json")
LEVELS = [Autonomy.AUTO, Autonomy.APPROVE]

EVENTS = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "die before effect",
                "nothing",
                "die after effect",
                "die before outcome",
                "unreachable",
                "reachable",
                "ends",
                "fires",
                "joins",
                "halt",
                "resume",
                "appear",
                "breaks",
                "mends",
                "a person takes over",
                "a person hands back",
                "a person approves",
                "a person declines",
                "a person answers another question",
                "another release",
                "one more appears",
            ]
        ),
        st.sampled_from([1, 6, 12, 31, 61, 340, 700, 2000, 4000]),
    ),
    min_size=1,
    max_size=25,
)


UNHEARD: dict[str, tuple[str, object]] = {
    "die before effect": ("die_before_effect", True),
    "die after effect": ("die_after_effect", True),
    "unreachable": ("reachable", False),
    "reachable": ("reachable", True),
    "halt": ("halted", "by the test"),
    "resume": ("halted", None),
    "breaks": ("broken", True),
    "mends": ("broken", False),
    "appear": ("present", frozenset("ab")),
    "one more appears": ("present", frozenset("abc")),
    "another release": ("release", "v2"),
}
"""What changes in the world without anybody telling the incident."""


def happen(store: VirtualStore, event: str | int) -> None:
    """One event from outside."""
    world, seen = store.world, store.members
    match event:
        case int(seconds):
            world.now += timedelta(seconds=seconds)
            return
        case "nothing":
            return
        case "die before outcome":
            store.die_before_outcome = True
            return
        case str(name) if name in UNHEARD:
            attribute, value = UNHEARD[name]
            setattr(world, attribute, set(value) if isinstance(value, frozenset) else value)
            return
        case "ends":
            store.members = seen.model_copy(update={"firing": 0})
        case "fires":
            fires = {"firing": 1, "total": seen.total + 1, "newest_seen_at": world.now}
            store.members = seen.model_copy(update=fires)
        case "joins":
            more = {"firing": seen.firing + 1, "total": seen.total + 1, "newest_seen_at": world.now}
            store.members = seen.model_copy(update=more)
        case "a person takes over" | "a person hands back":
            kind = CommandKind.TAKE_OVER if event.endswith("over") else CommandKind.HAND_BACK
            store.say(kind, "ada")
        case "a person approves" | "a person declines":
            store.answer(CommandKind.APPROVE if event.endswith("approves") else CommandKind.DECLINE, "ada")
        case "a person answers another question":
            store.say(CommandKind.APPROVE, "ada", question=UUID(int=7))
        case _:
            raise AssertionError(event)
    if store.incident.due_at is not None:
        store.incident = store.incident.model_copy(
            update={"due_at": min(store.incident.due_at, world.now), "wakes": store.incident.wakes + 1}
        )


def a_store(
    undo: Undo = Undo.NEVER, autonomy: Autonomy = Autonomy.AUTO, repeat: int = 0, parts: int = 1
) -> VirtualStore:
    """A fresh incident over a fresh world."""
    rule = ladder(undo=undo, autonomy=autonomy, repeat=repeat, parts=parts)
    return VirtualStore(World(lasting=parts > 1), rule, incident(), members())


def run(
    events: list[str | int],
    *,
    undo: Undo = Undo.NEVER,
    autonomy: Autonomy = Autonomy.AUTO,
    repeat: int = 0,
    parts: int = 1,
) -> VirtualStore:
    """Drive an incident through the events; what is planned for its first step comes before it."""
    store = a_store(undo, autonomy, repeat, parts)
    undoable = undo is not Undo.NEVER

    async def all_of_it() -> None:
        for number, event in enumerate(events):
            happen(store, event)
            if number or isinstance(event, int):
                await drive(store, undoable=undoable)

    asyncio.run(all_of_it())
    return store


@settings(max_examples=150)
@given(EVENTS, st.sampled_from(list(Undo)))
def test_no_effect_is_ever_repeated(events: list[str | int], undo: Undo) -> None:
    """However it dies and restarts, each (attempt, element) has at most one effect, and an intent first."""
    store = run(events, undo=undo)
    counts = Counter(store.world.effects)
    assert all(count == 1 for count in counts.values())
    for attempt, element in counts:
        assert element in {e.key for e in store.attempts[attempt].elements}


@settings(max_examples=150)
@given(EVENTS)
def test_a_new_attempt_starts_only_when_the_last_one_is_settled(events: list[str | int]) -> None:
    """No attempt begins while an earlier one has no outcome, or an unknown one."""
    store = run(events)
    in_order = sorted(store.attempts.values(), key=lambda attempt: attempt.intended_at)
    for earlier, _ in pairwise(in_order):
        assert earlier.outcome in {Outcome.DONE, Outcome.NOT_DONE}


@settings(max_examples=150)
@given(EVENTS)
def test_an_unknown_outcome_keeps_its_target(events: list[str | int]) -> None:
    """Where nobody knows whether it happened, the claim is a quarantine and stays one."""
    store = run(events)
    if any(attempt.outcome is Outcome.UNKNOWN for attempt in store.attempts.values()):
        assert store.claim_ is not None
        assert store.claim_.quarantined


@settings(max_examples=200)
@given(EVENTS, st.sampled_from(list(Undo)))
@example(
    ["nothing", "nothing", "appear", 700, "appear", "fires", "a person takes over"], Undo.IF_NOT_RECOVERED
)
def test_no_claim_is_left_that_nobody_can_release(events: list[str | int], undo: Undo) -> None:
    """What holds a target runs, is verified or is to be taken back; everything else is a quarantine."""
    store = run(events, undo=undo)
    state, progress = store.incident.state, store.incident.progress
    held = store.claim_
    if held is None or held.quarantined or state is IncidentState.REMEDIATING:
        return
    verified = progress.verification is not None and progress.verification.attempt_id == held.attempt_id
    owed = state is IncidentState.OPEN and progress.take_back == held.attempt_id
    assert owed or (state is IncidentState.VERIFYING and verified)


@settings(max_examples=200)
@given(EVENTS, st.sampled_from(LEVELS))
def test_no_state_is_for_ever(events: list[str | int], autonomy: Autonomy) -> None:
    """Every state but closed has a deadline and is looked at by then; waiting never outlives it."""
    store = run(events, undo=Undo.IF_NOT_RECOVERED, autonomy=autonomy)
    for change in store.changes:
        if change.state is IncidentState.CLOSED:
            assert change.due_at is None
            continue
        assert change.deadline is not None
        assert change.due_at is not None
    move = next_move(asyncio.run(store.load(lease_of(store))), store.world.now, TERMS)
    if isinstance(move, Wait) and store.incident.state is not IncidentState.CLOSED:
        assert move.until is not None


@settings(max_examples=150)
@given(EVENTS, st.sampled_from(LEVELS))
def test_left_alone_it_comes_to_an_end_or_keeps_telling(events: list[str | int], autonomy: Autonomy) -> None:
    """When all faults stop and the alert ends, the incident is closed in the end; nothing remains held."""
    store = run([*events, "reachable", "resume", "mends", "ends"], autonomy=autonomy)

    async def wait_it_out() -> None:
        for _ in range(300):
            if store.incident.due_at is None:
                return
            store.world.now = max(store.world.now, store.incident.due_at)
            await drive(store)

    asyncio.run(wait_it_out())
    assert store.incident.state is IncidentState.CLOSED
    assert store.claim_ is None or store.claim_.quarantined


@settings(max_examples=100)
@given(EVENTS)
def test_nothing_starts_under_halt(events: list[str | int]) -> None:
    """While halted no effect happens, whatever else does."""
    store = a_store()
    store.world.halted = "by the test"

    async def all_of_it() -> None:
        await drive(store)
        for event in events:
            if event != "resume":
                happen(store, event)
            await drive(store)

    asyncio.run(all_of_it())
    assert store.world.effects == []


ANSWERED = st.lists(
    st.sampled_from(
        [
            "a person approves",
            "a person answers another question",
            "another release",
            "one more appears",
            "appear",
            "halt",
            "resume",
            "die before effect",
            "die after effect",
            "a person takes over",
            "a person hands back",
            "joins",
            "breaks",
            "mends",
            5,
            400,
            4000,
        ]
    ),
    min_size=1,
    max_size=25,
)
"""Much of it is answers, and what may change between question, answer and act."""


@settings(max_examples=300)
@given(st.one_of(EVENTS, ANSWERED))
def test_under_approve_each_attempt_uses_up_a_yes_to_exactly_what_it_does(events: list[str | int]) -> None:
    """One attempt for each approval, in time, for what was asked: the same release, no element more."""
    store = run(events, autonomy=Autonomy.APPROVE)
    releases = {digest(["test.hit", "test/target", PARAMS, {"release": one}]): one for one in ("v1", "v2")}
    asked = {
        change.progress.question.id: change.progress.question
        for change in store.changes
        if change.progress.question
    }
    given_to = {
        entry.facts["id"]: (entry, change)
        for change in store.changes
        for entry in change.entries
        if entry.facts.get("command") == "approve" and change.progress.approval
    }
    used = [attempt for attempt in store.attempts.values() if attempt.undo_of is None]
    assert len({attempt.approval for attempt in used}) == len(used)
    for attempt in used:
        entry, change = given_to[str(attempt.approval)]
        question, approval = asked[UUID(entry.facts["question"])], change.progress.approval
        assert approval is not None
        assert attempt.intended_at < approval.expires_at
        assert {element.key for element in attempt.elements} <= set(question.consent.elements)
        assert attempt.state_before["release"] == releases[question.consent.facts]


@settings(max_examples=200)
@given(ANSWERED)
def test_nobody_is_asked_for_one_step_more_than_three_times(events: list[str | int]) -> None:
    """The world changed after the answer: asked again, at most twice, then a person is told."""
    store = run(events, autonomy=Autonomy.APPROVE)
    for change in store.changes:
        question = change.progress.question
        assert question is None or question.times <= 3


@settings(max_examples=150)
@given(EVENTS, st.sampled_from(list(Undo)), st.integers(1, 3))
def test_a_step_is_repeated_after_it_has_not_helped_and_no_more_often_than_it_says(
    events: list[str | int], undo: Undo, repeat: int
) -> None:
    """Each time is an attempt of its own, and begins when the one before it is known not to have helped."""
    store = run(events, undo=undo, repeat=repeat)
    taken = [one for one in store.attempts.values() if one.undo_of is None]
    for before, after in pairwise(taken):
        again = before.step == after.step
        never_was = before.outcome is Outcome.NOT_DONE
        assert not again or never_was or before.verdict is Verdict.NOT_RECOVERED
    counts = Counter(one.step for one in taken if one.outcome is not Outcome.NOT_DONE)
    assert all(count <= 1 + repeat for count in counts.values())


def test_a_repeated_step_is_taken_as_often_as_it_says_before_the_next() -> None:
    """Two steps, each taken twice in a row; then a person hears how often the last one was tried."""
    events: list[str | int] = ["joins", "appear", 340]
    store = run([1, *events * 4], repeat=1)
    assert [one.step for one in store.attempts.values()] == [0, 0, 1, 1]
    assert {one.verdict for one in store.attempts.values()} == {Verdict.NOT_RECOVERED}
    assert "did not help, taken 2 times; no step is left" in (store.incident.progress.escalation_reason or "")


@settings(max_examples=300)
@given(EVENTS, st.sampled_from(list(Undo)), st.integers(2, 3))
@example([1, "die after effect", "joins", 340, 6], Undo.IF_NOT_RECOVERED, 3)
def test_the_parts_of_a_step_are_taken_once_each_in_order_and_taken_back_in_reverse(
    events: list[str | int], undo: Undo, parts: int
) -> None:
    """Whatever dies: a part begins when the one before it is known to be done, and none twice.

    What is taken back is taken back from the last one that was done.
    """
    store = run(events, undo=undo, parts=parts)
    counts = Counter(store.world.effects)
    assert all(count == 1 for count in counts.values())
    groups: dict[UUID, list[Attempt]] = {}
    for one in store.attempts.values():
        assert one.all_of is not None
        groups.setdefault(one.all_of, []).append(one)
    for of_all in groups.values():
        taken = [one for one in of_all if one.undo_of is None and one.outcome is not Outcome.NOT_DONE]
        numbers = [one.part or 0 for one in taken]
        assert numbers == sorted(set(numbers))
        assert all(one.outcome is Outcome.DONE for one in taken[:-1])
        back = [one.part or 0 for one in of_all if one.undo_of is not None]
        assert back == sorted(back, reverse=True)
        assert not back or back[0] == max(one.part or 0 for one in taken if one.outcome is Outcome.DONE)


def test_parts_are_one_attempt_verified_once() -> None:
    """Three parts, three intents, one verification at the end; one verdict of all of them."""
    store = run([1, "joins", 340], parts=3)
    first = [one for one in store.attempts.values() if one.step == 0]
    assert [one.part for one in first] == [0, 1, 2]
    assert {one.all_of for one in first} == {first[0].id}
    assert {one.verdict for one in first} == {Verdict.NOT_RECOVERED}
    begun = [change for change in store.changes if change.state is IncidentState.VERIFYING]
    assert sum(change.end is not None for change in begun) == 2, "of two steps"


@pytest.mark.parametrize(("undo", "state"), [(Undo.NEVER, "escalated"), (Undo.IF_NOT_RECOVERED, "verifying")])
def test_what_stops_between_two_parts_says_so(undo: Undo, state: str) -> None:
    """A later part that finds its element changed stops the rest.

    It is taken back where that is declared, then the next step comes; else a person is told what stands.
    """
    store = a_store(undo, parts=2)

    class Stubborn(Hit):
        async def run(self, *given: Any) -> ElementOutcome:
            """The second attempt finds that somebody was faster."""
            self.world.refuses = len(store.attempts) == 2
            return await super().run(*given)

    asyncio.run(drive(store, action=Stubborn(store.world, undoable=True)))
    assert store.incident.state.value == state
    told = "; ".join(entry.text for change in store.changes for entry in change.entries)
    assert "step 1 stopped at part 2 of 2: test.hit found nothing left to do" in told
    if undo is Undo.NEVER:
        assert "done and not taken back: test.hit on test/target" in told
        assert store.claim_ is not None
        assert store.claim_.quarantined
    else:
        assert "what was done is taken back" in told
        assert [one.step for one in store.attempts.values()] == [0, 0, 0, 1, 1]


def test_a_declined_step_is_not_taken_and_the_person_is_named() -> None:
    """No effect; it escalates with who said no and to what."""
    store = run([1, "a person declines", 1], autonomy=Autonomy.APPROVE)
    assert (store.world.effects, store.incident.state) == ([], IncidentState.ESCALATED)
    assert "ada declined test.hit on test/target" in (store.incident.progress.escalation_reason or "")


def test_the_ladder_in_a_straight_line() -> None:
    """It acts once, the alert ends, it is stable, the incident is resolved and later closed."""
    store = run([10, "ends", 1, 31, 5, 31 * 60])
    assert store.world.effects == [(next(iter(store.attempts)), "a"), (next(iter(store.attempts)), "b")]
    assert store.incident.state is IncidentState.CLOSED
    assert store.claim_ is None
    assert store.world.now > START
