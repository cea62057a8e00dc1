"""A group commit on a real PostgreSQL, and the alerts that tests deliver to it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import asyncpg

from responder.decide.case import Terms
from responder.engine.intake import GroupCommit
from responder.engine.rules import ActiveRules
from responder.engine.settings import EngineSettings
from responder.engine.wake import Wake
from responder.model.alert import Alert, Delivery, Rejected, Standing, fingerprint
from responder.model.matcher import Matcher, MatchOp
from responder.model.rule import Rulebook
from responder.store.connection import Connections
from responder.store.postgres import PostgresStore
from responder.store.settings import StoreSettings
from responder.store.timeline import TimelineKeys
from responder.telemetry import build_metrics
from tests.support.virtual import ladder

START = datetime(2026, 1, 1, tzinfo=UTC)
LABELS = {"alertname": "A", "pod": "p-1"}
ALERT = fingerprint(LABELS)
TERMS = Terms()
RULE = ladder().model_copy(
    update={"match": (Matcher(name="alertname", op=MatchOp.EQUAL, value="A"),), "group_by": ("alertname",)}
)

B = RULE.model_copy(
    update={"name": "Second", "match": (Matcher(name="alertname", op=MatchOp.EQUAL, value="B"),)}
)


def alert(standing: Standing = Standing.FIRING, ends: int | None = None, **labels: str) -> Alert:
    """One alert that started at the start."""
    given = {**LABELS, **labels}
    return Alert(
        fingerprint=fingerprint(given),
        labels=given,
        annotations={"summary": "s"},
        standing=standing,
        starts_at=START,
        ends_at=START + timedelta(seconds=ends) if ends is not None else None,
    )


def delivery(*alerts: Alert, rejected: tuple[Rejected, ...] = ()) -> Delivery:
    """One POST."""
    return Delivery(source="am", alerts=alerts, rejected=rejected)


class Writer:
    """A group commit on a database of the test's own."""

    def __init__(self, dsn: str, connections: Connections, **settings: int) -> None:
        self.dsn = dsn
        self.store = PostgresStore(connections, timedelta(seconds=15), TimelineKeys("1", {"1": b"k" * 16}))
        self.rules = ActiveRules(self.store)
        engine = EngineSettings(terms=TERMS, **settings)
        self.metrics = build_metrics("test")
        self.intake = GroupCommit(self.store, self.rules, engine, self.metrics, Wake())

    async def ask(self, sql: str) -> list[tuple[object, ...]]:
        """Rows as another connection sees them: what is committed."""
        connection = await asyncpg.connect(self.dsn)
        try:
            return [tuple(row) for row in await connection.fetch(sql)]
        finally:
            await connection.close()


@asynccontextmanager
async def writing(dsn: str, *books: Rulebook) -> AsyncIterator[Writer]:
    """A writer at work; these rulebooks were activated one after the other, the last one counts."""
    connections = await Connections.open(dsn, StoreSettings())
    one = Writer(dsn, connections)
    for book in books:
        await one.store.activate(book, "test")
    await one.rules.follow()
    running = asyncio.create_task(one.intake.run())
    yield one
    one.intake.close()
    await running
    await connections.close()
