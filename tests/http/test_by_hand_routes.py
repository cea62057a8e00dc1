"""Who may begin something by hand, over HTTP: whose labels count, and whose name it gets.

What becomes of it is proved in tests/store/test_by_hand.py.
"""

from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from pydantic import SecretStr

from responder.actions.base import Clients
from responder.actions.registry import BuiltActions, Registry
from responder.clients.postgres import PostgresServers
from responder.engine.by_hand import ActsByHand
from responder.model.inventory import Inventory, PostgresConnection
from responder.ports import NewByHand
from responder.rulebook.matchers import parse_matchers
from responder.web.roles import Role
from tests.http.test_people_routes import asked
from tests.http.test_roles import by, people, person
from tests.support.http_api import RULE, TOKEN, Served, listening, serving
from tests.support.rule_surroundings import surroundings

SHARED = {"Authorization": f"Bearer {TOKEN.get_secret_value()}"}
ACT: dict[str, Any] = {"action": "postgres.activity", "with": {"connection": "orders"}, "reason": "a look"}
PAGE: dict[str, Any] = {"title": "checkout is slow", "severity": "P1", "reason": "customers call"}


def only(served: Served) -> NewByHand:
    """The one thing that was opened."""
    [(_, new)] = served.desk.by_hand.values()
    return new


async def posted(client: aiohttp.ClientSession, path: str, **more: Any) -> tuple[int, dict[str, Any]]:
    """Status and JSON of what is posted."""
    return await asked(client, "POST", f"/api/v1/{path}", **more)


@pytest.mark.parametrize(
    ("labels", "status"),
    [({"env": "prod"}, 202), ({"env": "dev"}, 403), ({}, 403), ({"env": "prod", "team": "db"}, 202)],
)
async def test_a_scope_covers_an_incident_by_its_labels(labels: dict[str, str], status: int) -> None:
    """What the labels do not say is not covered."""
    settings = people(person("ada", (Role.OPERATOR, 'env="prod"')))
    async with listening(settings) as served, aiohttp.ClientSession(served.url, headers=by("ada")) as client:
        found, told = await posted(client, "incidents", json={**PAGE, "labels": labels})
        assert (found, len(served.desk.by_hand)) == (status, int(status == 202)), told


async def test_an_incident_under_a_rule_has_what_the_rule_tells_and_does_nothing() -> None:
    """Its name, owner and runbook; no step, no evidence, no proof of it. A scope counts by its name."""
    body = {**PAGE, "title": None, "rule": "RunawayQueries"}
    settings = people(
        person("ada", (Role.OPERATOR, "rule=RunawayQueries")), person("bo", (Role.OPERATOR, "rule=Other"))
    )
    async with listening(settings) as served, aiohttp.ClientSession(served.url) as client:
        assert (await posted(client, "incidents", json=body, headers=by("bo")))[0] == 403
        assert (await posted(client, "incidents", json=body, headers=by("ada")))[0] == 202
        new = only(served)
        kept = ("name", "owner", "runbook_url", "notes", "notify")
        assert [getattr(new.rule, name) for name in kept] == [getattr(RULE, name) for name in kept]
        assert (new.rule.steps, new.rule.evidence, new.rule.verify) == ((), (), None)
        assert (new.asked.title, new.asked.acts) == ("RunawayQueries", False)
        wrong = await posted(client, "incidents", json={**body, "rule": "RunawayQuery"}, headers=by("ada"))
        assert (wrong[0], wrong[1]["mend"]) == (400, "Write `RunawayQueries` if that is meant")


async def test_a_scope_covers_a_severity() -> None:
    """Who may open a P2 may not open a P1. Nobody acts by a severity of their own choice."""
    settings = people(person("ada", (Role.APPROVER, 'severity="P2"')))
    async with listening(settings) as served, aiohttp.ClientSession(served.url, headers=by("ada")) as client:
        assert (await posted(client, "incidents", json=PAGE))[0] == 403
        assert (await posted(client, "acts", json=ACT))[0] == 403
        assert not served.desk.by_hand
        assert (await posted(client, "incidents", json={**PAGE, "severity": "P2"}))[0] == 202


async def test_nobody_acts_through_a_listener_that_asks_for_no_token() -> None:
    """Whoever reaches it may look, and open an incident for people; the refusal names both ways out."""
    said = {"actor": "ada"}
    async with listening() as served, aiohttp.ClientSession(served.url) as client:
        found, told = await posted(client, "acts", json={**ACT, **said})
        assert (found, told["field"], served.desk.by_hand) == (403, "Authorization", {})
        assert told["error"] == "this listener asks for no token, and nobody may act by hand without one"
        assert told["mend"] == "set web.api_token or web.people, or send dry_run (--dry-run) to look only"
        assert (await posted(client, "acts", json={**ACT, **said, "dry_run": True}))[0] == 202
        assert (await posted(client, "incidents", json={**PAGE, **said}))[0] == 202


def inventory(*matches: str) -> ActsByHand:
    """Acts where the inventory says so much of its one connection."""
    orders = PostgresConnection(
        name="orders", dsn=SecretStr("postgresql://x@127.0.0.1/x"), matches=parse_matchers(",".join(matches))
    )
    around = surroundings(inventory=Inventory(postgres=(orders,)))
    clients = Clients(inventory=around.inventory, postgres=PostgresServers(around.inventory))
    return ActsByHand(BuiltActions(Registry(installed=()), clients), around)


@pytest.mark.parametrize(
    ("matches", "status"),
    [(['env="prod"'], 202), (['env="dev"'], 403), (['env=~"prod|dev"'], 403), (['server="orders"'], 403)],
)
async def test_an_act_stands_where_the_inventory_says(matches: list[str], status: int) -> None:
    """A value that it fixes counts; one that may be several, or is not told, is not covered."""
    settings = people(person("ada", (Role.APPROVER, 'env="prod"')))
    async with (
        listening(settings) as served,
        serving(replace(served.api, by_hand=inventory(*matches))) as url,
        aiohttp.ClientSession(url, headers=by("ada")) as client,
    ):
        found, told = await posted(client, "acts", json=ACT)
        assert (found, len(served.desk.by_hand)) == (status, int(status == 202)), told


async def test_a_persons_own_name_stands_whatever_they_say() -> None:
    """And what they said is kept beside it; the shared token proves nobody, so it has to be said who."""
    settings = people(person("ada", (Role.ADMIN, "")), api_token=TOKEN)
    async with listening(settings) as served, aiohttp.ClientSession(served.url) as client:
        assert (await posted(client, "acts", json=ACT, headers=SHARED))[0] == 400
        assert (await posted(client, "acts", json={**ACT, "actor": "bo"}, headers=by("ada")))[0] == 202
        new = only(served)
        assert (new.asked.actor, new.asked.said_by, new.asked.identity) == ("ada", "bo", "ada")
        served.desk.by_hand.clear()
        assert (await posted(client, "acts", json={**ACT, "actor": "bo"}, headers=SHARED))[0] == 202
        new = only(served)
        assert (new.asked.actor, new.asked.said_by, new.asked.identity) == ("bo", None, "the shared token")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("acts", {**ACT, "reason": " "}),
        ("acts", {**ACT, "at_once": True}),
        ("acts", {**ACT, "with": [1]}),
        ("acts", {**ACT, "verify": {"promql": "up"}}),
        ("acts", {**ACT, "with": {"connection": {}}}),
        ("acts", {**ACT, "with": {"connection": "orders", "longer_than": {"a": ["b"]}}}),
        ("incidents", {"severity": "P1", "reason": "x"}),
        ("incidents", {**PAGE, "severity": "P9"}),
        ("incidents", {**PAGE, "labels": {"env": "\x00"}}),
    ],
)
async def test_what_is_written_wrongly_is_400_with_the_field(path: str, body: dict[str, Any]) -> None:
    """Never a 5xx, and nothing is opened."""
    async with listening(people(person("ada", (Role.ADMIN, "")))) as served:
        async with aiohttp.ClientSession(served.url, headers=by("ada")) as client:
            status, told = await posted(client, path, json=body)
        assert status == 400
        assert told["field"]
        assert not served.desk.by_hand
