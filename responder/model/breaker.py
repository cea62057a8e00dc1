"""The circuit breaker of a rule: open from its last of several failures in a row until a person resets it."""

from datetime import datetime
from uuid import UUID

from responder.model.base import Frozen


class Breaker(Frozen):
    """One opening. It goes by the rule's name: a changed rule has not yet shown that it does better."""

    rule: str
    opened_at: datetime
    attempts: tuple[UUID, ...]
    """The attempts in a row that did not lead to recovery, the newest first."""
    reset_at: datetime | None = None
    """None while it is open."""
    actor: str | None = None
    reason: str | None = None
