"""Freezes that come again or stand in the calendar: whether one is in force at a moment of civil time.

This is the one thing beside schedules that reads civil time. An hour that comes twice, when the clocks go
back, freezes twice; what would begin or end in an hour that is left out does so when the clocks go forward.
A freeze that begins again before its end lasts to the end of the last one.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from responder.model.base import Frozen
from responder.model.duration import Duration
from responder.model.matcher import Matcher
from responder.model.severity import Severity

_CRON_FIELDS = 5
_A_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)
_LONGEST = timedelta(days=366)


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone; write one like Europe/Berlin or UTC") from None
    return name


def _cron(text: str) -> str:
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


def _civil(value: Any) -> Any:
    """YAML has read `2026-12-24` as a date; with an offset nobody could say which time zone is meant."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value) if len(value) > len("2026-12-24") else date.fromisoformat(value)
    if isinstance(value, datetime) and value.tzinfo is not None:
        raise ValueError("write it without Z or offset: it is civil time in `timezone`")
    return value


Civil = Annotated[datetime | date, BeforeValidator(_civil)]
"""What a clock on the wall shows, without a zone. A date is the whole day."""


class Period(Frozen):
    """Once, from a moment to a moment. A date in `to` is frozen to its end."""

    begins: Civil = Field(alias="from")
    ends: Civil = Field(alias="to")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.last <= self.first:
            raise ValueError("`to` is not after `from`")
        return self

    @property
    def first(self) -> datetime:
        """Where the clock on the wall stands when it begins."""
        return self.begins if isinstance(self.begins, datetime) else datetime.combine(self.begins, time.min)

    @property
    def last(self) -> datetime:
        """Where it stands when it is over."""
        if isinstance(self.ends, datetime):
            return self.ends
        return datetime.combine(self.ends, time.min) + _A_DAY


class Freeze(Frozen):
    """Nothing that changes something starts in its time, where the matchers may hold, but for `allow`."""

    name: str = Field(min_length=1, max_length=100)
    when: Annotated[str, AfterValidator(_cron)] | Period
    """A cron expression of five fields for each begin, or a period."""
    timezone: Annotated[str, AfterValidator(_zone)] = "UTC"
    duration: Duration | None = Field(default=None, gt=timedelta(0), le=_LONGEST)
    """How long it lasts from each begin of a cron expression, as time goes by."""
    match: tuple[Matcher, ...] = ()
    allow: tuple[Severity, ...] = ()
    reason: str = Field(min_length=1)

    @model_validator(mode="after")
    def _has_an_end(self) -> Self:
        if isinstance(self.when, Period) == (self.duration is not None):
            raise ValueError("`duration` belongs to a cron expression in `when`, and to nothing else")
        return self

    @property
    def zone(self) -> ZoneInfo:
        """Whose civil time it is in."""
        return ZoneInfo(self.timezone)

    @property
    def scope(self) -> str:
        """Where it holds, in words."""
        return ", ".join(str(matcher) for matcher in self.match) or "everything"


def in_force_until(freeze: Freeze, at: datetime) -> datetime | None:
    """When a freeze that is in force ends; None where it is not.

    One that begins again and again without a gap is followed for a day.
    """
    zone = freeze.zone
    if isinstance(freeze.when, Period):
        begin, end = instants(freeze.when.first, zone)[0], instants(freeze.when.last, zone)[-1]
        return end if begin <= at < end else None
    length = freeze.duration or timedelta(0)
    begin_or_none = _last_begin(freeze.when, zone, at)
    if begin_or_none is None or at >= begin_or_none + length:
        return None
    begin, end = begin_or_none, begin_or_none + length
    while end < at + _A_DAY and (again := _last_begin(freeze.when, zone, end)) is not None and again > begin:
        begin, end = again, again + length
    return end


def _last_begin(cron: str, zone: ZoneInfo, at: datetime) -> datetime | None:
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
