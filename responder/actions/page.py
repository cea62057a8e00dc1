"""The generated part of docs/actions.md: every action with its parameters, from the classes themselves.

`python -m responder.actions.page docs/actions.md` writes it anew; a test fails while the page is stale.
"""

import inspect
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from responder.actions.registry import ActionClass, Registry, results_of
from responder.model.base import Frozen
from responder.model.duration import format_duration
from responder.model.expectation import FieldKind

BEGIN = "<!-- generated from the code: make changes there -->"
END = "<!-- end of the generated part -->"


def refreshed(page: str, registry: Registry) -> str:
    """The page with its generated part written anew.

    Raises:
        ValueError: the page lacks one of the two marks.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page needs the marks {BEGIN!r} and {END!r}")
    sections = "\n".join(section(registry.load(name)) for name in registry.names())
    return f"{before}{BEGIN}\n\n{sections}\n{END}{after}"


def section(action: ActionClass) -> str:
    """One action: what it is, its kind and limits, its parameters."""
    fence = "fenced at the target" if action.fenced else "not fenced at the target"
    kind = action.kind.value.replace("_", "-")
    facts = [f"Kind: {kind}", f"default timeout: {format_duration(action.deadline)}"]
    if action.kind.changing:
        facts += [fence, "has an undo" if action.undoable else "no undo"]
    if action.relative:
        names = ", ".join(f"`{name}`" for name in sorted(action.relative))
        facts.append(f"may be relative: {names}")
    rows = [_row(parameter) for parameter in described(action.Params)]
    table = "\n".join(["| parameter | type | default | |", "| --- | --- | --- | --- |", *rows])
    found = "" if action.kind.changing else _found(results_of(action))
    return f"### {action.name}\n\n{inspect.getdoc(action)}\n\n{'; '.join(facts)}.\n\n{table}\n{found}"


def _found(results: Mapping[str, FieldKind]) -> str:
    """What an action that looks finds, for `expect` and for a `when` on evidence."""
    if not results:
        return ""
    told = (
        f"`{name}` ({'true or false' if kind is FieldKind.TRUTH else kind})" for name, kind in results.items()
    )
    return f"\nFinds: {', '.join(told)}.\n"


def described(params: type[Frozen]) -> list[dict[str, str]]:
    """Each parameter of an action: its name, type, default and meaning, in words."""
    schema = params.model_json_schema(by_alias=True).get("properties", {})
    return [
        {
            "name": field.alias or name,
            "type": _type(schema[field.alias or name]),
            "default": "required"
            if field.is_required()
            else _default(field.get_default(call_default_factory=True)),
            "description": field.description or "",
        }
        for name, field in params.model_fields.items()
    ]


def _row(told: Mapping[str, str]) -> str:
    description = told["description"].replace("|", "\\|")
    return f"| `{told['name']}` | {told['type']} | {told['default']} | {description} |"


def _default(value: Any) -> str:
    match value:
        case None | () | []:
            return "none"
        case dict() if not value:
            return "none"
        case list() | tuple():
            return ", ".join(f"`{one}`" for one in value)
        case bool():
            return f"`{str(value).lower()}`"
        case timedelta():
            return f"`{format_duration(value)}`"
        case _:
            return f"`{value}`"


def _type(field: Mapping[str, Any]) -> str:
    """A JSON Schema in the words of docs/rules.md."""
    match field:
        case {"anyOf": [*options]}:
            return " or ".join(_type(option) for option in options if option.get("type") != "null")
        case {"enum": [*words]}:
            return ", ".join(f"`{word}`" for word in words)
        case {"const": word}:
            return f"`{word}`"
        case {"type": "array", "items": items}:
            return f"list of {_type(items)}"
        case {"type": "object"}:
            return "labels"
        case {"type": "string", "examples": _}:
            return "duration"
        case {"type": "string"}:
            return "text"
        case {"type": "boolean"}:
            return "true or false"
        case {"type": "integer"}:
            return (
                f"number, {field.get('minimum', 0)} to {field['maximum']}" if "maximum" in field else "number"
            )
        case _:
            return str(field.get("type", "any"))


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(refreshed(path.read_text(encoding="utf-8"), Registry(installed=())), encoding="utf-8")
