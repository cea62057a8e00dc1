"""Guards over what makes a step doubtful: our own doing, other people's, other systems', and being blind."""

from datetime import UTC, date, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from responder.decide.guards import judge
from responder.decide.guards.source import blind, self_caused
from responder.decide.guards.target import human_override, managed_elsewhere, opt_out
from responder.decide.opt_out import opt_out_holds
from responder.model.attempt import OwnAct
from responder.model.guard import Guard, Refuses, Ruling
from responder.model.severity import Severity
from responder.model.spoken import moment
from responder.model.storm import Storm
from tests.unit.test_guards import NOW, TERMS, facts

MINUTE = timedelta(minutes=1)
ACT = OwnAct(
    target="kubernetes/prod/web/deployment/api", rule="Restart", incident_id=UUID(int=9), at=NOW - MINUTE
)


def test_what_began_right_after_an_act_of_ours_waits_until_that_has_settled() -> None:
    """It names the attempt, waits no longer than the window since then, and goes after it."""
    verdict = self_caused(facts(own_act=ACT), TERMS)
    assert (verdict.ruling, verdict.until) == (Ruling.WAIT, ACT.at + TERMS.self_caused_within)
    assert verdict.reason == (
        "it may be caused by our own attempt on kubernetes/prod/web/deployment/api "
        f"at {moment(ACT.at, NOW)} (rule Restart, incident {ACT.incident_id}): "
        f"not before {moment(ACT.at + TERMS.self_caused_within, NOW)}"
    )
    later = ACT.model_copy(update={"at": NOW - TERMS.self_caused_within})
    for act in (later, None):  # of one whose time is over it is not said that there was none
        past = self_caused(facts(own_act=act), TERMS)
        told = "nothing of ours here is recent enough to have caused it"
        assert (past.ruling, past.reason) == (Ruling.GO, told)


def test_what_somebody_else_manages_is_left_to_them() -> None:
    """The target is refused with the owner's name; the next step may find another."""
    verdict = managed_elsewhere(facts(managed_by="Argo CD application shop (self-heal)"), TERMS)
    assert (verdict.ruling, verdict.refuses) == (Ruling.REFUSE, Refuses.TARGET)
    assert "managed by Argo CD application shop (self-heal)" in verdict.reason


@pytest.mark.parametrize(
    ("changed", "ruling"), [(-1, Ruling.GO), (0, Ruling.REFUSE), (5, Ruling.REFUSE), (None, Ruling.GO)]
)
def test_what_a_person_changed_since_the_alert_is_left_to_them(changed: int | None, ruling: Ruling) -> None:
    """A change before the alert may be its cause; one since then is somebody at work, and is named."""
    at = None if changed is None else NOW + changed * MINUTE
    verdict = human_override(facts(began_at=NOW, changed_at=at, changed_by="ann with kubectl"), TERMS)
    assert verdict.ruling is ruling
    if ruling is Ruling.REFUSE:
        assert verdict.refuses is Refuses.TARGET
        assert verdict.reason.startswith("ann with kubectl changed postgres/orders at 2026-01-01 00:0")


def test_who_is_blind_does_nothing_by_itself() -> None:
    """The incident is refused, in the watchdog's words: no other step is any better."""
    verdict = blind(facts(blind="the watchdog alert W was last heard of from am 9m ago"), TERMS)
    assert (verdict.ruling, verdict.refuses) == (Ruling.REFUSE, Refuses.INCIDENT)
    assert verdict.reason == "blind: the watchdog alert W was last heard of from am 9m ago"


@pytest.mark.parametrize(
    ("mark", "holds"),
    [
        ("until 2025-12-31T23:59:59Z: moving house", False),
        ("Until 2025-12-31T23:59:59+00:00 moving house", False),
        ("until 2026-01-01T01:00:00+02:00: over an hour ago", False),
        ("until 2026-01-01T00:00:01Z: moving house", True),
        ("until 2025-12-30: over everywhere", False),
        ("until 2025-12-31: not over in the last time zone", True),
        ("until 2025-12-01T10:00: whose ten o'clock?", True),
        ("until 2025-02-31: there is no such day", True),
        ("until the migration is over", True),
        ("until", True),
        ("", True),
        ("true", True),
        ("ann: until 2025-01-01 or later", True),
    ],
)
def test_an_opt_out_that_is_over_holds_no_more_and_one_that_nobody_can_read_does(
    mark: str, holds: bool
) -> None:
    """In doubt the target is left alone."""
    assert opt_out_holds(mark, NOW) is holds
    verdict = opt_out(facts(opted_out=mark), TERMS)
    assert verdict.ruling is (Ruling.REFUSE if holds else Ruling.GO)
    assert mark in verdict.reason


ZONES = st.integers(-14, 14).map(lambda hours: timezone(timedelta(hours=hours)))
NEAR = st.integers(-3_000_000, 3_000_000).map(lambda seconds: NOW + timedelta(seconds=seconds))


@given(NEAR, ZONES)
def test_a_time_is_read_in_its_own_zone(until: datetime, zone: timezone) -> None:
    """Whatever zone it is written in: over from that very moment on."""
    assert opt_out_holds(f"until {until.astimezone(zone).isoformat()}: reason", NOW) is (until > NOW)


@given(st.dates(date(2025, 12, 1), date(2026, 2, 1)), ZONES)
def test_a_day_is_over_nowhere_before_it_is_over_everywhere(day: date, zone: timezone) -> None:
    """Whoever wrote it, and wherever: the whole day is theirs."""
    last = datetime(day.year, day.month, day.day, 23, 59, 59, tzinfo=zone)
    if zone.utcoffset(None) >= timedelta(hours=-12) and last >= NOW:
        assert opt_out_holds(f"until {day.isoformat()}: reason", NOW)


@given(st.text())
def test_whatever_a_mark_says_the_guard_says_something(mark: str) -> None:
    """No text of a target makes it fail; what does not begin with `until` and a time always holds."""
    if not mark.strip().lower().startswith("until"):
        assert opt_out_holds(mark, datetime.max.replace(tzinfo=UTC))
    opt_out_holds(mark, NOW)
    opt_out_holds(f"until {mark}", NOW)


def test_an_undo_is_not_held_back_by_what_only_keeps_from_doing_more() -> None:
    """Storm, blindness and our own act do not; a person's change, another owner and an opt-out do."""
    doubtful = {
        "storm": Storm(openings=TERMS.storm.openings),
        "blind": "no watchdog",
        "own_act": ACT,
        "managed_by": "Argo CD",
        "opted_out": "true",
        "began_at": NOW,
        "changed_at": NOW,
    }
    judgement = judge(facts(severity=Severity.P3, **doubtful), TERMS)
    against = {v.guard for v in judgement.verdicts if v.ruling is not Ruling.GO}
    assert against == {
        Guard.STORM, Guard.BLIND, Guard.SELF_CAUSED, Guard.MANAGED, Guard.OVERRIDE, Guard.SCOPE
    }  # fmt: skip
    undo = {v.guard for v in judgement.for_undo().verdicts if v.ruling is not Ruling.GO}
    assert undo == {Guard.MANAGED, Guard.OVERRIDE, Guard.SCOPE}


@pytest.mark.parametrize("severity", list(Severity))
def test_in_a_storm_only_p0_and_p1_act(severity: Severity) -> None:
    """One opening fewer, and all may."""
    most = TERMS.storm.openings
    acts = severity in {Severity.P0, Severity.P1}
    for openings, ruling in ((most, Ruling.GO if acts else Ruling.REFUSE), (most - 1, Ruling.GO)):
        verdict = judge(facts(severity=severity, storm=Storm(openings=openings)), TERMS).strictest
        assert verdict.ruling is ruling
    assert (
        acts
        or "a storm: 50 incidents or more opened within 5m; only P0 and P1 act"
        in judge(facts(severity=severity, storm=Storm(openings=most)), TERMS).strictest.reason
    )
