"""Claims about episodes that are put together from samples of Prometheus's ALERTS series."""

from datetime import UTC, datetime, timedelta

from responder.clients.prometheus import POINTS_AT_MOST, Series
from responder.sources.past import Episode, Episodes, spans

MINUTE = 60.0
LABELS = {"alertname": "Slow", "pod": "a"}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def firing(*minutes: int, labels: dict[str, str] | None = None) -> Series:
    written = {"__name__": "ALERTS", "alertstate": "firing", **(labels or LABELS)}
    return Series(written, tuple((minute * MINUTE, 1.0) for minute in minutes))


def active(*minutes: int, since: float) -> Series:
    values = tuple((minute * MINUTE, since * MINUTE) for minute in minutes)
    return Series({"__name__": "ALERTS_FOR_STATE", **LABELS}, values)


def told(*parts: tuple[list[Series], list[Series]], until: int = 100) -> list[tuple[float, float | None]]:
    together = Episodes(0.0, MINUTE)
    found: list[Episode] = []
    for part in parts:
        found += together.hear(*part)
    found += together.over(until * MINUTE)
    assert all(one.labels == LABELS for one in found)
    return [
        (
            (one.starts_at - EPOCH) / timedelta(minutes=1),
            None if one.ends_at is None else (one.ends_at - EPOCH) / timedelta(minutes=1),
        )
        for one in found
    ]


def test_a_hole_between_samples_ends_an_episode() -> None:
    """It ends a step after its last sample, and the next sample begins another one."""
    assert told(([firing(5, 6, 7, 10, 11)], [])) == [(5, 8), (10, 12)]


def test_an_alert_that_ended_and_fired_anew_between_two_samples_has_two_episodes() -> None:
    """There is no hole, but it has been active since another moment."""
    known = [active(5, 6, since=3), active(7, 8, since=6.5)]
    merged = Series(known[0].labels, known[0].values + known[1].values)
    assert told(([firing(5, 6, 7, 8)], [merged])) == [(5, 7), (7, 9)]


def test_an_episode_goes_on_from_one_part_of_the_past_to_the_next() -> None:
    """Where a part ends nothing ends."""
    assert told(([firing(8, 9)], []), ([firing(10, 11)], [])) == [(8, 12)]


def test_what_the_past_begins_with_began_when_it_became_active() -> None:
    """What fired before the first sample did not begin with it; another one did."""
    assert told(([firing(0, 1)], [active(0, 1, since=-30)])) == [(-30, 2)]
    assert told(([firing(5, 6)], [active(5, 6, since=2)])) == [(5, 7)]


def test_what_has_a_sample_at_the_end_fires_still() -> None:
    """Its end is not known; that of an alert with its last sample before is."""
    assert told(([firing(99, 100)], [])) == [(99, None)]
    assert told(([firing(97, 98)], [])) == [(97, 99)]


def test_the_past_is_asked_for_in_parts_that_prometheus_answers() -> None:
    """No part has more points than it gives, none is asked for twice, and none is left out."""
    for step in (timedelta(seconds=1), timedelta(seconds=7), timedelta(minutes=1), timedelta(days=3)):
        since, until = datetime(2026, 10, 1, 3, 0, 2, tzinfo=UTC), datetime(2026, 10, 31, 4, tzinfo=UTC)
        parts = spans(since, until, step)
        moments = [begin for begin, _ in parts]
        assert all((end - begin) / step + 1 <= POINTS_AT_MOST for begin, end in parts)
        assert all(end - begin <= timedelta(days=1) or begin == end for begin, end in parts)
        assert [end + step for _, end in parts][:-1] == moments[1:]
        assert since <= moments[0] < since + step
        assert until - step < parts[-1][1] <= until


def test_the_same_moments_are_asked_for_whenever_it_is() -> None:
    """They are multiples of the step: an import that comes later finds the same episodes."""
    until = datetime(2026, 10, 31, 4, tzinfo=UTC)
    step = timedelta(minutes=1)
    asked = {spans(until - timedelta(days=1, seconds=n), until, step)[-1][1] for n in range(50)}
    assert len(asked) == 1
