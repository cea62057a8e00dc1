"""What the responder's database says after a run, read past the responder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from responder.store.connection import Connection, connect

_ATTEMPTS = """
SELECT a.id, a.target, a.elements, a.results, a.outcome, a.start_before, a.timeout_s, a.verdict_at,
       pg_xact_commit_timestamp(t.xmin) AS committed_at
FROM attempts a
LEFT JOIN timeline t ON t.kind = 'intent' AND (t.facts->>'attempt')::uuid = a.id
ORDER BY a.number
"""
"""A timeline entry is never changed: the transaction that wrote it is the one that committed the intent."""

_ALERTS = """
SELECT DISTINCT j.labels, i.rule
FROM journal j
LEFT JOIN members m USING (source, fingerprint)
LEFT JOIN incidents i ON i.id = m.incident_id
"""

_INCIDENTS = """
SELECT i.id, i.rule, i.state, i.deadline, i.due_at,
       (SELECT array_agg(t.kind ORDER BY t.number) FROM timeline t WHERE t.incident_id = i.id) AS told
FROM incidents i
"""

_WORDS = "SELECT incident_id, delivered_at IS NOT NULL AS delivered FROM outbox"


@dataclass(frozen=True, slots=True)
class Ledgered:
    """One attempt. `sessions` are its elements, `outcomes` what the ledger says of each.

    It holds its target until `over_at`; for ever where that is missing.
    """

    id: UUID
    target: str
    sessions: frozenset[tuple[int, datetime]]
    outcomes: Mapping[tuple[int, datetime], str]
    outcome: str
    committed_at: datetime | None
    start_before: datetime
    timeout_s: float
    over_at: datetime | None


@dataclass(frozen=True, slots=True)
class Standing:
    """One incident. `told` are the kinds of its timeline's entries."""

    id: UUID
    rule: str
    state: str
    deadline: datetime | None
    due_at: datetime | None
    told: Sequence[str]

    def due(self, now: datetime) -> bool:
        """Whether it is to be looked at now."""
        return self.due_at is not None and self.due_at <= now


@dataclass(frozen=True, slots=True)
class Kept:
    """Everything that the database says."""

    now: datetime
    journaled: Sequence[tuple[Mapping[str, str], str | None]]
    """The labels of each alert, and the rule of an incident that it is a member of."""
    attempts: Sequence[Ledgered]
    incidents: Sequence[Standing]
    claims: Mapping[str, bool]
    """Each held target, and whether it is quarantined."""
    words: Sequence[tuple[UUID, bool]] = field(default=())
    """Each word to people: the incident that it is of, and whether it has reached its channel."""
    timeline: Sequence[str] = field(default=())
    """All timelines in words, for whoever reads a failure."""


async def kept(dsn: str) -> Kept:
    """Read it all in one snapshot."""
    connection = await connect(dsn, name="crash test")
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            return await _kept(connection)
    finally:
        await connection.close()


async def _kept(connection: Connection) -> Kept:
    alerts = await connection.fetch(_ALERTS)
    incidents = await connection.fetch(_INCIDENTS)
    words = await connection.fetch("SELECT at, kind, text FROM timeline ORDER BY incident_id, number")
    return Kept(
        now=await connection.fetchval("SELECT service_time()"),
        journaled=[(row["labels"], row["rule"]) for row in alerts],
        attempts=[_attempt(row) for row in await connection.fetch(_ATTEMPTS)],
        incidents=[Standing(**{**row, "told": row["told"] or ()}) for row in incidents],
        words=[(row["incident_id"], row["delivered"]) for row in await connection.fetch(_WORDS)],
        claims={
            row["target"]: row["quarantined"]
            for row in await connection.fetch("SELECT target, quarantined FROM claims")
        },
        timeline=[f"{row['at']:%H:%M:%S.%f} {row['kind']}: {row['text']}" for row in words],
    )


def _attempt(row: asyncpg.Record) -> Ledgered:
    sessions = {element["key"]: _session(element["facts"]) for element in row["elements"]}
    return Ledgered(
        id=row["id"],
        target=row["target"],
        sessions=frozenset(sessions.values()),
        outcomes={sessions[result["element"]]: result["outcome"] for result in row["results"]},
        outcome=row["outcome"],
        committed_at=row["committed_at"],
        start_before=row["start_before"],
        timeout_s=row["timeout_s"],
        over_at=row["verdict_at"],
    )


def _session(facts: Mapping[str, Any]) -> tuple[int, datetime]:
    return (facts["pid"], datetime.fromisoformat(facts["backend_start"]))
