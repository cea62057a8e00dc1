"""Promises 1 to 6: what is answered is stored, what is refused comes again, what is bad harms nothing."""

import asyncio
import json
import random
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from responder import app
from responder.model.alert import Alert, Delivery, Receipt, Rejected, SourcePosition, Standing, fingerprint
from responder.model.errors import DeposedError, StoreAwayError
from tests.support.held_commits import commits_held
from tests.support.parts import until
from tests.support.peers import RECEIVER, FakeAlertmanager, known_alert, served
from tests.support.replicas import firing as raised
from tests.support.replicas import stage
from tests.support.stored import stored
from tests.support.whole import AUTH, HOOK, TOKEN, firing, payload, service, settings_for, told

STARTED = datetime(2026, 11, 24, 1, tzinfo=UTC)


async def post(client: aiohttp.ClientSession, *alerts: Any) -> int:
    """One delivery; the status of its answer."""
    async with client.post(HOOK, json=payload(*alerts), headers=AUTH) as response:
        assert response.status != 503 or int(response.headers["Retry-After"]) >= 1
        return response.status


async def sent(client: aiohttp.ClientSession, *alerts: Any) -> int:
    """As Alertmanager sends: again and again while the answer is 503."""
    while (status := await post(client, *alerts)) == 503:  # noqa: ASYNC110 - only asking shows
        await asyncio.sleep(0.05)
    return status


async def test_promise_01_2xx_only_after_commit(dsn: str, tmp_path: Path) -> None:
    """All is written and COMMIT has not come back: no answer. It fails: 503, and nothing is stored.

    It succeeds: 200, and another session sees the alert in the journal and in its incident.
    """
    stored_ = "SELECT (SELECT count(*) FROM journal) || ' ' || (SELECT count(*) FROM members)"
    async with patient(dsn, tmp_path) as client, commits_held(dsn) as held:
        lost = asyncio.create_task(post(client, firing(instance="a")))
        await held.reached()
        assert await unanswered(lost)
        await held.fail()
        assert await lost == 503
        assert await held.one(stored_) == "0 0"
        kept = asyncio.create_task(sent(client, firing(instance="a")))
        await held.reached()
        assert await unanswered(kept)
        await held.release()
        assert await kept == 200
        assert await held.one(stored_) == "1 1"


def patient(dsn: str, folder: Path, **engine: Any) -> AbstractAsyncContextManager[aiohttp.ClientSession]:
    """A service that waits for a COMMIT as long as the test wants it to."""
    return service(dsn, folder, statement_timeout="2m", engine={"intake_timeout": "2m", **engine})


async def unanswered(posting: "asyncio.Task[int]") -> bool:
    """Whether it still waits, although there was time to answer it."""
    done, _ = await asyncio.wait({posting}, timeout=0.3)
    return not done


async def test_promise_02_overload_is_refused_at_admission(dsn: str, tmp_path: Path) -> None:
    """The writer is stuck and its queue full: each further delivery is 503 with Retry-After, within 1 s.

    None of it is stored, everything that was admitted is; sent again, all is. Nobody gets a 4xx.
    """
    async with patient(dsn, tmp_path, queue_limit=3) as client, commits_held(dsn) as held:
        admitted = [asyncio.create_task(post(client, firing(instance="first")))]
        await held.reached()
        admitted += [asyncio.create_task(post(client, firing(instance=f"waits-{n}"))) for n in range(3)]
        await until(lambda: queue_is(client, 3), "the queue is full", within=60)
        took = list[float]()
        for number in range(21):
            began = asyncio.get_running_loop().time()
            assert await refused_soon(client, firing(instance=f"refused-{number}"))
            took.append(asyncio.get_running_loop().time() - began)
        assert sorted(took)[10] < 1.0, "half of them took longer: that is no hiccup of this machine"
        assert await held.one("SELECT count(*) FROM journal") == 0
        await held.release()
        assert await asyncio.gather(*admitted) == [200] * 4
        assert await held.one("SELECT count(*) FROM journal") == 4
        again = [sent(client, firing(instance=f"refused-{number}")) for number in range(21)]
        assert set(await asyncio.gather(*again)) == {200}
        assert await held.one("SELECT count(*) FROM alerts") == 25


async def refused_soon(client: aiohttp.ClientSession, alert: Any) -> bool:
    """Whether the answer is 503, and does not wait for what the writer waits for."""
    posting = asyncio.create_task(post(client, alert))
    done, _ = await asyncio.wait({posting}, timeout=20)
    return bool(done) and await posting == 503


async def queue_is(client: aiohttp.ClientSession, number: int) -> bool:
    """Whether so many deliveries wait for the writer."""
    async with client.get("/metrics") as response:
        return f"responder_intake_queue {number}.0" in await response.text()


async def test_promise_03_duplicates_peers_and_reordering_converge(dsn: str, tmp_path: Path) -> None:
    """Two peers tell two replicas of six alerts, each several times, at once and in any order.

    One incident has each alert once, in one episode, since the earliest start that anybody told of.
    """
    starts = {
        f"pod-{pod}": [STARTED + timedelta(seconds=pod + later) for later in (0, 7, 3)] for pod in range(6)
    }
    posts = [
        {**firing(instance="a", pod=pod), "startsAt": at.isoformat(), "annotations": {"by": peer}}
        for pod, times in starts.items()
        for at in times
        for peer in ("peer 1", "peer 1", "peer 2")
    ]
    (tmp_path / "other").mkdir()
    async with service(dsn, tmp_path) as one, service(dsn, tmp_path / "other") as other:
        chance = random.Random(11)  # noqa: S311 - the same order each time
        for _ in range(3):
            chance.shuffle(posts)
            told_to = [(one, other)[chance.randrange(2)] for _ in posts]
            answers = [sent(client, alert) for client, alert in zip(told_to, posts, strict=True)]
            assert set(await asyncio.gather(*answers)) == {200}
        incidents = (await told(one, "/api/v1/incidents?live=false"))["incidents"]
        assert len(incidents) == 1
        assert incidents[0]["key"] == {"instance": "a"}
    async with stored(dsn) as db:
        assert await db.one("SELECT count(*) FROM journal") == 3 * len(posts)
        episodes = "SELECT labels ->> 'pod', generation, starts_at FROM alerts ORDER BY 1"
        assert await db.sql(episodes) == [(pod, 1, min(times)) for pod, times in starts.items()]
        assert await db.one("SELECT count(*) FROM members WHERE firing") == len(starts)


async def test_promise_04_lost_notifications_heal(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What only the peers know is taken in and told to people; what none of them knows any more ends.

    Not while one of them does not answer: then nothing ends, however often the others are asked.
    """
    monkeypatch.setattr("responder.engine.engine._SOON", timedelta(milliseconds=50))
    never_told = known_alert({"alertname": "Watched", "instance": "never-told"})
    peers = [FakeAlertmanager(alerts=[never_told]), FakeAlertmanager(status=503)]
    async with served(*peers):
        source = {"token": TOKEN, "receiver": RECEIVER, "alertmanager": [peer.url for peer in peers]}
        engine = {"reconcile": {"every": "100ms"}}
        async with service(dsn, tmp_path, sources={"default": source}, engine=engine) as client:
            assert await sent(client, firing(instance="end-lost")) == 200

            async def states() -> Mapping[str, str]:
                found = (await told(client, "/api/v1/incidents?live=false"))["incidents"]
                return {one["key"]["instance"]: one["state"] for one in found}

            async def is_told() -> bool:
                return (await states()).get("never-told") == "escalated"

            async def is_over() -> bool:
                return (await states())["end-lost"] == "resolved"

            await until(is_told, "what only a peer knows is told to a person", within=60)

            async def asked_often() -> bool:
                return await counted(client, "reconcile_rounds", outcome="incomplete") >= 6

            await until(asked_often, "six rounds", within=60)
            assert await counted(client, "reconcile_gone") == 0
            assert not await is_over()
            peers[1].status = 200
            await until(is_over, "what nobody knows any more has ended", within=60)


async def counted(client: aiohttp.ClientSession, metric: str, **labels: str) -> float:
    """What a counter of the source says."""
    async with client.get("/metrics") as response:
        lines = (await response.text()).splitlines()
    named = [f'{name}="{value}"' for name, value in {**labels, "source": "default"}.items()]
    found = [one for one in lines if one.startswith(f"responder_{metric}_total{{")]
    return sum(float(one.rpartition(" ")[2]) for one in found if all(name in one for name in named))


async def test_promise_05_a_position_commits_with_the_journal(dsn: str, tmp_path: Path) -> None:
    """A COMMIT that fails leaves neither record nor position; one that succeeds leaves both.

    The same record again, from a reader that has lost its turn, is refused and journaled nowhere.
    """
    record = Delivery("stream", (raised("db1"),), (), SourcePosition("alerts", 0, 41, 42))
    both = "SELECT (SELECT count(*) FROM journal), (SELECT max(next_offset) FROM source_positions)"
    async with stage(dsn, tmp_path, replicas=1) as on, commits_held(dsn) as held:
        on.gate.open.set()
        intake = on.engines[0].intake
        lost = asyncio.create_task(intake.take(record))
        await held.reached()
        assert await on.db.sql(both) == [(0, None)]
        await held.fail()
        with pytest.raises(StoreAwayError):
            await lost
        assert await on.db.sql(both) == [(0, None)]
        await held.release()

        async def taken() -> bool:
            try:
                return (await intake.take(record)).stored == 1
            except StoreAwayError:  # until it has found its database again
                return False

        await until(taken, "the record is taken", within=60)
        assert await on.db.sql(both) == [(1, 42)]
        with pytest.raises(DeposedError, match="is not 41 any more"):
            await intake.take(record)
        assert await on.db.sql(both) == [(1, 42)]


def poisoned(name: str) -> Alert:
    """An alert that no decoder would let through, and that PostgreSQL refuses."""
    labels = {"alertname": "A", "server": f"{name}\x00"}
    return Alert(fingerprint(labels), labels, {}, Standing.FIRING, STARTED)


async def test_promise_06_poison_costs_no_neighbour(dsn: str, tmp_path: Path) -> None:
    """A field, a whole record and a row that PostgreSQL refuses: each is a dead letter with its reason.

    Everything beside them is stored, the stream goes on behind them, and the sender hears 200.
    """
    bad: list[Any] = [7, {**firing(instance="bad"), "startsAt": "soon"}, {**firing(), "labels": "none"}]
    async with (
        app.running(settings_for(dsn, tmp_path)) as running,
        aiohttp.ClientSession(running.url) as client,
    ):
        body = payload(firing(instance="a"), *bad, firing(instance="b"))
        async with client.post(HOOK, data=json.dumps(body), headers=AUTH) as response:
            assert (response.status, (await response.json())["stored"]) == (200, 2)
        row = Delivery("default", (raised("db1"), poisoned("db2"), raised("db3")), ())
        [receipt] = await asyncio.gather(running.engine.intake.take(row), return_exceptions=True)
        assert isinstance(receipt, Receipt)
        assert (receipt.stored, receipt.rejected) == (2, 1)
        record = Delivery("stream", (), (Rejected("no JSON", "\x00{"),), SourcePosition("alerts", 0, 0, 1))
        await running.engine.intake.take(record)
        behind = replace(
            record, alerts=(raised("db4"),), rejected=(), position=SourcePosition("alerts", 0, 1, 2)
        )
        assert (await running.engine.intake.take(behind)).stored == 1
        letters = (await told(client, "/api/v1/dead-letters"))["dead_letters"]
    assert len(letters) == len(bad) + 2
    assert all(letter["reason"] for letter in letters)
    async with stored(dsn) as db:
        names = "SELECT coalesce(labels ->> 'instance', labels ->> 'server') FROM alerts ORDER BY 1"
        assert [name for (name,) in await db.sql(names)] == ["a", "b", "db1", "db3", "db4"]
        assert await db.one("SELECT next_offset FROM source_positions") == 2
