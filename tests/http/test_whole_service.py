"""The whole service over HTTP on a real PostgreSQL: deliveries, people's acts, and what doctor says of it."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest
from click.testing import CliRunner

from responder import app
from responder.cli import main
from responder.cli.doctor import examine
from responder.settings import Settings
from responder.settings.hashes import hashes
from responder.store import partitions
from tests.support.databases import dump, execute, restore
from tests.support.parts import until
from tests.support.traces import everything_stored
from tests.support.whole import (
    AUTH,
    HOOK,
    RULES,
    firing,
    incident_in,
    payload,
    service,
    settings_for,
    told,
)

WRONG = {**AUTH, "Authorization": "Bearer a-wrong-token"}


async def test_a_service_that_starts_during_a_jump_of_the_clock_waits_for_the_others(
    dsn: str, tmp_path: Path
) -> None:
    """As long as one that lives is in doubt nothing begins: no heartbeat, no lease, no alert dated by it."""
    async with service(dsn, tmp_path):
        pass
    raw = await asyncpg.connect(dsn)
    await raw.execute(
        "INSERT INTO workers VALUES (gen_random_uuid(), 'other', '{}', now(), now(), 1, 1, '1h')"
    )
    starting = asyncio.create_task(_served(dsn, tmp_path))
    for _ in range(20):
        await raw.execute("UPDATE workers SET clock_number = nextval('clock_readings')")
        await asyncio.sleep(0.1)
    assert not starting.done()
    assert await raw.fetchval("SELECT count(*) FROM workers") == 1
    await raw.execute("UPDATE workers SET clock_off = '0', clock_number = nextval('clock_readings') + 1000")
    await starting
    await raw.close()


async def _served(dsn: str, folder: Path) -> None:
    async with service(dsn, folder):
        return


async def test_one_alert_told_many_times_at_once_is_one_incident_that_a_person_closes(
    dsn: str, tmp_path: Path
) -> None:
    """Twenty deliveries, two of them with a bad neighbour, make one incident; a person's acts reach it."""
    async with service(dsn, tmp_path) as client:
        bodies = [payload(firing(instance="a"), *([7] if n < 2 else [])) for n in range(20)]

        async def deliver(body: dict[str, Any]) -> int:
            async with client.post(HOOK, json=body, headers=AUTH) as response:
                return response.status

        assert set(await asyncio.gather(*map(deliver, bodies))) == {200}
        incident = await incident_in(client, "escalated")
        assert len((await told(client, "/api/v1/dead-letters"))["dead_letters"]) == 2
        path = f"/api/v1/incidents/{incident['id']}"
        body = {"kind": "close", "actor": "ada", "reason": "false positive"}
        for status in (202, 200):
            async with client.post(
                f"{path}/commands", json=body, headers={"Idempotency-Key": "k"}
            ) as response:
                assert response.status == status
        await incident_in(client, "closed")
        dossier = await told(client, path)
        assert [entry["actor"] for entry in dossier["entries"]].count("ada") == 1
        assert (await told(client, f"{path}/verify"))["holds"] is True
        async with client.get(f"{path}/review?format=html") as response:
            assert "false positive" in await response.text()
        async with client.post(f"{path}/commands", json=body) as response:
            second = (await response.json())["command"]
        facts = await facts_of(client, path, second)
        assert (facts["command"], facts["changed"]) == ("close", False)


async def facts_of(client: aiohttp.ClientSession, path: str, command: str) -> dict[str, Any]:
    """What the timeline says became of a command, once it does."""
    async with asyncio.timeout(20):
        while True:
            entries = (await told(client, path))["entries"]
            for facts in (one["facts"] for one in entries):
                if facts.get("id") == command:
                    return dict(facts)
            await asyncio.sleep(0.1)


HOSTILE: list[tuple[Any, int]] = [
    (payload({**firing(), "labels": {"alertname": "a\x00b", "x": "\x1b[2J"}}), 200),
    (payload({**firing(), "labels": {"alertname": "A", "x": "y" * 1_000_000}}), 200),
    (payload({**firing(), "labels": {str(n): "x" for n in range(10_000)}}), 200),
    (payload({**firing(), "startsAt": "9999-12-31T23:59:59.999999999Z"}), 200),
    (payload({**firing(), "startsAt": "0000-00-00T00:00:00Z"}), 200),
    (payload({**firing(), "annotations": {"x": ["deep", {"er": None}]}}), 200),
    (payload(*[firing(instance="same")] * 50), 200),
    (payload(None, [], "x", 1e308), 200),
    ({"alerts": {}}, 400),
    ({"version": "4"}, 400),
    ([], 400),
]


async def test_whatever_is_posted_the_database_never_answers_for_it(dsn: str, tmp_path: Path) -> None:
    """Good alerts are stored, others go to the dead letters: never a 5xx, and the next delivery comes in."""
    async with service(dsn, tmp_path) as client:
        for body, status in HOSTILE:
            async with client.post(HOOK, data=json.dumps(body), headers=AUTH) as response:
                assert response.status == status, json.dumps(body)[:100]
                await response.json()
            async with client.post(HOOK, json=payload(firing(instance="after")), headers=AUTH) as response:
                assert (await response.json())["stored"] == 1
        surrogate = json.dumps(payload(firing(instance="\ud800")))
        async with client.post(HOOK, data=surrogate, headers=AUTH) as response:
            assert response.status in {200, 400}
        await told(client, "/api/v1/alerts/unmatched")
        await told(client, "/api/v1/dead-letters")


async def test_dead_letters_are_retried_and_dropped(dsn: str, tmp_path: Path) -> None:
    """What can be used by now is stored and gone; what still cannot stays with its reason; a drop is kept."""
    later = firing(instance="later")
    async with service(dsn, tmp_path) as client:
        body = payload({**later, "startsAt": "soon"}, 7, {**later, "status": "odd"})
        async with client.post(HOOK, json={**body, "truncatedAlerts": 5}, headers=AUTH) as response:
            assert (await response.json())["rejected"] == 4
        letters = (await told(client, "/api/v1/dead-letters"))["dead_letters"]
        missed, odd, seven, soon = (letter["id"] for letter in letters)
        assert (await told(client, f"/api/v1/dead-letters/{seven}"))["dead_letter"]["payload"] == "7"
        connection = await asyncpg.connect(dsn)
        try:  # as a later version of the program would, that takes what this one does not
            mended = "UPDATE dead_letters SET payload = $1 WHERE id = $2"
            await connection.execute(mended, json.dumps(later), odd)
            old = mended.replace("payload = $1", "payload = $1, received_at = received_at - interval '2 h'")
            await connection.execute(old, f"[{json.dumps(firing(instance='old'))}]", soon)
            act: dict[str, Any] = {"ids": [odd, seven, missed, soon, 999, odd], "actor": "ada"}
            async with client.post("/api/v1/dead-letters/retry", json=act) as response:
                became = {one["id"]: one for one in (await response.json())["letters"]}
            assert became[odd]["stored"] == 1
            for number, why in {seven: "still: ", missed: "still: ", soon: "older", 999: "no such"}.items():
                assert became[number]["stored"] == 0
                assert why in became[number]["why"]
            act = {"ids": [soon], "actor": "ada", "old": True}
            async with client.post("/api/v1/dead-letters/retry", json=act) as response:
                assert (await response.json())["letters"] == [{"id": soon, "stored": 1}]
            hidden = firing(instance="[redacted:9f86d081884c7d65]")
            await connection.execute(mended, json.dumps(hidden), seven)
            async with client.post("/api/v1/dead-letters/retry", json={**act, "ids": [seven]}) as response:
                [hidden] = (await response.json())["letters"]
            assert "redacted" in hidden["why"]
            drop = {"ids": [seven, soon], "actor": "ada", "reason": "a number"}
            async with client.post("/api/v1/dead-letters/drop", json=drop) as response:
                assert await response.json() == {"dropped": [seven], "unknown": [soon]}
            left = (await told(client, "/api/v1/dead-letters"))["dead_letters"]
            assert [letter["id"] for letter in left] == [missed]
            acts = await connection.fetch("SELECT act FROM dead_letter_acts ORDER BY at")
            assert [row["act"] for row in acts] == ["retry", "retry", "drop"]
            heard = await connection.fetch("SELECT labels ->> 'instance' FROM alerts ORDER BY 1")
            assert [row[0] for row in heard] == ["later", "old"]
            assert await connection.fetchval("SELECT source FROM source_gaps") == "default"
        finally:
            await connection.close()


async def test_one_alert_that_is_still_bad_does_not_hold_back_its_whole_letter(
    dsn: str, tmp_path: Path
) -> None:
    """Of a body with many bad alerts the last letter has the rest: retried, each of them goes its own way."""
    bad = [{**firing(instance=str(n)), "status": "odd"} for n in range(102)]
    async with service(dsn, tmp_path) as client:
        async with client.post(HOOK, json=payload(*bad), headers=AUTH) as response:
            assert (await response.json())["rejected"] == 100
        [together] = (await told(client, "/api/v1/dead-letters?limit=1"))["dead_letters"]
        assert "2 more alerts" in together["reason"]
        hidden = firing(instance="[redacted:9f86d081884c7d65]")
        held = json.dumps([firing(instance="a"), bad[0], hidden, firing(instance="b")])
        await execute(dsn, f"UPDATE dead_letters SET payload = '{held}' WHERE id = {together['id']}")
        act = {"ids": [together["id"]], "actor": "ada password=hunter22"}
        async with client.post("/api/v1/dead-letters/retry", json=act) as response:
            [became] = (await response.json())["letters"]
        assert (became["id"], became["stored"]) == (together["id"], 2)
        assert "2 alerts of it were rejected again" in became["why"]
        two = (await told(client, "/api/v1/dead-letters?limit=2"))["dead_letters"]
        assert sorted(letter["reason"].split(":")[0] for letter in two) == [
            "its labels were redacted, so nobody can tell which alert it is",
            "status",
        ]
        assert together["id"] not in {letter["id"] for letter in two}
    assert "hunter22" not in await everything_stored(dsn)


LARGE = {"log": "v" * 1_000_000, **{f"label_{n}": "x" for n in range(10_000)}}


async def test_an_alert_of_a_megabyte_is_told_to_people_in_a_few_lines(dsn: str, tmp_path: Path) -> None:
    """10,000 labels and a value of a megabyte; its incident is grouped by that: stored whole, shown short."""
    settings = settings_for(dsn, tmp_path)
    (tmp_path / "rules.yaml").write_text(RULES.replace("[instance]", "[log]"))
    async with app.running(settings) as running, aiohttp.ClientSession(running.url) as client:
        body = json.dumps(payload(firing(**LARGE), firing(alertname="Nobody", **LARGE)))
        async with client.post(HOOK, data=io.BytesIO(body.encode()), headers=AUTH) as response:
            assert await response.json() == {"stored": 2, "rejected": 0}
        incident = await incident_in(client, "escalated")
        assert incident["key"] == {"log": LARGE["log"]}
        dossier = await told(client, f"/api/v1/incidents/{incident['id']}")
        assert max(len(entry["text"]) for entry in dossier["entries"]) < 1000
        assert (await told(client, f"/api/v1/incidents/{incident['id']}/verify"))["holds"] is True
        async with client.get(f"/api/v1/incidents/{incident['id']}/review?format=html") as response:
            assert len(await response.text()) < 100_000
        for command in ("incidents list", f"incidents show {incident['id']}", "alerts unmatched"):
            shown = await asyncio.to_thread(printed, running.url, command)
            assert max(map(len, shown.splitlines())) < 2000


def printed(url: str, command: str) -> str:
    """What the command line prints."""
    done = CliRunner().invoke(main, command.split(), env={"RESPONDER_URL": url, "RESPONDER_TOKEN": None})
    assert done.exit_code == 0, done.output
    return done.output


async def test_what_people_do_stands_in_the_database(dsn: str, tmp_path: Path) -> None:
    """The halt with who and why, the promotion with its rule; and the service says that it is ready."""
    act = {"actor": "ada", "reason": "storm"}
    async with service(dsn, tmp_path) as client:
        async with client.post("/api/v1/halt", json=act) as response:
            assert (await response.json())["halted"] is True
        assert "storm" in (await told(client, "/api/v1/halt"))["by"][0]["reason"]
        async with client.post("/api/v1/resume", json=act) as response:
            assert (await response.json())["by"] == []

        body = {"level": "auto", "actor": "ada", "reason": "seen"}
        async with client.post("/api/v1/rules/Watched/promote", json=body) as response:
            assert response.status == 200
        [rule] = (await told(client, "/api/v1/rules"))["rules"]
        assert (rule["name"], rule["promoted"]) == ("Watched", "auto")
        assert rule["ceilings"] == [{"level": "shadow", "origin": "the settings' ceiling"}]
        started = await told(client, "/api/v1/service")
        assert started["settings"] == hashes(settings_for(dsn, tmp_path))
        assert (started["halt_file"], started["halted_by_file"]) == (None, None)
        shown = await told(client, "/api/v1/rules/Watched")
        assert {"path": "severity", "value": "P2", "origin": "the rule"} in shown["lines"]

        assert (await told(client, "/readyz"))["ready"] is True
        async with client.get("/metrics") as response:
            text = await response.text()
    assert "responder_store_up 1.0" in text
    assert "responder_intake_queue 0.0" in text


def warnings(told: dict[str, Any]) -> dict[str, str]:
    """The warnings of `/readyz` by their part."""
    return {part["name"]: part["text"] for part in told["warnings"]}


FILE, FLAG = "halt file (these settings)", "halt (service)"


async def stood(settings: Settings) -> dict[str, str]:
    """What doctor says of rules and halts."""
    found = await examine(settings)
    told = [one for one in found if one.part in {"rules", "rule files", FILE, FLAG, "service"}]
    parts: dict[str, str] = {}
    for one in told:
        parts[one.part] = f"{parts.get(one.part, '')}{one.health.value}: {one.text}\n"
    return parts


async def test_rules_and_halts_are_told_by_readiness_and_doctor(dsn: str, tmp_path: Path) -> None:
    """How many rules are active, that the files have mistakes, and what halts; none of it makes it unready.

    Readiness asks for no token, so it keeps who halted and why to itself; doctor says it.
    """
    halt_file = tmp_path / "halt"
    settings = settings_for(
        dsn, tmp_path, engine={"halt_file": str(halt_file)}, anchor=str(tmp_path / "anchor")
    )
    before = await stood(settings)
    assert before["rules"] == "warn: no rule is active: alerts are kept, and nothing is done about them\n"
    assert before["rule files"] == "ok: 1 rule, no mistake\n"
    async with app.running(settings) as running, aiohttp.ClientSession(running.url) as client:
        ready = await told(client, "/readyz")
        assert warnings(ready) == {}
        assert {"1 rule is active", "nothing halts"} <= {part["text"] for part in ready["parts"]}
        calm = await stood(settings)
        assert calm["rules"] == "ok: 1 rule is active\n"
        assert calm[FILE] == f"ok: no file halts: {halt_file} is not there\n"
        assert calm[FLAG] == "ok: no flag halts\n"

        (tmp_path / "rules.yaml").write_text("rules: [{nme: A}]\n")
        async with client.post("/api/v1/rules/reload") as response:
            assert response.status == 409
        halt_file.write_text("ada: a secret reason")
        held = warnings(await told(client, "/readyz"))
        assert held["rules"].startswith("1 rule is active; the rule files have ")
        assert held["halt"] == "halted by the halt file: no action starts"
        away = settings_for("postgresql://u@127.0.0.1:1/d", tmp_path, engine={"halt_file": str(halt_file)})
        assert "a secret reason" in (await stood(away))[FILE]
        (tmp_path / "rules.yaml").write_text("rules: [{nme: A}]\n")
        found = await stood(settings)
        assert found["rule files"].startswith("fail: ")
        assert found[FILE] == f"warn: no action starts, by the file {halt_file}: ada: a secret reason\n"
        assert found[FLAG] == "ok: no flag halts\n"

        halt_file.unlink()
        async with client.post("/api/v1/halt", json={"actor": "ada", "reason": "storm"}) as response:
            assert response.status == 200
        held = warnings(await told(client, "/readyz"))
        assert held["halt"] == "halted by the flag in the database: no action starts"
        by_flag = (await stood(settings))[FLAG]
        assert by_flag.startswith("warn: no action starts, by the flag in the database: ")
        assert "storm" in by_flag


async def test_an_open_breaker_is_a_warning_of_readiness_until_it_is_reset(dsn: str, tmp_path: Path) -> None:
    """How many there are, and no name: readiness asks for no token. A breaker makes nothing unready."""
    settings = settings_for(dsn, tmp_path, anchor=str(tmp_path / "anchor"))
    async with app.running(settings) as running, aiohttp.ClientSession(running.url) as client:
        assert warnings(await told(client, "/readyz")) == {}
        opened = "INSERT INTO breakers (rule, opened_at, attempts) VALUES ('StuckQuery', now(), '{}')"
        await execute(dsn, opened)
        ready = await told(client, "/readyz")
        assert ready["ready"] is True
        text = "the circuit breaker of 1 rule is open: responder breaker list"
        assert warnings(ready) == {"breakers": text}
        body = {"rule": "StuckQuery", "actor": "ada", "reason": "the index is back"}
        async with client.post("/api/v1/breakers/reset", json=body) as response:
            assert response.status == 200
        assert warnings(await told(client, "/readyz")) == {}


async def test_refused_deliveries_are_told_where_people_look(dsn: str, tmp_path: Path) -> None:
    """Readiness and doctor name the source, how many, when and why the last: no secret, and still ready."""
    settings = settings_for(dsn, tmp_path, data_dir=str(tmp_path), anchor=str(tmp_path / "anchor"))
    async with app.running(settings) as running, aiohttp.ClientSession(running.url) as client:
        (tmp_path / "api.url").write_text(running.url)
        for headers, status in (({**AUTH, "Content-Type": "text/plain"}, 415), (WRONG, 401), (WRONG, 401)):
            async with client.post(HOOK, data="{}", headers=headers) as response:
                assert response.status == status
        async with client.post(HOOK.replace("default", "defualt"), data="{}", headers=AUTH) as response:
            assert response.status == 404
        for path, status in ((HOOK.removesuffix("/default"), 404), (f"{HOOK}/", 404)):
            async with client.post(path, data="{}", headers=AUTH) as response:
                assert response.status == status
        ready = await told(client, "/readyz")
        assert ready["ready"] is True
        refused = warnings(ready)
        assert set(refused) == {"source default", "source (none of the settings)"}
        assert refused["source default"].startswith("3 deliveries refused, the last at 20")
        assert refused["source default"].endswith(" UTC: wrong credentials")
        assert refused["source (none of the settings)"].startswith("3 deliveries refused, ")
        assert refused["source (none of the settings)"].endswith(": no such source")
        found = {one.part: one.text for one in await examine(settings) if one.text in refused.values()}
        assert found == refused
        assert "a-wrong-token" not in json.dumps(ready)


async def test_doctor_asks_the_service_where_the_database_runs_only_with_it(dsn: str, tmp_path: Path) -> None:
    """With the bundled server: what the service says of itself; that nobody knows while it is down."""
    bundled = {"database": "embedded", "data_dir": str(tmp_path), "rules": []}
    async with app.running(settings_for(dsn, tmp_path, rules=[])) as running:
        (tmp_path / "api.url").write_text(running.url)
        up = await stood(settings_for(dsn, tmp_path, **bundled))
        assert up["rules"].startswith("warn: no rule is active")
        assert up[FLAG] == "ok: nothing halts\n"
        assert up["rule files"] == "warn: the settings name none\n"
    down = await stood(settings_for(dsn, tmp_path, **bundled))
    assert down["service"].startswith(f"warn: no service answers at {running.url}")
    assert (down.get("rules"), down.get(FLAG)) == (None, None)


async def test_doctor_names_missing_rights_and_the_responders_own_ground(dsn: str, tmp_path: Path) -> None:
    """A role without rights fails with the GRANT, the own server is warned of, what is away fails."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("create role poor")
    finally:
        await connection.close()
    poor = f"{dsn}{'&' if '?' in dsn else '?'}role=poor"
    inventory = {
        "postgres": [
            {"name": "own", "dsn": dsn},
            {"name": "away", "dsn": "postgresql://u:hunter22@127.0.0.1:1/d"},
            {"name": "poor", "dsn": poor},
        ]
    }
    found = await examine(settings_for(dsn, tmp_path, inventory=inventory))
    texts = [f"{one.part} {one.health.value}: {one.text} {one.mend}" for one in found]
    assert any(text.startswith("store ok") for text in texts)
    assert any(text.startswith("postgres/own warn") and "carries the responder" in text for text in texts)
    assert any(text.startswith("postgres/away fail") for text in texts)
    assert "hunter22" not in " ".join(texts)
    for right in ("pg_read_all_stats", "pg_signal_backend"):
        assert any(
            text.startswith("postgres/poor fail") and f'GRANT {right} TO "poor"' in text for text in texts
        )


async def test_doctor_tries_every_named_query_on_every_connection(
    dsn: str, empty_dsn: str, tmp_path: Path
) -> None:
    """One line for each: what no connection answers with one number fails, and nothing is changed.

    A query that another connection answers is warned of; a connection that is away is told once.
    """
    await execute(empty_dsn, "CREATE TABLE only_here AS SELECT 7 AS n")
    inventory = {
        "postgres": [
            {"name": "one", "dsn": dsn},
            {"name": "two", "dsn": empty_dsn},
            {"name": "away", "dsn": "postgresql://u:hunter22@127.0.0.1:1/d"},
        ]
    }
    asked = {
        "good": "select count(*) from pg_stat_activity where false",
        "partly": "select n from only_here",
        "missing": "select n from nowhere",
        "rows": "select generate_series(1, 2)",
        "columns": "select 1, 2 where false",
        "text": "select 'x'::text",
        "null": "select max(n) from only_here where false",
        "nothing": "set work_mem = '4MB'",
        "two": "select 1; select 2",
        "changes": "with gone as (delete from only_here returning 1) select count(*) from gone",
    }
    queries = {name: {"sql": sql} for name, sql in asked.items()}
    found = await examine(settings_for(dsn, tmp_path, inventory=inventory, queries=queries))
    told = {(one.part, one.text.split(": ")[0]): one for one in found if one.part.startswith("query ")}
    assert len(told) == 2 * len(asked)
    lines = {where: f"{one.health.value}: {one.text}" for where, one in told.items()}
    assert lines["query good", "on two"] == "ok: on two: 0"
    assert lines["query partly", "on two"] == "ok: on two: 7"
    assert lines["query partly", "on one"].startswith("warn: ")
    assert lines["query null", "on two"].startswith("warn: on two: the answer is NULL, which is no data")
    words = {
        "missing": 'relation "nowhere" does not exist',
        "rows": "the answer has 2 rows, not one",
        "columns": "the answer has 2 columns, not one",
        "text": "the answer is of type str, not a number",
        "nothing": "it is no query: it has no column",
        "two": "SQLSTATE 42601",
        "changes": "SQLSTATE 25006",
    }
    for name, problem in words.items():
        line = lines[f"query {name}", "on two"]
        assert line.startswith("fail: ")
        assert problem in line
    assert [one.text for one in found if one.part == "queries"] == ["not tried on away"]
    connection = await asyncpg.connect(empty_dsn)
    assert await connection.fetchval("SELECT count(*) FROM only_here") == 1
    await connection.close()


async def test_what_fired_before_its_rule_is_taken_up_when_the_rule_comes(dsn: str, tmp_path: Path) -> None:
    """An alert that no rule took is listed; a rulebook that takes it, activated later, opens its incident.

    The review says that it was taken up later.
    """
    async with service(dsn, tmp_path) as client:
        body = json.dumps(payload(firing(alertname="Later", instance="a")))
        async with client.post(HOOK, data=body, headers=AUTH) as response:
            assert response.status == 200
        assert (await told(client, "/api/v1/incidents?live=false"))["incidents"] == []
        (tmp_path / "rules.yaml").write_text(RULES.replace("Watched", "Later"))
        async with client.post("/api/v1/rules/reload") as response:
            assert response.status == 200
        incident = await incident_in(client, "escalated")
        async with client.get(f"/api/v1/incidents/{incident['id']}/review") as response:
            assert "was taken up by a new rulebook" in await response.text()


async def test_what_fired_before_its_rule_is_taken_up_at_the_next_start(dsn: str, tmp_path: Path) -> None:
    """The same, when the rule comes with a restart."""
    async with service(dsn, tmp_path) as client:
        body = json.dumps(payload(firing(alertname="Later", instance="a")))
        async with client.post(HOOK, data=body, headers=AUTH) as response:
            assert response.status == 200
    settings = settings_for(dsn, tmp_path)
    (tmp_path / "rules.yaml").write_text(RULES.replace("Watched", "Later"))
    async with app.running(settings) as running, aiohttp.ClientSession(running.url) as client:
        await incident_in(client, "escalated")


async def test_a_mended_rule_counts_for_what_fires_again_after_it_was_recorded(
    dsn: str, tmp_path: Path
) -> None:
    """A rule that only records is mended to tell a person; the incident says which version judges it."""
    async with service(dsn, tmp_path) as client:
        (tmp_path / "rules.yaml").write_text(RULES.replace("escalate: true", "escalate: false"))
        async with client.post("/api/v1/rules/reload") as response:
            assert response.status == 200
        first = firing(instance="a")
        async with client.post(HOOK, json=payload(first), headers=AUTH) as response:
            assert response.status == 200
        incident = await incident_in(client, "recorded")
        (tmp_path / "rules.yaml").write_text(RULES)
        async with client.post("/api/v1/rules/reload") as response:
            assert response.status == 200
        path = f"/api/v1/incidents/{incident['id']}"
        assert (await told(client, path))["rule_as_of"] is not None
        over = {**first, "status": "resolved", "endsAt": "2026-11-24T01:05:00Z"}
        again = {**first, "startsAt": "2026-11-24T01:06:00Z"}
        for alert in (over, again):
            async with client.post(HOOK, json=payload(alert), headers=AUTH) as response:
                assert response.status == 200
        await incident_in(client, "escalated")
        dossier = await told(client, path)
        assert dossier["rule_as_of"] is None
        assert "judged by Watched as it is now: a newer rulebook is active" in {
            entry["text"] for entry in dossier["entries"]
        }


async def test_a_restored_dump_is_halted_until_a_person_resumes_and_the_anchor_says_why(
    dsn: str, empty_dsn: str, tmp_path: Path
) -> None:
    """Through the whole service: it anchors at its stop, and what is older than that line starts nothing."""
    anchor = str(tmp_path / "anchor")
    async with service(dsn, tmp_path, anchor=anchor) as client:
        await told(client, "/readyz")
    backup = dump(dsn)
    async with service(dsn, tmp_path, anchor=anchor) as client:
        async with client.post(HOOK, json=payload(firing(instance="a")), headers=AUTH) as response:
            assert response.status == 200
        await incident_in(client, "escalated")
        assert warnings(await told(client, "/readyz")) == {}
        assert (await told(client, "/api/v1/halt"))["halted"] is False
    lines = (tmp_path / "anchor").read_text().splitlines()
    restore(empty_dsn, backup)
    async with service(empty_dsn, tmp_path, anchor=anchor) as client:
        halted = await told(client, "/api/v1/halt")
        assert "behind anchor 4 in the file" in halted["by"][0]["reason"]
        url = "/api/v1/anchor/verify"
        async with client.post(url, json={"lines": lines}) as response:
            checks = (await response.json())["lines"]
        assert [check["behind"] for check in checks] == [False, False, True, True]
        async with client.post("/api/v1/resume", json={"actor": "ann", "reason": "I looked"}) as response:
            assert (await response.json())["halted"] is False
    async with service(empty_dsn, tmp_path, anchor=anchor) as client:
        assert (await told(client, "/api/v1/halt"))["halted"] is False


async def test_without_an_anchor_file_readiness_warns_and_stays(dsn: str, tmp_path: Path) -> None:
    """It is ready, and the warning says which setting is missing."""
    async with service(dsn, tmp_path) as client:
        ready = await told(client, "/readyz")
        assert ready["ready"] is True
        assert "not anchored: set `anchor:`" in warnings(ready)["anchor"]


async def test_an_anchor_file_that_cannot_be_written_is_a_warning(dsn: str, tmp_path: Path) -> None:
    """It is ready and takes alerts; the file and the reason stand where a token is asked for."""
    async with service(dsn, tmp_path, anchor=str(tmp_path / "missing" / "anchor")) as client:
        ready = await told(client, "/readyz")
        assert ready["ready"] is True
        assert warnings(ready)["anchor"] == "the timelines could not be anchored: see the log"
        assert "No such file" in (await told(client, "/api/v1/anchor"))["problem"]
        async with client.post(HOOK, json=payload(firing(instance="a")), headers=AUTH) as response:
            assert response.status == 200


@asynccontextmanager
async def nobody_makes_partitions(dsn: str) -> AsyncIterator[None]:
    """Holds the lock under which they are made, however long the test takes."""
    connection = await asyncpg.connect(dsn)
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", partitions._LOCK)
        yield
    await connection.close()


async def test_readiness_warns_when_the_journal_has_few_days_left(dsn: str, tmp_path: Path) -> None:
    """Below two days ahead there is a warning; it is ready all the same: a missing day is made on demand."""
    async with service(dsn, tmp_path) as client, nobody_makes_partitions(dsn):
        for ahead in range(2, 8):
            name = f"to_char(clock_timestamp() AT TIME ZONE 'UTC' + interval '{ahead} days', 'YYYYMMDD')"
            await execute(dsn, f"DO $$ BEGIN EXECUTE 'DROP TABLE journal_' || {name}; END $$")
        ready = await told(client, "/readyz")
        assert ready["ready"] is True
        assert warnings(ready)["journal"] == "partitions for 1 days ahead"


async def test_a_failure_that_nobody_foresaw_does_not_end_the_house_keeping(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next turn comes as before, and does what the failed one could not."""
    turns: list[int] = []

    async def fails_at_first(_dsn: str, _before: datetime) -> tuple[str, ...]:
        turns.append(len(turns))
        if turns == [0]:
            raise RuntimeError("a fault of ours")
        return ()

    monkeypatch.setattr("responder.app._MINUTE", timedelta(milliseconds=10))
    monkeypatch.setattr("responder.app.drop_older", fails_at_first)
    async with service(dsn, tmp_path):

        async def went_on() -> bool:
            return len(turns) > 1

        await until(went_on, "another turn", within=60)


async def test_what_keeping_the_house_cannot_do_holds_back_nothing_else(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A day of the journal that cannot be dropped, for a view stands on it: days to come are still made."""
    monkeypatch.setattr(app, "_MINUTE", timedelta(milliseconds=20))
    async with service(dsn, tmp_path):
        connection = await asyncpg.connect(dsn)
        await connection.execute("create table journal_20200101 (like journal including all)")
        await connection.execute("create view somebodys as select * from journal_20200101")
        day = f"journal_{datetime.now(UTC) + timedelta(days=5):%Y%m%d}"
        for _ in range(2):  # the second time after a round that failed
            await connection.execute(f"drop table {day}")
            async with asyncio.timeout(30):
                while await connection.fetchval("select to_regclass($1) is null", day):  # noqa: ASYNC110 - only asking shows
                    await asyncio.sleep(0.02)
        await connection.close()
