"""Checks what was written against the models; every mistake comes back with its place and its mend."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from responder.model.unfit import unfit
from responder.rulebook.mistake import nearest
from responder.settings.elsewhere import taken_apart
from responder.settings.given import Given, gather
from responder.settings.model import Settings
from responder.settings.problem import Problem, SettingsError
from responder.settings.shape import Shape
from responder.settings.tree import KeyPath, at, dotted
from responder.telemetry import mask_text

DEFAULT_FILE = Path("responder.yaml")
_ALTERNATIVE = ("function-", "tuple[", "frozenset[", "list[", "dict[", "constrained-", "union[", "[key]")


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings, and what they were made of."""

    settings: Settings
    given: Given


def load(file: Path | None = None, environment: Mapping[str, str] | None = None) -> Loaded:
    """Read the file and the variables, and check them.

    `file` is what `--config` says; without it RESPONDER_CONFIG, then `./responder.yaml` where there is one.

    Raises:
        SettingsError: names every mistake.
    """
    variables = os.environ if environment is None else environment
    given, problems = gather(chosen_file(file, variables), variables)
    if problems:
        raise SettingsError(problems)
    try:
        return Loaded(Settings(**given.tree), given)
    except ValidationError as error:
        raise SettingsError(_problems(error, given)) from None


def written(
    path: KeyPath, file: Path | None = None, environment: Mapping[str, str] | None = None
) -> str | None:
    """One text as it was written, whether or not the rest can be used: for what must work in spite of that.

    File and variables are those of `load`. None where nothing is written there.
    """
    variables = os.environ if environment is None else environment
    given, _ = gather(chosen_file(file, variables), variables)
    value = at(given.tree, path)
    return value if isinstance(value, str) else None


def chosen_file(file: Path | None, environment: Mapping[str, str]) -> Path | None:
    """The settings file that `load` reads; None where there is none, and only variables count."""
    if file is not None:
        return file
    if named := environment.get("RESPONDER_CONFIG"):
        return Path(named)
    return DEFAULT_FILE if DEFAULT_FILE.exists() else None


def _problems(error: ValidationError, given: Given) -> tuple[Problem, ...]:
    found = [one for one in error.errors(include_url=False, include_input=False) if not _follows(one, error)]
    told = (problem for one in found for problem in _each(one, given))
    return tuple(dict.fromkeys(sorted(told, key=lambda problem: problem.place)))


def _follows(detail: Mapping[str, Any], error: ValidationError) -> bool:
    """Whether a list is only too short because an item of it is wrong, which is told by itself."""
    loc = detail["loc"]
    below = (other["loc"] for other in error.errors(include_url=False, include_input=False))
    return detail["type"] == "too_short" and any(
        len(other) > len(loc) and other[: len(loc)] == loc for other in below
    )


def _each(detail: Mapping[str, Any], given: Given) -> tuple[Problem, ...]:
    mistaken = taken_apart(detail)
    if mistaken is None:
        return (_problem(detail, given),)
    return tuple(Problem(given.place(path), dotted(path), text, mend) for path, text, mend in mistaken)


def _problem(detail: Mapping[str, Any], given: Given) -> Problem:
    path = _written(detail["loc"])
    text = mask_text(unfit(detail))
    if detail["type"] == "extra_forbidden":
        return Problem(given.place(path), dotted(path), "there is no such setting", _nearest(path))
    if detail["type"] == "missing":
        return Problem(given.place(path), dotted(path), "it is missing", "Write it")
    text, _, mend = text.partition("; ")
    return Problem(given.place(path), dotted(path), _lowered(text), _mend(detail, mend))


def _written(loc: tuple[str | int, ...]) -> KeyPath:
    """The path as it was written: pydantic adds the names of alternatives, which no user wrote."""
    path: KeyPath = ()
    for part in loc:
        added = isinstance(part, str) and part.startswith(_ALTERNATIVE)
        if not added:
            path = (*path, part)
    return path


def _nearest(path: KeyPath) -> str:
    shape = Shape(Settings).at(path[:-1])
    names = shape.names if shape is not None else ()
    close = nearest(str(path[-1]), names)
    if close is not None:
        return f"Write `{close}` if that is meant"
    return f"Known here: {', '.join(sorted(names))}" if names else "Remove it"


def _mend(detail: Mapping[str, Any], mend: str) -> str:
    if mend:
        return mend[:1].upper() + mend[1:]
    match detail["type"]:
        case "string_type":
            return "Quote it, if it is a text"
        case "value_error":
            return "Correct it"
        case _:
            return "Write another value"


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:] if text[1:2].islower() else text
