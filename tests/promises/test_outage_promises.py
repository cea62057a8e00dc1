"""Promises 14 and 21: what goes on while something else does not. The whole service, real sessions to end.

The sessions stand on the server of this test run, the store on one of its own: no step acts on that.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest
import yaml

from responder.settings import Settings, load
from tests.support.pager import SECRET, pager_desk
from tests.support.parts import embedded_postgres, until
from tests.support.peers import RECEIVER, FakeAlertmanager, FakePrometheus, known_alert, served
from tests.support.small_disk import DATABASE, tables_on_small_disk
from tests.support.whole import TOKEN, firing, payload, promoted, serving, told

AUTH = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}


@asynccontextmanager
async def stuck(dsn: str, *names: str) -> AsyncIterator["Sessions"]:
    """A session by each of these names, in a statement that never ends by itself."""
    async with AsyncExitStack() as stack:
        tasks = []
        for name in names:
            settings = {"application_name": name}
            connection = await asyncpg.connect(dsn, server_settings=settings)
            stack.callback(connection.terminate)
            tasks.append(asyncio.create_task(_hangs(connection)))
        watch = await asyncpg.connect(dsn)
        stack.push_async_callback(watch.close)
        sessions = Sessions(watch)
        await until(lambda: sessions.stand(*names), "they hang", within=60)
        yield sessions
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _hangs(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        await connection.execute("select pg_sleep(600)", timeout=None)


class Sessions:
    """Looks at them from beside."""

    def __init__(self, watch: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._watch = watch

    async def stand(self, *names: str) -> bool:
        """Whether all of these are still in their statement."""
        query = """SELECT count(*) FROM pg_stat_activity
                   WHERE application_name = ANY($1) AND query LIKE '%pg_sleep%' AND state = 'active'"""
        return bool(await self._watch.fetchval(query, list(names)) == len(names))

    async def gone(self, name: str) -> None:
        """Until it was ended."""
        query = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = $1)"

        async def ended() -> bool:
            return bool(await self._watch.fetchval(query, name))

        await until(ended, f"session {name} is gone", within=60)


def rule(name: str, *probes: Mapping[str, Any]) -> dict[str, Any]:
    """Ends the session that an alert of this name is about; recovered when the probes say so."""
    end = {"connection": "$labels.app", "application": "$labels.app", "older_than": "1ms", "at_most": 1}
    return {
        "name": name,
        "match": [f'alertname = "{name}"'],
        "severity": "P0",
        "group_by": ["app"],
        "autonomy": "auto",
        "evidence": [],
        "steps": [{"action": "postgres.terminate_queries", "with": end, "timeout": "5s"}],
        "verify": {"alert_resolved_within": "10m", "stable_for": "1s", "probes": list(probes)},
        "limits": {"attempts": 3, "per": "1h", "cooldown": "1s"},
    }


SOURCE = {"token": TOKEN, "evaluation_interval": "200ms", "group_interval": "200ms"}
SQL = {"sql": "nothing", "is": "== 0"}
PROMQL = {"promql": "up", "is": "== 1"}


def settings_for(
    store: str, victim: str, names: Sequence[str], folder: Path, *rules: Mapping[str, Any], **more: Any
) -> Settings:
    """A service that may end sessions of `victim`, each of these names a target of its own."""
    (folder / "rules.yaml").write_text(yaml.safe_dump({"rules": rules}))
    quick = {"verify_every": "200ms", "hold_every": "200ms"}
    given = {
        "database": store,
        "timeline_key": "the key of a throw-away timeline",
        "lease_time": "3s",
        "heartbeat_every": "500ms",
        "rules": ["rules.yaml"],
        "queries": {"nothing": {"sql": "SELECT 0"}},
        "inventory": {"postgres": [{"name": name, "dsn": victim} for name in names]},
        "sources": {"plain": SOURCE},
        "web": {"listen": "127.0.0.1:0"},
        "engine": {"ceiling": "auto", "terms": quick},
        **more,
    }
    file = folder / "responder.yaml"
    file.write_text(json.dumps(given))
    return promoted(load(file, {}).settings)


async def post(
    client: aiohttp.ClientSession,
    name: str,
    about: str,
    source: str = "plain",
    *,
    ended: bool = False,
    **annotations: str,
) -> int:
    """One alert about a session, or its end; the status of the answer."""
    over = {"status": "resolved", "endsAt": "2026-11-24T01:05:00Z"} if ended else {}
    body = payload({**firing(alertname=name, app=about), **over, "annotations": annotations})
    url = f"/api/v1/webhooks/alertmanager/{source}"
    async with client.post(url, data=json.dumps(body), headers=AUTH) as response:
        return response.status


async def test_promise_14_without_postgresql_nothing_starts_and_a_p0_pages(
    server_dsn: str, tmp_path: Path
) -> None:
    """The store goes away when a step was judged and its intent is being committed: no effect, ever.

    A P0 that comes meanwhile is 503 for its sender and pages a person. When the store is back, both act.
    """
    names = ("p14-first", "p14-second")
    async with AsyncExitStack() as stack:
        desk = await stack.enter_async_context(pager_desk())
        store = await stack.enter_async_context(embedded_postgres("store", log_statement="none"))
        sessions = await stack.enter_async_context(stuck(server_dsn, *names))
        emergency = {"webhook": desk.url, "secret": SECRET, "timeout": "1s"}
        settings = settings_for(
            store.dsn(), server_dsn, names, tmp_path, rule("Stuck", SQL), emergency=emergency
        )
        client = await stack.enter_async_context(serving(settings))
        raw = await asyncpg.connect(store.dsn())
        await raw.execute("BEGIN; LOCK TABLE attempts IN EXCLUSIVE MODE")
        assert await post(client, "Stuck", names[0]) == 200
        waits = "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND relation = 'attempts'::regclass"
        watch = await asyncpg.connect(store.dsn())

        async def intends() -> bool:
            return bool(await watch.fetchval(waits))

        await until(intends, "an intent waits to be written", within=60)
        await store.stop()
        for connection in (raw, watch):
            connection.terminate()

        async def refused() -> bool:
            return await post(client, "Stuck", names[1]) == 503

        await until(refused, "the store is known to be away", within=60)

        async def paged() -> bool:
            return bool(desk.tries)

        await until(paged, "a person is paged", within=60)
        assert desk.tries[0].body["data"]["labels"]["app"] == names[1]
        assert await sessions.stand(*names)
        await store.start()

        async def taken() -> bool:
            return await post(client, "Stuck", names[1]) == 200

        await until(taken, "the alert is stored", within=60)
        for name in names:
            await sessions.gone(name)


@pytest.mark.real
@pytest.mark.timeout(300)
async def test_promise_21_an_outage_degrades_only_what_needs_it(server_dsn: str, tmp_path: Path) -> None:
    """A source's API and the Prometheus hang: alerts are taken in, and what needs neither acts to its end.

    A step for an alert of the mute source is held; what the Prometheus would prove is not recovered. When
    both answer again, both go on. With the store's disk full nothing is taken in, but people are paged, and
    readiness answers and says why; with room again all is as before.
    """
    names = needs_none, needs_source, needs_proof = ("p21-none", "p21-source", "p21-proof")
    api, prometheus = FakeAlertmanager(hangs=True), FakePrometheus(hangs=True)
    api.alerts = [known_alert({"alertname": "Stuck", "app": needs_source})]
    prometheus.data = {"resultType": "vector", "result": [{"metric": {}, "value": [1, "1"]}]}
    async with AsyncExitStack() as stack:
        desk = await stack.enter_async_context(pager_desk())
        await stack.enter_async_context(served(api, prometheus))
        store, disk = await stack.enter_async_context(tables_on_small_disk())
        sessions = await stack.enter_async_context(stuck(server_dsn, *names))
        mute = {**SOURCE, "alertmanager": [api.url], "receiver": RECEIVER}
        rules = (rule("Stuck", SQL), rule("Proved", PROMQL))
        more = {"sources": {"plain": SOURCE, "mute": mute}, "prometheus": {"url": prometheus.url}}
        emergency = {"webhook": desk.url, "secret": SECRET, "timeout": "1s"}
        settings = settings_for(
            store.dsn(DATABASE), server_dsn, names, tmp_path, *rules, emergency=emergency, **more
        )
        client = await stack.enter_async_context(serving(settings))
        assert await post(client, "Stuck", needs_source, "mute") == 200
        assert await post(client, "Proved", needs_proof) == 200
        assert await post(client, "Stuck", needs_none) == 200
        for name in (needs_none, needs_proof):
            await sessions.gone(name)
        assert await post(client, "Stuck", needs_none, ended=True) == 200
        assert await post(client, "Proved", needs_proof, ended=True) == 200
        await standing(client, {needs_none: "resolved", needs_source: "held", needs_proof: "verifying"})
        assert await sessions.stand(needs_source)
        for peer in (api, prometheus):
            peer.hangs = False
            peer.released.set()
        await sessions.gone(needs_source)
        await standing(client, {needs_none: "resolved", needs_source: "verifying", needs_proof: "resolved"})

        disk.fill()
        await until(lambda: refused(client), "no page of a table has room", within=120, every=0.0)
        await asyncio.wait_for(desk.got(1), 60)
        async with client.get("/readyz") as response:
            assert response.status == 503
            assert "disk is full" in await response.text()
        disk.make_room()
        await until(lambda: taken(client), "alerts are taken in again", within=60)


async def refused(client: aiohttp.ClientSession) -> bool:
    """Whether one more alert, with an annotation that fills pages, finds no room."""
    return await post(client, "Stuck", "p21-none", note=os.urandom(3500).hex()) == 503


async def taken(client: aiohttp.ClientSession) -> bool:
    """Whether an alert is stored."""
    return await post(client, "Stuck", "p21-none") == 200


async def standing(client: aiohttp.ClientSession, wanted: Mapping[str, str]) -> None:
    """Until the incidents about these sessions are in these states."""

    async def there() -> bool:
        found = (await told(client, "/api/v1/incidents?live=false"))["incidents"]
        return {one["key"]["app"]: one["state"] for one in found} == wanted

    await until(there, f"incidents are {wanted}", within=90)
