"""The table `outbox`: words to people, written with the record that they tell of, until they are delivered.

Writing belongs to the owner's transaction (`written`). Everything else is `ports.Outbox`: taking, in order
for each incident and channel and at a channel's pace, and what came of it. Lock order: the lane, then rows.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

import asyncpg

from responder.decide.backoff import lane_pause
from responder.decide.case import Case, Change, Notice
from responder.model.incident import Incident
from responder.model.notification import (
    ChannelStanding,
    ExtraKind,
    Notification,
    Word,
    told_labels,
    told_text,
)
from responder.model.policy import LOG_ONLY, EscalationPolicy, NoticeKind
from responder.model.redaction import SHIPPED, Redaction
from responder.model.severity import Severity
from responder.ports import Taking, Undelivered
from responder.store.clock import ServiceClock
from responder.store.connection import Connection, Lane
from responder.store.ids import uuid7
from responder.store.storable import storable_json, storable_text
from responder.store.transaction import WITHOUT_WAITING, transaction

_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)
_NAMED = 20
"""Words that a summary names: the worst ones."""
_FOLDED_AT_ONCE = 10_000
_GONE_AT_ONCE = 1000

_COLUMNS = """o.id, o.incident_id, o.channel, o.kind, o.level, o.thread, o.body, o.key, o.created_at,
              o.due_at, o.tries, o.last_error, o.delivered_in, o.delivered_at, o.given_up_at"""

_INSERT = """
INSERT INTO outbox (id, incident_id, channel, kind, level, thread, body, key, created_at, due_at)
VALUES ($1, $2, $3, $4, $5, $6, $7::text::jsonb, $8, $9, $9)
ON CONFLICT (key) DO NOTHING
"""

_TOLD_BEFORE = """
SELECT channel FROM outbox WHERE incident_id = $1 AND kind <> 'resolved' GROUP BY channel ORDER BY min(number)
"""

_WAITS = "{0}.delivered_at IS NULL AND {0}.given_up_at IS NULL"

_ENTER = """
INSERT INTO outbox_lanes (channel, minute_began, paused_until) SELECT unnest($1::text[]), $2, $2
ON CONFLICT DO NOTHING
"""

_LOOK = f"""
SELECT EXISTS (SELECT FROM outbox o WHERE o.channel = $1 AND {_WAITS.format("o")} AND o.due_at <= $2)
"""

_LANE = "SELECT * FROM outbox_lanes WHERE channel = $1 FOR UPDATE"

_LANE_MOVED = "UPDATE outbox_lanes SET minute_began = $2, begun = $3, crowded = $4 WHERE channel = $1"

_OF_ITS_INCIDENT = f"""
FROM outbox e WHERE e.incident_id = o.incident_id AND e.channel = o.channel AND {_WAITS.format("e")}
"""
"""All that waits for the channel of the same incident. The first of it is asked for, and not whether there is
something earlier: as a join that would compare all that waits with all that waits where PostgreSQL has not
heard yet how many those are, which is when many begin to wait."""

_READY = f"""
FROM outbox o
WHERE o.channel = $1 AND {_WAITS.format("o")} AND o.delivered_in IS NULL AND o.due_at <= $2
  AND (o.taken_until IS NULL OR o.taken_until <= $2)
  AND coalesce((SELECT e.number {_OF_ITS_INCIDENT} ORDER BY e.number LIMIT 1) = o.number, true)
"""
"""What may be sent now: due, nobody's, and nothing of its incident waits before it."""

_NEXT = f"""
SELECT o.id {_READY}
ORDER BY o.level > 0 DESC, o.body ->> 'severity', o.number LIMIT $3 FOR UPDATE OF o SKIP LOCKED
"""

_UNTRIED = f"SELECT o.id {_READY} AND o.tries = 0 LIMIT $3"

_TAKE = f"""
UPDATE outbox o SET taken_by = $2, taken_until = $3, tries = tries + 1 WHERE id = ANY($1::uuid[])
RETURNING {_COLUMNS}
"""

_TO_FOLD = f"""
SELECT {_COLUMNS} FROM outbox o
WHERE o.channel = $1 AND {_WAITS.format("o")} AND o.delivered_in IS NULL AND o.due_at <= $2 AND o.tries = 0
  AND o.kind NOT IN ('summary', 'test')
  AND coalesce((SELECT e.number {_OF_ITS_INCIDENT} AND (e.tries > 0 OR e.delivered_in IS NOT NULL)
                ORDER BY e.number LIMIT 1) > o.number, true)
ORDER BY o.number LIMIT $3 FOR UPDATE OF o SKIP LOCKED
"""
"""What was never tried, with nothing before it that may have been received or is in a summary already."""

_FOLD = "UPDATE outbox SET delivered_in = $2 WHERE id = ANY($1::uuid[])"

_STILL_WAITS = "coalesce(o.delivered_at, o.given_up_at) IS NULL"
"""Of one that is known by its id. Said otherwise than in the indexes of what waits, so that none of them is
read from end to end where PostgreSQL has not heard yet how many wait."""

_ONE_AND_ITS = f"(o.id = $1 OR o.delivered_in = $1) AND {_STILL_WAITS}"

_LANE_IS_WELL = "UPDATE outbox_lanes SET failures = 0 WHERE channel = $1 AND failures > 0"
"""The pause stays: what was under way beside a refusal says nothing against the rest that it asked for."""

_DELIVERED = f"""
UPDATE outbox o SET delivered_at = $2, taken_by = NULL, taken_until = NULL WHERE {_ONE_AND_ITS}
RETURNING {WITHOUT_WAITING}
"""
"""Forgotten by a crash of PostgreSQL it is delivered again, under the same key."""

_AGAIN = f"""
UPDATE outbox o SET due_at = $3, last_error = $4, taken_by = NULL, taken_until = NULL
WHERE o.id = $1 AND o.taken_by = $2 AND {_STILL_WAITS}
"""

_FAILED_LANE = (
    "UPDATE outbox_lanes SET failures = $2, paused_until = greatest(paused_until, $3) WHERE channel = $1"
)

_GIVEN_UP = f"""
UPDATE outbox o SET given_up_at = $2, last_error = $3, taken_by = NULL, taken_until = NULL
WHERE {_ONE_AND_ITS}
"""

_GIVE_BACK = f"""
UPDATE outbox o SET taken_by = NULL, taken_until = NULL WHERE o.taken_by = $1 AND {_WAITS.format("o")}
"""

_OF_NO_CHANNEL = f"""
SELECT {_COLUMNS} FROM outbox o
WHERE {_WAITS.format("o")} AND o.channel <> ALL ($1::text[]) AND o.created_at <= $2 LIMIT $3
"""

_STANDINGS = f"""
SELECT c.channel, coalesce(w.waiting, 0) AS waiting, w.oldest, coalesce(g.given_up, 0) AS given_up,
       w.last_error
FROM (SELECT unnest($1::text[]) AS channel
      UNION SELECT channel FROM outbox o WHERE {_WAITS.format("o")}
      UNION SELECT channel FROM outbox WHERE given_up_at > $2) c
LEFT JOIN (SELECT channel, count(*) AS waiting, min(created_at) AS oldest,
                  (array_agg(last_error ORDER BY number) FILTER (WHERE last_error IS NOT NULL))[1]
                      AS last_error
           FROM outbox o WHERE {_WAITS.format("o")} GROUP BY channel) w USING (channel)
LEFT JOIN (SELECT channel, count(*) AS given_up FROM outbox WHERE given_up_at > $2 GROUP BY channel) g
     USING (channel)
ORDER BY c.channel
"""

_EXPIRE = """
DELETE FROM outbox WHERE id IN (
    SELECT o.id FROM outbox o LEFT JOIN incidents i ON i.id = o.incident_id
    WHERE (o.delivered_at < $1 OR o.given_up_at < $1) AND (i.id IS NULL OR i.state = 'closed')
    LIMIT $2)
RETURNING id
"""
"""Of an incident that is not closed all is kept: who was told of it is told of its end."""

_LIST = f"""
SELECT {_COLUMNS} FROM outbox o
WHERE ($1::uuid IS NULL OR o.incident_id = $1) AND (NOT $2::boolean OR o.delivered_at IS NULL)
ORDER BY o.number DESC LIMIT $3
"""

_OF_INCIDENT = f"SELECT {_COLUMNS} FROM outbox o WHERE o.incident_id = $1 ORDER BY o.number"

_ONE = f"SELECT {_COLUMNS} FROM outbox o WHERE o.id = $1"


def _log_only(_: Severity) -> EscalationPolicy:
    return LOG_ONLY


@dataclass(frozen=True, slots=True)
class Wording:
    """How a notice becomes words for channels: who hears it, where the incident is shown, what is secret."""

    policy: Callable[[Severity], EscalationPolicy] = _log_only
    public_url: str | None = None
    redaction: Redaction = SHIPPED

    def word(self, case: Case, change: Change, notice: Notice) -> Word:
        """What the notice says, with all that a channel needs beside it."""
        incident, rule = case.incident, case.rule
        shown = f"/api/v1/incidents/{incident.id}/review?format=html"
        link = None if self.public_url is None else f"{self.public_url}{shown}"
        word = self.redaction.value(
            Word(
                text=notice.text,
                incident=incident.id,
                rule=incident.rule,
                severity=change.severity or incident.severity,
                state=change.state,
                key=incident.key,
                summary=_summary(case),
                command=f"responder explain {incident.id}",
                runbook_url=rule.runbook_url,
                owner=rule.owner,
                link=link,
            )
        )
        bounded = {
            "text": told_text(word.text),
            "key": told_labels(word.key),
            "summary": None if word.summary is None else told_text(word.summary),
        }
        return word.model_copy(update=bounded)


def _summary(case: Case) -> str | None:
    said = (one.annotations.get(name) for one in case.members.sample for name in ("summary", "description"))
    return next((text for text in said if text), None)


async def write(
    connection: Connection, wording: Wording, case: Case, change: Change, position: int, now: datetime
) -> None:
    """One row for each notice of a change and each channel that hears it, in the change's own transaction.

    `position` is how long the incident's timeline is with the change: with it no two notices share a key.
    """
    incident = case.incident
    for index, notice in enumerate(change.notices):
        body = _stored(wording.word(case, change, notice))
        for channel in await _channels(connection, wording, incident, change, notice):
            await connection.execute(
                _INSERT,
                uuid7(now),
                incident.id,
                channel,
                notice.kind.value,
                notice.level,
                str(incident.id),
                body,
                _key(incident.id, f"{position}.{index}.{channel}"),
                now,
            )


async def _channels(
    connection: Connection, wording: Wording, incident: Incident, change: Change, notice: Notice
) -> Sequence[str]:
    """Who hears it. Of the end hears whoever heard anything before."""
    if notice.kind is NoticeKind.RESOLVED:
        rows = await connection.fetch(_TOLD_BEFORE, incident.id)
        if rows:
            return [row["channel"] for row in rows]
    return wording.policy(change.severity or incident.severity).told(notice.level)


def _stored(word: Word) -> str:
    return storable_json(word.model_dump(mode="json", exclude_defaults=True))


def _key(namespace: UUID, name: str) -> str:
    return f"msg_{uuid5(namespace, name).hex}"


@dataclass(slots=True)
class _Minute:
    """The pace of a channel under the lock of its lane."""

    began: datetime
    begun: int
    crowded: bool

    def passed(self, now: datetime) -> bool:
        """Whether another minute has begun. A clock that went back begins one, too."""
        return not timedelta(0) <= now - self.began < _MINUTE


class PostgresOutbox:
    """See `ports.Outbox` for what each method promises."""

    def __init__(self, lane: Lane, clock: ServiceClock) -> None:
        self._lane = lane
        self._clock = clock

    async def enter(self, channels: Sequence[str]) -> None:
        """See `ports.Outbox.enter`."""
        async with transaction(self._lane) as connection:
            await connection.execute(_ENTER, list(channels), await self._clock.now(connection))

    async def take(self, channel: str, worker_id: UUID, taking: Taking) -> Sequence[Notification]:
        """See `ports.Outbox.take`."""
        async with self._lane.connection() as connection:
            if not await connection.fetchval(_LOOK, channel, await self._clock.now(connection)):
                return ()
        async with transaction(self._lane) as connection:
            lane = await connection.fetchrow(_LANE, channel)
            now = await self._clock.now(connection)
            if lane is None or now < lane["paused_until"]:
                return ()
            minute = _Minute(lane["minute_began"], lane["begun"], lane["crowded"])
            at_most = 1 if lane["failures"] else taking.at_once
            ids = await self._next(connection, channel, minute, taking.per_minute, at_most, now)
            await connection.execute(_LANE_MOVED, channel, minute.began, minute.begun, minute.crowded)
            rows = await connection.fetch(_TAKE, ids, worker_id, now + taking.hold_for)
        taken = {row["id"]: _notification(row) for row in rows}
        return [taken[one] for one in ids if one in taken]

    async def _next(
        self,
        connection: Connection,
        channel: str,
        minute: _Minute,
        per_minute: int | None,
        at_most: int,
        now: datetime,
    ) -> list[UUID]:
        """What is sent next, at the channel's pace: where a minute was too small, the rest is one summary."""
        if minute.passed(now):
            if minute.crowded:
                await _fold(connection, channel, now, left_out=(per_minute or 0) // 2)
            minute.began, minute.begun, minute.crowded = now, 0, False
        room = at_most if per_minute is None else min(at_most, max(0, per_minute - minute.begun))
        ids = [row["id"] for row in await connection.fetch(_NEXT, channel, now, room)]
        minute.begun += len(ids)
        if per_minute is not None and minute.begun >= per_minute:
            minute.crowded = minute.crowded or await _more(connection, channel, now, ids)
        return ids

    async def delivered(self, notification: Notification) -> None:
        """See `ports.Outbox.delivered`."""
        async with transaction(self._lane) as connection:
            now = await self._clock.now(connection)
            await connection.execute(_LANE_IS_WELL, notification.channel)
            await connection.execute(_DELIVERED, notification.id, now)

    async def undelivered(self, notification: Notification, worker_id: UUID, why: Undelivered) -> bool:
        """See `ports.Outbox.undelivered`."""
        error = storable_text(why.error)
        async with transaction(self._lane) as connection:
            lane = await connection.fetchrow(_LANE, notification.channel)
            now = await self._clock.now(connection)
            if why.final or now - notification.created_at >= why.give_up_after:
                await connection.execute(_GIVEN_UP, notification.id, now, error)
                return True
            await connection.execute(_AGAIN, notification.id, worker_id, now + why.again_in, error)
            if lane is not None:
                failures = lane["failures"] + 1
                pause = now + max(lane_pause(failures), why.pause)
                await connection.execute(_FAILED_LANE, notification.channel, failures, pause)
        return False

    async def give_back(self, worker_id: UUID) -> None:
        """See `ports.Outbox.give_back`."""
        async with transaction(self._lane) as connection:
            await connection.execute(_GIVE_BACK, worker_id)

    async def give_up_unknown(
        self, channels: Sequence[str], give_up_after: timedelta
    ) -> Sequence[Notification]:
        """See `ports.Outbox.give_up_unknown`."""
        async with transaction(self._lane) as connection:
            now = await self._clock.now(connection)
            rows = await connection.fetch(_OF_NO_CHANNEL, list(channels), now - give_up_after, _GONE_AT_ONCE)
            for row in rows:
                why = f"no channel {row['channel']} is configured any more"
                await connection.execute(_GIVEN_UP, row["id"], now, why)
        return [_notification(row) for row in rows]

    async def standings(self, channels: Sequence[str]) -> tuple[datetime, Sequence[ChannelStanding]]:
        """See `ports.Outbox.standings`."""
        async with self._lane.connection() as connection:
            now = await self._clock.now(connection)
            return now, await standings(connection, channels, now)

    async def expire(self, kept_for: timedelta) -> int:
        """See `ports.Outbox.expire`."""
        async with transaction(self._lane) as connection:
            before = await self._clock.now(connection) - kept_for
            return len(await connection.fetch(_EXPIRE, before, _GONE_AT_ONCE))


async def _more(connection: Connection, channel: str, now: datetime, taken: Sequence[UUID]) -> bool:
    """Whether something that was never tried waits beside what is just being taken."""
    rows = await connection.fetch(_UNTRIED, channel, now, len(taken) + 1)
    return any(row["id"] not in taken for row in rows)


async def _fold(connection: Connection, channel: str, now: datetime, *, left_out: int) -> None:
    """One summary for all that had no room, written with the mark on each of them; not for a single one.

    So many of the incidents that are P0, and that a person must act on, are left out of it: whole, for what
    is later of an incident must not come before what is earlier.
    """
    rows = await connection.fetch(_TO_FOLD, channel, now, _FOLDED_AT_ONCE)
    found = [_notification(row) for row in rows]
    worst = [one.incident_id for one in found if one.level > 0 and one.body.severity is Severity.P0]
    alone = set(list(dict.fromkeys(worst))[:left_out])
    folded = [one for one in found if one.incident_id not in alone]
    if len(folded) < 2:  # noqa: PLR2004 - one by itself says more
        return
    summary = uuid7(now)
    level = max(one.level for one in folded)
    body = _stored(summarized(folded))
    kind, thread = ExtraKind.SUMMARY.value, f"summary {channel}"
    key = _key(summary, channel)
    await connection.execute(_INSERT, summary, None, channel, kind, level, thread, body, key, now)
    await connection.execute(_FOLD, [one.id for one in folded], summary)


def summarized(folded: Sequence[Notification]) -> Word:
    """What a summary says: how many, of which rules, and the worst of them by name."""
    rules = Counter(one.body.rule or "" for one in folded)
    worst = sorted(folded, key=lambda one: (one.level == 0, one.body.severity or "", one.created_at))
    named = ", ".join(f"{rule} {number}" for rule, number in rules.most_common(5))
    more = f" and {len(rules) - 5} more rules" if len(rules) > 5 else ""  # noqa: PLR2004 - as many as named
    return Word(
        text=f"{len(folded)} notifications at once, folded into this one: {named}{more}",
        severity=min((one.body.severity for one in folded if one.body.severity), default=None),
        count=len(folded),
        rules=dict(rules.most_common(_NAMED)),
        worst=tuple(_in_short(one) for one in worst[:_NAMED]),
    )


def _in_short(one: Notification) -> dict[str, Any]:
    body = one.body.model_dump(mode="json", include={"incident", "severity", "text", "link"})
    return {"kind": one.kind.value, "level": one.level, **{k: v for k, v in body.items() if v is not None}}


async def write_test(connection: Connection, channel: str, text: str, now: datetime) -> UUID:
    """A message for one channel that says of itself that it is a test; its id."""
    test = uuid7(now)
    body = _stored(Word(text=text))
    kind = ExtraKind.TEST.value
    await connection.execute(_INSERT, test, None, channel, kind, 0, "test", body, _key(test, channel), now)
    return test


async def listed(
    connection: Connection, limit: int, incident_id: UUID | None = None, *, undelivered: bool = False
) -> Sequence[Notification]:
    """The newest first."""
    return [_notification(row) for row in await connection.fetch(_LIST, incident_id, undelivered, limit)]


async def standings(
    connection: Connection, channels: Sequence[str], now: datetime
) -> Sequence[ChannelStanding]:
    """How these channels stand, and others for which something waits or was given up within a day."""
    rows = await connection.fetch(_STANDINGS, list(channels), now - _DAY)
    return [ChannelStanding.model_validate(dict(row)) for row in rows]


async def of_incident(connection: Connection, incident_id: UUID) -> tuple[Notification, ...]:
    """All that people were told of an incident, in order."""
    return tuple(_notification(row) for row in await connection.fetch(_OF_INCIDENT, incident_id))


async def one(connection: Connection, notification_id: UUID) -> Notification | None:
    """One, or None."""
    row = await connection.fetchrow(_ONE, notification_id)
    return None if row is None else _notification(row)


def _notification(row: asyncpg.Record) -> Notification:
    return Notification.model_validate(dict(row))
