"""Inhibition: incidents of other rules that explain this one, so that it is only recorded meanwhile."""

from uuid import UUID

from responder.model.base import Frozen


class Inhibits(Frozen):
    """What would inhibit an incident: one of that rule which has these values of its group."""

    rule: str
    labels: dict[str, str]


class Inhibitor(Frozen):
    """The incident that does."""

    id: UUID
    rule: str

    def __str__(self) -> str:
        """As people are told of it."""
        return f"incident {self.id} of {self.rule}"
