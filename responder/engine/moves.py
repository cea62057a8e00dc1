"""One move of one incident: decide, perform, and what is to be recorded. Whoever owns it records it.

The worker makes moves in real time, the rehearsal in virtual time: what a move is stands here alone.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import structlog

from responder.decide import changes
from responder.decide.case import Case, Change, Move, Terms
from responder.decide.raising import in_time
from responder.decide.run_on import run_on
from responder.engine.perform import Recording
from responder.model.errors import DeposedError, ResponderError, StoreAwayError
from responder.ports import Lease

_log = structlog.get_logger(__name__)

Performing = Callable[[Lease, Case, Move, datetime, Recording | None], Awaitable[Change | None]]
"""See `Perform.__call__`."""


@dataclass(frozen=True, slots=True)
class Moved:
    """What follows from one move: the `change` of `case` that is to be recorded, None to look again.

    `after` is the case as it stands then, where that is known without loading it.
    """

    case: Case
    change: Change | None
    after: Case | None


async def moved(
    lease: Lease,
    case: Case,
    terms: Terms,
    perform: Performing,
    record: Callable[[Lease, Case, Change], Awaitable[bool]],
    load: Callable[[Lease], Awaitable[Case]],
) -> Moved:
    """Decide what happens to it now, and do it. A fault of ours is told in its timeline.

    Raises:
        DeposedError: the lease is lost.
        StoreAwayError: the database does not answer.
    """
    after: Case | None = None
    try:
        decided = run_on(case, terms)
        change, after = decided.change, decided.case
        if decided.move is not None and after is not None:
            before = None if change is None else partial(record, lease, case, change)
            case, after = after, None
            change = await perform(lease, case, decided.move, case.now, before)
    except (DeposedError, StoreAwayError):
        raise
    except Exception as error:  # noqa: BLE001 - logged and told in the timeline
        _log.exception("a move failed", incident=str(lease.incident_id))
        problem = str(error) if isinstance(error, ResponderError) else type(error).__name__
        case, after = await load(lease), None
        change = in_time(case, changes.failed(case, case.now, terms, problem))
    return Moved(case, change, after)
