"""What a person reads who is asked, and moments and durations as people are told them."""

from datetime import datetime, timedelta
from uuid import UUID

import pytest

from responder.decide.changes.question import question_words
from responder.decide.guards.service import halt
from responder.model.approval import Consent, Question
from responder.model.guard import Guard
from responder.model.incident import IncidentState
from responder.model.severity import Severity
from responder.model.spoken import moment, span
from responder.model.way import Way, WayKind
from tests.support.virtual import START
from tests.unit.test_guards import facts
from tests.unit.test_next_move import TERMS, case

TITLES = ("pid 1 of app", "pid 2 of app", "pid 3 of app", "pid 4 of app")


ASKS = case(IncidentState.OPEN)
UNTIL = START + timedelta(minutes=30)


def words(*titles: str, until: datetime | None = UNTIL) -> str:
    """What a person reads who is asked for something that hits elements with these titles."""
    consent = Consent(
        action="postgres.cancel_queries",
        target="postgres/orders",
        params={},
        facts="f",
        elements=titles,
        titles=titles,
    )
    question = Question(
        id=UUID(int=1),
        step=0,
        consent=consent,
        guards=(Guard.AUTONOMY,),
        reasons=("a person must approve (the rule)",),
        asked_at=START,
        times=1,
    )
    return question_words(ASKS, question, Severity.P1, until, START)


def test_a_question_says_what_would_be_done_until_when_and_how_to_say_yes() -> None:
    """Severity, rule, action, target, the first elements and how many, the deadline and the command."""
    assert words(*TITLES) == (
        "P1 Hit asks: may postgres.cancel_queries run on postgres/orders, "
        "on 4 elements (pid 1 of app; pid 2 of app; pid 3 of app; and 1 more)? "
        "Asked because a person must approve (the rule). "
        f"To be answered until 00:30:00 UTC: responder approve {ASKS.incident.id}"
    )
    assert f"To be answered: responder approve {ASKS.incident.id}" in words(until=None)


ELEMENTS = [
    ((), "on 0 elements?"),
    (TITLES[:1], "on 1 element (pid 1 of app)?"),
    (TITLES[:3], "on 3 elements (pid 1 of app; pid 2 of app; pid 3 of app)?"),
    (("x" * 80,), f"on 1 element ({'x' * 80})?"),
    (("x" * 81,), f"on 1 element ({'x' * 80}\u2026)?"),
]


@pytest.mark.parametrize(("titles", "named"), ELEMENTS)
def test_a_question_names_the_first_three_elements_in_eighty_characters_each(
    titles: tuple[str, ...], named: str
) -> None:
    """And says how many there are: a page is short."""
    assert named in words(*titles)


RESUMED = Way(kind=WayKind.RESUME, of="7")
REMOVED = Way(kind=WayKind.REMOVE_FILE, of="/run/halt")


@pytest.mark.parametrize(
    ("halted", "ways", "told"),
    [
        ("by root: 3am panic", (RESUMED,), "halted by root: 3am panic"),
        (
            "by the file /run/halt: x",
            (REMOVED,),
            "halted by the file /run/halt: x",
        ),
        (
            "by the file /run/halt: x; and by root: y",
            (REMOVED, RESUMED),
            "halted by the file /run/halt: x; and by root: y",
        ),
        ("the flag is missing", (RESUMED,), "halted: the flag is missing"),
        ("the halt file /run/halt cannot be read", (), "halted: the halt file /run/halt cannot be read"),
    ],
)
def test_a_halt_says_by_whom_and_why(halted: str, ways: tuple[Way, ...], told: str) -> None:
    """Once, without a command: the ways to end it stand beside it, for whoever shows them."""
    verdict = halt(facts(halted=halted, halts=ways), TERMS)
    assert (verdict.reason, verdict.ways) == (told, ways)


def test_people_read_no_milliseconds_and_the_date_where_it_is_another() -> None:
    """Whole seconds from one second up; below that what there is."""
    assert span(timedelta(seconds=40, milliseconds=30)) == "40s"
    assert span(timedelta(milliseconds=30)) == "30ms"
    assert moment(START, START) == "00:00:00 UTC"
    assert moment(START + timedelta(days=1), START, seconds=False) == (
        f"{START + timedelta(days=1):%Y-%m-%d} 00:00 UTC"
    )
