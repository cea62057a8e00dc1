"""How a violation came about: the timeline of its incident, its attempts, the effects, the faults."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from uuid import UUID

from responder.store.connection import connect
from tests.chaos.faults import Fault
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
