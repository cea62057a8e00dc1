"""The storm: so many incidents open at once that each alone says nothing, and one tells of all.

That one is the umbrella incident. It is of a rule that no rule file has, and has no alerts: it goes by the
number of incidents that opened lately, and of those that are part of it and still fire.
"""

from datetime import timedelta
from uuid import UUID

from pydantic import Field

from responder.model.autonomy import Autonomy
from responder.model.base import Frozen
from responder.model.duration import PositiveDuration
from responder.model.rule import Limits, Position, Rule, SeverityCase
from responder.model.severity import Severity

ACTING = frozenset({Severity.P0, Severity.P1})
"""What acts and pages in a storm as ever."""

UMBRELLA = Rule(
    name="storm",
    match=(),
    severity=(SeverityCase(severity=Severity.P1),),
    group_by=(),
    wait_for=timedelta(0),
    autonomy=Autonomy.OBSERVE,
    limits=Limits(attempts=1, per=timedelta(hours=1), cooldown=timedelta(0)),
    escalate=True,
    position=Position(file="(built in)", line=1, column=1),
)
"""What the umbrella incident is an incident of. Rule files may not have a rule of this name."""


class StormTerms(Frozen):
    """When it is a storm, and how its umbrella incident is kept."""

    openings: int = Field(default=50, ge=2, le=1000)
    """So many incidents opened ..."""
    within: PositiveDuration = timedelta(minutes=5)
    """... in so long: a storm."""
    gather_for: PositiveDuration = timedelta(seconds=10)
    """How long the umbrella incident waits with its page, so that the page can say what is part of it."""
    look_every: PositiveDuration = timedelta(seconds=30)
    """How often the umbrella incident counts."""


class Storm(Frozen):
    """What is known of a storm when a case is read."""

    openings: int = 0
    """How many incidents opened within the time that counts; no more are counted than make a storm."""
    umbrella: UUID | None = None
    """The umbrella incident that people were told of, or are about to be."""
    covered: dict[str, int] = Field(default_factory=dict)
    """Of the umbrella incident: how many incidents of each rule are part of it."""
    still_firing: int = 0
    """Of the umbrella incident: how many of those have an alert that fires."""

    def raging(self, terms: StormTerms) -> bool:
        """Whether so many incidents opened lately that it is a storm."""
        return self.openings >= terms.openings

    def over(self, terms: StormTerms) -> bool:
        """Whether few enough still fire that each of them can speak for itself again."""
        return not self.raging(terms) and self.still_firing < terms.openings
