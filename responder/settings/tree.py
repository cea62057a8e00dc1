"""Plain trees of mappings and lists, and the paths through them. The functions give new trees."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

KeyPath: TypeAlias = tuple[str | int, ...]
"""The way to a value, for example `("sources", "default", "token")`; list items go by their index."""


def dotted(path: KeyPath) -> str:
    """The path as people read it: `inventory.postgres[0].dsn`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def leaves(tree: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Every value that is no mapping and no list, and every empty one, with its path."""
    match tree:
        case dict() if tree:
            for key, value in tree.items():
                yield from leaves(value, (*path, key))
        case list() if tree:
            for index, value in enumerate(tree):
                yield from leaves(value, (*path, index))
        case _ if path:
            yield path, tree
        case _:
            return


def at(tree: Any, path: KeyPath) -> Any:
    """The value at a path, or None."""
    for part in path:
        match tree, part:
            case dict(), _ if part in tree:
                tree = tree[part]
            case list(), int() if part < len(tree):
                tree = tree[part]
            case _:
                return None
    return tree


def replaced(tree: Any, path: KeyPath, value: Any) -> Any:
    """The tree with another value at a path; mappings on the way are made where they are missing."""
    if not path:
        return value
    first, rest = path[0], path[1:]
    if isinstance(tree, list) and isinstance(first, int):
        return [replaced(item, rest, value) if n == first else item for n, item in enumerate(tree)]
    known = tree if isinstance(tree, Mapping) else {}
    return {**known, first: replaced(known.get(first), rest, value)}


def without(tree: Any, path: KeyPath) -> Any:
    """The tree without the key at a path."""
    first, rest = path[0], path[1:]
    if isinstance(tree, list):
        return [without(item, rest) if n == first else item for n, item in enumerate(tree)]
    if not rest:
        return {key: value for key, value in tree.items() if key != first}
    return {key: without(value, rest) if key == first else value for key, value in tree.items()}


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Both trees; where both say something, `above` wins. Lists are not merged."""
    result = dict(below)
    for key, value in above.items():
        known = result.get(key)
        if isinstance(known, Mapping) and isinstance(value, Mapping):
            result[key] = merged(known, value)
        else:
            result[key] = value
    return result
