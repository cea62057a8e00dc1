"""Intake in one statement: what fires and is new, or is told again in the same words; see migration 0007.

Each transaction of several statements costs a round trip for each of them, during which everything waits that
came meanwhile. Nearly all deliveries need only this one.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from responder.decide.clock import LEAST_JUMP
from responder.model.alert import AlertKey, Heard
from responder.model.base import canonical_json
from responder.ports import NewIncident, Taken
from responder.store.connection import Connection
from responder.store.ids import uuid7_now
from responder.store.openings import NEWS_WITHIN, IncidentKey, key_of

_HEAR = """
SELECT due, opened, concerned
FROM hear($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
"""

_Said = tuple[AlertKey, tuple[int, Heard]]


async def hear(
    connection: Connection,
    said: Mapping[AlertKey, tuple[int, Heard]],
    wanted: Mapping[AlertKey, NewIncident],
    expected: datetime,
) -> Taken | None:
    """Store alerts of one source, all firing. None where more is said of any of them: nothing is kept.

    So it is where service time is not the `expected` one: a clock may have jumped.
    """
    ordered = sorted(said.items())
    groups = {key_of(new): new for new in wanted.values()}
    keys = sorted(groups)
    number = {key: n for n, key in enumerate(keys, 1)}
    ids = [uuid7_now() for _ in keys]
    row = await connection.fetchrow(
        _HEAR,
        ordered[0][0].source,
        *_rows(ordered),
        *_wanted(ordered, wanted, number),
        ids,
        *_incidents(keys, groups),
        next((new.rulebook_hash for new in groups.values()), ""),
        NEWS_WITHIN,
        expected,
        LEAST_JUMP / 2,
    )
    if row is None or row["due"] is None:
        return None
    opened = [groups[keys[ids.index(one)]] for one in row["opened"]]
    return Taken(incidents=tuple(row["concerned"] or ()), opened=tuple(opened), due=row["due"])


def _rows(ordered: Sequence[_Said]) -> tuple[list[Any], ...]:
    return (
        [key.fingerprint for key, _ in ordered],
        [number for _, (number, _) in ordered],
        [one.content_hash for _, (_, one) in ordered],
        [one.alert.starts_at for _, (_, one) in ordered],
        [one.labels for _, (_, one) in ordered],
        [one.annotations for _, (_, one) in ordered],
        [one.alert.generator_url for _, (_, one) in ordered],
    )


def _wanted(
    ordered: Sequence[_Said], wanted: Mapping[AlertKey, NewIncident], number: Mapping[IncidentKey, int]
) -> tuple[list[Any], ...]:
    """For each alert the severity that it brings, and which of the incidents it belongs to."""
    each = [wanted.get(key) for key, _ in ordered]
    return (
        [new.severity.value if new else None for new in each],
        [number[key_of(new)] if new else None for new in each],
    )


def _incidents(
    keys: Sequence[IncidentKey], groups: Mapping[IncidentKey, NewIncident]
) -> tuple[list[Any], ...]:
    waits: list[timedelta] = [groups[key].pending_for for key in keys]
    return (
        [rule for rule, _ in keys],
        [key_hash for _, key_hash in keys],
        [canonical_json(dict(groups[key].key)) for key in keys],
        waits,
    )
