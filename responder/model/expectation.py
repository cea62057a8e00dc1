"""What a rule expects of the answer of a read-only action: a comparison for each field that it names.

A field of the action's result is a number, a duration, a text, a yes or no, or a list of these, of which each
one has to be as expected. What is not there, or is no number, is no data: that is never as expected.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Any

from responder.model.base import Frozen
from responder.model.duration import format_duration


class FieldKind(StrEnum):
    """What a field of a result is, and so how it is compared."""

    NUMBER = "number"
    DURATION = "duration"
    TEXT = "text"
    TRUTH = "truth"


ORDERED = frozenset({FieldKind.NUMBER, FieldKind.DURATION})
"""The kinds of which one value is less than another."""


class ExpectedField(Frozen):
    """One comparison. A duration is in seconds."""

    field: str
    kind: FieldKind
    op: str
    value: float | bool | str

    def holds(self, found: float | bool | str) -> bool:
        """Whether one value is as expected. NaN never is."""
        match self.op, found, self.value:
            case "==", _, wanted:
                return found == wanted
            case "!=", _, wanted:
                return found != wanted and found == found  # noqa: PLR0124 - NaN is not unequal, it is no answer
            case "<", float() | int(), float() | int() as limit:
                return found < limit
            case "<=", float() | int(), float() | int() as limit:
                return found <= limit
            case ">", float() | int(), float() | int() as limit:
                return found > limit
            case ">=", float() | int(), float() | int() as limit:
                return found >= limit
            case _:
                return False

    @property
    def words(self) -> str:
        """The comparison as users write it."""
        return f"{self.op} {told(self.value, self.kind)}"


Expectation = tuple[ExpectedField, ...]
"""All of it has to hold."""


class FieldFound(Frozen):
    """What one field was against what was expected; `holds` is None where there is no data."""

    field: str
    expected: str
    found: str
    holds: bool | None

    @property
    def words(self) -> str:
        """One line for people."""
        if self.holds is None:
            return f"{self.field} is not known ({self.found}), expected {self.expected}"
        return f"{self.field} is {self.found}, expected {self.expected}"


def compared(expectation: Iterable[ExpectedField], result: Mapping[str, Any]) -> tuple[FieldFound, ...]:
    """Every field that is expected, as it was found. `result` is a state's, or what JSON has kept of one."""
    return tuple(_compared(one, result.get(one.field)) for one in expectation)


def together(found: Iterable[FieldFound]) -> bool | None:
    """Whether all of it is as expected: a wrong field is a no, whatever is not known beside it."""
    holds = [one.holds for one in found]
    if False in holds:
        return False
    return None if None in holds else True


def told(value: float | bool | str, kind: FieldKind) -> str:
    """A value for people."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if kind is FieldKind.DURATION:
        return format_duration(timedelta(seconds=round(value)))
    return f"{value:g}"


def _compared(one: ExpectedField, value: Any) -> FieldFound:
    values = list(value) if isinstance(value, list | tuple) else [value]
    read = [_read(each, one.kind) for each in values]
    known = [each for each in read if each is not None]
    wrong = [each for each in known if not one.holds(each)]
    if wrong:
        return _found(one, wrong, of=len(values), holds=False)
    if not known:
        return FieldFound(field=one.field, expected=one.words, found="no data", holds=None)
    if len(known) < len(values):
        missing = f"{len(values) - len(known)} of {len(values)} have no data"
        return FieldFound(field=one.field, expected=one.words, found=missing, holds=None)
    return _found(one, known, of=len(values), holds=True)


_NAMED = 3
"""How many values of a list are told."""


def _found(one: ExpectedField, values: list[float | bool | str], *, of: int, holds: bool) -> FieldFound:
    words = ", ".join(told(value, one.kind) for value in values[:_NAMED])
    more = "" if len(values) <= _NAMED else f" and {len(values) - _NAMED} more"
    part = f" ({len(values)} of {of})" if not holds and of > 1 else ""
    return FieldFound(field=one.field, expected=one.words, found=f"{words}{more}{part}", holds=holds)


def _read(value: Any, kind: FieldKind) -> float | bool | str | None:
    """A value as its kind is compared; None where it is none: that is no data."""
    match kind, value:
        case FieldKind.TRUTH, bool():
            return value
        case FieldKind.TEXT, str():
            return str(value)
        case ((FieldKind.NUMBER | FieldKind.DURATION), bool()):
            return None
        case ((FieldKind.NUMBER | FieldKind.DURATION), int() | float()) if value == value:  # noqa: PLR0124 - NaN
            return float(value)
        case _:
            return None
