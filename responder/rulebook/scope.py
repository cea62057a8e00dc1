"""Which labels a rule may name as `$labels.x`, and what is known of their values before any alert comes.

Only the labels of the group and those that an equality matcher fixes are the same for every alert of an
incident; any other label would be that of whichever alert came first.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from responder.decide.promql import LABEL_REFERENCE
from responder.model.redaction import SHIPPED, Redaction
from responder.model.rule import Position
from responder.rulebook.document import Listing, Mapped, Node, Scalar
from responder.rulebook.reading import Reader


@dataclass(frozen=True, slots=True)
class Scope:
    """The labels of a rule's incidents: `group_by` (None for all), and those fixed by its match.

    `rule` is its name: what stands in a named list is wrong for one of the rules that use it.
    """

    group_by: tuple[str, ...] | None
    fixed: Mapping[str, str]
    redaction: Redaction = SHIPPED
    rule: str = ""
    scheduled: bool = False
    """Whether no alert comes before it whose labels could be meant."""

    def allows(self, label: str) -> bool:
        """Whether `$labels.<label>` means the same for every alert of an incident."""
        return self.group_by is None or label in self.group_by or label in self.fixed


def check_reference(label: str, at: Position, scope: Scope, reader: Reader) -> None:
    """A named label must be in scope, and must not be redacted."""
    if scope.redaction.hides_label(label):
        text = f"`$labels.{label}` is redacted before anything is stored, so its value is not known here"
        reader.wrong(at, text, "Use another label, or take it out of `redaction:` in the settings")
        return
    if scope.scheduled and not scope.allows(label):
        text = f"`$labels.{label}` names a label, and no alert comes before a scheduled run"
        reader.wrong(at, text, "Write the value itself")
        return
    if not scope.allows(label):
        of = f" of {scope.rule}" if scope.rule else ""
        text = f"`$labels.{label}` is not in group_by{of}, and no equality matcher of match fixes it"
        reader.wrong(at, text, f"Add `{label}` to group_by, or match it with `=`")


def check_values(node: Node, scope: Scope, reader: Reader) -> None:
    """Every text below a node is either free of `$labels` or nothing but one reference in scope."""
    match node:
        case Scalar(value=str(text)):
            _check_text(node, text, scope, reader)
        case Scalar():
            pass
        case Listing():
            for item in node.items:
                check_values(item, scope, reader)
        case Mapped():
            for entry in node.entries.values():
                check_values(entry.value, scope, reader)


def _check_text(node: Scalar, text: str, scope: Scope, reader: Reader) -> None:
    if "$labels" not in text:
        return
    found = LABEL_REFERENCE.fullmatch(text)
    if found is not None:
        check_reference(found.group(1), node.position, scope, reader)
        return
    problem = f"{text!r} uses `$labels` as a part of a text"
    reader.wrong(node, problem, "A label is always a whole value, such as `$labels.datname`")
