"""The rehearsal against the engine on a real PostgreSQL: the same alerts and answers, the same story.

Compared are the whole timeline (moment, kind, words), the incident with its progress and due times, every
attempt with its outcome, verdict and moments, and all words to people.
"""

from dataclasses import asdict
from datetime import timedelta

import pytest

from responder.rehearsal.scene import Scene
from tests.support.drawn_scenes import LADDERS, RISING, drawn
from tests.support.for_real import played_for_real
from tests.support.lives import rehearsed
from tests.support.rule_scenes import BASE, LADDER, RISING_BASE, SCENES

pytestmark = pytest.mark.real  # it takes long


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.test.name)
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
