"""All tests of rules, ready to be played: those that are made for the rehearsal, and those that ship."""

from pathlib import Path

from responder.rehearsal.scene import Around, Scene, read_scenes
from responder.rulebook.mistake import Mistakes
from tests.support.pools import with_pools
from tests.support.rule_surroundings import surroundings

_ROOT = Path(__file__).parents[2]
_FOLDERS = ("tests/unit/rehearsed", "rules")
_FILES = [file for folder in _FOLDERS for file in sorted((_ROOT / folder).rglob("*.test.yaml"))]
_POOLS = sorted((_ROOT / "tests/unit/rehearsed_pools").glob("*.test.yaml"))


def _scenes() -> list[Scene]:
    mistakes = Mistakes()
    read = read_scenes(_FILES, Around(surroundings()), mistakes)
    read += read_scenes(_POOLS, Around(surroundings(catalogue=with_pools())), mistakes)
    assert not mistakes.found, mistakes.sorted()
    return read


SCENES = _scenes()
BASE = next(scene for scene in SCENES if scene.file.endswith("guards.test.yaml"))
RISING_BASE = next(scene for scene in SCENES if scene.file.endswith("rising.test.yaml"))
LADDER = next(scene for scene in SCENES if scene.file.endswith("ladders.test.yaml"))
