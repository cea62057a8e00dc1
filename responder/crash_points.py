"""The moments between a delivery and its outcome at which a crash test ends this process.

Why they stand in the product: that no alert is lost and no action done twice is promised for a process that
dies at any moment, and only the code can say where one moment ends and the next begins. A test that aims from
outside hits them by luck. `make crash` starts the very service that ships, with one variable set.

`RESPONDER_CRASH_AT=intent_committed` kills this process with SIGKILL when it passes that point: no `finally`,
no flush, no answer. `element_ended:2` is the second time. Without the variable a point is one comparison.
"""

import os
import signal
from collections import Counter
from enum import StrEnum

VARIABLE = "RESPONDER_CRASH_AT"


class Point(StrEnum):
    """Each one with what is true when it is passed, in the order in which an alert passes them."""

    DELIVERY_DECODED = "delivery_decoded"
    """A delivery is understood, and nobody has it but this process."""
    INTAKE_WRITTEN = "intake_written"
    """Everything of a transaction of intake is written; COMMIT is next."""
    INTAKE_COMMITTED = "intake_committed"
    """It is stored, and no sender knows."""
    INCIDENT_LEASED = "incident_leased"
    """A worker owns an incident and has not looked at it."""
    CHANGE_RECORDED = "change_recorded"
    """A change that ends no attempt is stored, and nobody was told."""
    STEP_JUDGED = "step_judged"
    """Every guard lets a step go; no intent is written."""
    INTENT_WRITTEN = "intent_written"
    """The attempt and its claim are written; COMMIT is next. Passed only where an intent takes locks or a
    further look: of a safe step one statement mostly writes and commits all of it, without such a moment."""
    INTENT_COMMITTED = "intent_committed"
    """The attempt is in the ledger; nothing was done."""
    ELEMENT_ENDED = "element_ended"
    """The effect on one element is over; further ones may follow."""
    EFFECT_ENDED = "effect_ended"
    """All of an attempt is done; the ledger does not know."""
    OUTCOME_RECORDED = "outcome_recorded"
    """The ledger knows the outcome; nothing is verified."""
    VERIFICATION_READ = "verification_read"
    """A verification has read everything; what it means is not stored."""
    WORD_TAKEN = "word_taken"
    """A word to people is stored with its record and taken from the outbox; no channel has it."""
    WORD_SENT = "word_sent"
    """A channel has a word; the outbox does not know."""
    TARGET_ASKED = "target_asked"
    """After an earlier crash: the target said what became of an attempt; the ledger does not know."""


_wanted = os.environ.get(VARIABLE)
_passes: Counter[Point] = Counter()


def reached(point: Point) -> None:
    """End this process where the variable says so; otherwise nothing."""
    if _wanted is None:
        return
    _passes[point] += 1
    if (point, _passes[point]) == parsed(_wanted):
        os.kill(os.getpid(), signal.SIGKILL)


def wanted() -> str | None:
    """Where this process will end itself; None for every process that is no test's."""
    return _wanted


def parsed(text: str) -> tuple[Point, int]:
    """The point, and at which pass of it. Raises ValueError for what names none."""
    name, _, number = text.partition(":")
    passes = int(number or 1)
    if passes < 1:
        raise ValueError(f"{text}: passes are counted from 1")
    return Point(name), passes
