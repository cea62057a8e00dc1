"""The table of the promises as it stands in docs/safety.md: each with the test that proves it."""

from collections.abc import Mapping
from pathlib import Path

from tests.promises.catalogue import PROMISES, prefix
from tests.promises.found import ROOT, Proof

PAGE = ROOT / "docs" / "safety.md"
BEGINS = "<!-- the table is that of tests/promises/page.py -->"


def table(tests: Mapping[int, Proof]) -> str:
    """The table in Markdown."""
    rows = [f"| {number} | {words} | {_where(number, tests)} |" for number, words in PROMISES.items()]
    return "\n".join([BEGINS, "", "| | promise | its test |", "| --- | --- | --- |", *rows, ""])


def _where(number: int, tests: Mapping[int, Proof]) -> str:
    test = tests.get(number)
    return "none" if test is None else f"`{prefix(number)}...` in `{test.file}`"


def written(page: Path = PAGE) -> str:
    """The table that stands on the page."""
    _, begins, rest = page.read_text().partition(BEGINS)
    return begins + rest.partition("\n## ")[0]


def write(tests: Mapping[int, Proof], page: Path = PAGE) -> None:
    """Put the table on the page in place of the one that stands there."""
    page.write_text(page.read_text().replace(written(page), table(tests)))
