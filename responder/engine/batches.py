"""Which of the deliveries that wait are written next, all together, and what is written beside them.

Two batches are under way at most: while PostgreSQL makes one durable, the next is sent and worked on, once as
much waits as is under way; each transaction has a price of its own, and many small ones would cost more.

What is said of one alert is told in the order in which it came: a delivery that speaks of an alert of the
batch under way waits for its end, and so does what came after it and speaks of an alert of that delivery.
Only plain deliveries are written beside others, and only while no rule can be at its cap on open incidents.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice

from responder.engine.commit import Prepared
from responder.engine.crowds import Crowds
from responder.model.alert import Delivery, Receipt
from responder.ports import IncidentKey

BESIDE_AT_LEAST = 64
"""Alerts of a batch that is written beside another."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A delivery in the queue, prepared where it could be, and who waits for its answer."""

    delivery: Delivery
    prepared: Prepared | None
    answer: "asyncio.Future[Receipt]"

    @property
    def plain(self) -> Prepared | None:
        """What it says, where that may be written beside others."""
        return self.prepared if self.prepared is not None and self.prepared.is_plain else None


@dataclass(slots=True, eq=False)
class Batch:
    """What is written together. `alone`: nothing is written beside it."""

    waiting: list[Waiting]
    alone: bool

    @property
    def alerts(self) -> int:
        """How often it speaks of an alert."""
        return _alerts(self.waiting)


class Batches:
    """The queue, and what of it is under way.

    Args:
        limit: how many deliveries are written together at most.
        crowds: knows which rules can be at their caps.
    """

    def __init__(self, limit: int, crowds: Crowds) -> None:
        self._limit = limit
        self._crowds = crowds
        self._queue: deque[Waiting] = deque()
        self._alerts = 0
        """How often the queue speaks of an alert."""
        self.under_way: list[Batch] = []

    def __len__(self) -> int:
        """How many deliveries wait."""
        return len(self._queue)

    def add(self, waiting: Waiting) -> None:
        """One more waits."""
        self._queue.append(waiting)
        self._alerts += len(waiting.delivery.alerts)

    def give_up(self) -> Iterable[Waiting]:
        """Whoever waits, and will not be written."""
        given_up = self._queue
        self._queue, self._alerts = deque(), 0
        return given_up

    def next(self) -> Batch | None:
        """What is written now, under way from here on until `done`; None where nothing is."""
        if not self._queue:
            return None
        match self.under_way:
            case []:
                chosen = list(islice(self._queue, self._limit))
                alone = any(one.plain is None for one in chosen) or self._crowds.may_be_over(_wanted(chosen))
                return self._begin(Batch(chosen, alone))
            case [other] if not other.alone and self._alerts >= other.alerts:
                return self._beside(other)
            case _:
                return None

    def done(self, batch: Batch) -> None:
        """This one is not under way any more."""
        self.under_way.remove(batch)

    def _beside(self, other: Batch) -> Batch | None:
        chosen = self._without(other)
        if _alerts(chosen) < BESIDE_AT_LEAST:
            return None
        if self._crowds.may_be_over(chain(_wanted(other.waiting), _wanted(chosen))):
            other.alone = True
            return None
        return self._begin(Batch(chosen, alone=False))

    def _without(self, other: Batch) -> list[Waiting]:
        """What waits and speaks of no alert of the other batch, nor of what has to wait for its end."""
        held = {name for one in other.waiting if one.plain for name in one.plain.fingerprints}
        chosen: list[Waiting] = []
        for waiting in islice(self._queue, self._limit):
            if (said := waiting.plain) is None:
                break
            if held.isdisjoint(said.fingerprints):
                chosen.append(waiting)
            else:
                held |= said.fingerprints
        return chosen

    def _begin(self, batch: Batch) -> Batch:
        begun = set(map(id, batch.waiting))
        self._queue = deque(one for one in self._queue if id(one) not in begun)
        self._alerts -= batch.alerts
        self.under_way.append(batch)
        return batch


def _alerts(waiting: Iterable[Waiting]) -> int:
    return sum(len(one.delivery.alerts) for one in waiting)


def _wanted(waiting: Iterable[Waiting]) -> Iterator[IncidentKey]:
    """The incidents that may be opened."""
    for one in waiting:
        if one.plain is not None:
            yield from (new.identity for _, wanted in one.plain.said for new in wanted)
