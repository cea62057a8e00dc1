"""Escalation policies: who is told of an incident, and who next where nobody acknowledges it."""

from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from responder.model.base import Frozen

LOG = "log"
"""The channel that is always there."""


class PolicyLevel(Frozen):
    """The channels that one level adds to those below it, by their names in the settings."""

    channels: tuple[str, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len(set(self.channels)) != len(self.channels):
            raise ValueError("a channel is named twice in one level")
        return self


class EscalationPolicy(Frozen):
    """Levels from the first page up. Past the last one, the last one is told again.

    How long a level has before the next is told is the severity's `update_interval`.
    """

    levels: tuple[PolicyLevel, ...] = Field(min_length=1)

    def told(self, level: int) -> tuple[str, ...]:
        """The channels told at `level` (from 1; 0 is information and goes where level 1 goes), each once."""
        reached = self.levels[: max(1, level)]
        return tuple(dict.fromkeys(channel for each in reached for channel in each.channels))


LOG_ONLY = EscalationPolicy(levels=(PolicyLevel(channels=(LOG,)),))
"""What is followed where the settings name no policy."""


class NoticeKind(StrEnum):
    """What a word to people is about."""

    OPENED = "opened"
    """It has begun; automation works on it."""
    ESCALATED = "escalated"
    """A person has to act."""
    AGAIN = "again"
    """It is still so: told again, one level up unless it is acknowledged."""
    REMINDER = "reminder"
    """Somebody took it over, and it still fires."""
    QUESTION = "question"
    """A person has to say yes or no."""
    RESOLVED = "resolved"
    """It is over."""
