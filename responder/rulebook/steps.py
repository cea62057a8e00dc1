"""Steps and evidence: one action each, with its parameters."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from responder.model.autonomy import Autonomy
from responder.model.rule import AllOf, GiveBack, OnEvidence, Probe, Rung, SqlProbe, Step, StepKind, Undo
from responder.rulebook.catalogue import ActionFacts
from responder.rulebook.document import Entry, Listing, Mapped, Node, Scalar
from responder.rulebook.expect import read_expectation
from responder.rulebook.mistake import did_you_mean
from responder.rulebook.parameters import read_parameters
from responder.rulebook.probes import Connection, read_probe
from responder.rulebook.reading import Reader
from responder.rulebook.scope import Scope
from responder.rulebook.surroundings import Surroundings

_STEP_KEYS = ("action", "with", "when", "timeout", "undo", "repeat", "autonomy")
_EVIDENCE_KEYS = ("action", "name", "with", "timeout")
_CHECK_KEYS = ("action", "name", "with", "timeout", "expect")
_LONGEST_NAME = 64
_NO_EVIDENCE = "Add `evidence:` to the rule"
_ALL_KEYS = ("all", "when", "repeat", "autonomy")
_PART_KEYS = ("action", "with", "timeout", "undo")
_ALL_EXAMPLE = "all: [{action: ..., with: {...}}, {action: ..., with: {...}}]"
_LEAST_PARTS = 2
AUTONOMY_WORDS = {level.word: level for level in Autonomy}


@dataclass(frozen=True, slots=True)
class StepReader:
    """Reads the steps of one rule: what they may name, and where defaults are noted."""

    scope: Scope
    around: Surroundings
    reader: Reader
    origins: dict[str, str]
    gathered: tuple[Step, ...] = ()
    """The rule's evidence, which conditions of steps may ask for."""

    def rung(self, node: Node, path: str) -> Rung | None:
        """One rung of the ladder, or None where an action of it is not known."""
        if isinstance(node, Mapped) and "all" in node.entries:
            return self._all_of(node, node.entries["all"], path)
        return self.step(node, path)

    def _all_of(self, node: Mapped, given: Entry, path: str) -> AllOf | None:
        entries = self.reader.mapping(node, "an `all`", _ALL_KEYS)
        autonomy = self._autonomy(entries.get("autonomy"), path)
        nodes = self.reader.listing(given.value, "`all`", _ALL_EXAMPLE)
        read = [self._part(one, f"{path}.all.{at}", autonomy) for at, one in enumerate(nodes)]
        parts = tuple(part for part in read if part is not None)
        if isinstance(given.value, Listing) and len(nodes) < _LEAST_PARTS:
            text = f"an `all` of {len(nodes)} part{'' if len(nodes) == 1 else 's'} is no more than a step"
            self.reader.wrong(given, text, f"Write the step itself, or {_ALL_EXAMPLE}")
        if not parts or len(parts) < len(nodes):
            return None
        return AllOf(
            parts=parts,
            when=self._when(entries.get("when"), [part.params for part in parts], path),
            repeat=0 if "repeat" not in entries else self.reader.count(entries["repeat"].value, "repeat", 1),
        )

    def _part(self, node: Node, path: str, autonomy: Autonomy) -> Step | None:
        """A part of an `all`: it changes something, and what is not its own stands beside `all`."""
        if not isinstance(node, Mapped):
            text = "a part of `all` is a step, and neither a list nor its name"
            self.reader.wrong(node, text, f"Write {_ALL_EXAMPLE}")
            return None
        for key in _ALL_KEYS:
            if key in node.entries:
                what = (
                    "an `all` holds no other one" if key == "all" else f"`{key}` is that of the whole `all`"
                )
                mend = "Write its parts here" if key == "all" else f"Write `{key}` beside `all`"
                self.reader.wrong(node.entries[key], what, mend)
        if "all" in node.entries:
            return None
        facts = self._action(node, (*_PART_KEYS, *_ALL_KEYS), "a part of `all`")
        if facts is None:
            return None
        if not facts.kind.changing:
            text = f"{facts.name} only looks, and each part of an `all` changes something"
            self.reader.wrong(node.entries["action"].value, text, "Write it as a step before the `all`")
        return Step(
            action=facts.name,
            kind=facts.kind,
            params=self._params(node, facts),
            timeout=self._timeout(node.entries.get("timeout"), facts, path),
            undo=self._undo_of_part(node.entries.get("undo"), facts, path),
            autonomy=autonomy,
        )

    def _undo_of_part(self, entry: Entry | None, facts: ActionFacts, path: str) -> Undo | GiveBack:
        undo = self._undo(entry, facts, path)
        if entry is not None and isinstance(undo, GiveBack):
            text = "a part of `all` is taken back with the others, and not after a while of its own"
            self.reader.wrong(entry.value, text, "Make it a step of its own")
        return undo

    def step(self, node: Node, path: str) -> Step | None:
        """One action, or None where it is not known."""
        facts = self._action(node, _STEP_KEYS, "a step")
        if facts is None or not isinstance(node, Mapped):
            return None
        entries = node.entries
        params = self._params(node, facts)
        return Step(
            action=facts.name,
            kind=facts.kind,
            params=params,
            when=self._when(entries.get("when"), [params], path),
            timeout=self._timeout(entries.get("timeout"), facts, path),
            undo=self._undo(entries.get("undo"), facts, path),
            repeat=self._repeat(entries.get("repeat"), facts),
            autonomy=self._autonomy(entries.get("autonomy"), path),
        )

    def evidence(self, node: Node, path: str) -> Step | None:
        """One piece of evidence: an action that only looks."""
        facts = self._action(node, _EVIDENCE_KEYS, "evidence")
        if facts is None or not isinstance(node, Mapped):
            return None
        if facts.kind.changing:
            text = f"{facts.name} is {facts.kind.value}, but evidence only looks"
            mend = f"Move it to `steps`, or take one of: {self._looking()}"
            self.reader.wrong(node.entries["action"].value, text, mend)
        return Step(
            action=facts.name,
            name=self._name(node.entries.get("name")),
            kind=StepKind.READ_ONLY,
            params=self._params(node, facts),
            timeout=self._timeout(node.entries.get("timeout"), facts, path),
        )

    def check(self, node: Node, path: str) -> Step | None:
        """One question of a scheduled rule: an action that only looks, and what its answer has to be."""
        facts = self._action(node, _CHECK_KEYS, "a step of a scheduled rule")
        if facts is None or not isinstance(node, Mapped):
            return None
        if facts.kind.changing:
            text = f"{facts.name} is {facts.kind.value}, but a scheduled rule only looks"
            self.reader.wrong(node.entries["action"].value, text, f"Take one of: {self._looking()}")
        expect = node.entries.get("expect")
        return Step(
            action=facts.name,
            name=self._name(node.entries.get("name")),
            kind=StepKind.READ_ONLY,
            params=self._params(node, facts),
            timeout=self._timeout(node.entries.get("timeout"), facts, path),
            expect=() if expect is None else read_expectation(expect.value, "`expect`", facts, self.reader),
        )

    def _name(self, entry: Entry | None) -> str | None:
        name = None if entry is None else self.reader.text(entry.value, "name")
        if entry is not None and name is not None and (len(name) > _LONGEST_NAME or not name.isprintable()):
            mend = f"Use up to {_LONGEST_NAME} characters in one line"
            self.reader.wrong(entry.value, f"{name[:_LONGEST_NAME]!r} cannot be a step's name", mend)
        return name

    def _looking(self) -> str:
        """The actions that only look, for a mend."""
        return ", ".join(name for name in self.around.catalogue.names() if self._only_looks(name)) or "none"

    def _only_looks(self, name: str) -> bool:
        facts = self.around.catalogue.find(name)
        return facts is not None and not facts.kind.changing

    def _action(self, node: Node, known: tuple[str, ...], what: str) -> ActionFacts | None:
        entries = self.reader.mapping(node, what, known)
        if "action" not in entries:
            if isinstance(node, Mapped):
                self.reader.wrong(node, f"{what} needs an `action`", "Add `action: NAME`")
            return None
        name = self.reader.text(entries["action"].value, "action")
        facts = None if name is None else self.around.catalogue.find(name)
        if name is not None and facts is None:
            mend = did_you_mean(name, self.around.catalogue.names(), "actions")
            self.reader.wrong(entries["action"].value, f"there is no action {name!r}", mend)
        return facts

    def _params(self, node: Mapped, facts: ActionFacts) -> dict[str, Any]:
        return read_parameters(node, node.entries.get("with"), facts, self.scope, self.around, self.reader)

    def _when(
        self, entry: Entry | None, params: list[dict[str, Any]], path: str
    ) -> Probe | OnEvidence | None:
        if entry is None:
            return None
        entries = self.reader.mapping(entry.value, "`when`", ("probe", "evidence", "is"))
        if "evidence" in entries:
            return self._on_evidence(entry.value, entries)
        if "is" in entries:
            mend = "Add `evidence: NAME`, or move it into the probe"
            self.reader.wrong(entries["is"], "`is` stands without the `evidence` that it is about", mend)
            return None
        if "probe" not in entries:
            if isinstance(entry.value, Mapped) and not entry.value.entries:
                mend = "Add a probe, such as {sql: NAME, is: '> 0'}, or remove `when`"
                self.reader.wrong(entry.value, "`when` asks nothing, so the step would always be taken", mend)
            return None
        node = entries["probe"].value
        probe = read_probe(node, self.scope, self.around, self.reader, connections_of(params))
        note_inherited(probe, node, f"{path}.when", self.origins)
        return probe

    def _on_evidence(self, node: Node, entries: Mapping[str, Entry]) -> OnEvidence | None:
        """A condition on what the rule's own evidence found."""
        if "probe" in entries:
            text = "`when` asks a probe and evidence at once"
            self.reader.wrong(entries["probe"], text, "Write one of the two, or two steps")
            return None
        index = self._which(entries["evidence"].value)
        facts = None if index is None else self.around.catalogue.find(self.gathered[index].action)
        if "is" not in entries:
            mend = "Write what it has to be: {evidence: NAME, is: {FIELD: '> 0'}}"
            self.reader.wrong(node, "`when` does not say what the evidence has to be", mend)
        if index is None or facts is None or "is" not in entries:
            return None
        expect = read_expectation(entries["is"].value, "`is`", facts, self.reader)
        return OnEvidence(evidence=self.gathered[index].title, index=index, expect=expect)

    def _which(self, node: Node) -> int | None:
        """The place of the evidence that is meant, by what it is called or by its number from 1."""
        if isinstance(node, Scalar) and type(node.value) is int:
            if 1 <= node.value <= len(self.gathered):
                return node.value - 1
            there = (
                f"Count from 1 to {len(self.gathered)}" if self.gathered else "Add `evidence:` to the rule"
            )
            self.reader.wrong(node, f"there is no evidence {node.value}", there)
            return None
        name = self.reader.text(node, "evidence")
        found = [at for at, step in enumerate(self.gathered) if step.title == name]
        if len(found) > 1:
            mend = "Write its number, counted from 1, or give it a `name:`"
            self.reader.wrong(node, f"{len(found)} pieces of evidence are called {name!r}", mend)
        elif name is not None and not found:
            known = [step.title for step in self.gathered]
            mend = did_you_mean(name, known, "evidence") if known else _NO_EVIDENCE
            self.reader.wrong(node, f"the rule gathers no evidence {name!r}", mend)
        return found[0] if len(found) == 1 else None

    def _timeout(self, entry: Entry | None, facts: ActionFacts, path: str) -> Any:
        if entry is None:
            self.origins[f"{path}.timeout"] = f"the action {facts.name}"
            return facts.deadline
        return self.reader.duration(entry.value, "timeout", facts.deadline, positive=True)

    def _give_back(self, node: Mapped, facts: ActionFacts) -> Undo | GiveBack:
        entries = self.reader.mapping(node, "`undo`", ("after",))
        after = self.reader.duration(entries["after"].value, "after", timedelta(hours=1), positive=True)
        if not facts.undoable:
            self.reader.wrong(node, f"{facts.name} cannot be undone", "Write `undo: never`")
            return Undo.NEVER
        return GiveBack(after=after)

    def _undo(self, entry: Entry | None, facts: ActionFacts, path: str) -> Undo | GiveBack:
        if entry is None:
            self.origins[f"{path}.undo"] = "built in"
            return Undo.NEVER
        if isinstance(entry.value, Mapped) and "after" in entry.value.entries:
            return self._give_back(entry.value, facts)
        undo = self.reader.word(entry.value, "undo", {word.value: word for word in Undo}, Undo.NEVER)
        if undo is Undo.IF_NOT_RECOVERED and not facts.undoable:
            self.reader.wrong(entry.value, f"{facts.name} cannot be undone", "Write `undo: never`")
        return undo

    def _repeat(self, entry: Entry | None, facts: ActionFacts) -> int:
        if entry is None:
            return 0
        if not facts.kind.changing:
            text = f"{facts.name} only looks: the ladder goes on after it, and never comes back"
            self.reader.wrong(entry, text, "Remove `repeat`")
            return 0
        return self.reader.count(entry.value, "repeat", 1)

    def _autonomy(self, entry: Entry | None, path: str) -> Autonomy:
        if entry is None:
            self.origins[f"{path}.autonomy"] = "built in (the rule's decides)"
            return Autonomy.AUTO
        return self.reader.word(entry.value, "autonomy", AUTONOMY_WORDS, Autonomy.SHADOW)


def note_inherited(probe: Probe | None, node: Node, path: str, origins: dict[str, str]) -> None:
    """Note where an `sql` probe's connection comes from if the probe does not name it."""
    if isinstance(probe, SqlProbe) and isinstance(node, Mapped) and "connection" not in node.entries:
        origins[f"{path}.connection"] = "the rule's steps"


def connections_of(params: list[dict[str, Any]]) -> tuple[Connection, ...]:
    """The connections that steps with these parameters act on."""
    found = (each.get("connection") for each in params)
    return tuple(connection for connection in found if connection and _is_connection(connection))


def _is_connection(value: object) -> bool:
    """Whether it is a name, or labels: what is neither has been told where it stands."""
    return isinstance(value, str) or (
        isinstance(value, dict) and all(isinstance(text, str) for text in value.values())
    )
