"""Each promise has a sabotage, whose text stands in the product and whose failing line in its test."""

import ast

import pytest

from tests.promises.catalogue import PROMISES
from tests.promises.found import ROOT, by_promise, named_tests
from tests.promises.run import Ran
from tests.promises.sabotage import StaleError, _missed, sabotaged
from tests.promises.sabotages import SABOTAGES, Sabotage

PROOFS = by_promise(named_tests())
ONE = Sabotage(1, "a line", "a.py", "keeps it\n", "", "assert it is kept")


def test_each_promise_has_a_sabotage() -> None:
    """What no line of the product keeps is no promise."""
    assert {one.promise for one in SABOTAGES} == set(PROMISES)


@pytest.mark.parametrize("one", SABOTAGES, ids=[f"{one.promise} {one.what}" for one in SABOTAGES])
def test_a_sabotage_fits_the_product_and_its_test(one: Sabotage) -> None:
    """Its text stands in its file once, what stands there instead can be read, and the test has its line."""
    changed = sabotaged(one, (ROOT / one.file).read_text())
    if one.file.endswith(".py"):
        ast.parse(changed)
    test = (ROOT / PROOFS[one.promise].file).read_text()
    assert one.fails
    assert one.fails in test


@pytest.mark.parametrize("text", ["nothing\n", "keeps it\nkeeps it\n"])
def test_a_sabotage_that_does_not_fit_any_more_is_an_error(text: str) -> None:
    """Nowhere, or twice: it would take out nothing, or too much."""
    with pytest.raises(StaleError, match="promise 1"):
        sabotaged(ONE, text)


@pytest.mark.parametrize(
    ("outcome", "problem", "line", "missed"),
    [
        ("passed", "", "", "passes without it"),
        ("failed", "ImportError: no", "    assert it is kept", "another reason"),
        ("failed", "AssertionError: 1", "    assert something else", "another line"),
        ("failed", "AssertionError: 1", "    assert it is kept", ""),
        ("failed", "assert 1 == 2", "    assert it is kept", ""),
    ],
)
def test_found_is_an_assertion_that_fails_where_it_has_to(
    outcome: str, problem: str, line: str, missed: str
) -> None:
    """A test that passes, that breaks otherwise or elsewhere has not found it."""
    ran = Ran("a test")
    why = f"def test():\n>   {line}\nE   {problem}"
    ran.hear({"part": "call", "outcome": outcome, "seconds": 1.0, "why": why, "problem": problem})
    assert (missed in _missed(ONE, ran)) is True
    assert bool(_missed(ONE, ran)) is bool(missed)
