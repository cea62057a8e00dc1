"""A mistake in a rule file: where, what, and how to mend it. And the one place that collects them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches

from responder.model.rule import Position


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong. `text` says what, `mend` what to do; neither ends with a full stop."""

    position: Position
    text: str
    mend: str

    def __str__(self) -> str:
        """One line: `file:line:column: text. mend.`."""
        return f"{self.position}: {self.text}. {self.mend}."


@dataclass(slots=True)
class Mistakes:
    """Collects what is wrong while reading goes on, so that one run tells everything."""

    found: list[Mistake] = field(default_factory=list)

    def add(self, position: Position, text: str, mend: str) -> None:
        """Note one mistake."""
        self.found.append(Mistake(position, text, mend))

    def sorted(self) -> tuple[Mistake, ...]:
        """All of them, once each, by file, line and column."""
        unique = dict.fromkeys(self.found)
        return tuple(
            sorted(unique, key=lambda m: (m.position.file, m.position.line, m.position.column, m.text))
        )


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant, or None."""
    return next(iter(get_close_matches(word, list(known), n=1, cutoff=0.6)), None)


def did_you_mean(word: str, known: Iterable[str], kind: str) -> str:
    """The mend for a word that nobody knows: the nearest one, or all of them."""
    words = sorted(known)
    close = nearest(word, words)
    if close is not None:
        return f"Write `{close}` if that is meant"
    return f"Known {kind}: {', '.join(words) or 'none'}"
