"""What a freeze may be written like, and its edges: days, gaps, hours that come twice."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import yaml
from pydantic import ValidationError

from responder.decide.civil import instants
from responder.decide.freezes import Freeze, Period, in_force_until
from responder.engine.settings import EngineSettings
from responder.model.severity import Severity
from responder.rulebook.matchers import parse_matchers

BERLIN = ZoneInfo("Europe/Berlin")
MINUTE = timedelta(minutes=1)
A_DAY = timedelta(days=1)
GIVEN = {"name": "f", "when": "30 2 * * *", "duration": MINUTE, "reason": "r"}


@pytest.mark.parametrize(
    "changed",
    [
        {"name": ""},
        {"name": "x" * 101},
        {"reason": ""},
        {"duration": timedelta(0)},
        {"duration": timedelta(days=366, seconds=1)},
    ],
)
def test_a_freeze_that_would_be_none_or_for_ever_is_refused(changed: dict[str, object]) -> None:
    """It has a name that fits a line, a reason, and a time between nothing and a year."""
    Freeze.model_validate({**GIVEN, "name": "x" * 100, "duration": timedelta(days=366)})
    with pytest.raises(ValidationError):
        Freeze.model_validate({**GIVEN, **changed})


def test_a_date_is_a_whole_day_however_it_is_written() -> None:
    """As text it is a date, too, and its end is the end of that day."""
    day = Period.model_validate({"from": "2026-12-24", "to": "2026-12-24"})
    assert (day.first, day.last) == (datetime(2026, 12, 24), datetime(2026, 12, 25))  # noqa: DTZ001
    hour = Period.model_validate({"from": "2026-12-24T10:00", "to": "2026-12-24T11:00"})
    assert hour.last - hour.first == timedelta(hours=1)


def test_where_it_holds_is_told() -> None:
    """Without matchers it is everything."""
    assert Freeze.model_validate(GIVEN).scope == "everything"
    match = parse_matchers('namespace="prod", team="shop"')
    assert Freeze.model_validate({**GIVEN, "match": match}).scope == 'namespace="prod", team="shop"'


def berlin(duration: timedelta) -> Freeze:
    """Each night at half past two."""
    return Freeze.model_validate({**GIVEN, "timezone": "Europe/Berlin", "duration": duration})


def test_the_freezes_that_the_documentation_shows_are_read() -> None:
    """As they stand there: one that comes again, and one that comes once."""
    text = (Path(__file__).parents[2] / "docs" / "safety.md").read_text()
    block = next(one for one in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "freezes:" in one)
    nights, christmas = EngineSettings.model_validate(yaml.safe_load(block)["engine"]).freezes
    assert (nights.scope, nights.allow) == ('env="prod"', (Severity.P0,))
    friday = datetime(2026, 11, 20, 23, tzinfo=BERLIN)
    assert in_force_until(nights, friday) == datetime(2026, 11, 21, 6, tzinfo=BERLIN)
    assert in_force_until(nights, friday + A_DAY) is None
    last = datetime(2026, 12, 26, 23, 59, tzinfo=UTC)
    assert in_force_until(christmas, last) == last + MINUTE


def test_an_hour_that_comes_twice_freezes_twice_and_not_before() -> None:
    """At 02:30 before the clocks go back and after; in between it is over, and the second is not begun."""
    first, second = (datetime(2026, 10, 25, hour, 30, tzinfo=UTC) for hour in (0, 1))
    short = berlin(5 * MINUTE)
    assert in_force_until(short, first) == first + 5 * MINUTE
    assert in_force_until(short, first + 15 * MINUTE) is None
    assert in_force_until(short, second) == second + 5 * MINUTE
    long = berlin(timedelta(hours=1))
    assert in_force_until(long, first + 30 * MINUTE) == second + timedelta(hours=1)


def test_a_freeze_that_follows_itself_is_followed_for_a_day() -> None:
    """Looked at when one of them begins, the next one begins a day later: that is where it stops."""
    midnight = datetime(2026, 6, 1, tzinfo=UTC)
    always = Freeze.model_validate({**GIVEN, "when": "0 0 * * *", "duration": A_DAY})
    assert in_force_until(always, midnight) == midnight + A_DAY
    assert in_force_until(always, midnight + MINUTE) == midnight + 2 * A_DAY


@pytest.mark.parametrize("minute", [0, 17, 30, 59])
def test_what_is_left_out_is_when_the_clocks_go_forward(minute: int) -> None:
    """To the second, wherever in the hour that does not come it would have been."""
    wall = datetime(2026, 3, 29, 2, minute, 13)  # noqa: DTZ001 - a clock on the wall
    assert instants(wall, BERLIN) == (datetime(2026, 3, 29, 1, tzinfo=UTC),)
    twice = datetime(2026, 10, 25, 2, minute, 13)  # noqa: DTZ001 - a clock on the wall
    assert instants(twice, BERLIN) == tuple(
        datetime(2026, 10, 25, hour, minute, 13, tzinfo=UTC) for hour in (0, 1)
    )
    once = datetime(2026, 6, 1, 2, minute, 13)  # noqa: DTZ001 - a clock on the wall
    assert instants(once, BERLIN) == (datetime(2026, 6, 1, 0, minute, 13, tzinfo=UTC),)
