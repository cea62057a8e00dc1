"""Where the SQL of a constant is used in the end: statements are composed of each other on import."""

import ast
from collections import defaultdict
from functools import cache
from pathlib import Path

from tests.mutants.mutant import ROOT

STORE = ROOT / "responder" / "store"

Name = tuple[str, str]
"""Module and what it calls it, at its top."""
Place = tuple[str, int]
"""Path and line."""


def places(path: Path, name: str) -> tuple[Place, ...]:
    """The lines of the functions that use it, directly or by other SQL."""
    found: set[Place] = set()
    seen: set[Name] = set()
    waiting = [(path.stem, name)]
    used = _users()
    while waiting:
        one = waiting.pop()
        for user, lines in used.get(one, ()):
            if lines:
                found |= lines
            elif user not in seen:
                seen.add(user)
                waiting.append(user)
    return tuple(sorted(found))


@cache
def _users() -> dict[Name, list[tuple[Name, frozenset[Place]]]]:
    """Who uses what; with the lines where it is more than SQL again."""
    users: dict[Name, list[tuple[Name, frozenset[Place]]]] = defaultdict(list)
    for path in sorted(STORE.glob("*.py")):
        tree = ast.parse(path.read_bytes())
        known = _imported(tree)
        for one in (part for top in tree.body for part in _parts(top)):
            for own in _names(one):
                lines = frozenset[Place]() if _is_sql(one) else _lines(path, one)
                for used in _used(one, path.stem, known):
                    users[used].append(((path.stem, own), lines))
    return users


def _parts(one: ast.stmt) -> list[ast.stmt]:
    """Of a class its methods: each uses what it uses."""
    return one.body if isinstance(one, ast.ClassDef) else [one]


def _imported(tree: ast.Module) -> dict[str, Name]:
    """What names of other modules of the store mean here; a module by itself has no name in it."""
    found: dict[str, Name] = {}
    for one in tree.body:
        if isinstance(one, ast.ImportFrom) and (one.module or "").startswith("responder.store"):
            module = (one.module or "").removeprefix("responder.store").lstrip(".")
            found |= {at.name: (module, at.name) if module else (at.name, "") for at in one.names}
    return found


def _used(one: ast.stmt, module: str, known: dict[str, Name]) -> set[Name]:
    found: set[Name] = set()
    for at in ast.walk(one):
        if isinstance(at, ast.Name):
            found.add(known.get(at.id, (module, at.id)))
        elif isinstance(at, ast.Attribute) and isinstance(at.value, ast.Name) and at.value.id in known:
            found.add((known[at.value.id][0], at.attr))
    return found


def _names(one: ast.stmt) -> list[str]:
    match one:
        case ast.Assign(targets=targets):
            return [at.id for at in targets if isinstance(at, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            return [name]
        case _:
            return []


def _is_sql(one: ast.stmt) -> bool:
    """A constant, or a function that gives SQL: whoever uses it is who runs it."""
    if isinstance(one, ast.FunctionDef):
        return one.returns is not None and ast.unparse(one.returns) == "str"
    return not isinstance(one, ast.AsyncFunctionDef)


def _lines(path: Path, one: ast.stmt) -> frozenset[Place]:
    told = str(path.relative_to(ROOT))
    return frozenset((told, line) for line in range(one.lineno, (one.end_lineno or one.lineno) + 1))
