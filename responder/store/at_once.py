"""Intake in one statement: what nearly everything is that a source sends; see migration 0008.

Each transaction of several statements costs a round trip for each of them, during which everything waits that
came meanwhile. Nearly all deliveries need only this one. Texts go as lines: asyncpg looks at each element of
an array twice, at length, which would cost more than all the rest of sending them.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from responder.decide.clock import LEAST_JUMP
from responder.model.alert import Heard, Standing
from responder.ports import IncidentKey, NewIncident, Numbered, Taken, Wanted
from responder.store.connection import Connection
from responder.store.openings import NEWS_WITHIN

_TAKE_IN = """
SELECT due, opened, concerned, left_over
FROM take_in($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
             $22, $23, $24)
"""
_BREAK = "\n"
_PLAIN = (Standing.FIRING, Standing.RESOLVED)


async def take_in(
    connection: Connection,
    source: str,
    said: Mapping[str, Sequence[Numbered]],
    wanted: Wanted,
    expected: datetime,
) -> Taken:
    """See `ports.Store.take_in`. All is left where service time is not the `expected` one."""
    prints = sorted(name for name, told in said.items() if _speaks_plainly(told[-1][1]))
    left = said.keys() - prints
    incidents = _numbered(wanted)
    belonging = [wanted.get(name, ()) for name in prints]
    [row] = await connection.fetch(
        _TAKE_IN,
        source,
        *_told(prints, [said[name] for name in prints]),
        *_belonging(belonging, incidents),
        *_incidents(incidents),
        NEWS_WITHIN,
        expected,
        LEAST_JUMP / 2,
        *_further(belonging, incidents),
    )
    news = [new for _, new in incidents.values()]
    return Taken(
        incidents=tuple(row["concerned"]),
        opened=tuple(news[number - 1] for number in row["opened"]),
        due=row["due"],
        left_over=frozenset(left) | {prints[number - 1] for number in row["left_over"]},
    )


def _speaks_plainly(one: Heard) -> bool:
    """Whether it is the word of a notification, and each of its texts is a line."""
    return one.alert.standing in _PLAIN and _BREAK not in one.alert.generator_url


def _lines(texts: Iterable[str]) -> str:
    return _BREAK.join(texts)


def _told(prints: Sequence[str], told: Sequence[Sequence[Numbered]]) -> tuple[Any, ...]:
    """What is said of each alert, and by which deliveries."""
    said = [one[-1][1] for one in told]
    return (
        _lines(prints),
        [one.alert.standing is Standing.FIRING for one in said],
        b"".join([one.content_hash for one in said]),
        _lines([one.starts_at for one in said]),
        _lines([one.ends_at for one in said]),
        _lines([one.labels for one in said]),
        _lines([one.annotations for one in said]),
        _lines([one.alert.generator_url for one in said]),
        [one[-1][0] for one in told],
        _lines([" ".join([str(number) for number, _ in one[:-1]]) for one in told]),
    )


_Incidents = Mapping[IncidentKey, tuple[int, NewIncident]]


def _numbered(wanted: Wanted) -> _Incidents:
    """The incidents that are wanted, each by the worst of its alerts, in lock order, and numbers from 1."""
    every = [new for each in wanted.values() for new in each]
    worst_last = sorted(every, key=lambda new: new.severity, reverse=True)
    groups = {new.identity: new for new in worst_last}
    return {key: (number, groups[key]) for number, key in enumerate(sorted(groups), 1)}


def _belonging(wanted: Sequence[Sequence[NewIncident]], incidents: _Incidents) -> tuple[Any, ...]:
    """For each alert which incident it belongs to by the first rule, and the severity that it brings."""
    return (
        [incidents[new[0].identity][0] if new else 0 for new in wanted],
        _lines([new[0].severity.value if new else "" for new in wanted]),
    )


def _further(wanted: Sequence[Sequence[NewIncident]], incidents: _Incidents) -> tuple[Any, ...]:
    """The same by each further rule that takes an alert: of which alert it is told, numbered from 1."""
    further = [(number, one) for number, new in enumerate(wanted, 1) for one in new[1:]]
    return (
        [number for number, _ in further],
        [incidents[one.identity][0] for _, one in further],
        _lines([one.severity.value for _, one in further]),
    )


def _incidents(incidents: _Incidents) -> tuple[Any, ...]:
    news = [new for _, new in incidents.values()]
    return (
        [rule for rule, _ in incidents],
        [key_hash for _, key_hash in incidents],
        [new.key_text for new in news],
        [new.pending_for for new in news],
        news[0].rulebook_hash if news else "",
    )
