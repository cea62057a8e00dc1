"""Durations as Prometheus writes them (`1h30m`, `500ms`): what users read and write everywhere."""

import re
from datetime import timedelta
from functools import lru_cache
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema

_UNITS_MS = {
    "y": 365 * 86_400_000,
    "w": 7 * 86_400_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1000,
    "ms": 1,
}
_PATTERN = re.compile(r"(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+)s)?(?:(\d+)ms)?")


@lru_cache(maxsize=1024)
def parse_duration(text: str) -> timedelta:
    """Read a Prometheus duration.

    Raises:
        ValueError: the text is no duration; says what one looks like.
    """
    if text == "0":
        return timedelta(0)
    if text.isdecimal():
        raise ValueError(_without_unit(text))
    found = _PATTERN.fullmatch(text)
    if not text or found is None:
        raise ValueError(f"{text!r} is no duration; write one like 30s, 10m, 1h30m or 7d")
    amounts = (int(part or 0) * unit for part, unit in zip(found.groups(), _UNITS_MS.values(), strict=True))
    try:
        return timedelta(milliseconds=sum(amounts))
    except OverflowError:
        raise ValueError(f"{text!r} is too long a duration") from None


@lru_cache(maxsize=1024)
def format_duration(value: timedelta) -> str:
    """Write a duration the shortest way Prometheus would read back; below a millisecond is dropped."""
    rest = int(value / timedelta(milliseconds=1))
    if rest == 0:
        return "0s"
    parts = []
    for unit, size in _UNITS_MS.items():
        if unit in {"y", "w"} and rest % size:
            continue
        amount, rest = divmod(rest, size)
        if amount:
            parts.append(f"{amount}{unit}")
    return "".join(parts)


def _coerce(value: Any) -> Any:
    match value:
        case str():
            return parse_duration(value)
        case bool():
            raise ValueError("a yes or no is no duration; write one like 30s, 10m, 1h30m or 7d")
        case int() | float() if value:
            raise ValueError(_without_unit(str(value)))
        case _:
            return value


def _without_unit(number: str) -> str:
    mend = f"{number}s or {number}m" if number.isdecimal() else "one like 30s, 10m, 1h30m or 7d"
    return f"{number} has no unit; write {mend}"


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("must be more than 0s; write one like 30s or 10m")
    return value


Duration = Annotated[
    timedelta,
    BeforeValidator(_coerce),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema(
        {"type": "string", "pattern": "^(0|([0-9]+(y|w|d|h|ms|m|s))+)$", "examples": ["30s", "1h30m"]}
    ),
]
"""A pydantic field that reads and writes Prometheus durations. A number needs its unit; only 0 has none."""

PositiveDuration = Annotated[Duration, AfterValidator(_positive)]
"""A duration that is longer than nothing."""
