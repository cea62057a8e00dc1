"""When an alert that we hold as firing is gone: nobody who must know has known it, several polls in a row.

A poll counts where every peer answered and could be believed. One that any peer knew, or that was heard of
since, counts anew; so does everything when another process takes over, because a count that was lost or
doubled on the way would be worse than two polls more.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from typing import NamedTuple


class Absences(NamedTuple):
    """How many polls in a row each open alert was unknown to all, and when the last of them asked."""

    polls: Mapping[str, int]
    counted_at: datetime | None = None


NOTHING_ABSENT = Absences({})


def after_poll(
    before: Absences,
    held: Mapping[str, datetime],
    known: AbstractSet[str],
    asked_at: datetime,
    *,
    believed: bool,
    apart: timedelta,
) -> Absences:
    """The absences after one more poll.

    `held` are the alerts that fire by our record, with when each was last heard of; `known` those that any
    peer knew. `believed`: every peer answered, and what it does not know is gone. Polls less than `apart`
    from the last one that counted do not count: three questions in a breath are one.
    """
    since = before.counted_at
    still = {
        fingerprint: polls
        for fingerprint, polls in before.polls.items()
        if fingerprint in held and fingerprint not in known and (since is None or held[fingerprint] <= since)
    }
    if not believed or (since is not None and asked_at < since + apart):
        return Absences(still, since)
    absent = {
        fingerprint: still.get(fingerprint, 0) + 1
        for fingerprint, heard_at in held.items()
        if fingerprint not in known and heard_at <= asked_at
    }
    return Absences(absent, asked_at)


def gone(absences: Absences, polls: int) -> frozenset[str]:
    """Those that were absent often enough."""
    return frozenset(fingerprint for fingerprint, count in absences.polls.items() if count >= polls)
