"""The machines' route: deliveries of Alertmanager. 2xx only after the intake has stored them.

Alertmanager comes again at once after a 5xx, and after a 4xx not before the next group interval: so what
may work later is a 503, what never will is a 4xx, and one bad alert among good ones is a 200 that says so.
"""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Any, Self

import structlog
from aiohttp import web
from prometheus_client import Counter

from responder.crash_points import Point, reached
from responder.model.alert import Delivery, Receipt, Rejected
from responder.model.errors import OverloadedError, PermanentError, StoreAwayError, TemporaryError
from responder.web import access, bodies
from responder.web.answers import RequestError, answer
from responder.web.api import Api, WebhookSource

SLICE = 500
"""Alerts that are committed together at most, so that a large delivery lets small ones overtake."""
DECODED_BESIDE = 32 * 1024
"""Bytes from which on a body is decoded beside the event loop: the worst of them takes seconds."""
_REASONS_TOLD = 10

_HEAD_KEPT = 1024
"""Characters of an over-large body that are kept, and as many again are left out where its head ends."""

_LOG = structlog.get_logger("web")


class Webhooks:
    """The routes on which sources deliver."""

    def __init__(self, api: Api) -> None:
        self._api = api
        web_settings = api.settings
        self._in_flight = bodies.InFlight(
            web_settings.in_flight_limit, web_settings.large_body, web_settings.retry_after
        )
        self._counted = {name: _Counted.of(api, name) for name in api.sources}

    def routes(self) -> list[web.RouteDef]:
        """The routes."""
        return [web.post("/api/v1/webhooks/alertmanager/{source}", self.receive)]

    async def receive(self, request: web.Request) -> web.Response:
        """Take one delivery: who sent it, is there room, read, decode, store, answer."""
        source = self._source(request)
        started = monotonic()
        counted = self._counted[source.name]
        try:
            access.check_source(request, source)
            bodies.require_json(request)
            self._admit()
            with self._in_flight.share() as share:
                body = await self._read(request, source, share)
                told = await self._take(source, body, large=share.large)
        except (RequestError, TemporaryError):
            counted.refused.inc()
            raise
        finally:
            self._api.metrics.intake_seconds.observe(monotonic() - started)
        return answer(told.as_json())

    def _admit(self) -> None:
        """Refuse before the body is read; not where a P0 in it would page while the database is away."""
        try:
            self._api.intake.admit()
        except StoreAwayError:
            if self._api.unstored is None:
                raise

    def _source(self, request: web.Request) -> WebhookSource:
        name = request.match_info["source"]
        source = self._api.sources.get(name)
        if source is None:
            raise RequestError(
                404, f"there is no source {name!r}", field="source", mend="add it to sources in the settings"
            )
        return source

    async def _read(self, request: web.Request, source: WebhookSource, share: bodies.Share) -> bytearray:
        settings = self._api.settings
        try:
            return await bodies.read(request, settings.body_limit, settings.read_timeout, share)
        except TimeoutError:
            raise OverloadedError("the body did not arrive in time", settings.retry_after) from None
        except bodies.TooLargeError as error:
            await self._keep_head(source, error)
            raise RequestError(
                413,
                str(error),
                field="the body",
                mend="group by more labels (group_by in Alertmanager's route), or raise web.body_limit",
            ) from None

    async def _keep_head(self, source: WebhookSource, error: bodies.TooLargeError) -> None:
        """An over-large delivery is not lost without a trace: its head goes to the dead letters."""
        reason = f"{error}: it had {error.size} or more"
        letter = Rejected(reason, self._head(error.head), missed=True)
        await self._store(source, Delivery(source=source.name, alerts=(), rejected=(letter,)), _Told())

    def _head(self, head: bytes) -> str:
        """How the body began, redacted, less the end of what was read: a secret may be cut off there."""
        text = self._api.redaction.document(head.decode("utf-8", "replace"))
        return text[: max(0, len(text) - _HEAD_KEPT)][:_HEAD_KEPT].replace("\x00", "\ufffd")

    async def _take(self, source: WebhookSource, body: bytearray, *, large: bool) -> "_Told":
        """Store all of a body, slice by slice, each its own commit.

        Of what the database could not take, what has to page now does; then StoreAwayError is raised.
        """
        told, away = _Told(), None
        parts = source.divide(body) if large else _slices(await self._decode(source, bytes(body)))
        while (part := await self._next(parts, large=large)) is not None:
            try:
                if away is None:
                    await self._store(source, part, told)
            except StoreAwayError as error:
                away = error
            if away is not None:
                self._not_stored(part, away)
        if away is not None:
            raise away
        return told

    async def _next(self, parts: Iterator[Delivery], *, large: bool) -> Delivery | None:
        """The next slice. Of a large body it is decoded beside the loop, when the one before is stored."""
        try:
            return await asyncio.to_thread(next, parts, None) if large else next(parts, None)
        except PermanentError as error:
            raise _no_payload(error) from None

    def _not_stored(self, part: Delivery, away: StoreAwayError) -> None:
        if self._api.unstored is None:
            raise away
        self._api.unstored(part)

    async def _decode(self, source: WebhookSource, body: bytes) -> Delivery:
        try:
            if len(body) < DECODED_BESIDE:
                return source.decode(body)
            return await asyncio.to_thread(source.decode, body)
        except PermanentError as error:
            raise _no_payload(error) from None

    async def _store(self, source: WebhookSource, part: Delivery, told: "_Told") -> None:
        reached(Point.DELIVERY_DECODED)
        receipt = await self._api.intake.take(part)
        told.add(part, receipt)
        counted = self._counted[source.name]
        counted.stored.inc(receipt.stored)
        counted.rejected.inc(receipt.rejected)
        for letter in part.rejected:
            if letter.missed:
                self._api.metrics.alerts_missed.labels(source.name).inc()
                _LOG.error("alerts of a source were missed", source=source.name, reason=letter.reason)


def _no_payload(error: PermanentError) -> RequestError:
    return RequestError(400, str(error), field=getattr(error, "field", None) or "the body")


@dataclass(frozen=True, slots=True)
class _Counted:
    """One source's alerts by what became of them: found once, not at each request."""

    stored: Counter
    rejected: Counter
    refused: Counter

    @classmethod
    def of(cls, api: Api, source: str) -> Self:
        received = api.metrics.alerts_received
        return cls(*(received.labels(source, outcome) for outcome in ("stored", "rejected", "refused")))


def _slices(delivery: Delivery) -> Iterator[Delivery]:
    if len(delivery.alerts) <= SLICE:
        yield delivery
        return
    for start in range(0, len(delivery.alerts), SLICE):
        part = delivery.alerts[start : start + SLICE]
        yield replace(delivery, alerts=part, rejected=() if start else delivery.rejected)


@dataclass(slots=True)
class _Told:
    """What the sender reads: nobody acts on it, but it stands in Alertmanager's debug log."""

    stored: int = 0
    rejected: int = 0
    reasons: set[str] = field(default_factory=set)

    def add(self, part: Delivery, receipt: Receipt) -> None:
        """One more slice is stored."""
        self.stored += receipt.stored
        self.rejected += receipt.rejected
        for letter in part.rejected:
            if len(self.reasons) < _REASONS_TOLD:
                self.reasons.add(letter.reason)

    def as_json(self) -> Mapping[str, Any]:
        """The answer's body."""
        told: dict[str, Any] = {"stored": self.stored, "rejected": self.rejected}
        if self.rejected:
            told["error"] = f"alerts that were rejected: {self.rejected}; see the dead letters"
            told["reasons"] = sorted(self.reasons)
        return told
