"""What was written and where: the settings file with its places, the variables with their names.

Nothing here knows whether a value is right: that is `load`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from responder.model.rule import Position
from responder.rulebook.document import Listing, Mapped, Node, plain, read_document
from responder.rulebook.mistake import Mistakes
from responder.settings.model import Settings
from responder.settings.problem import Problem
from responder.settings.secret_files import read_secret_files
from responder.settings.shape import Shape
from responder.settings.tree import KeyPath, leaves, merged, replaced
from responder.settings.variables import read_variables


@dataclass(frozen=True, slots=True)
class Given:
    """The merged values, and for each written one its origin: `file:line:column` or a variable's name."""

    tree: Mapping[str, Any]
    origins: Mapping[KeyPath, str]
    places: Mapping[KeyPath, str]
    """Where keys stand in the file, those of mappings and lists too."""
    file: str

    def origin(self, path: KeyPath) -> str | None:
        """Where a value, or the text that it was made of, was written; None for a default."""
        return _closest(self.origins, path)

    def place(self, path: KeyPath) -> str:
        """The closest place to a path, whether or not something is written there."""
        return _closest(self.origins, path) or _closest(self.places, path) or self.file


def gather(file: Path | None, environment: Mapping[str, str]) -> tuple[Given, tuple[Problem, ...]]:
    """Everything that was written, the variables over the file, and what cannot even be read."""
    tree, places, problems = _read_file(file) if file is not None else ({}, {}, [])
    variables, names, unreadable = read_variables(environment)
    origins = {path: places[path] for path, _ in leaves(tree) if path in places}
    for path, name in names.items():
        origins = {known: place for known, place in origins.items() if known[: len(path)] != path}
        origins[path] = name
    whole = merged(_rebased(tree, file.absolute().parent if file else Path()), variables)
    whole, origins, missing = read_secret_files(whole, origins)
    given = Given(whole, origins, places, str(file) if file else "the settings")
    return given, (*problems, *unreadable, *missing)


def _closest(known: Mapping[KeyPath, str], path: KeyPath) -> str | None:
    return next((known[path[:n]] for n in range(len(path), 0, -1) if path[:n] in known), None)


def _read_file(file: Path) -> tuple[dict[str, Any], dict[KeyPath, str], list[Problem]]:
    start = str(Position(file=str(file), line=1, column=1))
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        return {}, {}, [Problem(start, "", f"the file cannot be read: {error.strerror}", "Check --config")]
    except UnicodeDecodeError:
        return {}, {}, [Problem(start, "", "the file is not UTF-8", "Save it as UTF-8")]
    mistakes = Mistakes()
    root = read_document(str(file), text, mistakes)
    problems = [Problem(str(one.position), "", one.text, one.mend) for one in mistakes.sorted()]
    if isinstance(root, Mapped):
        return plain(root), dict(_places(root, ())), problems
    if root is not None and plain(root) is not None:
        problems.append(Problem(start, "", "the settings are no mapping", "Write `key: value` lines"))
    return {}, {}, problems


def _places(node: Node, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    match node:
        case Mapped():
            for key, entry in node.entries.items():
                yield (*path, key), str(entry.position)
                yield from _places(entry.value, (*path, key))
        case Listing():
            for index, item in enumerate(node.items):
                yield (*path, index), str(item.position)
                yield from _places(item, (*path, index))
        case _:
            return


def _rebased(tree: Mapping[str, Any], base: Path) -> dict[str, Any]:
    """Relative paths in the file start at the file's own directory, wherever one happens to be."""
    result: dict[str, Any] = dict(tree)
    for path, value in leaves(result):
        shape = Shape(Settings).at(path)
        wanted = shape is not None and shape.is_path
        if isinstance(value, str) and value and (wanted or str(path[-1]).endswith("_file")):
            result = replaced(result, path, str(base / Path(value).expanduser()))
    return result
