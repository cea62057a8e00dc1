"""Promises 7 and 15: a responder that dies by SIGKILL, and what another process makes of what it left."""

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import yaml

from tests.crash.run import run
from tests.crash.stage import ground
from tests.support.parts import embedded_postgres, folder, free_port, post_json, until
from tests.support.proxy import Hold, proxy_before
from tests.support.service import CONNECTION, SOURCE, TOKEN, Responder, settings_for, stuck_query_rule
from tests.support.stuck_again import execute
from tests.support.victim import DATABASE, victim_on
from tests.support.whole import firing, payload

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

PROMISED = timedelta(seconds=30)
DEATHS = (("intent_committed", "element_ended"), ("effect_ended", "target_asked"))
"""Before any effect, between two of them, after the last one with no outcome written, and while asking."""


async def test_promise_07_no_effect_is_started_twice() -> None:
    """Killed at each of these points and started again, it asks the target: nothing is done twice.

    The victim's own log is compared with the ledger: no effect without its intent, none late, one at most for
    each attempt and session, and a person is told where nobody can say.
    """
    async with ground() as on:
        for at_once in DEATHS:
            results = await asyncio.gather(*(run(on, death) for death in at_once))
            assert not [result.text for result in results if result.violations]


async def test_promise_15_a_dead_workers_incidents_are_taken_over() -> None:
    """Killed before it hears of its effect, at the pace as shipped: in 30 s another process has the lease.

    It asks the target, and finds that what was cut off has happened.
    """
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(embedded_postgres("store", log_statement="none"))
        server = await stack.enter_async_context(embedded_postgres("victim"))
        victim = await stack.enter_async_context(victim_on(server))
        proxy = await stack.enter_async_context(proxy_before(server.port))
        await execute(store.dsn(), "create database responder")
        first, second = [
            Responder(home, free_port(), settings(home, store.dsn("responder"), victim.dsn(port=proxy.port)))
            for home in [await stack.enter_async_context(folder()) for _ in range(2)]
        ]
        await victim.older_than(1.0, await victim.stick(blocked=1))
        proxy.hold = Hold.ANSWER
        await stack.enter_async_context(first)
        hook = f"{first.url}/api/v1/webhooks/alertmanager/{SOURCE}"
        about = {"alertname": "PostgresLongRunningQuery", "server": f"127.0.0.1:{server.port}"}
        alert = firing(**about, datname=DATABASE)
        await post_json(hook, payload(alert), headers={"Authorization": f"Bearer {TOKEN}"})
        async with asyncio.timeout(60):
            await proxy.held.wait()
        await stack.enter_async_context(second)
        watch = await asyncpg.connect(store.dsn("responder"))
        stack.push_async_callback(watch.close)
        before = await watch.fetchval("SELECT epoch FROM incidents WHERE owner IS NOT NULL")
        assert before is not None
        await first.kill()
        died = await watch.fetchval("SELECT service_time()")
        proxy.hold = Hold.NOTHING
        since = "SELECT service_time() FROM incidents WHERE epoch > $1"
        at = await until(lambda: watch.fetchval(since, before), "another process has it", within=120)
        assert at - died < PROMISED
        settled = "SELECT bool_and(outcome = 'done') FROM attempts"
        await until(lambda: watch.fetchval(settled), "what was cut off is found done", within=120)


def settings(home: Path, store: str, victim: str) -> dict[str, Any]:
    """Of one replica: its lease and its heartbeat are those that operators get."""
    rules = home / "rules.yaml"
    probe = {"sql": "blocked_sessions", "connection": CONNECTION, "is": "== 0"}
    rule = {**stuck_query_rule(), "verify": {"stable_for": "2s", "probes": [probe]}}
    rule["steps"] = [{**rule["steps"][0], "timeout": "1m"}]  # it waits for its answer until it is killed
    rules.write_text(yaml.safe_dump({"rules": [rule]}))
    given = settings_for(database=store, victim=victim, rules=rules, alertmanagers=())
    source = {**given["sources"][SOURCE], "evaluation_interval": "200ms", "group_interval": "200ms"}
    as_shipped = given.keys() - {"lease_time", "heartbeat_every"}
    return {**{name: given[name] for name in as_shipped}, "sources": {SOURCE: source}}
