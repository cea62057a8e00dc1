"""Crash points: what the variable does, and that nothing happens without it."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from responder import crash_points
from responder.crash_points import Point, parsed
from responder.settings import SettingsError, load

ROOT = Path(__file__).parents[2]
_PASS_THREE_TIMES = """
from responder.crash_points import Point, reached
for number in (1, 2, 3):
    reached(Point.INTENT_COMMITTED)
    reached(Point.EFFECT_ENDED)
    print(number, flush=True)
"""


def passing(wanted: str | None) -> "subprocess.CompletedProcess[str]":
    """A process that passes two points three times each and prints the rounds."""
    environment = {name: value for name, value in os.environ.items() if name != crash_points.VARIABLE}
    if wanted is not None:
        environment[crash_points.VARIABLE] = wanted
    command = [sys.executable, "-c", _PASS_THREE_TIMES]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=ROOT)


@pytest.mark.parametrize(
    ("wanted", "code", "rounds"),
    [
        (None, 0, "1 2 3"),
        ("intent_committed", -signal.SIGKILL, ""),
        ("effect_ended:2", -signal.SIGKILL, "1"),
        ("effect_ended:4", 0, "1 2 3"),
        ("step_judged", 0, "1 2 3"),
    ],
)
def test_a_process_ends_at_its_point_and_nowhere_else(wanted: str | None, code: int, rounds: str) -> None:
    """By SIGKILL, at that pass of that point."""
    done = passing(wanted)
    assert (done.returncode, done.stdout.split()) == (code, rounds.split())


@pytest.mark.parametrize("wanted", ["intent_comitted", "effect_ended:0", "effect_ended:x", ":2"])
def test_a_misspelt_point_stops_the_start(wanted: str) -> None:
    """A crash test that names no point would prove nothing."""
    with pytest.raises(SettingsError, match=r"RESPONDER_CRASH_AT: .*effect_ended"):
        load(None, {crash_points.VARIABLE: wanted})


def test_each_point_is_passed_at_one_place() -> None:
    """No point is left that the product does not pass, and none has two meanings."""
    product = "".join(path.read_text() for path in (ROOT / "responder").rglob("*.py"))
    calls = re.findall(r"reached\((.*)\)", product)
    named = [name for call in calls for name in re.findall(r"Point\.(\w+)", call)]
    assert sorted(named) == sorted(Point.__members__)


def test_a_point_is_written_with_or_without_its_pass() -> None:
    """Without a number the first pass is meant."""
    assert parsed("element_ended") == parsed("element_ended:1") == (Point.ELEMENT_ENDED, 1)
