"""Rule files held against the settings, without a server and without a secret."""

from pathlib import Path

from pydantic import SecretStr

from responder.model.inventory import Inventory, PostgresConnection
from responder.rulebook.load import Report
from responder.rulebook.load import check as check_files
from responder.rulebook.surroundings import Surroundings
from responder.settings import Settings


def checked(paths: tuple[Path, ...], chosen: Settings) -> Report:
    """Check rule files against the settings, without a server and without a secret."""
    return check_files(paths, around_of(chosen))


def around_of(chosen: Settings) -> Surroundings:
    """What the settings say that rules may name, without a secret."""
    from responder.actions.registry import Registry  # noqa: PLC0415 - imports every action; only checking needs it
    from responder.app import surroundings  # noqa: PLC0415 - as above

    return surroundings(chosen, _inventory(chosen), Registry())


def _inventory(chosen: Settings) -> Inventory:
    """Names and conditions alone: checking rules needs no password, and may run where there is none."""
    nowhere = SecretStr("")
    return Inventory(
        postgres=tuple(
            PostgresConnection(name=entry.name, dsn=nowhere, matches=entry.matches, namespace=entry.namespace)
            for entry in chosen.inventory.postgres
        )
    )
