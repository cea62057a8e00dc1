"""Jumps of the wall clock in simulated worlds: service time goes on, and only what jumped is moved."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hypothesis import example, given
from hypothesis import strategies as st

from responder.decide.clock import (
    NO_JUMP,
    ClockRuling,
    Reading,
    Watched,
    Witness,
    believed,
    heard,
    off,
    rule_on,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
LEASE = timedelta(seconds=15)
TOLERANCE = timedelta(seconds=3)
"""What may be missed, 2 s, and what brackets and drift add."""


@dataclass
class Process:
    """One process: its own clock, and what it has heard."""

    boot: float
    watched: Watched | None = None
    witness: Witness | None = None


@dataclass
class World:
    """The true time, a wall clock that somebody sets, and the row of the database."""

    true_s: float = 0.0
    wall_off: timedelta = NO_JUMP
    shift: timedelta = NO_JUMP
    taken_back: timedelta = NO_JUMP
    number: int = 0
    processes: list[Process] = field(default_factory=list)

    def read(self, process: Process, width: float) -> Reading:
        """A reading: the clock is read somewhere within the bracket."""
        self.number += 1
        before = self.true_s + process.boot
        self.true_s += width
        wall = START + timedelta(seconds=self.true_s - width / 2) + self.wall_off
        return Reading(
            number=self.number,
            before=before,
            after=before + width,
            wall=wall,
            shift=self.shift,
            taken_back=self.taken_back,
        )

    def round(self, process: Process, width: float = 0.01) -> ClockRuling:
        """What one turn of the watch does."""
        reading = self.read(process, width)
        process.watched = heard(process.watched, reading)
        if process.watched is None:
            return ClockRuling.STEADY
        if reading.void:
            return rule_on(process.watched, (), LEASE)
        jump = off(process.watched.steady, reading)
        now = believed(process.watched, reading)
        process.witness = Witness(
            since=process.watched.since, number=reading.number, off=jump, heartbeat_at=now
        )
        others = [p.witness for p in self.processes if p is not process and p.witness is not None]
        ruling = rule_on(process.watched, others, LEASE)
        if ruling is ClockRuling.WALL:
            self.shift -= jump
            self.taken_back -= jump
        if ruling is ClockRuling.OWN:
            process.watched = Watched(since=reading.number, steady=reading)
        return ruling

    def error(self, process: Process) -> timedelta:
        """How far what a process believes is from the truth."""
        reading = self.read(process, 0.01)
        truth = START + timedelta(seconds=self.true_s)
        return abs(believed(process.watched, reading) - truth)


hours = st.floats(-3.0, 3.0).filter(lambda h: abs(h) > 0.01).map(lambda h: timedelta(hours=h))
widths = st.floats(0.0, 2.0)


@example(jumps=[timedelta(hours=1)] * 4, count=2, width=[1.0])
@given(jumps=st.lists(hours, min_size=1, max_size=4), count=st.integers(1, 4), width=st.lists(widths))
def test_no_jump_moves_service_time_for_any_process(
    jumps: list[timedelta], count: int, width: list[float]
) -> None:
    """However often the wall clock jumps, each process believes the true time, before and after the move."""
    world = World(processes=[Process(boot=100.0 * n) for n in range(count)])
    for process in world.processes:
        world.round(process)
    for jump in jumps:
        world.wall_off += jump
        for turn in range(4):
            for number, process in enumerate(world.processes):
                assert world.error(process) < TOLERANCE
                slow = width[(turn + number) % len(width)] if width and turn == 0 else 0.01
                assert world.round(process, slow) is not ClockRuling.OWN
                world.true_s += 1 / count
        assert abs(world.wall_off + world.shift) < TOLERANCE
        assert all(world.error(process) < TOLERANCE for process in world.processes)


@given(jump=hours, count=st.integers(2, 4))
def test_a_process_whose_own_clock_jumped_moves_nothing(jump: timedelta, count: int) -> None:
    """The others saw nothing: the offset stays, and the odd one goes by the database's clock again."""
    world = World(processes=[Process(boot=0.0) for _ in range(count)])
    for process in (*world.processes, *world.processes):
        world.round(process)
    odd = world.processes[0]
    odd.boot += jump.total_seconds()
    rulings = []
    for _ in range(6):
        rulings += [world.round(process) for process in world.processes]
        world.true_s += 1
    assert world.shift == NO_JUMP
    assert rulings.count(ClockRuling.OWN) == 1
    assert world.error(odd) < TOLERANCE


@given(jump=hours)
def test_a_silent_process_is_waited_for_no_longer_than_its_heartbeat_counts(jump: timedelta) -> None:
    """While it may live it may have seen something else; then whoever is left is alone, and moves."""
    world = World(processes=[Process(boot=0.0), Process(boot=50.0)])
    for process in (*world.processes, *world.processes):
        world.round(process)
    world.wall_off += jump
    left = world.processes[0]
    waited = []
    while (ruling := world.round(left)) is not ClockRuling.WALL:
        assert ruling is ClockRuling.UNSURE
        waited.append(world.true_s)
        world.true_s += 1
    assert len(waited) > 3
    assert world.true_s < LEASE.total_seconds() + 5
    assert abs(world.wall_off + world.shift) < TOLERANCE


@given(jump=hours)
def test_a_process_that_came_after_the_jump_is_no_witness(jump: timedelta) -> None:
    """It has nothing to compare with: what it calls steady does not speak against a jump before its time."""
    world = World(processes=[Process(boot=0.0)])
    (old,) = world.processes
    world.round(old)
    world.wall_off += jump
    world.round(old)
    new = Process(boot=7.0)
    world.processes.append(new)
    for _ in range(4):
        world.round(new)
        assert world.round(old) is not ClockRuling.OWN
        world.true_s += 1
    assert abs(world.wall_off + world.shift) < TOLERANCE


@given(drift=st.floats(-0.0005, 0.0005), small=st.floats(-1.5, 1.5))
def test_drift_and_what_is_set_by_less_than_two_seconds_is_followed(drift: float, small: float) -> None:
    """NTP's slewing for an hour, and a small step, are no jumps: nothing is moved or held back."""
    world = World(processes=[Process(boot=0.0)])
    (process,) = world.processes
    for turn in range(3600):
        world.wall_off += timedelta(seconds=drift + (small if turn == 1800 else 0.0))
        assert world.round(process) is ClockRuling.STEADY
        world.true_s += 1
    assert world.shift == NO_JUMP


@given(jump=hours, width=st.floats(0.51, 30.0))
def test_a_void_reading_decides_nothing(jump: timedelta, width: float) -> None:
    """A reading that took longer than half a second is no evidence, however many there are."""
    world = World(processes=[Process(boot=0.0)])
    (process,) = world.processes
    world.round(process)
    world.wall_off += jump
    for _ in range(5):
        assert world.round(process, width) is ClockRuling.STEADY
    assert world.shift == NO_JUMP


@given(moved=hours)
def test_an_offset_that_was_moved_by_somebody_is_followed_at_once(moved: timedelta) -> None:
    """The wall clock did not jump: whoever moved the offset, a test or another process, meant it."""
    world = World(processes=[Process(boot=0.0)])
    (process,) = world.processes
    world.round(process)
    world.shift += moved
    assert world.round(process) is ClockRuling.STEADY
    reading = world.read(process, 0.01)
    assert believed(process.watched, reading) == reading.wall + reading.shift
