"""Claims about when an alert that nobody lists any more is gone, over every order of polls."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from responder.decide.reconcile import NOTHING_ABSENT, Absences, after_poll, gone

START = datetime(2026, 1, 1, tzinfo=UTC)
APART = timedelta(seconds=30)
NEEDED = 3


def polled(
    before: Absences, second: int, *, known: bool = False, believed: bool = True, heard: int = 0
) -> Absences:
    """One poll about one alert that we hold, so many seconds after the start."""
    at = START + timedelta(seconds=second)
    held = {"f": START + timedelta(seconds=heard)}
    return after_poll(before, held, {"f"} if known else set(), at, believed=believed, apart=APART)


POLLS = st.lists(
    st.tuples(st.integers(1, 90), st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=12
)


@given(POLLS)
def test_gone_needs_three_believed_polls_apart_without_a_word_between(
    polls: list[tuple[int, bool, bool, bool]],
) -> None:
    """Gone exactly where the last three polls that counted found it absent, with no word of it meanwhile."""
    absences, second, heard = NOTHING_ABSENT, 0, 0
    in_a_row, counted = 0, -1000
    for pause, known, believed, told in polls:
        if told:
            heard = second + 1
            in_a_row = 0
        second += pause
        absences = polled(absences, second, known=known, believed=believed, heard=heard)
        if known:
            in_a_row = 0
        if believed and second >= counted + APART.total_seconds():
            counted = second
            in_a_row += 0 if known else 1
        assert bool(gone(absences, NEEDED)) == (in_a_row >= NEEDED)


def test_an_alert_that_was_heard_of_after_the_question_is_not_absent() -> None:
    """The list may be older than the word: what was heard of while it was asked does not count."""
    absences = polled(NOTHING_ABSENT, 60, heard=61)
    assert absences.polls == {}


def test_what_ended_otherwise_is_forgotten() -> None:
    """An alert that we do not hold any more has no count, so that a list of the absent cannot grow."""
    once = polled(NOTHING_ABSENT, 60)
    assert once.polls == {"f": 1}
    later = START + timedelta(seconds=120)
    assert after_poll(once, {}, set(), later, believed=True, apart=APART).polls == {}
