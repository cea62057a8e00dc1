"""The report on shadow: by rule what would have been done, and how it went without it."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from responder.model.guard import Ruling
from responder.model.severity import Severity
from responder.ports import ShadowRunTold
from responder.review.shadow import WithoutIt, report

NOW = datetime(2026, 11, 24, 3, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def _run(minutes: int, incident_id: UUID | None = None, **more: Any) -> ShadowRunTold:
    """A step that was judged so many minutes ago and would have started."""
    told: dict[str, Any] = {
        "incident_id": incident_id or uuid4(),
        "severity": Severity.P2,
        "key": {"server": "db1"},
        "rule": "Stuck",
        "step": 0,
        "action": "postgres.terminate_queries",
        "target": "postgres/db1",
        "ruling": Ruling.GO,
        "guard": "autonomy",
        "reason": "shadow, no effect",
        "elements": ("pid 7",),
        "element_count": 1,
        "at": NOW - minutes * MINUTE,
        "quiet_at": None,
        "person": None,
        "other_incident": None,
        "own_attempt": False,
    }
    return ShadowRunTold.model_validate({**told, **more})


def test_each_incident_counts_by_its_first_judged_step() -> None:
    """What comes after is the same trouble: an incident that was judged twice recovered once."""
    twice = uuid4()
    runs = [
        _run(5, twice, quiet_at=NOW, ruling=Ruling.WAIT, guard="cooldown"),
        _run(20, twice, quiet_at=NOW - 10 * MINUTE),
        _run(30, quiet_at=NOW - 26 * MINUTE),
        _run(40, person="ada", quiet_at=NOW),
        _run(50, other_incident=uuid4()),
        _run(60),
    ]
    [rule] = report(runs, NOW - timedelta(days=1), NOW, cut=False).rules
    assert rule.incidents == 5
    assert (rule.would_start, rule.would_ask, rule.would_wait, rule.would_be_refused) == (5, 0, 1, 0)
    assert rule.against == {"cooldown": 1}
    assert rule.without_it == {
        WithoutIt.ALONE: 2,
        WithoutIt.PERSON: 1,
        WithoutIt.OTHER: 1,
        WithoutIt.FIRING: 1,
    }
    assert rule.alone_after == 4 * MINUTE


def test_what_would_have_found_nothing_is_not_said_to_have_started() -> None:
    """It is counted beside; what was not looked at may have found something, and so may what a guard held."""
    runs = [
        _run(1),
        _run(2, elements=(), element_count=0),
        _run(3, elements=(), element_count=0, observed=True),
        _run(4, elements=(), element_count=0, ruling=Ruling.WAIT, guard="cooldown"),
    ]
    found = report(runs, NOW, NOW, cut=False)
    assert [run.found_nothing for run in found.runs] == [False, True, False, False]
    [rule] = found.rules
    assert (rule.would_start, rule.would_find_nothing, rule.would_wait) == (2, 1, 1)


def test_rules_stand_by_name_and_runs_as_they_came() -> None:
    """Nothing was judged: then there is nothing to tell."""
    found = report([_run(1, rule="B"), _run(2, rule="A"), _run(3, rule="B")], NOW, NOW, cut=True)
    assert [(one.rule, one.incidents) for one in found.rules] == [("A", 1), ("B", 2)]
    assert [one.rule for one in found.runs] == ["B", "A", "B"]
    assert found.cut
    assert report([], NOW, NOW, cut=False).rules == ()


def test_what_our_own_later_attempt_ended_did_not_recover_by_itself() -> None:
    """Promoted after it was judged: it is counted as ended by us, and not in the time that others took."""
    runs = [
        _run(30, quiet_at=NOW - 26 * MINUTE),
        _run(40, own_attempt=True, quiet_at=NOW),
        _run(50, own_attempt=True),
        _run(60, own_attempt=True, person="ada"),
    ]
    [rule] = report(runs, NOW - timedelta(days=1), NOW, cut=False).rules
    assert rule.without_it == {
        WithoutIt.ALONE: 1,
        WithoutIt.US: 1,
        WithoutIt.FIRING: 1,
        WithoutIt.PERSON: 1,
    }
    assert rule.alone_after == 4 * MINUTE
