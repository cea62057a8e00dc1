"""Sessions of a PostgreSQL server: how they are read, and which of them nobody here may touch.

What is done with them stands in `postgres`. Nothing here changes anything.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from responder.actions.statements import is_backup, is_maintenance, normalised, shortened
from responder.clients.postgres import APPLICATION_NAME, PostgresServers
from responder.decide.opt_out import opt_out_holds
from responder.model.base import Frozen
from responder.model.duration import format_duration
from responder.model.target import Element, State

LOOK_TIMEOUT = timedelta(seconds=10)
"""How long a look may take at the server."""
_SESSION_LIMIT = 100_000
"""More rows of pg_stat_activity than any server has."""
_TITLE_LENGTH = 120

_SESSIONS = """
WITH activity AS MATERIALIZED (
    SELECT a.*,
           CASE WHEN a.wait_event_type = 'Lock' THEN pg_blocking_pids(a.pid) ELSE '{}' END AS blocked_by,
           clock_timestamp() - CASE WHEN a.state = 'active' THEN a.query_start ELSE a.state_change END AS age
      FROM pg_stat_activity AS a
), upkeep AS MATERIALIZED (
    SELECT pid FROM pg_stat_progress_vacuum
    UNION ALL SELECT pid FROM pg_stat_progress_analyze
    UNION ALL SELECT pid FROM pg_stat_progress_create_index
    UNION ALL SELECT pid FROM pg_stat_progress_cluster
), me AS MATERIALIZED (
    SELECT rolsuper AS super, pg_has_role('pg_signal_backend', 'USAGE') AS signals
      FROM pg_roles WHERE rolname = current_user
)
SELECT a.pid, a.backend_start, a.backend_type, a.usename AS "user", a.datname AS database,
       a.application_name AS application, host(a.client_addr) AS client, a.state, a.query_start, a.xact_start,
       extract(epoch FROM a.age)::float8 AS age_s, left(a.query, 20000) AS query, a.blocked_by,
       concat_ws(': ', a.wait_event_type, a.wait_event) AS waits_for,
       a.pid = pg_backend_pid() AS own,
       a.pid IN (SELECT pid FROM upkeep) AS upkeep,
       substring(shobj_description(a.datid, 'pg_database') FROM 'responder/opt-out[: ]*([^\\n]*)')
           AS opted_out,
       now() AS at,
       me.super OR (NOT coalesce(r.rolsuper, true) AND (me.signals OR pg_has_role(a.usesysid, 'USAGE')))
           AS may_signal
  FROM activity AS a
 CROSS JOIN me
  LEFT JOIN pg_roles AS r ON r.oid = a.usesysid
"""
"""Every session with what the choice needs. `blocked_by` is asked only of those that wait for a lock, because
the answer costs the server its lock manager's attention. A session that our role may not see has no
`backend_start`."""

_CLIENTS = """
 WHERE a.datid IS NOT NULL AND coalesce(a.backend_type, 'client backend') = 'client backend'
"""
_MATCHING = """
 WHERE a.datid IS NOT NULL
   AND coalesce(a.backend_type, '') <> 'parallel worker'
   AND ($1::text IS NULL OR a.datname = $1)
   AND ($2::text IS NULL OR a.usename = $2)
   AND ($3::text IS NULL OR a.application_name = $3)
   AND (a.backend_start IS NULL OR (
           a.state = $4
       AND a.age > $5::interval
       AND ($6::text IS NULL OR a.query ILIKE $6)
       AND (NOT $7::boolean OR (
               a.blocked_by = '{}' AND a.pid IN (SELECT unnest(b.blocked_by) FROM activity AS b)))))
"""
_SERVER = """
SELECT pg_is_in_recovery() AS in_recovery, current_setting('max_connections')::int AS max_connections,
       (SELECT substring(shobj_description(oid, 'pg_database') FROM 'responder/opt-out[: ]*([^\\n]*)')
          FROM pg_database WHERE datname = $1) AS opted_out
"""

_BACKUP_APPLICATIONS = (
    "pg_dump",  # pg_dumpall too
    "pg_restore",
    "pg_basebackup",
    "pg_receivewal",
    "pg_recvlogical",
    "pgbackrest",
    "barman",
    "wal-g",
)
_UPKEEP_APPLICATIONS = ("vacuumdb", "reindexdb", "clusterdb", "pg_repack", "pg_squeeze")


class Protected(StrEnum):
    """Why a session is spared although the parameters would choose it."""

    RESPONDER = "the responder itself"
    REPLICATION = "replication"
    SERVER = "server processes"
    OPTED_OUT = "opted out"
    BACKUP = "backups"
    MAINTENANCE = "maintenance"


class Session(Frozen):
    """One session as the look saw it. `query` is without literals; ages are by the server's clock."""

    pid: int
    backend_start: datetime
    user: str | None
    database: str | None
    application: str
    client: str | None
    """The address of the client; None on a local socket."""
    state: str | None
    query_start: datetime | None
    xact_start: datetime | None
    age_s: float | None
    """How long it has been in its state: for `active` since the query began."""
    waits_for: str
    blocked_by: tuple[int, ...]
    query: str
    may_signal: bool
    """Whether our role may cancel or terminate it."""

    @property
    def key(self) -> str:
        """A pid comes again; with the start of its backend it never does."""
        return f"{self.pid}@{self.backend_start.isoformat()}"

    @property
    def title(self) -> str:
        """For people."""
        age = format_duration(timedelta(seconds=int(self.age_s or 0)))
        whose = f"{self.user} on {self.database}" + (f" by {self.application}" if self.application else "")
        return f"pid {self.pid} ({whose}), {self.state} for {age}: {shortened(self.query, _TITLE_LENGTH)}"


class Fence(Frozen):
    """What pins a session and what it does: its next query has another `query_start`."""

    pid: int
    backend_start: datetime
    state: str | None
    query_start: datetime | None


class Choice(Frozen):
    """Which sessions are wanted; None does not choose."""

    database: str | None
    user: str | None
    application: str | None
    state: str
    older_than: timedelta
    query: str | None
    blocking: bool
    include: frozenset[Protected]
    """Protected sessions that the rule names and therefore may have."""


class MatchingSessions(State):
    """The sessions that the parameters choose and that may be touched; never truncated."""

    sessions: tuple[Session, ...]
    spared: dict[Protected, int]
    """How many would have been chosen but are protected, by reason."""
    hidden: int
    """How many sessions our role may not see: they cannot be judged."""
    in_recovery: bool

    @property
    def summary(self) -> str:
        """How many, the oldest, and who was spared."""
        count = len(self.sessions)
        parts = [f"{count} session fits" if count == 1 else f"{count} sessions fit"]
        if self.sessions:
            oldest = max(self.sessions, key=lambda session: session.age_s or 0)
            parts.append(f"the oldest: {oldest.title}")
        if self.spared:
            told = ", ".join(f"{amount} {reason.value}" for reason, amount in sorted(self.spared.items()))
            parts.append(f"spared: {told}")
        if self.hidden:
            parts.append(f"{self.hidden} may not be seen")
        return "; ".join(parts)


async def all_clients(servers: PostgresServers, name: str) -> tuple[tuple[Session, ...], int]:
    """Every client's session but our own, and how many our role may not see."""
    rows = await servers.fetch_read_only(name, _SESSIONS + _CLIENTS, LOOK_TIMEOUT, (), _SESSION_LIMIT)
    seen = tuple(_session(row) for row in rows if row["backend_start"] is not None and not row["own"])
    return seen, sum(1 for row in rows if row["backend_start"] is None)


async def matching(servers: PostgresServers, name: str, choice: Choice) -> MatchingSessions:
    """The sessions that fit, judged one by one."""
    values = (
        choice.database,
        choice.user,
        choice.application,
        choice.state,
        choice.older_than,
        choice.query,
        choice.blocking,
    )
    server = await server_facts(servers, name, choice.database)
    rows = await servers.fetch_read_only(name, _SESSIONS + _MATCHING, LOOK_TIMEOUT, values, _SESSION_LIMIT)
    seen = [row for row in rows if row["backend_start"] is not None]
    judged = [(row, _spared(row, choice)) for row in seen]
    reasons = [reason for _, reason in judged if reason is not None]
    return MatchingSessions(
        ground=await servers.ground(name),
        opted_out=_reason(server["opted_out"]),
        sessions=tuple(_session(row) for row, reason in judged if reason is None),
        spared={reason: reasons.count(reason) for reason in sorted(set(reasons))},
        hidden=len(rows) - len(seen),
        in_recovery=server["in_recovery"],
    )


async def server_facts(servers: PostgresServers, name: str, database: str | None) -> Mapping[str, Any]:
    """`in_recovery`, `max_connections`, and the database's mark `opted_out`."""
    rows = await servers.fetch_read_only(name, _SERVER, LOOK_TIMEOUT, (database,))
    return rows[0]


def element(session: Session) -> Element:
    """The session as something that an effect hits."""
    fence = Fence.model_validate(session.model_dump(include=set(Fence.model_fields)))
    return Element(key=session.key, title=session.title, facts=fence.model_dump(mode="json"))


def protected(row: Mapping[str, Any]) -> Protected | None:
    """Why nobody may touch a session (a row of the look), or None."""
    application = (row["application"] or "").lower()
    query = normalised(row["query"] or "")
    if row["own"] or application.startswith(APPLICATION_NAME):
        return Protected.RESPONDER
    if row["backend_type"] != "client backend":
        return Protected.REPLICATION if row["backend_type"] == "walsender" else Protected.SERVER
    if row["opted_out"] is not None and opt_out_holds(row["opted_out"], row["at"]):
        return Protected.OPTED_OUT
    if application.startswith(_BACKUP_APPLICATIONS) or is_backup(query):
        return Protected.BACKUP
    if row["upkeep"] or application.startswith(_UPKEEP_APPLICATIONS) or is_maintenance(query):
        return Protected.MAINTENANCE
    return None


def waiting_for(sessions: Sequence[Session]) -> Mapping[int, frozenset[int]]:
    """Who waits, directly or behind others, for each session that blocks without being blocked itself.

    Pid 0 stands for a prepared transaction, which has no session. In a circle nobody is free; there the
    lowest pid stands for all.
    """
    behind: dict[int, set[int]] = {}
    for session in sessions:
        for blocker in session.blocked_by:
            behind.setdefault(blocker, set()).add(session.pid)
    blocked = {session.pid for session in sessions if session.blocked_by}
    waiting = {pid: _reachable(pid, behind) for pid in sorted(set(behind) - blocked)}
    rest = blocked.difference(*waiting.values())
    while rest:
        first = min(rest & behind.keys(), default=min(rest))
        waiting[first] = _reachable(first, behind) - {first}
        rest -= waiting[first] | {first}
    return waiting


def _reachable(start: int, behind: Mapping[int, set[int]]) -> frozenset[int]:
    found: set[int] = set()
    todo = [start]
    while todo:
        fresh = behind.get(todo.pop(), set()) - found
        found |= fresh
        todo.extend(fresh)
    return frozenset(found)


def _spared(row: Mapping[str, Any], choice: Choice) -> Protected | None:
    reason = protected(row)
    return None if reason in choice.include else reason


def _session(row: Mapping[str, Any]) -> Session:
    known = {name: row[name] for name in Session.model_fields if name != "query"}
    return Session(**known, query=shortened(normalised(row["query"] or "")))


def _reason(mark: str | None) -> str | None:
    """The words of an opt-out mark; a mark without words is one too."""
    return None if mark is None else (mark.strip() or "no reason given")
