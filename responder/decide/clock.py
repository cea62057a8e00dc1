"""The database's wall clock, judged by a clock that nobody sets: whether it jumped, and which of the two did.

A process compares readings of the wall clock with its own CLOCK_BOOTTIME. One reading alone may turn out to
be a mistake, so nothing is moved for fewer than three that agree; but from the first one on the process goes
by its own clock (`believed`), and starts nothing. Then it asks what other processes see: where one of them
saw the same jump, or where there is nobody to ask, the wall clock jumped, and the offset of service time
takes it back. Where one that has watched for long enough saw nothing, this process's own clock is wrong.

Whoever has just started has nothing to compare with, so it asks first (`agreed`): it goes by no jump that the
others are still finding out about.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from responder.model.base import Frozen
from responder.model.duration import format_duration

NO_JUMP = timedelta(0)
LEAST_JUMP = timedelta(seconds=2)
"""Anything smaller is drift, or the way of the answer."""
WIDEST_BRACKET_S = 0.5
"""A reading that took longer says too little of when it was taken."""
_AGREEMENT = timedelta(seconds=1)
_ENOUGH = 3
ALONE_AFTER_S = 3.0
"""A process that lives says every second what it sees: for one that says nothing nobody waits longer."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Reading(Frozen):
    """The wall clock and the offset of service time, read between two looks at this process's own clock.

    `number` orders the readings of all processes; `before` and `after` are seconds of CLOCK_BOOTTIME.
    """

    number: int
    before: float
    after: float
    wall: datetime
    shift: timedelta
    """How far service time is ahead of the wall clock."""
    taken_back: timedelta
    """The part of it that took jumps back; whoever moves the rest means it."""

    @property
    def void(self) -> bool:
        """Whether it took too long to be compared."""
        return self.after - self.before > WIDEST_BRACKET_S

    @property
    def ahead_s(self) -> float:
        """Seconds by which the wall clock is ahead of this process's clock, at the middle of the bracket."""
        return (self.wall - _EPOCH).total_seconds() - (self.before + self.after) / 2


class Watched(Frozen):
    """What one process knows of the wall clock.

    `since` is the reading from which on it has watched without a break. `steady` is the newest reading that
    fits the ones before; `doubts` are those after it that do not, as far as they agree with each other: the
    first two and the newest.
    """

    since: int
    steady: Reading
    doubts: tuple[Reading, ...] = ()


class Witness(Frozen):
    """What another process last said of the wall clock: see `Watched.since`, `Reading.number` and `off`."""

    since: int
    number: int
    off: timedelta
    heartbeat_at: datetime


class ClockRuling(StrEnum):
    """What follows from the readings."""

    STEADY = "steady"
    UNSURE = "unsure"
    """Something jumped: too few readings, or another process has not said yet what it sees."""
    WALL = "wall"
    """The database's wall clock jumped: service time is to be kept by moving its offset."""
    OWN = "own"
    """This process's own clock jumped, or stood still: it has to go by the database's from now on."""


class Agreement(StrEnum):
    """What the others say of the wall clock to a process that has just started."""

    AGREED = "agreed"
    """It is as they know it, or there is nobody who could say anything else."""
    DOUBTED = "doubted"
    """One of them sees a jump that is not taken back yet."""
    UNHEARD = "unheard"
    """There are others, and none has spoken since."""


class ClockJump(Frozen):
    """A jump that was dealt with: whose clock it was, and how far it went."""

    ruling: ClockRuling
    by: timedelta


class Unsteady(Frozen):
    """Why no action may start for now, in words; `until` is missing where nobody knows yet."""

    reason: str
    until: datetime | None = None


def off(steady: Reading, reading: Reading) -> timedelta:
    """How far the wall clock jumped from one reading to another; 0 where it did not, or was taken back.

    A wide bracket says less: only what is beyond doubt counts.
    """
    jump_s = reading.ahead_s - steady.ahead_s + (reading.taken_back - steady.taken_back).total_seconds()
    doubt_s = (reading.after - reading.before) / 2
    return timedelta(seconds=jump_s) if abs(jump_s) - doubt_s > LEAST_JUMP.total_seconds() else NO_JUMP


def believed(watched: Watched | None, reading: Reading) -> datetime:
    """Service time as this process goes by it: no jump is followed before it is known whose it was."""
    jump = off(watched.steady, reading) if watched is not None else NO_JUMP
    return reading.wall + reading.shift - jump


def heard(watched: Watched | None, reading: Reading) -> Watched | None:
    """What is known after one more reading. A void one changes nothing."""
    if reading.void:
        return watched
    if watched is None:
        return Watched(since=reading.number, steady=reading)
    jump = off(watched.steady, reading)
    if jump == NO_JUMP:
        return Watched(since=watched.since, steady=reading)
    agree = all(_same(doubt, reading, watched.steady) for doubt in watched.doubts)
    doubts = (*watched.doubts[:2], reading) if agree else (reading,)
    return watched.model_copy(update={"doubts": doubts})


def rule_on(watched: Watched, others: Sequence[Witness], lease_time: timedelta) -> ClockRuling:
    """Whose clock jumped, by this process's readings and by what the others said after it.

    Only a process that watched before the jump can have seen it. One that is silent is waited for as long as
    its heartbeat counts.
    """
    if len(watched.doubts) < _ENOUGH:
        return ClockRuling.UNSURE if watched.doubts else ClockRuling.STEADY
    first, second, latest = watched.doubts
    jump = off(watched.steady, latest)
    old = [other for other in others if other.since <= watched.steady.number]
    fresh = [other for other in old if other.number > second.number]
    if any(_alike(other.off, jump) for other in fresh):
        return ClockRuling.WALL
    if any(other.off == NO_JUMP for other in fresh):
        return ClockRuling.OWN
    beats_since = believed(watched, latest) - lease_time
    awaited = any(other in fresh or other.heartbeat_at > beats_since for other in old)
    if awaited and latest.after - first.before < lease_time.total_seconds():
        return ClockRuling.UNSURE
    return ClockRuling.WALL


def agreed(first: Reading, latest: Reading, others: Sequence[Witness]) -> Agreement:
    """Whether a process that has just started may go by the wall clock that it reads since `first`.

    Only what was said after that reading tells anything of it.
    """
    if off(first, latest) != NO_JUMP:
        return Agreement.DOUBTED
    fresh = [other for other in others if other.number > first.number]
    if any(other.off != NO_JUMP for other in fresh):
        return Agreement.DOUBTED
    alone = not others or latest.after - first.before > ALONE_AFTER_S
    return Agreement.AGREED if fresh or alone else Agreement.UNHEARD


def told(jump: timedelta) -> str:
    """A jump in words: `ahead by 3h`."""
    way = "ahead" if jump > NO_JUMP else "back"
    return f"{way} by {format_duration(timedelta(seconds=round(abs(jump).total_seconds())))}"


def _same(doubt: Reading, reading: Reading, steady: Reading) -> bool:
    """Whether both tell of one jump: what was taken back in between was another one."""
    taken = doubt.taken_back != reading.taken_back
    return not taken and _alike(off(steady, doubt), off(steady, reading))


def _alike(one: timedelta, other: timedelta) -> bool:
    return one != NO_JUMP and abs(one - other) <= _AGREEMENT
