"""What could not be used of one body, as dead letters: bounded while they grow, whatever was sent.

A body of a megabyte may hold half a million things that are no alert. Each of them with a reason and a text
of its own would take a hundred times the body's size, and redacting them seconds; so the first ones stand
alone, and what is left goes together into the last letter. Everything here is redacted.
"""

import json
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from responder.clients.wire import storable, told
from responder.model.alert import Rejected
from responder.model.redaction import Redaction

REJECTED_AT_MOST = 100
"""Dead letters that one body, or one slice of it, makes at most: what is left goes into one together."""
PAYLOAD_AT_MOST = 4 * 1024 * 1024
"""Characters of a dead letter."""
ENTRY_AT_MOST = 1024 * 1024
"""Characters of something refused up to which it is kept whole: redacting more of it takes seconds."""

_HEAD = 64 * 1024
_LEFT_OUT = 1024
_WITH_PARTS = (str, list, dict)
"""What of JSON is no number and no constant: of those half a million may come, and none has a name."""
_SHORTENED = " [shortened by the responder]"


class Refused:
    """Collects what is refused of one body."""

    def __init__(self, redaction: Redaction) -> None:
        self._redaction = redaction
        self._alone: list[Rejected] = []
        self._together: list[str] = []
        self._reason = ""
        self._missed = False
        self._count = 0
        self._length = 0

    def add(self, entry: Any, why: Callable[[], str]) -> None:
        """One more that could not be used; the reason is asked for only where it is kept."""
        if len(self._alone) < REJECTED_AT_MOST - 1:
            self._alone.append(_rejected(why(), entry, self._redaction))
            return
        self._count += 1
        if self._length > PAYLOAD_AT_MOST:  # what is cut off in the end need not be written
            return
        letter = _rejected(why() if self._count == 1 else "", entry, self._redaction)
        if self._count == 1:
            self._reason = letter.reason
        self._missed = self._missed or letter.missed
        self._together.append(letter.payload)
        self._length += len(letter.payload) + 1

    def letters(self) -> list[Rejected]:
        """The dead letters; where there are more than may stand alone, the last one is a list.

        What is cut off of that was missed, as what is cut off of one alone.
        """
        missed = self._missed or self._length > PAYLOAD_AT_MOST
        if self._count <= 1:
            return [*self._alone, *(Rejected(self._reason, payload, missed) for payload in self._together)]
        reason = f"{self._reason}; and {self._count - 1} more alerts, each with a reason of its own"
        payload = shortened(f"[{','.join(self._together)}]", PAYLOAD_AT_MOST)
        return [*self._alone, Rejected(reason, payload, missed)]


def redacted_head(head: bytes, redaction: Redaction) -> str:
    """How something began that is too large to be read, less the end of it: a secret may be cut off there."""
    text = redaction.document(head[:_HEAD].decode("utf-8", "replace"))
    return storable(text[: max(0, len(text) - _LEFT_OUT)][:_HEAD])


def shortened(text: str, limit: int) -> str:
    """A text for people, storable, of at most so many characters."""
    short = text if len(text) <= limit else text[: limit - len(_SHORTENED)] + _SHORTENED
    return storable(short)


def first_mistake(error: ValidationError, redaction: Redaction) -> str:
    """The first thing that is wrong with an alert: the field, and why."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "the alert"
    return told(redaction.text(f"{place}: {first['msg']}"))


def _rejected(reason: str, entry: Any, redaction: Redaction) -> Rejected:
    """A dead letter with the entry as JSON: redacted, storable and bounded."""
    written = json.dumps(entry, ensure_ascii=False)
    if not isinstance(entry, _WITH_PARTS) and len(written) <= ENTRY_AT_MOST:
        return Rejected(_redacted(reason, redaction), redaction.text(written))
    if len(written) > ENTRY_AT_MOST:
        head = redacted_head(written[:_HEAD].encode("utf-8", "replace"), redaction)
        reason = f"{redaction.text(reason)}; of its {len(written)} characters only the first are kept"
        return Rejected(reason, head, missed=True)
    payload = redaction.document(json.dumps(redaction.entry(entry), ensure_ascii=False))
    return Rejected(_redacted(reason, redaction), shortened(payload, PAYLOAD_AT_MOST))


def _redacted(reason: str, redaction: Redaction) -> str:
    return redaction.text(reason) if reason else reason
