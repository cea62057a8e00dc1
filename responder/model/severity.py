"""How bad it is, and what that obliges us to: the manual's table "Incident Classification"."""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from responder.model.base import Frozen
from responder.model.duration import Duration


class Severity(StrEnum):
    """P0 (service down) to P3 (cosmetic or future impact); a smaller number is worse."""

    P0 = "P0"
    P1 = "P1"
    P2 = "P2"
    P3 = "P3"


_SHORTEST = timedelta(seconds=1)


class SeverityTerms(Frozen):
    """What a severity promises people.

    `response_time` is how long an incident may be held or wait for an answer before a person is told;
    `update_interval` is how often people are told again while it is escalated. Neither is so short that
    people are told without end, nor so long that nobody is told while it matters.
    """

    description: str = Field(min_length=1)
    response_time: Duration = Field(ge=_SHORTEST, le=timedelta(days=7))
    update_interval: Duration = Field(ge=_SHORTEST, le=timedelta(days=1))
    policy: str | None = None
    """The name of the escalation policy that says who is told; None for the log alone."""
    review_required: bool


MANUAL_TERMS: dict[Severity, SeverityTerms] = {
    Severity.P0: SeverityTerms(
        description="Service completely down",
        response_time=timedelta(minutes=15),
        update_interval=timedelta(minutes=15),
        review_required=True,
    ),
    Severity.P1: SeverityTerms(
        description="Major functionality affected",
        response_time=timedelta(hours=1),
        update_interval=timedelta(minutes=30),
        review_required=True,
    ),
    Severity.P2: SeverityTerms(
        description="Minor functionality affected",
        response_time=timedelta(hours=4),
        update_interval=timedelta(hours=4),
        review_required=False,
    ),
    Severity.P3: SeverityTerms(
        description="Cosmetic or future impact",
        response_time=timedelta(hours=24),
        update_interval=timedelta(hours=24),
        review_required=False,
    ),
}
"""The defaults, from the operations manual ("Incident Classification"; updates "every 15 minutes")."""


def _over_the_manual(value: Any) -> Any:
    """What is left out of a severity is as the manual has it, and so is a severity that is left out.

    One that there is not stays, with terms of which nothing is told: its name alone is wrong.
    """
    if not isinstance(value, Mapping):
        return value
    given = {str(name): terms for name, terms in value.items()}
    return {
        **{name: _completed(given.get(name, {}), terms) for name, terms in MANUAL_TERMS.items()},
        **{name: MANUAL_TERMS[Severity.P3] for name in given if name not in MANUAL_TERMS},
    }


def _completed(given: Any, manual: SeverityTerms) -> Any:
    return {**dict(manual), **given} if isinstance(given, Mapping) else given


Severities = Annotated[dict[Severity, SeverityTerms], BeforeValidator(_over_the_manual)]
"""A pydantic field with the terms of every severity: what is given stands above the manual's."""
