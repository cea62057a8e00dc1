"""Civil time: what a clock on the wall shows, in a time zone, on the days on which it is changed, too.

Freezes and schedules read it, and nothing else does. An hour that comes twice, when the clocks go back, is
there twice; what would stand in an hour that is left out stands at the moment at which they go forward.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

_CRON_FIELDS = 5
_A_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)
_HOUR_FIELD = 1


def zone_of(name: str) -> str:
    """The name of a time zone, as it was given. Raises ValueError where there is none of that name."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone; write one like Europe/Berlin or UTC") from None
    return name


def cron_of(text: str) -> str:
    """A cron expression of five fields that comes at some time. Raises ValueError for any other text."""
    if len(text.split()) != _CRON_FIELDS:
        fields = "minute, hour, day of month, month, day of week"
        raise ValueError(f"{text!r} is no cron expression: it needs five fields ({fields})")
    try:
        next(CronSim(text, datetime(2024, 1, 1)))  # noqa: DTZ001 - a wall clock without a zone
    except CronSimError as error:
        raise ValueError(f"{text!r} is no cron expression: {error}") from None
    except StopIteration:
        raise ValueError(f"{text!r} never comes") from None
    return text


def last_planned(cron: str, zone: ZoneInfo, at: datetime) -> datetime | None:
    """The last moment up to `at` at which the clock on the wall shows what the expression asks for."""
    offsets = [_offset(when, zone) for when in (at - _A_DAY, at)]  # the clocks may have changed in between
    least, most = (_wall(at, offset) for offset in (min(offsets), max(offsets)))
    found: datetime | None = None
    for wall in _back_from(cron, most):
        begun = [instant for instant in instants(wall, zone) if instant <= at]
        found = max([*begun, *([found] if found is not None else [])], default=None)
        if found is not None and wall <= least:
            break
    return found


def _back_from(cron: str, wall: datetime) -> Iterator[datetime]:
    return CronSim(cron, wall.replace(microsecond=0) + _SECOND, reverse=True)


def _wall(at: datetime, offset: timedelta) -> datetime:
    return (at.astimezone(UTC) + offset).replace(tzinfo=None)


def _offset(at: datetime, zone: ZoneInfo) -> timedelta:
    return at.astimezone(zone).utcoffset() or timedelta(0)


def instants(wall: datetime, zone: ZoneInfo) -> tuple[datetime, ...]:
    """When the clock on the wall shows this: once, twice, or, where it is left out, when it is passed."""
    one, other = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if one == other:
        return (one,)
    if one < other:
        return (one, other)
    return (_change_between(other, one, zone),)


def _change_between(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """The moment in which the clocks go forward."""
    old = _offset(before, zone)
    while after - before > _SECOND:
        middle = (before + (after - before) / 2).replace(microsecond=0)
        before, after = (middle, after) if _offset(middle, zone) == old else (before, middle)
    return after


def next_planned(cron: str, zone: ZoneInfo, after: datetime) -> datetime:
    """The next moment after this one for which an expression plans something, once for each time it names.

    An hour that comes twice counts once, the first time, where the expression names its hours. Where it does
    not (`*`, `*/2`) things are planned as time goes by, so both count: else there would be nothing for an
    hour.
    """
    twice = cron.split()[_HOUR_FIELD].startswith("*")
    least = min(_offset(when, zone) for when in (after - _A_DAY, after, after + _A_DAY))
    best: datetime | None = None
    for wall in CronSim(cron, _wall(after, least).replace(microsecond=0) - _SECOND):
        found = instants(wall, zone)
        if best is not None and found[0] >= best:
            return best
        later = [instant for instant in (found if twice else found[:1]) if instant > after]
        best = min([*later, *([best] if best is not None else [])], default=None)
    raise ValueError(f"{cron!r} never comes again")
