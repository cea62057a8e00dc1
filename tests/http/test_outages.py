"""Each outage degrades only what needs the part that is out, and `/readyz` says which: the whole service.

A table: what is out, what waits or escalates, what goes on. PostgreSQL that is away, a standby that takes
over and a full disk have tests of their own (test_paging_without_a_store, test_failover, test_disk_full).
"""

import statistics
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest
import yaml

from responder import app
from responder.actions.registry import Registry
from responder.engine.crew import PATIENCE_S
from responder.rulebook.load import check
from responder.settings import Settings, load
from tests.support.hung import Hung, Manner, hung
from tests.support.link import link_to
from tests.support.pager import SECRET, pager_desk
from tests.support.parts import PostgresServer, embedded_postgres, until
from tests.support.peers import FakeAlertmanager, known_alert, served

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]
"""They wait out what hangs: too long for every run of the quick tests."""

SOON = "4s"
"""The response time of these tests: how long something may be held before a person is told."""
WORKERS = 4
HUNG = 3 * WORKERS
"""Targets that hang: more than there are workers."""
DECIDED_WITHIN_S = 5.0


def rule(name: str, connection: str, severity: str = "P1", **more: Any) -> dict[str, Any]:
    """A rule whose step finds nothing to do where it can look; then its verification decides."""
    step = {
        "action": "postgres.terminate_queries",
        "with": {"connection": connection, "user": "nobody_there", "older_than": "1h", "at_most": 1},
        "timeout": "8s",
    }
    probe = {"sql": "nothing", "connection": "healthy", "is": "== 0"}
    return {
        "name": name,
        "match": [f'alertname = "{name}"'],
        "severity": severity,
        "group_by": ["n"],
        "autonomy": "auto",
        "evidence": [],
        "steps": [step],
        "verify": {"alert_resolved_within": "4s", "stable_for": "4s", "probes": [probe]},
        **more,
    }


def asks_prometheus() -> dict[str, Any]:
    """A rule that is verified by Prometheus."""
    verify = {"alert_resolved_within": "4s", "stable_for": "4s", "probes": [{"promql": "up", "is": "== 1"}]}
    return rule("AsksPrometheus", "healthy", verify=verify)


TELLS = {
    "name": "Tells",
    "match": ['alertname = "Tells"'],
    "severity": "P0",
    "group_by": ["n"],
    "evidence": [],
    "escalate": True,
}
"""A rule that tells a person at once."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A service, asked over HTTP and in its database."""

    client: aiohttp.ClientSession
    running: app.Running
    dsn: str

    async def post(self, name: str, n: object = "1", source: str = "main") -> int:
        """One alert; the answer's status."""
        told = {
            "status": "firing",
            "labels": {"alertname": name, "n": str(n)},
            "startsAt": "2026-11-24T01:00:00Z",
        }
        path = f"/api/v1/webhooks/alertmanager/{source}"
        headers = {"Authorization": "Bearer a-token-of-the-source"}
        async with self.client.post(path, json={"alerts": [told]}, headers=headers) as response:
            return response.status

    async def taken(self, name: str, n: object = "1", source: str = "main") -> None:
        """As Alertmanager does: until it is stored."""

        async def stored() -> bool:
            return await self.post(name, n, source) == 200

        await until(stored, "the alert is stored", within=60)

    async def standing(self) -> tuple[int, dict[str, dict[str, Any]]]:
        """What `/readyz` answers, and its parts by name."""
        async with self.client.get("/readyz") as response:
            told = await response.json()
            return response.status, {part["name"]: part for part in told["parts"]}

    async def told(self, *names: str) -> dict[str, dict[str, Any]]:
        """The parts, once all of these warn; deliveries are taken in all the same."""
        parts: dict[str, dict[str, Any]] = {}

        async def warned() -> bool:
            nonlocal parts
            status, parts = await self.standing()
            return status == 200 and all(name in parts and parts[name]["warning"] for name in names)

        await until(warned, f"readiness warns of {names}", within=60)
        assert all(parts[name]["affects"] for name in names)
        return parts

    async def rows(self, sql: str, *values: Any) -> list[asyncpg.Record]:
        """What is committed."""
        connection = await asyncpg.connect(self.dsn)
        try:
            rows: list[asyncpg.Record] = await connection.fetch(sql, *values)
            return rows
        finally:
            await connection.close()

    async def state(self, name: str, n: object = "1") -> str | None:
        """That of one incident."""
        found = await self.rows(
            "SELECT state FROM incidents WHERE rule = $1 AND key ->> 'n' = $2", name, str(n)
        )
        return str(found[0]["state"]) if found else None

    async def reaches(self, state: str, name: str, n: object = "1") -> None:
        """Wait until it is in this state."""

        async def there() -> bool:
            return await self.state(name, n) == state

        await until(there, f"{name} {n} is {state}", within=60)

    async def entries(self, name: str) -> str:
        """All that the timelines of a rule's incidents say."""
        sql = "SELECT t.text FROM timeline t JOIN incidents i ON i.id = t.incident_id WHERE i.rule = $1"
        return "\n".join(row["text"] for row in await self.rows(sql, name))


def promoted(file: Path) -> Settings:
    """Settings in which every rule may act."""
    settings = load(file, {}).settings
    report = check(settings.rules, app.surroundings(settings, settings.inventory.load(), Registry()))
    assert report.rulebook is not None, [str(mistake) for mistake in report.mistakes]
    hashes = tuple(one.acting_hash for one in report.rulebook.rules)
    engine = settings.engine.model_copy(update={"promoted": hashes})
    return settings.model_copy(update={"engine": engine})


@asynccontextmanager
async def service(
    dsn: str,
    folder: Path,
    rules: Sequence[Mapping[str, Any]],
    healthy: PostgresServer,
    *,
    sources: Mapping[str, Mapping[str, Any]] | None = None,
    hung_targets: Sequence[Hung] = (),
    more: Mapping[str, Any] | None = None,
) -> AsyncIterator[Scene]:
    """A service with a healthy target, and as many hung ones as are given, named hung0 and so on."""
    (folder / "rules.yaml").write_text(yaml.safe_dump({"rules": list(rules)}))
    asked = {
        "receiver": "responder",
        "resend_period": "1s",
        "evaluation_interval": "1s",
        "group_interval": "1s",
    }
    targets = [
        {"name": f"hung{number}", "dsn": f"postgresql://postgres@127.0.0.1:{one.port}/postgres"}
        for number, one in enumerate(hung_targets)
    ]
    written = {
        "database": dsn,
        "timeline_key": "the key of a throw-away timeline",
        "rules": ["rules.yaml"],
        "queries": {"nothing": {"sql": "SELECT 0"}},
        "inventory": {"postgres": [{"name": "healthy", "dsn": healthy.dsn()}, *targets]},
        "sources": {
            name: {"token": "a-token-of-the-source", **asked, **one}
            for name, one in (sources or {"main": {}}).items()
        },
        "engine": {
            "ceiling": "auto",
            "workers": WORKERS,
            "terms": {
                "verify_every": "1s",
                "hold_every": "1s",
                "storm": {"openings": 1000},
            },
        },
        "severities": {name: {"response_time": SOON} for name in ("P0", "P1", "P2", "P3")},
        "web": {"listen": "127.0.0.1:0"},
        **(more or {}),
    }
    file = folder / "responder.yaml"
    file.write_text(yaml.safe_dump(written))
    async with (
        app.running(promoted(file)) as running,
        aiohttp.ClientSession(running.url) as client,
    ):
        yield Scene(client, running, dsn)


async def test_a_prometheus_that_gives_no_answer_holds_up_only_what_it_verifies(
    dsn: str, tmp_path: Path
) -> None:
    """It hangs, drips, answers garbage or an error: no data, told at the deadline; all others act in time.

    Readiness names it, and no connections pile up however often it is asked.
    """
    async with embedded_postgres("target") as healthy, hung() as prometheus:
        rules = [asks_prometheus(), rule("Acts", "healthy"), TELLS]
        settings = {"prometheus": {"url": prometheus.url}}
        async with service(dsn, tmp_path, rules, healthy, more=settings) as on:
            for manner in Manner:
                prometheus.manner = manner
                for n in range(6):
                    await on.taken("AsksPrometheus", f"{manner.name}{n}")
                await on.taken("Acts", manner.name)
                await on.taken("Tells", manner.name)
                await on.reaches("escalated", "Tells", manner.name)
                await on.reaches("verifying", "Acts", manner.name)
                for n in range(6):
                    await on.reaches("escalated", "AsksPrometheus", f"{manner.name}{n}")
                parts = await on.told("prometheus 1 of 1")
                assert "PromQL" in parts["prometheus 1 of 1"]["affects"]
                assert prometheus.url not in str(parts)
            assert prometheus.asked > 6
            assert prometheus.most <= 16, "8 at a time, and those that it takes for open a moment longer"
            assert "no data" in await on.entries("AsksPrometheus")
            assert await on.rows("SELECT 1 FROM attempts") == []


@pytest.mark.parametrize("manner", list(Manner), ids=lambda one: one.name.lower())
async def test_an_alertmanager_that_gives_no_answer_holds_the_steps_of_its_own_alerts(
    dsn: str, tmp_path: Path, manner: Manner
) -> None:
    """They are held and told at their deadline; deliveries are taken in, and other sources' alerts act."""
    async with embedded_postgres("target") as healthy, hung(manner) as peer:
        sources = {"main": {"alertmanager": [peer.url]}, "other": {}}
        rules = [rule("Held", "healthy"), rule("Acts", "healthy"), TELLS]
        async with service(dsn, tmp_path, rules, healthy, sources=sources) as on:
            for n in range(2 * WORKERS):
                assert await on.post("Held", n) == 200
            await on.taken("Acts", source="other")
            await on.taken("Tells")
            await on.reaches("escalated", "Tells")
            await on.reaches("verifying", "Acts")
            for n in range(2 * WORKERS):
                await on.reaches("escalated", "Held", n)
            name = "alert state of main, peer 1 of 1"
            assert "are held" in (await on.told(name))[name]["affects"]
            assert peer.most <= 24, "8 for alert states, 8 for reconcile, 8 for actions"
            assert await on.rows("SELECT 1 FROM attempts") == []
            assert "source" in await on.entries("Held")


async def test_one_of_two_alertmanagers_that_hangs_holds_no_step_that_the_other_confirms(
    dsn: str, tmp_path: Path
) -> None:
    """It is named by readiness; what has ended is not believed without it."""
    labels = {"alertname": "Acts", "n": "1"}
    async with embedded_postgres("target") as healthy, hung() as peer:
        good = FakeAlertmanager(alerts=[known_alert(labels)])
        async with served(good):
            sources = {"main": {"alertmanager": [good.url, peer.url]}}
            async with service(dsn, tmp_path, [rule("Acts", "healthy")], healthy, sources=sources) as on:
                await on.taken("Acts")
                await on.reaches("verifying", "Acts")
                parts = await on.told("alert state of main, peer 2 of 2")
                assert "alert state of main, peer 1 of 2" not in parts
                good.alerts.clear()
                await on.reaches("escalated", "Acts")


async def test_targets_that_hang_take_no_worker_from_what_is_urgent_elsewhere(
    dsn: str, tmp_path: Path
) -> None:
    """Three times as many hung targets as workers, and a P0 elsewhere is told within 5 s, a step decided.

    Counted in the service time that the database committed. The hung ones escalate at their deadline.
    """
    async with AsyncExitStack() as stack:
        healthy = await stack.enter_async_context(embedded_postgres("target"))
        targets = [await stack.enter_async_context(hung()) for _ in range(HUNG)]
        rules = [
            *(rule(f"Hung{number}", f"hung{number}") for number in range(HUNG)),
            rule("Acts", "healthy", severity="P0"),
            TELLS,
        ]
        on = await stack.enter_async_context(service(dsn, tmp_path, rules, healthy, hung_targets=targets))
        before = [one.asked for one in targets]
        for number in range(HUNG):
            await on.taken(f"Hung{number}")
        await until(lambda: _all_asked(targets, before, WORKERS), "all workers wait for hung targets")
        assert PATIENCE_S < DECIDED_WITHIN_S / 2
        for n in range(3):
            await on.taken("Tells", n)
            await on.taken("Acts", n)
        for n in range(3):
            await on.reaches("escalated", "Tells", n)
            await on.reaches("verifying", "Acts", n)
        took = await on.rows(
            """SELECT extract(epoch FROM min(t.at) - i.opened_at)::float8 AS s FROM incidents i
               JOIN timeline t ON t.incident_id = i.id
               WHERE i.rule = 'Tells' AND t.kind = 'escalation'
                  OR i.rule = 'Acts' AND t.kind = 'judged'
               GROUP BY i.id, i.opened_at"""
        )
        assert len(took) == 6
        print(f"\nslowest {max(row['s'] for row in took):.2f} s")  # noqa: T201 - what was measured
        assert max(row["s"] for row in took) < DECIDED_WITHIN_S
        for number in range(HUNG):
            await on.reaches("escalated", f"Hung{number}")
        parts = await on.told(*(f"postgres hung{number}" for number in range(HUNG)))
        assert "postgres healthy" not in parts
        assert all(one.most <= 2 for one in targets)


async def _all_asked(targets: Sequence[Hung], before: Sequence[int], wanted: int) -> bool:
    now = [one.asked for one in targets]
    return sum(1 for asked, was in zip(now, before, strict=True) if asked > was) >= wanted


async def test_a_store_that_stalls_is_refused_at_admission_and_nothing_is_begun(tmp_path: Path) -> None:
    """It takes connections and answers nothing: 503 at once, a P0 pages, readiness answers and says why.

    When it goes on, so does all else, and what was acknowledged is there.
    """
    async with (
        embedded_postgres("store") as store,
        embedded_postgres("target") as healthy,
        link_to(store.port) as link,
        pager_desk() as desk,
    ):
        dsn = store.dsn(port=link.port)
        more = {
            "statement_timeout": "5s",
            "emergency": {"webhook": desk.url, "secret": SECRET},
        }
        async with service(dsn, tmp_path, [rule("Acts", "healthy"), TELLS], healthy, more=more) as on:
            await on.taken("Tells", "before")
            link.asks.stall()
            _, parts = await on.standing()
            assert "has not answered within 2s" in parts["store"]["text"]
            assert await on.post("Tells", "during") == 503
            await desk.got(1)
            took = []
            for _ in range(9):
                began = time.monotonic()
                assert await on.post("Acts", "during") == 503
                took.append(time.monotonic() - began)
            assert statistics.median(took) < 1
            status, parts = await on.standing()
            assert status == 503
            assert (parts["store"]["ready"], parts["intake"]["ready"]) == (False, False)
            link.asks.flow()
            await on.taken("Acts", "during")
            await on.taken("Tells", "during")
            await on.reaches("verifying", "Acts", "during")
            await until(lambda: _ready(on), "it is ready again", within=60)
            told = await on.rows("SELECT labels ->> 'n' AS n FROM alerts ORDER BY 1")
            assert [row["n"] for row in told] == ["before", "during", "during"]
            assert await on.rows("SELECT 1 FROM dead_letters") == []


async def _ready(on: Scene) -> bool:
    status, _ = await on.standing()
    return status == 200


async def test_a_blocked_event_loop_deposes_its_process_which_says_so_and_goes_on(
    dsn: str, tmp_path: Path
) -> None:
    """Blocked for longer than its lease it is a new worker, without the old leases; then all is as before."""
    lease = {"lease_time": "3s", "heartbeat_every": "1s"}
    async with (
        embedded_postgres("target") as healthy,
        service(dsn, tmp_path, [rule("Acts", "healthy"), TELLS], healthy, more=lease) as on,
    ):
        await on.taken("Tells", "before")
        ownership = on.running.engine.ownership
        was = ownership.worker_id
        time.sleep(4)  # noqa: ASYNC251 - to block the loop is the point
        assert not ownership.alive(), "whatever it had begun does not start now"
        status, parts = await on.standing()
        if not ownership.alive():
            assert (status, parts["worker"]["warning"]) == (200, True)
            assert "No step of this process starts" in parts["worker"]["affects"]
        parts = await on.told("event loop")
        assert "it was blocked for" in parts["event loop"]["text"]
        await until(lambda: _another(on, was), "it is another worker", within=60)
        await on.taken("Tells")
        await on.taken("Acts")
        await on.reaches("escalated", "Tells")
        await on.reaches("verifying", "Acts")
        assert (await on.standing())[1]["worker"]["warning"] is False
        gone = await on.rows("SELECT 1 FROM incidents WHERE owner = $1", was)
        assert gone == []


async def _another(on: Scene, was: object) -> bool:
    ownership = on.running.engine.ownership
    return ownership.worker_id != was and ownership.alive()
