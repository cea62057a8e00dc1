"""Waking workers: as many as there is work for, and none of the work unheard."""

import asyncio
from datetime import timedelta
from typing import Any, cast

from responder.decide.case import Terms
from responder.engine.wake import Wake
from responder.engine.worker import Worker
from tests.support.crews import ALONE


async def rests(wake: Wake, seconds: float = 5) -> "asyncio.Task[None]":
    """A worker that rests."""
    task = asyncio.create_task(wake.rest(seconds))
    await asyncio.sleep(0)
    return task


async def test_as_many_are_woken_as_there_is_work_for() -> None:
    """Two of three workers are woken for two incidents; the third rests on."""
    wake = Wake()
    workers = [await rests(wake) for _ in range(3)]
    wake.due(2)
    done, resting = await asyncio.wait(workers, timeout=0.1)
    assert (len(done), len(resting)) == (2, 1)
    wake.everybody()
    await asyncio.gather(*resting)


async def test_what_became_due_while_nobody_rested_is_not_missed() -> None:
    """A worker that was looking just then looks again before it rests; the next one rests."""
    wake = Wake()
    wake.due(1)
    async with asyncio.timeout(1):
        await wake.rest(60)
    worker = await rests(wake, 0.05)
    assert not worker.done()
    await worker


async def test_who_is_not_woken_looks_by_itself() -> None:
    """After its interval a worker rests no more, and is none that could be woken."""
    wake = Wake()
    await wake.rest(0.01)
    wake.due(1)
    async with asyncio.timeout(1):
        await wake.rest(60)


async def test_one_of_those_who_rest_looks_every_interval_and_whoever_finds_work_is_no_loss() -> None:
    """Of three, one is woken after the interval; it works on, and the next one is woken after another."""
    wake = Wake()
    workers = [await rests(wake, 0.05) for _ in range(3)]
    for left in (2, 1, 0):
        done, resting = await asyncio.wait(workers, timeout=5, return_when=asyncio.FIRST_COMPLETED)
        assert (len(done), len(resting)) == (1, left)
        workers = list(resting)


async def test_a_due_time_that_is_known_wakes_one_when_it_comes() -> None:
    """Long before the polling interval is over; what is hours away does not keep anybody."""
    wake = Wake()
    worker = await rests(wake, 3600)
    wake.after(timedelta(hours=1))
    wake.after(timedelta(milliseconds=10))
    async with asyncio.timeout(5):
        await worker


async def test_a_worker_that_is_told_to_stop_while_it_looks_does_not_rest_any_more() -> None:
    """Nothing would wake it before its turn to look comes, one worker after the other."""

    class Looking:
        """An ownership that is asked at the begin of each look."""

        @property
        def stopping(self) -> bool:
            worker.stop()
            return True

    other = cast("Any", None)
    worker = Worker(other, cast("Any", Looking()), other, other, other, Terms(), Wake(), ALONE, 3600)
    async with asyncio.timeout(5):
        await worker.run()
