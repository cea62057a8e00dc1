"""How long to wait before something that failed is tried again. The jitter is an argument."""

from datetime import timedelta

_FIRST = timedelta(seconds=1)
_LONGEST = timedelta(minutes=5)
_LONGEST_PAUSE = timedelta(seconds=30)
_DOUBLINGS = 16
"""More change nothing: the longest wait is reached long before."""


def backoff(tries: int, jitter: float) -> timedelta:
    """Before the next try of one message that was tried so often: doubled each time, up to 5 minutes.

    `jitter` from 0 to 1 spreads it over the last fifth, so that what failed together does not come together.
    """
    wait = min(_FIRST * (1 << min(max(tries - 1, 0), _DOUBLINGS)), _LONGEST)
    return wait * (0.8 + 0.2 * jitter)


def lane_pause(failures: int) -> timedelta:
    """Before the next try of anything on a channel where so many tries in a row failed: up to 30 seconds."""
    return min(_FIRST * (1 << min(max(failures - 1, 0), _DOUBLINGS)), _LONGEST_PAUSE)
