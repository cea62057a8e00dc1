"""What blocks the event loop is measured, and forgotten after a minute."""

import asyncio
import time
from datetime import timedelta

import pytest

from responder.engine import loop_lag
from responder.engine.loop_lag import LoopLag
from responder.telemetry import build_metrics
from tests.support.parts import until


async def test_a_blocked_loop_is_noticed() -> None:
    """By how late it wakes, whatever held it up."""
    lag = LoopLag(build_metrics("test"))
    task = asyncio.create_task(lag.run())
    await asyncio.sleep(0)
    time.sleep(0.9)  # noqa: ASYNC251 - to block the loop is the point
    await until(lambda: _seen(lag), "it was measured", within=20)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert timedelta(seconds=0.3) < lag.worst


async def _seen(lag: LoopLag) -> bool:
    return bool(lag.worst)


def test_the_worst_of_the_last_minute_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no older one."""
    lag, now = LoopLag(build_metrics("test")), 1000.0
    monkeypatch.setattr(loop_lag, "boottime", lambda: now)
    assert not lag.worst
    for at, late in ((940.5, 7.0), (970.0, 2.0), (1000.0, 0.1)):
        lag._note(at, late)
    assert lag.worst == timedelta(seconds=7)
    now = 1001.0
    assert lag.worst == timedelta(seconds=2)
