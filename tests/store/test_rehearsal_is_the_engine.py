"""The rehearsal against the engine on a real PostgreSQL: the same alerts and answers, the same story.

Compared are the whole timeline (moment, kind, words), the incident with its progress and due times, every
attempt with its outcome, verdict and moments, and all words to people.
"""

from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import pytest

from responder.rehearsal.scene import Around, Scene, read_scenes
from responder.rulebook.mistake import Mistakes
from tests.support.drawn_scenes import LADDERS, RISING, drawn
from tests.support.for_real import played_for_real
from tests.support.lives import rehearsed
from tests.support.pools import with_pools
from tests.support.rule_surroundings import surroundings

pytestmark = pytest.mark.real  # it takes long

ROOT = Path(__file__).parents[2]
FOLDERS = ("tests/unit/rehearsed", "rules")
FILES = [file for folder in FOLDERS for file in sorted((ROOT / folder).rglob("*.test.yaml"))]


POOLS = sorted((ROOT / "tests/unit/rehearsed_pools").glob("*.test.yaml"))


def scenes() -> list[Scene]:
    mistakes = Mistakes()
    read = read_scenes(FILES, Around(surroundings()), mistakes)
    read += read_scenes(POOLS, Around(surroundings(catalogue=with_pools())), mistakes)
    assert not mistakes.found, mistakes.sorted()
    return read


BASE = next(scene for scene in scenes() if scene.file.endswith("guards.test.yaml"))
RISING_BASE = next(scene for scene in scenes() if scene.file.endswith("rising.test.yaml"))
LADDER = next(scene for scene in scenes() if scene.file.endswith("ladders.test.yaml"))


@pytest.mark.parametrize("scene", scenes(), ids=lambda scene: scene.test.name)
async def test_a_rehearsed_incident_lives_as_in_the_engine(
    scene: Scene, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a test of rules says of an incident is what the engine does, to the microsecond."""
    await the_same(scene, dsn, monkeypatch)


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_happens_at_random_is_the_same(
    seed: int, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alerts, failures, silences, people and restraints that nobody thought of together."""
    await the_same(drawn(BASE, seed), dsn, monkeypatch)


@pytest.mark.parametrize("seed", range(20))
async def test_what_rises_is_explained_or_is_passed_on_is_the_same(
    seed: int, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all of that at random, over incidents that depend on each other."""
    await the_same(drawn(RISING_BASE, seed, RISING, timedelta(minutes=50)), dsn, monkeypatch)


@pytest.mark.parametrize("seed", range(32))
async def test_whatever_happens_to_steps_of_several_acts_is_the_same(
    seed: int, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts, repeats and give-backs, whatever fails of them, whoever says what, and whatever holds them."""
    await the_same(drawn(LADDER, seed, LADDERS), dsn, monkeypatch)


async def the_same(scene: Scene, dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [asdict(one) for one in await played_for_real(scene, dsn, monkeypatch)]
    found = [asdict(one) for one in await rehearsed(scene)]
    assert len(found) == len(expected)
    for mine, theirs in zip(found, expected, strict=True):
        for part in ("told", "evidence", "attempts", "notices", "incident"):
            assert mine[part] == theirs[part]
