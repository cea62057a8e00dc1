"""Runs tests of promises with pytest in a process of its own, and hears of each as it ends."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.promises import told

_DISPROVES = ("assert", "AssertionError", "Failed: DID NOT RAISE")
"""How the word of a failed assertion begins."""


@dataclass(slots=True)
class Ran:
    """What became of one test."""

    node: str
    seconds: float = 0.0
    passed: bool = False
    failed: bool = False
    why: str = ""
    """Why it failed or was skipped, as pytest shows it."""
    problem: str = ""
    """What was raised by the test itself."""

    def hear(self, line: dict[str, Any]) -> None:
        """One part of it has ended; a test with parameters has several of each."""
        self.seconds += line["seconds"]
        self.passed |= line["part"] == "call" and line["outcome"] == "passed"
        self.failed |= line["outcome"] == "failed"
        if line["outcome"] != "passed":
            self.why = self.why or line["why"]
        if line["part"] == "call":
            self.problem = self.problem or line["problem"]

    @property
    def disproved(self) -> bool:
        """Whether an assertion of the test failed, and not something that the test stands on."""
        return self.problem.startswith(_DISPROVES)

    @property
    def failed_at(self) -> str:
        """The line of the test that failed, and those that it called, down to the assertion."""
        return "\n".join(line[1:].strip() for line in self.why.splitlines() if line.startswith(">"))

    @property
    def held(self) -> bool:
        """Whether it ran, and nothing of it failed."""
        return self.passed and not self.failed


@dataclass(slots=True)
class Run:
    """One process of pytest: what became of its tests, how it ended, and what it printed."""

    tests: dict[str, Ran] = field(default_factory=dict)
    code: int = 0
    output: str = ""

    def of(self, node: str) -> Ran | None:
        """What became of a test; None where it never began."""
        return self.tests.get(node)


def run(
    nodes: Sequence[str],
    *arguments: str,
    tree: Path,
    ended: Callable[[Ran], None] = lambda _: None,
) -> Run:
    """Run these tests of a tree, the heavy ones too, and with that tree's product.

    `ended` hears of each that has ended. The installed product is another one where the tree is a copy: the
    tree comes first on the path, for the processes that the tests start as well.
    """
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.promises.told", "-m", "real or not real"]
    heard, tell = os.pipe()
    with tempfile.TemporaryFile("w+") as output, os.fdopen(heard) as lines:
        process = subprocess.Popen(
            [*command, *arguments, *nodes],
            cwd=tree,
            env={**os.environ, "PYTHONPATH": str(tree), told.VARIABLE: str(tell)},
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=(tell,),
        )
        os.close(tell)
        result = Run(_told(lines, ended))
        result.code = process.wait()
        output.seek(0)
        result.output = output.read()
    return result


def _told(lines: Iterable[str], ended: Callable[[Ran], None]) -> dict[str, Ran]:
    """Everything that is told until the process is over."""
    tests: dict[str, Ran] = {}
    for line in map(json.loads, lines):
        node = line["test"].partition("[")[0]
        ran = tests.setdefault(node, Ran(node))
        ran.hear(line)
        if line["part"] == "teardown":
            ended(ran)
    return tests
