"""Acts by hand on a whole service: a real PostgreSQL as the store, another one whose sessions are ended.

What was really done is counted in the log of the server that it was done to.
"""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import asyncpg
import pytest
import pytest_asyncio
from aiohttp import web
from click.testing import CliRunner, Result

from responder import app
from responder.cli import main
from responder.crash_points import VARIABLE, Point
from responder.settings import load
from tests.support.parts import Part, PostgresServer, embedded_postgres, free_port, until
from tests.support.scenes import Sessions, sessions_on

pytestmark = pytest.mark.timeout(180)

TERMINATE = "postgres.terminate_queries"
TARGET = "postgres/orders"
PEOPLE = {
    "ada": [{"role": "approver", "scope": ['env="prod"']}],
    "bo": [{"role": "approver"}],
    "dev": [{"role": "approver", "scope": ['env="dev"']}],
    "opa": [{"role": "operator"}],
    "root": [{"role": "admin"}],
}
WHY = "the nightly report hangs"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[PostgresServer]:
    async with embedded_postgres("victim") as running:
        yield running


@pytest_asyncio.fixture
async def sessions(server: PostgresServer) -> AsyncIterator[Sessions]:
    async with sessions_on(server) as made:
        yield made


def token(name: str) -> str:
    return f"the-secret-token-of-{name}"


def written(dsn: str, folder: Path, server: PostgresServer, port: int, **engine: Any) -> Path:
    """The settings file of a service with one connection to act on, and one to its own store."""
    prod = ['env="prod"', 'server="orders"']
    settings = {
        "database": dsn,
        "timeline_key": "the key of a throw-away timeline",
        "data_dir": str(folder / "data"),
        "lease_time": "5s",
        "heartbeat_every": "1s",
        "rules": [],
        "inventory": {
            "postgres": [
                {"name": "orders", "dsn": server.dsn(), "matches": prod},
                {"name": "own", "dsn": dsn, "matches": ['env="prod"', 'server="own"']},
                {
                    "name": "away",
                    "dsn": f"postgresql://x@127.0.0.1:{free_port()}/x",
                    "matches": ['server="away"'],
                },
            ]
        },
        "prometheus": {"url": f"http://127.0.0.1:{port}"},
        "engine": {
            "ceiling": "auto",
            "poll_every": "50ms",
            "terms": {"verify_every": "100ms", "hold_every": "100ms", "suppressed_every": "100ms"},
            **engine,
        },
        "web": {
            "listen": "127.0.0.1:0",
            "people": {name: {"token": token(name), "grants": grants} for name, grants in PEOPLE.items()},
        },
    }
    file = folder / "responder.yaml"
    file.write_text(json.dumps(settings))
    return file


@dataclass
class Answering:
    """A Prometheus that answers every query with one number."""

    value: float = 0.0
    port: int = 0

    async def answer(self, _request: web.Request) -> web.Response:
        """The number, as a scalar."""
        result = {"resultType": "scalar", "result": [0, str(self.value)]}
        return web.json_response({"status": "success", "data": result})


@asynccontextmanager
async def prometheus() -> AsyncIterator[Answering]:
    found = Answering()
    application = web.Application()
    application.add_routes([web.post("/api/v1/query", found.answer), web.get("/api/v1/query", found.answer)])
    running = web.AppRunner(application)
    await running.setup()
    site = web.TCPSite(running, "127.0.0.1", 0)
    await site.start()
    found.port = running.addresses[0][1]
    try:
        yield found
    finally:
        await running.cleanup()


@dataclass
class Scene:
    """A service, the sessions of the server that it may act on, and what Prometheus says."""

    url: str
    raw: "asyncpg.Connection[asyncpg.Record]"
    sessions: Sessions
    prometheus: Answering
    client: aiohttp.ClientSession
    done_before: int = field(default=0)

    @property
    def effects(self) -> int:
        """How many statements that end a session the server has executed since the scene began."""
        return ended_sessions(self.sessions.server) - self.done_before

    def wants(self, **more: Any) -> dict[str, Any]:
        """A body that asks for this scene's sessions to be ended."""
        given = {"connection": "orders", "application": self.sessions.application, "older_than": "1ms"}
        return {"action": TERMINATE, "with": {**given, "at_most": 5}, "reason": WHY, **more}

    async def post(
        self, path: str, body: Mapping[str, Any], by: str = "ada", key: str | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Status and body of what a person posts."""
        headers = {"Authorization": f"Bearer {token(by)}"}
        if key is not None:
            headers["Idempotency-Key"] = key
        async with self.client.post(f"/api/v1/{path}", json=body, headers=headers) as answered:
            return answered.status, await answered.json()

    async def asked(self, by: str = "ada", **more: Any) -> str:
        """The incident of an act that was taken up."""
        status, told = await self.post("acts", self.wants(**more), by)
        assert status == 202, told
        return str(told["incident"])

    async def dossier(self, incident: str) -> dict[str, Any]:
        """Everything about one incident."""
        headers = {"Authorization": f"Bearer {token('root')}"}
        async with self.client.get(f"/api/v1/incidents/{incident}", headers=headers) as answered:
            assert answered.status == 200
            return dict(await answered.json())

    async def reaches(self, incident: str, *states: str) -> dict[str, Any]:
        """Everything about an incident, once it is in one of these states."""
        seen: dict[str, Any] = {}

        async def there() -> bool:
            seen.update(await self.dossier(incident))
            return seen["incident"]["state"] in states

        try:
            await until(there, f"{incident} is {states}", within=60)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{texts(seen)}") from None
        return seen

    async def run(self, *arguments: str, by: str = "ada") -> Result:
        """The command line, by a person."""
        names = ("CONFIG", "DATA_DIR", "ACTOR")
        environment: dict[str, str | None] = {f"RESPONDER_{name}": None for name in names}
        environment |= {"RESPONDER_URL": self.url, "RESPONDER_TOKEN": token(by)}
        return await asyncio.to_thread(CliRunner().invoke, main, list(arguments), env=environment)

    def command(self, *more: str) -> tuple[str, ...]:
        """`responder run` for this scene's sessions."""
        given = self.wants()["with"]
        params = [part for name, value in given.items() for part in ("--with", f"{name}={value}")]
        return ("run", TERMINATE, *params, "--reason", WHY, *more)


def ended_sessions(server: PostgresServer) -> int:
    """Executed statements of ours that end a session, by the server's log."""
    executed = r"LOG:  (?:execute [^:]*|statement): [^\n]*responder attempt.*?pg_terminate_backend"
    entries = re.split(r"^(?=\d{4}-\d\d-\d\d )", server.log, flags=re.MULTILINE)
    return sum(1 for entry in entries if re.search(executed, entry, re.DOTALL))


def texts(dossier: Mapping[str, Any]) -> str:
    return "\n".join(f"{entry['kind']}: {entry['text']}" for entry in dossier.get("entries", ()))


def last_judged(dossier: Mapping[str, Any]) -> dict[str, Any]:
    return dict([entry["facts"] for entry in dossier["entries"] if entry["kind"] == "judged"][-1])


@pytest.fixture(name="engine")
def _engine() -> dict[str, Any]:
    """Settings of the engine, which a test may replace by a parameter."""
    return {}


@pytest_asyncio.fixture
async def scene(
    dsn: str, tmp_path: Path, server: PostgresServer, sessions: Sessions, engine: dict[str, Any]
) -> AsyncIterator[Scene]:
    raw = await asyncpg.connect(dsn)
    try:
        async with prometheus() as answering:
            file = written(dsn, tmp_path, server, answering.port, **engine)
            async with (
                app.running(load(file, {}).settings, needs_rules=False) as running,
                aiohttp.ClientSession(running.url) as client,
            ):
                yield Scene(running.url, raw, sessions, answering, client, ended_sessions(server))
    finally:
        await raw.close()


async def nothing_was_done(scene: Scene, number: int = 1) -> None:
    """Its sessions stand, no attempt and no claim was written."""
    assert scene.effects == 0
    assert await scene.sessions.standing() == number
    assert await scene.raw.fetchval("SELECT count(*) FROM attempts") == 0
    assert await scene.raw.fetchval("SELECT count(*) FROM claims") == 0


# The straight line ------------------------------------------------------------------------------------


async def test_a_query_is_ended_by_hand_with_one_effect(scene: Scene) -> None:
    """Intent, effect, ledger and timeline as of a rule; the review says who asked, and the list marks it.

    Its one attempt is done, and nobody claims that it helped: nothing was to prove that.
    """
    await scene.sessions.start()
    told = await scene.run(*scene.command())
    assert told.exit_code == 0, told.output
    assert f"P2 ada asks by hand for {TERMINATE} on {TARGET}: {WHY}" in told.output
    assert f"about to run {TERMINATE} on {TARGET}" in told.output
    assert told.output.splitlines()[-1].endswith(": done")
    assert scene.effects == 1
    assert await scene.sessions.standing() == 0
    [attempt] = await scene.raw.fetch("SELECT outcome, verdict, rule FROM attempts")
    assert tuple(attempt) == ("done", None, f"by-hand/{TERMINATE}")
    assert await scene.raw.fetchval("SELECT count(*) FROM starts") == 1, "it spends the budgets"
    assert await scene.raw.fetchval("SELECT count(*) FROM claims") == 0

    incident = str(await scene.raw.fetchval("SELECT id FROM incidents"))
    dossier = await scene.reaches(incident, "recorded")
    assert dossier["incident"]["progress"]["outcome"].endswith("whether it helped is for ada to say")
    assert dossier["entries"][0]["actor"] == "ada"
    assert dossier["incident"]["key"] == {"env": "prod", "server": "orders"}
    listed = await scene.run("incidents", "list")
    assert re.search(rf"{TERMINATE} +{TARGET}, env=prod, server=orders, by hand: ada", listed.output)
    review = (await scene.run("incidents", "review", incident)).output
    assert f"ada asked by hand for {TERMINATE} on {TARGET}" in review
    assert WHY in review
    assert re.search(r"Approved by\W+ada", review)
    verified = await scene.run("incidents", "verify", incident)
    assert verified.exit_code == 0, verified.output
    explained = (await scene.run("explain", incident, "--all")).output
    assert "alert still firing: ada asked for it by hand: no alert has to speak for it" in explained


async def test_where_nothing_fits_there_is_nothing_to_do(scene: Scene) -> None:
    """No attempt, exit 0, and it says so."""
    told = await scene.run(*scene.command())
    assert told.exit_code == 0, told.output
    assert "there is nothing to do: no element of the target fits" in told.output
    assert await scene.raw.fetchval("SELECT count(*) FROM attempts") == 0


async def test_a_look_by_hand_tells_what_it_saw(scene: Scene) -> None:
    """A read-only action needs no intent; its evidence is what comes of it."""
    told = await scene.run("run", "postgres.activity", "--with", "connection=orders", "--reason", WHY)
    assert told.exit_code == 0, told.output
    assert re.search(r"postgres.activity: \d+ of \d+ connections", told.output)
    assert await scene.raw.fetchval("SELECT state FROM incidents") == "recorded", "nobody was told"


async def test_a_look_by_hand_that_saw_nothing_says_so(scene: Scene) -> None:
    """Exit 3: the server does not answer."""
    looking = ("run", "postgres.activity", "--with", "connection=away", "--reason", WHY)
    told = await scene.run(*looking, by="bo")
    assert told.exit_code == 3, told.output
    assert "postgres/away cannot be looked at" in told.output


async def test_more_than_at_most_is_refused(scene: Scene) -> None:
    """The action's own limits are a rule's: six where five are allowed touch none."""
    for _ in range(6):
        await scene.sessions.start()
    told = await scene.run(*scene.command())
    assert told.exit_code == 3, told.output
    assert (
        "refused: 6 elements were found, more than the 5 that at_most allows; nothing was done" in told.output
    )
    await nothing_was_done(scene, 6)


# What holds a rule holds a person -----------------------------------------------------------------------


async def test_explain_names_the_command_for_each_guard_that_holds_it_and_which_has_ended(
    scene: Scene,
) -> None:
    """Of a halt and a freeze both; what was ended says so, and its command is gone. JSON has every guard."""
    await scene.sessions.start()
    assert (await scene.post("halt", {"reason": "we look first"}, by="root"))[0] == 200
    _, added = await scene.post("freezes", {"reason": "a release", "for": "1h"}, by="root")
    incident = await scene.asked()
    await scene.reaches(incident, "held")
    told = (await scene.run("explain", incident)).output
    freeze = f"responder freeze end {added['freeze']['id']} --reason ..."
    first = told.splitlines()[0]
    assert "held by halt (no end is known), freeze (until " in first
    assert "earliest start " in first
    for line in ("HALTED by root", "halt: halted by root: we look first", "-> responder resume --id 1"):
        assert line in told
    assert f"-> {freeze}" in told
    assert "other guards let it go" in told
    assert "not halted" not in told
    assert (await scene.run("resume", by="root")).exit_code == 0

    async def only_frozen() -> bool:
        return "held by halt" not in (await scene.run("explain", incident)).output.splitlines()[0]

    await until(only_frozen, "the freeze alone holds it", within=60)
    told = (await scene.run("explain", incident)).output
    assert "HALTED" not in told
    assert "resume" not in told
    assert "halt: halted by root: we look first (since ended)" in told
    assert f"-> {freeze}" in told
    every = json.loads((await scene.run("explain", incident, "--json")).output)
    [step] = every["explanation"]["steps"]
    assert len(step["judged"][-1]["words"]) > 25
    await nothing_was_done(scene)


async def test_a_halt_holds_it_and_says_so(scene: Scene) -> None:
    """Nothing is done while it is halted; whoever waits reads why, and afterwards it is done once."""
    await scene.sessions.start()
    assert (await scene.post("halt", {"reason": "we look first"}, by="root"))[0] == 200
    told = await scene.run(*scene.command("--wait", "2s"))
    assert told.exit_code == 1, told.output
    assert "Held: halted by root: we look first" in told.output
    assert "it has not begun, and may yet" in told.output
    await nothing_was_done(scene)
    assert (await scene.post("resume", {"reason": "looked", "all": True}, by="root"))[0] == 200
    incident = str(await scene.raw.fetchval("SELECT id FROM incidents"))
    await scene.reaches(incident, "recorded")
    assert scene.effects == 1


@pytest.mark.parametrize(
    ("path", "body", "guard"),
    [
        ("freezes", {"match": ['env="prod"'], "for": "1h", "reason": "a release"}, "freeze"),
        ("maintenance", {"match": ['server="orders"'], "for": "1h", "reason": "an upgrade"}, "maintenance"),
        ("halt", {"scope": ['env="prod"'], "reason": "prod rests"}, "halt"),
    ],
)
async def test_what_stands_over_its_target_holds_it(
    scene: Scene, path: str, body: dict[str, Any], guard: str
) -> None:
    """A freeze, maintenance or halt of where the target stands, as the inventory says."""
    await scene.sessions.start()
    assert (await scene.post(path, body, by="root"))[0] in {200, 201}
    held = await scene.reaches(await scene.asked(), "held")
    assert held["incident"]["progress"]["hold"]["guard"] == guard
    await nothing_was_done(scene)


async def test_what_was_held_for_too_long_is_not_done_later(scene: Scene) -> None:
    """It may begin within 15 minutes; then people are told, and the end of the halt starts nothing."""
    await scene.sessions.start()
    await scene.post("halt", {"reason": "we look first"}, by="root")
    incident = await scene.asked()
    held = await scene.reaches(incident, "held")
    asked = held["incident"]["by_hand"]["asked_at"]
    good_for = "SELECT ($1::text::timestamptz + interval '15 minutes') = $2::text::timestamptz"
    assert await scene.raw.fetchval(good_for, asked, held["incident"]["deadline"])
    older = """UPDATE incidents SET due_at = now(), by_hand = jsonb_set(by_hand, '{asked_at}',
               to_jsonb(now() - interval '16 minutes'))"""
    await scene.raw.execute(older)
    told = await scene.reaches(incident, "escalated")
    why = told["incident"]["progress"]["escalation_reason"]
    assert why.startswith("nothing was done for ada: held for"), why
    assert why.endswith("halted by root: we look first")
    await scene.post("resume", {"reason": "looked", "all": True}, by="root")
    handed = {"kind": "take_over", "reason": "mine"}, {"kind": "hand_back", "reason": "go on"}
    for command in handed:
        assert (await scene.post(f"incidents/{incident}/commands", command, by="bo"))[0] == 202

    async def told_so() -> bool:
        return "nothing was done: ada asked for it 16m" in texts(await scene.dossier(incident))

    await until(told_so, "handed back, it is not begun either")
    await nothing_was_done(scene)


async def test_own_ground_is_refused(scene: Scene) -> None:
    """The server that carries the responder's store is no target, whoever asks."""
    body = {"action": TERMINATE, "with": {"connection": "own", "older_than": "1ms"}, "reason": WHY}
    status, told = await scene.post("acts", body)
    assert status == 202
    dossier = await scene.reaches(told["incident"], "recorded")
    assert "refused: postgres/own carries the responder itself" in dossier["incident"]["progress"]["outcome"]
    assert dossier["attempts"] == []


SHADOW = [{"match": ['env="prod"'], "level": "shadow"}]


@pytest.mark.parametrize("engine", [{"ceilings": SHADOW}, {"ceilings": [{**SHADOW[0], "level": "observe"}]}])
async def test_a_ceiling_of_shadow_or_observe_holds_for_a_person_too(
    scene: Scene, engine: dict[str, Any]
) -> None:
    """Nothing is done, exit 3, and the ceiling is named with where it comes from."""
    await scene.sessions.start()
    told = await scene.run(*scene.command())
    level = engine["ceilings"][0]["level"]
    assert told.exit_code == 3, told.output
    would = {"shadow": "it would start on 1 element", "observe": "the target was not looked at"}[level]
    named = f"""the settings' ceiling for env="prod" is {level}: nothing was done; {would}"""
    assert named in told.output
    await nothing_was_done(scene)


@pytest.mark.parametrize("engine", [{"ceilings": [{"match": ['team="db"'], "level": "shadow"}]}])
async def test_a_ceiling_that_may_apply_applies(scene: Scene) -> None:
    """Whether the target is the team's the inventory does not say; so it counts, whatever the person says."""
    await scene.sessions.start()
    told = await scene.run(*scene.command())
    assert told.exit_code == 3, told.output
    named = 'the settings\' ceiling for team="db" (team is not known here, so it counts) is shadow'
    assert f"{named}: nothing was done" in told.output
    await nothing_was_done(scene)


@pytest.mark.parametrize("engine", [{"ceilings": [{"match": ['env="prod"'], "level": "approve"}]}])
async def test_who_asks_with_the_role_has_approved_it(scene: Scene) -> None:
    """Under a ceiling of approve nobody is asked again, and the timeline says who approved it."""
    await scene.sessions.start()
    dossier = await scene.reaches(await scene.asked(), "recorded", "awaiting_approval")
    words = {one["guard"]: one["reason"] for one in last_judged(dossier)["verdicts"]}
    assert words["autonomy"].startswith("approved by ada, who asked for it")
    assert scene.effects == 1


async def test_a_dry_run_shows_everything_and_does_nothing(scene: Scene) -> None:
    """The elements, every guard's word now; exit 0 where it would start, 3 where a guard is against it."""
    pid = await scene.sessions.start()
    told = await scene.run(*scene.command("--dry-run"))
    assert told.exit_code == 0, told.output
    assert f"pid {pid}" in told.output
    for line in (
        "halt: not halted",
        "target in use: nobody else holds the target",
        "it found 1 element to hit:",
    ):
        assert line in told.output
    await nothing_was_done(scene)
    await scene.post("halt", {"reason": "we look first"}, by="root")
    told = await scene.run(*scene.command("--dry-run"))
    assert told.exit_code == 3, told.output
    assert "halt: halted by root: we look first" in told.output
    await nothing_was_done(scene)


async def test_two_people_at_once_are_one_after_the_other(scene: Scene) -> None:
    """The first holds the target until its verdict; the second is held, and told whose it is."""
    scene.prometheus.value = 5
    await scene.sessions.start()
    proof = {"promql": "blocked", "is": "< 1", "within": "2m", "stable_for": "0s"}
    first = await scene.asked("ada", verify=proof)
    await scene.reaches(first, "verifying")
    await scene.sessions.start()
    second = await scene.asked("bo")
    held = await scene.reaches(second, "held")
    why = f"{TARGET} is held by incident {first} (by hand, ada)"
    assert held["incident"]["progress"]["hold"]["reason"].startswith(f"{why}, which verifies until ")
    assert scene.effects == 1
    scene.prometheus.value = 0
    await scene.reaches(first, "resolved")
    await scene.reaches(second, "recorded")
    assert scene.effects == 2
    attempts = await scene.raw.fetch("SELECT ended_at, verdict_at, intended_at FROM attempts ORDER BY number")
    assert attempts[1]["intended_at"] >= attempts[0]["verdict_at"]


async def test_the_budget_of_its_target_holds_the_fourth(scene: Scene) -> None:
    """Three disruptive starts an hour, a person's as a rule's."""
    for _ in range(3):
        await scene.sessions.start()
        await scene.reaches(await scene.asked(), "recorded")
    await scene.sessions.start()
    held = await scene.reaches(await scene.asked(), "held")
    assert held["incident"]["progress"]["hold"]["guard"] == "budget"
    assert scene.effects == 3


# Who may ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["opa", "dev"])
async def test_who_lacks_the_role_for_the_target_opens_nothing(scene: Scene, who: str) -> None:
    """403 with the role, where, and who has it; a scope counts by the inventory's labels of the target."""
    await scene.sessions.start()
    status, told = await scene.post("acts", scene.wants(), who)
    assert status == 403
    assert f"{who} does not have the role approver" in told["error"]
    assert await scene.raw.fetchval("SELECT count(*) FROM incidents") == 0
    assert await scene.raw.fetchval("SELECT count(*) FROM rulebooks WHERE origin = 'by hand'") == 0
    await nothing_was_done(scene)


async def test_what_cannot_be_meant_is_refused_with_the_mend(scene: Scene) -> None:
    """Action, parameter, value, target: before anything is written, with the nearest name."""
    given = scene.wants()["with"]
    cases: Sequence[tuple[dict[str, Any], str, str, str]] = (
        ({"action": "postgres.terminate_querys"}, "action", "there is no action", TERMINATE),
        ({"with": {**given, "aplication": "x"}}, "with", "has no parameter", "application"),
        ({"with": {"connection": "orders", "older_than": "soon"}}, "with", "older_than", "30s"),
        ({"with": {"connection": "ordrs", "older_than": "1m"}}, "with", "not in the inventory", "orders"),
        ({"with": {"connection": {"env": "prod"}, "older_than": "1m"}}, "with", "no PostgreSQL", ""),
        ({"with": {"connection": "$labels.server", "older_than": "1m"}}, "with", "no alert", "itself"),
        ({"verify": {"promql": "up > 1", "is": "< 1"}}, "verify", "bare comparison", "is"),
        ({"verify": {"promql": "up", "is": "small"}}, "verify", "is no comparison", "number"),
    )
    for more, where, text, mend in cases:
        status, told = await scene.post("acts", {**scene.wants(), **more})
        assert (status, told["field"]) == (400, where), told
        assert text in told["error"]
        assert mend in (told["mend"] or "")
    assert await scene.raw.fetchval("SELECT count(*) FROM incidents") == 0


async def test_what_holds_a_secret_is_not_kept(scene: Scene) -> None:
    """A parameter is pinned as it is, or not at all: one that would have to be redacted is refused."""
    secret = "AKIA" + "ABCDEFGHIJKLMNOP"
    body = scene.wants()
    body["with"]["application"] = secret
    status, told = await scene.post("acts", body)
    assert status == 400
    assert "holds a secret" in told["error"]
    assert secret not in json.dumps(told)
    assert await scene.raw.fetchval("SELECT count(*) FROM incidents") == 0


# Once, whatever happens ---------------------------------------------------------------------------------


async def test_the_same_key_is_the_same_act(scene: Scene) -> None:
    """Eight times at once and once more afterwards: one incident, one effect; for something else, 409."""
    await scene.sessions.start()
    answers = await asyncio.gather(*(scene.post("acts", scene.wants(), key="nightly-7") for _ in range(8)))
    assert sorted(status for status, _ in answers) == [200] * 7 + [202]
    assert len({told["incident"] for _, told in answers}) == 1
    await scene.reaches(answers[0][1]["incident"], "recorded")
    status, told = await scene.post("acts", scene.wants(), key="nightly-7")
    assert (status, told["given"]) == (200, False)
    assert await scene.raw.fetchval("SELECT count(*) FROM incidents") == 1
    assert scene.effects == 1
    for other in (scene.wants(reason="another"), scene.wants(severity="P1"), scene.wants(dry_run=True)):
        assert (await scene.post("acts", other, key="nightly-7"))[0] == 409
    assert (await scene.post("acts", scene.wants(), by="bo", key="nightly-7"))[0] == 409
    assert await scene.raw.fetchval("SELECT count(*) FROM incidents") == 1


class Service(Part):
    """`responder serve` as a process, which may end itself at a point."""

    def __init__(self, folder: Path, file: Path, port: int) -> None:
        super().__init__("responder", folder)
        self.file = file
        self.url = f"http://127.0.0.1:{port}"
        self.dies_at: Point | None = None

    def argv(self) -> Sequence[str]:
        """With its settings file."""
        return [sys.executable, "-m", "responder.cli", "serve", "--config", str(self.file)]

    def environment(self) -> Mapping[str, str]:
        """Without the settings of whoever runs the tests."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("RESPONDER_")}
        return clean if self.dies_at is None else {**clean, VARIABLE: self.dies_at.value}

    async def ready(self) -> bool:
        """Whether every part of it is."""
        async with aiohttp.ClientSession() as client, client.get(f"{self.url}/readyz") as answered:
            return bool((await answered.json())["ready"])


@pytest.mark.real  # waits until what was cut off can no longer be
@pytest.mark.parametrize(
    ("point", "outcomes"),
    [(Point.INTENT_COMMITTED, ["not_done", "done"]), (Point.EFFECT_ENDED, ["done"])],
)
async def test_what_was_cut_off_is_asked_for_and_not_repeated(
    dsn: str, tmp_path: Path, server: PostgresServer, sessions: Sessions, point: Point, outcomes: list[str]
) -> None:
    """Killed with its intent committed: what happened stays one effect, what did not is done once, anew."""
    port, before = free_port(), ended_sessions(server)
    file = written(dsn, tmp_path, server, free_port())
    settings = json.loads(file.read_text())
    token = "only-whoever-has-this-acts"
    settings["web"] = {"listen": f"127.0.0.1:{port}", "api_token": token}
    asks = {"Authorization": f"Bearer {token}"}
    rules = tmp_path / "rules.yaml"
    rules.write_text("rules: [{name: Any, match: 'alertname = \"Any\"', severity: P3, escalate: true}]")
    file.write_text(json.dumps({**settings, "rules": [str(rules)]}))
    raw = await asyncpg.connect(dsn)
    service = Service(tmp_path, file, port)
    service.dies_at = point
    await sessions.start()
    try:
        async with service, aiohttp.ClientSession(service.url, headers=asks) as client:
            given = {"connection": "orders", "application": sessions.application, "older_than": "1ms"}
            body = {"action": TERMINATE, "with": given, "reason": WHY, "actor": "ada"}
            async with client.post("/api/v1/acts", json=body) as answered:
                assert answered.status == 202, await answered.text()

            async def dead() -> bool:
                return service.exit_code is not None

            await until(dead, f"it died at {point}", within=60)
            assert await raw.fetchval("SELECT outcome FROM attempts") == "started"
            service.dies_at = None
            await service.start()

            async def at_rest() -> bool:
                return await raw.fetchval("SELECT state FROM incidents") in {"recorded", "escalated"}

            await until(at_rest, "the act has come to its end", within=90)
        found = [row["outcome"] for row in await raw.fetch("SELECT outcome FROM attempts ORDER BY number")]
        assert found == outcomes
        assert await raw.fetchval("SELECT state FROM incidents") == "recorded"
        assert ended_sessions(server) - before == 1
        assert await sessions.standing() == 0
        assert await raw.fetchval("SELECT count(*) FROM claims") == 0
    finally:
        await raw.close()


# Proof --------------------------------------------------------------------------------------------------


@pytest.mark.real  # waits out a verification
async def test_a_query_proves_that_it_helped(scene: Scene) -> None:
    """Resolved, exit 0, when the answer is as asked for; what asked for no proof never says recovered."""
    await scene.sessions.start()
    told = await scene.run(*scene.command("--verify-promql", "blocked", "--is", "< 1", "--within", "1m"))
    assert told.exit_code == 0, told.output
    assert "Verification, recovered" in told.output
    assert await scene.raw.fetchval("SELECT verdict FROM attempts") == "recovered"


@pytest.mark.real  # waits out a verification
async def test_what_did_not_help_is_told_to_people(scene: Scene) -> None:
    """Not recovered in time: exit 1, escalated with whose act it was; the claim is given up."""
    scene.prometheus.value = 5
    await scene.sessions.start()
    told = await scene.run(*scene.command("--verify-promql", "blocked", "--is", "< 1", "--within", "1s"))
    assert told.exit_code == 1, told.output
    assert f"{TERMINATE} ran on {TARGET} for ada, and it did not help" in told.output
    assert await scene.raw.fetchval("SELECT verdict FROM attempts") == "not_recovered"
    assert await scene.raw.fetchval("SELECT count(*) FROM claims") == 0
    assert scene.effects == 1


# Incidents for people -----------------------------------------------------------------------------------


async def test_an_incident_opened_by_hand_is_told_at_once_and_stays_until_it_is_closed(scene: Scene) -> None:
    """Its timeline begins with who and why; it escalates; it can be acknowledged, merged and closed."""
    opening = (
        "incidents",
        "open",
        "--severity",
        "P1",
        "--label",
        "server=orders",
        "--reason",
        "customers call",
    )
    first = await scene.run(*opening, "--title", "checkout is slow", by="opa")
    other = await scene.run(*opening, "--title", "checkout hangs", "--key", "call-7", by="opa")
    again = await scene.run(*opening, "--title", "checkout hangs", "--key", "call-7", by="opa")
    assert (first.exit_code, other.exit_code, again.exit_code) == (0, 0, 0), first.output + again.output
    assert "there already" in again.output
    ids = [line.output.split()[1].rstrip(",") for line in (first, other)]
    told = await scene.reaches(ids[0], "escalated")
    assert told["entries"][0]["text"] == "P1 opened by hand by opa: checkout is slow: customers call"
    assert told["entries"][0]["actor"] == "opa"
    assert told["incident"]["key"] == {"server": "orders"}
    why = "checkout is slow (opened by opa: customers call)"
    assert told["incident"]["progress"]["escalation_reason"] == why
    await scene.reaches(ids[1], "escalated")
    merged = await scene.run("incidents", "merge", ids[1], ids[0], "--reason", "the same", by="opa")
    assert merged.exit_code == 0, merged.output
    await scene.reaches(ids[1], "closed")
    closed = await scene.run("incidents", "close", ids[0], "--reason", "over", "--as", "fixed", by="opa")
    assert closed.exit_code == 0, closed.output
    await scene.reaches(ids[0], "closed")
    assert await scene.raw.fetchval("SELECT count(*) FROM attempts") == 0


async def test_people_are_told_again_of_what_nobody_closed(scene: Scene) -> None:
    """No alert is there to end it: it is told anew at the update interval, not resolved."""
    status, told = await scene.post(
        "incidents", {"title": "checkout is slow", "severity": "P0", "reason": "calls"}, by="opa"
    )
    assert status == 202, told
    await scene.reaches(told["incident"], "escalated")
    sooner = "UPDATE incidents SET deadline = now(), due_at = now() WHERE id = $1::text::uuid"
    await scene.raw.execute(sooner, told["incident"])

    async def again() -> bool:
        entries = (await scene.dossier(told["incident"]))["entries"]
        return [entry["kind"] for entry in entries].count("escalation") >= 2

    await until(again, "people are told again", within=30)
    assert (await scene.dossier(told["incident"]))["incident"]["state"] == "escalated"


async def test_an_incident_under_a_rule_that_is_none_is_refused(scene: Scene) -> None:
    """400 with what rules there are; and one that says neither a title nor a rule."""
    body = {"severity": "P1", "reason": "calls"}
    status, told = await scene.post("incidents", {**body, "rule": str(uuid4())}, by="opa")
    assert (status, told["field"]) == (400, "rule")
    assert (await scene.post("incidents", body, by="opa"))[0] == 400
    assert await scene.raw.fetchval("SELECT count(*) FROM incidents") == 0
