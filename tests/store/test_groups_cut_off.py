"""A process that dies while an `all:` is under way: the next owner goes on by ledger and target.

The engine on a real PostgreSQL, in virtual time. A death is an exception at a crash point that nobody
catches; then the lease is given up, as whoever takes over after the lease time finds it.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from responder.crash_points import Point
from responder.engine import perform, worker
from responder.model.attempt import Attempt, ElementOutcome, Outcome
from responder.rehearsal import faked
from responder.rehearsal.enact import Enactment
from responder.rehearsal.faked import Stage
from responder.rehearsal.kept import Clock
from responder.rehearsal.rehearsal import Act, Now
from responder.rehearsal.scene import Around, Scene, read_scenes
from responder.rulebook.mistake import Mistakes
from tests.support.for_real import ForReal, for_real
from tests.support.rule_surroundings import surroundings

FILE = Path(__file__).parents[1] / "unit" / "rehearsed" / "ladders.test.yaml"
FENCED = "two parts on one target, which help"
UNFENCED = "the parts run in order at one moment, are verified once, and help"


class Died(BaseException):
    """The process ends here."""


class Witness:
    """What ran, and whether the target can be asked."""

    def __init__(self, *, answers: bool) -> None:
        self.answers = answers
        self.ran: list[tuple[str, str]] = []

    def watch(self, patch: pytest.MonkeyPatch) -> None:
        """Every faked action is asked and run through this one."""
        mine, own_run = self, faked._Faked.run

        async def run(self: Any, *given: Any) -> ElementOutcome:
            mine.ran.append((self.name, str(given[-1])))
            return await own_run(self, *given)

        async def happened(self: Any, attempt: Attempt) -> tuple[ElementOutcome, ...]:
            done = (self.name, str(attempt.id)) in mine.ran
            outcome = Outcome.DONE if done else Outcome.NOT_DONE
            outcome = outcome if mine.answers else Outcome.UNKNOWN
            return tuple(ElementOutcome(element=one.key, outcome=outcome) for one in attempt.elements)

        patch.setattr(faked._Faked, "run", run)
        patch.setattr(faked._Faked, "happened", happened)


def dying_at(point: Point, times: int) -> Callable[[Point], None]:
    passes: Counter[Point] = Counter()

    def reached(now: Point) -> None:
        passes[now] += 1
        if now is point and passes[now] == times:
            raise Died

    return reached


def the_scene(name: str) -> Scene:
    mistakes = Mistakes()
    scenes = read_scenes([FILE], Around(surroundings()), mistakes)
    assert not mistakes.found, mistakes.sorted()
    return next(scene for scene in scenes if scene.test.name == name)


async def lives_on(real: ForReal, acts: list[Any], scene: Scene) -> bool:
    """Until the end of the test, with a new owner after a death; whether there was one."""
    until, died = scene.test.start + scene.test.expect[-1].at, False
    left: list[tuple[Any, Act]] = acts
    while True:
        try:
            await real.run(left, until)
        except Died:
            died = True
            await real.db.sql("UPDATE incidents SET owner = NULL, due_at = least(due_at, $1)", real.clock.now)
            left = [one for one in acts if one[0] > real.clock.now]
        else:
            return died


async def cut_off(
    point: Point, times: int, witness: Witness, dsn: str, patch: pytest.MonkeyPatch, name: str = FENCED
) -> tuple[list[Attempt], list[tuple[Any, ...]], str, bool]:
    scene = the_scene(name)
    witness.watch(patch)
    reached = dying_at(point, times)
    patch.setattr(perform, "reached", reached)
    patch.setattr(worker, "reached", reached)
    stage = Stage(scene.test, Clock(scene.test.start), Now())
    async with for_real(scene, stage, dsn, patch) as real:
        acts = sorted(
            Enactment(scene.source, stage, real, scene.surroundings.redaction).acts(), key=lambda one: one[0]
        )
        died = await lives_on(real, acts, scene)
        (incident,) = await real.incidents()
        dossier = await real.store.incident(incident.id)
        assert dossier is not None
        claims = await real.db.sql("SELECT target, quarantined FROM claims ORDER BY target")
        return list(dossier.attempts), claims, incident.state.value, died


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize(
    "point", [Point.INTENT_COMMITTED, Point.ELEMENT_ENDED, Point.EFFECT_ENDED, Point.OUTCOME_RECORDED]
)
async def test_whenever_it_dies_each_part_runs_once_and_all_of_them_do(
    point: Point, times: int, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the effect the part is taken anew, after it never again; then the rest follows, and it helps."""
    witness = Witness(answers=True)
    attempts, claims, state, died = await cut_off(point, times, witness, dsn, monkeypatch)
    assert died
    assert [name for name, _ in witness.ran] == ["postgres.cancel_queries", "postgres.terminate_queries"]
    done = [one for one in attempts if one.outcome is Outcome.DONE]
    assert [one.part for one in done] == [0, 1]
    assert {one.all_of for one in done} == {done[0].id}
    assert (claims, state) == ([], "resolved")


@pytest.mark.parametrize("times", [1, 2])
async def test_where_nobody_can_say_what_became_of_a_part_all_targets_are_quarantined(
    times: int, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever part it is: none after it runs, and a person has to release each target."""
    witness = Witness(answers=False)
    cut = cut_off(Point.EFFECT_ENDED, times, witness, dsn, monkeypatch, UNFENCED)
    attempts, claims, state, died = await cut
    assert died
    assert len(witness.ran) == len(attempts) == times
    assert attempts[-1].outcome is Outcome.UNKNOWN
    assert [quarantined for _, quarantined in claims] == [True, True]
    assert state in {"escalated", "resolved"}


async def test_a_no_of_what_nothing_fences_is_not_believed(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may still happen: nothing more runs, also no other part."""
    witness = Witness(answers=True)
    cut = cut_off(Point.INTENT_COMMITTED, 1, witness, dsn, monkeypatch, UNFENCED)
    attempts, claims, _, died = await cut
    assert died
    assert (witness.ran, [one.outcome for one in attempts]) == ([], [Outcome.UNKNOWN])
    assert [quarantined for _, quarantined in claims] == [True, True]
