"""How much was tried: the counts of a run, and what a long one must reach for its verdict to mean much."""

from collections import Counter
from collections.abc import Mapping, Sequence

from tests.chaos.check import Told, cut_attempts, takeovers
from tests.chaos.faults import Fault, Kind
from tests.chaos.records import Records

GOALS: Mapping[str, float] = {
    "effects": 500,
    "kills and pauses": 200,
    "kills between intent and outcome": 50,
    "pauses longer than the lease": 20,
    "takeovers": 100,
}
"""What a run of `LONG_S` seconds reaches."""
LONG_S = 600

Counts = Mapping[str, float]


def tally(told: Told, left: Records) -> Counts:
    """Every count, by its name in the summary."""
    kinds = Counter(fault.kind for fault in told.faults)
    taken = takeovers(told.faults, left)
    cut = cut_attempts(left)
    return {
        "acknowledged alerts": len(told.acknowledged),
        "incidents": len(left.incidents),
        "attempts": len(left.attempts),
        "disruptive starts": len(left.starts),
        "effects": len(left.effects),
        "kills and pauses": sum(kinds[kind] for kind in (Kind.KILL, Kind.PAUSE, Kind.LONG_PAUSE)),
        "kills": kinds[Kind.KILL],
        "kills between intent and outcome": len(_inside(told.faults, left)),
        "pauses": kinds[Kind.PAUSE] + kinds[Kind.LONG_PAUSE],
        "pauses longer than the lease": kinds[Kind.LONG_PAUSE],
        "graceful stops": kinds[Kind.TERM],
        "connections cut, stalled or slow": sum(
            kinds[kind] for kind in (Kind.CUT, Kind.STALL, Kind.STALL_ANSWERS, Kind.DELAY)
        ),
        "restarts of the store": kinds[Kind.CRASH_STORE] + kinds[Kind.RESTART_STORE],
        "moves of the clock": kinds[Kind.CLOCK],
        "words at the pager": len({one.key for one in left.heard}),
        "of these told again": len(left.heard) - len({one.key for one in left.heard}),
        "halts": kinds[Kind.HALT],
        "takeovers": len(taken),
        "slowest takeover, s": round(max((seconds for _, seconds in taken), default=0.0), 1),
        "attempts cut between intent and outcome": len(cut),
        "of these unknown": sum(1 for attempt in cut if attempt.outcome == "unknown"),
        "attempts of unknown outcome": sum(1 for attempt in left.attempts if attempt.outcome == "unknown"),
    }


def _inside(faults: Sequence[Fault], left: Records) -> Sequence[Fault]:
    """The kills of a process that had committed an intent and recorded no outcome."""
    return [fault for fault in faults if fault.kind is Kind.KILL and _was_inside(fault, left)]


def _was_inside(fault: Fault, left: Records) -> bool:
    return any(
        attempt.ats
        and attempt.owners[0] is not None
        and left.pids.get(attempt.owners[0]) == fault.pid
        and attempt.ats[0] <= fault.began
        and (len(attempt.ats) == 1 or attempt.ats[-1] > fault.began)
        for attempt in left.attempts
    )


def short_of(counts: Counts) -> tuple[str, ...]:
    """The goals that were not reached, in words."""
    return tuple(
        f"{name}: {counts[name]:g}, and a run of {LONG_S} s must reach {goal:g}"
        for name, goal in GOALS.items()
        if counts[name] < goal
    )


def table(counts: Counts) -> str:
    """One line for each count."""
    width = max(map(len, counts))
    return "\n".join(f"  {name:<{width}}  {count:>8g}" for name, count in counts.items())
