"""What a person asked for by themselves: an act, or an incident that no alert opened."""

from datetime import datetime, timedelta
from uuid import UUID

from pydantic import Field

from responder.model.autonomy import Autonomy, Ceiling
from responder.model.base import Frozen

RULES = "by-hand/"
"""What the name of the rule of an act by hand begins with. No rule file can have such a name."""

OPENED = f"{RULES}incident"
"""The rule of an incident that a person opened under a title."""

GIVE_BACK = "give-back/"
"""What the name of the rule begins with by which something is given back."""

GIVE_BACK_GOOD_FOR = timedelta(days=1)
"""How long a give-back may begin after it was due, once people have been told that it could not."""

GOOD_FOR = timedelta(minutes=15)
"""How long after it was asked for an act may begin: what a person wanted then need not be wanted later."""


DRY_RUN = Ceiling(level=Autonomy.SHADOW, origin="a dry run")
"""What caps an act of which everything but the effect is wanted."""


class ByHand(Frozen):
    """Who opened an incident that no alert did, and why.

    An act has an `action` and a `target`. An incident for people has neither; its `title` says what it is.
    """

    actor: str
    reason: str
    title: str
    asked_at: datetime
    """In service time."""
    action: str | None = None
    target: str | None = None
    dry_run: bool = False
    """Whether everything but the effect is wanted."""
    identity: str | None = None
    """Whose token it was."""
    said_by: str | None = None
    """Who they said they were, where their token says otherwise."""
    gives_back: UUID | None = Field(default=None, exclude_if=lambda value: value is None)
    """The attempt that is given back: then no person asked, but the step that it was made for."""

    @property
    def acts(self) -> bool:
        """Whether something is to be done, or looked at."""
        return self.action is not None

    @property
    def until(self) -> datetime:
        """From when on it does not begin any more."""
        return self.asked_at + (GOOD_FOR if self.gives_back is None else GIVE_BACK_GOOD_FOR)
