"""What a test expects against what happened: every difference with its place, and both in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from responder.model.rule import Position
from responder.rehearsal.happened import Fact
from responder.rehearsal.script import Wanted, What


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as expected."""

    position: Position
    text: str


def compare(what: What, wanted: Sequence[Wanted], found: Sequence[Fact], at: Position) -> list[Difference]:
    """The differences of one list. Incidents are told apart by rule and key, all else by its order."""
    if what is What.INCIDENTS:
        return _unordered(wanted, found, at)
    differences = [
        Difference(one.position, f"expected {words(one.fields)}, but {_other(one, fact)}")
        for one, fact in zip(wanted, found, strict=False)
        if not fits(one, fact)
    ]
    differences += [
        Difference(one.position, f"expected {words(one.fields)}, but it did not happen")
        for one in wanted[len(found) :]
    ]
    differences += [
        Difference(at, f"{what} has one more than expected: {words(fact.fields)}")
        for fact in found[len(wanted) :]
    ]
    return differences


def _unordered(wanted: Sequence[Wanted], found: Sequence[Fact], at: Position) -> list[Difference]:
    """What is wanted the most closely is looked for first: what says less may be any of the others."""
    left = list(found)
    differences: list[Difference] = []
    for one in sorted(wanted, key=lambda each: -len(each.fields)):
        same = [fact for fact in left if _same_incident(one, fact)]
        fitting = next((fact for fact in same if fits(one, fact)), None)
        taken = fitting or next(iter(same), None)
        if taken is None:
            differences.append(
                Difference(one.position, f"expected {words(one.fields)}, but there is no such incident")
            )
            continue
        left.remove(taken)
        if fitting is None:
            differences.append(
                Difference(one.position, f"expected {words(one.fields)}, but {_other(one, taken)}")
            )
    differences += [
        Difference(at, f"there is an incident more than expected: {words(fact.fields)}") for fact in left
    ]
    return differences


def _same_incident(wanted: Wanted, fact: Fact) -> bool:
    names = [name for name in ("rule", "key") if name in wanted.fields]
    return all(_equal(name, wanted.fields[name], fact.fields[name]) for name in names)


def fits(wanted: Wanted, fact: Fact) -> bool:
    """Whether everything that is given is so."""
    return all(_equal(name, value, fact.fields.get(name)) for name, value in wanted.fields.items())


def _equal(name: str, wanted: Any, found: Any) -> bool:
    if name == "says" and isinstance(found, str):
        return str(wanted) in found
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        return all(key in found and _equal("", value, found[key]) for key, value in wanted.items())
    return bool(wanted == found)


def _other(wanted: Wanted, fact: Fact) -> str:
    """Only what is different."""
    other = [name for name, value in wanted.fields.items() if not _equal(name, value, fact.fields.get(name))]
    return "it was " + words({name: fact.fields.get(name) for name in other})


def words(fields: Mapping[str, Any]) -> str:
    """Fields as a test file writes them."""
    return (
        "{"
        + ", ".join(f"{name}: {_word(value)}" for name, value in fields.items() if value is not None)
        + "}"
    )


def _word(value: Any) -> str:
    match value:
        case Mapping():
            return words(value)
        case list() | tuple():
            return "[" + ", ".join(_word(one) for one in value) + "]"
        case bool():
            return "true" if value else "false"
        case _:
            return str(value)
