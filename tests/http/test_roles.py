"""Who may do what over HTTP: each route asked by each role, scopes, and whose name an act gets."""

from typing import Any

import aiohttp
import pytest
from pydantic import SecretStr

from responder.model.incident import CommandKind, Members
from responder.web.roles import Grant, Role
from responder.web.settings import PersonSettings, WebSettings
from tests.http.test_people_routes import asked
from tests.support.http_api import INCIDENT, OTHER, QUESTION, RULE, TOKEN, listening
from tests.support.scheduled import scheduled
from tests.support.virtual import member

REASON = {"reason": "the release broke it"}
COMMANDS = f"/api/v1/incidents/{INCIDENT}/commands"
NOBODY, ALL = None, list(Role)


def person(name: str, *grants: tuple[Role, str]) -> tuple[str, PersonSettings]:
    """A person whose token is made of their name."""
    given = tuple(Grant.model_validate({"role": role, "scope": scope}) for role, scope in grants)
    return name, PersonSettings(token=SecretStr(f"the-secret-token-of-{name}"), grants=given)


def people(*given: tuple[str, PersonSettings], **more: Any) -> WebSettings:
    """Settings with these people."""
    return WebSettings(people=dict(given), **more)


def by(name: str) -> dict[str, str]:
    """The header of a person."""
    return {"Authorization": f"Bearer the-secret-token-of-{name}"}


EACH = people(*(person(role.value, (role, "")) for role in Role))

DAY = "2026-11-01T00:00:00Z"
READS = [
    "whoami", "service", "halt", "anchor", "targets", "alerts/unmatched", "incidents", "approvals", "rules",
    f"incidents/{INCIDENT}", f"incidents/{INCIDENT}/review", f"incidents/{INCIDENT}/verify",
    "rules/RunawayQueries", "dead-letters", "dead-letters/1", "actions", "schedules", "schedules/Morning",
    "give-backs", "rulebook", "journal", f"journal/rows?after={DAY}&until={DAY}",
    f"journal/recorded?since={DAY}&until={DAY}",
]  # fmt: skip
ANSWER = {"question": str(OTHER)}
WRITES: list[tuple[str, dict[str, Any], Role]] = [
    ("rules/check", {"files": {}}, Role.VIEWER),
    ("rules/explain", {"labels": {"alertname": "A"}}, Role.OPERATOR),
    ("anchor/verify", {"lines": []}, Role.VIEWER),
    ("halt", REASON, Role.OPERATOR),
    ("freezes", {"for": "1h", **REASON}, Role.OPERATOR),
    ("maintenance", {"match": "env=prod", "for": "1h", **REASON}, Role.OPERATOR),
    ("resume", REASON, Role.ADMIN),
    ("acts", {"action": "postgres.activity", "with": {"connection": "orders"}, **REASON}, Role.APPROVER),
    ("incidents", {"title": "checkout is slow", "severity": "P1", **REASON}, Role.OPERATOR),
    ("targets/release", {"target": "postgres/orders", **REASON}, Role.APPROVER),
    ("give-backs/keep", {"attempt": str(OTHER), **REASON}, Role.APPROVER),
    ("dead-letters/retry", {"ids": [9]}, Role.ADMIN),
    ("dead-letters/drop", {"ids": [1], **REASON}, Role.ADMIN),
    ("rules/reload", {}, Role.ADMIN),
    ("schedules/Morning/run", REASON, Role.OPERATOR),
    ("journal/imported", {"source": "default", "episodes": []}, Role.ADMIN),
    ("breakers/reset", {"rule": "RunawayQueries", **REASON}, Role.ADMIN),
    ("rules/RunawayQueries/promote", {"level": "auto", **REASON}, Role.ADMIN),
    *(
        (f"incidents/{INCIDENT}/commands", {"kind": kind.value, **REASON, **more}, role)
        for kind, more, role in (
            (CommandKind.ACKNOWLEDGE, {}, Role.OPERATOR),
            (CommandKind.COMMENT, {}, Role.OPERATOR),
            (CommandKind.TAKE_OVER, {}, Role.OPERATOR),
            (CommandKind.HAND_BACK, {}, Role.OPERATOR),
            (CommandKind.CLOSE, {}, Role.OPERATOR),
            (CommandKind.CHANGE_SEVERITY, {"severity": "P0"}, Role.OPERATOR),
            (CommandKind.CHANGE_SEVERITY, {"severity": "P3"}, Role.APPROVER),
            (CommandKind.APPROVE, ANSWER, Role.APPROVER),
            (CommandKind.DECLINE, ANSWER, Role.APPROVER),
        )
    ),
]


@pytest.mark.parametrize("role", ALL)
async def test_each_role_may_do_its_part_and_no_more(role: Role) -> None:
    """Every route: a role reads all, and does what it and the roles before it may; all else is 403."""
    async with listening(EACH) as served, aiohttp.ClientSession(served.url, headers=by(role.value)) as client:
        served.desk.scheduled = (scheduled("Morning"),)
        for path in READS:
            async with client.get(f"/api/v1/{path}") as response:
                assert response.status == 200, path
        for path, body, needed in WRITES:
            status, told = await asked(client, "POST", f"/api/v1/{path}", json=body)
            may = list(Role).index(role) >= list(Role).index(needed)
            assert (status in {200, 201, 202}) is may, (path, body, status)
            if not may:
                assert (status, told["field"]) == (403, "Authorization")
                assert f"{role} does not have the role" in told["error"]
                assert role is Role.VIEWER or needed.value in told["error"]


async def test_what_concerns_the_whole_service_needs_an_admin() -> None:
    """So does every route that nobody has thought of: an approver of everything is refused."""
    none = people(person("bo", (Role.APPROVER, "")))
    async with listening(none) as served, aiohttp.ClientSession(served.url) as client:
        for path in ("resume", "rules/reload", "dead-letters/drop", "rules/RunawayQueries/promote"):
            status, told = await asked(client, "POST", f"/api/v1/{path}", json=REASON, headers=by("bo"))
            assert status == 403
            assert "the role admin" in told["error"]
        assert served.desk.acts == []


@pytest.mark.parametrize(
    ("scope", "may"),
    [
        ('rule="Morning"', True),
        ('alertname="Morning"', True),
        ('rule="Evening"', False),
        ('env="prod"', False),
    ],
)
async def test_a_planned_check_is_run_by_whoever_handles_its_incidents(scope: str, may: bool) -> None:
    """What is not known of its findings is never covered."""
    one = people(person("bo", (Role.OPERATOR, scope)))
    async with listening(one) as served, aiohttp.ClientSession(served.url, headers=by("bo")) as client:
        served.desk.scheduled = (scheduled("Morning"),)
        status, _ = await asked(client, "POST", "/api/v1/schedules/Morning/run", json=REASON)
        assert status == (202 if may else 403)
        assert [run.asked_by for run in served.schedules.kept] == (["bo"] if may else [])


SCOPES = [
    ('rule="RunawayQueries"', True),
    ('rule="Other"', False),
    ('severity=~"P1|P2"', True),
    ('severity="P3"', False),
    ('env="prod"', True),
    ('env="prod", server="orders"', True),
    ('env="staging"', False),
    ('cluster!="eu"', False),
    ('cluster=""', True),
]


@pytest.mark.parametrize(("scope", "covered"), SCOPES)
async def test_a_scope_is_held_against_the_incident(scope: str, *, covered: bool) -> None:
    """Rule and severity are the incident's, whatever an alert calls itself; a missing label is no yes."""
    named = {"env": "prod", "server": "orders", "severity": "critical", "rule": "mine"}
    async with (
        listening(people(person("ada", (Role.OPERATOR, ""), (Role.APPROVER, scope)))) as served,
        aiohttp.ClientSession(served.url, headers=by("ada")) as client,
    ):
        served.desk.members = Members(firing=1, total=1, sample=(member(**named),))
        served.desk.question = QUESTION
        body = {"kind": "approve", **ANSWER}
        status, told = await asked(client, "POST", COMMANDS, json=body)
        assert status == (202 if covered else 403)
        assert covered or 'rule="RunawayQueries"' in told["error"]
        [one] = (await asked(client, "GET", "/api/v1/approvals"))[1]["approvals"]
        assert one["yours"] is covered


async def test_nobody_lets_anything_be_done_through_a_listener_that_asks_for_no_token() -> None:
    """Whoever reached it may say no, and see to an incident; a yes would be an effect by a stranger."""
    async with listening() as served, aiohttp.ClientSession(served.url) as client:
        served.desk.question = QUESTION
        yes = {"kind": "approve", "actor": "ada", **ANSWER}
        status, told = await asked(client, "POST", COMMANDS, json=yes)
        assert (status, told["field"], told["mend"]) == (
            403,
            "Authorization",
            "set web.api_token or web.people",
        )
        assert told["error"] == "this listener asks for no token, and nobody may approve without one"
        assert served.desk.commands == {}
        for body in ({**yes, "kind": "decline", **REASON}, {"kind": "acknowledge", "actor": "ada"}):
            assert (await asked(client, "POST", COMMANDS, json=body))[0] == 202


async def test_every_alert_of_an_incident_must_be_covered() -> None:
    """One from elsewhere, or more than are known, and the scope is not theirs."""
    both = (member(env="prod"), member(env="staging"))
    scoped = people(person("ada", (Role.OPERATOR, 'env="prod"')), person("bo", (Role.OPERATOR, "")))
    body = {"kind": "acknowledge"}
    async with listening(scoped) as served, aiohttp.ClientSession(served.url) as client:
        for members in (
            Members(firing=2, total=2, sample=both),
            Members(firing=9, total=9, sample=both[:1]),
            Members(firing=0, total=0),
        ):
            served.desk.members = members
            status, told = await asked(client, "POST", COMMANDS, json=body, headers=by("ada"))
            assert status == 403
            assert told["mend"].startswith("ask bo, or grant it under web.people.ada.grants")
        assert served.desk.commands == {}
        assert (await asked(client, "POST", COMMANDS, json=body, headers=by("bo")))[0] == 202


async def test_a_target_is_released_by_whoever_may_act_on_its_incident() -> None:
    """An approver of other rules may not: nothing is released."""
    scoped = people(person("ada", (Role.APPROVER, 'rule="Other"')), person("bo", (Role.APPROVER, "")))
    body = {"target": "postgres/orders", **REASON}
    async with listening(scoped) as served, aiohttp.ClientSession(served.url) as client:
        path = "/api/v1/targets/release"
        assert (await asked(client, "POST", path, json=body, headers=by("ada")))[0] == 403
        assert served.desk.acts == []
        assert (await asked(client, "POST", path, json=body, headers=by("bo")))[0] == 200


async def test_what_is_owed_back_is_kept_by_whoever_may_act_on_its_incident() -> None:
    """An approver of other rules may not: it is given back."""
    scoped = people(person("ada", (Role.APPROVER, 'rule="Other"')), person("bo", (Role.APPROVER, "")))
    body = {"attempt": str(OTHER), **REASON}
    async with listening(scoped) as served, aiohttp.ClientSession(served.url) as client:
        path = "/api/v1/give-backs/keep"
        assert (await asked(client, "POST", path, json=body, headers=by("ada")))[0] == 403
        assert served.desk.acts == []
        assert (await asked(client, "POST", path, json=body, headers=by("bo")))[0] == 200


async def test_maintenance_is_begun_only_where_the_scope_covers_it() -> None:
    """Nobody is paged in it: what the matchers do not fix may be anything, and is not theirs."""
    scoped = people(person("ada", (Role.OPERATOR, 'env="staging"')))
    path = "/api/v1/maintenance"
    async with listening(scoped) as served, aiohttp.ClientSession(served.url, headers=by("ada")) as client:
        for match, status in (("env=staging", 201), ("env=prod", 403), ("env=~staging", 403), ("job=x", 403)):
            body = {"match": match, "for": "1h", **REASON}
            assert (await asked(client, "POST", path, json=body))[0] == status


async def test_maintenance_is_ended_by_whoever_might_have_begun_it() -> None:
    """By its number as by its key: its alerts are acted on when it is over."""
    scoped = people(person("ada", (Role.OPERATOR, 'env="staging"')), person("bo", (Role.OPERATOR, "")))
    path = "/api/v1/maintenance"
    async with listening(scoped) as served, aiohttp.ClientSession(served.url) as client:
        begun = {"match": "env=prod", "for": "1h", **REASON}
        key = {"Idempotency-Key": "deploy-7"}
        told = (await asked(client, "POST", path, json=begun, headers={**by("bo"), **key}))[1]
        by_number = (f"{path}/{told['maintenance']['id']}/end", REASON)
        by_key = (f"{path}/end", {"key": "deploy-7", **REASON})
        for where, body in (by_number, by_key):
            assert (await asked(client, "POST", where, json=body, headers=by("ada")))[0] == 403
        assert len(served.desk.stands) == 1
        assert (await asked(client, "POST", by_key[0], json=by_key[1], headers=by("bo")))[0] == 200
        assert served.desk.stands == []


async def test_an_act_is_recorded_under_the_name_of_the_token() -> None:
    """Whatever name comes with it: that is kept beside it. The shared token names nobody."""
    settings = people(person("ada", (Role.ADMIN, "")), api_token=TOKEN)
    shared = {"Authorization": f"Bearer {TOKEN.get_secret_value()}"}
    body = {"kind": "take_over", "actor": "root", **REASON}
    async with listening(settings) as served, aiohttp.ClientSession(served.url) as client:
        assert (await asked(client, "POST", COMMANDS, json=body, headers=by("ada")))[0] == 202
        assert (await asked(client, "POST", COMMANDS, json=body, headers=shared))[0] == 202
        hers, theirs = served.desk.commands.values()
        assert (hers.actor, hers.facts.identity, hers.facts.said_by) == ("ada", "ada", "root")
        assert (theirs.actor, theirs.facts.identity, theirs.facts.said_by) == (
            "root",
            "the shared token",
            None,
        )
        status, told = await asked(client, "POST", "/api/v1/halt", json=REASON, headers=shared)
        assert (status, told["field"]) == (400, "actor")
        await asked(client, "POST", "/api/v1/halt", json={"actor": "root", **REASON}, headers=by("ada"))
        assert served.desk.flag == "ada: the release broke it"


async def test_with_people_named_nobody_is_let_in_without_a_token() -> None:
    """No token, a wrong one, and the empty one: 401, on loopback too."""
    async with listening(EACH) as served, aiohttp.ClientSession(served.url) as client:
        for headers in ({}, by("nobody"), {"Authorization": "Bearer "}, {"Authorization": "Basic YTpi"}):
            assert (await asked(client, "GET", "/api/v1/incidents", headers=headers))[0] == 401


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"kind": "approve"}, "question"),
    ({"kind": "decline", **ANSWER}, "reason"),
    ({"kind": "close", "closed_as": "duplicate", **REASON}, "duplicate_of"),
    ({"kind": "close", "closed_as": "duplicate", "duplicate_of": str(INCIDENT), **REASON}, "duplicate_of"),
    ({"kind": "close", "duplicate_of": str(OTHER), **REASON}, "duplicate_of"),
    ({"kind": "take_over", "closed_as": "fixed", **REASON}, "closed_as"),
    ({"kind": "take_over", "severity": "P1", **REASON}, "severity"),
    ({"kind": "change_severity", **REASON}, "severity"),
    ({"kind": "change_severity", "severity": "P4", **REASON}, "severity"),
    ({"kind": "acknowledge", **ANSWER}, "question"),
]


@pytest.mark.parametrize(("body", "field"), WRONG)
async def test_an_act_that_is_not_whole_is_400(body: dict[str, Any], field: str) -> None:
    """What a command needs, and what it has no use for, is named."""
    async with listening() as served, aiohttp.ClientSession(served.url) as client:
        status, told = await asked(client, "POST", COMMANDS, json={"actor": "ada", **body})
        assert (status, told["field"]) == (400, field)
        assert served.desk.commands == {}


async def test_what_is_asked_is_shown_with_all_that_a_yes_is_bound_to() -> None:
    """Action, target, parameters, elements, why, until when."""
    async with listening() as served, aiohttp.ClientSession(served.url) as client:
        served.desk.question = QUESTION
        [one] = (await asked(client, "GET", "/api/v1/approvals"))[1]["approvals"]
        assert (one["incident"], one["question"], one["rule"]) == (str(INCIDENT), str(OTHER), RULE.name)
        assert (one["action"], one["target"]) == ("postgres.cancel_queries", "postgres/orders")
        assert (one["params"], one["elements"]) == ({"at_most": 3}, ["pid 7"])
        assert one["reasons"] == ["a person must approve (the rule)"]
