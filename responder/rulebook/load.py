"""The way in: rule files to a rulebook, or to all that is wrong with them in one run.

Files are taken in the bytewise order of their paths, rules in the order of their file: that is the order in
which rules are tried. A folder stands for the `.yaml` and `.yml` files directly in it, less tests of rules.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from responder.model.rule import Position, Rule, Rulebook
from responder.rulebook.document import MAX_BYTES, read_document
from responder.rulebook.inhibition import Inhibitions
from responder.rulebook.lists import read_lists
from responder.rulebook.mistake import Mistake, Mistakes
from responder.rulebook.reachable import check_reach
from responder.rulebook.reading import Reader
from responder.rulebook.rules import read_rules
from responder.rulebook.surroundings import Surroundings

TESTS_END = ".test.yaml"
"""How the name of a file ends that has tests of rules, and no rules: it stands beside those that it tests."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found: a rulebook, or the mistakes that keep the files from being one."""

    rulebook: Rulebook | None
    mistakes: tuple[Mistake, ...] = ()


def check(paths: Sequence[Path], surroundings: Surroundings) -> Report:
    """Read and check rule files and folders of them. Never raises for what is in them."""
    mistakes = Mistakes()
    return _checked(read_files(paths, mistakes), surroundings, mistakes)


def check_texts(
    files: Iterable[tuple[str, str]], surroundings: Surroundings, found: Iterable[Mistake] = ()
) -> Report:
    """Check rule files given as (name, text); `found` are mistakes that were made before them."""
    return _checked(files, surroundings, Mistakes([*found]))


def read_files(paths: Sequence[Path], mistakes: Mistakes) -> list[tuple[str, str]]:
    """The (name, text) of all files, in order; what cannot be read is a mistake."""
    files = {file for path in paths for file in _files(path, mistakes)}
    read = [(str(file), _text(file, mistakes)) for file in files]
    return [(name, text) for name, text in read if text is not None]


def _checked(files: Iterable[tuple[str, str]], around: Surroundings, mistakes: Mistakes) -> Report:
    reader = Reader(mistakes)
    ordered = sorted(files, key=lambda file: os.fsencode(file[0]))
    documents = [read_document(name, text, mistakes) for name, text in ordered]
    lists = read_lists(documents, reader)
    inhibitions = Inhibitions(reader)
    rules = [
        rule for document in documents for rule in read_rules(document, lists, inhibitions, around, reader)
    ]
    lists.check_used()
    _check_names(rules, reader)
    inhibitions.check_names(rules)
    if not mistakes.found:  # of a rule that is read in part it is not certain what it takes
        check_reach(rules, reader)
        inhibitions.check_labels(rules)
    if mistakes.found:
        return Report(None, mistakes.sorted())
    return Report(Rulebook(rules=tuple(rules)))


def _check_names(rules: Sequence[Rule], reader: Reader) -> None:
    first: dict[str, Rule] = {}
    for rule in rules:
        other = first.setdefault(rule.name, rule)
        if rule.name and other is not rule:
            text = f"the rule name {rule.name!r} is taken by the rule at {other.position}"
            reader.wrong(rule.position, text, "Give one of them another name")


def _files(path: Path, mistakes: Mistakes) -> Iterable[Path]:
    try:
        if path.is_file():
            return [path]
        found = [p for p in path.iterdir() if p.suffix in {".yaml", ".yml"} and p.is_file()]
    except OSError as error:
        mistakes.add(
            _start(path), f"cannot be read: {error.strerror}", "Name a rule file or a folder of them"
        )
        return []
    visible = [p for p in found if not p.name.startswith(".") and not p.name.endswith(TESTS_END)]
    if not visible:
        mistakes.add(_start(path), "there is no rule file in this folder", "Add one that ends with .yaml")
    return visible


def _text(path: Path, mistakes: Mistakes) -> str | None:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        mistakes.add(_start(path), f"cannot be read: {error.strerror}", "Make it readable for this user")
        return None
    try:
        return content.decode("utf-8-sig", errors="replace" if len(content) > MAX_BYTES else "strict")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        mistakes.add(Position(file=str(path), line=line, column=1), "this is not UTF-8", "Save it as UTF-8")
        return None


def _start(path: Path) -> Position:
    return Position(file=str(path), line=1, column=1)
