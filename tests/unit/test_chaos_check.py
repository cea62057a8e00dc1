"""The check of the chaos run: a good world passes, and each way to break a promise is found by itself."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from uuid import UUID

import pytest

from responder.model.alert import fingerprint
from tests.chaos.check import Told, takeovers, violations
from tests.chaos.faults import Fault, Kind
from tests.chaos.pager import Heard
from tests.chaos.peers import Acknowledged
from tests.chaos.records import Attempted, Membership, Records, Standing, Start, Takeover, Word
from tests.chaos.tally import GOALS, short_of, tally
from tests.chaos.target import Effect, Targets, recorded
from tests.chaos.world import Alert

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
T = START.timestamp()
LABELS = {"alertname": "Call", "target": "t-00"}
EPISODE = (fingerprint(LABELS), START)
INCIDENT, ATTEMPT, OTHER = UUID(int=1), UUID(int=2), UUID(int=3)
DEAD, ALIVE = UUID(int=10), UUID(int=11)
LEFT, RIGHT = "t-00/left", "t-00/right"

World = tuple[Told, Records]


SUMMARY = Word("summary", None, None, urgent=False)


def a_good_world() -> World:
    """One alert, one incident, one attempt that was cut and taken over, and an effect on each side."""
    attempt = Attempted(
        id=ATTEMPT,
        incident=INCIDENT,
        target="chaos/t-00",
        elements=frozenset({LEFT, RIGHT}),
        results={LEFT: "done", RIGHT: "done"},
        outcome="done",
        committed_at=T + 1,
        start_before=T + 3,
        timeout_s=3.0,
        owners=(DEAD, ALIVE),
        ats=(T + 1, T + 6),
        released_at=T + 8,
    )
    effects = (Effect(ATTEMPT, LEFT, T + 1.1, T + 1.5), Effect(ATTEMPT, RIGHT, T + 1.8, T + 2.2))
    told = Told(
        acknowledged=[Acknowledged(Alert(LABELS, START), T + 0.5)],
        faults=[
            Fault(Kind.KILL, T + 2, T + 2, pid=100),
            Fault(Kind.HALT, T + 20, T + 30),
        ],
    )
    left = Records(
        attempts=[attempt],
        effects=effects,
        ended=frozenset((one.attempt, one.element) for one in effects),
        firing={EPISODE: START},
        members={EPISODE[0]: [Membership(INCIDENT, "Call", START, None)]},
        incidents=[Standing(INCIDENT, "Call", "escalated", ("opened", "intent", "escalation"), 10.0, 1)],
        words=[
            Word("first", INCIDENT, None, urgent=True),
            Word("over", INCIDENT, "summary", urgent=False),
            SUMMARY,
        ],
        heard=[
            Heard("first", INCIDENT, T + 9),
            Heard("summary", None, T + 10),
            Heard("first", INCIDENT, T + 11),
        ],
        claims={"chaos/t-09": (True, INCIDENT)},
        takeovers=[Takeover(INCIDENT, DEAD, ALIVE, T + 5.5, silent_s=3.6)],
        pids={DEAD: 100, ALIVE: 200},
    )
    return told, left


def with_attempt(world: World, **changed: object) -> World:
    """The same with another attempt."""
    told, left = world
    return told, replace(left, attempts=[replace(left.attempts[0], **changed)])  # type: ignore[arg-type]


def with_effect(world: World, *more: Effect) -> World:
    """The same with further effects."""
    told, left = world
    return told, replace(left, effects=[*left.effects, *more])


def with_incident(world: World, **changed: object) -> World:
    """The same with another incident."""
    told, left = world
    return told, replace(left, incidents=[replace(left.incidents[0], **changed)])  # type: ignore[arg-type]


def with_left(world: World, **changed: object) -> World:
    """The same with other records."""
    told, left = world
    return told, replace(left, **changed)  # type: ignore[arg-type]


def with_another_holder(world: World) -> World:
    """An effect that comes when another attempt holds the target, in time by its window."""
    told, left = with_attempt(world, released_at=T + 2, start_before=T + 9)
    first = left.attempts[0]
    second = replace(
        first,
        id=OTHER,
        committed_at=T + 2.5,
        released_at=None,
        results=dict.fromkeys(first.elements, "not_done"),
    )
    late = Effect(ATTEMPT, RIGHT, T + 1.8, T + 3)
    return told, replace(left, attempts=[first, second], effects=[left.effects[0], late])


def with_unknown(world: World) -> World:
    """Five attempts that were cut, two of them unknown."""
    told, left = world
    cut = [
        replace(
            left.attempts[0],
            id=UUID(int=100 + n),
            results=dict.fromkeys((LEFT, RIGHT), "unknown"),
            outcome=how,
        )
        for n, how in enumerate(["unknown", "unknown", "done", "done", "done"])
    ]
    return told, replace(left, attempts=[*cut, left.attempts[0]])


def test_a_good_world_has_no_violation() -> None:
    """Nothing is found where nothing is wrong."""
    assert violations(*a_good_world()) == ()


BROKEN: dict[str, tuple[str, Callable[[World], World]]] = {
    "lost": ("not in the journal as firing", lambda w: with_left(w, firing={})),
    "in no incident": ("in no incident of Call", lambda w: with_left(w, members={})),
    "refused for ever": ("refused for ever", lambda w: (replace(w[0], refusals=["400: no"]), w[1])),
    "twice": ("had 2 effects on", lambda w: with_effect(w, Effect(ATTEMPT, LEFT, T + 1.6, T + 1.7))),
    "without an intent": (
        "not in the ledger",
        lambda w: with_effect(w, Effect(OTHER, LEFT, T + 1.6, T + 1.7)),
    ),
    "beside the intent": (
        "which its intent does not name",
        lambda w: with_effect(w, Effect(ATTEMPT, "t-01/left", T + 1.6, T + 1.7)),
    ),
    "before the intent": ("its intent was committed at", lambda w: with_attempt(w, committed_at=T + 1.2)),
    "too late": ("s too late", lambda w: with_attempt(w, start_before=T - 3)),
    "given back": ("nobody held it", lambda w: with_attempt(w, released_at=T + 2)),
    "on another's ground": (f"attempt {OTHER} held it", with_another_holder),
    "under a halt": (
        "s after a halt",
        lambda w: (replace(w[0], faults=[Fault(Kind.HALT, T - 4, T + 9)]), w[1]),
    ),
    "overspent": (
        "is disruptive start 3 in 15 s; chaos/t-00 (target) has a budget of 2",
        lambda w: with_left(
            w, starts=[Start(ATTEMPT, INCIDENT, T + n, "chaos/t-00", "even") for n in (0, 7, 14)]
        ),
    ),
    "no outcome": ("never got an outcome", lambda w: with_attempt(w, outcome="started")),
    "says nothing": ("says nothing of", lambda w: with_attempt(w, results={LEFT: "done"})),
    "denies": ("which was", lambda w: with_attempt(w, results={LEFT: "done", RIGHT: "not_done"})),
    "invents": ("which was not", lambda w: with_left(w, effects=w[1].effects[:1])),
    "unknown": ("are unknown", with_unknown),
    "taken over late": (
        "was taken over after 31.0 s",
        lambda w: with_left(w, takeovers=[Takeover(INCIDENT, DEAD, ALIVE, T + 33, silent_s=31.5)]),
    ),
    "not at rest": ("did not come to rest: held", lambda w: with_incident(w, state="held")),
    "nobody told": ("its timeline has no escalation", lambda w: with_incident(w, told=("opened",))),
    "no word written": ("and 0 words to them were written", lambda w: with_incident(w, words=0)),
    "a word without its record": ("and 2 words to them were written", lambda w: with_incident(w, words=2)),
    "a page without its word": (
        "says 2 times that people were told, and 1 words",
        lambda w: with_incident(w, told=("opened", "told", "escalation")),
    ),
    "looked at late": ("is looked at in 2400 s only", lambda w: with_incident(w, due_in_s=2400.0)),
    "never looked at": ("nobody will ever look at it", lambda w: with_incident(w, due_in_s=None)),
    "a word to one alone": (
        "1 words for the log were written, and 0 for",
        lambda w: with_left(w, words=[SUMMARY]),
    ),
    "a word that nobody heard": ("never heard the word first", lambda w: with_left(w, heard=w[1].heard[1:2])),
    "a word that was folded, and nobody heard": (
        "never heard the word over",
        lambda w: with_left(w, heard=w[1].heard[:1]),
    ),
    "a word out of turn": ("before an earlier one", lambda w: with_left(w, heard=w[1].heard[1:])),
    "a word that was not written": (
        "which was never written so",
        lambda w: with_left(w, heard=[*w[1].heard, Heard("other", INCIDENT, T + 12)]),
    ),
    "a word about another": (
        "which was never written so",
        lambda w: with_left(w, heard=[*w[1].heard, Heard("first", OTHER, T + 12)]),
    ),
    "held for ever": ("is still held", lambda w: with_left(w, claims={"chaos/t-09": (False, INCIDENT)})),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_each_broken_promise_is_found_by_itself(broken: str) -> None:
    """One change to the good world, and the violation that says it."""
    words, change = BROKEN[broken]
    found = [one.text for one in violations(*change(a_good_world()))]
    assert [one for one in found if words in one], found


def test_an_end_that_was_heard_first_leaves_nothing_to_open() -> None:
    """The beginning of an episode that had ended by then needs no incident."""
    told, left = a_good_world()
    early = replace(left, members={}, resolved={EPISODE: START - timedelta(seconds=1)})
    assert violations(told, early) == ()


def test_an_episode_that_went_on_covers_what_began_meanwhile() -> None:
    """Two beginnings without an end between them are one episode, which began with the first."""
    told, left = a_good_world()
    before = Membership(INCIDENT, "Call", START - timedelta(minutes=1), None)
    assert violations(told, replace(left, members={EPISODE[0]: [before]})) == ()


def test_a_takeover_counts_from_the_death_of_its_owner() -> None:
    """From the kill, not from a pause long before; where nothing was done, from the last heartbeat."""
    told, left = a_good_world()
    faults = [Fault(Kind.PAUSE, T - 60, T - 59, pid=100), *told.faults]
    assert [round(seconds, 1) for _, seconds in takeovers(faults, left)] == [3.5]
    assert [seconds for _, seconds in takeovers([], left)] == [3.6]
    own = replace(left, pids={DEAD: 100, ALIVE: 100})
    assert takeovers(faults, own) == []


def test_a_kill_counts_as_between_where_an_intent_had_no_outcome() -> None:
    """By the ledger: that process had committed an intent before the kill, and the outcome came later."""
    told, left = a_good_world()
    counts = tally(told, left)
    assert (counts["kills between intent and outcome"], counts["takeovers"], counts["effects"]) == (1, 1, 2)
    assert set(GOALS) <= set(counts)
    assert len(short_of(counts)) == len(GOALS)
    after = replace(told, faults=[Fault(Kind.KILL, T + 7, T + 7, pid=100)])
    assert tally(after, left)["kills between intent and outcome"] == 0


def test_a_target_records_a_second_effect_like_the_first(tmp_path: Path) -> None:
    """It has no mercy: what came twice is found in its file twice, and the trouble is mended once."""
    mended: list[str] = []
    targets = Targets(tmp_path / "effects.jsonl", Random(1), mended.append)  # noqa: S311
    one = Effect(ATTEMPT, LEFT, T, T + 1)
    targets._have_effect(one, "t-00")
    targets._have_effect(one, "t-00")
    assert recorded(targets.file) == (one, one)
    assert mended == []
    targets._have_effect(replace(one, element=RIGHT), "t-00")
    assert mended == ["t-00"]
