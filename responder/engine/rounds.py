"""Rounds: what is done again and again beside the deliveries, and must not end by one failure."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import structlog

from responder.model.errors import ResponderError

_log = structlog.get_logger(__name__)


async def every(pause: timedelta, name: str, once: Callable[[], Awaitable[object]]) -> None:
    """Do something again and again; a failure is logged and tried again at the next turn."""
    while True:
        try:
            await once()
        except ResponderError as error:
            _log.warning("a round failed", round=name, error=str(error))
        except Exception:  # noqa: BLE001 - logged; the loop must outlive it
            _log.exception("a round failed", round=name)
        await asyncio.sleep(pause.total_seconds())
