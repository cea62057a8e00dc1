"""The line before what only one may use at a time: by urgency, then by arrival, and nobody is forgotten."""

import asyncio

import pytest

from responder.clients.turns import URGENCY, Turns
from responder.model.severity import Severity


async def _turn(turns: Turns, name: str, severity: Severity, order: list[str]) -> None:
    URGENCY.set(severity)
    async with turns.turn():
        order.append(name)
        await asyncio.sleep(0)


async def test_the_most_urgent_is_next_and_equals_go_in_the_order_in_which_they_came() -> None:
    """Whoever has the turn keeps it."""
    turns, order = Turns(), list[str]()
    waiting = [("p2", Severity.P2), ("p3", Severity.P3), ("p0", Severity.P0), ("p2 too", Severity.P2)]
    async with turns.turn():
        tasks = [asyncio.create_task(_turn(turns, name, how, order)) for name, how in waiting]
        await asyncio.sleep(0)
        assert order == []
    await asyncio.gather(*tasks)
    assert order == ["p0", "p2", "p2 too", "p3"]


async def test_who_gives_up_holds_up_nobody() -> None:
    """Before its turn or in the moment in which it comes; a turn that does not come in time is an error."""
    turns, order = Turns(), list[str]()
    async with turns.turn():
        early = asyncio.create_task(_turn(turns, "early", Severity.P1, order))
        late = asyncio.create_task(_turn(turns, "late", Severity.P2, order))
        last = asyncio.create_task(_turn(turns, "last", Severity.P3, order))
        await asyncio.sleep(0)
        early.cancel()
        with pytest.raises(TimeoutError):
            async with turns.turn(within_s=0.01):
                raise AssertionError("two had the turn at once")
    late.cancel()  # it has the turn now, and does not know yet
    await asyncio.wait({early, late, last}, timeout=10)
    assert order == ["last"]
    async with turns.turn(within_s=10):
        pass
