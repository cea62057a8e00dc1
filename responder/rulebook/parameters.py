"""What stands under `with:`, checked against the action's own parameters.

A value that is `$labels.x` is not known yet. Plausible texts are tried in its place, so that everything else
is checked; whether the label's real value fits is seen when the step is taken.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from responder.decide.bind import PROMQL
from responder.decide.promql import LABEL_REFERENCE
from responder.model.base import Frozen
from responder.model.duration import format_duration
from responder.rulebook.catalogue import ActionFacts
from responder.rulebook.connections import check_connection
from responder.rulebook.document import Entry, Listing, Mapped, Node, Scalar, plain
from responder.rulebook.mistake import did_you_mean
from responder.rulebook.probes import check_query
from responder.rulebook.reading import Reader
from responder.rulebook.scope import Scope, check_values
from responder.rulebook.surroundings import Surroundings

Path = tuple[str | int, ...]

_PLAUSIBLE = ("label", "1", "1m", "true", "127.0.0.1")
_RELATIVE = ("by", "ceiling", "floor")
_RELATIVE_EXAMPLE = "{by: +2, ceiling: 10}, or {by: -1, floor: 1}"


def read_parameters(
    step: Node, entry: Entry | None, facts: ActionFacts, scope: Scope, around: Surroundings, reader: Reader
) -> dict[str, Any]:
    """The parameters as written, checked; `entry` is the step's `with:`."""
    if entry is None:
        written: Mapped = Mapped(step.place, {})
    elif isinstance(entry.value, Mapped):
        written = entry.value
    else:
        reader.wrong(entry.value, "`with` must be a mapping", f"Write keys of: {_words(facts.params)}")
        return {}
    known = known_parameters(facts.params)
    for key, value in written.entries.items():
        if key in _RELATIVE and key not in known:
            text = f"`{key}` stands beside the parameters, and belongs into the one that is relative"
            reader.wrong(value, text, _relative_mend(facts))
        elif key not in known:
            text = f"{facts.name} has no parameter `{key}`"
            reader.wrong(value, text, did_you_mean(key, known, "parameters"))
    others = {key: value for key, value in written.entries.items() if key != PROMQL or PROMQL not in known}
    check_values(Mapped(written.place, others), scope, reader)
    if PROMQL in written.entries and PROMQL in known:
        _check_promql(written.entries, scope, around, reader)
    data = {key: plain(value.value) for key, value in written.entries.items()}
    bounds = {key: _bound_of(key, value.value, facts, reader) for key, value in written.entries.items()}
    fits = {**data, **{key: bound for key, bound in bounds.items() if bound is not None}}
    _check_fit({key: value for key, value in fits.items() if key in known}, written, facts, reader)
    if "connection" in written.entries and "connection" in known:
        check_connection(written.entries["connection"].value, around.inventory, scope, reader)
    if "source" in written.entries and "source" in known:
        _check_source(written.entries["source"].value, around, reader)
    return data


def _bound_of(key: str, node: Node, facts: ActionFacts, reader: Reader) -> int | None:
    """The bound of a relative parameter, which has to fit as any value; None for a value as it stands."""
    if not isinstance(node, Mapped):
        return None
    if key not in facts.relative:
        if "by" in node.entries and ("ceiling" in node.entries or "floor" in node.entries):
            reader.wrong(node, f"`{key}` of {facts.name} cannot be relative", _relative_mend(facts))
            return _whole(node.entries.get("ceiling") or node.entries.get("floor"), reader, zero=True)
        return None
    entries = reader.mapping(node, f"`{key}`", _RELATIVE)
    by = _whole(entries.get("by"), reader)
    if "by" not in entries:
        reader.wrong(node, f"`{key}` does not say by how much", f"Write {key}: {_RELATIVE_EXAMPLE}")
    if not by:
        return 0
    needs, other = ("ceiling", "floor") if by > 0 else ("floor", "ceiling")
    goes = "up" if by > 0 else "down"
    if other in entries:
        text = f"`by: {by:+d}` goes {goes}, and a {other} never bounds that"
        reader.wrong(entries[other], text, f"Write `{needs}:`")
    elif needs not in entries:
        text = f"`by: {by:+d}` goes {goes} without end, alert after alert"
        reader.wrong(node, text, f"Add `{needs}:`")
    return _whole(entries.get(needs), reader, zero=True)


def _whole(entry: Entry | None, reader: Reader, *, zero: bool = False) -> int:
    value = 0 if entry is None else plain(entry.value)
    if entry is not None and (type(value) is not int or (value == 0 and not zero)):
        text = f"`{entry.key}` must be a whole number{'' if zero else ' other than 0'}"
        reader.wrong(entry.value, text, f"Write one like {'10' if zero else '+2 or -1'}, without quotes")
        return 0
    return value if isinstance(value, int) else 0


def _relative_mend(facts: ActionFacts) -> str:
    if not facts.relative:
        return f"Write the value itself: no parameter of {facts.name} can be relative"
    return f"Write {min(facts.relative)}: {_RELATIVE_EXAMPLE}"


def _check_promql(entries: Mapping[str, Entry], scope: Scope, around: Surroundings, reader: Reader) -> None:
    """A query is checked as a probe's; and somebody has to be there who answers it."""
    node = entries[PROMQL].value
    if isinstance(node, Scalar) and isinstance(node.value, str):
        check_query(node, node.value, scope, reader)
    if not around.prometheus and "source" not in entries:
        mend = "Add `prometheus` to the settings, or name a `source` that has one"
        reader.wrong(node, "no Prometheus is configured: this question never has an answer", mend)


def _check_source(node: Node, around: Surroundings, reader: Reader) -> None:
    """A source that is named must be one of the settings."""
    name = plain(node)
    known = [source.name for source in around.sources]
    if isinstance(name, str) and LABEL_REFERENCE.fullmatch(name) is None and name not in known:
        reader.wrong(node, f"there is no source {name!r}", did_you_mean(name, known, "sources"))


def _check_fit(data: dict[str, Any], written: Mapped, facts: ActionFacts, reader: Reader) -> None:
    """One mistake for each place that the action's parameters do not accept."""
    places: dict[Path, list[ErrorDetails]] = {}
    for error in _errors(data, facts.params):
        places.setdefault(_path(data, error["loc"]), []).append(error)
    for path, errors in places.items():
        missing = [str(error["loc"][-1]) for error in errors if error["type"] == "missing"]
        for name in missing:
            text = f"{facts.name} needs the parameter `{name}`"
            reader.wrong(written, text, f"Add `{name}` under `with`")
        others = [error for error in errors if error["type"] != "missing"]
        if others:
            _tell(others, path, written, facts, reader)


def _tell(
    errors: list[ErrorDetails], path: Path, written: Mapped, facts: ActionFacts, reader: Reader
) -> None:
    said = dict.fromkeys(_sentence(error) for error in errors)
    text, mend = _split(" or ".join(said))
    where = ".".join(str(part) for part in path)
    prefix = f"`{where}` does not fit: " if where else f"{facts.name}: "
    reader.wrong(_at(written, path), prefix + text, mend)


def _errors(data: dict[str, Any], model: type[Frozen]) -> Sequence[ErrorDetails]:
    """What the model does not accept, less what is only unknown."""
    choices = dict.fromkeys(_references(data), 0)
    while True:
        errors = _validate(_bound(data, choices), model)
        unfit = [path for path in choices if any(_path(data, e["loc"]) == path for e in errors)]
        open_choices = [path for path in unfit if choices[path] + 1 < len(_PLAUSIBLE)]
        if not open_choices:
            return [error for error in errors if _path(data, error["loc"]) not in unfit]
        for path in open_choices:
            choices[path] += 1


def _validate(data: dict[str, Any], model: type[Frozen]) -> Sequence[ErrorDetails]:
    try:
        model.model_validate(data)
    except ValidationError as error:
        return error.errors(include_url=False)
    return ()


def _references(value: Any, path: Path = ()) -> Iterator[Path]:
    match value:
        case str() if LABEL_REFERENCE.fullmatch(value):
            yield path
        case dict():
            for key, inner in value.items():
                yield from _references(inner, (*path, key))
        case list():
            for at, inner in enumerate(value):
                yield from _references(inner, (*path, at))
        case _:
            pass


def _bound(value: Any, choices: Mapping[Path, int], path: Path = ()) -> Any:
    match value:
        case dict():
            return {key: _bound(inner, choices, (*path, key)) for key, inner in value.items()}
        case list():
            return [_bound(inner, choices, (*path, at)) for at, inner in enumerate(value)]
        case _:
            return _PLAUSIBLE[choices[path]] if path in choices else value


def _path(data: Any, loc: Sequence[str | int]) -> Path:
    """The part of pydantic's location that stands in the data: it also names branches of unions."""
    path: Path = ()
    for part in loc:
        listed = isinstance(data, list) and isinstance(part, int) and part < len(data)
        if listed or (isinstance(data, dict) and part in data):
            data = data[part]
            path = (*path, part)
    return path


def _at(node: Node, path: Path) -> Node:
    for part in path:
        match node:
            case Mapped():
                node = node.entries[str(part)].value
            case Listing() if isinstance(part, int):
                node = node.items[part]
            case Listing() | Scalar():
                return node
    return node


def _sentence(error: ErrorDetails) -> str:
    text = error["msg"].removeprefix("Value error, ").strip()
    for value in error.get("ctx", {}).values():
        if isinstance(value, timedelta):
            text = text.replace(repr(value), format_duration(value))
    return text if re.match(r"[A-Z]{2}|['\"`]", text) else text[:1].lower() + text[1:]


def _split(text: str) -> tuple[str, str]:
    """A message of ours is `what; mend`; of pydantic there is only the first half."""
    what, _, mend = text.partition("; ")
    return what, (mend[:1].upper() + mend[1:]) if mend else "See docs/actions.md for what it takes"


def known_parameters(model: type[Frozen]) -> list[str]:
    """The names that an action's parameters have under `with:`."""
    return [field.alias or name for name, field in model.model_fields.items()]


def _words(model: type[Frozen]) -> str:
    return ", ".join(known_parameters(model))
