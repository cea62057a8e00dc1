"""The terms of decisions: what holds without any settings, and which settings are refused."""

from typing import Any

import pytest
from pydantic import ValidationError

from responder.decide.case import Flapping, Pace, SourceView, Terms
from responder.model.policy import LOG_ONLY, EscalationPolicy, PolicyLevel
from responder.model.severity import MANUAL_TERMS, Severity
from responder.model.storm import StormTerms


def test_without_settings_every_deadline_is_as_the_state_table_has_it() -> None:
    """And the pace of looking again, when a clock or a source is doubted, and when it flaps or breaks."""
    assert Pace().model_dump(mode="json") == {
        "open_deadline": "5m",
        "effect_grace": "30s",
        "verify_deadline": "30m",
        "verify_every": "5s",
        "hold_every": "5s",
        "suppressed_every": "30s",
        "suppressed_deadline": "1d",
        "taken_over_deadline": "1h",
        "reopen_within": "30m",
        "recorded_for": "30m",
        "max_alert_age": "10m",
        "start_window": "5s",
        "contest_window": "1m",
        "missed_starts": 3,
        "storm": StormTerms().model_dump(mode="json"),
        "flapping": {"episodes": 5, "within": "30m"},
        "breaker_after": 3,
        "self_caused_within": "5m",
    }
    assert Terms().severities == MANUAL_TERMS


@pytest.mark.parametrize(
    ("model", "field", "good", "bad"),
    [
        (Flapping, "episodes", (2, 1000), (1, 1001)),
        (Pace, "breaker_after", (1, 1000), (0, 1001)),
        (Pace, "missed_starts", (1,), (0,)),
        (Pace, "start_window", ("0s", "5s"), ("5s1ms",)),
    ],
)
def test_a_setting_out_of_its_bounds_is_refused(
    model: type[Flapping | Pace], field: str, good: tuple[Any, ...], bad: tuple[Any, ...]
) -> None:
    """One episode is no flapping, no attempt breaks nothing, and a start may not outlast a halt."""
    for value in good:
        model.model_validate({field: value})
    for value in bad:
        with pytest.raises(ValidationError, match=field):
            model.model_validate({field: value})


def test_a_severity_is_told_by_the_policy_that_its_terms_name() -> None:
    """The log, where they name none."""
    urgent = EscalationPolicy(levels=(PolicyLevel(channels=("phone",)),))
    named = MANUAL_TERMS[Severity.P0].model_copy(update={"policy": "urgent"})
    terms = Terms(severities={**MANUAL_TERMS, Severity.P0: named}, policies={"urgent": urgent})
    assert terms.policy(Severity.P0) == urgent
    assert terms.policy(Severity.P1) == LOG_ONLY


def test_an_answer_of_the_source_counts_nothing_that_it_does_not_say() -> None:
    """An answer without a problem, and without a number, is that none of the alerts is known."""
    view = SourceView(configured=True)
    assert (view.firing, view.suppressed, view.absent) == (0, 0, 0)
