"""Rows of `source_rounds` and `source_gaps`: whose turn it is to ask a source for all its alerts.

A turn is kept as a lease of an incident is: by a worker whose heartbeat is fresh. Nothing depends on there
being only one: what two of them find is taken in like a delivery that comes twice, and each counts absences
for itself.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from responder.decide.fold import AlertRecord
from responder.model.source import Gap, PeerReport, SourceStanding
from responder.ports import Round, RoundEnd
from responder.store import episodes
from responder.store.clock import ServiceClock
from responder.store.connection import Connection, Lane
from responder.store.storable import storable_json, storable_text
from responder.store.transaction import transaction

_ENTER = """
INSERT INTO source_rounds (source, since, due_at) SELECT unnest($1::text[]), $2, $2 ON CONFLICT DO NOTHING
"""

_ALIVE = "EXISTS (SELECT FROM workers w WHERE w.id = {id} AND w.heartbeat_at > {now} - {lease}::interval)"

_THEN = "$3::timestamptz"

_STANDING = f"""
SELECT r.*, {_ALIVE.format(id="r.owner", now="$1::timestamptz", lease="$2")} AS owner_alive,
       g.since AS gap_since, g.noticed_at AS gap_noticed_at, g.reason AS gap_reason
FROM source_rounds r LEFT JOIN source_gaps g USING (source)
WHERE $3::text IS NULL OR r.source = $3
ORDER BY r.source
"""

_BEGIN = f"""
UPDATE source_rounds r
SET owner = $2, epoch = CASE WHEN owner = $2 THEN epoch ELSE epoch + 1 END,
    began_at = $3, due_at = $3 + $4::interval
WHERE r.source = $1
  AND (r.owner IS NULL OR r.owner = $2 OR NOT {_ALIVE.format(id="r.owner", now=_THEN, lease="$5")})
  AND {_ALIVE.format(id="$2", now=_THEN, lease="$5")}
RETURNING epoch
"""

_END = """
UPDATE source_rounds
SET ended_at = $4, rounds = rounds + 1, taken_in = taken_in + $5, gone = gone + $6, peers = $7::text::jsonb,
    problem = $8::text, complete_at = CASE WHEN $8::text IS NULL THEN $9 ELSE complete_at END
WHERE source = $1 AND owner = $2 AND epoch = $3
RETURNING 1
"""

_CLOSE = """
WITH closed AS (DELETE FROM source_gaps WHERE source = $1 AND noticed_at < $2 RETURNING *)
INSERT INTO source_gaps_closed (source, since, noticed_at, reason, closed_at, taken_in)
SELECT source, since, noticed_at, reason, $3, $4 FROM closed
"""

_LEAVE = "UPDATE source_rounds SET owner = NULL WHERE owner = $1"

_HELD = """
SELECT fingerprint, seen_at FROM alerts
WHERE source = $1 AND fingerprint > $2 AND ends_at IS NULL AND generation > 0
ORDER BY fingerprint LIMIT $3
"""
_HELD_AT_ONCE = 10_000

_ASK = "UPDATE source_rounds SET asked_at = $2, asked_by = $3 WHERE source = $1 RETURNING 1"


class PostgresRounds:
    """See `ports.Rounds` for what each method promises."""

    def __init__(self, lane: Lane, clock: ServiceClock, lease_time: timedelta) -> None:
        self._lane = lane
        self._clock = clock
        self._lease_time = lease_time

    async def enter(self, sources: Sequence[str]) -> None:
        """See `ports.Rounds.enter`."""
        async with transaction(self._lane) as connection:
            await connection.execute(_ENTER, list(sources), await self._clock.now(connection))

    async def standing(self, source: str) -> SourceStanding:
        """See `ports.Rounds.standing`."""
        async with self._lane.connection() as connection:
            found = await standings(connection, self._clock, self._lease_time, source)
        return found[0]

    async def begin(self, source: str, worker_id: UUID, next_in: timedelta) -> Round | None:
        """See `ports.Rounds.begin`."""
        async with transaction(self._lane) as connection:
            now = await self._clock.now(connection)
            epoch = await connection.fetchval(_BEGIN, source, worker_id, now, next_in, self._lease_time)
        return None if epoch is None else Round(source, worker_id, epoch, now)

    async def end(self, begun: Round, end: RoundEnd) -> bool:
        """See `ports.Rounds.end`."""
        async with transaction(self._lane) as connection:
            now = await self._clock.now(connection)
            kept = await connection.fetchval(
                _END,
                begun.source,
                begun.worker_id,
                begun.epoch,
                now,
                end.taken_in,
                end.gone,
                storable_json([peer.model_dump(mode="json") for peer in end.peers]),
                None if end.problem is None else storable_text(end.problem),
                begun.at,
            )
            if kept and end.problem is None:
                await connection.execute(_CLOSE, begun.source, begun.at, now, end.taken_in)
        return kept is not None

    async def leave(self, worker_id: UUID) -> None:
        """See `ports.Rounds.leave`."""
        async with transaction(self._lane) as connection:
            await connection.execute(_LEAVE, worker_id)

    async def held(self, source: str) -> Mapping[str, datetime]:
        """See `ports.Rounds.held`. Page by page: one statement over a storm would take too long."""
        found: dict[str, datetime] = {}
        last = ""
        while True:
            async with self._lane.connection() as connection:
                rows = await connection.fetch(_HELD, source, last, _HELD_AT_ONCE)
            found.update((row["fingerprint"], row["seen_at"]) for row in rows)
            if len(rows) < _HELD_AT_ONCE:
                return found
            last = rows[-1]["fingerprint"]

    async def records(self, source: str, fingerprints: Sequence[str]) -> Sequence[AlertRecord]:
        """See `ports.Rounds.records`."""
        async with self._lane.connection() as connection:
            return await episodes.records(connection, source, fingerprints)


async def standings(
    connection: Connection, clock: ServiceClock, lease_time: timedelta, source: str | None = None
) -> list[SourceStanding]:
    """How asking stands, for one source or for all."""
    now = await clock.now(connection)
    rows = await connection.fetch(_STANDING, now, lease_time, source)
    return [_as_standing(row, now) for row in rows]


async def ask(connection: Connection, source: str, actor: str, now: datetime) -> bool:
    """Note that a person asked for a round; False where the source is not known."""
    return await connection.fetchval(_ASK, source, now, storable_text(actor)) is not None


def _as_standing(row: asyncpg.Record, now: datetime) -> SourceStanding:
    told: dict[str, Any] = dict(row)
    since, noticed_at, reason = (told.pop(f"gap_{name}") for name in ("since", "noticed_at", "reason"))
    gap = None if since is None else Gap(since=since, noticed_at=noticed_at, reason=reason)
    peers = tuple(PeerReport.model_validate(peer) for peer in told.pop("peers"))
    return SourceStanding(**told, now=now, peers=peers, gap=gap)
