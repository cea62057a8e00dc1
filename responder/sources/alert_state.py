"""What the sources know of alerts, asked by us: every peer, together, at most 5 s old.

An alert is gone only when all peers answered, each of them up long enough to have heard of everything again.
A peer that is missing resolves nothing.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from uuid import UUID

from responder.clients.alertmanager import Silence
from responder.clients.answering import Answering
from responder.decide.case import SourceView
from responder.model.incident import MemberAlert
from responder.model.redaction import SHIPPED, Redaction, is_redacted
from responder.sources.peers import Look, Peer, Word, peers_of, strongest
from responder.sources.settings import SourceSettings
from responder.sources.silences import Silences, is_own

MAX_AGE = timedelta(seconds=5)
"""How old an answer may be that is not asked for freshly."""
_SHELVES_AT_MOST = 256


class Fate(StrEnum):
    """What all peers of a source say of one alert, together."""

    FIRING = "firing"
    SUPPRESSED = "suppressed"
    ABSENT = "absent"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Answer:
    """The fate of one alert: what suppresses it, or why nobody can say, in words; its silences by id."""

    fate: Fate
    text: str = ""
    silences: tuple[str, ...] = ()


class SourceStates:
    """Asks the APIs of all sources. Implements `ports.AlertState`."""

    def __init__(self, sources: Iterable[SourceSettings], redaction: Redaction = SHIPPED) -> None:
        self.answering = Answering("source")
        """Which peers of the sources answer."""
        self._asked = {
            source.name: _Asked(source.name, peers_of(source, redaction), redaction, self.answering)
            for source in sources
            if source.askable
        }

    async def ask(
        self, members: Sequence[MemberAlert], *, fresh: bool, incident: UUID | None = None
    ) -> SourceView:
        """What the sources say of these members, all together. Never raises.

        An alert that is silent only by what a step of `incident` did fires for it: the ladder goes on.

        `problem` is set where something is unknown that could change the answer: as long as one member is
        known to fire, the rest need not be known.
        """
        by_source: dict[str, dict[str, Mapping[str, str]]] = {}
        for member in members:
            by_source.setdefault(member.source, {})[member.fingerprint] = member.labels
        if not by_source or not by_source.keys() <= self._asked.keys():
            return SourceView(configured=False)
        answers = await asyncio.gather(
            *(
                self._asked[source].heard(alerts, fresh=fresh, incident=incident)
                for source, alerts in by_source.items()
            )
        )
        return _view([answer for of_source in answers for answer in of_source.values()])

    async def standings(
        self, source: str, labels: Mapping[str, Mapping[str, str]]
    ) -> Mapping[str, bool] | None:
        """For each fingerprint: does it fire? Silenced and inhibited alerts do. Always asked freshly.

        What nobody can say is left out; None where no API is configured or no peer answered.
        """
        asked = self._asked.get(source)
        if asked is None:
            return None
        answers = await asked.answers(labels, fresh=True)
        if labels and all(answer.fate is Fate.UNKNOWN for answer in answers.values()):
            return None
        return {
            fingerprint: answer.fate is not Fate.ABSENT
            for fingerprint, answer in answers.items()
            if answer.fate is not Fate.UNKNOWN
        }

    async def close(self) -> None:
        """Close all connections."""
        await asyncio.gather(*(asked.close() for asked in self._asked.values()))


@dataclass(slots=True)
class _Shelf:
    """The last looks for one question, and the lock that makes one flight of many equal questions."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    begun: float = float("-inf")
    looks: tuple[Look, ...] = ()


class _Asked:
    """The peers of one source, with what they said last."""

    def __init__(
        self, source: str, peers: tuple[Peer, ...], redaction: Redaction, answering: Answering
    ) -> None:
        self._source = source
        self._answering = answering
        self._peers = peers
        self._silences = Silences(peers, redaction)
        self._shelves: dict[str | None, _Shelf] = {}

    async def answers(self, alerts: Mapping[str, Mapping[str, str]], *, fresh: bool) -> Mapping[str, Answer]:
        """The fate of each fingerprint."""
        looks = await self._looks(self._question(alerts), fresh=fresh)
        return {
            fingerprint: await _fate(looks, fingerprint, labels) for fingerprint, labels in alerts.items()
        }

    async def heard(
        self, alerts: Mapping[str, Mapping[str, str]], *, fresh: bool, incident: UUID | None
    ) -> Mapping[str, Answer]:
        """The fate of each fingerprint for one incident, with its silences in words."""
        answers = await self.answers(alerts, fresh=fresh)
        ids = [one for answer in answers.values() for one in answer.silences]
        if not ids:
            return answers
        known = await self._silences.find(ids)
        own = {identity for identity, silence in known.items() if is_own(silence, incident)}
        return {fingerprint: self._without(answer, own, known) for fingerprint, answer in answers.items()}

    def _without(self, answer: Answer, own: AbstractSet[str], known: Mapping[str, Silence]) -> Answer:
        """An answer less the silences that do not count."""
        if answer.fate is not Fate.SUPPRESSED:
            return answer
        others = [identity for identity in answer.silences if identity not in own]
        if len(others) < len(answer.silences) and not others and not answer.text:
            return Answer(Fate.FIRING)
        words = [self._silences.words(identity, known.get(identity)) for identity in others]
        return Answer(Fate.SUPPRESSED, ", ".join((*words, *([answer.text] if answer.text else []))))

    async def close(self) -> None:
        await asyncio.gather(*(peer.close() for peer in self._peers))

    def _question(self, alerts: Mapping[str, Mapping[str, str]]) -> str | None:
        """The name that all these alerts share, where asking for it alone is possible; else all are asked.

        A redacted name is not the one that the source knows: asked for it, it would know of nothing.
        """
        names = {labels.get("alertname") for labels in alerts.values()}
        name = names.pop() if len(names) == 1 and all(peer.narrows for peer in self._peers) else None
        return None if name is None or is_redacted(name) else name

    async def _looks(self, question: str | None, *, fresh: bool) -> tuple[Look, ...]:
        """The looks at all peers. A fresh one began after it was asked for, whoever began it."""
        asked_at = time.monotonic()
        shelf = self._shelf(question)
        async with shelf.lock:
            oldest = asked_at if fresh else time.monotonic() - MAX_AGE.total_seconds()
            if shelf.begun < oldest:
                begun = time.monotonic()
                shelf.looks = tuple(await asyncio.gather(*(peer.look(question) for peer in self._peers)))
                shelf.begun = begun
                self._note(shelf.looks)
            return shelf.looks

    def _note(self, looks: Sequence[Look]) -> None:
        for number, look in enumerate(looks, start=1):
            self._answering.heard(f"{self._source}, peer {number} of {len(looks)}", look.why)

    def _shelf(self, question: str | None) -> _Shelf:
        if len(self._shelves) >= _SHELVES_AT_MOST:
            stale = time.monotonic() - MAX_AGE.total_seconds()
            self._shelves = {
                key: shelf
                for key, shelf in self._shelves.items()
                if shelf.lock.locked() or shelf.begun >= stale
            }
        return self._shelves.setdefault(question, _Shelf())


async def _fate(looks: tuple[Look, ...], fingerprint: str, labels: Mapping[str, str]) -> Answer:
    statements = [said for look in looks if (said := look.says(fingerprint, labels)) is not None]
    if statements:
        said = strongest(statements)
        if said.word is Word.SUPPRESSED:
            return Answer(Fate.SUPPRESSED, ", ".join(said.held_by), said.silences)
        return Answer(Fate.FIRING)
    told = await asyncio.gather(*(look.doubt() for look in looks))
    doubts = [doubt for doubt in told if doubt is not None]
    return Answer(Fate.UNKNOWN, "; ".join(doubts)) if doubts else Answer(Fate.ABSENT)


def _view(answers: Sequence[Answer]) -> SourceView:
    fates = [answer.fate for answer in answers]
    firing = fates.count(Fate.FIRING)
    doubts = dict.fromkeys(answer.text for answer in answers if answer.fate is Fate.UNKNOWN)
    by = dict.fromkeys(answer.text for answer in answers if answer.fate is Fate.SUPPRESSED and answer.text)
    return SourceView(
        configured=True,
        firing=firing,
        suppressed=fates.count(Fate.SUPPRESSED),
        absent=fates.count(Fate.ABSENT),
        suppressed_by=", ".join(by) or None,
        problem="; ".join(doubts) if doubts and not firing else None,
    )
