"""The routes for probes and for Prometheus. They ask for no token and tell no secret."""

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from responder.web.answers import answer
from responder.web.api import Api


class Health:
    """Whether the process lives, whether it is ready, and its metrics."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def routes(self) -> list[web.RouteDef]:
        """The routes."""
        return [
            web.get("/healthz", self.healthz),
            web.get("/readyz", self.readyz),
            web.get("/metrics", self.metrics),
        ]

    async def healthz(self, _request: web.Request) -> web.Response:
        """200 as long as the event loop turns. Nothing else: restarting does not mend a database."""
        return answer({"alive": True})

    async def readyz(self, _request: web.Request) -> web.Response:
        """200 when every part is ready, whatever it warns of; else 503 naming each that is not, and why."""
        parts = await self._api.ready()
        missing = [part for part in parts if not part.ready]
        warnings = [part for part in parts if part.warning]
        told = {"ready": not missing, "not_ready": missing, "warnings": warnings, "parts": parts}
        return answer(told, 503 if missing else 200)

    async def metrics(self, _request: web.Request) -> web.Response:
        """The exposition format."""
        return web.Response(
            body=self._api.metrics.exposition(),
            headers={"Content-Type": CONTENT_TYPE_LATEST, "Cache-Control": "no-store"},
        )
