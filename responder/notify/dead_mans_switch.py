"""The responder's own dead man's switch: a sign of life to an address outside, which pages when it stays out.

Alert rules about the responder need a Prometheus and an Alertmanager that still work. This needs neither:
the address belongs to a service of somebody else, and what it hears is that this process is ready. Nothing
is sent while it is not: a responder that runs and cannot do its work is as silent as a dead one.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import structlog
from yarl import URL

from responder.clients.http import Access, HttpClient
from responder.model.base import Frozen
from responder.model.errors import ResponderError, TemporaryError
from responder.notify.settings import DeadMansSwitchSettings
from responder.telemetry import Metrics

_log = structlog.get_logger(__name__)

_SMALL = 64 * 1024


class LastSign(Frozen):
    """How the switch stands: when a sign was taken last, and why the newest one was not."""

    taken_at: datetime | None = None
    """By this machine's clock: it is compared with nothing."""
    problem: str | None = None


class DeadMansSwitch:
    """Sends a sign of life again and again. `unready` says why this process is not ready, or None."""

    def __init__(
        self,
        settings: DeadMansSwitchSettings,
        address: URL,
        unready: Callable[[], Awaitable[str | None]],
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._path = address.raw_path_qs
        self._unready = unready
        self._metrics = metrics
        self._client = HttpClient(
            str(address.origin()), Access(ca_file=settings.ca_file, response_limit=_SMALL)
        )
        self.last = LastSign()

    async def run(self) -> None:
        """Until cancelled. Whatever fails with one sign, the next one is sent in time."""
        while True:
            self.last = await self._sign()
            self._metrics.life_signs.labels(outcome="taken" if self.last.problem is None else "missed").inc()
            await asyncio.sleep(self._settings.every.total_seconds())

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _sign(self) -> LastSign:
        try:
            if (why := await self._unready()) is not None:
                return self._missed(f"none is sent while this process is not ready: {why}")
            await self._send()
        except ResponderError as error:
            return self._missed(str(error))
        except Exception as error:  # noqa: BLE001 - told; a sign that stays out for a fault of ours must come again
            return self._missed(type(error).__name__)
        return LastSign(taken_at=datetime.now(UTC))

    async def _send(self) -> None:
        answer = await self._client.post(self._path, b"", {}, self._settings.timeout)
        if not answer.ok:
            raise TemporaryError(f"{self._client.name} answered {answer.reason}")

    def _missed(self, problem: str) -> LastSign:
        if problem != self.last.problem:
            _log.warning("the dead man's switch got no sign of life", why=problem)
        return LastSign(taken_at=self.last.taken_at, problem=problem)
