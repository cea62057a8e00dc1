"""How far automation may go: `observe < shadow < approve < auto`."""

from enum import IntEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from responder.model.base import Frozen
from responder.model.way import Way


class Autonomy(IntEnum):
    """The ladder of trust. What applies to an attempt is the least of all ceilings that speak."""

    OBSERVE = 0
    """Record what matched; do not even look at the target."""
    SHADOW = 1
    """Do everything but the effect."""
    APPROVE = 2
    """Ask a person before each effect."""
    AUTO = 3
    """Act alone."""

    @property
    def word(self) -> str:
        """The name that users write."""
        return self.name.lower()


def _coerce(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return Autonomy[value.upper()]
        except KeyError:
            raise ValueError(f"{value!r} is no autonomy; choose observe, shadow, approve or auto") from None
    return value


AutonomyWord = Annotated[
    Autonomy,
    BeforeValidator(_coerce),
    PlainSerializer(lambda level: level.word, return_type=str),
    WithJsonSchema({"enum": [level.name.lower() for level in Autonomy]}),
]
"""A pydantic field that reads and writes the users' word."""


class Ceiling(Frozen):
    """One limit on autonomy and where it comes from, in words for the timeline."""

    level: AutonomyWord
    origin: str
    way: Way | None = None
    """How a person raises it."""


def effective(ceilings: tuple[Ceiling, ...]) -> Ceiling:
    """The least of all; of equals the first, so that the reason named is stable."""
    return min(ceilings, key=lambda ceiling: ceiling.level)
