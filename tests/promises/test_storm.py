"""Promise 20, for real, in its two shapes, with incidents, guards and pages; P0s in the middle.

One: 100,000 alerts of one group from both peers at once, and many small groups beside it. The other: 100,000
alerts, each in a POST of its own. Every rule has a changing step, and all guards judge it. Half
of the P0s have a target where there is something to do: their intent counts. The other half would act on the
very server that carries the responder, which a guard forbids: their escalation counts. What is measured is
the database's own time: from before the P0 is posted to the commit of that intent or escalation.
"""

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any

import aiohttp
import asyncpg
import pytest

from responder.model.alert import fingerprint
from tests.real.test_large_bodies import ALERTS, MEGABYTE, group, labels, resent
from tests.support.hostile import AUTHORIZED, OWN, PATH, Taking, alert, payload, taking
from tests.support.pager import SECRET, PagerDesk, pager_desk
from tests.support.parts import PostgresServer, embedded_postgres

pytestmark = [pytest.mark.real, pytest.mark.timeout(560)]

TRIES = 20
"""How often a P0 is sent: the slowest of them counts."""
PROMISED_S = 5.0
SMALL = 400
"""How many groups send one alert each beside the large one."""
SINGLE = 100_000
"""How many alerts come in a POST of their own."""
SENDERS = 32
"""How many post at a time, each on a connection that it keeps."""
CAP = 100
"""Open incidents of one rule."""
BEFORE_IT_IS_A_STORM = 49
"""Incidents that may each page by themselves."""
DOUBLINGS = math.ceil(math.log2(ALERTS / 20)) + 1
"""How often one large incident may be told of: from 20 alerts on whenever they have doubled."""
PAGES = BEFORE_IT_IS_A_STORM + DOUBLINGS + 1
"""At most, beside one for each P0: until it is a storm, for the largest incident, for the storm itself.

Each is one word at the pager, which is asked for no pause: 1,000 a minute would be let through.
"""


def step(connection: str, user: str) -> Mapping[str, Any]:
    """What every rule would do."""
    chosen = {
        "connection": connection,
        "database": "responder",
        "user": user,
        "older_than": "1s",
        "at_most": 1,
    }
    return {"action": "postgres.terminate_queries", "with": chosen, "timeout": "5s"}


def rule(name: str, severity: str, by: str, connection: str = OWN, user: str = "nobody") -> Mapping[str, Any]:
    """A rule that acts, and escalates where it may not."""
    return {
        "name": name,
        "match": [f'alertname = "{name}"'],
        "severity": severity,
        "group_by": [by],
        "autonomy": "auto",
        "steps": [step(connection, user)],
        "verify": {"stable_for": "10m", "probes": [{"sql": "nothing", "is": "== 0"}]},
    }


RULES = [
    rule("Forbidden", "P0", "n"),
    *(rule(f"Acts{n}", "P0", "n", f"target{n}", f"user{n}") for n in range(TRIES // 2)),
    rule("Small", "P2", "n"),
    rule("Single", "P2", "n"),
    rule("TargetDown", "P2", "alertname"),
]
ENGINE = {
    "ceiling": "auto",
    "open_incidents_per_rule": CAP,
    "budgets": {"target": 1000, "namespace": 1000, "globally": 1000},
}

PAGER = {"levels": [{"channels": ["pager"]}]}

DECIDED = """
SELECT min(at), min(opened_at) FROM (
    SELECT pg_xact_commit_timestamp(a.xmin) AS at, i.opened_at
    FROM attempts a JOIN incidents i ON i.id = a.incident_id
    WHERE i.rule = $1 AND i.key ->> 'n' = $2
    UNION ALL
    SELECT pg_xact_commit_timestamp(t.xmin), i.opened_at
    FROM timeline t JOIN incidents i ON i.id = t.incident_id
    WHERE i.rule = $1 AND i.key ->> 'n' = $2 AND t.kind = 'escalation'
) AS told
"""
TOLD = """
SELECT i.rule, count(*) FROM timeline t JOIN incidents i ON i.id = t.incident_id
WHERE t.kind = 'escalation' GROUP BY 1
"""
LOST = """
SELECT a.labels ->> 'alertname' AS name, count(*) AS stored, count(m.incident_id) AS joined FROM alerts a
LEFT JOIN members m USING (source, fingerprint, generation) GROUP BY 1
"""


@dataclass(slots=True)
class Raging:
    """What was seen of one storm."""

    on: Taking
    client: aiohttp.ClientSession
    pager: PagerDesk
    took: list[float]
    """Seconds from before each P0 was posted to its intent or escalation."""
    to_open: list[float]
    """Of these, to its incident."""
    during: int = 0

    async def urgent(self, number: int) -> None:
        """A P0: seconds of the database's time from before it is posted until it is decided."""
        half = number // 2
        name = f"Acts{half}" if number % 2 else "Forbidden"
        [(sent,)] = await self.on.rows("SELECT clock_timestamp()")
        await post(self.client, name, number)
        for _ in range(1200):
            [(decided, opened)] = await self.on.rows(DECIDED, name, str(number))
            if decided is not None:
                self.took.append((decided - sent).total_seconds())
                self.to_open.append((opened - sent).total_seconds())
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"P0 {number} is not decided after a minute")

    async def story(self, number: int) -> str:
        """What the timeline of one P0 says."""
        entries = await self.on.rows(
            """SELECT t.at, t.text FROM timeline t JOIN incidents i ON i.id = t.incident_id
               WHERE i.key ->> 'n' = $1 AND i.severity = 'P0' ORDER BY t.number""",
            str(number),
        )
        return "\n".join(f"{row['at']} {row['text']}" for row in entries)

    async def all_urgent(self, storm: Sequence["asyncio.Task[Any]"]) -> None:
        """One after the other, spread over the storm; at its end those that are left."""
        for number in range(TRIES):
            self.during += not all(task.done() for task in storm)
            await self.urgent(number)
            await asyncio.wait(storm, timeout=0.5)


@asynccontextmanager
async def raging() -> AsyncIterator[Raging]:
    """A responder with ten targets, at each of which one session has been busy for long enough."""
    async with AsyncExitStack() as stack:
        target = await stack.enter_async_context(embedded_postgres("target"))
        await _busy(target, stack)
        targets = {f"target{n}": target.dsn("responder") for n in range(TRIES // 2)}
        pager = await stack.enter_async_context(pager_desk())
        people = {
            "channels": {"pager": {"webhook": pager.url, "secret": SECRET, "per_minute": 1000}},
            "policies": {"on-call": PAGER},
            "severities": {f"P{n}": {"policy": "on-call"} for n in range(4)},
        }
        on = await stack.enter_async_context(taking(rules=RULES, engine=ENGINE, targets=targets, more=people))
        client = await stack.enter_async_context(
            aiohttp.ClientSession(on.responder.url, timeout=aiohttp.ClientTimeout(total=400))
        )
        yield Raging(on, client, pager, [], [])


async def _busy(server: PostgresServer, stack: AsyncExitStack) -> None:
    admin = await asyncpg.connect(server.dsn(), timeout=10)
    await admin.execute("create database responder")
    for n in range(TRIES // 2):
        await admin.execute(f"create role user{n} login")
    await admin.close()
    for n in range(TRIES // 2):
        session = await asyncpg.connect(server.dsn("responder", user=f"user{n}"), timeout=10)
        stack.callback(session.terminate)
        task = asyncio.create_task(session.execute("SELECT pg_sleep(3600)", timeout=None))
        stack.push_async_callback(_ended, task)


async def _ended(task: "asyncio.Task[Any]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def post(client: aiohttp.ClientSession, name: str, number: int) -> None:
    """One alert of a group of its own, until it is taken."""
    body = payload(alert(labels={"alertname": name, "n": str(number)}))
    for pause in range(60):
        async with client.post(PATH, data=body, headers=AUTHORIZED) as response:
            if response.status == 200:
                return
            assert response.status == 503
        await asyncio.sleep(min(0.1 * pause, 1))
    raise AssertionError(f"{name} {number} was refused for a minute")


async def small_ones(client: aiohttp.ClientSession) -> None:
    """Many groups, one after the other."""
    for number in range(SMALL):
        await post(client, "Small", number)
        await asyncio.sleep(0.05)


async def singles(on: Taking, numbers: Sequence[int]) -> int:
    """POSTs of one alert each on one connection, each until it is taken; how many were refused first."""
    host, _, port = on.responder.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = "".join(f"{name}: {value}\r\n" for name, value in AUTHORIZED.items())
    refused = 0
    for number in numbers:
        body = payload(alert(labels={"alertname": "Single", "n": str(number)}))
        request = f"POST {PATH} HTTP/1.1\r\nHost: {host}\r\n{head}Content-Length: {len(body)}\r\n\r\n"
        while True:
            writer.write(request.encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            length = int(answer.lower().partition(b"content-length:")[2].split()[0])
            await reader.readexactly(length)
            status = int(answer.split()[1])
            if status == 200:
                break
            assert status == 503
            refused += 1
            await asyncio.sleep(0.5)
    writer.close()
    return refused


async def told_of(on: Taking) -> None:
    """Until every word to people was taken."""
    waiting = 1
    for _ in range(600):
        [(waiting,)] = await on.rows("SELECT count(*) FROM outbox WHERE delivered_at IS NULL")
        if waiting == 0:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{waiting} words to people wait after a minute")


async def judged(seen: Raging, began: float, sent: Mapping[str, int], **told: Any) -> None:
    """Print what was measured, and hold it against the promise."""
    on, took = seen.on, seen.took
    peak = on.most_resident
    pages = {row["rule"]: row["count"] for row in await on.rows(TOLD)}
    urgent = sum(count for name, count in pages.items() if name == "Forbidden" or name.startswith("Acts"))
    others = sum(pages.values()) - urgent
    intents = await on.rows("SELECT count(*) FROM attempts")
    await told_of(on)
    at_pager = Counter(
        (word.body["data"].get("severity"), word.body["data"]["kind"]) for word in seen.pager.tries
    )
    asks = sum(count for (severity, _), count in at_pager.items() if severity != "P0")
    print(  # noqa: T201 - what was measured
        f"\n{monotonic() - began:.0f} s, {dict(sent)}, {told}; {peak / MEGABYTE:.0f} MB at most; "
        f"{TRIES} P0s, {seen.during} of them while it raged, {intents[0][0]} intents: "
        f"slowest {max(took):.2f} s ({seen.to_open[took.index(max(took))]:.2f} s of it until its incident), "
        f"median {sorted(took)[TRIES // 2]:.2f} s; "
        f"pages {pages}: {others} beside the P0s, {PAGES} allowed; at the pager {dict(at_pager)}"
    )
    lost = {row["name"]: (row["stored"], row["joined"]) for row in await on.rows(LOST)}
    assert {name: lost[name] for name in sent} == {name: (count, count) for name, count in sent.items()}
    assert peak < 512 * MEGABYTE
    assert max(took) < PROMISED_S, await seen.story(took.index(max(took)))
    assert len(took) == TRIES
    assert seen.during >= TRIES // 2, "the storm was over before it was measured"
    assert intents[0][0] == TRIES // 2
    assert pages["Forbidden"] == TRIES // 2
    assert others <= PAGES
    assert 0 < asks <= PAGES
    assert at_pager["P0", "escalated"] == TRIES // 2
    assert len({word.id for word in seen.pager.tries}) == len(seen.pager.tries)
    assert pages["storm"] == 1


async def test_promise_20_a_storm_loses_nothing_stays_small_and_lets_p0_through() -> None:
    """No alert is lost, under 512 MB, a bounded number of pages, and each P0 is decided within 5 s."""
    async with raging() as seen:
        body, began = group(), monotonic()
        large = [asyncio.create_task(resent(seen.client, body)) for _ in range(2)]
        small = asyncio.create_task(small_ones(seen.client))
        await asyncio.sleep(1)
        await seen.all_urgent([*large, small])
        tries = await asyncio.gather(*large)
        await small
        await judged(
            seen, began, {"TargetDown": ALERTS, "Small": SMALL, "Forbidden": TRIES // 2}, tries=tries
        )
        rows = await seen.on.rows(
            "SELECT fingerprint FROM alerts WHERE labels ->> 'alertname' = 'TargetDown'"
        )
        assert {row[0] for row in rows} == {fingerprint(labels(number)) for number in range(ALERTS)}
        opened = "SELECT count(*) FROM incidents WHERE rule = 'Small'"
        assert [row[0] for row in await seen.on.rows(opened)] == [CAP + 1]


async def test_a_hundred_thousand_single_alerts_with_p0s_in_between() -> None:
    """The same, where every alert comes in a POST of its own, on many connections at once."""
    async with raging() as seen:
        began = monotonic()
        parts = [range(sender, SINGLE, SENDERS) for sender in range(SENDERS)]
        storm = [asyncio.create_task(singles(seen.on, part)) for part in parts]
        await asyncio.sleep(1)
        await seen.all_urgent(storm)
        refused = sum(await asyncio.gather(*storm))
        posted = monotonic() - began
        sent = {"Single": SINGLE, "Forbidden": TRIES // 2}
        await judged(seen, began, sent, refused=refused, posted_within_s=round(posted))
        opened = "SELECT count(*) FROM incidents WHERE rule = 'Single'"
        assert [row[0] for row in await seen.on.rows(opened)] == [CAP + 1]
