"""YAML text to a tree in which everything knows its place; nothing here knows what a rule is.

Only plain data: text, numbers, true and false, null, lists and mappings. Words such as `no` and `on` are text
(YAML 1.2), tags and merge keys are refused, a key may stand once. Anchors may be used, but size and depth of
what they unfold to are bounded, so that no small file becomes a large one.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import yaml
from yaml import (
    AliasEvent,
    MappingEndEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from responder.model.rule import Position
from responder.rulebook.mistake import Mistakes

MAX_BYTES = 16 * 1024 * 1024
"""The largest rule file, in bytes of UTF-8: some ten thousand rules."""
MAX_DEPTH = 32
MAX_NODES = 2_000_000

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INT = re.compile(r"[-+]?[0-9]+")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}
NUMBERS_BEGIN = frozenset("+-.0123456789")
_LONGEST_NUMBER = 32
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


Place: TypeAlias = tuple[str, int, int]
"""Where something stands: file, line, column. Every node has one, few are told.

So it is a bare tuple, and no `Position`: it costs next to nothing, and Python's collector does not follow it.
"""


@dataclass(frozen=True, slots=True)
class Placed:
    """What everything in the tree has."""

    place: Place

    @property
    def position(self) -> Position:
        """The place, as mistakes and rules tell it."""
        return _position(self.place)


@dataclass(frozen=True, slots=True)
class Scalar(Placed):
    """One value. `text` is what it reads as text; `text_at` is where in its line that text begins.

    `text_at` is None where the text is not written as it reads: over several lines, or with escapes.
    """

    value: str | int | float | bool | None
    text: str
    text_at: int | None = None

    def within(self, column: int) -> Position:
        """The place of the n-th character (from 1) of the text, where that can be told; else the start."""
        if self.text_at is None:
            return self.position
        return self.position.model_copy(update={"column": self.text_at + column - 1})


@dataclass(frozen=True, slots=True)
class Listing(Placed):
    """A list."""

    items: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Entry(Placed):
    """A key, where it stands, and its value."""

    key: str
    value: "Node"


@dataclass(frozen=True, slots=True)
class Mapped(Placed):
    """A mapping, in the order of the file, each key once."""

    entries: Mapping[str, Entry]


Node: TypeAlias = Scalar | Listing | Mapped


def plain(node: Node) -> Any:
    """The node as the data that it stands for, without places."""
    match node:
        case Scalar():
            return node.value
        case Listing():
            return [plain(item) for item in node.items]
        case Mapped():
            return {name: plain(entry.value) for name, entry in node.entries.items()}


def read_document(file: str, text: str, mistakes: Mistakes) -> Node | None:
    """The tree of one file; None where it is empty or no YAML (then there is a mistake)."""
    if len(text.encode(errors="replace")) > MAX_BYTES:
        size = f"{MAX_BYTES // 1024 // 1024} MB"
        _note(mistakes, _at(file, None), f"the file is larger than {size}", "Split it into several files")
        return None
    try:
        return _Tree(file, text, mistakes).document()
    except yaml.MarkedYAMLError as error:
        place = _at(file, error.problem_mark or error.context_mark)
        _note(mistakes, place, f"this is no YAML: {_reason(error)}", "Correct the indentation or the quoting")
    except yaml.reader.ReaderError as error:
        place = _place_of(file, text, error.position)
        _note(mistakes, place, "this character may not stand in YAML", "Remove it, or write it as an escape")
    except _BeyondBoundsError as error:
        _note(mistakes, _at(file, error.mark), str(error), error.mend)
    return None


def _note(mistakes: Mistakes, place: Place, text: str, mend: str) -> None:
    mistakes.add(_position(place), text, mend)


def _reason(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or "it cannot be read"
    if error.context_mark is None:
        return problem
    return f"{error.context} that begins in line {error.context_mark.line + 1}, {problem}"


class _BeyondBoundsError(Exception):
    """The file is not worth reading on."""

    def __init__(self, mark: Any, text: str, mend: str) -> None:
        super().__init__(text)
        self.mark = mark
        self.mend = mend


@dataclass(frozen=True, slots=True)
class _Anchored:
    """What an alias repeats: the node, the nodes in it beside itself, and the levels below it."""

    node: Node | None
    size: int
    height: int


class _Tree:
    """Builds the tree of one file from YAML's events, within its bounds.

    From events and not from YAML's own nodes: those are composed by an unbounded recursion in C, which a file
    of brackets alone can crash.
    """

    def __init__(self, file: str, text: str, mistakes: Mistakes) -> None:
        self._file = file
        self._mistakes = mistakes
        self._next: Callable[[], Any] = _LOADER(text).get_event
        self._anchors: dict[str, _Anchored] = {}
        self._left = MAX_NODES
        self._unstorable = _UNSTORABLE.search(text) is not None
        """Whether the file holds such a character as it is; else only escapes in double quotes can."""
        self._deepest = 0

    def document(self) -> Node | None:
        """The only document of the file, or None where there is none."""
        root: Node | None = None
        while type(event := self._next()) is not StreamEndEvent:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    text = "a second document begins in this file"
                    raise _BeyondBoundsError(event.start_mark, text, "Keep one document in each file")
                root = self._node(self._next(), 0)
        return None if isinstance(root, Scalar) and root.text == "" else root

    def _node(self, event: Any, depth: int) -> Node | None:
        """The tree that begins with an event, or None where it cannot be used."""
        self._left -= 1
        if self._left < 0 or depth > self._deepest:
            self._spend(event, 0, depth)
        if type(event) is AliasEvent:
            return self._aliased(event, depth)
        if event.anchor is not None:
            return self._anchored(event, depth)
        return self._built(event, depth) if event.tag is None else self._untagged(event, depth)

    def _untagged(self, event: Any, depth: int) -> Node | None:
        node = self._built(event, depth)
        if event.tag is None:
            return node
        self._wrong(event, f"the tag {event.tag!r} is not allowed", "Remove it; rules are plain data")
        return None

    def _anchored(self, event: Any, depth: int) -> Node | None:
        """A node that aliases may repeat: how much it unfolds to is measured while it is built."""
        left, deepest = self._left, self._deepest
        self._deepest = depth
        node = self._untagged(event, depth)
        self._anchors[event.anchor] = _Anchored(node, left - self._left, self._deepest - depth)
        self._deepest = max(deepest, self._deepest)
        return node

    def _built(self, event: Any, depth: int) -> Node:
        kind = type(event)
        if kind is ScalarEvent:
            return self._scalar(event)
        return self._listing(event, depth) if kind is SequenceStartEvent else self._mapped(event, depth)

    def _spend(self, event: Any, nodes: int, depth: int) -> None:
        self._left -= nodes
        self._deepest = max(self._deepest, depth)
        if self._left < 0:
            mend = "Split it, and write it without anchors"
            raise _BeyondBoundsError(event.start_mark, "the file unfolds to too much", mend)
        if depth > MAX_DEPTH:
            mend = f"Nest at most {MAX_DEPTH} levels"
            raise _BeyondBoundsError(event.start_mark, "the nesting is too deep", mend)

    def _aliased(self, event: Any, depth: int) -> Node | None:
        found = self._anchors.get(event.anchor)
        if found is None:
            self._wrong(event, f"`*{event.anchor}` names nothing that stands before it", "Write it out")
            return None
        self._spend(event, found.size, depth + found.height)
        return found.node

    def _scalar(self, event: Any) -> Scalar:
        text = event.value
        if (self._unstorable or event.style == '"') and _UNSTORABLE.search(text):
            what = "this text holds a character that cannot be stored (NUL or half of a surrogate pair)"
            self._wrong(event, what, "Remove it")
        start = event.start_mark
        place = (self._file, start.line + 1, start.column + 1)
        return Scalar(place, text if event.style else _typed(text), text, _text_at(event, place))

    def _listing(self, start: Any, depth: int) -> Listing:
        items: list[Node | None] = []
        while type(event := self._next()) is not SequenceEndEvent:
            items.append(self._node(event, depth + 1))
        return Listing(_at(self._file, start.start_mark), tuple(item for item in items if item is not None))

    def _mapped(self, start: Any, depth: int) -> Mapped:
        entries: dict[str, Entry] = {}
        while type(event := self._next()) is not MappingEndEvent:
            node = self._node(event, depth + 1)
            key = self._key(event, node, entries)
            value = self._node(self._next(), depth + 1)
            if node is not None and key is not None and value is not None:
                place = node.place if type(event) is ScalarEvent else _at(self._file, event.start_mark)
                entries[key] = Entry(place, key, value)
        return Mapped(_at(self._file, start.start_mark), entries)

    def _key(self, event: Any, node: Node | None, entries: Mapping[str, Entry]) -> str | None:
        if node is None:
            return None
        if not isinstance(node, Scalar):
            self._wrong(event, "a key must be a word", "Quote it, or write the list on the right side")
            return None
        if node.text == "<<" and node.text_at == node.place[-1]:
            self._wrong(event, "merge keys are not allowed", "Use `defaults:` for what rules have in common")
            return None
        if node.text in entries:
            _, first, _ = entries[node.text].place
            text = f"the key `{node.text}` stands here twice, first in line {first}"
            self._wrong(event, text, "Keep one of the two")
            return None
        return node.text

    def _wrong(self, event: Any, text: str, mend: str) -> None:
        _note(self._mistakes, _at(self._file, event.start_mark), text, mend)


def _typed(text: str) -> str | int | float | bool | None:
    if text in _WORDS:
        return _WORDS[text]
    if text[0] in NUMBERS_BEGIN and len(text) <= _LONGEST_NUMBER:
        if _INT.fullmatch(text):
            return int(text)
        if FLOAT.fullmatch(text):
            return float(text)
    return text


def _text_at(event: Any, start: Place) -> int | None:
    """The column, from 1, at which the text begins if it stands in the file as it reads."""
    _, line, column = start
    end = event.end_mark
    quotes = len(event.style) if event.style else 0
    as_it_reads = end.column + 1 - column == len(event.value) + 2 * quotes
    return column + quotes if line == end.line + 1 and as_it_reads else None


def _position(place: Place) -> Position:
    file, line, column = place
    return Position(file=file, line=line, column=column)


def _at(file: str, mark: Any) -> Place:
    return (file, 1, 1) if mark is None else (file, mark.line + 1, mark.column + 1)


def _place_of(file: str, text: str, index: int) -> Place:
    before = text[:index]
    column = index - (before.rfind("\n") + 1) + 1
    return (file, before.count("\n") + 1, column)
