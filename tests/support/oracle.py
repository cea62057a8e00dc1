"""Alertmanager's own matcher code, asked: the program of tests/oracle, built with Go when it is missing.

The binary is kept outside the checkout, named by the sum of its source and of the compiler, so that a
changed source is built anew. Without Go, or with one that is too old, the test that asks fails and says
what is missing.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.parts import MissingPartError

SOURCE = Path(__file__).parents[1] / "oracle"
_FILES = ("main.go", "go.mod", "go.sum")
_USUAL_PLACE = "/usr/local/go/bin"
"""Where Go's own archive is unpacked, on the path or not."""


@dataclass(frozen=True, slots=True)
class Question:
    """A matcher text, and label sets to match."""

    text: str
    labels: Sequence[Mapping[str, str]] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What Alertmanager makes of it.

    Attributes:
        error: why it refuses the text; empty where it takes it.
        matchers: (name, operator, value) of each.
        match: for each label set, whether all matchers hold.
    """

    error: str
    matchers: tuple[tuple[str, ...], ...] = ()
    match: tuple[bool, ...] = ()


def ask(questions: Sequence[Question]) -> list[Answer]:
    """Alertmanager's answers, in the order of the questions.

    Raises:
        MissingPartError: there is no Go to build the program with, or it is too old.
    """
    lines = "".join(f"{json.dumps({'text': q.text, 'labels': list(q.labels)})}\n" for q in questions)
    done = subprocess.run([_built()], input=lines.encode(), capture_output=True, timeout=60, check=True)
    return [_answer(line) for line in done.stdout.splitlines()]


def _answer(line: bytes) -> Answer:
    told = json.loads(line)
    matchers = tuple(tuple(parts) for parts in told["matchers"] or ())
    return Answer(told["error"], matchers, tuple(told["match"] or ()))


def _built() -> Path:
    compiler = _compiler()
    version = subprocess.run(  # in the module: where GOTOOLCHAIN lets it, Go fetches what go.mod asks for
        [compiler, "version"], cwd=SOURCE, capture_output=True, text=True, timeout=300, check=False
    )
    _check_age(version.stdout or version.stderr)
    total = hashlib.sha256(version.stdout.encode())
    for name in _FILES:
        total.update((SOURCE / name).read_bytes())
    binary = _cache() / f"matchers-{total.hexdigest()[:20]}"
    if not binary.exists():
        _build(compiler, binary)
    return binary


def _compiler() -> str:
    found = shutil.which("go", path=os.pathsep.join((os.environ.get("PATH", ""), _USUAL_PLACE)))
    if found is None:
        raise MissingPartError(f"go is not installed: apt-get install golang, at least {_oldest()}")
    return found


def _check_age(version: str) -> None:
    found = re.search(r"go(\d+)\.(\d+)", version)
    oldest = _oldest()
    if found is None or [int(part) for part in found.groups()] < [int(part) for part in oldest.split(".")]:
        raise MissingPartError(f"{version.strip()} is too old: install Go {oldest} or newer")


def _oldest() -> str:
    """The oldest Go that builds the pinned Alertmanager, as go.mod says."""
    lines = (SOURCE / "go.mod").read_text().splitlines()
    return ".".join(next(line for line in lines if line.startswith("go ")).split()[1].split(".")[:2])


def _cache() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "responder-tests"
    cache.mkdir(parents=True, exist_ok=True)
    return cache


def _build(compiler: str, binary: Path) -> None:
    """Built beside its place and then moved there: two runs at once do not disturb each other."""
    with tempfile.TemporaryDirectory(dir=binary.parent) as folder:
        made = Path(folder) / binary.name
        done = subprocess.run(
            [compiler, "build", "-trimpath", "-o", str(made), "."],
            cwd=SOURCE,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        if done.returncode:
            raise MissingPartError(f"the oracle of matchers could not be built:\n{done.stderr}")
        made.rename(binary)
