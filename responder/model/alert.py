"""What sources tell: alerts, the observations of them, and the delivery that brought them.

Times are of two kinds that are never compared with each other: a *source's* (`starts_at`, `ends_at`,
truncated once to microseconds when decoded) and ours (`received_at`, service time).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from hashlib import sha256
from typing import Any, NamedTuple, cast
from uuid import UUID

from responder.model.base import canonical_json, json_of_texts

_FNV_OFFSET = 14695981039346656037
_FNV_PRIME = 1099511628211
_MASK = 0xFFFFFFFFFFFFFFFF
_FIRES = 0x80
"""The bit of a content hash that is set where the alert is told of as firing."""
_REMEMBERED_PAIR = 256
"""Characters of the longest pair that is remembered: it bounds the memory."""
_LAST_SIGNS = 4
"""Characters at the end of a value that are not remembered with what stands before them."""
_POWERS = tuple(pow(_FNV_PRIME, length, _MASK + 1) for length in range(4 * _LAST_SIGNS + 2))
"""What so many bytes multiply a state by: at most four for each of these characters, and one more."""


class Standing(StrEnum):
    """What one observation says of its alert."""

    FIRING = "firing"
    """A notification says that it fires."""
    RESOLVED = "resolved"
    """A notification says that it ended."""
    CONFIRMED = "confirmed"
    """The source's API, asked by us, knows it as firing (silenced or inhibited ones too)."""
    ABSENT = "absent"
    """The source's API, asked by us, does not know it."""
    GONE = "gone"
    """Our conclusion: the source's API has not known it for long enough, so it ended, whatever was not sent.

    Its `ends_at` is service time, the moment before the source was asked for the last time.
    """


class AlertKey(NamedTuple):
    """The identity of an alert: which source, which label set."""

    source: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert as a source wrote it, decoded and normalised but not yet stored.

    `ends_at` is None while it fires. `fingerprint` is 16 hexadecimal digits.
    """

    fingerprint: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    standing: Standing
    starts_at: datetime
    ends_at: datetime | None = None
    generator_url: str = ""
    content: "_Content | None" = field(default=None, init=False, repr=False, compare=False)
    """What `heard` made of it, kept: it is made outside of the transaction that needs it."""


class Heard(NamedTuple):
    """What a delivery says of one alert, before it has its time.

    Labels and annotations are canonical JSON, times are ISO 8601 with microseconds where there are any; an
    end that is not known is empty. None of them has a line break.
    """

    alert: Alert
    content_hash: bytes
    labels: str
    annotations: str
    starts_at: str
    ends_at: str


_Content = tuple[bytes, str, str, str, str]


@dataclass(frozen=True, slots=True)
class Observation:
    """One row of the journal: an alert, seen at `received_at` (service time).

    The journal's order within an alert is (`received_at`, `content_hash`).
    """

    source: str
    alert: Alert
    received_at: datetime
    content_hash: bytes
    labels_json: str = ""
    annotations_json: str = ""
    """Its texts, where they were written already; else empty."""

    @property
    def key(self) -> AlertKey:
        """Which alert this is about."""
        return AlertKey(self.source, self.alert.fingerprint)

    @property
    def order(self) -> tuple[datetime, bytes]:
        """The position in the journal of this alert."""
        return (self.received_at, self.content_hash)


@dataclass(frozen=True, slots=True)
class Rejected:
    """A part of a delivery that could not be used: it goes to the dead letters with its reason.

    `missed`: there were alerts that the payload does not hold; only the source can tell them.
    """

    reason: str
    payload: str
    missed: bool = False


@dataclass(frozen=True, slots=True)
class Retried:
    """Dead letters that are taken in again: they are gone when, and only when, the delivery is stored."""

    letters: tuple[int, ...]
    actor: str


@dataclass(frozen=True, slots=True)
class SourcePosition:
    """Where in a stream the delivery stood. It advances in the transaction that stores the delivery."""

    topic: str
    partition: int
    expected_offset: int
    next_offset: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """One POST or one Kafka record, as received.

    `sent_at` is the record's own time where the transport has one (Kafka); a webhook has none.
    """

    source: str
    alerts: tuple[Alert, ...]
    rejected: tuple[Rejected, ...] = ()
    position: SourcePosition | None = None
    sent_at: datetime | None = None
    retried: Retried | None = None
    refold: tuple[AlertKey, ...] = ()
    """Alerts whose contest is over: fold them again although nothing new was said."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a delivery, told after COMMIT."""

    stored: int
    rejected: int
    incidents: tuple[UUID, ...] = ()


def rejected(alert: Alert, reason: str) -> Rejected:
    """A decoded alert as a dead letter, in the form that Alertmanager sends: so it can be sent again."""
    sent: Any = {
        "status": "resolved" if alert.standing is Standing.RESOLVED else "firing",
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "startsAt": alert.starts_at.isoformat(),
        "endsAt": alert.ends_at.isoformat() if alert.ends_at else None,
        "generatorURL": alert.generator_url,
        "fingerprint": alert.fingerprint,
    }
    return Rejected(reason, canonical_json(sent))


def content_hash(alert: Alert) -> bytes:
    """16 bytes of SHA-256 over everything an observation says, except when it was received.

    The first bit says whether it fires: of what is said at the same moment an end comes first in the
    journal's order, and the last word is that it fires.
    """
    return heard(alert).content_hash


def heard(alert: Alert) -> Heard:
    """What is said of an alert, with the hash of it. Made once."""
    if alert.content is None:
        object.__setattr__(alert, "content", _content(alert))
    return Heard(alert, *cast("_Content", alert.content))


def _content(alert: Alert) -> _Content:
    labels, annotations = json_of_texts(alert.labels), json_of_texts(alert.annotations)
    starts_at = _iso(alert.starts_at)
    ends_at = _iso(alert.ends_at) if alert.ends_at else ""
    said = (
        alert.fingerprint,
        alert.standing.value,
        starts_at,
        ends_at,
        labels,
        annotations,
        alert.generator_url,  # the last, because it alone may have a line break
    )
    digest = sha256("\n".join(said).encode()).digest()[:16]
    fires = alert.standing is Standing.FIRING or alert.standing is Standing.CONFIRMED
    first = digest[0] | _FIRES if fires else digest[0] & ~_FIRES
    return bytes((first,)) + digest[1:], labels, annotations, starts_at, ends_at


@lru_cache(maxsize=256)
def _iso(time: datetime) -> str:
    """A group's alerts share most of their times, and each resend has the same ones. All are in UTC."""
    return time.isoformat()


def fingerprint(labels: Mapping[str, str]) -> str:
    """Prometheus's fingerprint of a label set: FNV-1a over the sorted pairs, each ended by 0xff.

    From prometheus/common `model.LabelSet.Fingerprint`. A byte is mixed into the lowest byte of the state,
    the rest is only multiplied: so what a pair does to a state depends on the state's lowest byte alone.
    Label sets share most of their pairs, so that is remembered: byte by byte it would cost more than all the
    rest of decoding.
    """
    state = _FNV_OFFSET
    for name in sorted(labels):
        value = labels[name]
        short = len(name) + len(value) <= _REMEMBERED_PAIR
        lowest = state & 0xFF
        hashed, factor = _remembered(lowest, name, value) if short else _hashed(lowest, name, value)
        state = (hashed + (state - lowest) * factor) & _MASK
    return f"{state:016x}"


def _hashed(state: int, name: str, value: str) -> tuple[int, int]:
    """The state after a pair, and what the higher bytes of the state before it are multiplied by.

    Values that tell alerts apart mostly differ in their last signs alone: what stands before is remembered.
    """
    head = value[:-_LAST_SIGNS]
    short = len(name) + len(head) <= _REMEMBERED_PAIR
    hashed, factor = (_begun_remembered if short else _begun)(state, name, head)
    prime, mask = _FNV_PRIME, _MASK
    tail = b"%b\xff" % value[-_LAST_SIGNS:].encode()
    for byte in tail:
        hashed = (hashed ^ byte) * prime & mask
    return hashed, factor * _POWERS[len(tail)] & mask


def _begun(state: int, name: str, head: str) -> tuple[int, int]:
    """As `_hashed`, for a pair whose value is not at its end."""
    prime, mask = _FNV_PRIME, _MASK
    part = b"%b\xff%b" % (name.encode(), head.encode())
    for byte in part:
        state = (state ^ byte) * prime & mask
    return state, pow(prime, len(part), mask + 1)


_remembered = lru_cache(maxsize=2048)(_hashed)
_begun_remembered = lru_cache(maxsize=1024)(_begun)
