"""The responder dies by SIGKILL at every point between a delivery and its outcome, and keeps its word.

What is told and checked stands in `tests/crash`; `make crash` runs the same more often.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.crash.run import DEATHS, run
from tests.crash.stage import Ground, ground

pytestmark = [pytest.mark.real, pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def on() -> AsyncIterator[Ground]:
    """The two servers that outlive every responder of these tests."""
    async with ground() as servers:
        yield servers


@pytest.mark.parametrize("death", DEATHS)
async def test_whatever_the_moment_no_alert_is_lost_and_no_action_done_twice(on: Ground, death: str) -> None:
    """Nothing acknowledged is missing, nothing ran before its intent, late or twice, a person is told.

    Two responders die there at once, each with a world of its own, start again and come to rest.
    """
    results = await asyncio.gather(run(on, death), run(on, death))
    assert not [result.text for result in results if result.violations]


async def test_an_effect_before_its_intent_is_found(on: Ground) -> None:
    """The check fails a responder that acts first and commits its intent then, also where it dies between."""
    result = await run(on, "element_ended", sabotage="intent-after-effect")
    assert [one for one in result.violations if "which is not in the ledger" in one], result.text
    assert [one for one in result.violations if "its intent was committed at" in one], result.text


async def test_an_answer_before_the_commit_is_found(on: Ground) -> None:
    """The check fails a responder that answers 2xx first and stores then."""
    result = await run(on, "intake_written", sabotage="answer-before-commit")
    assert [one for one in result.violations if "acknowledged, and not in the journal" in one], result.text
