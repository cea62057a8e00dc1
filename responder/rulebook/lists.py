"""Named lists of steps: written once, in any rule file, and put by name where several rules need the same.

A list is nothing but its items: they are read where they are used, by what that rule may name. So a list
never names another one, and what is wrong with an item is told at the item.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from responder.rulebook.document import Entry, Listing, Mapped, Node, Scalar
from responder.rulebook.mistake import did_you_mean
from responder.rulebook.reading import Reader

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class Item(NamedTuple):
    """A step, and the list that it comes from: its name and place, as `rules show` tells it."""

    node: Node
    of_list: str | None = None


@dataclass(slots=True)
class StepLists:
    """All named lists of a rulebook."""

    reader: Reader
    entries: Mapping[str, Entry] = field(default_factory=dict)
    _used: set[str] = field(default_factory=set)

    def unfolded(self, nodes: Iterable[Node]) -> list[Item]:
        """The steps of a ladder, or of a rule's evidence, with those of a list in the place of its name."""
        return [item for node in nodes for item in self._unfolded(node)]

    def check_used(self) -> None:
        """A list that no rule uses is read by nobody: nothing of it was checked."""
        for name, entry in self.entries.items():
            if name not in self._used:
                self.reader.wrong(entry, f"no rule uses the list `{name}`", "Use it in a rule, or remove it")

    def _unfolded(self, node: Node) -> list[Item]:
        if not isinstance(node, Scalar):
            return [Item(node)]
        name = node.text
        entry = self.entries.get(name)
        if entry is None:
            self.reader.wrong(node, f"there is no list {name!r}", self._mend(name))
            return []
        self._used.add(name)
        origin = f"the list {name} at {entry.position}"
        return [Item(item, origin) for item in self._items(name, entry)]

    def _items(self, name: str, entry: Entry) -> list[Node]:
        items = self.reader.listing(entry.value, f"the list `{name}`", "a list of {action: ..., with: {...}}")
        if isinstance(entry.value, Listing) and not items:
            self.reader.wrong(entry, f"the list `{name}` is empty", "Add a step: {action: ..., with: {...}}")
        for item in items:
            if isinstance(item, Scalar):
                text = f"the list `{name}` names {item.text!r}, and a list holds steps alone"
                self.reader.wrong(item, text, "Name both lists in the rule")
        return [item for item in items if not isinstance(item, Scalar)]

    def _mend(self, name: str) -> str:
        if not self.entries:
            return "Write the step itself: {action: ..., with: {...}}; or give it under `lists:`"
        return did_you_mean(name, self.entries, "lists")


def read_lists(documents: Iterable[Node | None], reader: Reader) -> StepLists:
    """The lists of all files. A name stands once: rules of any file may use it."""
    found: dict[str, Entry] = {}
    for document in documents:
        given = document.entries.get("lists") if isinstance(document, Mapped) else None
        if given is None:
            continue
        if not isinstance(given.value, Mapped):
            reader.wrong(
                given.value, "`lists` must be a mapping", "Write a name, and the list of steps under it"
            )
            continue
        for name, entry in given.value.entries.items():
            if _NAME.fullmatch(name) is None:
                mend = "Use up to 64 letters, digits, _ and - and start with a letter or digit"
                reader.wrong(entry, f"{name!r} cannot be a list's name", mend)
            elif (other := found.setdefault(name, entry)) is not entry:
                text = f"the list `{name}` is there already, at {other.position}"
                reader.wrong(entry, text, "Give one of them another name")
    return StepLists(reader, found)
