"""Every secret `x` may be given as `x_file`: the path of a file that holds it and nothing else.

Settings that know their own `x_file` read it themselves, again at each use; this is for all others.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from responder.settings.model import Settings
from responder.settings.problem import Problem
from responder.settings.shape import Shape
from responder.settings.tree import KeyPath, at, dotted, leaves, replaced, without

_SUFFIX = "_file"
_LARGEST = 64 * 1024


def read_secret_files(
    tree: dict[str, Any], origins: Mapping[KeyPath, str]
) -> tuple[dict[str, Any], dict[KeyPath, str], list[Problem]]:
    """The tree with the secrets in their places, the origins with them, and which files cannot be used."""
    told, problems = dict(origins), []
    for path, value in list(leaves(tree)):
        if not _names_secret_file(path):
            continue
        secret, place = (*path[:-1], str(path[-1]).removesuffix(_SUFFIX)), told.pop(path, "")
        tree = without(tree, path)
        text = _contents(Path(str(value)).expanduser())
        if at(tree, secret) is not None:
            field = f"{dotted(secret)} and {dotted(path)}"
            problems.append(Problem(place, field, "both are given", "Keep one of them"))
        elif isinstance(text, _Unreadable):
            problems.append(Problem(place, dotted(path), text.why, "Give the path of a file with the secret"))
        else:
            tree = replaced(tree, secret, text)
            told[secret] = f"{place} ({value})"
    return tree, told, problems


def _names_secret_file(path: KeyPath) -> bool:
    """Whether the last key is a secret's name and `_file`, and no setting of its own."""
    shape, key = Shape(Settings).at(path[:-1]), str(path[-1])
    if shape is None or key in shape.names or not key.endswith(_SUFFIX):
        return False
    secret = shape.below(key.removesuffix(_SUFFIX))
    return secret is not None and secret.is_secret


class _Unreadable:
    def __init__(self, why: str) -> None:
        self.why = why


def _contents(file: Path) -> str | _Unreadable:
    try:
        with file.open(encoding="utf-8") as opened:
            text = opened.read(_LARGEST).strip()
    except OSError as error:
        return _Unreadable(f"{file} cannot be read: {error.strerror}")
    except UnicodeDecodeError:
        return _Unreadable(f"{file} is not UTF-8")
    return text or _Unreadable(f"{file} is empty")
