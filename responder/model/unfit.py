"""What pydantic says that a value does not fit by, in words for a person where its own are Python's."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from responder.model.duration import format_duration

_BOUNDS = {
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "shorter than"),
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "longer than"),
}


_TIMEDELTA = re.compile(r"datetime\.timedelta\((0|(?:\w+=\d+(?:, )?)+)\)")
_FIELD = re.compile(r"(\w+)=(\d+)")


def unfit(detail: Mapping[str, Any]) -> str:
    """The message of one of its errors; a mend, where it names one, follows behind a semicolon."""
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        if (bound := _length(context.get(name))) is not None:
            return f"it must be {words} {bound}"
    if kind == "too_short" and context.get("min_length") == 1:
        return "nothing is named; name at least one"
    return str(detail["msg"]).removeprefix("Value error, ")


def _length(bound: object) -> str | None:
    """A duration as users write it: pydantic tells its bounds as Python would. None for another bound."""
    written = _TIMEDELTA.fullmatch(str(bound))
    if written is None:
        return None
    parts = {name: int(number) for name, number in _FIELD.findall(written[1])}
    return format_duration(timedelta(**parts)) if parts else "0s"
