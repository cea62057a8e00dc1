"""The routes for probes and for Prometheus. They ask for no token and tell no secret."""

from collections.abc import Sequence

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from responder.web.answers import COMMON_HEADERS, answer
from responder.web.api import Api, Part


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

    async def readyz(self, request: web.Request) -> web.Response:
        """200 when every part is ready, whatever it warns of; else 503 naming each that is not, and why.

        For people with `?format=text`, one line for each part, the worst first.
        """
        parts = await self._api.ready()
        missing = [part for part in parts if not part.ready]
        warnings = [part for part in parts if part.ready and part.warning]
        status = 503 if missing else 200
        if request.query.get("format") == "text":
            return web.Response(text=_in_words(parts), status=status, headers=COMMON_HEADERS)
        told = {"ready": not missing, "not_ready": missing, "warnings": warnings, "parts": parts}
        return answer(told, status)

    async def metrics(self, _request: web.Request) -> web.Response:
        """The exposition format."""
        return web.Response(
            body=self._api.metrics.exposition(),
            headers={"Content-Type": CONTENT_TYPE_LATEST, "Cache-Control": "no-store"},
        )


def _in_words(parts: Sequence[Part]) -> str:
    ordered = sorted(parts, key=lambda part: (part.ready, not part.warning))
    ready = all(part.ready for part in parts)
    lines = ["ready: deliveries are taken in" if ready else "not ready: no delivery is taken in"]
    for part in ordered:
        word = "ok" if part.ready and not part.warning else "warning" if part.ready else "not ready"
        affects = f". {part.affects}" if part.affects and word != "ok" else ""
        lines.append(f"{word:9}  {part.name}: {part.text}{affects}")
    return "\n".join(lines) + "\n"
