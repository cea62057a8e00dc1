"""The check of the crash tests: a good world passes, and each way to break a promise is found by itself."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from responder.crash_points import Point
from tests.crash.check import Acknowledged, violations
from tests.crash.ledger import Kept, Ledgered, Standing
from tests.crash.run import DEATHS
from tests.support.witness import Ended, Executed, Seen, seen

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
ATTEMPT = UUID(int=7)
SESSION = (4711, START - timedelta(minutes=10))
LABELS = {"alertname": "Stuck", "server": "a"}
LOG = f"""\
2026-01-01 12:00:01.250 UTC [99] postgres@other responder LOG:  statement: select 1
2026-01-01 12:00:01.500 UTC [17] postgres@orders responder LOG:  execute __stmt_1__: /* responder attempt {ATTEMPT} */
\tSELECT pg_terminate_backend(a.pid) AS signalled
\t  FROM pg_stat_activity AS a
2026-01-01 12:00:01.500 UTC [17] postgres@orders responder DETAIL:  Parameters: $1 = '4711', $2 = '2026-01-01 11:50:00+00'
2026-01-01 12:00:01.501 UTC [4711] reporting@orders [unknown] FATAL:  terminating connection due to administrator command
2026-01-01 12:00:01.501 UTC [4711] reporting@orders [unknown] STATEMENT:  select pg_sleep(600)
2026-01-01 12:00:01.502 UTC [17] postgres@orders responder ERROR:  canceling statement due to user request
2026-01-01 12:00:01.600 UTC [18] x@other y FATAL:  terminating connection due to administrator command
"""  # noqa: E501 - a log's lines are as long as they are

_CANCELLED = "ERROR:  canceling statement due to user request"

World = tuple[list[Acknowledged], Seen, Kept]


def a_good_world() -> World:
    """One alert, one incident of it, one attempt that ended one session, and a person who knows."""
    attempt = Ledgered(
        id=ATTEMPT,
        target="postgres/orders",
        sessions=frozenset({SESSION}),
        outcomes={SESSION: "done"},
        outcome="done",
        committed_at=START + timedelta(seconds=1),
        start_before=START + timedelta(seconds=2),
        timeout_s=1.0,
        over_at=START + timedelta(seconds=9),
    )
    incident = Standing(
        id=UUID(int=1),
        rule="StuckQuery",
        state="escalated",
        deadline=START + timedelta(hours=1),
        due_at=START + timedelta(hours=1),
        told=("opened", "intent", "effect", "state", "escalation"),
    )
    kept = Kept(
        now=START + timedelta(minutes=1),
        journaled=[(LABELS, "StuckQuery")],
        attempts=[attempt],
        incidents=[incident],
        claims={"postgres/kept": True},
        words=[(UUID(int=1), True)],
    )
    return [Acknowledged(LABELS, "StuckQuery")], seen(LOG, "orders"), kept


def with_attempt(kept: Kept, **changed: object) -> Kept:
    """The same with another attempt."""
    return replace(kept, attempts=[replace(kept.attempts[0], **changed)])  # type: ignore[arg-type]


def with_another(kept: Kept, second: float) -> Kept:
    """The same with a further attempt on the target, committed then, that found nothing to end."""
    (first,) = kept.attempts
    at = START + timedelta(seconds=second)
    further = replace(
        first, id=UUID(int=8), committed_at=at, outcome="not_done", outcomes={SESSION: "not_done"}
    )
    return replace(kept, attempts=[first, further])


def with_incident(kept: Kept, **changed: object) -> Kept:
    """The same with another incident."""
    return replace(kept, incidents=[replace(kept.incidents[0], **changed)])  # type: ignore[arg-type]


def ran_at(second: float) -> Seen:
    """The effect, at another time."""
    at = START + timedelta(seconds=second)
    return Seen((Executed(ATTEMPT, *SESSION, at),), (Ended(SESSION[0], at),))


SPOILT: list[tuple[Callable[[Seen, Kept], tuple[Seen, Kept]], str]] = [
    (lambda s, k: (s, replace(k, journaled=())), "not in the journal"),
    (lambda s, k: (s, replace(k, journaled=[(LABELS, None)])), "in no incident of StuckQuery"),
    (lambda s, k: (s, replace(k, attempts=())), "which is not in the ledger"),
    (lambda s, k: (Seen((*s.executed, *s.executed), s.ended), k), "ran 2 times on session"),
    (lambda _, k: (ran_at(0.9), k), "its intent was committed at"),
    (lambda s, k: (s, with_attempt(k, committed_at=None)), "its intent was committed at None"),
    (lambda _, k: (ran_at(3.1), k), "later than"),
    (lambda s, k: (Seen(s.executed, (*s.ended, Ended(1, START))), k), "no attempt did it"),
    (lambda s, k: (s, with_attempt(k, sessions=frozenset())), "which its intent does not name"),
    (lambda s, k: (s, with_attempt(k, outcome="started")), "never got an outcome"),
    (lambda s, k: (s, with_attempt(k, outcomes={SESSION: "not_done"})), "said not to have ended session"),
    (lambda s, k: (Seen(s.executed, ()), k), "said to have ended session"),
    (lambda s, k: (s, with_attempt(k, outcomes={})), "says nothing of"),
    (lambda s, k: (s, with_another(k, 8)), "began while"),
    (lambda s, k: (s, with_another(with_attempt(k, over_at=None), 10)), "held postgres/orders"),
    (lambda s, k: (s, replace(k, claims={"postgres/orders": False})), "nobody can release it"),
    (lambda s, k: (s, with_incident(k, state="verifying")), "did not come to rest"),
    (lambda s, k: (s, with_incident(k, told=("opened",))), "has no escalation"),
    (lambda s, k: (s, with_incident(k, deadline=START)), "past its deadline"),
    (lambda s, k: (s, replace(k, words=())), "nobody was told"),
    (lambda s, k: (s, replace(k, words=[(UUID(int=1), False)])), "nobody was told"),
    (lambda s, k: (s, replace(k, words=[*k.words, (UUID(int=1), False)])), "never reached its channel"),
]


def test_a_good_world_has_no_violation() -> None:
    """What was acknowledged is kept, what was done stands in the ledger, a quarantine may stay."""
    acknowledged, seen_there, kept = a_good_world()
    assert violations(acknowledged, seen_there, kept) == ()
    assert violations(acknowledged, seen_there, with_another(kept, 10)) == ()


@pytest.mark.parametrize(("spoil", "word"), SPOILT, ids=[word for _, word in SPOILT])
def test_each_broken_promise_is_found(spoil: Callable[[Seen, Kept], tuple[Seen, Kept]], word: str) -> None:
    """One thing is not as it must be: one violation, which says what."""
    acknowledged, seen_there, kept = a_good_world()
    (found,) = violations(acknowledged, *spoil(seen_there, kept))
    assert word in found


def test_the_log_is_read_for_one_database() -> None:
    """Statements of several lines, their parameters, and who was ended; other databases' are not ours."""
    assert seen(LOG, "orders") == Seen(
        (Executed(ATTEMPT, *SESSION, START + timedelta(seconds=1.5)),),
        (Ended(4711, START + timedelta(seconds=1.501)),),
    )


def test_a_query_of_the_stuck_that_was_cancelled_counts_as_ended() -> None:
    """A safe step cancels and ends no session: the log tells it by an error of whoever was stuck."""
    cancelled = LOG.replace("FATAL:  terminating connection due to administrator command", _CANCELLED)
    assert seen(cancelled, "orders").ended == (Ended(4711, START + timedelta(seconds=1.501)),)


def test_no_crash_point_is_left_out() -> None:
    """Each point of the product is a death of `make crash`."""
    died_at = {step.partition(":")[0] for death in DEATHS.values() for step in death.points}
    assert died_at == set(Point)
