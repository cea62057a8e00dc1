"""A rule as it applies: every value resolved, and where each came from that the rule itself does not give."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from responder.model.rule import OnEvidence, Rule

_HERE = "the rule"


@dataclass(frozen=True, slots=True)
class Line:
    """One resolved value of a rule."""

    path: str
    value: str
    origin: str


def describe(rule: Rule) -> dict[str, Any]:
    """The rule as JSON, with `acting_hash` and the origins of what it does not give itself."""
    told_here: dict[str, Any] = dict.fromkeys(("position", "match", "group_by", "severity", "notify"), True)
    looks_only = {"__all__": {"kind", "when", "undo", "autonomy"}}
    ladder_only = {"evidence": looks_only, "checks": looks_only}
    body = _as_written(rule, rule.model_dump(mode="json", by_alias=True, exclude=told_here | ladder_only))
    return {
        "name": rule.name,
        "position": str(rule.position),
        "acting_hash": rule.acting_hash,
        "match": [str(matcher) for matcher in rule.match],
        "severity": _severity(rule),
        "group_by": _group_by(rule),
        "notify": rule.notify.model_dump(mode="json"),
        **{key: value for key, value in body.items() if value not in (None, [], ())},
    }


def _as_written(rule: Rule, body: dict[str, Any]) -> dict[str, Any]:
    """What is expected is told in words; what a scheduled rule asks stands under `steps`."""
    if rule.on is None:
        for step, told in zip(rule.steps, body["steps"], strict=True):
            if isinstance(step.when, OnEvidence):
                expect = {one.field: one.words for one in step.when.expect}
                told["when"] = {"evidence": step.when.evidence, "is": expect}
        return body
    expected = [{one.field: one.words for one in step.expect} for step in rule.checks]
    both = zip(body["checks"], expected, strict=True)
    steps = [{**told, "expect": words} if words else told for told, words in both]
    nothing = {"checks", "steps", "limits", "autonomy", "for", "verify"}
    return {"on": body["on"], "steps": steps, **{k: v for k, v in body.items() if k not in nothing | {"on"}}}


def lines(rule: Rule) -> tuple[Line, ...]:
    """The same, one line for each value, in the order of the language."""
    described = describe(rule)
    origins = described.pop("origins", {})
    for key in ("name", "position", "acting_hash"):
        del described[key]
    return tuple(Line(path, value, _origin(path, origins)) for path, value in _flat("", described))


def show_text(rule: Rule) -> str:
    """The same for people: what, its value, and in brackets where it comes from if not from the rule."""
    told = lines(rule)
    width = max(len(line.path) for line in told)
    rows = [f"  {line.path:<{width}}  {line.value}{_bracket(line)}" for line in told]
    head = [f"{rule.name} ({rule.position})", f"acting hash {rule.acting_hash}"]
    return "\n".join([*head, *rows]) + "\n"


def _severity(rule: Rule) -> list[str]:
    return [
        f"{case.severity.value} when {', '.join(str(m) for m in case.when)}"
        if case.when
        else case.severity.value
        for case in rule.severity
    ]


def _group_by(rule: Rule) -> list[str]:
    return ["..."] if rule.group_by is None else list(rule.group_by)


def _flat(path: str, value: Any) -> Iterator[tuple[str, str]]:
    match value:
        case {"op": op, "value": number}:
            yield path, f"{op} {number:g}"
        case dict() if value:
            for key, inner in value.items():
                yield from _flat(f"{path}.{key}" if path else key, inner)
        case list() if value and any(isinstance(item, dict) for item in value):
            for at, inner in enumerate(value):
                yield from _flat(f"{path}.{at}", inner)
        case None:
            pass
        case list() | dict():
            yield path, ", ".join(str(item) for item in value) or "none"
        case bool():
            yield path, str(value).lower()
        case _:
            yield path, " ".join(str(value).split())


def _origin(path: str, origins: dict[str, str]) -> str:
    """The origin of a path or of what it stands in."""
    while path:
        if path in origins:
            return origins[path]
        path = path.rpartition(".")[0]
    return _HERE


def _bracket(line: Line) -> str:
    return "" if line.origin == _HERE else f"  ({line.origin})"
