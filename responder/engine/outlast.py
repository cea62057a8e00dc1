"""Outlasting a database that is away for a moment, where what is known would otherwise be lost.

Only for what follows an effect: its outcome is in memory alone until it is recorded, and without it a target
whose effects are not fenced is quarantined.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from responder.engine.ownership import Ownership
from responder.model.errors import StoreAwayError
from responder.ports import Lease

T = TypeVar("T")

_log = structlog.get_logger(__name__)

AGAIN_S = 0.5
"""Seconds until the database is asked again."""


async def outlast(ownership: Ownership, lease: Lease, ask: Callable[[], Awaitable[T]]) -> T:
    """The database's answer, asked for again while it is away, for as long as the lease is ours.

    Raises:
        StoreAwayError: the lease was lost meanwhile; another process settles the attempt.
    """
    while True:
        try:
            return await ask()
        except StoreAwayError as error:
            if not ownership.owns(lease):
                raise
            _log.warning(
                "an outcome waits for the database", incident=str(lease.incident_id), error=str(error)
            )
            await asyncio.sleep(AGAIN_S)
