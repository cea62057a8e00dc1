"""One peer's word: what a single Alertmanager or Prometheus says of alerts, and how far its silence counts.

How the words of several peers become one answer is decided in `alert_state`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Protocol

from responder.clients.alertmanager import Alertmanager, AlertStatus, KnownAlert, Silence
from responder.clients.prometheus import Prometheus, RuleState
from responder.model.duration import format_duration
from responder.model.errors import PermanentError, TemporaryError
from responder.model.redaction import Redaction, is_redacted
from responder.sources.identity import identify, kept_labels
from responder.sources.settings import SourceSettings

_ONE_LOOK = timedelta(seconds=3)
"""All questions of one look at one peer together."""
_MANY = 500
"""From how many alerts on their fingerprints are computed beside the event loop."""


class Word(StrEnum):
    """What one peer says of one alert."""

    FIRING = "firing"
    SUPPRESSED = "suppressed"
    UNPROCESSED = "unprocessed"
    """It knows the alert, but not yet whether anything suppresses it."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One peer's word on one alert: the silences that cover it, by id, and what else holds it, in words."""

    word: Word
    silences: tuple[str, ...] = ()
    held_by: tuple[str, ...] = ()


class Look(Protocol):
    """What one peer knew at one moment."""

    async def doubt(self) -> str | None:
        """Why its not knowing an alert proves nothing, in words, or None where it does.

        Asked only where an absence has to be told from ignorance: most looks find what they look for.
        """
        ...

    @property
    def why(self) -> str | None:
        """Why it gave no usable answer, or None where it gave one."""
        ...

    def says(self, fingerprint: str, labels: Mapping[str, str]) -> Statement | None:
        """Its word on an alert; None where it does not know it."""
        ...


class Peer(Protocol):
    """One server that can be asked."""

    narrows: bool
    """Whether it can be asked for the alerts of one name alone."""

    async def look(self, alertname: str | None) -> Look:
        """Ask it, for alerts of one name or for all. Never raises."""
        ...

    async def silence(self, identity: str) -> Silence | None:
        """One of its silences; None where it does not know it, or does not answer. Never raises."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """A peer that gave no usable answer."""

    why: str

    async def doubt(self) -> str:
        """Why there was no answer."""
        return self.why

    def says(self, fingerprint: str, labels: Mapping[str, str]) -> Statement | None:
        """Nothing."""
        del fingerprint, labels
        return None


class AlertmanagerLook:
    """What one Alertmanager knew, by our fingerprints.

    Whether its list is complete is asked after the list, and once: whoever restarted before it was given is
    still young then.
    """

    why = None

    def __init__(self, known: Mapping[str, Statement], ask: Callable[[], Awaitable[str | None]]) -> None:
        self._known = known
        self._ask = ask
        self._asked: asyncio.Future[str | None] | None = None

    async def doubt(self) -> str | None:
        """Whether it is up for long enough, and has our receiver."""
        if self._asked is None:
            self._asked = asyncio.ensure_future(self._ask())
        return await asyncio.shield(self._asked)

    def says(self, fingerprint: str, labels: Mapping[str, str]) -> Statement | None:
        """Its word, found by fingerprint alone."""
        del labels
        return self._known.get(fingerprint)


@dataclass(frozen=True, slots=True)
class PrometheusLook:
    """The label sets that one Prometheus evaluates as firing, redacted as those of alerts are."""

    firing: tuple[frozenset[tuple[str, str]], ...]
    doubted: str | None
    redaction: Redaction
    why: None = None

    async def doubt(self) -> str | None:
        """Whether it is up for long enough."""
        return self.doubted

    def says(self, fingerprint: str, labels: Mapping[str, str]) -> Statement | None:
        """Firing where all labels of a firing alert are the alert's too: external labels come on top.

        A redacted label is no evidence against it: settings or key may have changed since it was stored, and
        an alert that seems to be gone although it fires would be taken for recovered.
        """
        del fingerprint
        now = self.redaction.labels(labels)
        fires = any(within(known, now) for known in self.firing)
        return Statement(Word.FIRING) if fires else None


class AlertmanagerPeer:
    """One Alertmanager of a source's cluster."""

    narrows = True

    def __init__(self, url: str, source: SourceSettings) -> None:
        self._source = source
        self._client = Alertmanager(url, source.api, _ONE_LOOK)

    async def look(self, alertname: str | None) -> Look:
        """Its alerts that go to our receiver, and whether what is missing there is really gone."""
        try:
            async with asyncio.timeout(_ONE_LOOK.total_seconds()):
                return await self._look(alertname)
        except TimeoutError:
            return NoAnswer(f"{self._client.name} did not answer within {format_duration(_ONE_LOOK)}")
        except (TemporaryError, PermanentError) as error:
            return NoAnswer(str(error))

    async def silence(self, identity: str) -> Silence | None:
        """One of its silences."""
        try:
            return await self._client.find_silence(identity)
        except (TemporaryError, PermanentError):
            return None

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _look(self, alertname: str | None) -> Look:
        alerts = await self._client.alerts(self._source.receiver, alertname)
        many = len(alerts) > _MANY
        known = await asyncio.to_thread(self._known, alerts) if many else self._known(alerts)
        return AlertmanagerLook(known, self._doubt)

    async def _doubt(self) -> str | None:
        """Why what is missing in its list may be there all the same. Never raises."""
        receiver = self._source.receiver
        try:
            async with asyncio.timeout(_ONE_LOOK.total_seconds()):
                status, receivers = await asyncio.gather(self._client.status(), self._client.receivers())
        except TimeoutError:
            return f"{self._client.name} did not answer within {format_duration(_ONE_LOOK)}"
        except (TemporaryError, PermanentError) as error:
            return str(error)
        if receiver is not None and receiver not in receivers:
            return f"{self._client.name} has no receiver named {receiver!r}"
        return too_young(self._client.name, status.up_for, self._source)

    def _known(self, alerts: tuple[KnownAlert, ...]) -> Mapping[str, Statement]:
        known: dict[str, Statement] = {}
        for alert in alerts:
            fingerprint = identify(alert.labels, self._source.drop_labels).fingerprint
            statements = [_statement(alert), *([known[fingerprint]] if fingerprint in known else [])]
            known[fingerprint] = strongest(statements)
        return known


class PrometheusPeer:
    """One Prometheus of a source that has no Alertmanager to ask."""

    narrows = False

    def __init__(self, url: str, source: SourceSettings, redaction: Redaction) -> None:
        self._source = source
        self._redaction = redaction
        self._client = Prometheus(url, source.api, _ONE_LOOK)

    async def look(self, alertname: str | None) -> Look:
        """The alerts of its rules that fire now."""
        del alertname
        try:
            async with asyncio.timeout(_ONE_LOOK.total_seconds()):
                alerts, up_for = await asyncio.gather(self._client.alerts(), self._client.up_for())
        except TimeoutError:
            return NoAnswer(f"{self._client.name} did not answer within {format_duration(_ONE_LOOK)}")
        except (TemporaryError, PermanentError) as error:
            return NoAnswer(str(error))
        firing = tuple(self._pairs(a.labels) for a in alerts if a.state is RuleState.FIRING)
        doubt = too_young(self._client.name, up_for, self._source)
        return PrometheusLook(firing, doubt, self._redaction)

    async def silence(self, identity: str) -> Silence | None:
        """It has none."""
        del identity
        return None

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    def _pairs(self, labels: Mapping[str, str]) -> frozenset[tuple[str, str]]:
        return frozenset(kept_labels(labels, self._source.drop_labels, self._redaction).items())


def within(listed: AbstractSet[tuple[str, str]], held: Mapping[str, str]) -> bool:
    """Whether all labels that are listed are among those that are held: external labels come on top."""
    pairs = held.items()
    if listed <= pairs:
        return True
    hidden = {name for name, value in pairs if is_redacted(value)}
    return bool(hidden) and all(pair in pairs or pair[0] in hidden for pair in listed)


def peers_of(source: SourceSettings, redaction: Redaction) -> tuple[Peer, ...]:
    """Everyone to ask for a source's alerts: its Alertmanagers, or its Prometheus where it has none."""
    if source.alertmanager:
        return tuple(AlertmanagerPeer(url, source) for url in source.alertmanager)
    return tuple(PrometheusPeer(url, source, redaction) for url in source.prometheus)


def strongest(statements: list[Statement]) -> Statement:
    """The word of several statements on one alert.

    Firing where anyone says so. Suppressed where everyone who has looked at it says so; else it is known and
    counts as firing, because it has not ended.
    """
    if any(statement.word is Word.FIRING for statement in statements):
        return Statement(Word.FIRING)
    silences = [one for statement in statements for one in statement.silences]
    held_by = [text for statement in statements for text in statement.held_by]
    if any(statement.word is Word.SUPPRESSED for statement in statements):
        return Statement(Word.SUPPRESSED, tuple(dict.fromkeys(silences)), tuple(dict.fromkeys(held_by)))
    return Statement(Word.UNPROCESSED)


def _statement(alert: KnownAlert) -> Statement:
    if alert.silenced_by or alert.held_by:
        return Statement(Word.SUPPRESSED, alert.silenced_by, alert.held_by)
    match alert.state:
        case AlertStatus.ACTIVE:
            return Statement(Word.FIRING)
        case AlertStatus.SUPPRESSED:
            return Statement(Word.SUPPRESSED)
        case AlertStatus.UNPROCESSED:
            return Statement(Word.UNPROCESSED)


def too_young(name: str, up_for: timedelta, source: SourceSettings) -> str | None:
    """Why its list may not be complete yet, in words: a restarted one's empty list is no recovery."""
    needed = 2 * source.resend_period
    if up_for > needed:
        return None
    up = format_duration(max(up_for, timedelta(0)))
    return f"{name} has been up for {up} only; its list is complete after {format_duration(needed)}"
