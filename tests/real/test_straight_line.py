"""The straight line on real parts: a query hangs, Prometheus sees it, Alertmanager tells it, we act.

The victim's own log and pg_stat_activity say what was done to it.
"""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.support.parts import (
    PostgresServer,
    Prometheus,
    debian_postgres,
    postgres_exporter,
    prometheus,
    until,
)
from tests.support.service import Scene, scene
from tests.support.victim import DATABASE

pytestmark = pytest.mark.real

ALERT = "PostgresLongRunningQuery"


@asynccontextmanager
async def prometheus_watching(on: Scene) -> AsyncIterator[Prometheus]:
    """Prometheus, with the rule that fires for a query of more than two seconds."""
    expression = (
        f'pg_stat_activity_max_tx_duration{{datname="{DATABASE}",state="active"}} > 2'
        f' and on (server, datname) pg_stat_activity_count{{datname="{DATABASE}",state="active"}} > 0'
    )
    rule = {
        "alert": ALERT,
        "expr": expression,
        "labels": {"severity": "critical"},
        "annotations": {"summary": "a query has been running for {{ $value }} seconds"},
    }
    async with (
        postgres_exporter(on.victim.server.dsn()) as exporter,
        prometheus(
            targets={"postgres": exporter.address},
            alertmanagers=[peer.address for peer in on.peers],
            rules=[rule],
        ) as source,
    ):
        yield source


@asynccontextmanager
async def store_of(kind: str) -> AsyncIterator[PostgresServer | None]:
    """The server for the responder's store; None lets it start the bundled one itself."""
    if kind == "embedded":
        yield None
        return
    async with debian_postgres("store") as server:
        yield server


@pytest.mark.timeout(180)
@pytest.mark.parametrize("store", ["embedded", "postgresql-15"])
async def test_a_stuck_query_is_found_ended_and_written_up(store: str) -> None:
    """A hanging query, over Prometheus and two Alertmanager peers to the review: one incident, one effect."""
    async with store_of(store) as server, scene(pair=True, store=server) as on, prometheus_watching(on):
        stuck = await on.victim.stick(blocked=2)
        dossier = await on.responder.reaches("resolved", within=60)

        assert not await on.victim.stuck(stuck)
        assert await on.victim.blocked_by(stuck) == 0
        assert (on.victim.orders, on.victim.terminations, on.victim.cancellations) == (1, 1, 0)
        [attempt] = dossier["attempts"]
        assert attempt["outcome"] == "done"
        assert attempt["verdict"] == "recovered"
        assert dossier["members"]["total"] == 1, "two peers told of one alert"

        identity = dossier["incident"]["id"]
        assert "0 broken" in await on.responder.cli("incidents", "verify", identity)
        review = await on.responder.cli("incidents", "review", identity)
        assert review.strip() == (await on.responder.review()).strip()
        for told in ("StuckQuery", "postgres.terminate_queries", f"pid {stuck.pid}", "P1"):
            assert told in review


@pytest.mark.timeout(180)
@pytest.mark.parametrize("how", ["restarted", "frozen"])
async def test_an_alert_that_timed_out_comes_back_and_is_not_lost(how: str) -> None:
    """Prometheus is away until Alertmanager ends the alert by timeout; when it is back, the query is ended.

    Restarted, Prometheus tells of a new start; frozen and thawed, it resends the old one, which lies before
    the end that Alertmanager told.
    """
    async with scene() as on, prometheus_watching(on) as source:
        await on.responder.halt()
        stuck = await on.victim.stick(blocked=1)
        await on.responder.when(_held, "the step is held by the halt")
        await (source.stop() if how == "restarted" else _signal(source, signal.SIGSTOP))
        try:
            await until(lambda: _forgot(on), "Alertmanager ends the alert by timeout", within=30)
            await on.responder.when(_quiet, "the responder hears that nothing fires")
        finally:
            await (source.start() if how == "restarted" else _signal(source, signal.SIGCONT))
        await on.responder.when(_firing, "the alert fires again for the responder")
        await on.responder.when(_reopened, "its incident is taken up again")
        assert await on.victim.stuck(stuck)
        assert on.victim.untouched
        await on.responder.resume()
        dossier = await on.responder.reaches("resolved", within=60)

        assert not await on.victim.stuck(stuck)
        assert (on.victim.orders, on.victim.terminations) == (1, 1)
        assert [attempt["verdict"] for attempt in dossier["attempts"]] == ["recovered"]


async def _signal(part: Prometheus, number: signal.Signals) -> None:
    os.kill(part.pid, number)


async def _forgot(on: Scene) -> bool:
    return not await on.peers[0].alerts()


def _held(dossier: dict[str, Any]) -> bool:
    return bool(dossier["incident"]["state"] == "held")


def _quiet(dossier: dict[str, Any]) -> bool:
    return bool(dossier["members"]["firing"] == 0)


def _reopened(dossier: dict[str, Any]) -> bool:
    return bool(dossier["incident"]["state"] != "resolved")


def _firing(dossier: dict[str, Any]) -> bool:
    return bool(dossier["members"]["firing"] > 0)
