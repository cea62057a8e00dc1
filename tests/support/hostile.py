"""A responder with a database and one source, for tests that send it what no friend would send.

It has no inventory and nothing to act on: what is proved is what it takes in, answers, and holds in memory.
"""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import yaml

from tests.support.parts import PostgresServer, embedded_postgres, folder, free_port
from tests.support.service import SOURCE, TOKEN, Responder

PATH = f"/api/v1/webhooks/alertmanager/{SOURCE}"
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
OWN = "own"
"""What the inventory calls the server of the responder's store."""
START = "2026-11-24T01:02:03.123456789Z"


@dataclass(frozen=True, slots=True)
class Taking:
    """The responder and its database."""

    responder: Responder
    store: PostgresServer

    async def rows(self, sql: str, *values: Any) -> list[asyncpg.Record]:
        """What is committed, as another connection sees it."""
        connection = await asyncpg.connect(self.store.dsn("responder"), timeout=10)
        try:
            rows: list[asyncpg.Record] = await connection.fetch(sql, *values)
            return rows
        finally:
            await connection.close()

    @property
    def resident(self) -> int:
        """Bytes of memory that the responder's process holds now."""
        status = Path(f"/proc/{self.responder.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024

    @property
    def most_resident(self) -> int:
        """Bytes of memory that it held at most."""
        status = Path(f"/proc/{self.responder.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024


@asynccontextmanager
async def taking(
    *,
    rules: Sequence[Mapping[str, Any]] = (),
    engine: Mapping[str, Any] | None = None,
    targets: Mapping[str, str] | None = None,
    more: Mapping[str, Any] | None = None,
    **web: Any,
) -> AsyncIterator[Taking]:
    """A responder that takes alerts into one incident for each alertname; `web` changes its listener.

    With `rules` it goes by those instead; its inventory has the server of its own store, and `targets`, DSNs
    by name; `more` is further settings. The store remembers when each transaction was committed.
    """
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(embedded_postgres("store", track_commit_timestamp="on"))
        connection = await asyncpg.connect(store.dsn(), timeout=10)
        await connection.execute("create database responder")
        await connection.execute("alter database responder set log_statement = 'none'")
        await connection.close()
        home = await stack.enter_async_context(folder())
        file = home / "rules.yaml"
        file.write_text(yaml.safe_dump({"rules": list(rules) or [_RULE]}))
        inventory = {OWN: store.dsn("responder"), **(targets or {})}
        settings = {
            "database": store.dsn("responder"),
            "timeline_key": "the key of a throw-away timeline",
            "rules": [str(file)],
            "inventory": {"postgres": [{"name": name, "dsn": dsn} for name, dsn in inventory.items()]},
            "queries": {"nothing": {"sql": "SELECT 0"}},
            "sources": {SOURCE: {"token": TOKEN}},
            "engine": engine or {},
            "web": web,
            **(more or {}),
        }
        responder = await stack.enter_async_context(Responder(home, free_port(), settings))
        yield Taking(responder, store)


_RULE = {"name": "Anything", "match": ['alertname != ""'], "severity": "P2", "group_by": ["alertname"]}


def alert(**fields: Any) -> dict[str, Any]:
    """A firing alert as Alertmanager posts it; `fields` replace its own."""
    return {
        "status": "firing",
        "labels": {"alertname": "HighLatency", "severity": "warning"},
        "annotations": {"summary": "Requests take more than a second"},
        "startsAt": START,
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus:9090/graph?g0.expr=x&g0.tab=1",
        "fingerprint": "a27b56a11b77a3e9",
        **fields,
    }


def payload(*alerts: Any, **envelope: Any) -> bytes:
    """A delivery as Alertmanager 0.25 and newer write it."""
    told: Mapping[str, Any] = {
        "receiver": "responder",
        "status": "firing",
        "alerts": alerts,
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager:9093",
        "version": "4",
        "groupKey": "{}:{}",
        "truncatedAlerts": 0,
        **envelope,
    }
    return json.dumps(told).encode()
