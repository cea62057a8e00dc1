"""A month of a journal, made: long alerts told again and again, alerts that flap for hours, and storms.

Of a million rows nearly all say again what is known, as in a real journal; 20,000 are of alerts that flap,
and 30,000 of six storms.
"""

import heapq
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from responder.model.alert import fingerprint

SINCE = datetime(2026, 10, 1, tzinfo=UTC)
SPAN = timedelta(days=30)
SERVERS = 50
_RESENT = timedelta(minutes=5)
_FLAPPING, _STORMS = 0.02, 6
_IN_STORMS = 0.03
_BURST = 60
"""Times that an alert begins in one burst of flapping."""
_TOLD_IN_A_STORM = 5
_FIRING = 1.2
"""So many alerts are needed for one that is told all the time: each is quiet now and then."""


class Row(NamedTuple):
    """One row of the journal, less its hash."""

    received_at: datetime
    fingerprint: str
    labels: dict[str, str]
    annotations: dict[str, str]
    fires: bool
    starts_at: datetime
    ends_at: datetime | None


def past(rows: int, seed: int = 1) -> Iterator[Row]:
    """About so many rows, in the order in which they were heard."""
    rnd = random.Random(seed)  # noqa: S311 - to be the same each time
    telling = int(rows * (1 - _FLAPPING - _IN_STORMS))
    alerts = max(1, int(telling * _FIRING * _RESENT / SPAN))
    streams = [_long(rnd, number) for number in range(alerts)]
    streams += [_flaps(rnd, number) for number in range(int(rows * _FLAPPING) // (2 * _BURST))]
    each = int(rows * _IN_STORMS) // (_STORMS * _TOLD_IN_A_STORM)
    for storm in range(_STORMS):
        began = SINCE + SPAN * (storm + 0.5) / _STORMS
        streams += [_in_a_storm(rnd, began, number) for number in range(each)]
    return heapq.merge(*streams, key=lambda row: row.received_at)


def _labels(kind: str, number: int) -> dict[str, str]:
    return {
        "alertname": kind,
        "cluster": "bench",
        "namespace": f"team-{number % 40}",
        "pod": f"service-{number % 97}-{number:06x}",
        "server": f"db{number % SERVERS}",
        "severity": ("critical", "warning")[number % 2],
        "job": "kube-state-metrics",
        "instance": f"10.0.{number % 250}.{number % 199}:9100",
    }


def _long(rnd: random.Random, number: int) -> Iterator[Row]:
    """It fires for hours, and is told every five minutes; then it is quiet for a while."""
    chance = random.Random(rnd.random())  # noqa: S311 - as above
    labels = _labels(f"Long{number % 20}", number)
    told = {"summary": f"{labels['pod']} is slow", "description": "for longer than anybody likes to wait"}
    print_, at = fingerprint(labels), SINCE + timedelta(seconds=chance.random() * 86400)
    while at < SINCE + SPAN:
        began = at - timedelta(seconds=10)
        for _ in range(2 + int(chance.expovariate(1 / 60))):
            yield Row(at, print_, labels, fires=True, starts_at=began, ends_at=None, annotations=told)
            at += _RESENT
        yield Row(
            at,
            print_,
            labels,
            fires=False,
            starts_at=began,
            ends_at=at - timedelta(seconds=20),
            annotations=told,
        )
        at += timedelta(seconds=chance.expovariate(1 / 3600))


def _flaps(rnd: random.Random, number: int) -> Iterator[Row]:
    """It begins every three minutes, for three hours."""
    labels = _labels(f"Flap{number % 12}", 1000 + number % 60)
    chance = random.Random(rnd.random())  # noqa: S311 - as above
    print_, first = fingerprint(labels), SINCE + timedelta(seconds=chance.random() * 29 * 86400)
    for turn in range(_BURST):
        at = first + timedelta(minutes=3 * turn, seconds=chance.random() * 20)
        began, over = at - timedelta(seconds=15), at + timedelta(seconds=80)
        yield Row(
            at, print_, labels, fires=True, starts_at=began, ends_at=None, annotations={"summary": "it flaps"}
        )
        yield Row(
            over,
            print_,
            labels,
            fires=False,
            starts_at=began,
            ends_at=over - timedelta(seconds=15),
            annotations={"summary": "it flaps"},
        )


def _in_a_storm(rnd: random.Random, storm: datetime, number: int) -> Iterator[Row]:
    """It begins within two minutes of all the others, and fires for twenty."""
    labels = _labels(f"Storm{number % 8}", 100_000 + number)
    print_, at = fingerprint(labels), storm + timedelta(seconds=rnd.random() * 120)
    began = at - timedelta(seconds=10)
    for turn in range(_TOLD_IN_A_STORM - 1):
        yield Row(
            at + turn * _RESENT,
            print_,
            labels,
            fires=True,
            starts_at=began,
            ends_at=None,
            annotations={"summary": "all at once"},
        )
    over = at + (_TOLD_IN_A_STORM - 1) * _RESENT + timedelta(seconds=number % 60)
    yield Row(
        over,
        print_,
        labels,
        fires=False,
        starts_at=began,
        ends_at=over,
        annotations={"summary": "all at once"},
    )


def rules() -> str:
    """Rules for all of these: some act, some ask for a person, some only record."""
    told = ["defaults: {autonomy: auto, owner: bench}", "rules:"]
    told += [_acting(f"Flap{number}", "P1", "[server, namespace]") for number in range(12)]
    told += [_acting(f"Storm{number}", "P2", "[server]") for number in range(1, 8, 2)]
    told += [_recording(f"Storm{number}", "[namespace]", "evidence: []") for number in range(0, 8, 2)]
    for number in range(20):
        what = "escalate: true" if number % 2 else "evidence: []"
        told.append(_recording(f"Long{number}", "[namespace, pod]", what))
    return "\n".join(told) + "\n"


def _acting(name: str, severity: str, group_by: str) -> str:
    given = "{connection: {server: $labels.server}, older_than: 10m, at_most: 5}"
    return f"""\
  - name: {name}
    match: ['alertname = "{name}"', 'severity =~ "critical|warning"']
    severity: {severity}
    group_by: {group_by}
    limits: {{attempts: 3, per: 1h, cooldown: 10m}}
    steps:
      - {{action: postgres.cancel_queries, with: {given}}}
      - {{action: postgres.terminate_queries, with: {given}}}
    verify: {{alert_resolved_within: 10m, stable_for: 2m}}"""


def _recording(name: str, group_by: str, what: str) -> str:
    return f"""\
  - name: {name}
    match: ['alertname = "{name}"']
    severity: P3
    group_by: {group_by}
    {what}"""
