"""Every promise has one test that says what it proves, and the page of docs names it."""

import pytest

from tests.promises import page
from tests.promises.catalogue import PROMISES, prefix
from tests.promises.found import Proof, by_promise, named_tests
from tests.promises.run import Ran

TESTS = by_promise(named_tests())


def test_each_promise_has_one_test_that_says_what_it_proves() -> None:
    """None is missing, none has two; the name begins with the number, the docstring is the claim."""
    assert list(PROMISES) == list(range(1, 22))
    assert set(TESTS) == set(PROMISES)
    for number, test in TESTS.items():
        assert test.name.startswith(prefix(number))
        assert test.claim


def test_two_tests_of_one_promise_and_a_test_of_none_are_mistakes() -> None:
    """Which of two would count, and what the other one proves, nobody could say."""
    one = Proof(1, "test_promise_01_a", "tests/promises/test_a.py", "a claim")
    with pytest.raises(ValueError, match="promise 1 has two tests"):
        by_promise([one, one])
    with pytest.raises(ValueError, match="and there is none"):
        by_promise([Proof(22, "test_promise_22_a", "tests/promises/test_a.py", "a claim")])


def test_the_page_has_the_table_of_the_promises() -> None:
    """docs/safety.md lists each promise with its test; `python -m tests.promises --page` writes it."""
    assert page.written().strip() == page.table(TESTS).strip()


@pytest.mark.parametrize(
    ("parts", "held"),
    [
        ([("setup", "passed"), ("call", "passed"), ("teardown", "passed")], True),
        ([("setup", "passed"), ("call", "failed"), ("teardown", "passed")], False),
        ([("setup", "passed"), ("call", "passed"), ("teardown", "failed")], False),
        ([("setup", "failed"), ("teardown", "passed")], False),
        ([("setup", "skipped"), ("teardown", "passed")], False),
        ([("setup", "passed")], False),
    ],
)
def test_held_is_what_ran_to_its_end_without_a_failure(parts: list[tuple[str, str]], held: bool) -> None:
    """A test that was skipped, or broke in its set-up or afterwards, holds nothing."""
    ran = Ran("tests/promises/test_a.py::test_promise_01_a")
    for part, outcome in parts:
        ran.hear({"part": part, "outcome": outcome, "seconds": 1.0, "why": "", "problem": ""})
    assert ran.held is held
