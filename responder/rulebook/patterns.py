"""Many anchored expressions asked of one text at once: which of them may match it.

RE2 runs them as one automaton, so a hundred cost about as much as one. It may run out of memory over hostile
expressions and then says the same as where nothing matches. So an expression that always matches stands among
them: where it is missing from the answer all of them may match.
"""

from collections.abc import Sequence
from typing import Any

import re2

_ALWAYS = "(?s:.*)"
_TOGETHER = 256
"""So many stand in one automaton: hostile ones cost their own few neighbours, not all."""


class Patterns:
    """Expressions, each for the position of a rule."""

    def __init__(self, patterns: Sequence[tuple[str, int]]) -> None:
        starts = range(0, len(patterns), _TOGETHER)
        self._groups = [_Group(patterns[start : start + _TOGETHER]) for start in starts]

    def may_match(self, value: str) -> list[int]:
        """The positions of those that match the value, or may; in no order."""
        text = value.encode()
        return [position for group in self._groups for position in group.may_match(text)]


class _Group:
    """Expressions that share one automaton."""

    def __init__(self, patterns: Sequence[tuple[str, int]]) -> None:
        self._positions = [position for _, position in patterns]
        self._set = _together([pattern for pattern, _ in patterns])

    def may_match(self, text: bytes) -> Sequence[int]:
        found = None if self._set is None else self._set.Match(text)
        last = len(self._positions)
        if found is None or last not in found:
            return self._positions
        return [self._positions[at] for at in found if at != last]


def _together(patterns: Sequence[str]) -> Any:
    """The automaton of them, the one that always matches last; None where they are too much for one."""
    options = re2.Options()
    options.log_errors = False
    together = re2.Set.SearchSet(options)
    try:
        for pattern in (*patterns, _ALWAYS):
            together.Add(f"^(?:{pattern})$")
        together.Compile()
    except re2.error:
        return None
    return together
