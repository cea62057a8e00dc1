"""YAML text to a tree in which everything knows its place; nothing here knows what a rule is.

Only plain data: text, numbers, true and false, null, lists and mappings. Words such as `no` and `on` are text
(YAML 1.2), tags and merge keys are refused, a key may stand once. Anchors may be used, but size and depth of
what they unfold to are bounded, so that no small file becomes a large one.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import yaml

from responder.model.rule import Position
from responder.rulebook.mistake import Mistakes

MAX_BYTES = 8 * 1024 * 1024
"""The largest rule file, in bytes of UTF-8: some ten thousand rules."""
MAX_DEPTH = 32
MAX_NODES = 1_000_000

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PLAIN_TAGS = frozenset(
    f"tag:yaml.org,2002:{kind}"
    for kind in ("str", "int", "float", "bool", "null", "timestamp", "merge", "value", "seq", "map")
)
_INT = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}
_LONGEST_NUMBER = 32
_SURROGATES = frozenset(map(chr, range(0xD800, 0xE000)))


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value. `text` is what it reads as text; `text_at` is where in its line that text begins.

    `text_at` is None where the text is not written as it reads: over several lines, or with escapes.
    """

    position: Position
    value: str | int | float | bool | None
    text: str
    text_at: int | None = None

    def within(self, column: int) -> Position:
        """The place of the n-th character (from 1) of the text, where that can be told; else the start."""
        if self.text_at is None:
            return self.position
        return self.position.model_copy(update={"column": self.text_at + column - 1})


@dataclass(frozen=True, slots=True)
class Listing:
    """A list."""

    position: Position
    items: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """A key, where it stands, and its value."""

    key: str
    position: Position
    value: "Node"


@dataclass(frozen=True, slots=True)
class Mapped:
    """A mapping, in the order of the file, each key once."""

    position: Position
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
        mistakes.add(_at(file, None), f"the file is larger than {size}", "Split it into several files")
        return None
    root = _composed(file, text, mistakes)
    return None if root is None else _Tree(file, mistakes).node(root, 0)


def _composed(file: str, text: str, mistakes: Mistakes) -> yaml.Node | None:
    try:
        root: yaml.Node | None = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        begun = (
            f"{error.context} that begins in line {error.context_mark.line + 1}, "
            if error.context_mark
            else ""
        )
        reason = f"{begun}{error.problem}"
        mistakes.add(_at(file, mark), f"this is no YAML: {reason}", "Correct the indentation or the quoting")
    except yaml.reader.ReaderError as error:
        place = _place_of(file, text, error.position)
        mistakes.add(place, "this character may not stand in YAML", "Remove it, or write it as an escape")
    except RecursionError:
        mistakes.add(_at(file, None), "lists and mappings are nested too deeply", "Nest less deeply")
    else:
        return root
    return None


class _Tree:
    """Builds the tree of one file within its bounds."""

    def __init__(self, file: str, mistakes: Mistakes) -> None:
        self._file = file
        self._mistakes = mistakes
        self._left = MAX_NODES

    def node(self, node: yaml.Node, depth: int) -> Node | None:
        """The tree below a node, or None where it cannot be used."""
        self._left -= 1
        if self._left == -1:
            self._wrong(node, "the file unfolds to too much", "Split it, and write it without anchors")
        if self._left < 0:
            return None
        if depth > MAX_DEPTH:
            self._wrong(node, "the nesting is too deep", f"Nest at most {MAX_DEPTH} levels")
            return None
        if node.tag not in _PLAIN_TAGS:
            self._wrong(node, f"the tag {node.tag!r} is not allowed", "Remove it; rules are plain data")
            return None
        match node:
            case yaml.ScalarNode():
                return self._scalar(node)
            case yaml.SequenceNode():
                return self._listing(node, depth)
            case yaml.MappingNode():
                return self._mapped(node, depth)
            case _:
                raise AssertionError(f"YAML has no node of type {type(node)}")

    def _scalar(self, node: yaml.ScalarNode) -> Scalar:
        if any(sign == "\0" or sign in _SURROGATES for sign in node.value):
            text = "this text holds a character that cannot be stored (NUL or half of a surrogate pair)"
            self._wrong(node, text, "Remove it")
        value = node.value if node.style else _typed(node.value)
        return Scalar(_at(self._file, node.start_mark), value, node.value, _text_at(node))

    def _listing(self, node: yaml.SequenceNode, depth: int) -> Listing:
        items = [self.node(item, depth + 1) for item in node.value]
        return Listing(_at(self._file, node.start_mark), tuple(i for i in items if i is not None))

    def _mapped(self, node: yaml.MappingNode, depth: int) -> Mapped:
        entries: dict[str, Entry] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node, entries)
            value = self.node(value_node, depth + 1) if key is not None else None
            if key is not None and value is not None:
                entries[key] = Entry(key, _at(self._file, key_node.start_mark), value)
        return Mapped(_at(self._file, node.start_mark), entries)

    def _key(self, node: yaml.Node, entries: Mapping[str, Entry]) -> str | None:
        if not isinstance(node, yaml.ScalarNode):
            self._wrong(node, "a key must be a word", "Quote it, or write the list on the right side")
            return None
        if node.value == "<<" and not node.style:
            self._wrong(node, "merge keys are not allowed", "Use `defaults:` for what rules have in common")
            return None
        if node.value in entries:
            first = entries[node.value].position
            text = f"the key `{node.value}` stands here twice, first in line {first.line}"
            self._wrong(node, text, "Keep one of the two")
            return None
        return str(node.value)

    def _wrong(self, node: yaml.Node, text: str, mend: str) -> None:
        self._mistakes.add(_at(self._file, node.start_mark), text, mend)


def _typed(text: str) -> str | int | float | bool | None:
    if text in _WORDS:
        return _WORDS[text]
    if len(text) <= _LONGEST_NUMBER:
        if _INT.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text):
            return float(text)
    return text


def _text_at(node: yaml.ScalarNode) -> int | None:
    """The column, from 1, at which the text begins if it stands in the file as it reads."""
    start, end = node.start_mark, node.end_mark
    quotes = len(node.style or "")
    as_it_reads = end.column - start.column == len(node.value) + 2 * quotes
    return start.column + quotes + 1 if start.line == end.line and as_it_reads else None


def _at(file: str, mark: Any) -> Position:
    line, column = (0, 0) if mark is None else (mark.line, mark.column)
    return Position.model_construct(file=file, line=line + 1, column=column + 1)


def _place_of(file: str, text: str, index: int) -> Position:
    before = text[:index]
    column = index - (before.rfind("\n") + 1) + 1
    return Position(file=file, line=before.count("\n") + 1, column=column)
