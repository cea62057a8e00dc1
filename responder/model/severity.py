"""How bad it is, and what that obliges us to: the manual's table "Incident Classification"."""

from datetime import timedelta
from enum import StrEnum

from responder.model.base import Frozen


class Severity(StrEnum):
    """P0 (service down) to P3 (cosmetic or future impact); a smaller number is worse."""

    P0 = "P0"
    P1 = "P1"
    P2 = "P2"
    P3 = "P3"


class SeverityTerms(Frozen):
    """What a severity promises people.

    `response_time` is how long an incident may be held or wait for an answer before a person is told;
    `update_interval` is how often people are told again while it is escalated.
    """

    description: str
    response_time: timedelta
    update_interval: timedelta
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
