"""The tables `anchors` and `anchored_heads`: taking the global anchor, and checking lines of a file.

What an anchor is and what it proves stands in `model.anchor`.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import asyncpg

from responder.model.anchor import (
    NOTHING_ANCHORED,
    Anchor,
    AnchorCheck,
    AnchoredHead,
    chained,
    is_sealed,
    read_anchor,
    sealed,
)
from responder.store.clock import ServiceClock
from responder.store.connection import Connection, Lane
from responder.store.identity import identity_of
from responder.store.timeline import TimelineKeys
from responder.store.transaction import transaction

_LOCK = 0x7265_7370_6F6E_6402
"""The advisory lock that orders the anchors of all processes."""

_LAST = "SELECT number, incidents, entries, heads FROM anchors ORDER BY number DESC LIMIT 1"

_NEW_HEADS = """
SELECT i.id AS incident_id, i.timeline_length AS length, i.timeline_head AS head,
       coalesce(a.length, 0) AS before
FROM incidents i
LEFT JOIN (SELECT incident_id, max(length) AS length FROM anchored_heads GROUP BY incident_id) a
     ON a.incident_id = i.id
WHERE i.timeline_length > coalesce(a.length, 0)
"""

_WRITE = "INSERT INTO anchors (number, at, incidents, entries, heads) VALUES ($1, $2, $3, $4, $5)"

_WRITE_HEADS = """
INSERT INTO anchored_heads (anchor, incident_id, length, head)
SELECT $1, incident_id, length, head
FROM unnest($2::uuid[], $3::int[], $4::bytea[]) AS r (incident_id, length, head)
"""

_ANCHORS = "SELECT number FROM anchors ORDER BY number"

_HEADS = """
SELECT h.anchor, h.incident_id, h.length, h.head, t.mac
FROM anchored_heads h LEFT JOIN timeline t ON t.incident_id = h.incident_id AND t.number = h.length
ORDER BY h.anchor, h.incident_id
"""
_PIECE = 1000
"""Rows that are read at once."""
_NAMED = 3
"""How many incidents a text names; it counts the others."""


@dataclass(frozen=True, slots=True)
class _Known:
    """One anchor by the database: its hash computed anew, and what is wrong with heads up to it."""

    heads: str
    lost: Sequence[str]


@dataclass(slots=True)
class _Walk:
    """The anchors in their order, each computed from the one before."""

    previous: bytes = NOTHING_ANCHORED
    lost: list[str] = field(default_factory=list)
    known: dict[int, _Known] = field(default_factory=dict)

    def add(self, number: int, rows: Sequence[tuple[AnchoredHead, bytes | None]]) -> None:
        """One anchor with the heads that were new in it."""
        self.previous = chained(self.previous, [head for head, _ in rows])
        self.lost += [_lost(head, mac) for head, mac in rows if mac != head.head]
        self.known[number] = _Known(self.previous.hex(), tuple(self.lost))


class Anchors:
    """Takes and checks the global anchor."""

    def __init__(self, lane: Lane, keys: TimelineKeys, clock: ServiceClock) -> None:
        self._lane = lane
        self._keys = keys
        self._clock = clock

    async def take(self, after: int) -> Anchor:
        """Anchor all heads as they stand now. Its number is larger than `after`, and than all before.

        The database has it before the file does: a line that the database does not know is never ours.
        """
        async with transaction(self._lane) as connection:
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
            last = await connection.fetchrow(_LAST)
            rows = await connection.fetch(_NEW_HEADS)
            new = [_head(row) for row in rows]
            identity = await identity_of(connection)
            anchor = Anchor(
                number=max(after, last["number"] if last else 0) + 1,
                at=await self._clock.now(connection),
                system=identity.system,
                wal_timeline=identity.wal_timeline,
                incidents=(last["incidents"] if last else 0) + sum(1 for row in rows if row["before"] == 0),
                entries=(last["entries"] if last else 0) + sum(row["length"] - row["before"] for row in rows),
                heads=chained(last["heads"] if last else NOTHING_ANCHORED, new).hex(),
                key_id=self._keys.current,
            )
            await _write(connection, anchor, new)
        return sealed(anchor, self._keys.keys[self._keys.current])

    async def check(self, lines: Sequence[str]) -> Sequence[AnchorCheck]:
        """What each line says of the timelines as they are now."""
        async with self._lane.connection() as connection:
            known = await _known(connection)
        return [_checked(number, line, known, self._keys.keys) for number, line in enumerate(lines, start=1)]


async def _write(connection: Connection, anchor: Anchor, new: Sequence[AnchoredHead]) -> None:
    heads = bytes.fromhex(anchor.heads)
    await connection.execute(_WRITE, anchor.number, anchor.at, anchor.incidents, anchor.entries, heads)
    await connection.execute(
        _WRITE_HEADS,
        anchor.number,
        [head.incident_id for head in new],
        [head.length for head in new],
        [head.head for head in new],
    )


async def _known(connection: Connection) -> Mapping[int, _Known]:
    """Every anchor of the database, computed from the heads that it names."""
    walk, new = _Walk(), list[tuple[AnchoredHead, bytes | None]]()
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        numbers = deque(row["number"] for row in await connection.fetch(_ANCHORS))
        async for row in connection.cursor(_HEADS, prefetch=_PIECE):
            while numbers[0] != row["anchor"]:
                walk.add(numbers.popleft(), new)
                new = []
            new.append((_head(row), row["mac"]))
    for number in numbers:
        walk.add(number, new)
        new = []
    return walk.known


def _checked(number: int, line: str, known: Mapping[int, _Known], keys: Mapping[str, bytes]) -> AnchorCheck:
    anchor = read_anchor(line)
    if anchor is None:
        return AnchorCheck(line=number, number=None, holds=False, text="this is no line of an anchor file")
    unproven = _unproven(anchor, keys)
    lost = _lost_since(anchor, known)
    when = f"anchor {anchor.number} of {anchor.at:%Y-%m-%d %H:%M:%S}"
    problems = [problem for problem in (unproven, lost) if problem is not None]
    good = f"{anchor.entries} entries of {anchor.incidents} incidents hold"
    return AnchorCheck(
        line=number,
        number=anchor.number,
        holds=not problems,
        behind=lost is not None,
        text=f"{when}: {'; '.join(problems) or good}",
    )


def _unproven(anchor: Anchor, keys: Mapping[str, bytes]) -> str | None:
    key = keys.get(anchor.key_id)
    if key is None:
        return f"it was written under the unknown key {anchor.key_id!r}"
    return None if is_sealed(anchor, key) else "the line was changed, or is another responder's"


def _lost_since(anchor: Anchor, known: Mapping[int, _Known]) -> str | None:
    """What the store has lost, or holds otherwise, since that anchor was written; in words."""
    there = known.get(anchor.number)
    if there is None:
        newest = max(known, default=0)
        if newest < anchor.number:
            return f"the timelines are behind it: the database knows anchors up to {newest} only"
        return "the database does not know it: its timelines went another way"
    if there.heads != anchor.heads:
        return "the heads that the database names for it are not those of then"
    if there.lost:
        more = f" and {len(there.lost) - _NAMED} more" if len(there.lost) > _NAMED else ""
        return f"{'; '.join(there.lost[:_NAMED])}{more}"
    return None


def _head(row: asyncpg.Record) -> AnchoredHead:
    return AnchoredHead(incident_id=row["incident_id"], length=row["length"], head=row["head"])


def _lost(head: AnchoredHead, mac: bytes | None) -> str:
    if mac is None:
        return f"incident {head.incident_id} had {head.length} entries, the last of them is missing"
    return f"entry {head.length} of incident {head.incident_id} is not the one of then"
