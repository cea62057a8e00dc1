"""Freezes in civil time: as a clock on the wall shows it, also on the days on which it is changed."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from responder.decide.freezes import Freeze, Period, in_force_until

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu")
MINUTE = timedelta(minutes=1)
SPRING, AUTUMN = datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)
"""The days on which Berlin changes its clocks, at 01:00 UTC."""


def freeze(when: str, duration: timedelta, zone: str = "Europe/Berlin") -> Freeze:
    return Freeze(name="f", when=when, timezone=zone, duration=duration, reason="r")


def shows(at: datetime, at_minutes: set[int], hour: int | None, zone: ZoneInfo) -> bool:
    """Whether the clock on the wall shows it in this minute, or is put forward over it."""
    local, before = at.astimezone(zone), (at - MINUTE).astimezone(zone)
    here, there = local.replace(tzinfo=None), before.replace(tzinfo=None)
    passed = [there + step * MINUTE for step in range(1, 1 + max(1, (here - there) // MINUTE))]
    return any(wall.minute in at_minutes and hour in {None, wall.hour} for wall in passed)


@given(
    zone=st.sampled_from(ZONES),
    day=st.sampled_from(
        [SPRING, AUTUMN, datetime(2026, 4, 5, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)]
    ),
    at=st.integers(-12 * 60, 36 * 60),
    at_minutes=st.sets(st.integers(0, 59), min_size=1, max_size=2),
    hour=st.none() | st.integers(0, 23),
    minutes=st.integers(1, 300),
)
@example(zone="Europe/Berlin", day=AUTUMN, at=80, at_minutes={10, 50}, hour=2, minutes=20)
@example(zone="Europe/Berlin", day=SPRING, at=61, at_minutes={30}, hour=2, minutes=60)
def test_a_freeze_is_in_force_for_its_time_from_each_begin_and_not_else(
    zone: str, day: datetime, at: int, at_minutes: set[int], hour: int | None, minutes: int
) -> None:
    """Against the clock itself, minute by minute: in force is whatever began less than its duration ago."""
    now, length, where = day + at * MINUTE, minutes * MINUTE, ZoneInfo(zone)
    cron = f"{','.join(map(str, sorted(at_minutes)))} {'*' if hour is None else hour} * * *"
    begun = [step for step in range(minutes) if shows(now - step * MINUTE, at_minutes, hour, where)]
    until = in_force_until(freeze(cron, length, zone), now)
    assert (until is not None) == bool(begun)
    if until is not None:
        assert until >= now - begun[0] * MINUTE + length
        assert in_force_until(freeze(cron, length, zone), until - MINUTE) is not None


@pytest.mark.parametrize(
    ("when", "begins", "ends"),
    [
        ({"from": "2026-03-29 02:30", "to": "2026-03-29 04:00"}, "01:00", "02:00"),
        ({"from": "2026-03-29 00:00", "to": "2026-03-29 02:30"}, "23:00", "01:00"),
        ({"from": "2026-10-25 02:30", "to": "2026-10-25 04:00"}, "00:30", "03:00"),
        ({"from": "2026-10-25 00:00", "to": "2026-10-25 02:30"}, "22:00", "01:30"),
        ({"from": date(2026, 12, 24), "to": date(2026, 12, 24)}, "23:00", "23:00"),
    ],
    ids=["begins in the gap", "ends in the gap", "begins in the fold", "ends in the fold", "a day"],
)
def test_a_period_in_the_gap_or_the_fold(when: dict[str, object], begins: str, ends: str) -> None:
    """What is left out counts when the clocks go forward; of two hours the freeze takes the longer way."""
    one = Freeze(name="f", when=Period.model_validate(when), timezone="Europe/Berlin", reason="r")
    assert isinstance(one.when, Period)
    middle = one.when.first + (one.when.last - one.when.first) / 2
    inside = middle.replace(tzinfo=UTC) - timedelta(hours=1, minutes=30)
    until = in_force_until(one, inside)
    assert until is not None
    assert f"{until:%H:%M}" == ends
    first = inside
    while in_force_until(one, first - MINUTE) is not None:
        first -= MINUTE
    assert f"{first:%H:%M}" == begins
    assert in_force_until(one, until) is None


def test_what_begins_again_before_its_end_lasts_on() -> None:
    """Every hour for two hours is always; it is followed for a day, and no further."""
    now = datetime(2026, 6, 1, 12, 30, tzinfo=UTC)
    until = in_force_until(freeze("0 * * * *", timedelta(hours=2), "UTC"), now)
    assert until is not None
    assert timedelta(hours=24) <= until - now <= timedelta(hours=27)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"when": "0 22 * *"}, "five fields"),
        ({"when": "0 25 * * *"}, "no cron expression"),
        ({"when": "0 0 30 2 *"}, "no cron expression"),
        ({"timezone": "Berlin"}, "no time zone"),
        ({"duration": None}, "`duration` belongs to a cron expression"),
        ({"when": {"from": "2026-12-24", "to": "2026-12-23"}, "duration": None}, "`to` is not after `from`"),
        (
            {"when": {"from": "2026-12-24 10:00Z", "to": "2026-12-25"}, "duration": None},
            "without Z or offset",
        ),
    ],
)
def test_a_freeze_that_is_written_wrongly_says_where(changed: dict[str, object], words: str) -> None:
    """A freeze that never comes must not look like one."""
    given = {"name": "f", "when": "0 22 * * *", "duration": "2h", "reason": "r", **changed}
    with pytest.raises(ValidationError, match=words):
        Freeze.model_validate(given)
