"""How a violation came about: its incident's timeline, attempts and effects, what was heard, the faults."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from uuid import UUID

from responder.store.connection import connect
from tests.chaos.faults import Fault, Kind
from tests.chaos.records import Attempted, Records


async def story(dsn: str, incident: UUID, left: Records, faults: Sequence[Fault]) -> str:
    """All of it in the order of the clock, for whoever reads a failure."""
    attempts = [attempt for attempt in left.attempts if attempt.incident == incident]
    lines = [*await _timeline(dsn, incident)]
    for attempt in attempts:
        lines += _attempt(attempt, left)
    lines += [
        (
            one.at,
            f"taken over by pid {left.pids.get(one.new)} from pid {left.pids.get(one.old)}",
        )
        for one in left.takeovers
        if one.incident == incident
    ]
    if lines:
        first, last = min(at for at, _ in lines), max(at for at, _ in lines)
        lines += [
            (
                fault.began,
                f"FAULT {fault.kind}, pid {fault.pid}, {fault.ended - fault.began:.1f} s {fault.what}",
            )
            for fault in faults
            if first - 10 <= fault.began <= last + 10
        ]
    return "\n".join(f"  {_clock(at)} {text}" for at, text in sorted(lines))


async def heard_of(dsn: str, fingerprint: str, faults: Sequence[Fault]) -> str:
    """All that the store knows of one alert, and what the clock and the store went through meanwhile."""
    connection = await connect(dsn, name="chaos")
    try:
        tables = {
            "journal": "received_at, standing, starts_at, ends_at",
            "alerts": "generation, starts_at, newest_start, ends_at, last_end, seen_at, last_received_at",
            "members": "incident_id, generation, starts_at, ends_at, joined_at",
        }
        lines = []
        for table, columns in tables.items():
            query = f"SELECT {columns} FROM {table} WHERE fingerprint = $1 ORDER BY 1, 2"
            rows = await connection.fetch(query, fingerprint)
            lines += [
                f"  {table}: {', '.join(f'{name} {value}' for name, value in row.items())}" for row in rows
            ]
    finally:
        await connection.close()
    all_over = [fault for fault in faults if fault.kind in {Kind.CLOCK, Kind.CRASH_STORE, Kind.RESTART_STORE}]
    lines += [f"  {_clock(fault.began)} FAULT {fault.kind} {fault.what}" for fault in all_over]
    return "\n".join(lines)


async def _timeline(dsn: str, incident: UUID) -> Sequence[tuple[float, str]]:
    connection = await connect(dsn, name="chaos")
    try:
        rows = await connection.fetch(
            "SELECT at, kind, text FROM timeline WHERE incident_id = $1 ORDER BY number", incident
        )
    finally:
        await connection.close()
    return [(row["at"].timestamp(), f"{row['kind']}: {row['text']}") for row in rows]


def _attempt(attempt: Attempted, left: Records) -> Iterator[tuple[float, str]]:
    who = f"attempt {attempt.id} on {attempt.target}"
    if attempt.committed_at is not None:
        yield attempt.committed_at, f"{who}: intent committed, to start before {_clock(attempt.start_before)}"
    for owner, at in zip(attempt.owners, attempt.ats, strict=True):
        yield at, f"{who}: written by {owner} (pid {left.pids.get(owner) if owner else None})"
    if attempt.released_at is not None:
        yield attempt.released_at, f"{who}: target given back; it says {attempt.outcome}: {attempt.results}"
    for effect in left.effects:
        if effect.attempt == attempt.id:
            yield effect.called_at, f"{who}: CALLED for {effect.element}"
            yield effect.at, f"{who}: EFFECT on {effect.element}"


def _clock(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%H:%M:%S.%f}"[:-3]
