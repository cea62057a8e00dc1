"""The settings that the tests of rules assume: the real actions, one connection, one query, one source."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from pydantic import SecretStr

from responder.actions.registry import Registry
from responder.model.budget import Budgets
from responder.model.inventory import Inventory, PostgresConnection
from responder.model.redaction import Redaction, RedactionSettings
from responder.model.severity import MANUAL_TERMS
from responder.rulebook.matchers import parse_matchers
from responder.rulebook.surroundings import SourceFacts, Surroundings

ASKED = SourceFacts(name="main", has_api=True)
NOT_ASKED = SourceFacts(
    name="mute",
    has_api=False,
    evaluation_interval=timedelta(minutes=1),
    group_interval=timedelta(minutes=5),
)
ENDLESS = SourceFacts(name="events", has_api=False, endless=True)


def surroundings(**changes: Any) -> Surroundings:
    """The usual settings, with some of them changed."""
    orders = PostgresConnection(
        name="orders",
        dsn=SecretStr("postgresql://responder@127.0.0.1/postgres"),
        matches=parse_matchers('server=~"orders(:5432)?"'),
    )
    usual = Surroundings(
        catalogue=Registry(),
        inventory=Inventory(postgres=(orders,)),
        queries=frozenset({"blocked_sessions", "replication_lag"}),
        sources=(ASKED,),
        prometheus=True,
        response_times={level: terms.response_time for level, terms in MANUAL_TERMS.items()},
        budgets=Budgets(),
    )
    return replace(usual, **changes)


def broken_surroundings(file: str) -> Surroundings:
    """The settings in which the mistakes of a file of tests/unit/broken_rules are mistakes."""
    match file:
        case "21_short_windows.yaml":
            return surroundings(sources=(NOT_ASKED,))
        case "32_endless.yaml":
            return surroundings(sources=(ENDLESS,))
        case "33_two_connections.yaml":
            both = parse_matchers('env="test"')
            nowhere = SecretStr("")
            twins = tuple(PostgresConnection(name=name, dsn=nowhere, matches=both) for name in ("one", "two"))
            orders = surroundings().inventory.postgres
            redacted = Redaction(RedactionSettings(labels=("tenant",)), b"a key")
            return surroundings(
                inventory=Inventory(postgres=(*orders, *twins)), prometheus=False, redaction=redacted
            )
        case _:
            return surroundings()
