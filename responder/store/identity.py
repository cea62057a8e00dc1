"""Who the store is: whether the database is the one that was acted on last, asked at each start and failover.

A restored backup has forgotten attempts, and what is forgotten would be done twice. Three things show it. A
dump restored into another server has another system identifier than it remembers. A recovery to a point in
time has another WAL timeline. A copy of files, and a dump restored where it came from, have neither, but are
behind the last line of the anchor file. Each of them halts everything, in words, beside what else halts. A
person who has looked ends that (`responder resume`), and is recorded there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

from responder.model.anchor import Anchor
from responder.model.restraint import RestraintKind
from responder.ports import NewRestraint
from responder.store import restraints
from responder.store.connection import Connection, connect, store_errors
from responder.store.startup import system_identifier

_WAL_TIMELINE = "SELECT ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int"
"""Not pg_control_checkpoint(): after a recovery that tells the old timeline until the first checkpoint."""

_REMEMBERED = """
SELECT system, wal_timeline, judged_anchor FROM store_identity
"""

_REMEMBER = """
INSERT INTO store_identity (system, wal_timeline, started_at, judged_anchor)
VALUES ($1, $2, service_time(), $3)
ON CONFLICT (only_row) DO UPDATE
SET system = $1, wal_timeline = $2, started_at = service_time(), judged_anchor = $3
"""

_ANCHORED = "SELECT encode(heads, 'hex') AS heads FROM anchors WHERE number = $1"

_LOST_HEAD = """
SELECT h.incident_id, h.length
FROM anchored_heads h LEFT JOIN timeline t ON t.incident_id = h.incident_id AND t.number = h.length
WHERE h.anchor <= $1 AND t.mac IS DISTINCT FROM h.head
LIMIT 1
"""

_LOCK = 0x7265_7370_6F6E_6403
"""The advisory lock under which one process at a time looks."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The PostgreSQL that carries the store."""

    system: str
    wal_timeline: int


async def identity_of(connection: Connection) -> Identity:
    """Who is connected.

    Raises:
        PermanentError: the role may not ask; says what to grant.
    """
    return Identity(await system_identifier(connection), await connection.fetchval(_WAL_TIMELINE))


async def remembered(connection: Connection) -> Identity | None:
    """Who carried the store when it was judged last; None where it never was."""
    row = await connection.fetchrow(_REMEMBERED)
    return None if row is None else Identity(row["system"], row["wal_timeline"])


async def halt_if_forgotten(dsn: str, last: Anchor | None) -> Sequence[str]:
    """Halt every replica where this store may have forgotten what was done; why, in words.

    `last` is the last line of the anchor file. What was told once is not told again at the next start: the
    halt stands until a person clears it.

    Raises:
        StoreAwayError: PostgreSQL does not answer.
    """
    connection = await connect(dsn, name="identity")
    try:
        with store_errors(connection):
            async with connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
                return await _judge(connection, last)
    finally:
        connection.terminate()


async def _judge(connection: Connection, last: Anchor | None) -> Sequence[str]:
    now = await identity_of(connection)
    row = await connection.fetchrow(_REMEMBERED)
    reasons: list[str] = []
    if row is not None:
        reasons += _moved(Identity(row["system"], row["wal_timeline"]), now, "at its last start")
    judged = row["judged_anchor"] if row is not None else None
    if last is not None and last.line != judged:
        behind = await _behind(connection, last, now)
        reasons += behind
        judged = last.line if behind else None
    if reasons:
        await _halt(connection, reasons)
    await connection.execute(_REMEMBER, now.system, now.wal_timeline, judged)
    return reasons


async def _halt(connection: Connection, reasons: Sequence[str]) -> None:
    why = (
        f"the store may have forgotten what was done: {'; '.join(reasons)}. "
        "Find out what was done that it does not know of, then: responder resume"
    )
    new = NewRestraint(RestraintKind.HALT, str(uuid4()), "responder", why)
    await restraints.halt(connection, new)


def _moved(then: Identity, now: Identity, when: str) -> Sequence[str]:
    if then.system != now.system:
        return [f"{when} it stood on another PostgreSQL ({then.system}, now {now.system})"]
    if then.wal_timeline != now.wal_timeline:
        change = f"WAL timeline {then.wal_timeline} {when}, now {now.wal_timeline}"
        return [f"its PostgreSQL was recovered or failed over ({change})"]
    return []


async def _behind(connection: Connection, last: Anchor, now: Identity) -> Sequence[str]:
    """A line counts here whatever its MAC says: who can write the file can halt without it too."""
    reasons = _moved(Identity(last.system, last.wal_timeline), now, "in the anchor file")
    lost = await _lost(connection, last)
    return [*reasons, lost] if lost is not None else reasons


async def _lost(connection: Connection, anchor: Anchor) -> str | None:
    told = f"anchor {anchor.number} in the file, of {anchor.at:%Y-%m-%d %H:%M:%S} UTC"
    heads = await connection.fetchval(_ANCHORED, anchor.number)
    if heads is None:
        return f"its timelines are behind {told}, which it does not know"
    if heads != anchor.heads:
        return f"its timelines went another way than {told}"
    lost = await connection.fetchrow(_LOST_HEAD, anchor.number)
    if lost is not None:
        return f"incident {lost['incident_id']} has lost entry {lost['length']}, which {told} covers"
    return None
