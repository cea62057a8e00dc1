"""Intake: one writer for each process, and everything that waits goes into one transaction.

Journal, fold, match, membership, incident due now, stream position: all or nothing, and the answer to the
sender comes after COMMIT. Lock order: alerts, then incidents.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from responder.decide.case import Terms
from responder.decide.fold import AlertRecord, fold, settle_contest, step
from responder.decide.match import incident_key
from responder.engine.rules import ActiveRules
from responder.engine.settings import EngineSettings
from responder.model.alert import AlertKey, Delivery, Observation, Receipt, content_hash
from responder.model.base import canonical_json
from responder.model.errors import OverloadedError, ResponderError, StoreAwayError, TemporaryError
from responder.ports import IntakeTransaction, NewIncident, Store
from responder.telemetry import Metrics

_log = structlog.get_logger(__name__)

_TRIES = 5
"""How often a transaction is tried that something was in the way of."""

_Waiting = tuple[Delivery, "asyncio.Future[Receipt]"]


@dataclass(frozen=True, slots=True)
class _Folded:
    """What one transaction found out: records to write, and episodes that began in it."""

    records: tuple[AlertRecord, ...]
    begun: tuple[AlertRecord, ...]


class GroupCommit:
    """The Intake port: queues deliveries and commits all that wait together."""

    def __init__(
        self,
        store: Store,
        rules: ActiveRules,
        settings: EngineSettings,
        metrics: Metrics,
        wake: asyncio.Event,
    ) -> None:
        self._store = store
        self._rules = rules
        self._settings = settings
        self._terms: Terms = settings.terms
        self._metrics = metrics
        self._wake_workers = wake
        self._waiting: deque[_Waiting] = deque()
        self._something = asyncio.Event()
        self._closed = False
        self._away = False

    async def take(self, delivery: Delivery) -> Receipt:
        """See `ports.Intake.take`."""
        if self._closed:
            raise OverloadedError("this process is stopping")
        if self._away:
            raise StoreAwayError("the database is away")
        if len(self._waiting) >= self._settings.queue_limit:
            raise OverloadedError(f"{len(self._waiting)} deliveries are waiting already")
        answer: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        self._waiting.append((delivery, answer))
        self._metrics.intake_queue.set(len(self._waiting))
        self._something.set()
        return await answer

    def close(self) -> None:
        """Admit nothing more; what waits is still written."""
        self._closed = True
        self._something.set()

    async def run(self) -> None:
        """Write until closed and empty."""
        while self._waiting or not self._closed:
            await self._something.wait()
            self._something.clear()
            while self._waiting:
                count = min(len(self._waiting), self._settings.batch_limit)
                await self._write([self._waiting.popleft() for _ in range(count)])
                self._metrics.intake_queue.set(len(self._waiting))

    async def _write(self, batch: Sequence[_Waiting]) -> None:
        try:
            async with asyncio.timeout(self._settings.intake_timeout.total_seconds()):
                receipts = await self._commit_in_the_end([delivery for delivery, _ in batch])
        except (StoreAwayError, TimeoutError) as error:
            _log.warning("intake could not be written", error=str(error) or "timeout", deliveries=len(batch))
            _fail(batch, StoreAwayError("the database did not store it"))
            await self._wait_for_store()
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, only its own delivery may fail by it
            await self._one_by_one(batch, error)
            return
        self._wake_workers.set()
        for (_, answer), receipt in zip(batch, receipts, strict=True):
            if not answer.done():
                answer.set_result(receipt)

    async def _one_by_one(self, batch: Sequence[_Waiting], error: Exception) -> None:
        """A batch that cannot be written must not take its neighbours down: each delivery for itself."""
        if len(batch) == 1:
            # Never a 4xx: Alertmanager would bring it back only at the next group interval, or never.
            known = isinstance(error, ResponderError)
            _log.error("a delivery cannot be written", error=str(error) if known else type(error).__name__)
            _fail(batch, StoreAwayError("the delivery could not be stored"))
            return
        for waiting in batch:
            await self._write([waiting])

    async def _wait_for_store(self) -> None:
        """Refuse at admission until the database answers again."""
        self._away = True
        self._metrics.store_up.set(0)
        _fail(self._waiting, StoreAwayError("the database is away"))
        self._waiting.clear()
        while not self._closed:
            try:
                await self._store.now()
                break
            except ResponderError:
                await asyncio.sleep(self._settings.poll_every.total_seconds())
        self._away = False
        self._metrics.store_up.set(1)

    async def _commit_in_the_end(self, batch: Sequence[Delivery]) -> list[Receipt]:
        """Commit; what was only in the way (a deadlock, a missing partition) is tried again at once."""
        for _ in range(_TRIES - 1):
            try:
                return await self._commit(batch)
            except StoreAwayError:
                raise
            except TemporaryError as error:
                _log.info("intake tries again", reason=str(error))
        return await self._commit(batch)

    async def _commit(self, batch: Sequence[Delivery]) -> list[Receipt]:
        async with self._store.intake() as transaction:
            for delivery in batch:
                if delivery.position is not None:
                    await transaction.advance(delivery.source, delivery.position)
            rows = [list(_observations(delivery, transaction.now)) for delivery in batch]
            refold = [key for delivery in batch for key in delivery.refold]
            folded = await self._fold(transaction, [row for group in rows for row in group], refold)
            await transaction.write_journal([row for group in rows for row in group])
            await transaction.write_alerts(folded.records)
            for delivery in batch:
                if delivery.rejected:
                    await transaction.write_dead_letters(delivery.source, delivery.rejected)
            wanted = self._wanted(folded.begun)
            opened = await transaction.open_or_join(wanted)
        return [
            Receipt(stored=len(group), rejected=len(delivery.rejected), incidents=tuple(opened))
            for delivery, group in zip(batch, rows, strict=True)
        ]

    async def _fold(
        self, transaction: IntakeTransaction, rows: Sequence[Observation], refold: Sequence[AlertKey]
    ) -> _Folded:
        """Fold the new rows of each alert into its locked record."""
        by_key: dict[AlertKey, list[Observation]] = {key: [] for key in refold}
        for row in rows:
            by_key.setdefault(row.key, []).append(row)
        before = await transaction.lock_alerts(tuple(by_key))
        records: list[AlertRecord] = []
        begun: list[AlertRecord] = []
        refolded = set(refold)
        for key, new in by_key.items():
            old = before.get(key)
            record = await self._fold_one(transaction, old, new)
            if record is None:
                continue
            if record != old:
                records.append(record)
            if record.firing and (old is None or old.generation != record.generation or key in refolded):
                begun.append(record)
        return _Folded(tuple(records), tuple(begun))

    async def _fold_one(
        self, transaction: IntakeTransaction, old: AlertRecord | None, new: Sequence[Observation]
    ) -> AlertRecord | None:
        window, now = self._terms.contest_window, transaction.now
        ordered = sorted(new, key=lambda row: row.order)
        if old is not None and ordered and ordered[0].order <= old.last_order:
            past = await transaction.history(old.key)
            return fold([*past, *ordered], window, now)
        record = old
        for row in ordered:
            record = step(record, row, window)
        return record if record is None else settle_contest(record, window, now)

    def _wanted(self, begun: Iterable[AlertRecord]) -> list[NewIncident]:
        """The incidents that new episodes open or join, one for each (rule, key)."""
        groups: dict[tuple[str, str], list[AlertRecord]] = {}
        wanted: dict[tuple[str, str], NewIncident] = {}
        for record in begun:
            rule = self._rules.index.first(record.labels)
            if rule is None:
                continue
            key = incident_key(rule, record.labels)
            group = (rule.name, canonical_json(key))
            groups.setdefault(group, []).append(record)
            if group not in wanted:
                severity = rule.severity_of(record.labels)
                self._metrics.incidents_opened.labels(rule=rule.name, severity=severity.value).inc()
                wanted[group] = NewIncident(
                    rule=rule.name,
                    rulebook_hash=self._rules.hash,
                    key=key,
                    severity=severity,
                    pending_for=rule.wait_for,
                    members=(),
                )
        return [_with_members(wanted[group], groups[group]) for group in sorted(wanted)]


def _with_members(wanted: NewIncident, records: Sequence[AlertRecord]) -> NewIncident:
    return NewIncident(
        rule=wanted.rule,
        rulebook_hash=wanted.rulebook_hash,
        key=wanted.key,
        severity=wanted.severity,
        pending_for=wanted.pending_for,
        members=tuple(record.key for record in records),
    )


def _observations(delivery: Delivery, now: datetime) -> Iterable[Observation]:
    seen: Mapping[tuple[str, bytes], Observation] = {
        (alert.fingerprint, said): Observation(delivery.source, alert, now, said)
        for alert in delivery.alerts
        for said in (content_hash(alert),)
    }
    return seen.values()


def _fail(batch: Iterable[_Waiting], error: Exception) -> None:
    for _, answer in batch:
        if not answer.done():
            answer.set_exception(error)
