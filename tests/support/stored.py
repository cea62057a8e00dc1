"""The real store for tests: opened on a database of the test's own, fed as the engine feeds it.

`Stored.observe` does what one delivery of the engine's intake does, without a queue and with a rule that
takes every alert; `Stored.sql` looks at the tables past the store.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from responder.decide.case import Case, Change, LedgerQuestion
from responder.decide.clock import Unsteady
from responder.decide.fold import AlertRecord, step
from responder.model.alert import Alert, AlertKey, Observation, Standing, content_hash, fingerprint
from responder.model.attempt import Claim, Intent
from responder.model.incident import IncidentState
from responder.model.matcher import Matcher, MatchOp
from responder.model.rule import Limits, Position, Rule, Rulebook, SeverityCase
from responder.model.severity import Severity
from responder.model.target import Element
from responder.model.timeline import EntryDraft, EntryKind
from responder.ports import Lease, NewIncident
from responder.store.connection import Connections
from responder.store.intake import PostgresIntake
from responder.store.partitions import make_ahead
from responder.store.postgres import PostgresStore
from responder.store.settings import StoreSettings
from responder.store.timeline import TimelineKeys
from tests.support.parts import until
from tests.support.virtual import incident

LEASE_TIME = timedelta(seconds=60)
KEYS = TimelineKeys("k1", {"k1": b"a secret of the tests"})
T0 = datetime(2026, 1, 1, tzinfo=UTC)
"""Source times count from here; they are never compared with service time."""
MINUTE = timedelta(minutes=1)
RULE = Rule(
    name="StuckQueries",
    match=(Matcher(name="alertname", op=MatchOp.EQUAL, value="Stuck"),),
    severity=(SeverityCase(severity=Severity.P2),),
    group_by=("server",),
    wait_for=timedelta(0),
    autonomy="auto",
    limits=Limits(attempts=3, per=timedelta(hours=1), cooldown=timedelta(minutes=10)),
    position=Position(file="test.yaml", line=1, column=1),
)
BOOK = Rulebook(rules=(RULE,))


def alert(name: str = "a", standing: Standing = Standing.FIRING, start: int = 0, **more: Any) -> Alert:
    """An alert of the label `pod=name`; `start` (and `end` of a resolved one) in minutes from `T0`."""
    labels = {"alertname": "Stuck", "server": more.get("server", "db1"), "pod": name}
    ended = standing is Standing.RESOLVED
    return Alert(
        fingerprint=fingerprint(labels),
        labels=labels,
        annotations={"summary": more.get("summary", "stuck")},
        standing=standing,
        starts_at=T0 + start * MINUTE,
        ends_at=T0 + more.get("end", start + 1) * MINUTE if ended else None,
    )


def ended(name: str = "a", start: int = 0, end: int = 1, **more: Any) -> Alert:
    """A resolved notification."""
    return alert(name, Standing.RESOLVED, start, end=end, **more)


@dataclass(frozen=True)
class Stored:
    """An open store and a connection beside it."""

    store: PostgresStore
    connections: Connections
    raw: "asyncpg.Connection[asyncpg.Record]"

    async def sql(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of a query of the test's own."""
        return [tuple(row) for row in await self.raw.fetch(query, *values)]

    async def one(self, query: str, *values: Any) -> Any:
        """The first value of the first row."""
        return await self.raw.fetchval(query, *values)

    async def worker(self) -> UUID:
        """A new live worker."""
        worker_id = uuid4()
        await self.store.register(worker_id, "test", ["worker"])
        return worker_id

    async def silence(self, worker_id: UUID) -> None:
        """Make a worker's last heartbeat older than the lease time."""
        late = "UPDATE workers SET heartbeat_at = heartbeat_at - $2::interval WHERE id = $1"
        await self.raw.execute(late, worker_id, LEASE_TIME)

    async def observe(
        self, *alerts: Alert, pending_for: timedelta = timedelta(0), severity: Severity = Severity.P2
    ) -> list[UUID]:
        """One delivery, taken in; the incidents that it opened or joined."""
        async with self.store.intake() as taken:
            return await take(taken, alerts, pending_for=pending_for, severity=severity)

    async def claim(self, target: str) -> Claim | None:
        """Who holds a target."""
        return next((claim for claim in await self.store.claims() if claim.target == target), None)

    async def lease(self, worker_id: UUID) -> Lease | None:
        """What is due, leased."""
        leased = await self.store.lease(worker_id)
        return None if leased is None else leased.lease

    async def leased(self) -> tuple[Lease, Case]:
        """A live worker's lease on what is due, and the case."""
        leased = await self.store.lease(await self.worker())
        assert leased is not None
        case = await self.store.load(leased.lease)
        assert leased.case is None or leased.case.model_copy(update={"now": case.now}) == case
        return leased.lease, case

    async def held(self) -> tuple[Lease, Case]:
        """As `leased`, of one new incident with one firing alert."""
        await self.observe(alert())
        return await self.leased()

    async def unsteady(self) -> Unsteady | None:
        """Why nothing may start, as a step is told it."""
        asked = LedgerQuestion(
            rule="any",
            target=None,
            namespace=None,
            disruptive=False,
            now=T0,
            limits=RULE.limits,
            shadow=False,
        )
        return (await self.store.ledger_view(asked, incident())).unsteady

    async def somebody_waits(self, number: int = 1) -> None:
        """Until so many sessions of this database, or more, wait for a lock."""
        waiting = """SELECT count(*) >= $1 FROM pg_stat_activity
                     WHERE datname = current_database() AND wait_event_type = 'Lock'"""

        async def seen() -> bool:
            # Within a transaction the first look would be answered again and again.
            await self.raw.execute("SELECT pg_stat_clear_snapshot()")
            return bool(await self.one(waiting, number))

        await until(seen, f"sessions that wait for a lock: {number}", within=60)


async def take(
    taken: PostgresIntake,
    alerts: Iterable[Alert],
    *,
    pending_for: timedelta = timedelta(0),
    severity: Severity = Severity.P2,
) -> list[UUID]:
    """What the engine does with a delivery inside its transaction, wanting incidents even for what ended."""
    rows = [Observation("am", one, taken.now, content_hash(one)) for one in alerts]
    before = await taken.lock_alerts([row.key for row in rows])
    records: dict[AlertKey, AlertRecord] = dict(before)
    for row in rows:
        records[row.key] = step(records.get(row.key), row, MINUTE)
    await taken.write_journal(rows)
    await taken.write_alerts(list(records.values()))
    wanted = [wants(record, pending_for, severity) for record in records.values()]
    return list(await taken.open_or_join(wanted))


def wants(
    record: AlertRecord, pending_for: timedelta = timedelta(0), severity: Severity = Severity.P2
) -> NewIncident:
    """The incident of an alert under `RULE`."""
    key = {"server": record.labels["server"]}
    return NewIncident(RULE.name, BOOK.hash, key, severity, pending_for, (record.key,))


def change(case: Case, state: IncidentState = IncidentState.OPEN, **more: Any) -> Change:
    """A change to a state, due in an hour, with one timeline entry."""
    later = case.incident.opened_at + timedelta(hours=1)
    given = {"progress": case.incident.progress, "deadline": later, "due_at": later, "entries": (told(),)}
    return Change.model_validate({"state": state, **given, **more})


def told(text: str = "something happened", **facts: Any) -> EntryDraft:
    """A timeline entry."""
    return EntryDraft(kind=EntryKind.STATE, text=text, facts=facts)


def intent(case: Case, target: str = "postgres/orders", **more: Any) -> Intent:
    """An intent to end one stuck query."""
    given = Intent(
        attempt_id=uuid4(),
        incident_id=case.incident.id,
        rule=case.incident.rule,
        step=0,
        action="postgres.terminate_queries",
        params={"at_most": 5},
        target=target,
        elements=(Element(key="7/100", title="pid 7", facts={"pid": 7}),),
        state_before={"active": 3},
        start_window_s=5.0,
        timeout_s=30.0,
        fenced=True,
        namespace=target,
        disruptive=True,
    )
    return given.model_copy(update=more)


def question(case: Case, target: str | None = "postgres/orders", **more: Any) -> LedgerQuestion:
    """What is asked of the ledger before a disruptive step on a target."""
    given = LedgerQuestion(
        rule=case.incident.rule,
        target=target,
        namespace=target,
        disruptive=True,
        now=case.now,
        limits=RULE.limits,
        shadow=False,
    )
    return given.model_copy(update=more)


@asynccontextmanager
async def stored(dsn: str) -> AsyncIterator[Stored]:
    """The store on this database, with its journal's partitions and an active rulebook."""
    connections = await Connections.open(dsn, StoreSettings())
    raw = await asyncpg.connect(dsn)
    try:
        store = PostgresStore(connections, LEASE_TIME, KEYS)
        await make_ahead(connections.intake, await store.now(), days=2)
        await store.activate(BOOK, "the test")
        yield Stored(store, connections, raw)
    finally:
        await raw.close()
        await connections.close()
