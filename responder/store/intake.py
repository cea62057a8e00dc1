"""The intake transaction: journal, fold, membership and stream position, all or nothing.

Lock order: stream positions, alerts by (source, fingerprint), incidents by (rule, key hash), then what is
only appended to. Waking an incident locks it, so it waits until all incidents of the transaction are locked
together.

An ended episode stays ended. A row that arrives behind its time can make the fold say that an earlier episode
did not end after all; that is stored as the next episode, because the incident of the earlier one may be
closed, and an alert that fires in a closed incident would be lost.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any
from uuid import UUID

from responder.decide.fold import AlertRecord
from responder.model.alert import AlertKey, Heard, Observation, Rejected, Retried, SourcePosition
from responder.model.errors import DeposedError, TemporaryError
from responder.ports import IncidentKey, NewIncident
from responder.store import dead_letters, episodes, openings
from responder.store.clock import ServiceClock
from responder.store.connection import Connection
from responder.store.episodes import Becomes, becomes
from responder.store.openings import Opening
from responder.store.storable import storable_text

_ADVANCE = """
INSERT INTO source_positions AS p (source, topic, partition, next_offset, moved_at)
VALUES ($1, $2, $3, $5, $6)
ON CONFLICT (source, topic, partition) DO UPDATE SET next_offset = $5, moved_at = $6
WHERE p.next_offset = $4
RETURNING 1
"""

_DEAD_LETTERS = """
INSERT INTO dead_letters (source, reason, payload, received_at)
SELECT $1, reason, payload, $2 FROM unnest($3::text[], $4::text[]) AS r (reason, payload)
"""

_GAP = """
INSERT INTO source_gaps AS g (source, since, noticed_at, reason) VALUES ($1, $2, $2, $3)
ON CONFLICT (source) DO UPDATE SET noticed_at = $2, reason = $3
"""


class PostgresIntake:
    """See `ports.IntakeTransaction`. Made by `PostgresStore.intake`."""

    def __init__(
        self,
        connection: Connection,
        clock: ServiceClock,
        now: datetime,
        keys: Iterable[AlertKey],
        locked: Mapping[AlertKey, AlertRecord],
    ) -> None:
        self.now = now
        self.due = 0
        self._connection = connection
        self._clock = clock
        self._rows: list[Observation] = []
        """What waits to be journaled: together with the alerts, or at the end."""
        self._records: dict[AlertKey, AlertRecord] = {}
        """What is stored now, of the alerts that this transaction has locked or inserted."""
        self._known_before: dict[AlertKey, int] = {}
        """The newest generation that may be a member, of alerts that were there before or joined here."""
        self._woken: dict[UUID, None] = {}
        self._locked: set[AlertKey] = set()
        """Those that were looked for, be they there or not."""
        self._keep(keys, locked)

    async def advance(self, source: str, position: SourcePosition) -> None:
        """See `ports.IntakeTransaction.advance`. A stream that is not known yet starts anywhere."""
        moved = await self._connection.fetchval(
            _ADVANCE,
            source,
            position.topic,
            position.partition,
            position.expected_offset,
            position.next_offset,
            self.now,
        )
        if moved is None:
            raise DeposedError(
                f"somebody else reads partition {position.partition} of {position.topic}: "
                f"its position is not {position.expected_offset} any more"
            )

    async def lock_alerts(
        self, keys: Sequence[AlertKey], heard: Mapping[AlertKey, Heard] | None = None
    ) -> Mapping[AlertKey, AlertRecord]:
        """See `ports.IntakeTransaction.lock_alerts`."""
        more = [key for key in keys if key not in self._locked]
        if more:
            now, locked = await episodes.begin(self._connection, self._clock, more, heard or {})
            self.now = max(self.now, now)
            self._keep(more, locked)
        return {key: self._records[key] for key in keys if key in self._records}

    async def lock_incidents(self, wanted: Sequence[NewIncident]) -> None:
        """See `ports.IntakeTransaction.lock_incidents`."""
        concerned = await episodes.incidents_of(self._connection, list(self._records.values()))
        await openings.lock(self._connection, [new.identity for new in wanted], concerned)

    async def history(self, key: AlertKey) -> Sequence[Observation]:
        """See `ports.IntakeTransaction.history`."""
        await self._journal()
        return await episodes.history(self._connection, key)

    async def write_journal(self, rows: Sequence[Observation]) -> None:
        """See `ports.IntakeTransaction.write_journal`. They are sent together with the alerts."""
        self._rows += rows

    async def write_alerts(self, records: Sequence[AlertRecord]) -> None:
        """See `ports.IntakeTransaction.write_alerts`.

        Raises:
            TemporaryError: another transaction stored one of the new alerts meanwhile.
        """
        stored = [_next_episode(self._records.get(record.key), record) for record in _in_order(records)]
        stored = await self._anew(stored)
        rows = sorted(self._rows, key=lambda row: (row.source, row.alert.fingerprint, *row.order))
        self._rows.clear()
        plan = _planned(rows, stored, self._records)
        await self._write(rows, plan)
        if plan.moved:
            await self._move(plan.moved)
        self._records |= {record.key: record for record in stored}

    async def write_dead_letters(self, source: str, rejected: Sequence[Rejected]) -> None:
        """See `ports.IntakeTransaction.write_dead_letters`."""
        await self._connection.execute(
            _DEAD_LETTERS,
            source,
            self.now,
            [storable_text(part.reason) for part in rejected],
            [storable_text(part.payload) for part in rejected],
        )
        missed = [part.reason for part in rejected if part.missed]
        if missed:
            await self._connection.execute(_GAP, source, self.now, storable_text(missed[-1]))

    async def take_back(self, retried: Retried) -> None:
        """See `ports.IntakeTransaction.take_back`."""
        await dead_letters.remove(
            self._connection, "retry", retried.letters, storable_text(retried.actor), "", self.now
        )

    async def open_or_join(self, wanted: Sequence[NewIncident]) -> Sequence[UUID]:
        """See `ports.IntakeTransaction.open_or_join`.

        Every alert must have been locked or written in this transaction. An episode belongs to one incident
        of each rule that took it when it was first taken, for ever: one that is a member already, be it of a
        closed incident or by rules that are no more, opens and wakes nothing.

        Raises:
            TemporaryError: another transaction opened one of the incidents meanwhile.
        """
        found = await self._openings(wanted)
        if not found and not self._woken:
            return ()
        older = self._older(record for opening in found for record in opening.joining)
        before = await episodes.first_heard(self._connection, older) if older else {}
        self._known_before |= {one.key: one.generation for opening in found for one in opening.joining}
        opened = await openings.open_join_wake(self._connection, found, tuple(self._woken), before, self.now)
        self._woken.clear()
        self.due += opened.due
        return tuple(opened.incidents[key] for key in sorted(opened.incidents))

    async def finish(self) -> None:
        """Write and wake what is still to be written and woken; the last thing before COMMIT."""
        await self._journal()
        await self.open_or_join(())

    async def _anew(self, stored: Sequence[AlertRecord]) -> list[AlertRecord]:
        """What starts anew after a person closed its incident is another episode, though no end was heard.

        It belongs to the closed incident otherwise, and an alert that fires in one is lost to everybody.
        """
        later = [record for record in stored if _starts_later(self._records.get(record.key), record)]
        closed = await episodes.closed_among(self._connection, later) if later else set()
        return [_since_newest(record) if record.key in closed else record for record in stored]

    async def _journal(self) -> None:
        """Journal what came without alerts to write."""
        await self.write_alerts(())

    def _keep(self, keys: Iterable[AlertKey], locked: Mapping[AlertKey, AlertRecord]) -> None:
        self._locked.update(keys)
        self._records |= locked
        self._known_before |= {key: record.generation for key, record in locked.items()}

    async def _write(self, rows: Sequence[Observation], plan: "_Plan") -> None:
        new = plan.meanings.count(Becomes.BEGUN) + len(plan.new)
        written = await episodes.store(self._connection, rows, plan.meanings) if rows else 0
        if plan.new:
            written += await episodes.insert_alerts(self._connection, plan.new)
        if written < new:
            raise TemporaryError("another transaction stored the same new alert", timedelta(0))

    async def _move(self, moved: Sequence[AlertRecord]) -> None:
        """Incidents hear of episodes that began or ended, not of a start that moved."""
        others = {record.key for record in moved if _episode(self._records[record.key]) != _episode(record)}
        news = {record.key for record in moved if _news(self._records[record.key], record)}
        for key, incident_id in await episodes.move(self._connection, moved, others):
            if key in news:
                self._woken[incident_id] = None

    async def _openings(self, wanted: Sequence[NewIncident]) -> list[Opening]:
        """What is to be opened or joined, each key once, and each episode once for each rule."""
        already = await self._members_already(key for new in wanted for key in new.members)
        taken: set[tuple[str, AlertKey]] = set()
        grouped: dict[IncidentKey, Opening] = {}
        for new in wanted:
            free = [key for key in new.members if key not in already and (new.rule, key) not in taken]
            joining = [record for record in _in_order(self._records[key] for key in free) if record.firing]
            taken |= {(new.rule, record.key) for record in joining}
            if joining:
                key = new.identity
                grouped[key] = _merged(grouped.get(key), Opening(key, new, new.severity, tuple(joining)))
        return list(grouped.values())

    async def _members_already(self, keys: Iterable[AlertKey]) -> set[AlertKey]:
        """An episode that began in this transaction cannot be a member yet: only older ones are looked up."""
        older = self._older(self._records[key] for key in keys)
        return await episodes.members_among(self._connection, older) if older else set()

    def _older(self, records: Iterable[AlertRecord]) -> list[AlertRecord]:
        """Those whose episode was there before this transaction: one that joins only now had no rule."""
        known = self._known_before
        return [
            record for record in records if record.key in known and record.generation <= known[record.key]
        ]


@dataclass(frozen=True, slots=True)
class _Plan:
    """How records are written: what the rows of the journal tell of them, and those written out."""

    meanings: Sequence[Becomes | None]
    new: Sequence[AlertRecord]
    moved: Sequence[AlertRecord]


def _planned(
    rows: Sequence[Observation], stored: Sequence[AlertRecord], before: Mapping[AlertKey, AlertRecord]
) -> _Plan:
    last = {row.key: number for number, row in enumerate(rows)}
    meanings: dict[int, Becomes] = {}
    others: list[AlertRecord] = []
    for record in stored:
        number = last.get(record.key)
        meaning = None if number is None else becomes(before.get(record.key), record, rows[number])
        if number is not None and meaning is not None:
            meanings[number] = meaning
        else:
            others.append(record)
    moved = [record for record in others if record.key in before]
    if len(moved) < len(others):  # all that are new in one statement: locks are taken in key order
        meanings = {number: one for number, one in meanings.items() if one is Becomes.AGAIN}
        others = [record for record in stored if record.key not in before]
    else:
        others = []
    return _Plan([meanings.get(number) for number in range(len(rows))], others, moved)


def _starts_later(before: AlertRecord | None, record: AlertRecord) -> bool:
    """Of one episode: what fired anew after an end was heard is another one already."""
    return (
        before is not None
        and record.firing
        and before.generation == record.generation
        and record.newest_start > before.newest_start
    )


def _since_newest(record: AlertRecord) -> AlertRecord:
    return record._replace(generation=record.generation + 1, starts_at=record.newest_start)


def _in_order(records: Iterable[AlertRecord]) -> list[AlertRecord]:
    return sorted({record.key: record for record in records}.values(), key=attrgetter("key"))


def _next_episode(before: AlertRecord | None, record: AlertRecord) -> AlertRecord:
    """The record with a generation that never falls, and that rises where an ended episode is open again."""
    if before is None:
        return record
    least = before.generation + 1 if record.firing and not before.firing else before.generation
    return record._replace(generation=max(record.generation, least))


def _episode(record: AlertRecord) -> tuple[Any, ...]:
    return (record.generation, record.starts_at, record.ends_at)


def _news(before: AlertRecord, record: AlertRecord) -> bool:
    return (before.generation, before.firing) != (record.generation, record.firing)


def _merged(before: Opening | None, more: Opening) -> Opening:
    if before is None:
        return more
    severity = min(before.severity, more.severity)
    return replace(before, severity=severity, joining=(*before.joining, *more.joining))
