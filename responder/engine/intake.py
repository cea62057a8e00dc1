"""Intake: one writer for each process, and everything that waits is written together.

The answer to the sender comes after COMMIT. Which of what waits is a batch stands in `batches`; what is
written of one, in `commit`; what becomes of one that cannot be written as a whole, in `isolate`.
"""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import chain

import structlog

from responder.crash_points import Point, reached
from responder.engine.batches import Batch, Batches, Waiting
from responder.engine.commit import Commit, Prepared
from responder.engine.crowds import Crowds
from responder.engine.isolate import Answer, Isolation
from responder.engine.rules import ActiveRules
from responder.engine.settings import EngineSettings
from responder.engine.wake import Wake
from responder.model.alert import Delivery, Receipt
from responder.model.errors import (
    OverloadedError,
    ResponderError,
    StoreAwayError,
    StoreFullError,
)
from responder.ports import Store
from responder.telemetry import Metrics

_log = structlog.get_logger(__name__)

_AWAY = "the database is away"


class GroupCommit:
    """The Intake port: queues deliveries and commits all that wait together."""

    def __init__(
        self,
        store: Store,
        rules: ActiveRules,
        settings: EngineSettings,
        metrics: Metrics,
        wake: Wake,
    ) -> None:
        self._store = store
        self.crowds = Crowds(store, settings.open_incidents_per_rule)
        self._commit = Commit(store, rules, self.crowds, settings.terms.contest_window, metrics, wake)
        self._settings = settings
        self._metrics = metrics
        self._batches = Batches(settings.batch_limit, self.crowds)
        self._something = asyncio.Event()
        self._closed = False
        self.away = False
        """Whether all is refused because nothing can be stored."""
        self._away_for = _AWAY
        self.starting = False
        """Whether all is refused because nothing can be stored yet, and will be soon."""
        metrics.intake_queue.set_function(lambda: len(self._batches))

    def admit(self) -> None:
        """See `ports.Intake.admit`."""
        if self._closed:
            raise OverloadedError("this process is stopping")
        if self.away:
            raise StoreAwayError(self._away_for)
        if self.starting:
            raise OverloadedError("this process is starting")
        if len(self._batches) >= self._settings.queue_limit:
            raise OverloadedError(f"{len(self._batches)} deliveries are waiting already")

    @property
    def refuses(self) -> str | None:
        """Why every delivery is refused, in words; None where they are taken in, or only wait too many."""
        try:
            self.admit()
        except StoreAwayError as error:
            return str(error)
        except OverloadedError as error:
            return str(error) if self._closed or self.starting else None
        return None

    async def take(self, delivery: Delivery) -> Receipt:
        """See `ports.Intake.take`.

        What is not written in time is given up: while it waits it is never written, and if it was being
        written, the same delivery again changes nothing.
        """
        self.admit()
        prepared = None
        with suppress(Exception):  # what cannot be made here fails in its transaction, and is isolated there
            prepared = self._commit.prepare(delivery)  # while the transaction before is under way
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Receipt] = loop.create_future()
        self._batches.add(Waiting(delivery, prepared, answer))
        self._something.set()
        late = StoreAwayError("the delivery was not stored in time")
        given_up = loop.call_later(self._settings.intake_timeout.total_seconds(), _refuse, answer, late)
        try:
            return await answer
        finally:
            given_up.cancel()

    def close(self) -> None:
        """Admit nothing more; what waits is still written."""
        self._closed = True
        self._something.set()

    async def run(self) -> None:
        """Write until closed and empty. However it ends, nobody waits for an answer in vain."""
        try:
            async with asyncio.TaskGroup() as writing:
                while self._batches or not self._closed:
                    await self._something.wait()
                    self._something.clear()
                    while (batch := self._batches.next()) is not None:
                        writing.create_task(self._write_all(batch))
        finally:
            self.close()
            stopping = OverloadedError("this process is stopping")
            _fail(
                chain(self._batches.give_up(), *(batch.waiting for batch in self._batches.under_way)),
                stopping,
            )

    async def _write_all(self, batch: Batch) -> None:
        """One batch of what waits. A fault of ours costs this batch, never the writer."""
        try:
            # nobody waits for what was given up
            await self._write([waiting for waiting in batch.waiting if not waiting.answer.done()])
        except Exception:  # noqa: BLE001 - logged; the writer must outlive it
            _log.exception("the writer failed and goes on", deliveries=len(batch.waiting))
        finally:
            _fail(batch.waiting, StoreAwayError("the delivery could not be stored"))
            self._batches.done(batch)
            self._something.set()

    async def _write(self, batch: Sequence[Waiting]) -> None:
        if not batch:
            return
        answers: Sequence[Answer]
        try:
            answers = await self._in_time(
                [one.prepared or self._commit.prepare(one.delivery) for one in batch]
            )
        except (StoreAwayError, TimeoutError) as error:
            _log.warning("intake could not be written", error=str(error) or "timeout", deliveries=len(batch))
            full = isinstance(error, StoreFullError)
            _fail(batch, error if full else StoreAwayError("the database did not store it"))
            await self._wait_for_store(error)
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, only its own delivery may fail by it
            kind = str(error) if isinstance(error, ResponderError) else type(error).__name__
            _log.error("a batch cannot be written as a whole", error=kind, deliveries=len(batch))
            answers = await Isolation(self._isolated, [one.delivery for one in batch]).run(error)
        reached(Point.INTAKE_COMMITTED)
        for waits, answer in zip(batch, answers, strict=True):
            if isinstance(answer, Receipt):
                _answer(waits.answer, answer)
            else:
                _refuse(waits.answer, answer)

    async def _isolated(self, batch: Sequence[Delivery]) -> list[Receipt]:
        return await self._in_time([self._commit.prepare(one) for one in batch])

    async def _in_time(self, batch: Sequence[Prepared]) -> list[Receipt]:
        async with asyncio.timeout(self._settings.intake_timeout.total_seconds()):
            return await self._commit(batch)

    async def _wait_for_store(self, error: StoreAwayError | TimeoutError) -> None:
        """Refuse at admission until the database answers again, and has room."""
        if self.away:
            return  # the batch beside this one has found out, too
        self.away = True
        self._away_for = str(error) if isinstance(error, StoreFullError) else _AWAY
        self._metrics.store_up.set(0)
        _fail(self._batches.give_up(), StoreAwayError(self._away_for))
        while not self._closed:
            try:
                await self._store.make_sure_of_room()
                break
            except Exception:  # noqa: BLE001 - whatever it is, it has no answer: asked again until it has
                await asyncio.sleep(self._settings.poll_every.total_seconds())
        self.away = False
        self._metrics.store_up.set(1)


def _answer(waits: "asyncio.Future[Receipt]", receipt: Receipt) -> None:
    if not waits.done():
        waits.set_result(receipt)


def _refuse(waits: "asyncio.Future[Receipt]", error: Exception) -> None:
    if not waits.done():
        waits.set_exception(error)


def _fail(batch: Iterable[Waiting], error: Exception) -> None:
    for waits in batch:
        _refuse(waits.answer, error)
