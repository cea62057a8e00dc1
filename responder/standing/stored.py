"""What the database says of itself, for `/readyz`: it gets two seconds, and is asked one question at a time.

A database that hangs must not hang the answer that says so, and those who ask again and again must not pile
up before it.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from responder.engine.halting import UNREADABLE, Halt
from responder.model.anchor import AnchorState
from responder.model.breaker import Breaker
from responder.model.duration import format_duration
from responder.model.errors import ResponderError
from responder.model.restraint import Restraints
from responder.review.words import count
from responder.store.anchoring import Anchoring
from responder.store.connection import Lane
from responder.store.partitions import days_ahead
from responder.store.postgres import PostgresStore
from responder.web.api import Part

_PATIENCE = timedelta(seconds=2)
_ENOUGH_DAYS = 2
_BREAKERS_COUNTED = 1000

_Answer = tuple[Sequence[Part], Restraints]


class StoreAsked:
    """Asks the store how it stands, on `lane`, and what halts. `pages`: whether a P0 pages without it."""

    def __init__(
        self, store: PostgresStore, lane: Lane, anchoring: Anchoring, halt: Halt, *, pages: bool
    ) -> None:
        self._store = store
        self._lane = lane
        self._anchoring = anchoring
        self._halt = halt
        self._pages = pages
        self._asking: asyncio.Task[_Answer] | None = None

    async def __call__(self) -> _Answer:
        """Its parts, and what stands. Who comes while it is asked gets the same answer."""
        asking = self._asking
        if asking is None or asking.done():
            self._asking = asking = asyncio.create_task(self._ask())
        done, _ = await asyncio.wait({asking}, timeout=_PATIENCE.total_seconds())
        if done:
            return asking.result()
        why = f"the database has not answered within {format_duration(_PATIENCE)}"
        return self._away(why), Restraints(flag=UNREADABLE)

    async def close(self) -> None:
        """Ask no more."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

    async def _ask(self) -> _Answer:
        parts, stands = await asyncio.gather(self._parts(), self._halt.standing())
        return parts, stands

    async def _parts(self) -> Sequence[Part]:
        store = self._store
        try:
            if store.disk_full:
                await store.make_sure_of_room()
            ahead = await days_ahead(self._lane, await store.now())
            broken = await store.breakers(_BREAKERS_COUNTED, open_only=True)
        except ResponderError as error:
            return self._away(str(error))
        few = ahead < _ENOUGH_DAYS
        return [
            Part(name="store", ready=True, text="the database answers"),
            Part(name="journal", ready=True, text=f"partitions for {ahead} days ahead", warning=few),
            _breakers(broken),
            _anchored(self._anchoring.state),
        ]

    def _away(self, why: str) -> Sequence[Part]:
        affects = nothing_stored(pages=self._pages)
        return [
            Part(name="store", ready=False, text=why, affects=affects),
            _anchored(self._anchoring.state),
        ]


def nothing_stored(*, pages: bool) -> str:
    """What a delivery and a step come to while nothing can be stored."""
    page = "a P0 among them pages through the emergency webhook" if pages else "a P0 among them pages nobody"
    return (
        f"Every delivery is answered with 503, so that its sender comes again; {page}. "
        "No action starts. All goes on by itself afterwards"
    )


def _breakers(broken: Sequence[Breaker]) -> Part:
    """A rule that acts no more until a person resets it."""
    if not broken:
        return Part(name="breakers", ready=True, text="no rule's circuit breaker is open")
    told = f"the circuit breaker of {count(len(broken), 'rule')} is open: responder breaker list"
    return Part(name="breakers", ready=True, text=told, warning=True)


def _anchored(state: AnchorState) -> Part:
    """What the anchor says: it never makes a process unready, for no alert is lost by it.

    Where the file stands is nobody's business who has no token.
    """
    if state.file is None:
        text = "not anchored: set `anchor:` to a file outside of the database"
        return Part(name="anchor", ready=True, text=text, warning=True)
    if state.problem is not None:
        text = "the timelines could not be anchored: see the log"
        affects = "Nothing else; what is changed in a timeline now, only its own chain would show"
        return Part(name="anchor", ready=True, text=text, warning=True, affects=affects)
    return Part(name="anchor", ready=True, text=f"anchored at {state.last:%Y-%m-%d %H:%M:%S} UTC")
