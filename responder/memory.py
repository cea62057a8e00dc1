"""How the C library keeps freed memory: a service that runs for months gives it back.

By itself glibc keeps an arena for each thread, and learns from one large body to keep all large pieces: after
an hour of large and hostile bodies a process would hold tens of megabytes more than it uses.
"""

import ctypes
import os

_LARGE = 64 * 1024
"""Bytes from which on a piece is memory of its own, given back when it is freed."""
_ARENAS = 2
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8


def give_back_freed_memory() -> None:
    """Set it for this process; once, before threads start. What the operator set in the environment stays."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return  # no glibc: other allocators give back by themselves
    if "MALLOC_ARENA_MAX" not in os.environ:
        mallopt(_M_ARENA_MAX, _ARENAS)
    if "MALLOC_MMAP_THRESHOLD_" not in os.environ:
        mallopt(_M_MMAP_THRESHOLD, _LARGE)
