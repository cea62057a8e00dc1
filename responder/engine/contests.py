"""Contested alerts: ask the source whether they fire, and let the fold decide when nobody answers.

Every answer is journaled as an observation like any other; see `decide.fold`.
"""

from collections.abc import Sequence

from responder.decide.fold import AlertRecord
from responder.model.alert import Alert, Delivery, Standing
from responder.ports import AlertState, Intake, Store

_AT_ONCE = 500


class Contests:
    """One round after the other over all contested alerts."""

    def __init__(self, store: Store, intake: Intake, alert_state: AlertState) -> None:
        self._store = store
        self._intake = intake
        self._alert_state = alert_state

    async def round(self) -> int:
        """Ask once for every contested alert; returns how many there were."""
        records = await self._store.contested(_AT_ONCE)
        by_source: dict[str, list[AlertRecord]] = {}
        for record in records:
            by_source.setdefault(record.key.source, []).append(record)
        for source, contested in by_source.items():
            await self._ask(source, contested)
        return len(records)

    async def _ask(self, source: str, contested: Sequence[AlertRecord]) -> None:
        labels = {record.key.fingerprint: record.labels for record in contested}
        answers = await self._alert_state.standings(source, labels) or {}
        alerts = tuple(
            _answered(record, fires=answers[record.key.fingerprint])
            for record in contested
            if record.key.fingerprint in answers
        )
        # Those without an answer are folded again: after the window they count as firing.
        silent = tuple(record.key for record in contested if record.key.fingerprint not in answers)
        await self._intake.take(Delivery(source=source, alerts=alerts, refold=silent))


def _answered(record: AlertRecord, *, fires: bool) -> Alert:
    return Alert(
        fingerprint=record.key.fingerprint,
        labels=record.labels,
        annotations=record.annotations,
        standing=Standing.CONFIRMED if fires else Standing.ABSENT,
        starts_at=record.contested_starts_at or record.starts_at,
        generator_url=record.generator_url,
    )
