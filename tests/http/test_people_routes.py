"""People's routes over a real listener: what is shown, what is done, and what nobody may do."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from responder.web.api import Part, StartedWith
from responder.web.settings import WebSettings
from tests.support.http_api import INCIDENT, OTHER, OWED, RULE, TOKEN, listening

ACT = {"actor": "ada", "reason": "the release broke it"}
COMMANDS = f"/api/v1/incidents/{INCIDENT}/commands"
PROMOTE = {"kind": "promote", "of": "RunawayQueries", "by": ""}
STANDS = [
    {"kind": "reset_breaker", "of": "RunawayQueries", "by": ""},
    PROMOTE,
    {"kind": "see_incident", "of": str(INCIDENT), "by": ""},
    {"kind": "release", "of": "postgres/orders", "by": str(OTHER)},
]
TAKE_OVER = {"kind": "take_over", **ACT}


async def asked(
    client: aiohttp.ClientSession, method: str, path: str, **more: Any
) -> tuple[int, dict[str, Any]]:
    """Status and JSON of one request."""
    async with client.request(method, path, **more) as response:
        return response.status, await response.json()


async def test_incidents_are_listed_and_shown_by_a_unique_prefix() -> None:
    """A prefix that fits one is enough; one that fits several names them; one that fits none is 404."""
    async with listening() as served, aiohttp.ClientSession(served.url) as client:
        _, told = await asked(client, "GET", "/api/v1/incidents")
        assert [one["id"] for one in told["incidents"]] == [str(INCIDENT)]
        _, told = await asked(client, "GET", "/api/v1/incidents?live=false")
        assert len(told["incidents"]) == 2
        status, told = await asked(client, "GET", "/api/v1/incidents/019ab3c2-2")
        assert (status, told["incident"]["id"]) == (200, str(OTHER))
        status, told = await asked(client, "GET", "/api/v1/incidents/019ab3c2")
        assert status == 409
        assert str(OTHER) in told["error"]
        for unknown in ("ffff", "00000000-0000-7000-8000-000000000000"):
            assert (await asked(client, "GET", f"/api/v1/incidents/{unknown}"))[0] == 404


@pytest.mark.parametrize(
    ("form", "kind"), [("md", "text/markdown"), ("json", "application/json"), ("html", "text/html")]
)
async def test_a_review_comes_in_the_form_that_was_asked_for(form: str, kind: str) -> None:
    """Content type by form; a page may run no script, whatever an alert's label says."""
    async with listening() as served, aiohttp.ClientSession(served.url) as client:
        async with client.get(f"/api/v1/incidents/{INCIDENT}/review?format={form}") as response:
            assert response.content_type == kind
            assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        assert (await asked(client, "GET", f"/api/v1/incidents/{INCIDENT}/review?format=pdf"))[0] == 400


async def test_a_broken_timeline_is_told() -> None:
    """The answer says whether the chain holds and where it does not."""
    async with listening() as served, aiohttp.ClientSession(served.url) as client:
        assert (await asked(client, "GET", f"/api/v1/incidents/{INCIDENT}/verify"))[1]["holds"] is True
        _, told = await asked(client, "GET", f"/api/v1/incidents/{OTHER}/verify")
        assert told["broken"] == "entry 2 is missing"


async def test_a_command_is_given_once_for_each_key() -> None:
    """A retry with the same Idempotency-Key gives no second command; another content under it is refused."""
    key = {"Idempotency-Key": "one"}
    async with listening() as served, aiohttp.ClientSession(served.url) as client:
        first = await asked(client, "POST", COMMANDS, json=TAKE_OVER, headers=key)
        again = await asked(client, "POST", COMMANDS, json=TAKE_OVER, headers=key)
        other = await asked(client, "POST", COMMANDS, json={**TAKE_OVER, "reason": "x"}, headers=key)
        assert [first[0], again[0], other[0]] == [202, 200, 409]
        assert first[1]["command"] == again[1]["command"]
        [command] = served.desk.commands.values()
        assert (command.actor, command.reason) == ("ada", "the release broke it")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "the body"),
        (b"[]", "the body"),
        (b'{"kind": "take_over"}', "actor"),
        (b'{"kind": "take_over", "actor": "ada"}', "reason"),
        (b'{"kind": "explode", "actor": "ada", "reason": "x"}', "kind"),
        (b'{"kind": "close", "actor": 7, "reason": "x"}', "actor"),
        (b'{"kind": "close", "actor": "ada", "reason": "  "}', "reason"),
        (b'{"kind": "close", "actor": "a\\u0000da", "reason": "x"}', "actor"),
        (b'{"kind": "close", "actor": "ada", "reason": "\\u001b[2J"}', "reason"),
        (b'{"kind": "close", "actor": "ada", "reason": "\\ud800"}', "the body"),
        (b'{"kind": "close", "actor": "ada", "reason": "x", "more": 1}', "more"),
        (b'{"a":' * 10_000, "the body"),
        (b"\xff", "the body"),
    ],
)
async def test_a_wrong_command_is_400_naming_the_field(body: bytes, field: str) -> None:
    """Whatever the bytes are: never a 5xx, nothing is done."""
    headers = {"Content-Type": "application/json"}
    async with listening() as served, aiohttp.ClientSession(served.url) as client:
        status, told = await asked(client, "POST", COMMANDS, data=body, headers=headers)
        assert (status, told["field"]) == (400, field)
        assert served.desk.commands == {}


async def test_an_over_large_command_is_413() -> None:
    """A person's request is small."""
    async with listening() as served, aiohttp.ClientSession(served.url) as client:
        status, _ = await asked(client, "POST", COMMANDS, json={**TAKE_OVER, "reason": "x" * 100_000})
        assert status == 413


async def test_an_incident_is_told_with_how_everything_that_stands_is_ended(tmp_path: Path) -> None:
    """Halts by their number, the file, the breaker of its rule, its promotion, the targets that are held.

    So who reads of what held it knows whether that has ended since.
    """
    file = tmp_path / "halt"
    started = StartedWith(settings={}, halt_file=file)
    async with listening(started=started) as served, aiohttp.ClientSession(served.url) as client:
        for part in ("", "/explain"):
            _, told = await asked(client, "GET", f"/api/v1/incidents/{INCIDENT}{part}")
            assert told["standing"] == STANDS
        await asked(client, "POST", "/api/v1/halt", json=ACT)
        file.touch()
        _, told = await asked(client, "GET", f"/api/v1/incidents/{INCIDENT}")
        assert told["standing"] == [
            {"kind": "remove_file", "of": str(file), "by": ""},
            {"kind": "resume", "of": "1", "by": ""},
            *STANDS,
        ]


@pytest.mark.parametrize(("level", "stands"), [("shadow", True), ("approve", False), ("auto", False)])
async def test_a_promotion_beyond_shadow_is_nothing_that_holds_any_more(level: str, stands: bool) -> None:
    """By a person's word for the rule as it is now."""
    async with listening() as served, aiohttp.ClientSession(served.url) as client:
        path = "/api/v1/rules/RunawayQueries/promote"
        assert (await asked(client, "POST", path, json={"level": level, **ACT}))[0] == 200
        _, told = await asked(client, "GET", f"/api/v1/incidents/{INCIDENT}")
        assert (PROMOTE in told["standing"]) is stands


async def test_a_promotion_by_the_settings_is_nothing_that_holds() -> None:
    """It is known by the hash of what acts."""
    started = StartedWith(settings={}, promoted=frozenset({RULE.acting_hash}))
    async with listening(started=started) as served, aiohttp.ClientSession(served.url) as client:
        _, told = await asked(client, "GET", f"/api/v1/incidents/{INCIDENT}")
        assert PROMOTE not in told["standing"]


async def test_resume_names_what_still_halts() -> None:
    """The halt is ended by the request, the file only where it was made."""
    async with listening() as served, aiohttp.ClientSession(served.url) as client:
        _, told = await asked(client, "POST", "/api/v1/halt", json=ACT)
        assert [(hold["what"], hold["id"], hold["reason"]) for hold in told["by"]] == [
            ("halt", 1, ACT["reason"])
        ]
        served.halt_files.append("by the file /run/responder/halt")
        _, told = await asked(client, "POST", "/api/v1/resume", json=ACT)
        by_file = {"what": "file", "path": None, "reason": "by the file /run/responder/halt"}
        assert told == {"ended": [1], "halted": True, "by": [by_file]}
        served.halt_files.clear()
        assert (await asked(client, "GET", "/api/v1/halt"))[1] == {"halted": False, "by": []}


async def test_only_a_quarantined_target_is_released() -> None:
    """Another one is 409, with the mend."""
    async with listening() as served, aiohttp.ClientSession(served.url) as client:
        _, told = await asked(client, "GET", "/api/v1/targets")
        assert told["targets"][0]["quarantined"] is True
        path = "/api/v1/targets/release"
        assert (await asked(client, "POST", path, json={"target": "postgres/orders", **ACT}))[0] == 200
        status, told = await asked(client, "POST", path, json={"target": "postgres/other", **ACT})
        assert (status, told["field"]) == (409, "target")


async def test_what_is_owed_back_is_listed_and_kept_once() -> None:
    """What is not owed any more is 409, with the mend; so is what no attempt owes."""
    async with listening() as served, aiohttp.ClientSession(served.url) as client:
        _, told = await asked(client, "GET", "/api/v1/give-backs")
        assert [one["attempt_id"] for one in told["give_backs"]] == [str(OWED.attempt_id)]
        _, told = await asked(client, "GET", "/api/v1/give-backs?all=true")
        assert len(told["give_backs"]) == 3
        path, body = "/api/v1/give-backs/keep", {"attempt": str(OWED.attempt_id), **ACT}
        assert (await asked(client, "POST", path, json=body))[0] == 200
        for again in (body, {**body, "attempt": str(INCIDENT)}):
            status, told = await asked(client, "POST", path, json=again)
            assert (status, told["field"]) == (409, "attempt")


async def test_a_promotion_is_bound_to_what_was_read() -> None:
    """Where the rule is another by now, nothing is promoted."""
    async with listening() as served, aiohttp.ClientSession(served.url) as client:
        _, rule = await asked(client, "GET", "/api/v1/rules/RunawayQueries")
        path = "/api/v1/rules/RunawayQueries/promote"
        body = {"level": "auto", **ACT, "acting_hash": rule["acting_hash"]}
        status, told = await asked(client, "POST", path, json={**body, "acting_hash": "0" * 64})
        assert (status, told["field"]) == (409, "acting_hash")
        assert served.desk.acts == []
        assert (await asked(client, "POST", path, json=body))[1]["promoted"] == "auto"
        _, listed = await asked(client, "GET", "/api/v1/rules")
        assert listed["rules"][0]["promoted"] == "auto"


async def test_mistakes_in_rules_have_a_place_and_keep_the_old_ones_active() -> None:
    """A check answers 200 with them, a reload 409."""
    files = {"files": {"a.yaml": "wrong", "b.yaml": "right"}}
    mistake = {"file": "a.yaml", "line": 1, "column": 1, "text": "this is wrong", "mend": "Write right"}
    async with listening() as served, aiohttp.ClientSession(served.url) as client:
        told = await asked(client, "POST", "/api/v1/rules/check", json=files)
        assert told == (200, {"ok": False, "mistakes": [mistake]})
        assert (await asked(client, "POST", "/api/v1/rules/reload", json={}))[0] == 200
        served.rules.on_disk = "wrong"
        assert (await asked(client, "POST", "/api/v1/rules/reload", json={}))[0] == 409


async def test_budgets_are_told_with_what_they_were_spent_by() -> None:
    """Each with its starts, how much it allows, and when it frees."""
    async with listening() as served, aiohttp.ClientSession(served.url) as client:
        _, told = await asked(client, "GET", "/api/v1/budgets")
        found = {one["scope"]: (one["name"], one["spent"], one["allowed"]) for one in told["budgets"]}
        assert found == {
            "global": ("", 3, 20),
            "namespace": ("postgres/orders", 3, 5),
            "target": ("postgres/orders", 3, 3),
        }
        target = told["budgets"][-1]
        assert target["starts"][0]["incident_id"] == str(INCIDENT)
        last = datetime.fromisoformat(target["starts"][-1]["at"])
        assert datetime.fromisoformat(target["frees_at"]) == last + timedelta(hours=1)


async def test_only_an_open_breaker_is_reset() -> None:
    """Another one is 409, with the mend; who did it and why goes to the desk."""
    async with listening() as served, aiohttp.ClientSession(served.url) as client:
        assert len((await asked(client, "GET", "/api/v1/breakers"))[1]["breakers"]) == 1
        _, told = await asked(client, "GET", "/api/v1/breakers?all=true")
        assert [one["actor"] for one in told["breakers"]] == [None, "ada"]
        path = "/api/v1/breakers/reset"
        assert (await asked(client, "POST", path, json={"rule": "RunawayQueries", **ACT}))[0] == 200
        status, told = await asked(client, "POST", path, json={"rule": "Other", **ACT})
        assert (status, told["field"]) == (409, "rule")
        assert served.desk.acts[0] == ("reset", "RunawayQueries", ACT["actor"], ACT["reason"])


async def test_people_need_the_token_and_probes_do_not() -> None:
    """With a token configured every people's route asks for it; health and metrics tell no secret."""
    settings = WebSettings(api_token=TOKEN)
    good = {"Authorization": f"Bearer {TOKEN.get_secret_value()}"}
    paths = (
        "incidents",
        f"incidents/{INCIDENT}",
        "halt",
        "targets",
        "rules",
        "dead-letters",
        "alerts/unmatched",
        "sources",
        "budgets",
        "breakers",
    )
    async with listening(settings) as served, aiohttp.ClientSession(served.url) as client:
        for path in paths:
            assert (await asked(client, "GET", f"/api/v1/{path}"))[0] == 401
            assert (await asked(client, "GET", f"/api/v1/{path}", headers=good))[0] == 200
        assert (await asked(client, "POST", COMMANDS, json=TAKE_OVER))[0] == 401
        assert served.desk.commands == {}
        for path in ("/healthz", "/readyz", "/metrics"):
            async with client.get(path) as response:
                assert response.status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example.org"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Host": "evil.example.org"},
    ],
)
async def test_a_page_from_elsewhere_can_neither_read_nor_act(headers: dict[str, str]) -> None:
    """The browser of somebody who may, is no way in for somebody who may not."""
    async with listening() as served, aiohttp.ClientSession(served.url) as client:
        assert (await asked(client, "GET", "/api/v1/incidents", headers=headers))[0] in {403, 421}
        assert (await asked(client, "POST", "/api/v1/halt", json=ACT, headers=headers))[0] in {403, 421}
        assert served.desk.flag is None


async def test_readiness_names_each_part_that_is_not_ready() -> None:
    """503 with the part and why."""
    async with listening() as served, aiohttp.ClientSession(served.url) as client:
        assert (await asked(client, "GET", "/readyz"))[0] == 200
        served.parts.append(Part(name="store", ready=False, text="it does not answer"))
        status, told = await asked(client, "GET", "/readyz")
        assert status == 503
        [part] = told["not_ready"]
        assert (part["name"], part["text"]) == ("store", "it does not answer")


async def test_a_warning_is_told_and_is_no_unreadiness() -> None:
    """A process that is halted is as ready as before: taking it out of service would help nobody."""
    async with listening() as served, aiohttp.ClientSession(served.url) as client:
        served.parts.append(Part(name="halt", ready=True, text="halted by the halt file", warning=True))
        status, told = await asked(client, "GET", "/readyz")
        assert (status, told["ready"]) == (200, True)
        assert [part["name"] for part in told["warnings"]] == ["halt"]


async def test_an_unknown_route_and_method_are_json_too() -> None:
    """404 and 405 in the one form of every answer."""
    async with listening() as served, aiohttp.ClientSession(served.url) as client:
        assert (await asked(client, "GET", "/api/v1/nothing"))[0] == 404
        status, told = await asked(client, "DELETE", "/api/v1/halt")
        assert (status, set(told)) == (405, {"error", "field", "mend"})


@pytest.mark.parametrize("limit", ["0", "-1", "ten", "1e3", "10001", "9" * 5000, "%00", "²"])
async def test_a_limit_that_is_none_is_400(limit: str) -> None:
    """Every list has a bound."""
    async with listening() as served, aiohttp.ClientSession(served.url) as client:
        for path in ("incidents", "dead-letters", "alerts/unmatched"):
            status, told = await asked(client, "GET", f"/api/v1/{path}", params={"limit": limit})
            assert (status, told["field"]) == (400, "limit")


async def test_what_people_were_told_is_listed_with_how_each_channel_stands() -> None:
    """Of all incidents or of one, all of it or what has reached nobody; and one by its id."""
    async with listening() as served, aiohttp.ClientSession(served.url) as client:
        _, told = await asked(client, "GET", "/api/v1/notifications")
        assert [one["tries"] for one in told["notifications"]] == [1, 2]
        assert [one["channel"] for one in told["channels"]] == ["log", "pager"]
        _, told = await asked(client, "GET", "/api/v1/notifications?undelivered=true")
        [waits] = told["notifications"]
        assert waits["last_error"] == "the pager answered 503 Service Unavailable"
        _, told = await asked(client, "GET", f"/api/v1/notifications?incident={OTHER}")
        assert told["notifications"] == []
        _, told = await asked(client, "GET", f"/api/v1/notifications/{waits['id']}")
        assert told["notification"] == waits
        assert (await asked(client, "GET", f"/api/v1/notifications/{OTHER}"))[0] == 404
        for bad in ("/api/v1/notifications/x", "/api/v1/notifications?incident=019ab3c2"):
            assert (await asked(client, "GET", bad))[0] == 400


async def test_a_channel_is_tried_by_a_message_that_says_so_and_who_tries_it() -> None:
    """It is written into the outbox and sent now; a channel that there is not is 404 with those that are."""
    async with listening() as served, aiohttp.ClientSession(served.url) as client:
        body = {"channel": "pager", "actor": "ada"}
        status, told = await asked(client, "POST", "/api/v1/notifications/test", json=body)
        assert status == 202
        assert (await asked(client, "GET", f"/api/v1/notifications/{told['id']}"))[0] == 200
        said = "ada tries the channel pager of the responder: nothing has happened"
        assert served.desk.acts == [("test", "pager", said), ("wake", "", "")]
        body = {"channel": "fax", "actor": "ada"}
        status, told = await asked(client, "POST", "/api/v1/notifications/test", json=body)
        assert (status, "log, pager" in told["mend"]) == (404, True)
