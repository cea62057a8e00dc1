"""Freezes that come again or stand in the calendar: whether one is in force at a moment of civil time.

An hour that comes twice freezes twice. A freeze that begins again before its end lasts to the end of the last
one.
"""

from datetime import date, datetime, time, timedelta
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from responder.decide.civil import cron_of, instants, last_planned, zone_of
from responder.model.base import Frozen
from responder.model.duration import Duration
from responder.model.matcher import Matcher
from responder.model.severity import Severity

_A_DAY = timedelta(days=1)
_LONGEST = timedelta(days=366)


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
    when: Annotated[str, AfterValidator(cron_of)] | Period
    """A cron expression of five fields for each begin, or a period."""
    timezone: Annotated[str, AfterValidator(zone_of)] = "UTC"
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
    begin_or_none = last_planned(freeze.when, zone, at)
    if begin_or_none is None or at >= begin_or_none + length:
        return None
    begin, end = begin_or_none, begin_or_none + length
    while end < at + _A_DAY and (again := last_planned(freeze.when, zone, end)) is not None and again > begin:
        begin, end = again, again + length
    return end
