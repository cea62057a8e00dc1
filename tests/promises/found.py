"""The tests of the promises as they stand in the tree, by number: where each is, and what it claims."""

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.promises.catalogue import PROMISES

ROOT = Path(__file__).parents[2]
_NAMED = re.compile(r"test_promise_(\d\d)_")


@dataclass(frozen=True, slots=True)
class Proof:
    """One test function. `file` is relative to the tree."""

    number: int
    name: str
    file: str
    claim: str

    @property
    def node(self) -> str:
        """What pytest calls it."""
        return f"{self.file}::{self.name}"


def named_tests() -> Sequence[Proof]:
    """Every test that is named after a promise, in the order of numbers."""
    files = sorted((ROOT / "tests" / "promises").glob("test_*.py"))
    found = [test for file in files for test in _in_file(file)]
    return sorted(found, key=lambda test: (test.number, test.name))


def by_promise(tests: Sequence[Proof]) -> Mapping[int, Proof]:
    """The one test of each promise that has one.

    Raises:
        ValueError: a promise has two tests, or a test is named after none.
    """
    one: dict[int, Proof] = {}
    for test in tests:
        if test.number not in PROMISES:
            raise ValueError(f"{test.node} is named after promise {test.number}, and there is none")
        if test.number in one:
            raise ValueError(f"promise {test.number} has two tests: {one[test.number].node} and {test.node}")
        one[test.number] = test
    return one


def _in_file(file: Path) -> Sequence[Proof]:
    nodes = ast.walk(ast.parse(file.read_text()))
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [
        Proof(int(named[1]), node.name, str(file.relative_to(ROOT)), ast.get_docstring(node) or "")
        for node in functions
        if (named := _NAMED.match(node.name))
    ]
