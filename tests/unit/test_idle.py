"""Looks that are left out: nothing is different for it, and hours of waiting cost nothing."""

from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from responder.decide.case import Case
from responder.ports import Lease
from responder.rehearsal.idle import Idle
from responder.rehearsal.play import Playing
from responder.rehearsal.scene import Around, Scene, read_scenes
from responder.rulebook.mistake import Mistakes
from tests.support.lives import rehearsed
from tests.support.rule_surroundings import surroundings

ROOT = Path(__file__).parents[2]
FILES = [*sorted((ROOT / "tests/unit/rehearsed").glob("*.test.yaml")), ROOT / "rules/postgres.test.yaml"]
ZERO = datetime(2026, 1, 1)  # noqa: DTZ001 - only compared with itself
SECOND = timedelta(seconds=1)


def scenes() -> list[Scene]:
    mistakes = Mistakes()
    read = read_scenes(FILES, Around(surroundings()), mistakes)
    assert not mistakes.found, mistakes.sorted()
    return read


@pytest.mark.parametrize("scene", scenes(), ids=lambda scene: scene.test.name)
async def test_what_is_left_out_makes_no_difference(scene: Scene) -> None:
    """Timeline, incident with its due time, attempts and words are the same with every look taken."""
    every = [asdict(one) for one in await rehearsed(scene, skips=False)]
    some = [asdict(one) for one in await rehearsed(scene)]
    assert some == every


async def test_hours_of_waiting_cost_a_handful_of_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Held for an hour it would look 720 times; nothing happens, so it looks when its patience is over."""
    [scene] = [one for one in scenes() if one.test.name.startswith("a halt that lasts longer")]
    play, looks = Playing(scene), 0
    load = play.memory.load

    async def counted(lease: Lease) -> Case:
        nonlocal looks
        looks += 1
        return await load(lease)

    monkeypatch.setattr(play.memory, "load", counted)
    assert (await play.play()).passed
    assert looks < 30


@pytest.mark.parametrize(("after", "look"), [(0, 5), (1, 5), (5, 5), (6, 10), (10, 10), (11, 15)])
def test_it_looks_when_it_would_have_looked(after: int, look: int) -> None:
    """Every five seconds from its last look on: at a moment or at the first one after it."""
    assert Idle(ZERO, 5 * SECOND).look(ZERO + after * SECOND) == ZERO + look * SECOND


@pytest.mark.parametrize(("before", "look"), [(1, 5), (5, 5), (9, 5), (10, 5), (11, 10), (15, 10), (16, 15)])
def test_its_last_look_before_a_moment_is_before_it(before: int, look: int) -> None:
    """So the look itself finds out at what time the next one is due."""
    assert Idle(ZERO, 5 * SECOND).last_look(ZERO + before * SECOND) == ZERO + look * SECOND
