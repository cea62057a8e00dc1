"""The one clock that nobody sets: seconds since the machine started, its sleep included."""

import time


def boottime() -> float:
    """Seconds of CLOCK_BOOTTIME: it never jumps, and goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
