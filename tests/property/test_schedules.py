"""Planned times against the clock itself, and what is made of them: each once, and never a burst."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from responder.decide.civil import next_planned
from responder.decide.schedules import COUNTED, SET_BACK, due, next_run
from responder.model.schedule import Plan

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia")
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)
DAYS = (
    datetime(2026, 3, 29, tzinfo=UTC),
    datetime(2026, 10, 25, tzinfo=UTC),
    datetime(2026, 4, 4, 12, tzinfo=UTC),
    datetime(2026, 11, 1, tzinfo=UTC),
    datetime(2011, 12, 30, tzinfo=UTC),  # a day that Apia left out
)
"""Days on which clocks are changed somewhere."""

crons = st.builds(
    lambda minutes, hours: f"{','.join(map(str, sorted(minutes)))} {hours} * * *",
    st.sets(st.integers(0, 59), min_size=1, max_size=3),
    st.one_of(st.just("*"), st.just("*/2"), st.integers(0, 23).map(str), st.just("1-3")),
)
moments = st.builds(lambda day, at: day + at * MINUTE, st.sampled_from(DAYS), st.integers(-26 * 60, 26 * 60))


def hours_of(field: str) -> set[int]:
    if field == "*":
        return set(range(24))
    if field == "*/2":
        return set(range(0, 24, 2))
    if "-" in field:
        first, last = field.split("-")
        return set(range(int(first), int(last) + 1))
    return {int(field)}


def plans(cron: str, at: datetime, zone: ZoneInfo) -> bool:
    """Whether something is planned for this minute, by looking at the clock: what it shows or passes."""
    minutes, hour = cron.split()[:2]
    wanted = {int(minute) for minute in minutes.split(",")}
    local, before = at.astimezone(zone), (at - MINUTE).astimezone(zone)
    here, there = local.replace(tzinfo=None), before.replace(tzinfo=None)
    passed = (there + step * MINUTE for step in range(1, 1 + (here - there) // MINUTE))
    walls = [here] if here <= there else list(passed)  # set back, it shows an earlier time again
    fits = [wall for wall in walls if wall.minute in wanted and wall.hour in hours_of(hour)]
    if not fits:
        return False
    second_time = local.fold == 1 and local.replace(fold=0).utcoffset() != local.utcoffset()
    return hour.startswith("*") or not second_time


@given(cron=crons, zone=st.sampled_from(ZONES), after=moments)
@example(cron="30 2 * * *", zone="Europe/Berlin", after=datetime(2026, 10, 25, 0, 30, tzinfo=UTC))
@example(cron="30 * * * *", zone="Europe/Berlin", after=datetime(2026, 10, 25, 0, 30, tzinfo=UTC))
@example(cron="30 2 * * *", zone="Europe/Berlin", after=datetime(2026, 3, 29, 0, 30, tzinfo=UTC))
@example(cron="0 */2 * * *", zone="Australia/Lord_Howe", after=datetime(2026, 4, 4, 13, 0, tzinfo=UTC))
@example(cron="0 12 * * *", zone="Pacific/Apia", after=datetime(2011, 12, 30, 9, 0, tzinfo=UTC))
def test_the_next_planned_time_is_the_first_minute_at_which_the_clock_says_so(
    cron: str, zone: str, after: datetime
) -> None:
    """Minute by minute over two days: no planned time is left out, and none is made up."""
    where = ZoneInfo(zone)
    minutes = (after.replace(second=0) + step * MINUTE for step in range(1, 50 * 60))
    expected = next((at for at in minutes if plans(cron, at, where)), None)
    if expected is not None:
        assert next_planned(cron, where, after) == expected


def planned_between(plan: Plan, after: datetime, until: datetime) -> list[datetime]:
    found, at = [], after
    while (at := next_run(plan, at)) <= until:
        found.append(at)
    return found


@given(
    cron=crons,
    zone=st.sampled_from(ZONES),
    begin=moments,
    looks=st.lists(st.tuples(st.integers(1, 900), st.booleans()), min_size=1, max_size=12),
    late=st.integers(1, 300),
)
@example(
    cron="30 2 * * *",
    zone="Europe/Berlin",
    begin=datetime(2026, 10, 24, 23, 0, tzinfo=UTC),
    looks=[(200, False)],
    late=300,
)
def test_each_planned_time_is_decided_once_and_at_most_one_run_is_made_at_a_look(
    cron: str, zone: str, begin: datetime, looks: list[tuple[int, bool]], late: int
) -> None:
    """However long nobody looks: run, skipped or missed, each once; what runs is the newest, not too late."""
    plan = Plan(schedule=cron, timezone=zone, run_late=late * MINUTE)
    decided_to, civil = begin, begin
    decided: list[datetime] = []
    for minutes, going in looks:
        civil += minutes * MINUTE + 7 * SECOND
        came = planned_between(plan, decided_to, civil)
        found = due(plan, decided_to, civil, going=going)
        assert (found is None) == (came == [])
        if found is None:
            continue
        gap = found.missed
        missed = [] if gap is None else planned_between(plan, gap.first - SECOND, gap.last)
        assert len(missed) == (0 if gap is None else gap.count)
        run = [] if found.run is None else [found.run]
        assert found.skips == (going and bool(run))
        assert all(civil - at <= plan.run_late for at in run)
        assert run or civil - came[-1] > plan.run_late
        decided += missed + run
        decided_to = found.decided_to
        assert due(plan, decided_to, civil, going=going) is None
    assert decided == planned_between(plan, begin, decided_to)


@given(back=st.integers(0, 400 * 24 * 60), cron=crons)
def test_a_clock_that_is_set_back_decides_nothing_a_second_time_or_plans_anew(back: int, cron: str) -> None:
    """By up to an hour it waits for its time to come again; by more the plan begins at the clock's time."""
    plan = Plan(schedule=cron, timezone="UTC", run_late=MINUTE)
    decided_to = DAYS[0]
    found = due(plan, decided_to, decided_to - back * MINUTE, going=False)
    if back * MINUTE <= SET_BACK:
        assert found is None
    else:
        assert found is not None
        assert (found.set_back, found.run, found.missed) == (True, None, None)
        assert found.decided_to == decided_to - back * MINUTE


def test_a_very_long_gap_is_not_counted_to_its_end() -> None:
    """A year of minutes costs as much as the first thousand, and the row says where the gap ends."""
    plan = Plan(schedule="* * * * *", timezone="UTC", run_late=MINUTE)
    found = due(plan, DAYS[0], DAYS[0] + timedelta(days=365), going=False)
    assert found is not None
    assert found.missed is not None
    assert found.missed.count == COUNTED
    assert found.missed.last == DAYS[0] + timedelta(days=365) - MINUTE
    assert found.run == DAYS[0] + timedelta(days=365)


@pytest.mark.parametrize(
    ("cron", "begin", "planned"),
    [
        ("30 2 * * *", "2026-10-24T12:00", ["2026-10-25T00:30", "2026-10-26T01:30"]),
        ("0 * * * *", "2026-10-24T23:10", ["2026-10-25T00:00", "2026-10-25T01:00", "2026-10-25T02:00"]),
        ("30 2 * * *", "2026-03-28T12:00", ["2026-03-29T01:00", "2026-03-30T00:30"]),
        ("*/30 * * * *", "2026-03-29T00:10", ["2026-03-29T00:30", "2026-03-29T01:00", "2026-03-29T01:30"]),
        ("0 7 * * *", "2026-03-28T12:00", ["2026-03-29T05:00", "2026-03-30T05:00"]),
    ],
)
def test_the_days_on_which_berlin_changes_its_clocks(cron: str, begin: str, planned: list[str]) -> None:
    """As docs/rules.md says: twice is once where hours are named; left out is the moment of the change."""
    at, found = datetime.fromisoformat(f"{begin}:00+00:00"), []
    for _ in planned:
        at = next_planned(cron, ZoneInfo("Europe/Berlin"), at)
        found.append(f"{at:%Y-%m-%dT%H:%M}")
    assert found == planned
