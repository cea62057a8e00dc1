"""Who silenced an alert, until when and why: what stands behind the ids that an Alertmanager lists.

Asked only where something is suppressed, a bounded number at a time, and remembered for a short while. What
people wrote is redacted and shortened before anybody keeps it.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from responder.clients.alertmanager import Silence
from responder.clients.wire import told
from responder.model.redaction import Redaction
from responder.model.silence import made_for
from responder.sources.peers import Peer

_AT_ONCE = 10
"""Silences of one question that are looked at; the others are told by id, and count."""
_REMEMBERED_S = 30.0
_REMEMBERED = 256
_WHO = 60
_WHY = 200


@dataclass(frozen=True, slots=True)
class _Remembered:
    silence: Silence
    at: float


class Silences:
    """The silences of one source's peers."""

    def __init__(self, peers: Sequence[Peer], redaction: Redaction) -> None:
        self._peers = peers
        self._redaction = redaction
        self._known: dict[str, _Remembered] = {}

    async def find(self, identities: Iterable[str]) -> Mapping[str, Silence]:
        """Those of them that a peer tells of."""
        wanted = list(dict.fromkeys(identities))[:_AT_ONCE]
        found = {identity: await self._one(identity) for identity in wanted}
        return {identity: silence for identity, silence in found.items() if silence is not None}

    def words(self, identity: str, silence: Silence | None) -> str:
        """A silence for people: its id, and who made it until when, and why."""
        if silence is None:
            return told(f"silence {identity}")
        until = "" if silence.ends_at is None else f" until {silence.ends_at:%Y-%m-%d %H:%M} UTC"
        who, why = self._short(silence.created_by, _WHO), self._short(silence.comment, _WHY)
        return told(f"silence {identity} by {who or 'nobody named'}{until}{f': {why}' if why else ''}")

    async def _one(self, identity: str) -> Silence | None:
        now = time.monotonic()
        known = self._known.get(identity)
        if known is not None and known.at > now - _REMEMBERED_S:
            return known.silence
        for peer in self._peers:
            silence = await peer.silence(identity)
            if silence is not None:
                self._remember(identity, _Remembered(silence, now))
                return silence
        return None

    def _remember(self, identity: str, silence: _Remembered) -> None:
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[identity] = silence

    def _short(self, text: str, length: int) -> str:
        clean = " ".join(self._redaction.text(text).split())
        return clean if len(clean) <= length else f"{clean[: length - 1]}\u2026"


def is_own(silence: Silence, incident: UUID | None) -> bool:
    """Whether a step of this very incident made it."""
    return incident is not None and made_for(silence.created_by, silence.comment, incident)
