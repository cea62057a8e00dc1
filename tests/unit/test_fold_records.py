"""The whole record of an alert after each kind of news: every field, not only whether it fires."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from responder.decide.fold import AlertRecord, fold, step
from responder.model.alert import Alert, Observation, Standing, content_hash

WINDOW = timedelta(seconds=60)
START = datetime(2026, 1, 1, tzinfo=UTC)
TICK = 0.000001
"""The least that two times differ by: what the source has forgotten ended right after all that was known."""

F, R, C, A, G = Standing.FIRING, Standing.RESOLVED, Standing.CONFIRMED, Standing.ABSENT, Standing.GONE

Told = tuple[Any, ...]
"""What is said, received when, starts, and, where they are not the usual ones, ends, summary and link."""

FIRED: list[Told] = [(F, 1, 0)]
ENDED: list[Told] = [*FIRED, (R, 10, 0, 9)]
CONTESTED: list[Told] = [*ENDED, (F, 20, 0)]


@dataclass(frozen=True)
class Expected:
    """A record in seconds after the start."""

    generation: int
    starts: float
    newest: float
    seen: float
    last_end: float | None = None
    received: float | None = None
    ends: float | None = None
    contested: float | None = None
    contested_start: float | None = None
    said: str = "high"
    url: str = "http://a"


def at(seconds: float | None) -> datetime | None:
    """A moment, in seconds after the start."""
    return None if seconds is None else START + timedelta(seconds=seconds)


def row(
    standing: Standing,
    received: float,
    starts: float,
    ends: float | None = None,
    said: str = "high",
    url: str = "http://a",
) -> Observation:
    """One observation."""
    alert = Alert(
        fingerprint="0" * 16,
        labels={"alertname": "A"},
        annotations={"summary": said},
        standing=standing,
        starts_at=START + timedelta(seconds=starts),
        ends_at=at(ends),
        generator_url=url,
    )
    return Observation("am", alert, START + timedelta(seconds=received), content_hash(alert))


def of(record: AlertRecord) -> Expected:
    """The record as it is expected to be written here."""

    def seconds(moment: datetime | None) -> float | None:
        return None if moment is None else (moment - START).total_seconds()

    return Expected(
        generation=record.generation,
        starts=(record.starts_at - START).total_seconds(),
        newest=(record.newest_start - START).total_seconds(),
        seen=(record.seen_at - START).total_seconds(),
        last_end=seconds(record.last_end),
        received=seconds(record.last_end_received_at),
        ends=seconds(record.ends_at),
        contested=seconds(record.contested_at),
        contested_start=seconds(record.contested_starts_at),
        said=record.annotations["summary"],
        url=record.generator_url,
    )


CASES: list[tuple[str, list[Told], Expected]] = [
    ("first firing", [(F, 1, 0)], Expected(1, 0, 0, seen=1)),
    ("first resolved", [(R, 1, 0, 5)], Expected(1, 0, 0, seen=1, last_end=5, received=1, ends=5)),
    (
        "first resolved ends before start",
        [(R, 1, 5, 3)],
        Expected(1, 5, 3, seen=1, last_end=3, received=1, ends=3),
    ),
    ("resolved no end", [(R, 1, 5)], Expected(1, 5, 5, seen=1, last_end=5, received=1, ends=5)),
    ("first confirmed", [(C, 1, 0)], Expected(1, 0, 0, seen=1)),
    ("first absent", [(A, 1, 0)], Expected(0, 0, 0, seen=1)),
    ("first gone", [(G, 1, 0, 1)], Expected(0, 0, 0, seen=1)),
    ("told again same", [*FIRED, (F, 5, 0)], Expected(1, 0, 0, seen=5)),
    (
        "told again other words",
        [*FIRED, (F, 5, 0, None, "low", "http://b")],
        Expected(1, 0, 0, seen=5, said="low", url="http://b"),
    ),
    ("no url", [*FIRED, (F, 5, 0, None, "high", "")], Expected(1, 0, 0, seen=5)),
    ("no url other words", [*FIRED, (F, 5, 0, None, "low", "")], Expected(1, 0, 0, seen=5, said="low")),
    ("later start while firing", [*FIRED, (F, 5, 3)], Expected(1, 0, 3, seen=5)),
    ("earlier start", [(F, 1, 10), (F, 5, 3)], Expected(1, 3, 10, seen=5)),
    ("between", [(F, 1, 10), (F, 5, 3), (F, 6, 7)], Expected(1, 3, 10, seen=6)),
    ("ended", [*FIRED, (R, 10, 0, 9)], Expected(1, 0, 0, seen=1, last_end=9, received=10, ends=9)),
    (
        "ended again later",
        [*ENDED, (R, 12, 0, 11)],
        Expected(1, 0, 0, seen=1, last_end=11, received=12, ends=11),
    ),
    (
        "ended again earlier",
        [*ENDED, (R, 12, 0, 8)],
        Expected(1, 0, 0, seen=1, last_end=9, received=10, ends=9),
    ),
    ("next episode", [*ENDED, (F, 20, 15)], Expected(2, 15, 15, seen=20, last_end=9, received=10)),
    ("next at the end", [*ENDED, (F, 20, 9)], Expected(2, 9, 9, seen=20, last_end=9, received=10)),
    (
        "contested",
        [*ENDED, (F, 20, 0)],
        Expected(1, 0, 0, seen=1, last_end=9, received=10, ends=9, contested=20, contested_start=0),
    ),
    (
        "contested twice",
        [*CONTESTED, (F, 25, 3)],
        Expected(1, 0, 0, seen=1, last_end=9, received=10, ends=9, contested=20, contested_start=0),
    ),
    (
        "contested twice earlier",
        [*ENDED, (F, 20, 5), (F, 25, 3)],
        Expected(1, 0, 0, seen=1, last_end=9, received=10, ends=9, contested=20, contested_start=3),
    ),
    (
        "contest then start after end",
        [*CONTESTED, (F, 30, 12)],
        Expected(2, 12, 12, seen=30, last_end=9, received=10),
    ),
    ("contest confirmed", [*CONTESTED, (C, 21, 0)], Expected(2, 0, 0, seen=21, last_end=9, received=10)),
    (
        "contest of a later start confirmed",
        [*ENDED, (F, 20, 5), (C, 21, 0)],
        Expected(2, 5, 5, seen=21, last_end=9, received=10),
    ),
    (
        "contest of an earlier start than the newest confirmed",
        [*FIRED, (F, 2, 5), (R, 10, 0, 9), (F, 20, 3), (C, 21, 0)],
        Expected(2, 3, 5, seen=21, last_end=9, received=10),
    ),
    ("contest absent", [*CONTESTED, (A, 21, 0)], Expected(1, 0, 0, seen=1, last_end=9, received=10, ends=9)),
    (
        "contest won then end",
        [*CONTESTED, (R, 100, 0, 99)],
        Expected(2, 0, 0, seen=20, last_end=99, received=100, ends=99),
    ),
    (
        "contest then end late",
        [*CONTESTED, (R, 30, 0, 9)],
        Expected(1, 0, 0, seen=1, last_end=9, received=10, ends=9, contested=20, contested_start=0),
    ),
    (
        "contest then later end",
        [*CONTESTED, (R, 30, 0, 29)],
        Expected(1, 0, 0, seen=1, last_end=29, received=30, ends=29),
    ),
    (
        "same moment end and fire",
        [*ENDED, (F, 10, 3, None, "z")],
        Expected(2, 3, 3, seen=10, last_end=3, received=10, said="z"),
    ),
    (
        "same moment later start",
        [*ENDED, (F, 10, 5, None, "z")],
        Expected(2, 5, 5, seen=10, last_end=5, received=10, said="z"),
    ),
    (
        "same moment known start",
        [(F, 1, 4), (R, 10, 4, 9), (F, 10, 2, None, "z")],
        Expected(1, 2, 4, seen=10, last_end=2, received=10, said="z"),
    ),
    (
        "late end before newest",
        [*FIRED, (F, 2, 400), (R, 3, 0, 300)],
        Expected(1, 0, 400, seen=2, last_end=300, received=3, ends=300, contested=3, contested_start=400),
    ),
    (
        "two late ends",
        [*FIRED, (F, 2, 601), (R, 3, 0, 5), (R, 4, 0, 9)],
        Expected(1, 0, 601, seen=2, last_end=9, received=4, ends=9, contested=3, contested_start=601),
    ),
    ("absent while firing", [*FIRED, (A, 5, 0)], Expected(1, 0, 0, seen=1)),
    ("absent after end", [*ENDED, (A, 15, 0)], Expected(1, 0, 0, seen=1, last_end=9, received=10, ends=9)),
    (
        "absent after late end",
        [*FIRED, (F, 2, 400), (R, 3, 0, 300), (A, 4, 0)],
        Expected(1, 0, 300, seen=2, last_end=300, received=3, ends=300),
    ),
    ("gone", [*FIRED, (G, 20, 0, 19)], Expected(1, 0, 0, seen=1, last_end=0 + TICK, received=20, ends=19)),
    ("gone but heard", [*FIRED, (F, 20, 0), (G, 21, 0, 19)], Expected(1, 0, 0, seen=20)),
    (
        "gone heard at",
        [*FIRED, (F, 19, 0), (G, 21, 0, 19)],
        Expected(1, 0, 0, seen=19, last_end=0 + TICK, received=21, ends=19),
    ),
    (
        "gone without end",
        [*FIRED, (G, 20, 0)],
        Expected(1, 0, 0, seen=1, last_end=0 + TICK, received=20, ends=20),
    ),
    ("gone after end", [*ENDED, (G, 20, 0, 19)], Expected(1, 0, 0, seen=1, last_end=9, received=10, ends=9)),
    (
        "gone with later starts",
        [*FIRED, (F, 2, 30), (G, 20, 0, 19)],
        Expected(1, 0, 30, seen=2, last_end=30 + TICK, received=20, ends=19),
    ),
    (
        "gone second episode",
        [*ENDED, (F, 20, 15), (G, 40, 0, 39)],
        Expected(2, 15, 15, seen=20, last_end=15 + TICK, received=40, ends=39),
    ),
    (
        "gone after a contest was won",
        [*CONTESTED, (C, 21, 0), (G, 40, 0, 39)],
        Expected(2, 0, 0, seen=21, last_end=9 + TICK, received=40, ends=39),
    ),
    ("confirmed firing", [*FIRED, (C, 5, 0)], Expected(1, 0, 0, seen=5)),
    (
        "confirmed after end",
        [*ENDED, (C, 15, 0)],
        Expected(1, 0, 0, seen=1, last_end=9, received=10, ends=9, contested=15, contested_start=0),
    ),
    ("confirmed later start", [*ENDED, (C, 15, 12)], Expected(2, 12, 12, seen=15, last_end=9, received=10)),
    ("confirmed at end", [*ENDED, (C, 15, 9)], Expected(2, 9, 9, seen=15, last_end=9, received=10)),
    ("confirmed unknown", [(A, 1, 0), (C, 5, 0)], Expected(1, 0, 0, seen=5)),
    ("absent then fires", [(A, 1, 0), (F, 5, 0)], Expected(1, 0, 0, seen=5)),
    (
        "absent then resolves",
        [(A, 1, 0), (R, 5, 0, 4)],
        Expected(1, 0, 0, seen=1, last_end=4, received=5, ends=4),
    ),
    (
        "another link",
        [*FIRED, (F, 5, 0, None, "high", "http://b")],
        Expected(1, 0, 0, seen=5, url="http://b"),
    ),
    (
        "start after a late end and before the newest",
        [*FIRED, (F, 2, 400), (R, 3, 0, 300), (F, 4, 350)],
        Expected(2, 350, 400, seen=4, last_end=300, received=3),
    ),
    (
        "same moment after a late end",
        [*FIRED, (F, 2, 400), (R, 10, 0, 300), (F, 10, 3, None, "z")],
        Expected(1, 0, 400, seen=10, last_end=0, received=10, said="z"),
    ),
    (
        "ended without an end",
        [*FIRED, (R, 10, 0)],
        Expected(1, 0, 0, seen=1, last_end=0, received=10, ends=0),
    ),
    (
        "ended twice at its start",
        [(R, 1, 5), (R, 3, 5, 5)],
        Expected(1, 5, 5, seen=1, last_end=5, received=1, ends=5),
    ),
    (
        "ended before its start twice",
        [(R, 1, 5, 3), (R, 3, 5, 4)],
        Expected(1, 5, 3, seen=1, last_end=4, received=3, ends=4),
    ),
    (
        "no time passed",
        [*ENDED, (F, 20, 9), (R, 30, 9, 9)],
        Expected(2, 9, 9, seen=20, last_end=9, received=30, ends=9),
    ),
    (
        "absent in the next episode",
        [*ENDED, (F, 20, 15), (A, 25, 15)],
        Expected(2, 15, 15, seen=20, last_end=9, received=10),
    ),
    (
        "confirmed since before the last end",
        [*ENDED, (F, 20, 15), (C, 25, 3)],
        Expected(2, 3, 15, seen=25, last_end=9, received=10),
    ),
    ("end before start", [(F, 1, 10), (R, 5, 2, 8)], Expected(1, 10, 10, seen=1)),
    (
        "end known of next episode",
        [*ENDED, (F, 20, 15), (R, 25, 0, 9)],
        Expected(2, 15, 15, seen=20, last_end=9, received=10),
    ),
    (
        "end at start",
        [(F, 1, 10), (R, 5, 2, 10)],
        Expected(1, 10, 10, seen=1, last_end=10, received=5, ends=10),
    ),
]


@pytest.mark.parametrize(("told", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_record_says_all_that_was_told(told: list[Told], expected: Expected) -> None:
    """Starts, ends, the contest, the words and when it was last heard of are as the last row leaves them."""
    rows = [row(*one) for one in told]
    last = max(rows, key=lambda one: one.order)
    record = fold(rows, WINDOW, last.received_at)
    assert record is not None
    assert (of(record), record.last_order, record.key) == (expected, last.order, last.key)
    assert record.firing is (expected.ends is None and expected.generation > 0)
    assert step(record, last, WINDOW) == record


def test_a_contest_is_won_after_the_window_and_not_before() -> None:
    """From the first word against the end on; a new contest has its own window.

    Whatever was received before the window's end sorts before what is folded then, and is folded again.
    """
    rows = [row(*one) for one in [*CONTESTED, (F, 25, 0)]]
    before, after = (fold(rows, WINDOW, START + timedelta(seconds=20 + more)) for more in (59.999999, 60))
    assert before is not None
    assert after is not None
    assert (before.firing, after.firing) == (False, True)
    assert of(after) == Expected(2, 0, 0, seen=20, last_end=9, received=10)
    assert after.last_order == (START + timedelta(seconds=80), b"")


def test_nothing_is_known_of_what_nobody_told() -> None:
    """No row, no record."""
    assert fold([], WINDOW, START) is None
