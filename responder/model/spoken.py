"""Moments and durations as people are told them: nobody at night reads milliseconds."""

from datetime import UTC, datetime, timedelta

from responder.model.duration import format_duration

_SECOND = timedelta(seconds=1)


def span(value: timedelta) -> str:
    """A duration in whole seconds, from one second up."""
    return format_duration(value if value < _SECOND else timedelta(seconds=value // _SECOND))


def moment(at: datetime, now: datetime, *, seconds: bool = True) -> str:
    """A time of day in UTC, with its date where that is not today's."""
    at, today = at.astimezone(UTC), now.astimezone(UTC).date()
    date = "" if at.date() == today else f"{at:%Y-%m-%d} "
    return f"{date}{at:%H:%M:%S} UTC" if seconds else f"{date}{at:%H:%M} UTC"
