"""Who waits for somebody outside is replaced after a moment, up to a number, and one too many ends."""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from responder.engine import crew as crews
from responder.engine.crew import Crew
from tests.support.parts import until


async def test_who_waits_is_replaced_and_one_ends_when_the_wait_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As many are at work as before, whoever of them goes."""
    monkeypatch.setattr(crews, "PATIENCE_S", 0.01)
    begun: list[int] = []
    crew = Crew(size=2, waiting_at_most=2, replace=lambda: begun.append(1))
    with ExitStack() as waiting:
        waiting.enter_context(crew.waits())
        await until(lambda: _holds(lambda: len(begun) == 1), "one was replaced")
        assert (crew.waiting, crew.exhausted, crew.leaves()) == (1, False, False)
    assert crew.waiting == 0
    assert [crew.leaves(), crew.leaves()] == [True, False], "one of the three ends, no more"


async def test_no_more_are_replaced_than_may_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the number workers are lost to those who wait; it is said, and nothing goes on for ever."""
    monkeypatch.setattr(crews, "PATIENCE_S", 0.01)
    begun: list[int] = []
    crew = Crew(size=4, waiting_at_most=2, replace=lambda: begun.append(1))
    with ExitStack() as waiting:
        for _ in range(4):
            waiting.enter_context(crew.waits())
        await until(lambda: _holds(lambda: crew.waiting == 2), "two were replaced")
        await asyncio.sleep(0.05)
        assert (len(begun), crew.exhausted) == (2, True)
    assert [crew.leaves() for _ in range(3)] == [True, True, False]


async def test_who_comes_back_takes_the_place_of_one_that_nobody_could_replace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As many wait as may, and all others wait, too: the first that comes back goes on, and does not end."""
    monkeypatch.setattr(crews, "PATIENCE_S", 0.01)
    begun: list[int] = []
    crew = Crew(size=1, waiting_at_most=1, replace=lambda: begun.append(1))
    with ExitStack() as second:
        with crew.waits():
            await until(lambda: _holds(lambda: len(begun) == 1), "the first was replaced")
            second.enter_context(crew.waits())
            await asyncio.sleep(0.1)
            assert begun == [1]
        assert (crew.leaves(), crew.waiting) == (False, 1), "somebody has to be at work"
    assert (crew.waiting, [crew.leaves(), crew.leaves()]) == (0, [True, False])


async def test_a_short_question_replaces_nobody() -> None:
    """Nor does one that fails at once."""
    crew = Crew(size=1, waiting_at_most=1, replace=lambda: pytest.fail("somebody was replaced"))
    with crew.waits():
        await asyncio.sleep(0)
    with pytest.raises(ValueError, match="no"), crew.waits():
        raise ValueError("no")
    await asyncio.sleep(0)
    assert not crew.leaves()


async def _holds(what: Callable[[], bool]) -> bool:
    return what()
