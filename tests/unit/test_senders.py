"""Payloads of real senders, of all ages: each is decoded to the right alerts, whole and in slices.

They were written by hand after the senders' own sources; the names and addresses in them are made up.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from responder.model.alert import Alert, Standing
from responder.sources.alertmanager import decode, divide
from responder.sources.settings import SourceSettings

PAYLOADS = Path(__file__).parent / "payloads"
SOURCE = SourceSettings(name="main", drop_labels=frozenset({"prometheus_replica"}))
DAY = datetime(2026, 11, 24, tzinfo=UTC)


class Said(NamedTuple):
    """What an alert has to say: its name, how many labels, standing, start and end."""

    alertname: str
    labels: int
    standing: Standing
    starts_at: datetime
    ends_at: datetime | None = None


def at(hours: int, minutes: int, seconds: float = 0, day: datetime = DAY) -> datetime:
    """A moment of the day."""
    return day + timedelta(hours=hours, minutes=minutes, seconds=seconds)


def said(alert: Alert) -> Said:
    """What a decoded alert says."""
    labels = alert.labels
    return Said(labels["alertname"], len(labels), alert.standing, alert.starts_at, alert.ends_at)


FIRING, RESOLVED = Standing.FIRING, Standing.RESOLVED
OLD_START = timedelta(hours=5, minutes=6, seconds=7, microseconds=80910)
EXPECTED = {
    "alertmanager_0.34": [
        Said("PostgresReplicaLag", 4, FIRING, at(2, 11, 7.318)),
        Said("PostgresReplicaLag", 4, RESOLVED, at(2, 5, 37.318), at(2, 13, 37.318)),
    ],
    "alertmanager_0.25": [Said("InstanceDown", 3, RESOLVED, at(0, 0, 12.123456), at(0, 9, 57.123456))],
    "alertmanager_0.18": [Said("DiskFull", 3, FIRING, datetime(2019, 7, 4, tzinfo=UTC) + OLD_START)],
    "alertmanager_0.15": [Said("DiskFull", 2, FIRING, datetime(2018, 6, 22, tzinfo=UTC) + OLD_START)],
    "grafana_11": [
        Said("Queue too long", 3, FIRING, at(2, 20, 10)),
        Said("DatasourceNoData", 5, RESOLVED, at(2, 10, 10), at(2, 19, 10)),
    ],
    "mimir": [Said("IngesterUnhealthy", 3, FIRING, at(2, 11, 7.318))],
    "vmalert": [Said("TooManyRestarts", 4, FIRING, at(2, 11))],
    "thanos_ruler": [
        Said("StoreLatency", 3, FIRING, at(2, 11, 7.999999)),
        Said("StoreLatency", 3, FIRING, at(2, 11, 8.999999)),
    ],
    "a_resolve_before_its_firing": [Said("Flapping", 2, RESOLVED, at(2, 0), at(2, 0))],
}


def test_every_payload_is_expected() -> None:
    """None of the files is left out."""
    assert {file.stem for file in PAYLOADS.glob("*.json")} == set(EXPECTED)


@pytest.mark.parametrize("sender", EXPECTED)
def test_what_a_sender_says_is_what_is_decoded(sender: str) -> None:
    """Every alert, with its labels, standing and times; nothing is rejected, nothing counts as missed."""
    body = (PAYLOADS / f"{sender}.json").read_bytes()
    delivery = decode(SOURCE, body)
    assert [said(alert) for alert in delivery.alerts] == EXPECTED[sender]
    assert delivery.rejected == ()
    (part,) = divide(SOURCE, bytearray(body))
    assert part == delivery


def test_replicas_of_a_ruler_are_one_alert() -> None:
    """Thanos Ruler's replicas differ in a dropped label alone."""
    first, second = decode(SOURCE, (PAYLOADS / "thanos_ruler.json").read_bytes()).alerts
    assert first.fingerprint == second.fingerprint
