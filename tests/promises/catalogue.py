"""The promises in words, in the order of their numbers. Each has one test, whose name begins with its number.

What a promise means in detail stands in docs/safety.md; the test's docstring is what it proves of it.
"""

from collections.abc import Mapping

PROMISES: Mapping[int, str] = {
    1: "2xx only after COMMIT",
    2: "overload is answered with 503 within 1 s at admission, never with 4xx or 2xx",
    3: "duplicates, reordering and several Alertmanager peers converge to one incident",
    4: "lost notifications heal by reconcile",
    5: "a stream's position commits with the journal",
    6: "a poison record, field or row goes to the dead letters with its reason; the rest of the batch lives",
    7: "at most one start for each intent and element; after a crash probe or escalate",
    8: "a deposed owner starts nothing",
    9: "budgets hold over all replicas",
    10: "one attempt at a time for each target, from intent to verdict",
    11: "an empty set of targets or an over-large set of elements is refused",
    12: "floors come from fresh reads",
    13: "halt stops all replicas within 5 s, and an unreadable halt counts as halted",
    14: "PostgreSQL away: no action starts, and a P0 still pages",
    15: "a dead worker's incidents are taken over within 30 s",
    16: "no state is for ever: each has a deadline, whose move is told to a person",
    17: "no data is not recovery, and recovery has to last `stable_for`",
    18: "the timeline is an append-only, keyed chain anchored outside, and nothing stored holds a secret",
    19: "a jump of the wall clock changes nothing",
    20: "a storm of 100,000 alerts: none lost, under 512 MB, P0 decided within 5 s",
    21: "a full disk, a hung API or a slow Prometheus degrades only what needs it",
}


def prefix(number: int) -> str:
    """How the name of a promise's test begins."""
    return f"test_promise_{number:02}_"
