"""Alerts by the very bytes in which they were delivered before: most of what a source sends, it has sent.

Alertmanager sends a whole group again whenever one alert of it changes, and all of it each `repeat_interval`.
What an alert's bytes mean depends on nothing else, so what was decoded of them is kept, and bounded in bytes.
Only how bodies are taken apart stands here, and what is kept; what bytes mean is decided in `alertmanager`.

A body is taken apart at signs that a text of an alert may hold, too. It is no guess all the same: each part
is one whole JSON object, or it is not known here and not decoded by itself; and the rest, with a mark in the
place of all parts, is JSON that has nothing but this mark as its alerts. What is put together of these is one
body only, and means that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from secrets import token_hex
from typing import NamedTuple

from responder.model.alert import Alert

BYTES_AT_MOST = 16 * 1024 * 1024
"""Of all that is remembered in one process, about."""

MARK = token_hex(8)
"""Stands where the alerts were: no sender knows it."""

_BEFORE = b'"alerts":['
_OPENS = b'{"status":"'
_CLOSES = b"}"
_BETWEEN = _CLOSES + b"," + _OPENS
_LAST = b'"}]'

_SEEN = 1 << 16
"""Places for what was seen once. Each holds a byte of a digest: few are taken for what stood there before."""
_ENVELOPES_AT_MOST = 64
_ENVELOPE_AT_MOST = 1024
"""How many envelopes are remembered, and bytes of the longest one."""
_FOR_ONE = 800
_FOR_EACH_BYTE = 2
"""About what an alert takes in memory: so much, and so much for each byte of its JSON."""


class Apart(NamedTuple):
    """A body, taken apart: the JSON of each alert less how it begins, and the rest with a mark for them."""

    envelope: bytes
    parts: Sequence[bytes]


def take_apart(body: bytes) -> Apart | None:
    """The parts of a body as Alertmanager writes it; None where it is written in another way."""
    start = body.find(_BEFORE + _OPENS) + len(_BEFORE)
    end = body.rfind(_LAST) + len(_LAST) - 1
    if start < len(_BEFORE) or end <= start:
        return None
    parts = body[start + len(_OPENS) : end - len(_CLOSES)].split(_BETWEEN)
    return Apart(b'%b"%b"%b' % (body[:start], MARK.encode(), body[end:]), parts)


def as_json(part: bytes) -> bytes:
    """The JSON of one alert, if the part is one."""
    return b"%b%b%b" % (_OPENS, part, _CLOSES)


@dataclass(frozen=True, slots=True)
class _Kept:
    alert: Alert
    size: int


class Remembered:
    """What was delivered before by one source, the longest unheard of it forgotten first.

    What is new is not kept before it comes a second time: a storm of new alerts makes nothing be forgotten.

    Args:
        bytes_at_most: of memory, about.
    """

    def __init__(self, bytes_at_most: int = BYTES_AT_MOST) -> None:
        self._alerts: dict[bytes, _Kept] = {}
        self._seen = bytearray(_SEEN)
        self._room = bytes_at_most
        self.envelopes: set[bytes] = set()
        """Of bodies that were taken apart: these are known to be good."""

    def note_envelope(self, envelope: bytes) -> None:
        """This one is good."""
        if len(envelope) <= _ENVELOPE_AT_MOST:
            if len(self.envelopes) >= _ENVELOPES_AT_MOST:
                self.envelopes.clear()
            self.envelopes.add(envelope)

    def recall(self, key: bytes) -> Alert | None:
        """The alert, where it is remembered."""
        kept = self._alerts.pop(key, None)
        if kept is None:
            return None
        self._alerts[key] = kept  # the last to be forgotten now
        return kept.alert

    def note(self, key: bytes, part: bytes, alert: Alert) -> None:
        """This alert was decoded of these bytes."""
        place, mark = hash(key) % _SEEN, key[0]
        if self._seen[place] != mark:
            self._seen[place] = mark
            return
        size = _FOR_ONE + _FOR_EACH_BYTE * len(part)
        if size > self._room and not self._alerts:
            return
        self._alerts[key] = _Kept(alert, size)
        self._room -= size
        while self._room < 0:
            self._room += self._alerts.pop(next(iter(self._alerts))).size


def key_of(part: bytes) -> bytes:
    """What a part is remembered by: no two of them have the same."""
    return sha256(part).digest()
