"""The inventory: the connections that the operator allows, with the labels that lead to them.

What is not in it cannot be acted on. A DSN is a secret: it never leaves the client that connects.
"""

from collections.abc import Iterable, Mapping

from pydantic import Field, SecretStr

from responder.model.base import Frozen
from responder.model.errors import RefusedError, UnknownTargetError
from responder.model.matcher import Matcher, MatchOp, all_match
from responder.model.target import Target


class PostgresConnection(Frozen):
    """One PostgreSQL server that actions and probes may use.

    `matches` are conditions on the label set that a rule gives as `connection:`; all must hold.
    """

    name: str
    dsn: SecretStr
    matches: tuple[Matcher, ...] = ()
    namespace: str | None = None
    """What the connection shares the budget of a namespace with; None where the server is its own."""

    @property
    def key(self) -> str:
        """The target's key."""
        return f"postgres/{self.name}"

    @property
    def target(self) -> Target:
        """What an action acts on."""
        return Target(key=self.key, name=self.name, namespace=self.namespace or self.key)


class Inventory(Frozen):
    """All that may be acted on or asked."""

    postgres: tuple[PostgresConnection, ...] = Field(default=())

    def labels(self, target: str) -> dict[str, str]:
        """What the inventory itself says of a target by labels: those whose value its `matches` fix."""
        return {
            matcher.name: matcher.value
            for entry in self.postgres
            if entry.key == target
            for matcher in entry.matches
            if matcher.op is MatchOp.EQUAL and matcher.value
        }

    def find_postgres(self, wanted: str | Mapping[str, str]) -> PostgresConnection:
        """The one connection of that name, or the one whose `matches` hold for these labels.

        Raises:
            RefusedError: none or several are found; names them.
        """
        if isinstance(wanted, str):
            found = [entry for entry in self.postgres if entry.name == wanted]
            asked = f"the name {wanted!r}"
        else:
            found = [e for e in self.postgres if e.matches and all_match(e.matches, wanted)]
            asked = "the labels " + ", ".join(f'{name}="{value}"' for name, value in sorted(wanted.items()))
        match found:
            case [one]:
                return one
            case []:
                known = ", ".join(entry.name for entry in self.postgres) or "none"
                near = "" if isinstance(wanted, str) else _nearest(self.postgres, wanted)
                raise UnknownTargetError(
                    f"no PostgreSQL connection of the inventory fits {asked} (it has: {known}){near}",
                    "inventory.postgres",
                )
            case several:
                names = ", ".join(entry.name for entry in several)
                raise RefusedError(f"{asked} fit several PostgreSQL connections of the inventory: {names}")


def _nearest(entries: Iterable[PostgresConnection], wanted: Mapping[str, str]) -> str:
    """Of the entries that these labels lead to in part and do not contradict, what else each wants."""
    near = [
        (entry.name, missing)
        for entry in entries
        if 0 < len(missing := [one for one in entry.matches if not one.matches(wanted)]) < len(entry.matches)
        and not any(one.name in wanted for one in missing)
    ]
    told = (f"{name} also wants {', '.join(str(one) for one in missing)}" for name, missing in near)
    return "".join(f"; {one}" for one in told)
