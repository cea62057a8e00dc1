"""All that is left after a run, in one value: the store's tables, the test's own triggers, the targets.

All times are the host's real ones, as seconds since the epoch, except where a field says service time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from responder.store.connection import Connection, connect
from tests.chaos.pager import Heard
from tests.chaos.target import Effect
from tests.support.witness import Seen

_ATTEMPTS = """
SELECT a.id, a.incident_id AS incident, a.target, a.action, a.elements, a.results, a.outcome, a.timeout_s,
       extract(epoch FROM a.start_before)::float8 AS start_before,
       extract(epoch FROM pg_xact_commit_timestamp(t.xmin))::float8 AS committed_at,
       o.owners, o.ats,
       (SELECT extract(epoch FROM max(c.at))::float8 FROM chaos.claims c
        WHERE c.attempt = a.id AND NOT c.taken) AS released_at
FROM attempts a
LEFT JOIN timeline t ON t.kind = 'intent' AND (t.facts->>'attempt')::uuid = a.id
LEFT JOIN LATERAL (SELECT array_agg(w.owner ORDER BY w.at) AS owners,
                          array_agg(extract(epoch FROM w.at)::float8 ORDER BY w.at) AS ats
                   FROM chaos.attempts w WHERE w.attempt = a.id) o ON true
ORDER BY a.number
"""
"""A timeline entry is never changed: the transaction that wrote it is the one that committed the intent."""

_HEARD = """
SELECT j.fingerprint, j.starts_at, j.ends_at, min(j.received_at) AS first FROM journal j GROUP BY 1, 2, 3
"""

_MEMBERS = """
SELECT m.fingerprint, m.starts_at, m.ends_at, i.id, i.rule
FROM members m JOIN incidents i ON i.id = m.incident_id
"""

_STARTS = """
SELECT s.attempt_id, a.incident_id, extract(epoch FROM s.at)::float8 AS at, s.target, s.namespace
FROM attempts a JOIN starts s ON s.attempt_id = a.id
WHERE a.outcome <> 'not_done' ORDER BY s.at
"""
"""A start that is proven not to have happened gives its budgets back."""

_INCIDENTS = """
SELECT i.id, i.rule, i.state, extract(epoch FROM i.due_at - service_time())::float8 AS due_in_s,
       (SELECT array_agg(t.kind ORDER BY t.number) FROM timeline t WHERE t.incident_id = i.id) AS told,
       (SELECT count(*) FROM outbox o
        WHERE o.incident_id = i.id AND o.level > 0 AND o.channel = 'log') AS words
FROM incidents i
"""

_WORDS = """
SELECT o.key, o.incident_id, (SELECT s.key FROM outbox s WHERE s.id = o.delivered_in) AS within, o.level > 0
FROM outbox o WHERE o.channel = 'pager' ORDER BY o.number
"""


@dataclass(frozen=True, slots=True)
class Attempted:
    """One attempt. `owners` are those at its intent and at its end, `ats` when these were written.

    It holds its target until `released_at`; where that is missing, until now.
    """

    id: UUID
    incident: UUID
    target: str
    elements: frozenset[str]
    results: Mapping[str, str]
    outcome: str
    committed_at: float | None
    start_before: float
    timeout_s: float
    owners: Sequence[UUID | None]
    ats: Sequence[float]
    released_at: float | None

    @property
    def cut(self) -> bool:
        """Whether its end was written by another worker than its intent."""
        return len(self.owners) > 1 and self.owners[0] != self.owners[-1]


@dataclass(frozen=True, slots=True)
class Standing:
    """One incident. `told` are the kinds of its timeline's entries."""

    id: UUID
    rule: str
    state: str
    told: Sequence[str] = ()
    due_in_s: float | None = None
    """When it is looked at next; None where never."""
    words: int = 0
    """How many words for a person who has to act were written for the log."""


@dataclass(frozen=True, slots=True)
class Word:
    """One word that was written for the pager; `within` is the key of the summary sent in its place."""

    key: str
    incident: UUID | None
    within: str | None
    urgent: bool
    """Whether a person has to act."""


@dataclass(frozen=True, slots=True)
class Takeover:
    """An incident went from one worker to another without being given up."""

    incident: UUID
    old: UUID
    new: UUID
    at: float
    silent_s: float | None
    """How old the last heartbeat of the old one was."""


Episode = tuple[str, datetime]
"""A fingerprint, and when it began by its sender."""


@dataclass(frozen=True, slots=True)
class Membership:
    """An episode of an alert, as the fold has it, in an incident of a rule."""

    incident: UUID
    rule: str
    starts_at: datetime
    ends_at: datetime | None

    def covers(self, at: datetime) -> bool:
        """Whether it fired then: of two beginnings without an end between them the earlier one counts."""
        return self.starts_at <= at and (self.ends_at is None or at <= self.ends_at)


@dataclass(frozen=True, slots=True)
class Start:
    """A disruptive start that spent its budgets, in service time."""

    attempt: UUID
    incident: UUID
    at: float
    target: str
    namespace: str


@dataclass(frozen=True, slots=True)
class Records:
    """What is left."""

    attempts: Sequence[Attempted] = ()
    effects: Sequence[Effect] = ()
    """Of all targets; an element of a PostgreSQL is named as the ledger names it."""
    ended: frozenset[tuple[UUID, str]] = frozenset()
    """Attempts and elements whose effect the target itself confirms."""
    firing: Mapping[Episode, datetime] = field(default_factory=dict)
    """When each was first received as firing, in service time."""
    resolved: Mapping[Episode, datetime] = field(default_factory=dict)
    """When each was first received as resolved."""
    members: Mapping[str, Sequence[Membership]] = field(default_factory=dict)
    """The incidents of each fingerprint."""
    incidents: Sequence[Standing] = ()
    words: Sequence[Word] = ()
    """In the order in which they were written, of each incident."""
    heard: Sequence[Heard] = ()
    """What the pager took, in the order in which it did."""
    claims: Mapping[str, tuple[bool, UUID]] = field(default_factory=dict)
    """Each held target: whether it is quarantined, and by which incident."""
    takeovers: Sequence[Takeover] = ()
    starts: Sequence[Start] = ()
    """In their order."""
    pids: Mapping[UUID, int] = field(default_factory=dict)
    """The process of each worker."""


async def at_rest(dsn: str, states: frozenset[str]) -> bool:
    """Whether every incident is in one of these states, owned by nobody and not due, and every word told."""
    connection = await connect(dsn, name="chaos")
    try:
        rows = await connection.fetch("SELECT state, owner, due_at <= service_time() AS due FROM incidents")
        if await connection.fetchval("SELECT EXISTS (SELECT FROM outbox WHERE delivered_at IS NULL)"):
            return False
        return all(row["state"] in states and not row["owner"] and not row["due"] for row in rows)
    finally:
        await connection.close()


async def read(dsn: str, effects: Sequence[Effect], seen: Seen, heard: Sequence[Heard] = ()) -> Records:
    """Read it all in one snapshot, and join it with what the targets and the pager recorded."""
    connection = await connect(dsn, name="chaos")
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            return await _read(connection, effects, seen, heard)
    finally:
        await connection.close()


async def _read(
    connection: Connection, effects: Sequence[Effect], seen: Seen, pager: Sequence[Heard]
) -> Records:
    rows = await connection.fetch(_ATTEMPTS)
    sessions = {
        (row["id"], _session(one["facts"])): one["key"]
        for row in rows
        for one in row["elements"]
        if "pid" in one["facts"]
    }
    stuck = [
        Effect(
            one.attempt,
            sessions.get((one.attempt, one.session), str(one.session)),
            *2 * (one.at.timestamp(),),
        )
        for one in seen.executed
    ]
    confirmed = {
        (one.attempt, sessions.get((one.attempt, one.session), ""))
        for one in seen.executed
        if any(ended.pid == one.pid and ended.at >= one.at for ended in seen.ended)
    }
    heard = await connection.fetch(_HEARD)
    return Records(
        attempts=[_attempt(row) for row in rows],
        effects=[*effects, *stuck],
        ended=frozenset(confirmed | {(one.attempt, one.element) for one in effects}),
        firing=_first(row for row in heard if row["ends_at"] is None),
        resolved=_first(row for row in heard if row["ends_at"] is not None),
        members=_by_fingerprint(await connection.fetch(_MEMBERS)),
        words=[Word(*row) for row in await connection.fetch(_WORDS)],
        heard=pager,
        incidents=[_standing(row) for row in await connection.fetch(_INCIDENTS)],
        claims={
            row["target"]: (row["quarantined"], row["incident_id"])
            for row in await connection.fetch("SELECT target, quarantined, incident_id FROM claims")
        },
        takeovers=[
            Takeover(
                row["incident"], row["old_owner"], row["new_owner"], row["at"].timestamp(), row["silent_s"]
            )
            for row in await connection.fetch("SELECT * FROM chaos.owners ORDER BY at")
        ],
        starts=[Start(*row) for row in await connection.fetch(_STARTS)],
        pids={
            row["worker"]: row["pid"]
            for row in await connection.fetch("SELECT worker, pid FROM chaos.workers")
        },
    )


def _attempt(row: asyncpg.Record) -> Attempted:
    return Attempted(
        id=row["id"],
        incident=row["incident"],
        target=row["target"],
        elements=frozenset(one["key"] for one in row["elements"]),
        results={one["element"]: one["outcome"] for one in row["results"]},
        outcome=row["outcome"],
        committed_at=row["committed_at"],
        start_before=row["start_before"],
        timeout_s=row["timeout_s"],
        owners=row["owners"] or (),
        ats=row["ats"] or (),
        released_at=row["released_at"],
    )


def _standing(row: asyncpg.Record) -> Standing:
    told = row["told"] or ()
    return Standing(row["id"], row["rule"], row["state"], told, row["due_in_s"], row["words"])


def _session(facts: Mapping[str, Any]) -> tuple[int, datetime]:
    return (facts["pid"], datetime.fromisoformat(facts["backend_start"]))


def _first(rows: Any) -> Mapping[Episode, datetime]:
    found: dict[Episode, datetime] = {}
    for row in rows:
        episode = (row["fingerprint"], row["starts_at"])
        found[episode] = min(row["first"], found.get(episode, row["first"]))
    return found


def _by_fingerprint(rows: Sequence[asyncpg.Record]) -> Mapping[str, Sequence[Membership]]:
    found: dict[str, list[Membership]] = {}
    for row in rows:
        one = Membership(row["id"], row["rule"], row["starts_at"], row["ends_at"])
        found.setdefault(row["fingerprint"], []).append(one)
    return found
