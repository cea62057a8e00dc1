"""`RESPONDER_*` variables: which of them are settings, and what they say.

`RESPONDER_WEB__LISTEN` is `web.listen`. Lists and mappings are JSON. What is no setting is refused: a
misspelt variable must not start a service that lacks what it was meant to say.
"""

import re
from collections.abc import Mapping
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import EnvSettingsSource
from pydantic_settings import SettingsError as VariableError

from responder import crash_points
from responder.rulebook.mistake import nearest
from responder.settings.model import NESTED, PREFIX, Settings
from responder.settings.problem import Problem
from responder.settings.tree import KeyPath, at, leaves, replaced

CLIENT_VARIABLES = frozenset({"RESPONDER_CONFIG", "RESPONDER_URL", "RESPONDER_TOKEN", "RESPONDER_ACTOR"})
"""Variables of the command line."""
_SERVICE_LINK = re.compile(
    r"RESPONDER_([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)"
)
"""What Kubernetes sets in every pod beside a Service called `responder`: that is no setting."""


def read_variables(
    environment: Mapping[str, str],
) -> tuple[dict[str, Any], dict[KeyPath, str], list[Problem]]:
    """The tree that the variables make, the variable of each value, and what is wrong with them."""
    wanted = {name: value for name, value in environment.items() if _is_setting(name)}
    problems = [problem for name in sorted(wanted) if (problem := _unknown(name)) is not None]
    problems += _no_point(environment)
    try:
        tree: dict[str, Any] = _Variables(wanted)()
    except VariableError as error:
        return {}, {}, [*problems, _no_json(error, wanted)]
    for name, value in wanted.items():
        path = _path(name)
        if _is_plain(at(tree, path)) and not (_unknown(name) and path[0] not in tree):
            tree = replaced(tree, path, value)
    names = {path: _name(path, wanted) for path, _ in leaves(tree)}
    return tree, {path: name for path, name in names.items() if name is not None}, problems


class _Variables(EnvSettingsSource):
    """Reads the given variables instead of the process's own."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._given = environment
        super().__init__(Settings)

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """Only what looks like a list or a mapping is JSON: an address or a matcher is written as text."""
        if str(value).lstrip()[:1] in {"[", "{"}:
            return super().decode_complex_value(field_name, field, value)
        return value

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name.lower(): value for name, value in self._given.items()}


def _is_setting(name: str) -> bool:
    known = name in CLIENT_VARIABLES or name == crash_points.VARIABLE
    return name.startswith(PREFIX) and not known and not _SERVICE_LINK.fullmatch(name)


def _is_plain(value: Any) -> bool:
    """pydantic-settings guesses: a token of digits becomes a number. Only lists and mappings are decoded."""
    return not isinstance(value, dict | list)


def _path(name: str) -> KeyPath:
    return tuple(name.removeprefix(PREFIX).lower().split(NESTED))


def _name(path: KeyPath, wanted: Mapping[str, str]) -> str | None:
    """The variable of a value: its own, or the one that gave a whole list or mapping."""
    tried = (PREFIX + NESTED.join(map(str, path[:n])).upper() for n in range(len(path), 0, -1))
    return next((name for name in tried if name in wanted), None)


def _unknown(name: str) -> Problem | None:
    field = str(_path(name)[0])
    if field in Settings.model_fields or field.removesuffix("_file") in Settings.model_fields:
        return None
    close = nearest(field, Settings.model_fields)
    mend = f"Write {PREFIX}{close.upper()} if that is meant" if close else "Remove the variable"
    return Problem(name, field, "there is no such setting", mend)


def _no_point(environment: Mapping[str, str]) -> list[Problem]:
    """A crash test that names no point would prove that nothing happens where nothing happens."""
    wanted = environment.get(crash_points.VARIABLE)
    try:
        crash_points.parsed(wanted or crash_points.Point.DELIVERY_DECODED)
    except ValueError:
        known = ", ".join(crash_points.Point)
        mend = f"Remove the variable, or write one of {known}"
        return [Problem(crash_points.VARIABLE, "", f"there is no crash point {wanted}", mend)]
    return []


def _no_json(error: VariableError, wanted: Mapping[str, str]) -> Problem:
    """pydantic-settings names the field alone; the variable is the one that begins like it."""
    named = next(iter(re.findall(r'"(\w+)"', str(error))), "")
    begins = f"{PREFIX}{named.upper()}"
    name = next((name for name in sorted(wanted) if name.startswith(begins)), begins)
    return Problem(name, named, "the value is no JSON", "Write lists and mappings as JSON")
