"""Rows of the journal as they are told line by line: read, and put together by the moment of hearing."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from pydantic_core import from_json

from responder.model.alert import Alert, Observation, Standing

Moment = tuple[datetime, list[Observation]]
"""What was heard at one moment: a transaction of intake or a part of one."""

_STANDINGS = {standing.value: standing for standing in Standing}


def read_rows(lines: Iterable[str]) -> list[Observation]:
    """The rows of some lines, in their order."""
    rows: list[list[Any]] = from_json(f"[{','.join(lines)}]")
    return [_row(*row) for row in rows]


def _row(
    received_at: str,
    source: str,
    fingerprint: str,
    standing: str,
    starts_at: str,
    ends_at: str | None,
    labels: dict[str, str],
    annotations: dict[str, str],
    url: str,
    digest: str,
) -> Observation:
    ends = None if ends_at is None else _at(ends_at)
    alert = Alert(fingerprint, labels, annotations, _STANDINGS[standing], _at(starts_at), ends, url)
    return Observation(source, alert, _at(received_at), bytes.fromhex(digest))


_at = datetime.fromisoformat


def moments(rows: Iterable[Observation]) -> Iterator[Moment]:
    """Rows in their order, those of one moment together."""
    together: list[Observation] = []
    for row in rows:
        if together and row.received_at != together[0].received_at:
            yield together[0].received_at, together
            together = []
        together.append(row)
    if together:
        yield together[0].received_at, together
