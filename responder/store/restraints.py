"""Halts, freezes and maintenance windows: the rows of `restraints`, the halt flag and the history of halts.

The flag is set while a halt over everything stands. Beside the rows it is there for two reasons: an older
version of this program knows nothing else, and where it is missing everything halts.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

import asyncpg
from pydantic import ValidationError

from responder.model.restraint import Restraint, RestraintKind, Restraints
from responder.ports import Added, NewRestraint
from responder.store.connection import Connection
from responder.store.storable import storable_json, storable_text

_COLUMNS = "id, kind, match, allow, actor, reason, since, until, ended_at"

STANDS = """
ended_at IS NULL
AND (until IS NULL OR until > CASE kind WHEN 'freeze' THEN wall_clock() ELSE service_time() END)
"""

STANDING = f"""
SELECT jsonb_agg(to_jsonb(s) ORDER BY s.id) FROM (SELECT {_COLUMNS} FROM restraints WHERE {STANDS}) s
"""
"""Every one that stands, and those that have yet to begin."""

STANDING_IDS = f"SELECT array_agg(id) FROM restraints WHERE {STANDS}"

MAINTENANCE = f"""
SELECT jsonb_agg(to_jsonb(s) ORDER BY s.id)
FROM (SELECT {_COLUMNS} FROM restraints WHERE kind = 'maintenance' AND {STANDS}) s
"""

FLAG = "(SELECT format('by %s: %s', actor, reason) FROM halt WHERE halted)"

FLAGGED = f"EXISTS (SELECT FROM halt) AS flagged, {FLAG} AS why"

_READ = f"SELECT wall_clock() AS wall, {FLAGGED}, ({STANDING}) AS restraints"

_ADD = f"""
INSERT INTO restraints (kind, key, match, allow, actor, reason, since, until)
VALUES ($1, $2, $3::text::jsonb, $4::text::jsonb, $5, $6, coalesce($7, service_time()),
        coalesce($8, service_time() + $9::interval))
ON CONFLICT (kind, key) DO NOTHING
RETURNING {_COLUMNS}
"""

_BY_KEY = f"SELECT {_COLUMNS} FROM restraints WHERE kind = $1 AND key = $2"

_END = f"""
UPDATE restraints SET ended_at = service_time(), ended_by = $4, end_reason = $5
WHERE kind = $1 AND (id = $2 OR key = $3) AND ended_at IS NULL
RETURNING {_COLUMNS}
"""

_KNOWN = f"SELECT {_COLUMNS} FROM restraints WHERE kind = $1 AND (id = $2 OR key = $3)"

_RESUME = f"""
UPDATE restraints SET ended_at = service_time(), ended_by = $2, end_reason = $3
WHERE kind = 'halt' AND ended_at IS NULL AND ($1::bigint[] IS NULL OR id = ANY ($1))
RETURNING {_COLUMNS}
"""

_WHOLE = "kind = 'halt' AND ended_at IS NULL AND match = '[]'"

_SET_FLAG = f"""
INSERT INTO halt (halted, actor, reason, since)
SELECT true, actor, reason, since FROM restraints WHERE {_WHOLE} ORDER BY id LIMIT 1
ON CONFLICT (only_row) DO UPDATE
SET halted = true, actor = excluded.actor, reason = excluded.reason, since = excluded.since
"""
"""The oldest halt over everything that stands; where none does, nothing is written."""

_CLEAR_FLAG = f"""
INSERT INTO halt (halted, actor, reason, since)
SELECT false, $1, $2, service_time() WHERE NOT EXISTS (SELECT FROM restraints WHERE {_WHOLE})
ON CONFLICT (only_row) DO UPDATE
SET halted = false, actor = excluded.actor, reason = excluded.reason, since = excluded.since
"""

_TELL = """
INSERT INTO halt_history (halted, actor, reason, at, restraint, match)
VALUES ($1, $2, $3, service_time(), $4, $5::text::jsonb)
"""

_LOCK_FLAG = "LOCK TABLE halt IN SHARE ROW EXCLUSIVE MODE"
"""One person halts or resumes at a time; whoever reads the flag waits for nobody."""

_WAKE_HELD = """
WITH held AS MATERIALIZED (
    SELECT id FROM incidents WHERE state = 'suppressed' AND progress->>'maintenance' = $1
    ORDER BY rule, key_hash FOR UPDATE
)
UPDATE incidents SET wakes = wakes + 1, due_at = least(due_at, service_time())
WHERE id IN (SELECT id FROM held)
"""

_WAKE_WAITING = """
WITH waiting AS MATERIALIZED (
    SELECT id FROM incidents WHERE state IN ('held', 'awaiting_approval')
    ORDER BY rule, key_hash FOR UPDATE
)
UPDATE incidents SET wakes = wakes + 1, due_at = least(due_at, service_time())
WHERE id IN (SELECT id FROM waiting)
"""
"""What waits is looked at at once when maintenance begins: it may be quiet from now on, and say so."""

_EXPIRE = """
UPDATE restraints SET ended_at = until, ended_by = 'responder', end_reason = 'its time was over'
WHERE ended_at IS NULL AND until < least(wall_clock(), service_time()) - $1::interval
"""

_CHANNEL = "responder_halt"
_AGAIN_S = 1.0
"""Seconds after which what stands is read although nobody told of a halt."""
_PATIENCE_S = 5.0


async def read(connection: Connection) -> Restraints:
    """Everything that stands now."""
    return as_restraints(await connection.fetchrow(_READ))


def as_restraints(row: asyncpg.Record | None) -> Restraints:
    """The columns `FLAGGED`, `wall` and `restraints`.

    A missing flag halts: nobody can say that acting is allowed. So does what this version cannot read.
    """
    if row is None:
        return Restraints(flag=_MISSING)
    known, unreadable = [], []
    for one in row["restraints"] or ():
        try:
            known.append(Restraint.model_validate(one))
        except ValidationError:
            unreadable.append(f"{one['kind']} {one['id']} cannot be read by this version")
    whole = any(one.kind is RestraintKind.HALT and not one.match for one in known)
    flag = None if whole else row["why"]
    return Restraints(
        flag=flag if row["flagged"] else _MISSING,
        unreadable="; ".join(unreadable) or None,
        standing=tuple(known),
        civil=row["wall"],
    )


_MISSING = "the halt flag is missing from the database"


def as_windows(rows: Sequence[Mapping[str, Any]] | None) -> tuple[Restraint, ...]:
    """Maintenance windows of a case. One that cannot be read keeps nothing quiet: steps halt, people hear."""
    windows = []
    for row in rows or ():
        try:
            windows.append(Restraint.model_validate(row))
        except ValidationError:
            continue
    return tuple(windows)


async def add(connection: Connection, new: NewRestraint) -> Added:
    """Add one; what has the same key already is answered as it is, and nothing is written."""
    key = storable_text(new.key)
    row = await connection.fetchrow(
        _ADD,
        new.kind.value,
        key,
        storable_json([matcher.model_dump(mode="json") for matcher in new.match]),
        storable_json([severity.value for severity in new.allow]),
        storable_text(new.actor),
        storable_text(new.reason),
        new.since,
        new.until,
        new.lasts,
    )
    if row is not None:
        if new.kind is RestraintKind.MAINTENANCE:
            await connection.execute(_WAKE_WAITING)
        return Added(Restraint.model_validate(dict(row)), new=True)
    known = await connection.fetchrow(_BY_KEY, new.kind.value, key)
    if known is None:
        raise AssertionError("a key that is taken has a row: none is ever removed")
    return Added(Restraint.model_validate(dict(known)), new=False)


async def halt(connection: Connection, new: NewRestraint) -> Restraint:
    """Add a halt, beside those that stand: none takes another's reason away."""
    await connection.execute(_LOCK_FLAG)
    added = await add(connection, new)
    if added.new:
        await connection.execute(_SET_FLAG)
        await _tell_history(connection, added.restraint, new.actor, new.reason, halted=True)
    return added.restraint


async def resume(
    connection: Connection, ids: Sequence[int] | None, actor: str, reason: str
) -> Sequence[Restraint]:
    """End halts, all of them without `ids`; the flag is cleared with the last one over everything.

    A flag that no halt stands behind is ended by the number 0, or with all.
    """
    who, why = storable_text(actor), storable_text(reason)
    await connection.execute(_LOCK_FLAG)
    rows = await connection.fetch(_RESUME, None if ids is None else list(ids), who, why)
    ended = [Restraint.model_validate(dict(row)) for row in rows]
    if ids is None or 0 in ids or any(not one.match for one in ended):
        await connection.execute(_CLEAR_FLAG, who, why)
        await connection.execute(_SET_FLAG)
    for one in ended:
        await _tell_history(connection, one, who, why, halted=False)
    if not ended:
        await _tell_history(connection, None, who, why, halted=False)
    return ended


async def known(connection: Connection, kind: RestraintKind, which: int | str) -> Restraint | None:
    """One by its number or its key, ended or not."""
    number, key = (which, None) if isinstance(which, int) else (None, storable_text(which))
    row = await connection.fetchrow(_KNOWN, kind.value, number, key)
    return None if row is None else Restraint.model_validate(dict(row))


async def end(
    connection: Connection, kind: RestraintKind, which: int | str, actor: str, reason: str
) -> Restraint | None:
    """End a freeze or a maintenance window by its number or its key; None where there is none.

    One that has ended already stays as it is: whoever asks may ask again.
    """
    number, key = (which, None) if isinstance(which, int) else (None, storable_text(which))
    who, why = storable_text(actor), storable_text(reason)
    row = await connection.fetchrow(_END, kind.value, number, key, who, why)
    if row is None:
        return await known(connection, kind, which)
    ended = Restraint.model_validate(dict(row))
    if kind is RestraintKind.MAINTENANCE:
        await connection.execute(_WAKE_HELD, ended.name)
    return ended


async def expire(connection: Connection, after: timedelta) -> None:
    """Mark those as ended whose time has been over for a while, so that nobody reads them any more."""
    await connection.execute(_EXPIRE, after)


async def follow(connection: Connection, told: Callable[[Restraints], None]) -> None:
    """Tell what stands, now and whenever somebody halts or resumes; and every second, should a word be lost.

    The connection is nobody else's. Ends only by an error, or when it is cancelled.
    """
    news = asyncio.Event()

    def heard(*_: object) -> None:
        news.set()

    await connection.add_listener(_CHANNEL, heard)
    while True:
        news.clear()
        async with asyncio.timeout(_PATIENCE_S):
            told(await read(connection))
        with suppress(TimeoutError):
            async with asyncio.timeout(_AGAIN_S):
                await news.wait()


async def _tell_history(
    connection: Connection, one: Restraint | None, actor: str, reason: str, *, halted: bool
) -> None:
    match = None if one is None else storable_json([matcher.model_dump(mode="json") for matcher in one.match])
    number = None if one is None else one.id
    await connection.execute(_TELL, halted, storable_text(actor), storable_text(reason), number, match)
    await connection.execute("SELECT pg_notify($1, '')", _CHANNEL)
