"""A full disk, for real: of the database's tables, of its write-ahead log, of the anchor file, of the log.

Mounted file systems of a few megabytes are filled up, and made room on again.
"""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import asyncpg
import pytest
import yaml

from responder.model.alert import fingerprint
from tests.support.hostile import AUTHORIZED, PATH, alert, payload
from tests.support.pager import SECRET, PagerDesk, pager_desk
from tests.support.parts import (
    PostgresServer,
    embedded_postgres,
    folder,
    free_port,
    until,
)
from tests.support.service import CONNECTION, Responder, settings_for, stuck_query_rule
from tests.support.small_disk import (
    DATABASE,
    SmallDisk,
    server_on_small_disk,
    small_disk,
    tables_on_small_disk,
    write_until_it_ends,
)
from tests.support.victim import DATABASE as ORDERS
from tests.support.victim import Victim, victim_on

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

RULES = [
    {
        "name": "Urgent",
        "match": ['alertname = "Urgent"'],
        "severity": "P0",
        "group_by": ["n"],
        "escalate": True,
    },
    {
        "name": "Ordinary",
        "match": ['alertname = "Ordinary"'],
        "severity": "P2",
        "group_by": ["n"],
        "escalate": True,
    },
]
ACTS = {
    **stuck_query_rule(),
    "verify": {
        "stable_for": "2s",
        "probes": [{"sql": "blocked_sessions", "connection": CONNECTION, "is": "== 0"}],
    },
}
PADDING = 7000
"""Characters of an annotation that does not compress: soon every free page is used."""


@dataclass
class Full:
    """A responder on a store whose disk can be filled, and all that it has acknowledged."""

    responder: Responder
    store: PostgresServer
    disk: SmallDisk
    desk: PagerDesk
    victim: Victim
    acknowledged: set[str] = field(default_factory=set)

    async def post(self, **labels: str) -> int:
        """One alert; the answer's status."""
        note = {"note": os.urandom(PADDING // 2).hex()}
        body = payload(alert(labels=labels, annotations=note))
        async with (
            aiohttp.ClientSession(self.responder.url) as client,
            client.post(PATH, data=body, headers=AUTHORIZED) as response,
        ):
            if response.status == 200:
                self.acknowledged.add(fingerprint(labels))
            assert response.status in {200, 503}
            return response.status

    async def taken(self, **labels: str) -> None:
        """As Alertmanager does: until it is stored."""

        async def stored() -> bool:
            return await self.post(**labels) == 200

        await until(stored, "the alert is stored", within=60)

    async def refused(self) -> None:
        """Post until no page of any table has room for one more."""
        for number in range(2000):
            if await self.post(alertname="Ordinary", n=str(number)) == 503:
                return
        raise AssertionError("2,000 alerts found room on a full disk")

    async def standing(self) -> tuple[int, dict[str, dict[str, Any]]]:
        """What `/readyz` answers, and its parts by name."""
        async with aiohttp.ClientSession() as client, client.get(f"{self.responder.url}/readyz") as response:
            told = await response.json()
            return response.status, {part["name"]: part for part in told["parts"]}

    async def ready(self) -> bool:
        """Whether it is."""
        status, _ = await self.standing()
        return status == 200

    async def ask(self, sql: str) -> Any:
        """One value from the store."""
        connection = await asyncpg.connect(self.store.dsn(DATABASE), timeout=10)
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()

    async def nothing_is_lost(self) -> None:
        """Every acknowledged alert is there, and none became a dead letter."""
        assert self.acknowledged <= set(await self.ask("SELECT array_agg(fingerprint) FROM alerts"))
        assert await self.ask("SELECT count(*) FROM dead_letters") == 0


@asynccontextmanager
async def responder_on(store: PostgresServer, disk: SmallDisk, **more: Any) -> AsyncIterator[Full]:
    """A responder that may act on a victim, halted by its file, and pages without its store."""
    async with AsyncExitStack() as stack:
        desk = await stack.enter_async_context(pager_desk())
        victim = await stack.enter_async_context(
            victim_on(await stack.enter_async_context(embedded_postgres("victim")))
        )
        home = await stack.enter_async_context(folder())
        rules = home / "rules.yaml"
        rules.write_text(yaml.safe_dump({"rules": [*RULES, ACTS]}))
        settings = settings_for(
            database=store.dsn(DATABASE), victim=victim.dsn(), rules=rules, alertmanagers=[]
        )
        settings["engine"]["halt_file"] = str(home / "halted")
        settings["emergency"] = {"webhook": desk.url, "secret": SECRET, "timeout": "1s"}
        (home / "halted").touch()
        responder = Responder(home, free_port(), {**settings, **more})
        await stack.enter_async_context(responder)
        yield Full(responder, store, disk, desk, victim)


@asynccontextmanager
async def ordinary_store() -> AsyncIterator[PostgresServer]:
    """A store whose own disk has room."""
    async with embedded_postgres("store", log_statement="none") as store:
        connection = await asyncpg.connect(store.dsn())
        await connection.execute(f"create database {DATABASE}")
        await connection.close()
        yield store


async def test_while_the_disk_of_the_tables_is_full_nothing_is_taken_or_begun_and_a_p0_pages() -> None:
    """53100 is 503 and no dead letter, no intent and no effect, a P0 pages, readiness says so in words.

    With room again all goes on by itself: what was acknowledged is there, what comes again is taken in, and
    the incident that was due acts.
    """
    async with tables_on_small_disk() as (store, disk), responder_on(store, disk) as on:
        stuck = await on.victim.stick()
        await on.taken(alertname="PostgresLongRunningQuery", server="127.0.0.1", datname=ORDERS)
        await until(lambda: on.ask("SELECT state = 'held' FROM incidents"), "the halt holds it", within=60)
        disk.fill()
        (on.responder.folder / "halted").unlink()
        await until(lambda: _no_room(on.store), "the workers found no room", within=60)
        await on.refused()
        assert await on.post(alertname="Urgent", n="1") == 503
        [page] = await on.desk.got(1)
        assert page.body["data"]["labels"] == {"alertname": "Urgent", "n": "1"}
        status, parts = await on.standing()
        assert status == 503
        assert "the database's disk is full" in parts["store"]["text"]
        assert "answered with 503" in parts["store"]["affects"]
        for _ in range(5):
            assert "the database's disk is full" in (await on.standing())[1]["intake"]["text"]
        told = await _text(on)
        assert "not ready  store: the database's disk is full" in told

        assert await on.ask("SELECT count(*) FROM attempts") == 0
        assert on.victim.untouched
        assert await on.victim.alive(stuck)
        assert await on.post(alertname="Ordinary", n="late") == 503

        disk.make_room()
        await until(on.ready, "it is ready again", within=60)
        await on.taken(alertname="Urgent", n="1")
        await on.taken(alertname="Ordinary", n="late")
        await on.victim.ends(stuck)
        await until(
            lambda: on.ask("SELECT count(*) = 1 FROM attempts WHERE outcome = 'done'"),
            "it was done",
            within=60,
        )
        await on.nothing_is_lost()
        assert on.victim.terminations == 1
        assert len(on.desk.tries) == 1


async def _no_room(store: PostgresServer) -> bool:
    return "responder workers ERROR:  53100" in store.log


async def _text(on: Full) -> str:
    async with (
        aiohttp.ClientSession() as client,
        client.get(f"{on.responder.url}/readyz?format=text") as response,
    ):
        return await response.text()


async def test_a_full_write_ahead_log_ends_the_database_and_loses_nothing() -> None:
    """PostgreSQL PANICs and is away until there is room; what was acknowledged before is there afterwards."""
    async with server_on_small_disk() as (store, disk), responder_on(store, disk) as on:
        for number in range(20):
            await on.taken(alertname="Ordinary", n=str(number))
        disk.fill()
        await write_until_it_ends(store)
        assert "No space left on device" in store.log
        assert "PANIC" in store.log
        assert await on.post(alertname="Urgent", n="1") == 503
        [page] = await on.desk.got(1)
        assert page.body["data"]["rule"] == "Urgent"
        status, parts = await on.standing()
        assert (status, parts["store"]["ready"], parts["intake"]["ready"]) == (503, False, False)
        disk.make_room()
        await store.start()  # as its operator's supervisor does
        await until(on.ready, "it is ready again", within=60)
        await on.taken(alertname="Urgent", n="1")
        await on.nothing_is_lost()
        assert len(on.acknowledged) == 21


async def test_an_anchor_file_on_a_full_disk_is_told_and_holds_back_nothing() -> None:
    """`/readyz` warns and stays ready, alerts are taken in; with room the next line is written."""
    async with ordinary_store() as store:
        with small_disk(1) as disk:
            disk.fill()
            anchor = disk.path / "anchor"
            async with responder_on(store, disk, anchor=str(anchor)) as on:
                status, parts = await on.standing()
                assert (status, parts["anchor"]["warning"]) == (200, True)
                assert "could not be anchored" in parts["anchor"]["text"]
                assert parts["anchor"]["affects"]
                await on.taken(alertname="Urgent", n="1")
                disk.make_room()
            assert anchor.read_text().count("\n") == 1, "the stop anchors"


async def test_a_log_on_a_full_disk_costs_log_lines_and_nothing_else() -> None:
    """What cannot be logged is counted and told by `/readyz`; alerts are taken in, and P0s escalate."""
    async with ordinary_store() as store:
        with small_disk(1) as disk:
            async with responder_on(store, disk) as on:
                await on.responder.stop()
                on.responder.log_path = disk.path / "responder.log"
                on.responder.log_path.touch()
                disk.fill()
                await on.responder.start()
                for number in range(20):
                    await on.taken(alertname="Urgent", n=str(number))
                told = "SELECT count(DISTINCT incident_id) = 20 FROM timeline WHERE kind = 'escalation'"
                await until(lambda: on.ask(told), "all are escalated", within=60)
                status, parts = await on.standing()
                assert (status, parts["log"]["warning"]) == (200, True)
                assert "No space left on device" in parts["log"]["text"]
                waits = "SELECT count(*) FROM outbox WHERE delivered_at IS NULL AND given_up_at IS NULL"
                assert await on.ask(waits) > 0, "what nobody could read was not told"
                disk.make_room()
                await on.taken(alertname="Urgent", n="20")
                await until(lambda: _writes(on), "the log is written again", within=60)
                await until(lambda: _none(on, waits), "all words are told", within=90)


async def _none(on: Full, count: str) -> bool:
    return bool(await on.ask(count) == 0)


async def _writes(on: Full) -> bool:
    _, parts = await on.standing()
    return "log" not in parts


async def test_a_halt_file_that_cannot_be_looked_for_halts() -> None:
    """Whatever keeps it from being seen: the responder says that it is halted, and takes alerts in."""
    async with ordinary_store() as store:
        with small_disk(1) as disk:
            async with responder_on(store, disk) as on:
                (on.responder.folder / "halted").unlink()
                _, parts = await on.standing()
                assert not parts["halt"]["warning"]
                (on.responder.folder / "halted").symlink_to("halted")  # a loop: neither there nor missing
                status, parts = await on.standing()
                assert (status, parts["halt"]["warning"]) == (200, True)
                assert "no action starts" in parts["halt"]["text"]
                await on.taken(alertname="Ordinary", n="1")
