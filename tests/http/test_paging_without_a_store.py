"""A P0 pages while PostgreSQL is away, and is an incident as soon as it is back: with a real one."""

import asyncio
import json
import signal
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from responder import app
from responder.cli.doctor import examine
from responder.model.alert import fingerprint
from responder.settings import Settings, load
from responder.store.embedded import EmbeddedServer
from responder.store.startup import check_server
from tests.support.databases import directory_for_a_server
from tests.support.pager import SECRET, PagerDesk, pager_desk
from tests.support.parts import free_port, until

HOOK = "/api/v1/webhooks/alertmanager/default"
RULES = """\
rules:
  - {name: Down, match: 'alertname = "Down"', group_by: [instance], evidence: [], escalate: true,
     severity: [{when: ['tier = "1"'], is: P0}, {is: P2}], runbook_url: 'https://runbooks.example.org/down'}
"""


def settings_for(dsn: str, folder: Path, **more: Any) -> Settings:
    (folder / "rules.yaml").write_text(RULES)
    written = {
        "database": dsn,
        "timeline_key": "the key of a throw-away timeline",
        "rules": ["rules.yaml"],
        "sources": {"default": {}},
        "web": {"listen": "127.0.0.1:0", "large_body": 64 * 1024},
        **more,
    }
    file = folder / "responder.yaml"
    file.write_text(json.dumps(written))
    return load(file, {}).settings


@asynccontextmanager
async def scene(
    folder: Path, desk: PagerDesk
) -> AsyncIterator[tuple[Path, EmbeddedServer, aiohttp.ClientSession]]:
    """A database of the test's own, a service on it that pages the desk, and a client."""
    with directory_for_a_server() as directory:
        server = await asyncio.to_thread(EmbeddedServer.start, directory)
        emergency = {"webhook": desk.url, "secret": SECRET, "timeout": "1s"}
        settings = settings_for(server.dsn, folder, emergency=emergency)
        async with app.running(settings) as running, aiohttp.ClientSession(running.url) as client:
            yield directory, server, client


def alert(instance: str, **labels: str) -> dict[str, Any]:
    return {
        "status": "firing",
        "labels": {"alertname": "Down", "instance": instance, **labels},
        "annotations": {"summary": "db password=hunter22 is wrong"},
        "startsAt": "2026-11-24T01:00:00Z",
    }


async def post(client: aiohttp.ClientSession, *alerts: Any) -> int:
    async with client.post(HOOK, json={"alerts": list(alerts)}) as response:
        return response.status


async def taken(client: aiohttp.ClientSession, *alerts: Any) -> None:
    """Send as Alertmanager does: again and again, until it is stored."""

    async def stored() -> bool:
        return await post(client, *alerts) == 200

    await until(stored, "the delivery is stored", within=60)


async def escalated(client: aiohttp.ClientSession) -> list[dict[str, Any]]:
    return [one for one in await incidents(client) if one["state"] == "escalated"]


async def incidents(client: aiohttp.ClientSession) -> list[dict[str, Any]]:
    async with client.get("/api/v1/incidents?live=false") as response:
        return list((await response.json())["incidents"])


async def test_a_p0_pages_once_while_the_database_is_away_and_opens_its_incident_afterwards(
    tmp_path: Path,
) -> None:
    """503 for the sender all the while; what is not P0 or has ended pages nobody; nothing is lost."""
    worst = alert("a", tier="1")
    async with pager_desk() as desk, scene(tmp_path, desk) as (directory, server, client):
        await asyncio.to_thread(server.stop)
        desk.answers = [503]
        for _ in range(5):
            ended = {**alert("c", tier="1"), "status": "resolved", "endsAt": "2026-11-24T02:00:00Z"}
            assert await post(client, alert("b"), worst, ended, {"no": "alert"}) == 503
        again, first = await desk.got(2)
        many = [alert(str(number)) for number in range(1200)]
        assert await post(client, *many, alert("last", tier="1")) == 503
        *_, last = await desk.got(3)

        again_there = await asyncio.to_thread(EmbeddedServer.start, directory)
        try:
            await taken(client, worst)
            [incident] = await until(lambda: escalated(client), "the incident escalates", within=60)
        finally:
            await asyncio.to_thread(again_there.stop)
    assert (incident["severity"], incident["key"]) == ("P0", {"instance": "a"})
    assert (first.id, len(desk.tries)) == (again.id, 3)
    data = first.body["data"]
    assert data["notice"] == "store unavailable: this page was sent without a record"
    assert (data["rule"], data["severity"], data["source"]) == ("Down", "P0", "default")
    assert data["fingerprint"] == fingerprint(worst["labels"])
    assert data["runbook_url"] == "https://runbooks.example.org/down"
    assert last.body["data"]["labels"]["instance"] == "last"
    assert "hunter22" not in json.dumps([one.body for one in desk.tries])


async def test_a_service_that_starts_without_its_database_pages_a_p0_and_stores_it_later(
    tmp_path: Path,
) -> None:
    """It listens, says what is missing, matches by its rule files, and goes on where the others begin."""
    url = f"http://127.0.0.1:{free_port()}"
    worst = alert("a", tier="1")
    with directory_for_a_server() as directory:
        before = await asyncio.to_thread(EmbeddedServer.start, directory)
        dsn = before.dsn
        await asyncio.to_thread(before.stop)
        async with pager_desk() as desk, aiohttp.ClientSession(url) as client:
            emergency = {"webhook": desk.url, "secret": SECRET, "timeout": "1s"}
            web = {"listen": url.removeprefix("http://")}
            settings = settings_for(dsn, tmp_path, emergency=emergency, web=web)
            async with AsyncExitStack() as stack:
                starting = asyncio.create_task(stack.enter_async_context(app.running(settings)))
                await until(lambda: answers(client), "it listens", within=60)
                assert [await post(client, alert("b"), worst) for _ in range(3)] == [503, 503, 503]
                [page] = await desk.got(1)
                async with client.get("/readyz") as response:
                    missing = {part["name"] for part in (await response.json())["not_ready"]}
                async with client.get("/api/v1/incidents") as response:
                    refused = response.status
                assert not starting.done()
                again_there = await asyncio.to_thread(EmbeddedServer.start, directory)
                stack.push_async_callback(asyncio.to_thread, again_there.stop)
                await starting
                assert await post(client, worst) == 200
                [incident] = await until(lambda: escalated(client), "the incident escalates", within=60)
                await stack.aclose()
    assert (missing, refused) == ({"store", "intake"}, 503)
    assert (page.body["data"]["rule"], page.body["data"]["labels"]["instance"]) == ("Down", "a")
    assert (incident["severity"], len(desk.tries)) == ("P0", 1)


async def test_a_service_that_waits_for_its_database_stops_when_it_is_told_to(tmp_path: Path) -> None:
    """SIGHUP does not end it, SIGTERM does, and with success: nothing has failed."""
    url = f"http://127.0.0.1:{free_port()}"
    settings_for(f"postgresql://u@/d?host={tmp_path}", tmp_path, web={"listen": url.removeprefix("http://")})
    serve = ("-m", "responder.cli", "serve", "--config", str(tmp_path / "responder.yaml"))
    process = await asyncio.create_subprocess_exec(sys.executable, *serve, stdout=DEVNULL, stderr=DEVNULL)
    try:
        async with aiohttp.ClientSession(url) as client:
            await until(lambda: answers(client), "it listens", within=60)
            process.send_signal(signal.SIGHUP)
            assert await post(client, alert("a", tier="1")) == 503
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 60) == 0
    finally:
        if process.returncode is None:
            process.kill()


@pytest.mark.parametrize(("patience", "paged"), [("1h", False), ("1s", True)], ids=["soon", "hangs"])
async def test_a_start_pages_nobody_before_it_takes_too_long(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patience: str, paged: bool
) -> None:
    """A restart is no outage: what comes meanwhile is sent again and stored. A database that hangs is one."""
    url, answered = f"http://127.0.0.1:{free_port()}", asyncio.Event()

    async def hangs(dsn: str) -> None:
        await answered.wait()
        await check_server(dsn)

    monkeypatch.setattr("responder.app.check_server", hangs)
    async with pager_desk() as desk, aiohttp.ClientSession(url) as client, AsyncExitStack() as stack:
        emergency = {"webhook": desk.url, "secret": SECRET}
        web, engine = {"listen": url.removeprefix("http://")}, {"intake_timeout": patience}
        settings = settings_for(dsn, tmp_path, emergency=emergency, web=web, engine=engine)
        starting = asyncio.create_task(stack.enter_async_context(app.running(settings)))
        await until(lambda: answers(client), "it listens", within=60)
        if paged:
            await until(lambda: pages(client, desk, alert("a", tier="1")), "it pages", within=60)
        assert await post(client, alert("a", tier="1")) == 503
        answered.set()
        await starting
        await taken(client, alert("a", tier="1"))
        await stack.aclose()
    assert bool(desk.tries) is paged


async def pages(client: aiohttp.ClientSession, desk: PagerDesk, told: dict[str, Any]) -> bool:
    """Whether a delivery that cannot be stored has paged."""
    assert await post(client, told) == 503
    return bool(desk.tries)


async def answers(client: aiohttp.ClientSession) -> bool:
    """Whether anybody listens."""
    try:
        async with client.get("/healthz") as response:
            return response.status == 200
    except aiohttp.ClientConnectionError:
        return False


async def test_a_receiver_that_hangs_keeps_neither_senders_nor_the_database_waiting(tmp_path: Path) -> None:
    """While it hangs deliveries are answered, probes too, and what comes after the outage is stored."""
    async with pager_desk() as desk, scene(tmp_path, desk) as (directory, server, client):
        desk.hangs = True
        await asyncio.to_thread(server.stop)
        assert await post(client, *(alert(str(n), tier="1") for n in range(50))) == 503
        await desk.got(1)
        assert {await post(client, alert("x", tier="1")) for _ in range(20)} == {503}
        async with client.get("/healthz") as response:
            assert response.status == 200
        again_there = await asyncio.to_thread(EmbeddedServer.start, directory)
        try:
            await taken(client, alert("x", tier="1"))
            assert [one["key"] for one in await incidents(client)] == [{"instance": "x"}]
        finally:
            await asyncio.to_thread(again_there.stop)


async def test_that_nobody_would_be_paged_is_told_beforehand(dsn: str, tmp_path: Path) -> None:
    """Readiness warns where a rule is P0, doctor in any case; with a receiver both are content."""
    said: list[tuple[bool, str]] = []
    for more in ({}, {"emergency": {"webhook": "http://127.0.0.1:9/x", "secret": SECRET}}):
        settings = settings_for(dsn, tmp_path, **more)
        async with app.running(settings) as running, aiohttp.ClientSession(running.url) as client:
            async with client.get("/readyz") as response:
                parts = {part["name"]: part for part in (await response.json())["parts"]}
            found = {one.part: one for one in await examine(settings)}
        said.append((parts["emergency"]["warning"], found["emergency"].health.value))
    assert said == [(True, "warn"), (False, "ok")]
