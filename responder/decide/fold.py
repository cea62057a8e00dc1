"""Folding: what the observations of one alert mean, as episodes.

`fold(rows, window, now)` is the whole truth; `step` is the same, one row at a time, so that the store need
not read the past again. An episode is an interval in which the alert fired; `generation` counts them.

- Resolved at e closes the open episode when e is not before its start. An end that is known already does not
  close an episode that was opened by a contest: it is the same end, told by another peer.
- Firing while open keeps the smaller start (Alertmanager merges to the earliest) and the newest annotations.
- Firing with a start not before the last end opens a new episode. Where that end is heard of only later, the
  start that came before it is contested: it fires again, or it was never true (a clock set wrong).
- Firing with a start before the last end, received after that end was, is *contested*: Alertmanager resolves
  by timeout when Prometheus cannot reach it, and then resends the same start. It counts as firing again when
  the source's API confirms it, or after `window` without an answer; the API's "absent" ends the contest, and
  so does a later end than the known one. A second copy of the known end does not: it says nothing new.
- Firing and an end that are told at the same moment, in one delivery, are of two alerts that are the same to
  us: the replicas of a Prometheus whose label is dropped. One of them fires, so the episode goes on.
- Gone is our own conclusion that the source has not known the alert for long enough. It closes the open
  episode, unless the alert was heard of after the source was asked. Whatever the source's clock says, what
  starts later than the closed episode is a new one, and the same start again is contested.
- What the API says never opens an episode outside a contest by itself: the answer may be older than the end
  that was received meanwhile. It starts a contest instead.

Source times are compared only with source times; age and contest use `received_at`.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from responder.model.alert import Alert, AlertKey, Observation, Standing


class AlertRecord(NamedTuple):
    """What is known of one alert after its observations.

    `generation` is 0 until an episode is known. `ends_at` is None while it is open; it is for people,
    `last_end` is what later starts are compared with. `newest_start` is the newest start heard of that the
    source has not denied. `last_order` is the journal position up to which all is folded. `seen_at` is when
    the newest observation of it firing was received. `contested_at` is when the firing that waits for the
    source's word was received.
    """

    key: AlertKey
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    generator_url: str
    generation: int
    starts_at: datetime
    newest_start: datetime
    ends_at: datetime | None
    last_end: datetime | None
    last_end_received_at: datetime | None
    seen_at: datetime
    last_order: tuple[datetime, bytes]
    contested_at: datetime | None = None
    contested_starts_at: datetime | None = None

    @property
    def firing(self) -> bool:
        """Whether an episode is open."""
        return self.generation > 0 and self.ends_at is None


def fold(rows: Iterable[Observation], window: timedelta, now: datetime) -> AlertRecord | None:
    """The record after all rows of one alert, in whatever order and however often they are given."""
    record: AlertRecord | None = None
    for row in sorted({row.order: row for row in rows}.values(), key=lambda row: row.order):
        record = step(record, row, window)
    return record if record is None else settle_contest(record, window, now)


def step(record: AlertRecord | None, row: Observation, window: timedelta) -> AlertRecord:
    """The record after one more row, which must not sort before the last one folded."""
    if record is None:
        return _first(row)
    order = row.order
    if order == record.last_order:
        return record
    record = settle_contest(record, window, row.received_at)
    alert = row.alert
    if _says_nothing_new(record, alert):
        return _told_again(record, row.received_at, order)
    record = record._replace(last_order=order)
    match alert.standing:
        case Standing.FIRING:
            return _fires(record, alert, row.received_at)
        case Standing.RESOLVED:
            return _ends(record, alert, row.received_at)
        case Standing.CONFIRMED:
            return _confirmed(record, alert, row.received_at)
        case Standing.ABSENT:
            return _absent(record)
        case Standing.GONE:
            return _gone(record, alert.ends_at or row.received_at, row.received_at)


def _told_again(record: AlertRecord, at: datetime, order: tuple[datetime, bytes]) -> AlertRecord:
    """An open episode, which nobody contests, heard of once more.

    By its fields: this is done for most rows, and `_replace` takes three times as long.
    """
    return AlertRecord(
        record.key,
        record.labels,
        record.annotations,
        record.generator_url,
        record.generation,
        record.starts_at,
        record.newest_start,
        record.ends_at,
        record.last_end,
        record.last_end_received_at,
        seen_at=at,
        last_order=order,
    )


def settle_contest(record: AlertRecord, window: timedelta, now: datetime) -> AlertRecord:
    """A contest that nobody answered within the window counts as firing again.

    That it was not answered is known up to the window's end: a row from before that, which another process
    has brought late, sorts before what is folded, and all is folded again.
    """
    if record.contested_at is None or now < record.contested_at + window:
        return record
    settled_at = record.contested_at + window
    return _fire_again(record, record.contested_at)._replace(last_order=(settled_at, b""))


def _says_nothing_new(record: AlertRecord, alert: Alert) -> bool:
    """Whether an open episode is only told of again: by far the most that a source sends."""
    return (
        record.firing
        and alert.standing is Standing.FIRING
        and record.starts_at <= alert.starts_at <= record.newest_start
        and alert.annotations == record.annotations
        and alert.generator_url in {"", record.generator_url}
    )


def _first(row: Observation) -> AlertRecord:
    alert = row.alert
    ended = alert.standing is Standing.RESOLVED
    end = (alert.ends_at or alert.starts_at) if ended else None
    return AlertRecord(
        key=row.key,
        labels=alert.labels,
        annotations=alert.annotations,
        generator_url=alert.generator_url,
        generation=0 if alert.standing in {Standing.ABSENT, Standing.GONE} else 1,
        starts_at=alert.starts_at,
        newest_start=alert.starts_at if end is None else min(alert.starts_at, end),
        ends_at=end,
        last_end=end,
        last_end_received_at=row.received_at if ended else None,
        seen_at=row.received_at,
        last_order=row.order,
    )


def _fires(record: AlertRecord, alert: Alert, at: datetime) -> AlertRecord:
    told = record._replace(
        annotations=alert.annotations, generator_url=alert.generator_url or record.generator_url
    )
    if record.firing:
        return told._replace(
            starts_at=min(record.starts_at, alert.starts_at),
            newest_start=max(record.newest_start, alert.starts_at),
            seen_at=at,
        )
    if record.last_end is None or alert.starts_at >= record.last_end:
        return told._replace(
            generation=record.generation + 1,
            starts_at=alert.starts_at,
            newest_start=max(record.newest_start, alert.starts_at),
            ends_at=None,
            seen_at=at,
            contested_at=None,
            contested_starts_at=None,
        )
    if record.last_end_received_at is not None and at <= record.last_end_received_at:
        return _fires_on(told, alert, at)
    return _contest(told, alert, at)


def _fires_on(record: AlertRecord, alert: Alert, at: datetime) -> AlertRecord:
    """The end that came at the same moment was none; a later one, whatever the clocks say, will be."""
    known = alert.starts_at <= record.newest_start
    starts_at = min(record.starts_at, alert.starts_at) if known else alert.starts_at
    return record._replace(
        generation=record.generation if known else record.generation + 1,
        starts_at=starts_at,
        newest_start=max(record.newest_start, alert.starts_at),
        ends_at=None,
        last_end=starts_at,
        seen_at=at,
        contested_at=None,
        contested_starts_at=None,
    )


def _ends(record: AlertRecord, alert: Alert, at: datetime) -> AlertRecord:
    end = alert.ends_at or alert.starts_at
    known = record.last_end is not None and end <= record.last_end
    if record.firing:
        told_before = known and record.last_end is not None and record.starts_at < record.last_end
        if end < record.starts_at or told_before:
            return record
    elif known:
        return record
    ended = record._replace(
        generation=max(record.generation, 1),
        ends_at=end,
        last_end=end,
        last_end_received_at=at,
        contested_at=None,
        contested_starts_at=None,
    )
    if record.newest_start <= end:
        return ended
    return ended._replace(contested_at=record.contested_at or at, contested_starts_at=record.newest_start)


def _absent(record: AlertRecord) -> AlertRecord:
    """A contest is over, and what it was about never was."""
    newest = record.newest_start if record.last_end is None else min(record.newest_start, record.last_end)
    heard = record.newest_start if record.firing else newest
    return record._replace(contested_at=None, contested_starts_at=None, newest_start=heard)


def _gone(record: AlertRecord, asked_at: datetime, at: datetime) -> AlertRecord:
    if not record.firing or record.seen_at > asked_at:
        return record
    latest = max(record.newest_start, record.last_end or record.newest_start) + timedelta.resolution
    return record._replace(ends_at=asked_at, last_end=latest, last_end_received_at=at)


def _confirmed(record: AlertRecord, alert: Alert, at: datetime) -> AlertRecord:
    if record.firing or record.last_end is None or alert.starts_at >= record.last_end:
        return _fires(record, alert, at)
    if record.contested_at is not None:
        return _fire_again(record, at)
    return _contest(record, alert, at)


def _contest(record: AlertRecord, alert: Alert, at: datetime) -> AlertRecord:
    return record._replace(
        contested_at=record.contested_at or at,
        contested_starts_at=min(record.contested_starts_at or alert.starts_at, alert.starts_at),
    )


def _fire_again(record: AlertRecord, at: datetime) -> AlertRecord:
    starts_at = record.contested_starts_at or record.starts_at
    return record._replace(
        generation=record.generation + 1,
        starts_at=starts_at,
        newest_start=max(record.newest_start, starts_at),
        ends_at=None,
        seen_at=at,
        contested_at=None,
        contested_starts_at=None,
    )
