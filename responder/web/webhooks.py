"""The machines' route: deliveries of Alertmanager. 2xx only after the intake has stored them.

Alertmanager comes again at once after a 5xx, and after a 4xx not before the next group interval: so what
may work later is a 503, what never will is a 4xx, and one bad alert among good ones is a 200 that says so.
"""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import replace
from time import monotonic
from typing import Any

import structlog
from aiohttp import web

from responder.crash_points import Point, reached
from responder.model.alert import Delivery, Receipt, Rejected
from responder.model.errors import OverloadedError, PermanentError, StoreAwayError, TemporaryError
from responder.web import access, bodies
from responder.web.answers import RequestError, answer
from responder.web.api import Api, WebhookSource

SLICE = 500
"""Alerts that are committed together at most, so that a large delivery lets small ones overtake."""

_HEAD_KEPT = 1024
"""Characters of an over-large body that are kept, and as many again are left out where its head ends."""

_LOG = structlog.get_logger("web")


class Webhooks:
    """The routes on which sources deliver."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._in_flight = bodies.InFlight(api.settings.in_flight_limit, api.settings.retry_after)
        self._large = asyncio.Lock()

    def routes(self) -> list[web.RouteDef]:
        """The routes."""
        return [web.post("/api/v1/webhooks/alertmanager/{source}", self.receive)]

    async def receive(self, request: web.Request) -> web.Response:
        """Take one delivery: who sent it, read, decode, store, answer."""
        source = self._source(request)
        started = monotonic()
        refused = self._api.metrics.alerts_received.labels(source.name, "refused")
        try:
            access.check_source(request, source)
            bodies.require_json(request)
            with self._in_flight.share() as share:
                body = await self._read(request, source, share)
                delivery = await self._decode(source, body)
                reached(Point.DELIVERY_DECODED)
                receipt = await self._take(delivery)
        except (RequestError, TemporaryError):
            refused.inc()
            raise
        finally:
            self._api.metrics.intake_seconds.observe(monotonic() - started)
        self._count(source, receipt)
        return answer(_told(delivery, receipt))

    def _source(self, request: web.Request) -> WebhookSource:
        name = request.match_info["source"]
        source = self._api.sources.get(name)
        if source is None:
            raise RequestError(
                404, f"there is no source {name!r}", field="source", mend="add it to sources in the settings"
            )
        return source

    async def _read(self, request: web.Request, source: WebhookSource, share: bodies.Share) -> bytes:
        limit = self._api.settings.body_limit
        try:
            async with asyncio.timeout(self._api.settings.read_timeout.total_seconds()):
                return await bodies.read(request, limit, share)
        except TimeoutError:
            raise OverloadedError("the body did not arrive in time", self._api.settings.retry_after) from None
        except bodies.TooLargeError as error:
            await self._keep_head(source, error)
            raise RequestError(
                413, str(error), field="the body", mend="set max_alerts in Alertmanager's webhook_configs"
            ) from None

    async def _keep_head(self, source: WebhookSource, error: bodies.TooLargeError) -> None:
        """An over-large delivery is not lost without a trace: its head goes to the dead letters."""
        _LOG.error("a delivery was too large", source=source.name, limit=error.limit)
        letter = Rejected(reason=str(error), payload=self._head(error.head))
        await self._api.intake.take(Delivery(source=source.name, alerts=(), rejected=(letter,)))

    def _head(self, head: bytes) -> str:
        """How the body began, redacted, less the end of what was read: a secret may be cut off there."""
        text = self._api.redaction.document(head.decode("utf-8", "replace"))
        return text[: max(0, len(text) - _HEAD_KEPT)][:_HEAD_KEPT].replace("\x00", "\ufffd")

    async def _decode(self, source: WebhookSource, body: bytes) -> Delivery:
        try:
            if len(body) < self._api.settings.large_body:
                return source.decode(body)
            return await self._decode_beside(source, body)
        except PermanentError as error:
            raise RequestError(400, str(error), field=getattr(error, "field", None) or "the body") from None

    async def _decode_beside(self, source: WebhookSource, body: bytes) -> Delivery:
        if self._large.locked():
            raise OverloadedError("another large delivery is being decoded", self._api.settings.retry_after)
        async with self._large:
            return await asyncio.to_thread(source.decode, body)

    async def _take(self, delivery: Delivery) -> Receipt:
        parts = tuple(_slices(delivery))
        receipts: list[Receipt] = []
        try:
            for part in parts:
                receipts.append(await self._api.intake.take(part))  # noqa: PERF401 - what was taken is counted
        except StoreAwayError:
            for part in parts[len(receipts) :]:
                if self._api.unstored is not None:
                    self._api.unstored(part)
            raise
        return Receipt(
            stored=sum(receipt.stored for receipt in receipts),
            rejected=sum(receipt.rejected for receipt in receipts),
            incidents=tuple(incident for receipt in receipts for incident in receipt.incidents),
        )

    def _count(self, source: WebhookSource, receipt: Receipt) -> None:
        received = self._api.metrics.alerts_received
        received.labels(source.name, "stored").inc(receipt.stored)
        received.labels(source.name, "rejected").inc(receipt.rejected)


def _slices(delivery: Delivery) -> Iterator[Delivery]:
    if len(delivery.alerts) <= SLICE:
        yield delivery
        return
    for start in range(0, len(delivery.alerts), SLICE):
        part = delivery.alerts[start : start + SLICE]
        yield replace(delivery, alerts=part, rejected=() if start else delivery.rejected)


def _told(delivery: Delivery, receipt: Receipt) -> Mapping[str, Any]:
    """What the sender reads: nobody acts on it, but it stands in Alertmanager's debug log."""
    told: dict[str, Any] = {"stored": receipt.stored, "rejected": receipt.rejected}
    if receipt.rejected:
        told["error"] = f"{receipt.rejected} of the alerts were rejected; see the dead letters"
        told["reasons"] = sorted({letter.reason for letter in delivery.rejected})[:10]
    return told
