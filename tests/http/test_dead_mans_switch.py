"""The responder's own dead man's switch: a sign of life outside, and none from a process that cannot work."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from pydantic import SecretStr
from yarl import URL

from responder.notify.dead_mans_switch import DeadMansSwitch
from responder.notify.settings import DeadMansSwitchSettings
from responder.telemetry import Metrics, build_metrics
from tests.support.parts import free_port, until
from tests.support.receiver import receiver


class Process:
    """A process that is ready or not."""

    def __init__(self) -> None:
        self.asked = 0
        self.why: str | Exception | None = None

    async def unready(self) -> str | None:
        """Why it is not."""
        self.asked += 1
        if isinstance(self.why, Exception):
            raise self.why
        return self.why


@asynccontextmanager
async def beating(url: str, process: Process, metrics: Metrics) -> AsyncIterator[DeadMansSwitch]:
    """A switch that is called every second."""
    settings = DeadMansSwitchSettings(url=SecretStr(url), every=timedelta(seconds=1))
    switch = DeadMansSwitch(settings, URL(url), process.unready, metrics)
    task = asyncio.create_task(switch.run())
    try:
        yield switch
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await switch.close()


@pytest.mark.real  # it takes long
async def test_it_is_called_while_the_process_is_ready_and_not_otherwise() -> None:
    """What is not ready sends nothing and says why; even what cannot be asked for its state stays silent."""
    process, metrics = Process(), build_metrics("test")
    async with receiver() as outside, beating(outside.url, process, metrics) as switch:

        async def called(times: int) -> bool:
            return len(outside.posts) >= times

        await until(lambda: called(2), "it is called again and again", within=20)
        assert switch.last.taken_at is not None
        for why, told in (("store: away", "store: away"), (RuntimeError("a secret"), "RuntimeError")):
            process.why = why
            await _asked_again(process)
            calls = len(outside.posts)
            assert switch.last.problem is not None
            assert told in switch.last.problem
            assert "a secret" not in switch.last.problem
            await _asked_again(process)
            assert len(outside.posts) == calls
        process.why = None
        before = len(outside.posts)
        await until(lambda: called(before + 1), "it is called when it is ready again", within=20)
    assert b'responder_life_signs_total{outcome="taken"}' in metrics.exposition()


async def test_an_address_that_does_not_answer_is_tried_again() -> None:
    """And the path, which may be a secret, is not told."""
    process = Process()
    url = f"http://127.0.0.1:{free_port()}/ping/secret-path"
    async with beating(url, process, build_metrics("test")) as switch:
        await _asked_again(process)
        assert switch.last.taken_at is None
        assert switch.last.problem is not None
        assert "secret-path" not in switch.last.problem


async def _asked_again(process: Process) -> None:
    """Until it was asked twice more: what followed from the first of them is over."""
    wanted = process.asked + 2

    async def asked() -> bool:
        return process.asked >= wanted

    await until(asked, "it is asked twice more", within=20)
