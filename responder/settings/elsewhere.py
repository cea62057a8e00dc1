"""A mistake that shows only between two blocks, told where it was written and not at the top of the file."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic_core import PydanticCustomError

from responder.settings.tree import KeyPath

_TYPE = "elsewhere"


class Mistaken(NamedTuple):
    """One of them: where, what, and how to mend it."""

    path: KeyPath
    text: str
    mend: str


def elsewhere(mistaken: Sequence[Mistaken]) -> PydanticCustomError:
    """The error that a validator of all settings raises, for `load` to take apart."""
    return PydanticCustomError(_TYPE, "settings do not fit together", {"mistaken": tuple(mistaken)})


def taken_apart(detail: Mapping[str, Any]) -> tuple[Mistaken, ...] | None:
    """The mistakes of such an error among pydantic's; None for any other."""
    found: tuple[Mistaken, ...] = detail["ctx"]["mistaken"] if detail["type"] == _TYPE else ()
    return found or None
