"""How the review writes times, durations and values from outside, the same in every form."""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from responder.model.base import canonical_json
from responder.model.duration import format_duration

LONGEST = 500
"""Characters of one value in the forms for people; the JSON form has all of them."""

_SPACES = re.compile(r"\s+")
_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def when(at: datetime) -> str:
    """A moment to the second, in UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def day(at: datetime) -> str:
    """The date in UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d}"


def clock(at: datetime) -> str:
    """The time of day to the millisecond, in UTC."""
    utc = at.astimezone(UTC)
    return f"{utc:%H:%M:%S}.{utc.microsecond // 1000:03d}"


def lasted(span: timedelta) -> str:
    """A duration as people read it: milliseconds, then tenths of a second, from a minute on whole seconds."""
    if span < timedelta(0):
        return f"-{lasted(-span)}"
    if span < timedelta(seconds=1):
        return format_duration(span)
    if span < timedelta(minutes=1):
        return f"{int(span / timedelta(milliseconds=100)) / 10:.1f}s"
    return format_duration(timedelta(seconds=int(span.total_seconds())))


def offset(span: timedelta) -> str:
    """A duration with its sign, for a column of times."""
    return lasted(span) if span < timedelta(0) else f"+{lasted(span)}"


def plain(text: str) -> str:
    """One line without anything invisible.

    White space becomes one space; control characters, bidirectional overrides and the like are written as
    their code, so that no value can hide, reverse or break what stands around it.
    """
    line = _SPACES.sub(" ", text).strip()
    shown = "".join(c if unicodedata.category(c) not in _INVISIBLE else f"\\u{ord(c):04x}" for c in line)
    if len(shown) <= LONGEST:
        return shown
    return f"{shown[:LONGEST]} … ({len(text)} characters)"


def sentence(text: str) -> str:
    """A text with a full stop, where it has no end of its own: what people write often has one."""
    said = text.rstrip()
    return said if said.endswith((".", "!", "?")) else f"{said}."


def listed(titles: Sequence[str], number: int) -> Iterator[str]:
    """Titles, each for a line of its own, and how many of `number` are not among them."""
    yield from titles
    if number > len(titles):
        yield f"and {number - len(titles)} more"


def pairs(labels: Mapping[str, str]) -> str:
    """Labels as text, sorted by name."""
    return ", ".join(f"{name}={value}" for name, value in sorted(labels.items()))


def value_text(value: object) -> str:
    """A value of a state or of parameters as one line."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case str():
            return value
        case int() | float():
            return str(value)
        case Mapping():
            told = {name: _inner(inner) for name, inner in value.items() if not is_empty(inner)}
            return pairs(told) or "-"
        case _:
            return canonical_json(value)


def _inner(value: object) -> str:
    return f"{{{value_text(value)}}}" if isinstance(value, Mapping) else value_text(value)


def is_empty(value: object) -> bool:
    """Whether a value says nothing."""
    return value is None or value in ("", [], {}, ())


def count(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun."""
    return f"{number} {one if number == 1 else many or one + 's'}"


_LINK = re.compile(
    r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~/%+=@,;:-]*)?(\?[A-Za-z0-9._~/%+=&-]*)?(#[A-Za-z0-9._~/%=-]*)?"
)


def is_link(text: str) -> bool:
    """Whether a text is a plain web address, and nothing that could be anything else."""
    return _LINK.fullmatch(text) is not None
