"""Deliveries as Alertmanager sends them: the same body again and again, until it is acknowledged."""

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count

import aiohttp

from responder.model.alert import fingerprint
from tests.crash.check import Acknowledged
from tests.support.deliveries import payload

_AGAIN_AFTER_S = 0.25
_PATIENCE = aiohttp.ClientTimeout(total=5)


@dataclass(slots=True)
class Sender:
    """Sends until acknowledged, and knows nothing but what was."""

    url: str
    token: str
    acknowledged: list[Acknowledged] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    """Answers for which Alertmanager would not come again."""
    _started: datetime = field(default_factory=lambda: datetime.now(UTC))

    async def deliver(self, *alerts: Acknowledged, ended: Acknowledged | None = None) -> None:
        """One delivery, as often as it takes. With an alert that ended it is taken in the long way."""
        told = [self._alert(alert.labels) for alert in alerts]
        if ended is not None:
            end = {"status": "resolved", "endsAt": self._started.isoformat()}
            told.append({**self._alert(ended.labels), **end})
            alerts = (*alerts, ended)
        body = json.dumps(payload(told)).encode()
        while not await self._acknowledged(body):  # noqa: ASYNC110 - nothing here knows when it is back
            await asyncio.sleep(_AGAIN_AFTER_S)
        self.acknowledged.extend(alerts)

    async def murmur(self) -> None:
        """Alerts that no rule takes, one after the other, until cancelled."""
        for number in count():
            labels = {"alertname": "Murmur", "number": str(number)}
            await self.deliver(Acknowledged(labels, None))
            await asyncio.sleep(_AGAIN_AFTER_S)

    async def _acknowledged(self, body: bytes) -> bool:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        with suppress(aiohttp.ClientError, TimeoutError, OSError):
            async with (
                aiohttp.ClientSession(timeout=_PATIENCE) as session,
                session.post(self.url, data=body, headers=headers) as answer,
            ):
                if answer.status // 100 == 4:
                    self.refusals.append(f"{answer.status}: {await answer.text()}")
                return answer.status // 100 == 2
        return False

    def _alert(self, labels: Mapping[str, str]) -> Mapping[str, object]:
        return {
            "status": "firing",
            "labels": dict(labels),
            "annotations": {"summary": "told by the crash test"},
            "startsAt": self._started.isoformat(),
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "",
            "fingerprint": fingerprint(labels),
        }
