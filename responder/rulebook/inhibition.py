"""`inhibited_by:` over all rules: names that there are, incidents that can be told to be about the same.

A rule that waits for itself, or two that wait for each other, would both be quiet, and nobody would hear of
either.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from responder.decide.inhibit import shared_labels
from responder.model.rule import Rule
from responder.rulebook.document import Entry, Node
from responder.rulebook.mistake import did_you_mean
from responder.rulebook.reading import Reader

_EXAMPLE = "inhibited_by: [NodeDown]"


@dataclass(frozen=True, slots=True)
class _Named:
    """One name, where it stands, and the rule in which it does."""

    at: Node
    rule: str
    other: str


@dataclass(slots=True)
class Inhibitions:
    """Every `inhibited_by` of a rulebook."""

    reader: Reader
    _named: list[_Named] = field(default_factory=list)

    def read(self, entry: Entry, rule: str) -> tuple[str, ...]:
        """The names of one rule."""
        read = self.reader.texts(entry.value, "inhibited_by", _EXAMPLE)
        names = tuple(name for _, name in read)
        if not read and not getattr(entry.value, "items", True):
            self.reader.wrong(entry.value, "the list under `inhibited_by` is empty", f"Write {_EXAMPLE}")
        for at, (node, name) in enumerate(read):
            if name in names[:at]:
                self.reader.wrong(node, f"{name} stands in inhibited_by twice", "Remove one")
            elif name == rule:
                text = f"{name} inhibits itself: it would never be told"
                self.reader.wrong(node, text, "Remove it, or name the rule of its cause")
            else:
                self._named.append(_Named(node, rule, name))
        return names

    def check_names(self, rules: Sequence[Rule]) -> None:
        """Note names that no rule has, and rules that wait for each other."""
        known = {rule.name for rule in rules if rule.name}
        for one in self._named:
            if one.other not in known:
                text = f"there is no rule {one.other!r} for {one.rule} to be inhibited by"
                self.reader.wrong(one.at, text, did_you_mean(one.other, known - {one.rule}, "rules"))
        waits: dict[str, list[str]] = {}
        for one in self._named:
            circle = _way(waits, one.other, one.rule)
            if circle is None:
                waits.setdefault(one.rule, []).append(one.other)
                continue
            told = ", ".join([one.rule, *circle])
            text = f"these inhibit each other: {told}; nobody would be told of any"
            self.reader.wrong(one.at, text, "Leave out the one that is the cause")

    def check_labels(self, rules: Sequence[Rule]) -> None:
        """Note where nothing tells whether two incidents are about the same, or the other never lasts."""
        known: Mapping[str, Rule] = {rule.name: rule for rule in rules}
        for one in self._named:
            rule, other = known[one.rule], known[one.other]
            if not shared_labels(rule, other):
                text = f"nothing tells which incident of {one.other} is about the same as one of {one.rule}"
                mend = "Name a label in `group_by` of both, or in one where the other fixes it with `=`"
                self.reader.wrong(one.at, text, mend)
            if not other.changing and not other.escalate:
                text = f"{one.other} only records: its incidents are over at once, and inhibit nothing"
                self.reader.wrong(one.at, text, "Write `escalate: true` there, or remove it here")


def _way(waits: Mapping[str, Sequence[str]], start: str, end: str) -> list[str] | None:
    """The names from one rule to another, each inhibited by the next; None where there is no way."""
    ways, seen = [[start]], {start}
    while ways:
        way = ways.pop()
        if way[-1] == end:
            return way
        ways += [[*way, name] for name in waits.get(way[-1], ()) if name not in seen]
        seen.update(waits.get(way[-1], ()))
    return None
