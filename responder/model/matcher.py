"""Alertmanager's matchers as data. Parsing text into them is `rulebook.matchers`; evaluating is here."""

from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Any

import re2

from responder.model.base import Frozen

_RESERVED = frozenset("{}!=~,\\\"'`")


class MatchOp(StrEnum):
    """How a matcher compares."""

    EQUAL = "="
    NOT_EQUAL = "!="
    REGEX = "=~"
    NOT_REGEX = "!~"


class Matcher(Frozen):
    """One condition on one label. A label that is missing is the empty string, as in Alertmanager."""

    name: str
    op: MatchOp
    value: str

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels meet the condition."""
        value = labels.get(self.name, "")
        match self.op:
            case MatchOp.EQUAL:
                return value == self.value
            case MatchOp.NOT_EQUAL:
                return value != self.value
            case MatchOp.REGEX:
                return _found(self.value, value)
            case MatchOp.NOT_REGEX:
                return not _found(self.value, value)

    @property
    def asks_for_presence(self) -> bool:
        """Whether it only asks if the label is there, or is not, whatever its value."""
        match self.op:
            case MatchOp.EQUAL | MatchOp.NOT_EQUAL:
                return not self.value
            case MatchOp.REGEX | MatchOp.NOT_REGEX:
                return self.value == ".+"

    def __str__(self) -> str:
        """The form that Alertmanager writes: name (quoted where it must be), operator, quoted value."""
        plain = self.name and not any(sign in _RESERVED or sign.isspace() for sign in self.name)
        return f"{self.name if plain else _quoted(self.name)}{self.op.value}{_quoted(self.value)}"


def all_match(matchers: tuple[Matcher, ...], labels: Mapping[str, str]) -> bool:
    """Whether every matcher holds; no matcher at all matches everything."""
    return all(matcher.matches(labels) for matcher in matchers)


@lru_cache(maxsize=16_384)  # the rules of a large rulebook, each with its own
def compiled(pattern: str) -> Any:
    """The RE2 program of an anchored pattern.

    Anchoring is a search for `^(?:...)$`, not a full match: that is what Alertmanager does.

    Raises:
        ValueError: RE2 cannot compile the pattern; says why.
    """
    try:
        return re2.compile(f"^(?:{pattern})$", _quiet())
    except re2.error as error:
        reason = error.args[0] if error.args else error
        text = reason.decode() if isinstance(reason, bytes) else str(reason)
        raise ValueError(f"{pattern!r} is no RE2 expression: {text}") from None


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _quiet() -> Any:
    options = re2.Options()
    options.log_errors = False
    return options


def _found(pattern: str, value: str) -> bool:
    # bytes, because of text RE2's module tells every position in characters, which nobody asks for here
    return compiled(pattern).search(value.encode()) is not None
