"""What matchers hold when only some of what they ask about is known: doubt holds, and keeps nobody quiet."""

from datetime import timedelta

import pytest

from responder.decide.freezes import Freeze
from responder.decide.restraints import Concern, concern, frozen_by, halted_by, maintained, may_concern, quiet
from responder.model.by_hand import ByHand
from responder.model.incident import MemberAlert
from responder.model.restraint import RestraintKind, Restraints
from responder.model.severity import Severity
from responder.rulebook.matchers import parse_matchers
from tests.support.virtual import START
from tests.unit.test_restraints import DEV, GONE, HOUR, PROD, a_case, restraint


@pytest.mark.parametrize(
    ("scope", "sample", "unseen", "halted"),
    [
        ('rule="Hit"', [], 0, True),
        ('namespace="prod", alertname="B"', [DEV], 1, False),
        ('namespace="prod", alertname="A"', [DEV], 1, True),
        ('namespace!="prod"', [PROD], 0, False),
        ('namespace!="prod"', [DEV], 0, True),
        ('team=""', [DEV], 0, True),
        ('team="shop"', [DEV], 0, False),
        ('team="shop", rule="Hit"', [DEV], 1, True),
        ('team="shop", rule="Other"', [DEV], 1, False),
    ],
)
def test_a_halt_over_what_may_be_meant(
    scope: str, sample: list[MemberAlert], unseen: int, halted: bool
) -> None:
    """All matchers have to hold, or may hold, for the same alert; a label that is missing is empty."""
    stands = Restraints(standing=(restraint(RestraintKind.HALT, scope),))
    why = halted_by(stands, concern(a_case(*sample, unseen=unseen), "test.hit", None))
    assert (why is not None) is halted


@pytest.mark.parametrize(
    ("scope", "concerned"),
    [
        ('namespace="shop"', True),
        ('namespace="prod"', True),
        ('namespace="else"', False),
        ('rule="Hit"', True),
        ('rule="Other"', False),
        ('pod="any"', True),
    ],
)
def test_of_an_alert_that_is_not_seen_the_group_the_place_and_the_attempt_are_known(
    scope: str, concerned: bool
) -> None:
    """The target's place counts beside the group's own label of that name."""
    it = Concern(
        attempt={"rule": "Hit"},
        place={"namespace": "shop"},
        severity=Severity.P1,
        group={"namespace": "prod"},
        members=(),
        unseen=True,
    )
    assert may_concern(parse_matchers(scope), it) is concerned


def test_a_freeze_is_read_in_service_time_where_no_civil_time_is_known() -> None:
    """It begins with its first moment and is over at its end; one without an end is none."""
    about = concern(a_case(PROD), "test.hit", None)
    one = restraint(RestraintKind.FREEZE, 'namespace="prod"', since=START, until=START + HOUR)
    stands = Restraints(standing=(one,))
    assert frozen_by(stands, (), about, START) is not None
    assert frozen_by(stands, (), about, START - timedelta(microseconds=1)) is None
    assert frozen_by(stands, (), about, START + HOUR) is None
    endless = Restraints(standing=(one.model_copy(update={"until": None}),))
    assert frozen_by(endless, (), about, START) is None


def test_a_written_freeze_lets_act_what_it_allows_and_what_it_does_not_concern() -> None:
    """By severity, and by its matchers."""
    about = concern(a_case(PROD), "test.hit", None)
    nightly = Freeze(name="nights", when="0 0 * * *", duration=HOUR, reason="nobody is there")
    assert frozen_by(Restraints(), (nightly,), about, START) is not None
    calm = nightly.model_copy(update={"allow": (Severity.P1,)})
    assert frozen_by(Restraints(), (calm,), about, START) is None
    elsewhere = nightly.model_copy(update={"match": parse_matchers('namespace="dev"')})
    assert frozen_by(Restraints(), (elsewhere,), about, START) is None


@pytest.mark.parametrize(
    ("match", "sample", "unseen", "keeps_quiet", "holds_actions"),
    [
        ('namespace="prod"', [DEV], 30, False, True),
        ('namespace="prod", alertname="B"', [DEV], 30, False, False),
        ('alertname="A", namespace!="dev"', [PROD], 30, False, True),
        ('namespace="prod"', [GONE], 0, False, False),
        ('alertname="A"', [GONE], 1, True, True),
    ],
)
def test_maintenance_over_what_is_not_seen(
    match: str, sample: list[MemberAlert], unseen: int, keeps_quiet: bool, holds_actions: bool
) -> None:
    """What may be in it holds actions; only what must be in it keeps people from hearing."""
    windows = (restraint(RestraintKind.MAINTENANCE, match, until=START + HOUR),)
    case = a_case(*sample, unseen=unseen, windows=windows)
    assert (quiet(case, START) is not None) is keeps_quiet
    assert (maintained(windows, case, START) is not None) is holds_actions


def test_of_several_windows_over_one_alert_the_longest_counts() -> None:
    """In whatever order they were asked for; one without an end is none."""
    ends = (START + 2 * HOUR, START + HOUR)
    for order in (ends, ends[::-1]):
        windows = tuple(
            restraint(RestraintKind.MAINTENANCE, 'namespace="prod"', id=number, until=until)
            for number, until in enumerate(order)
        )
        found = quiet(a_case(PROD, windows=windows), START)
        assert found is not None
        assert found.until == START + 2 * HOUR
    endless = (restraint(RestraintKind.MAINTENANCE, 'namespace="prod"'),)
    assert maintained(endless, a_case(PROD, windows=endless), START) is None


def test_what_a_person_asked_for_may_be_about_anything() -> None:
    """No alert says what it is about: maintenance that may concern it holds it."""
    asked = ByHand(actor="ann", reason="deploy", title="restart", asked_at=START)
    case = a_case(GONE)
    case = case.model_copy(update={"incident": case.incident.model_copy(update={"by_hand": asked})})
    windows = (restraint(RestraintKind.MAINTENANCE, 'namespace="prod"', until=START + HOUR),)
    assert maintained(windows, case, START) is not None
    assert maintained(windows, a_case(GONE), START) is None
