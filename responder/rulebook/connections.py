"""Whether what a rule gives as `connection` can lead to a connection of the inventory at all."""

from collections.abc import Mapping

from responder.decide.promql import LABEL_REFERENCE
from responder.model.errors import RefusedError
from responder.model.inventory import Inventory, PostgresConnection
from responder.rulebook.document import Mapped, Node, Scalar, plain
from responder.rulebook.mistake import did_you_mean
from responder.rulebook.reading import Reader
from responder.rulebook.scope import Scope

_ADD = "Add it to the inventory of the settings, or correct its `matches`"


def check_connection(node: Node, inventory: Inventory, scope: Scope, reader: Reader) -> None:
    """A name must be in the inventory, and labels must be able to lead to one connection of it."""
    match node:
        case Scalar(value=str(name)):
            _check_name(node, name, inventory, scope, reader)
        case Mapped() if node.entries:
            _check_labels(node, inventory, scope, reader)
        case _:
            pass


def _check_name(node: Scalar, name: str, inventory: Inventory, scope: Scope, reader: Reader) -> None:
    known = _known(name, scope)
    names = [entry.name for entry in inventory.postgres]
    if known is not None and known not in names:
        text = f"the connection {known!r} is not in the inventory"
        reader.wrong(node, text, did_you_mean(known, names, "connections"))


def _check_labels(node: Mapped, inventory: Inventory, scope: Scope, reader: Reader) -> None:
    wanted = plain(node)
    if not all(isinstance(value, str) for value in wanted.values()):
        return
    values = {name: _known(value, scope) for name, value in wanted.items()}
    known = {name: value for name, value in values.items() if value is not None}
    if len(known) == len(values):
        _check_found(node, inventory, known, reader)
    elif not any(_possible(entry, values, known) for entry in inventory.postgres):
        labels = ", ".join(wanted)
        reader.wrong(node, f"no connection of the inventory can match the labels {labels}", _ADD)


def _check_found(node: Node, inventory: Inventory, labels: Mapping[str, str], reader: Reader) -> None:
    try:
        inventory.find_postgres(labels)
    except RefusedError as error:
        reader.wrong(node, str(error), _ADD)


def _possible(entry: PostgresConnection, values: Mapping[str, str | None], known: Mapping[str, str]) -> bool:
    """Whether some value of the unknown labels meets the entry's conditions."""
    unknown = {name for name, value in values.items() if value is None}
    return bool(entry.matches) and all(m.name in unknown or m.matches(known) for m in entry.matches)


def _known(value: str, scope: Scope) -> str | None:
    """The value, if it is known before any alert comes."""
    found = LABEL_REFERENCE.fullmatch(value)
    return value if found is None else scope.fixed.get(found.group(1))
