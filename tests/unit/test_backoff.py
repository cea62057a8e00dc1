"""How long is waited before another try: doubled, up to a longest wait, spread over its last fifth."""

from datetime import timedelta

import pytest

from responder.decide.backoff import backoff, lane_pause


@pytest.mark.parametrize(
    ("tries", "seconds"), [(0, 1), (1, 1), (2, 2), (3, 4), (8, 128), (9, 256), (10, 300), (1000, 300)]
)
def test_a_message_waits_twice_as_long_each_time(tries: int, seconds: int) -> None:
    """Up to five minutes; the jitter takes at most a fifth of it away."""
    whole = timedelta(seconds=seconds)
    assert backoff(tries, 1.0) == whole
    assert backoff(tries, 0.0) == 0.8 * whole
    assert backoff(tries, 0.5) == 0.9 * whole


@pytest.mark.parametrize(
    ("failures", "seconds"), [(0, 1), (1, 1), (2, 2), (3, 4), (5, 16), (6, 30), (1000, 30)]
)
def test_a_channel_pauses_at_most_half_a_minute(failures: int, seconds: int) -> None:
    """Whatever failed on it, it is tried again soon."""
    assert lane_pause(failures) == timedelta(seconds=seconds)
