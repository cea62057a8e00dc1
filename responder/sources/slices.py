"""Cuts a large body into slices of its alerts without building anything of it.

Only brackets and strings are looked at, by one regular expression; what stands between them is not judged. So
100,000 alerts cost the memory of their own bytes and the models of one slice. That a slice is JSON is found
out by whoever reads it.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from responder.model.errors import PermanentError

ALERTS_AT_MOST = 1_000_000
"""Alerts of one body: what says more is no list of alerts."""
ENVELOPE_AT_MOST = 4 * 1024 * 1024
"""Bytes of everything beside the alerts, lists and objects not counted."""
ELEMENT_AT_MOST = 16 * 1024 * 1024
"""Bytes of one slice, and so of one alert: beyond it the slice is not read, only kept in part."""
NO_ALERTS_AT_MOST = 64 * 1024
"""Bytes in a row, in the list of alerts, that are no alert: numbers and texts, each of them a dead letter."""

_NEXT = re.compile(
    rb'[^"{}\[\]]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^"{}\[\]]*+)*+[{}\[\]]',
    re.DOTALL,
)
"""From outside of a string to the next bracket outside of one, that included; possessive, and so linear."""
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_BETWEEN = re.compile(rb"[ \t\r\n]*(?:,|(?=\]))")
_REST = re.compile(rb"[ \t\r\n]*\Z")
_OPENING = b"{["
_ENDS = {ord("{"): ord("}"), ord("["): ord("]")}
_NESTING_AT_MOST = 100
_IN_THE_BODY = 1
_IN_A_LIST = 2


class NotCutError(PermanentError):
    """The body cannot be cut, because it is no object with a list of alerts.

    Attributes:
        field: which field is wrong; empty where it is the body itself.
    """

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Cut:
    """Where the alerts of a body stand, slice by slice, and the rest of it, every list and object empty."""

    envelope: bytes
    slices: tuple[tuple[int, int], ...]


def cut(body: bytearray, alerts_at_most: int, bytes_at_most: int) -> Cut:
    """Find the slices: each of at most so many alerts, and ended by the alert that makes it so many bytes.

    Raises:
        NotCutError: the brackets do not match, `alerts` is there twice, or there is too much of something.
    """
    knife = _Knife(body, alerts_at_most, bytes_at_most)
    for start, end in _brackets(body):
        knife.bracket(start, end)
    return knife.done()


def _brackets(body: bytearray) -> Iterator[tuple[int, int]]:
    """From where to where each piece goes that ends with a bracket."""
    match, position = _NEXT.match, 0
    while found := match(body, position):
        start, position = position, found.end()
        yield start, position
    if not _REST.match(body, position):
        raise NotCutError("the body is not JSON: it ends too early")


class _Knife:
    """The state of one cut."""

    def __init__(self, body: bytearray, alerts_at_most: int, bytes_at_most: int) -> None:
        self._body = body
        self._alerts_at_most = alerts_at_most
        self._bytes_at_most = bytes_at_most
        self._open = bytearray()
        """The brackets that are open, the outermost first."""
        self._envelope = bytearray()
        self._slices: list[tuple[int, int]] = []
        self._begins: int | None = None
        """Where the slice begins that is not full yet; None outside of the list of alerts."""
        self._in_slice = 0
        self._alerts = 0
        self._found = False
        self._ended = False

    def bracket(self, start: int, end: int) -> None:
        """The next bracket, at `end - 1`; between `start` and it there is none."""
        kind = self._body[end - 1]
        depth = len(self._open)
        if self._ended:
            raise NotCutError("the body is not JSON: something follows its end")
        if depth <= _IN_THE_BODY:
            self._keep(start, end)
        elif depth == _IN_A_LIST and self._begins is not None and end - start > NO_ALERTS_AT_MOST:
            raise NotCutError(f"alerts: {end - start} bytes in a row are no alert", "alerts")
        if kind in _OPENING:
            self._enter(kind, start, end)
        else:
            self._leave(kind, end)

    def done(self) -> Cut:
        """The cut, after the last bracket."""
        if not self._ended:
            raise NotCutError("the body is not JSON: it ends too early")
        return Cut(bytes(self._envelope), tuple(self._slices))

    def _keep(self, start: int, end: int) -> None:
        self._envelope += self._body[start:end]
        if len(self._envelope) > ENVELOPE_AT_MOST:
            raise NotCutError(f"the body has more than {ENVELOPE_AT_MOST} bytes beside its alerts")

    def _enter(self, kind: int, start: int, end: int) -> None:
        depth = len(self._open)
        if depth >= _NESTING_AT_MOST:
            raise NotCutError("the body is nested too deeply")
        if depth == _IN_THE_BODY and kind == ord("[") and self._named_alerts(start, end):
            if self._found:
                raise NotCutError("alerts: it is there twice", "alerts")
            self._found, self._begins = True, end
        self._open.append(kind)

    def _leave(self, kind: int, end: int) -> None:
        if not self._open or _ENDS[self._open.pop()] != kind:
            raise NotCutError("the body is not JSON: its brackets do not match")
        match len(self._open):
            case 0:
                self._ended = True
            case 1:
                self._envelope.append(kind)
                self._end_list(end - 1)
            case 2 if self._begins is not None:
                self._end_alert(end)

    def _named_alerts(self, start: int, end: int) -> bool:
        names = _STRING.findall(self._body, start, end)
        try:
            return bool(names) and json.loads(names[-1]) == "alerts"
        except ValueError:
            return False

    def _end_alert(self, end: int) -> None:
        self._alerts += 1
        self._in_slice += 1
        if self._alerts > ALERTS_AT_MOST:
            raise NotCutError(f"alerts: more than {ALERTS_AT_MOST} of them", "alerts")
        begins = self._begins
        if begins is None:
            return
        if self._in_slice >= self._alerts_at_most or end - begins >= self._bytes_at_most:
            self._slices.append((begins, end))
            between = _BETWEEN.match(self._body, end)
            if between is None:
                raise NotCutError("the body is not JSON: there is no comma between two alerts")
            self._begins = between.end()
            self._in_slice = 0

    def _end_list(self, end: int) -> None:
        """The list of alerts ends, or another one of the body's own: then nothing is open to be ended."""
        begins, self._begins = self._begins, None
        if begins is None:
            return
        if self._body[begins:end].strip():
            self._slices.append((begins, end))
        elif self._body[begins - 1] == ord(","):
            raise NotCutError("the body is not JSON: nothing follows the last comma of its alerts")
