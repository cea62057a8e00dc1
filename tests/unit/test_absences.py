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


def test_polls_that_do_not_count_leave_when_the_last_one_counted() -> None:
    """Polls close to each other, or not believed, push nothing back: the next one that is apart counts."""
    counted = polled(NOTHING_ABSENT, 60)
    assert counted == Absences({"f": 1}, START + timedelta(seconds=60))
    assert polled(counted, 70) == counted
    assert polled(counted, 600, believed=False) == counted
    assert polled(counted, 90) == Absences({"f": 2}, START + timedelta(seconds=90))
    assert polled(counted, 89) == counted


def test_an_alert_that_is_known_in_a_poll_that_does_not_count_counts_anew() -> None:
    """Somebody knew it: the polls before are not in a row with those after, however close they were."""
    counted = polled(NOTHING_ABSENT, 60)
    assert polled(counted, 61, known=True).polls == {}
    assert polled(counted, 600, known=True, believed=False).polls == {}
    assert polled(counted, 600, known=True).polls == {}


def test_a_word_from_just_when_the_source_was_asked_is_no_news() -> None:
    """Heard of at the very moment of a question, it is absent by that question, before and after."""
    assert polled(NOTHING_ABSENT, 60, heard=60).polls == {"f": 1}
    counted = polled(NOTHING_ABSENT, 60, heard=60)
    assert polled(counted, 90, heard=60).polls == {"f": 2}
    assert polled(counted, 90, heard=61).polls == {"f": 1}


def test_counts_without_a_moment_go_on() -> None:
    """What nobody can compare with is taken as it is."""
    assert polled(Absences({"f": 1}), 60).polls == {"f": 2}
    assert gone(Absences({"f": 2, "g": 3}), NEEDED) == {"g"}
