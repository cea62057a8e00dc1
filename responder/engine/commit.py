"""One transaction of intake: journal, fold, match, membership, incident due now, stream position.

All or nothing. Lock order: alerts, then incidents. Deliveries of one transaction count as received in the
order in which they waited, a microsecond apart: what they say of one alert is folded in that order.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from responder.decide.fold import AlertRecord, fold, settle_contest, step
from responder.decide.match import incident_key
from responder.engine.rules import ActiveRules
from responder.model.alert import AlertKey, Delivery, Observation, Receipt, content_hash
from responder.model.base import canonical_json
from responder.ports import IntakeTransaction, NewIncident, Store
from responder.telemetry import Metrics


@dataclass(frozen=True, slots=True)
class _Folded:
    """What one transaction found out: records to write, and episodes that began in it."""

    records: tuple[AlertRecord, ...]
    begun: tuple[AlertRecord, ...]


class Commit:
    """Writes whole batches of deliveries, each batch in one transaction."""

    def __init__(self, store: Store, rules: ActiveRules, contest_window: timedelta, metrics: Metrics) -> None:
        self._store = store
        self._rules = rules
        self._window = contest_window
        self._metrics = metrics

    async def __call__(self, batch: Sequence[Delivery]) -> list[Receipt]:
        """What became of each delivery, after COMMIT. Raises what the store raises; then nothing is kept."""
        async with self._store.intake() as transaction:
            for delivery in batch:
                if delivery.position is not None:
                    await transaction.advance(delivery.source, delivery.position)
            rows = [
                list(_observations(delivery, transaction.now + number * timedelta.resolution))
                for number, delivery in enumerate(batch)
            ]
            refold = [key for delivery in batch for key in delivery.refold]
            folded = await self._fold(transaction, [row for group in rows for row in group], refold)
            await transaction.write_journal([row for group in rows for row in group])
            await transaction.write_alerts(folded.records)
            for delivery in batch:
                if delivery.rejected:
                    await transaction.write_dead_letters(delivery.source, delivery.rejected)
                if delivery.retried is not None:
                    await transaction.take_back(delivery.retried)
            wanted = self._wanted(folded.begun)
            opened = await transaction.open_or_join(wanted)
        for new in wanted:
            self._metrics.incidents_opened.labels(rule=new.rule, severity=new.severity.value).inc()
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
        window, now = self._window, transaction.now
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
                wanted[group] = NewIncident(
                    rule=rule.name,
                    rulebook_hash=self._rules.hash,
                    key=key,
                    severity=rule.severity_of(record.labels),
                    pending_for=rule.wait_for,
                    members=(),
                )
        return [
            replace(wanted[group], members=tuple(record.key for record in groups[group]))
            for group in sorted(wanted)
        ]


def _observations(delivery: Delivery, now: datetime) -> Iterable[Observation]:
    seen: Mapping[tuple[str, bytes], Observation] = {
        (alert.fingerprint, said): Observation(delivery.source, alert, now, said)
        for alert in delivery.alerts
        for said in (content_hash(alert),)
    }
    return seen.values()
