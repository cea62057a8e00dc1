"""Promise 18: what was told stays told, and what is kept holds no secret. Through the whole service."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import asyncpg
import pytest

from responder.model.timeline import GENESIS
from responder.store import timeline
from responder.store.timeline import Head, TimelineKeys
from tests.support.secrets import LEAKS
from tests.support.stored import told as said
from tests.support.traces import everything_stored, found_in
from tests.support.whole import AUTH, HOOK, firing, incident_in, payload, service, told

UNLOCK = "ALTER TABLE timeline DISABLE TRIGGER ALL"
KEY = b"the key of a throw-away timeline"
SECRETS = LEAKS[::9]


async def post(client: aiohttp.ClientSession, *alerts: Any) -> None:
    async with client.post(HOOK, data=json.dumps(payload(*alerts)), headers=AUTH) as response:
        assert response.status == 200


async def test_promise_18_the_timeline_is_an_anchored_chain_without_secrets(dsn: str, tmp_path: Path) -> None:
    """The database changes and deletes no entry. Whoever makes it do so is found by the chain.

    Whoever has the key, too, and writes another story with a chain that holds, is found by the anchor.
    Alerts full of secrets were told of: none stands in any row, in any answer or in the anchor.
    """
    anchor = tmp_path / "anchor"
    async with service(dsn, tmp_path, anchor=str(anchor)) as client:
        note = {leak.form: leak.text for leak in SECRETS}
        bad = {**firing(instance="b"), "startsAt": SECRETS[0].text}
        await post(client, {**firing(instance="a"), "annotations": note}, bad)
        incident = await incident_in(client, "escalated")
        path = f"/api/v1/incidents/{incident['id']}"
        assert (await told(client, f"{path}/verify"))["holds"] is True
        shown = json.dumps([await told(client, one) for one in (path, "/api/v1/dead-letters?limit=100")])
    kept = await everything_stored(dsn)
    for place in (kept, shown, anchor.read_text()):
        assert place
        assert found_in(place, [leak.secret for leak in SECRETS]) == []
    raw = await asyncpg.connect(dsn)
    for change in ("UPDATE timeline SET text = 'x'", "DELETE FROM timeline", "TRUNCATE timeline"):
        with pytest.raises(asyncpg.PostgresError, match="append-only"):
            await raw.execute(change)
    lines = {"lines": anchor.read_text().splitlines()}
    async with service(dsn, tmp_path, anchor=str(anchor)) as client:

        async def anchored() -> bool:
            async with client.post("/api/v1/anchor/verify", json=lines) as response:
                return all(line["holds"] for line in (await response.json())["lines"])

        assert await anchored()
        await raw.execute(f"{UNLOCK}; UPDATE timeline SET text = 'nothing happened' WHERE number = 1")
        assert (await told(client, f"{path}/verify"))["holds"] is False
        await rewrite(raw, UUID(incident["id"]))
        assert (await told(client, f"{path}/verify"))["holds"] is True
        assert not await anchored()
    await raw.close()


async def rewrite(raw: "asyncpg.Connection[asyncpg.Record]", incident: UUID) -> None:
    """What somebody does who holds the database and the key: another story with a chain that holds."""
    keys = TimelineKeys("1", {"1": KEY})
    await raw.execute("DELETE FROM timeline WHERE incident_id = $1", incident)
    now = await raw.fetchval("SELECT service_time()")
    head, entries = timeline.chained(incident, Head(GENESIS, 0), [said("nothing happened")], now, keys)
    await raw.execute(timeline.APPEND, *timeline.appended(incident, now, keys, entries))
    moved = "UPDATE incidents SET timeline_head = $2, timeline_length = $3 WHERE id = $1"
    await raw.execute(moved, incident, head.mac, head.length)
