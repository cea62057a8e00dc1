"""The demo as a newcomer runs it: it ends well and leaves nothing; interrupted, it leaves nothing either."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from tests.support.parts import folder, until

pytestmark = pytest.mark.real  # it takes long


class Demo:
    """`responder demo` without a terminal, with a folder for temporary files of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.log = home.with_suffix(".log")
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "responder.cli", "demo"],
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                env={
                    **os.environ,
                    "TMPDIR": str(home),
                    "RESPONDER_DATABASE": "postgresql://nobody@127.0.0.1:1/none",
                },
                start_new_session=True,
            )

    @property
    def told(self) -> str:
        """What is on the screen."""
        return self.log.read_text()

    async def ends(self, within: float) -> int:
        """Wait for its exit code."""
        return await asyncio.to_thread(self.process.wait, within)

    def left(self) -> list[str]:
        """Files and processes of it that are still there."""
        files = [str(path) for path in self.home.rglob("*")]
        lines = (" ".join(one.info["cmdline"] or []) for one in psutil.process_iter(["cmdline"]))
        return files + [line for line in lines if str(self.home) in line]


@asynccontextmanager
async def demo() -> AsyncIterator[Demo]:
    """A demo that has been started; ended at the latest with the test."""
    async with folder() as home:
        running = Demo(home)
        try:
            yield running
        finally:
            if running.process.poll() is None:
                running.process.terminate()
                await running.ends(20)
            running.log.unlink()


async def test_the_demo_ends_well_and_leaves_nothing() -> None:
    """Exit code 0, the culprit's query gone by the victim's word, then the review; nothing is left.

    A database that the user's own environment names is not touched.
    """
    async with demo() as running:
        code = await running.ends(110)
        assert code == 0, running.told
        gone = running.told.index("is gone")
        resolved = running.told.index("is resolved: delivered")
        review = running.told.index("# Incident review")
        assert gone < resolved < review
        assert "\x1b" not in running.told, "plain text without a terminal"
        assert running.left() == []


async def test_an_interrupted_demo_leaves_nothing() -> None:
    """Ctrl-C in the middle: exit code 130, no process, no file."""
    async with demo() as running:

        async def serving() -> bool:
            return "wait for that row" in running.told

        await until(serving, "the demo is in the middle", within=60)
        running.process.send_signal(signal.SIGINT)
        assert await running.ends(40) == 130, running.told
        assert running.left() == []
