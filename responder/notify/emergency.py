"""Pages without a store: for a P0 that comes while the database is away.

The one path that keeps nothing: what was paged is remembered in memory alone, each replica for itself. So
it is bounded in every way, and every page says that there is no record of it. `Pacing` decides,
`EmergencyWebhook` sends; whoever asks for a page never waits.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import uuid4

import structlog

from responder.clients.webhook import Webhook
from responder.model.alert import AlertKey
from responder.model.base import canonical_json
from responder.model.errors import PermanentError, TemporaryError
from responder.ports import EmergencyPage
from responder.telemetry import Metrics

NOTICE = "store unavailable: this page was sent without a record"
ONCE_IN = timedelta(minutes=15)
"""At most one page in this time for each alert; and for so long a page is tried."""
_MINUTE = timedelta(minutes=1)
_REMEMBERED = 50_000
"""Alerts that are remembered at most."""
_NAMED = 20
"""Rules that the page with the number of the others names at most."""
_LONGEST_PAUSE = 30.0
_GRACE = timedelta(seconds=5)

_log = structlog.get_logger(__name__)


class Admission(StrEnum):
    """What becomes of a wanted page."""

    SENT = "sent"
    REPEATED = "repeated"
    """It was paged, or counted, in the last 15 minutes."""
    COUNTED = "counted"
    """This minute has had its pages: it is in the number that follows."""


@dataclass(slots=True)
class Pacing:
    """Which pages are sent, by a clock in seconds that the caller passes in."""

    per_minute: int
    remembered: int = _REMEMBERED
    left_out: dict[str, int] = field(default_factory=dict)
    """How many pages of each rule are counted and not told yet."""
    _paged: dict[AlertKey, float] = field(default_factory=dict)
    """When each alert was paged or counted, the oldest first."""
    _minute_began: float = float("-inf")
    _in_minute: int = 0

    def admit(self, key: AlertKey, rule: str, now: float) -> Admission:
        """Whether a page for this alert is sent now."""
        self._forget(now)
        if key in self._paged:
            return Admission.REPEATED
        known = len(self._paged) < self.remembered
        if known:
            self._paged[key] = now
        if not self.left_out and now - self._minute_began >= _MINUTE.total_seconds():
            self._minute_began, self._in_minute = now, 0
        if known and self._in_minute < self.per_minute:
            self._in_minute += 1
            return Admission.SENT
        self.left_out[rule] = self.left_out.get(rule, 0) + 1
        return Admission.COUNTED

    def summary_in(self, now: float) -> float | None:
        """Seconds until the counted ones are told; None where there are none."""
        if not self.left_out:
            return None
        return max(0.0, self._minute_began + _MINUTE.total_seconds() - now)

    def summary(self, now: float) -> dict[str, int]:
        """The counted ones, by rule, once their minute is over; they are told with this."""
        if self.summary_in(now) != 0:
            return {}
        counted, self.left_out = self.left_out, {}
        return counted

    def _forget(self, now: float) -> None:
        while self._paged:
            key, at = next(iter(self._paged.items()))
            if now - at < ONCE_IN.total_seconds():
                return
            del self._paged[key]


@dataclass(frozen=True, slots=True)
class _Message:
    id: str
    body: bytes
    asked_at: float


class EmergencyWebhook:
    """Sends pages one after the other, each until the receiver has it. Implements `ports.EmergencyPager`.

    Args:
        receiver: where to.
        pacing: how many.
        timeout: for one try.
        metrics: where it is counted.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        receiver: Webhook,
        pacing: Pacing,
        timeout: timedelta,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._receiver = receiver
        self._pacing = pacing
        self._timeout = timeout
        self._pages = metrics.emergency_pages
        self._clock = clock
        self._waiting: deque[_Message] = deque()
        self._something = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    def page(self, page: EmergencyPage) -> None:
        """See `ports.EmergencyPager.page`."""
        now = self._clock()
        admission = self._pacing.admit(AlertKey(page.source, page.fingerprint), page.rule, now)
        if admission is not Admission.SENT:
            self._pages.labels(admission.value).inc()
        if admission is Admission.SENT:
            told = page.model_dump(mode="json")
            self._enqueue("responder.emergency_page", {"severity": "P0", **told}, now)
        self._something.set()

    def start(self) -> None:
        """Begin to send."""
        self._task = asyncio.create_task(self._run(), name="emergency pages")

    async def close(self) -> None:
        """Send what waits, within a few seconds, and end."""
        self._closing = True
        self._something.set()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=_GRACE.total_seconds())
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._waiting:
            _log.error("emergency pages were not sent before the end", pages=len(self._waiting))
        await self._receiver.close()

    async def _run(self) -> None:
        failures = 0
        while True:
            self._count_up()
            if self._waiting:
                failures = 0 if await self._next() else failures + 1
                if failures:
                    await asyncio.sleep(min(2.0 ** (failures - 1), _LONGEST_PAUSE))
            elif self._closing:
                return
            else:
                await self._wait()

    async def _wait(self) -> None:
        """Until something is asked for, or the counted ones are to be told."""
        self._something.clear()
        try:
            async with asyncio.timeout(self._pacing.summary_in(self._clock())):
                await self._something.wait()
        except TimeoutError:
            pass

    async def _next(self) -> bool:
        """Try the message that has waited longest; what is not taken now goes behind the others."""
        message = self._waiting.popleft()
        if self._clock() - message.asked_at > ONCE_IN.total_seconds():
            self._failed("it was tried for 15 minutes")
            return True
        try:
            await self._receiver.send(message.id, message.body, self._timeout)
        except TemporaryError as error:
            _log.warning("an emergency page is tried again", error=str(error))
            self._waiting.append(message)
            return False
        except PermanentError as error:
            self._failed(str(error))
            return True
        except asyncio.CancelledError:
            self._waiting.append(message)
            raise
        except Exception:  # noqa: BLE001 - logged; pages must go on, whatever one of them met
            _log.exception("an emergency page met a fault of ours")
            self._failed("a fault of ours")
            return False
        self._pages.labels(Admission.SENT.value).inc()
        return True

    def _count_up(self) -> None:
        """The one page for all that were only counted."""
        now = self._clock()
        if counted := self._pacing.summary(float("inf") if self._closing else now):
            rules = dict(sorted(counted.items(), key=lambda rule: -rule[1])[:_NAMED])
            more = {"severity": "P0", "count": sum(counted.values()), "rules": rules}
            self._enqueue("responder.emergency_summary", more, now)

    def _enqueue(self, kind: str, data: dict[str, Any], now: float) -> None:
        at = datetime.now(UTC).isoformat()
        body = canonical_json({"type": kind, "timestamp": at, "data": {"notice": NOTICE, **data}})
        self._waiting.append(_Message(f"msg_{uuid4().hex}", body.encode(errors="replace"), now))

    def _failed(self, why: str) -> None:
        self._pages.labels("failed").inc()
        _log.error("an emergency page could not be sent", error=why)
