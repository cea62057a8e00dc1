"""The past out of Prometheus: episodes put together from samples of its ALERTS series.

Prometheus writes a sample of `ALERTS{alertstate="firing"}` at each evaluation at which an alert fires, and
of `ALERTS_FOR_STATE` since when it has been active. So an episode is a run of samples without a hole, and as
long as it has been active since the same moment. When it began and ended is known to a step.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from responder.clients.prometheus import POINTS_AT_MOST, Prometheus, Series

FIRING = 'ALERTS{alertstate="firing"}'
ACTIVE_SINCE = "ALERTS_FOR_STATE"
_QUERY_AT_MOST = timedelta(days=1)
"""What is asked at once: a thousand alerts that fire all day are a few million samples."""
_OF_THE_SERIES = {"__name__", "alertstate"}
_A_HOLE = 1.5
"""Steps without a sample after which an alert fires no more."""

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Episode:
    """One interval in which an alert fired. `ends_at` is None where it fires still."""

    labels: Mapping[str, str]
    starts_at: datetime
    ends_at: datetime | None


@dataclass(slots=True)
class _Run:
    """Samples of one alert without a hole between them, in seconds since 1970."""

    began: float
    last: float
    active_since: float | None


@dataclass(slots=True)
class Episodes:
    """Puts episodes together from parts of the past, given in the order of time."""

    since: float
    step: float
    _open: dict[Labels, _Run] = field(default_factory=dict)

    def hear(self, firing: Iterable[Series], active: Iterable[Series]) -> Iterator[Episode]:
        """The next part. Gives the episodes that are known to be over by it."""
        active_since = {_labels(one.labels): dict(one.values) for one in active}
        for series in firing:
            labels = _labels(series.labels)
            since = active_since.get(labels, {})
            for at, _ in series.values:
                yield from self._sample(labels, at, since.get(at))

    def over(self, until: float) -> Iterator[Episode]:
        """What is left. What had a sample at the very end fires still."""
        for labels, run in self._open.items():
            fires = run.last + _A_HOLE * self.step > until
            yield self._episode(labels, run, fires=fires)
        self._open.clear()

    def _sample(self, labels: Labels, at: float, active_since: float | None) -> Iterator[Episode]:
        run = self._open.get(labels)
        if run is not None and self._goes_on(run, at, active_since):
            run.last = at
            return
        if run is not None:
            yield self._episode(labels, run)
        self._open[labels] = _Run(at, at, active_since)

    def _goes_on(self, run: _Run, at: float, active_since: float | None) -> bool:
        known = None not in (run.active_since, active_since)
        return at - run.last <= _A_HOLE * self.step and not (known and run.active_since != active_since)

    def _episode(self, labels: Labels, run: _Run, *, fires: bool = False) -> Episode:
        """It ended before the first step without a sample. What the past begins with began earlier."""
        began = run.began
        if began < self.since + self.step and run.active_since is not None:
            began = min(began, run.active_since)
        return Episode(dict(labels), _moment(began), None if fires else _moment(run.last + self.step))


def spans(since: datetime, until: datetime, step: timedelta) -> list[tuple[datetime, datetime]]:
    """The parts in which the past is asked for: from and to, both of them asked at.

    The moments are multiples of the step, whenever it is that somebody asks: so what is asked for again is
    the same. No part has more points than Prometheus answers.
    """
    width = step.total_seconds()
    points = max(1, min(POINTS_AT_MOST - 1, int(_QUERY_AT_MOST / step)))
    first, last = -int(-since.timestamp() // width), int(until.timestamp() // width)
    return [
        (_moment(begin * width), _moment(min(begin + points - 1, last) * width))
        for begin in range(first, last + 1, points)
    ]


async def asked(
    prometheus: Prometheus, begin: datetime, end: datetime, step: timedelta, within: timedelta
) -> tuple[tuple[Series, ...], tuple[Series, ...]]:
    """One part of the past: what fired, and since when it had been active.

    Raises:
        TemporaryError: Prometheus gives no usable answer.
        PermanentError: it refuses the query.
    """
    firing = await prometheus.query_range(FIRING, begin, end, step, within)
    if not firing:
        return (), ()
    return firing, await prometheus.query_range(ACTIVE_SINCE, begin, end, step, within)


def _labels(labels: Mapping[str, str]) -> Labels:
    return tuple(sorted((name, value) for name, value in labels.items() if name not in _OF_THE_SERIES))


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
