"""Which halt, freeze and maintenance window holds what: too much rather than that people do not hear."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from responder.decide.case import Case
from responder.decide.freezes import Freeze
from responder.decide.restraints import (
    concern,
    frozen_by,
    halted_by,
    maintained,
    quiet,
    unknown_words,
    ways_of_claims,
    ways_to_end,
    ways_to_resume,
)
from responder.model.incident import MemberAlert, Members
from responder.model.restraint import Restraint, RestraintKind, Restraints
from responder.model.severity import Severity
from responder.model.way import Way, WayKind
from responder.rulebook.matchers import parse_matchers
from tests.support.virtual import START, VirtualStore, World, incident, ladder, lease_of, member
from tests.unit.test_guards import claim

HOUR = timedelta(hours=1)
PROD, DEV = member(namespace="prod", severity="critical"), member(namespace="dev", severity="critical")
DEPLOYMENT = "kubernetes/eu1/shop/deployment/api"


def restraint(kind: RestraintKind, match: str, **more: Any) -> Restraint:
    given: dict[str, Any] = {"id": 7, "actor": "ada", "reason": "deploy", "since": START, **more}
    return Restraint(kind=kind, match=parse_matchers(match), **given)


def a_case(*sample: MemberAlert, unseen: int = 0, windows: tuple[Restraint, ...] = ()) -> Case:
    total = len(sample) + unseen
    firing = sum(1 for each in sample if each.ends_at is None) + unseen
    store = VirtualStore(
        World(), ladder(), incident(), Members(firing=firing, total=total, sample=tuple(sample))
    )
    return asyncio.run(store.load(lease_of(store))).model_copy(update={"maintenance": windows})


@pytest.mark.parametrize(
    ("scope", "sample", "unseen", "halted"),
    [
        ('namespace="prod"', [PROD], 0, True),
        ('namespace="prod"', [DEV], 0, False),
        ('namespace="prod"', [DEV, PROD], 0, True),
        ('namespace="prod"', [DEV], 1, True),
        ('alertname="B"', [DEV], 1, False),
        ('rule="Hit", action=~"test.*"', [DEV], 0, True),
        ('rule="Other"', [DEV], 1, False),
        ('severity="P1"', [DEV], 0, True),
        ('severity="critical"', [DEV], 0, True),
        ('severity="P0"', [DEV], 3, False),
        ('target=~"kubernetes/.*"', [DEV], 0, True),
        ('cluster="eu1", namespace="shop"', [DEV], 0, True),
        ('cluster="eu2"', [DEV], 0, False),
        ('namespace="prod", rule="Other"', [PROD], 0, False),
        ("{}", [], 0, True),
    ],
)
def test_a_scoped_halt_holds_whatever_it_may_concern(
    scope: str, sample: list[MemberAlert], unseen: int, halted: bool
) -> None:
    """One member is enough, an unseen one may be it; rule, severity, action, target and its place count."""
    stands = Restraints(standing=(restraint(RestraintKind.HALT, scope),))
    why = halted_by(stands, concern(a_case(*sample, unseen=unseen), "test.hit", DEPLOYMENT))
    assert (why is not None) is halted
    assert why is None or "by ada: deploy" in why


def test_every_halt_is_named() -> None:
    """Of several each gives its reason; what cannot be read halts everything."""
    halts = (
        restraint(RestraintKind.HALT, 'namespace="prod"'),
        restraint(RestraintKind.HALT, 'rule="Hit"', actor="bob", reason="storm", id=8),
    )
    about = concern(a_case(PROD), "test.hit", None)
    why = halted_by(Restraints(standing=halts), about) or ""
    assert "by ada: deploy (halt 7" in why
    assert "by bob: storm (halt 8" in why
    assert halted_by(Restraints(unreadable="halt 9 cannot be read"), about) == "halt 9 cannot be read"


def test_a_freeze_holds_to_its_end_in_service_time_and_lets_allowed_severities_act() -> None:
    """Its end is civil; what waits for it waits in service time. The one that lasts longest is named."""
    civil = START + 5 * HOUR
    given = restraint(RestraintKind.FREEZE, 'namespace="prod"', since=civil, until=civil + HOUR)
    stands = Restraints(standing=(given,), civil=civil)
    about = concern(a_case(PROD), "test.hit", None)
    held = frozen_by(stands, (), about, START)
    assert held is not None
    assert (held.holder, held.until) == ("freeze 7", START + HOUR)
    assert frozen_by(stands, (), concern(a_case(DEV), "test.hit", None), START) is None
    later = stands.model_copy(update={"civil": civil + HOUR})
    assert frozen_by(later, (), about, START) is None, "it is over"
    calm = given.model_copy(update={"allow": (Severity.P1,)})
    assert frozen_by(Restraints(standing=(calm,), civil=civil), (), about, START) is None
    nightly = Freeze(name="nights", when="0 5 * * *", duration=8 * HOUR, reason="nobody is there", match=())
    both = frozen_by(stands, (nightly,), about, START)
    assert both is not None
    assert (both.holder, both.until) == ("freeze nights", START + 8 * HOUR)
    assert "frozen by nights until 2026-01-01 13:00 UTC: nobody is there" in both.reason


@pytest.mark.parametrize(("ahead", "ends"), [(0.4, 3600.0), (-1.9, 3600.0), (2.0, 3598.0), (-2.0, 3602.0)])
def test_the_moment_between_reading_two_clocks_moves_no_end(ahead: float, ends: float) -> None:
    """A freeze until 13:00:00 is not told to end at 12:59:59; a civil clock that is elsewhere counts."""
    given = restraint(RestraintKind.FREEZE, "{}", since=START - HOUR, until=START + HOUR)
    stands = Restraints(standing=(given,), civil=START + timedelta(seconds=ahead))
    held = frozen_by(stands, (), concern(a_case(PROD), "test.hit", None), START)
    assert held is not None
    assert held.until == START + timedelta(seconds=ends)


def test_claims_tell_who_holds_and_what_can_be_released() -> None:
    """Each incident once; a target that is held by its attempt is not to be released."""
    held = claim(target="a"), claim(target="b"), claim(target="c", quarantined=True)
    see = Way(kind=WayKind.SEE_INCIDENT, of=str(held[0].incident_id))
    assert ways_of_claims(held) == (see, Way(kind=WayKind.RELEASE, of="c", by=str(held[2].attempt_id)))


def test_how_each_restraint_ends_is_kept_beside_its_words() -> None:
    """By its number, of a freeze of the settings by its name; a label that nobody knows counts, said."""
    halts = restraint(RestraintKind.HALT, 'namespace="prod"')
    about = concern(a_case(PROD), "test.hit", None)
    resume = Way(kind=WayKind.RESUME, of="7")
    assert ways_to_resume(Restraints(standing=(halts,)), about) == (resume,)
    assert ways_to_resume(Restraints(standing=(halts,)), concern(a_case(DEV), "test.hit", None)) == ()
    assert ways_to_resume(Restraints(flag="by bob"), about) == (Way(kind=WayKind.RESUME, of="0"),)
    given = restraint(RestraintKind.FREEZE, 'env="cold"', since=START, until=START + HOUR)
    unseen = concern(a_case(PROD, unseen=1), "test.hit", None)
    held = frozen_by(Restraints(standing=(given,), civil=START), (), unseen, START)
    assert held is not None
    assert held.way == Way(kind=WayKind.END_FREEZE, of="7")
    assert held.reason.endswith('(freeze 7, over env="cold"): deploy (env is not known here, so it counts)')
    seen = concern(a_case(member(env="cold"), unseen=1), "test.hit", None)
    certain = frozen_by(Restraints(standing=(given,), civil=START), (), seen, START)
    assert certain is not None
    assert "known" not in certain.reason, "a member that is seen has it"
    nightly = Freeze(name="nights", when="0 0 * * *", duration=24 * HOUR, reason="x", match=())
    written = frozen_by(Restraints(civil=START), (nightly,), about, START)
    assert written is not None
    assert written.way == Way(kind=WayKind.EDIT_FREEZE, of="nights")
    stands = Restraints(flag="x", standing=(halts, given))
    assert ways_to_end(stands) == (Way(kind=WayKind.RESUME, of="0"), resume, held.way)
    window = restraint(RestraintKind.MAINTENANCE, "{}", id=9, until=START + HOUR)
    assert ways_to_end(Restraints(standing=(window,))) == (Way(kind=WayKind.END_MAINTENANCE, of="9"),)
    kept = maintained((window,), a_case(PROD), START)
    assert kept is not None
    assert kept.way == Way(kind=WayKind.END_MAINTENANCE, of="9")


@pytest.mark.parametrize(
    ("match", "known", "words"),
    [
        ('env="x"', {"env": "x"}, ""),
        ('env="x"', {}, " (env is not known here, so it counts)"),
        ('zone="z", env="x", rule="r"', {"rule": "r"}, " (env, zone are not known here, so it counts)"),
    ],
)
def test_what_nobody_knows_is_named(match: str, known: dict[str, str], words: str) -> None:
    """By name, each once; nothing where all is known."""
    assert unknown_words(parse_matchers(match), known) == words


@pytest.mark.parametrize(
    ("scope", "sample", "words"),
    [
        ('cluster="eu1", env="x"', [DEV], " (env is not known here, so it counts)"),
        ('alertname="A", env="x"', [DEV], " (env is not known here, so it counts)"),
        ('rule="Hit", namespace="prod"', [DEV, PROD], ""),
        ('namespace="prod", severity="critical"', [DEV, PROD], ""),
        ('cluster="eu1", env="x"', [member(env="x"), DEV], ""),
        (
            'env="x", zone="z"',
            [member(env="x"), member(zone="z")],
            " (env, zone are not known here, so it counts)",
        ),
    ],
)
def test_a_freeze_that_counts_because_of_what_is_not_known_says_so(
    scope: str, sample: list[MemberAlert], words: str
) -> None:
    """One member that has all of it is enough for certainty; place, rule and group are known."""
    given = restraint(RestraintKind.FREEZE, scope, since=START, until=START + HOUR)
    about = concern(a_case(*sample, unseen=3), "test.hit", DEPLOYMENT)
    held = frozen_by(Restraints(standing=(given,), civil=START), (), about, START)
    assert held is not None
    assert held.reason.endswith(f": deploy{words}")


@pytest.mark.parametrize(
    ("scope", "lasts", "reason"),
    [
        ("{}", HOUR, "frozen by ada until 2026-01-01 01:00 UTC (freeze 7): deploy"),
        ("{}", timedelta(seconds=90), "frozen by ada until 2026-01-01 00:01:30 UTC (freeze 7): deploy"),
    ],
)
def test_a_freeze_says_to_the_second_until_when_and_over_what(
    scope: str, lasts: timedelta, reason: str
) -> None:
    """Over everything it names no scope."""
    given = restraint(RestraintKind.FREEZE, scope, since=START, until=START + lasts)
    held = frozen_by(Restraints(standing=(given,), civil=START), (), concern(a_case(PROD), "x", None), START)
    assert held is not None
    assert held.reason == reason


GONE = PROD.model_copy(update={"ends_at": START})


@pytest.mark.parametrize(
    ("matches", "sample", "unseen", "keeps_quiet", "holds_actions"),
    [
        (['namespace="prod"'], [PROD], 0, True, True),
        (['namespace="prod"'], [PROD, DEV], 0, False, True),
        (['namespace="prod"', 'namespace="dev"'], [PROD, DEV], 0, True, True),
        (['namespace="dev"'], [GONE, DEV], 0, True, True),
        (['namespace="prod"'], [GONE, DEV], 0, False, False),
        (['namespace="prod"'], [PROD], 30, False, True),
        (['alertname="A"'], [PROD], 30, True, True),
        (['alertname="B"'], [PROD], 30, False, False),
        (['namespace!="dev"'], [PROD], 30, False, True),
        (['team=""'], [PROD], 30, False, True),
        ([], [PROD], 0, False, False),
    ],
)
def test_maintenance_keeps_quiet_only_what_it_surely_covers(
    matches: list[str], sample: list[MemberAlert], unseen: int, keeps_quiet: bool, holds_actions: bool
) -> None:
    """Every firing alert has to be in a window; for holding actions one that may be is enough."""
    windows = tuple(
        restraint(RestraintKind.MAINTENANCE, match, id=number, until=START + number * HOUR)
        for number, match in enumerate(matches, start=1)
    )
    case = a_case(*sample, unseen=unseen, windows=windows)
    assert (quiet(case, START) is not None) is keeps_quiet
    assert (maintained(windows, case, START) is not None) is holds_actions


def test_of_several_windows_the_first_end_counts_for_quiet_and_the_last_for_acting() -> None:
    """Once one alert is out of maintenance people hear; once all are, actions may start."""
    windows = (
        restraint(RestraintKind.MAINTENANCE, 'namespace="prod"', id=1, until=START + HOUR),
        restraint(RestraintKind.MAINTENANCE, 'namespace="dev"', id=2, until=START + 2 * HOUR),
    )
    case = a_case(PROD, DEV, windows=windows)
    first, last = quiet(case, START), maintained(windows, case, START)
    assert (first and first.until, last and last.until) == (START + HOUR, START + 2 * HOUR)
    assert quiet(case, START + HOUR) is None
