"""`expect`: a comparison for each field that it names, checked against what the action's look finds."""

import re

from responder.model.duration import parse_duration
from responder.model.expectation import ORDERED, Expectation, ExpectedField, FieldKind
from responder.rulebook.catalogue import ActionFacts
from responder.rulebook.document import Mapped, Node, Scalar
from responder.rulebook.mistake import did_you_mean
from responder.rulebook.probes import operator
from responder.rulebook.reading import Reader

_COMPARISON = re.compile(r"\s*(==|!=|<=|>=|<|>|=)\s*(\S.*?)\s*", re.DOTALL)
_NUMBER = re.compile(r"-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_EXAMPLES = {
    FieldKind.NUMBER: "'< 80'",
    FieldKind.DURATION: "'> 14d'",
    FieldKind.TEXT: "'== running'",
    FieldKind.TRUTH: "'== true'",
}
_ARE = {
    FieldKind.NUMBER: "a number",
    FieldKind.DURATION: "a duration",
    FieldKind.TEXT: "a text",
    FieldKind.TRUTH: "true or false",
}


def read_expectation(node: Node, what: str, facts: ActionFacts, reader: Reader) -> Expectation:
    """What is expected of what an action finds; `what` is the key under which it stands."""
    if not isinstance(node, Mapped):
        mend = f"Write fields with a comparison each, such as {_example(facts)}"
        reader.wrong(node, f"{what} must be a mapping", mend)
        return ()
    if not facts.results:
        text = f"{facts.name} tells nothing that could be compared"
        reader.wrong(node, text, f"Remove {what}, or take another action")
        return ()
    if not node.entries:
        reader.wrong(node, f"{what} names no field", f"Write one, such as {_example(facts)}")
    found: list[ExpectedField] = []
    for name, entry in node.entries.items():
        kind = facts.results.get(name)
        if kind is None:
            text = f"{facts.name} has no result `{name}`"
            reader.wrong(entry, text, did_you_mean(name, facts.results, "results"))
        elif (one := _field(entry.value, name, kind, reader)) is not None:
            found.append(one)
    return tuple(found)


def _field(node: Node, name: str, kind: FieldKind, reader: Reader) -> ExpectedField | None:
    mend = f"{name} is {_ARE[kind]}: write a comparison in quotes, such as {_EXAMPLES[kind]}"
    read = _COMPARISON.fullmatch(node.text) if isinstance(node, Scalar) else None
    if read is None:
        told = repr(node.text) if isinstance(node, Scalar) else "this"
        reader.wrong(node, f"{told} is no comparison", mend)
        return None
    op, written = operator(read.group(1)), read.group(2)
    if op not in {"==", "!="} and kind not in ORDERED:
        reader.wrong(node, f"`{op}` compares numbers and durations alone", mend)
        return None
    value = _value(written, kind)
    if value is None:
        reader.wrong(node, f"{written!r} is not {_ARE[kind]}", mend)
        return None
    return ExpectedField(field=name, kind=kind, op=op, value=value)


def _value(written: str, kind: FieldKind) -> float | bool | str | None:
    match kind:
        case FieldKind.NUMBER:
            return float(written) if _NUMBER.fullmatch(written) else None
        case FieldKind.DURATION:
            try:
                return parse_duration(written).total_seconds()
            except ValueError:
                return None
        case FieldKind.TRUTH:
            return {"true": True, "false": False}.get(written)
        case FieldKind.TEXT:
            return written


def _example(facts: ActionFacts) -> str:
    name, kind = [("percent", FieldKind.NUMBER), *facts.results.items()][-1]
    return f"{{{name}: {_EXAMPLES[kind]}}}"
