"""Typed values from the tree of a file. What is wrong becomes a mistake and a harmless value in its place.

A rulebook with a mistake is never used, so the value in its place only has to let the reading go on without
mistakes that merely follow from the first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import TypeVar

from responder.model.duration import parse_duration
from responder.model.rule import Position
from responder.rulebook.document import Entry, Listing, Mapped, Node, Scalar
from responder.rulebook.mistake import Mistakes, did_you_mean

E = TypeVar("E", bound=Enum)

LATER = "Remove it; docs/rules.md lists what there is"
"""The mend for what is not in this version of the language."""


@dataclass(slots=True)
class Reader:
    """Reads nodes and notes what is wrong with them."""

    mistakes: Mistakes = field(default_factory=Mistakes)

    def wrong(self, at: Node | Entry | Position, text: str, mend: str) -> None:
        """Note a mistake."""
        self.mistakes.add(at if isinstance(at, Position) else at.position, text, mend)

    def later(self, at: Node | Entry, word: str) -> None:
        """Refuse by name what the language will have."""
        self.wrong(at, f"`{word}` is not in this version of the language", LATER)

    def mapping(
        self, node: Node, what: str, known: Sequence[str], later: Sequence[str] = ()
    ) -> Mapping[str, Entry]:
        """The entries of a mapping that are known; others are mistakes."""
        if not isinstance(node, Mapped):
            self.wrong(node, f"{what} must be a mapping", f"Write keys of: {', '.join(known)}")
            return {}
        for key, entry in node.entries.items():
            if key in later:
                self.later(entry, key)
            elif key not in known:
                self.wrong(entry, f"unknown key `{key}` in {what}", did_you_mean(key, known, "keys"))
        return {key: entry for key, entry in node.entries.items() if key in known}

    def listing(self, node: Node, what: str, example: str) -> tuple[Node, ...]:
        """The items of a list."""
        if isinstance(node, Listing):
            return node.items
        self.wrong(node, f"{what} must be a list", f"Write {example}")
        return ()

    def text(self, node: Node, what: str) -> str | None:
        """A text that is not empty."""
        match node:
            case Scalar(value=str(value)) if value:
                return value
            case Scalar(value=int() | float(), text=text):
                self.wrong(node, f"{what} must be text, {text} is a number", f'Quote it: "{text}"')
            case Scalar():
                self.wrong(node, f"{what} must be text", "Write a text that is not empty")
            case _:
                self.wrong(node, f"{what} must be text, not a list or mapping", "Write a single text")
        return None

    def texts(self, node: Node, what: str, example: str) -> tuple[tuple[Node, str], ...]:
        """A list of texts, each with its node."""
        read = [(item, self.text(item, f"each of {what}")) for item in self.listing(node, what, example)]
        return tuple((item, text) for item, text in read if text is not None)

    def word(self, node: Node, what: str, words: Mapping[str, E], instead: E) -> E:
        """One of a fixed set of words."""
        text = self.text(node, what)
        if text is None:
            return instead
        if text not in words:
            self.wrong(node, f"{what} cannot be {text!r}", f"Choose one of: {', '.join(words)}")
            return instead
        return words[text]

    def truth(self, node: Node, what: str) -> bool:
        """True or false."""
        if isinstance(node, Scalar) and isinstance(node.value, bool):
            return node.value
        self.wrong(node, f"{what} must be true or false", "Write true or false, without quotes")
        return False

    def duration(self, node: Node, what: str, instead: timedelta, *, positive: bool = False) -> timedelta:
        """A Prometheus duration."""
        if not isinstance(node, Scalar):
            self.wrong(node, f"{what} must be a duration", "Write one like 30s, 10m or 1h30m")
            return instead
        try:
            value = parse_duration(node.text)
        except ValueError as error:
            text, _, mend = str(error).partition("; ")
            self.wrong(node, f"{what}: {text}", (mend or "write a shorter one").capitalize())
            return instead
        if positive and not value:
            self.wrong(node, f"{what} must be longer than 0s", "Write one like 30s, 10m or 1h30m")
            return instead
        return value

    def count(self, node: Node, what: str, instead: int) -> int:
        """A whole number of at least 1."""
        if isinstance(node, Scalar) and type(node.value) is int and node.value >= 1:
            return node.value
        self.wrong(node, f"{what} must be a whole number of at least 1", "Write one like 3, without quotes")
        return instead
