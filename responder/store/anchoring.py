"""Anchoring by one process: a line at the start, in every hour and at the stop, into the file and the log.

What goes wrong with it is told by `/readyz` and in the log, and holds back nothing.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import structlog

from responder.clients.boottime import boottime
from responder.model.anchor import Anchor, AnchorState
from responder.model.errors import ResponderError, TemporaryError
from responder.store.anchor_file import AnchorFile
from responder.store.anchors import Anchors

T = TypeVar("T")

_log = structlog.get_logger(__name__)

_PATIENCE_S = 10.0
"""A file system that hangs must not hang the stop."""
_AGAIN = timedelta(minutes=1)
"""After a failure."""


class Anchoring:
    """Keeps the file going; without one the lines go to the log alone."""

    def __init__(self, anchors: Anchors, file: AnchorFile | None, every: timedelta) -> None:
        self._anchors = anchors
        self._file = file
        self._every = every
        self._last_use: asyncio.Future[Any] | None = None
        self._due = float("-inf")
        self._last: Anchor | None = None
        self._problem: str | None = None

    @property
    def state(self) -> AnchorState:
        """How it stands."""
        return AnchorState(
            file=None if self._file is None else str(self._file.path),
            last=None if self._last is None else self._last.at,
            problem=self._problem,
        )

    async def round(self) -> None:
        """Anchor where it is time."""
        if boottime() >= self._due:
            await self.anchor()

    async def anchor(self) -> None:
        """Anchor now. A failure is told, and tried again soon."""
        try:
            async with asyncio.timeout(_PATIENCE_S):
                self._last = await self._written()
            self._problem, pause = None, self._every
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told, and holds back nothing
            self._problem, pause = _told(error), _AGAIN
            _log.error("not anchored", error=self._problem)
        self._due = boottime() + pause.total_seconds()

    async def _written(self) -> Anchor:
        before = None if self._file is None else await self._beside(self._file.newest)
        anchor = await self._anchors.take(after=0 if before is None else before.number)
        _log.info("anchor", line=anchor.line)
        if self._file is not None:
            await self._beside(partial(self._file.append, anchor.line))
        return anchor

    async def newest(self) -> Anchor | None:
        """The newest line, for the look at the start; what cannot be read is told, and is none."""
        if self._file is None:
            return None
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return await self._beside(self._file.newest)
        except (TemporaryError, TimeoutError) as error:
            _log.error("the store cannot be compared with its anchor file", error=_told(error))
            return None

    async def _beside(self, call: Callable[[], T]) -> T:
        """Use the file in a thread of its own, which may hang: others share no thread with it.

        There is at most one, and the end of the process does not wait for it.
        """
        while self._last_use is not None and not self._last_use.done():
            await asyncio.wait({self._last_use})
        done: Future[T] = Future()
        self._last_use = use = asyncio.wrap_future(done)
        threading.Thread(target=_run, args=(call, done), name="anchor file", daemon=True).start()
        return await asyncio.shield(use)


def _run(call: Callable[[], T], done: "Future[T]") -> None:
    try:
        done.set_result(call())
    except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits
        done.set_exception(error)


def _told(error: Exception) -> str:
    match error:
        case TimeoutError():
            return "the file or the database did not answer in time"
        case ResponderError():
            return str(error)
        case _:
            return type(error).__name__
