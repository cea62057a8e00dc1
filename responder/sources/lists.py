"""All the alerts that one peer of a source knows, for the comparison with what we hold.

Lists of 100,000 alerts are read slice by slice, beside the event loop, and nothing of a slice stays. How far
a list can be believed is asked after it: whoever restarted before it was given is still young then.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from responder.clients.alertmanager import Alertmanager
from responder.clients.prometheus import Prometheus, RuleAlert, RuleState
from responder.model.errors import PermanentError, TemporaryError
from responder.model.redaction import Redaction
from responder.model.source import PeerReport
from responder.ports import Listed
from responder.sources.alertmanager import SLICE, list_entry, listed
from responder.sources.peers import too_young, within
from responder.sources.settings import SourceSettings

_ONE_LIST = timedelta(seconds=30)
"""For the bytes of one list: an Alertmanager takes seconds to write a storm's."""
_ONE_ANSWER = timedelta(seconds=5)

Take = Callable[[Sequence[Listed]], Awaitable[None]]


@dataclass(slots=True)
class _Count:
    """What has been given on of one list."""

    alerts: int = 0
    unusable: int = 0

    def add(self, part: Sequence[Listed]) -> None:
        """One slice more."""
        self.alerts += len(part)
        self.unusable += sum(1 for one in part if one.alert is None)


class AlertmanagerList:
    """One Alertmanager of a source's cluster."""

    whole_labels = True

    def __init__(self, url: str, source: SourceSettings, redaction: Redaction) -> None:
        self._source = source
        self._redaction = redaction
        self._client = Alertmanager(url, source.api, _ONE_ANSWER)

    async def read(self, take: Take) -> PeerReport:
        """See `ports.PeerList.read`: what is routed to our receiver."""
        count = _Count()
        name = self._client.name
        try:
            answer = await self._client.list_of_alerts(self._source.receiver, _ONE_LIST)
            parts = listed(self._source, answer, self._redaction)
            del answer
            while (part := await asyncio.to_thread(next, parts, None)) is not None:
                count.add(part)
                await take(part)
            status, receivers = await asyncio.gather(self._client.status(), self._client.receivers())
        except (TemporaryError, PermanentError) as error:
            return _no_answer(name, error, count)
        receiver = self._source.receiver
        known = None if receiver is None else receiver in receivers
        doubt = f"{name} has no receiver named {receiver!r}" if known is False else None
        return _report(
            name, count, status.up_for, doubt or too_young(name, status.up_for, self._source), known
        )

    def same(self, found: Mapping[str, str], held: Mapping[str, str]) -> bool:
        """See `ports.PeerList.same`."""
        return found == held

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


@dataclass(slots=True)
class PrometheusList:
    """One Prometheus of a source that has no Alertmanager to ask.

    It lists alerts without the external labels that it sends them with: they are added, so that an alert is
    the one that would have been delivered. Where relabelling changes others, `same` finds it.
    """

    url: str
    source: SourceSettings
    redaction: Redaction
    whole_labels: bool = False
    _client: Prometheus = field(init=False)

    def __post_init__(self) -> None:
        """Connections are opened when they are needed."""
        self._client = Prometheus(self.url, self.source.api, _ONE_ANSWER)

    async def read(self, take: Take) -> PeerReport:
        """See `ports.PeerList.read`: the alerts of its rules that fire now."""
        count = _Count()
        name = self._client.name
        try:
            alerts, external = await asyncio.gather(self._client.alerts(), self._client.external_labels())
            firing = [_entry(one, external) for one in alerts if one.state is RuleState.FIRING]
            for start in range(0, len(firing), SLICE):
                part = await asyncio.to_thread(self._slice, firing[start : start + SLICE])
                count.add(part)
                await take(part)
            up_for = await self._client.up_for()
        except (TemporaryError, PermanentError) as error:
            return _no_answer(name, error, count)
        return _report(name, count, up_for, too_young(name, up_for, self.source))

    def same(self, found: Mapping[str, str], held: Mapping[str, str]) -> bool:
        """See `ports.PeerList.same`."""
        return within(found.items(), self.redaction.labels(held))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    def _slice(self, entries: Sequence[Mapping[str, Any]]) -> Sequence[Listed]:
        found = (list_entry(self.source, entry, self.redaction) for entry in entries)
        return [one for one in found if one is not None]


def lists_of(source: SourceSettings, redaction: Redaction) -> tuple[AlertmanagerList | PrometheusList, ...]:
    """Everyone to ask for all alerts of a source: its Alertmanagers, or its Prometheus where it has none."""
    if source.alertmanager:
        return tuple(AlertmanagerList(url, source, redaction) for url in source.alertmanager)
    return tuple(PrometheusList(url, source, redaction) for url in source.prometheus)


def _entry(alert: RuleAlert, external: Mapping[str, str]) -> Mapping[str, Any]:
    """An alert in the form in which Alertmanager lists it."""
    return {
        "labels": {**external, **alert.labels},
        "annotations": dict(alert.annotations),
        "startsAt": alert.active_at.isoformat() if alert.active_at else "",
    }


def _report(
    name: str, count: _Count, up_for: timedelta, doubt: str | None, receiver_known: bool | None = None
) -> PeerReport:
    return PeerReport(
        name=name,
        answered=True,
        alerts=count.alerts,
        unusable=count.unusable,
        up_for_s=up_for.total_seconds(),
        receiver_known=receiver_known,
        doubt=doubt,
    )


def _no_answer(name: str, error: Exception, count: _Count) -> PeerReport:
    return PeerReport(
        name=name, answered=False, alerts=count.alerts, unusable=count.unusable, doubt=str(error)
    )
