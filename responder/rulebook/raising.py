"""`raise:` of a rule: how bad an incident is from some time after its opening on, one time or several."""

from datetime import timedelta

from responder.model.duration import format_duration
from responder.model.rule import Raise, Rule, SeverityCase
from responder.model.severity import Severity
from responder.rulebook.document import Listing, Mapped, Node
from responder.rulebook.reading import Reader

_EXAMPLE = "raise: {after: 1h, to: P1}, or a list of these"
_SEVERITIES = {level.value: level for level in Severity}
_USUAL = timedelta(hours=1)


def read_raise(node: Node, severity: tuple[SeverityCase, ...], reader: Reader) -> tuple[Raise, ...]:
    """The mapping under `raise`, or a list of them; each has to make it worse than all before it."""
    if isinstance(node, Listing) and not node.items:
        reader.wrong(node, "the list under `raise` is empty", f"Write {_EXAMPLE}")
    nodes = node.items if isinstance(node, Listing) else (node,)
    found: list[Raise] = []
    for item in nodes:
        one = _raise(item, reader)
        if one is None:
            continue
        _check_order(item, one, found[-1] if found else None, severity, reader)
        found.append(one)
    return tuple(found)


def check_raised(rule: Rule, node: Mapped, reader: Reader) -> None:
    """What only records is over at once: no time makes it worse."""
    entry = node.entries.get("raise")
    known = "steps" not in node.entries or rule.steps
    if entry is None or not known or rule.changing or rule.escalate:
        return
    text = "the rule only records, and what is recorded does not rise"
    reader.wrong(entry, text, "Write `escalate: true`, which tells a person, or remove `raise`")


def _raise(node: Node, reader: Reader) -> Raise | None:
    if not isinstance(node, Mapped):
        reader.wrong(node, "`raise` says after how long, and to which severity", f"Write {_EXAMPLE}")
        return None
    entries = reader.mapping(node, "`raise`", ("after", "to"))
    missing = [key for key in ("after", "to") if key not in entries]
    if missing:
        reader.wrong(node, f"`raise` has no `{missing[0]}`", f"Write {_EXAMPLE}")
        return None
    wrong_before = len(reader.mistakes.found)
    after = reader.duration(entries["after"].value, "after", _USUAL, positive=True)
    to = reader.word(entries["to"].value, "to", _SEVERITIES, Severity.P0)
    return Raise(after=after, to=to) if len(reader.mistakes.found) == wrong_before else None


def _check_order(
    node: Node, one: Raise, before: Raise | None, severity: tuple[SeverityCase, ...], reader: Reader
) -> None:
    if before is not None and one.after <= before.after:
        text = f"after {format_duration(one.after)} is no later than after {format_duration(before.after)}"
        reader.wrong(_inside(node, "after"), text, "Put them in the order of their times")
    if before is not None and one.to >= before.to:
        text = f"{one.to} is no worse than {before.to}, which it is by then"
        reader.wrong(_inside(node, "to"), text, "Each has to be worse than the one before")
    least = max(case.severity for case in severity)
    if before is None and one.to >= least:
        text = f"{one.to} is no worse than the {least} that the rule opens with"
        mend = "Name a worse severity; P0 is the worst" if least > Severity.P0 else "Remove `raise`"
        reader.wrong(_inside(node, "to"), text, mend)


def _inside(node: Node, key: str) -> Node:
    return node.entries[key].value if isinstance(node, Mapped) and key in node.entries else node
