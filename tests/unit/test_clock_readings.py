"""Readings of the wall clock, one by one: what is a jump, when readings agree, and whose word decides."""

from datetime import UTC, datetime, timedelta

import pytest

from responder.decide.clock import (
    NO_JUMP,
    Agreement,
    ClockRuling,
    Reading,
    Watched,
    Witness,
    agreed,
    believed,
    heard,
    off,
    rule_on,
    told,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
LEASE = timedelta(seconds=15)


def reading(
    number: int, boot: float, ahead: timedelta = NO_JUMP, width: float = 0.0, back: timedelta = NO_JUMP
) -> Reading:
    """Taken so many seconds after the start, while the wall clock is so far ahead."""
    return Reading(
        number=number,
        before=boot,
        after=boot + width,
        wall=START + timedelta(seconds=boot + width / 2) + ahead,
        shift=back,
        taken_back=back,
    )


STEADY = reading(1, 0)


def watched(*doubts: Reading) -> Watched:
    """What is known after the steady reading and these."""
    return Watched(since=1, steady=STEADY, doubts=doubts)


THREE = (reading(2, 1, HOUR), reading(3, 2, HOUR), reading(4, 3, HOUR))


def witness(off_by: timedelta, number: int = 5, since: int = 1, beat: float = 3) -> Witness:
    """What another process says."""
    return Witness(since=since, number=number, off=off_by, heartbeat_at=START + timedelta(seconds=beat))


def test_the_wall_is_compared_at_the_middle_of_the_bracket() -> None:
    """In seconds since 1970; half a second is still good enough, more says too little."""
    wide = Reading(number=1, before=10.0, after=10.5, wall=START, shift=NO_JUMP, taken_back=NO_JUMP)
    assert wide.ahead_s == START.timestamp() - 10.25
    assert not wide.void
    assert reading(1, 0, width=0.51).void


JUMPS = [
    (2 * SECOND, 0.0, NO_JUMP),
    (2.001 * SECOND, 0.0, 2.001 * SECOND),
    (-2 * SECOND, 0.0, NO_JUMP),
    (-2.001 * SECOND, 0.0, -2.001 * SECOND),
    (2.2 * SECOND, 0.5, NO_JUMP),
    (2.2 * SECOND, 0.3, 2.2 * SECOND),
    (-2.2 * SECOND, 0.3, -2.2 * SECOND),
]


@pytest.mark.parametrize(("ahead", "width", "jump"), JUMPS)
def test_only_what_is_beyond_doubt_is_a_jump(ahead: timedelta, width: float, jump: timedelta) -> None:
    """More than two seconds, and more by half the bracket."""
    assert abs(off(STEADY, reading(2, 5, ahead, width)) - jump) < timedelta(milliseconds=0.1)


def test_a_jump_that_was_taken_back_is_none() -> None:
    """The offset says by how much: what is left of the jump counts."""
    assert off(STEADY, reading(2, 5, HOUR, back=-HOUR)) == NO_JUMP
    assert off(STEADY, reading(2, 5, NO_JUMP, back=-HOUR)) == -HOUR
    assert off(reading(1, 0, HOUR, back=-HOUR), reading(2, 5, HOUR, back=-HOUR)) == NO_JUMP


def test_a_process_goes_by_its_own_clock_while_it_doubts() -> None:
    """Service time is the wall with the offset, less what jumped; who knows nothing takes it as it is."""
    jumped = reading(2, 5, HOUR)
    assert believed(watched(), jumped) == START + 5 * SECOND
    assert believed(None, jumped) == START + 5 * SECOND + HOUR
    assert believed(watched(), reading(2, 5, HOUR, back=-HOUR)) == START + 5 * SECOND


def test_what_is_heard_is_kept_as_far_as_it_agrees() -> None:
    """The first two doubts and the newest; what tells of another jump begins anew; a void one is nothing."""
    assert heard(None, STEADY) == Watched(since=1, steady=STEADY)
    assert heard(None, reading(1, 0, width=2.0)) is None
    one, two, three = THREE
    assert heard(watched(one), reading(9, 2, HOUR, width=0.6)) == watched(one)
    assert heard(watched(), one) == watched(one)
    assert heard(watched(one, two), three) == watched(one, two, three)
    four = reading(5, 4, HOUR)
    assert heard(watched(one, two, three), four) == watched(one, two, four)
    near, far = reading(3, 2, HOUR + SECOND), reading(3, 2, HOUR + 1.01 * SECOND)
    assert heard(watched(one), near) == watched(one, near)
    assert heard(watched(one), far) == watched(far)
    farther = reading(4, 3, HOUR + 1.5 * SECOND)
    assert heard(watched(one, near), farther) == watched(farther), "it has to agree with each of them"
    partly = reading(3, 2, 2 * HOUR, back=-HOUR)
    assert heard(watched(one), partly) == watched(partly), "another jump was taken back in between"
    calm = reading(6, 5)
    assert heard(watched(one, two), calm) == Watched(since=1, steady=calm)


def test_fewer_than_three_readings_decide_nothing() -> None:
    """One may be a mistake, two may be the same one."""
    assert rule_on(watched(), (), LEASE) is ClockRuling.STEADY
    assert rule_on(watched(THREE[0]), (), LEASE) is ClockRuling.UNSURE
    assert rule_on(watched(*THREE[:2]), (), LEASE) is ClockRuling.UNSURE
    assert rule_on(watched(*THREE), (), LEASE) is ClockRuling.WALL


WITNESSES = [
    ((witness(HOUR),), ClockRuling.WALL),
    ((witness(HOUR + SECOND),), ClockRuling.WALL),
    ((witness(NO_JUMP),), ClockRuling.OWN),
    ((witness(NO_JUMP), witness(HOUR)), ClockRuling.WALL),
    ((witness(NO_JUMP, since=2),), ClockRuling.WALL),
    ((witness(NO_JUMP, since=1, number=3),), ClockRuling.UNSURE),
    ((witness(NO_JUMP, since=1, number=4),), ClockRuling.OWN),
    ((witness(NO_JUMP, number=2, beat=-11.9),), ClockRuling.UNSURE),
    ((witness(NO_JUMP, number=2, beat=-12),), ClockRuling.WALL),
    ((witness(2 * HOUR),), ClockRuling.UNSURE),
    ((witness(2 * HOUR, beat=-100),), ClockRuling.UNSURE),
    ((witness(HOUR, number=3), witness(NO_JUMP, number=2)), ClockRuling.UNSURE),
]


@pytest.mark.parametrize(("others", "ruling"), WITNESSES)
def test_who_watched_before_and_spoke_after_the_second_doubt_is_believed(
    others: tuple[Witness, ...], ruling: ClockRuling
) -> None:
    """One that saw the same jump proves it, one that saw none disproves it; who is silent is waited for."""
    assert rule_on(watched(*THREE), others, LEASE) is ruling


def test_nobody_is_waited_for_longer_than_a_lease() -> None:
    """From the first doubt on; then the wall clock jumped, whoever is silent."""
    silent = (witness(2 * HOUR, number=99, beat=1000),)
    first, second = THREE[:2]
    almost = reading(4, 15.9, HOUR)
    assert rule_on(watched(first, second, almost), silent, LEASE) is ClockRuling.UNSURE
    late = reading(4, 16, HOUR)
    assert rule_on(watched(first, second, late), silent, LEASE) is ClockRuling.WALL


AGREEMENTS = [
    (reading(2, 1), (), Agreement.AGREED),
    (reading(2, 1, HOUR), (), Agreement.DOUBTED),
    (reading(2, 1), (witness(HOUR, number=2),), Agreement.DOUBTED),
    (reading(2, 1), (witness(NO_JUMP, number=2),), Agreement.AGREED),
    (reading(2, 1), (witness(HOUR, number=1),), Agreement.UNHEARD),
    (reading(2, 1), (witness(NO_JUMP, number=1),), Agreement.UNHEARD),
    (reading(2, 3.0), (witness(NO_JUMP, number=1),), Agreement.UNHEARD),
    (reading(2, 3.1), (witness(NO_JUMP, number=1),), Agreement.AGREED),
    (reading(2, 1), (witness(NO_JUMP, number=2), witness(HOUR, number=3)), Agreement.DOUBTED),
]


@pytest.mark.parametrize(("latest", "others", "agreement"), AGREEMENTS)
def test_who_has_just_started_asks_the_others(
    latest: Reading, others: tuple[Witness, ...], agreement: Agreement
) -> None:
    """Only what was said since its first reading counts; after three silent seconds it goes by the clock."""
    assert agreed(STEADY, latest, others) is agreement


def test_how_long_a_process_lives_does_not_count_for_how_long_it_waits() -> None:
    """Three seconds since its first reading, whatever its clock shows."""
    first, latest = reading(1, 100), reading(2, 101)
    assert agreed(first, latest, (witness(NO_JUMP, number=1),)) is Agreement.UNHEARD


def test_a_jump_is_told_with_its_way() -> None:
    """Ahead or back, rounded to seconds."""
    assert told(3 * HOUR + timedelta(milliseconds=400)) == "ahead by 3h"
    assert told(-3 * HOUR) == "back by 3h"
