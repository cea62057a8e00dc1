"""The routes about the whole service: halt, anchor, held targets, alerts that no rule took."""

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from responder.web.answers import RequestError, answer
from responder.web.api import Api
from responder.web.bodies import FILES_LIMIT, read_as
from responder.web.queries import asked_limit
from responder.web.words import Act, AnchorLines, TargetRelease


class Operations:
    """What people see of the service and do with it."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def routes(self) -> list[web.RouteDef]:
        """The routes."""
        return [
            web.get("/api/v1/service", self.service),
            web.get("/api/v1/halt", self.show_halt),
            web.post("/api/v1/halt", self.halt),
            web.post("/api/v1/resume", self.resume),
            web.get("/api/v1/anchor", self.anchor),
            web.post("/api/v1/anchor/verify", self.verify_anchor),
            web.get("/api/v1/targets", self.targets),
            web.post("/api/v1/targets/release", self.release),
            web.get("/api/v1/alerts/unmatched", self.unmatched),
        ]

    async def service(self, _request: web.Request) -> web.Response:
        """What this process was started with, and whether its halt file halts it now."""
        told = self._api.started_with
        return answer(
            {
                "settings": told.settings,
                "halt_file": told.halt_file,
                "halted_by_file": self._api.halt_file(),
            }
        )

    async def show_halt(self, _request: web.Request) -> web.Response:
        """Whether anything halts, and what."""
        return answer(await self._halts())

    async def halt(self, request: web.Request) -> web.Response:
        """Set the flag that stops every replica."""
        act = await read_as(request, Act)
        await self._api.desk.halt(act.actor, act.reason)
        return answer(await self._halts())

    async def resume(self, request: web.Request) -> web.Response:
        """Clear the flag, and name what still holds: a file is removed where it was made."""
        act = await read_as(request, Act)
        await self._api.desk.resume(act.actor, act.reason)
        return answer(await self._halts())

    async def anchor(self, _request: web.Request) -> web.Response:
        """How the anchoring of the timelines stands."""
        return answer(self._api.anchor())

    async def verify_anchor(self, request: web.Request) -> web.Response:
        """What each line of an anchor file says of the timelines as they are now."""
        told = await read_as(request, AnchorLines, FILES_LIMIT)
        checks = await self._api.desk.check_anchors(told.lines)
        return answer({"holds": all(check.holds for check in checks), "lines": checks})

    async def targets(self, _request: web.Request) -> web.Response:
        """Every held target, with who holds it."""
        return answer({"targets": await self._api.desk.claims(), "now": await self._api.store.now()})

    async def release(self, request: web.Request) -> web.Response:
        """Release a quarantined target. A target that an attempt holds is released by its end alone."""
        wanted = await read_as(request, TargetRelease)
        if not await self._api.desk.release(wanted.target, wanted.actor, wanted.reason):
            raise RequestError(
                409,
                f"{wanted.target} is not quarantined",
                field="target",
                mend="responder targets list shows what is",
            )
        return answer({"target": wanted.target, "released": True})

    async def unmatched(self, request: web.Request) -> web.Response:
        """Firing alerts that no rule took."""
        return answer({"alerts": await self._api.desk.unmatched(asked_limit(request))})

    async def _halts(self) -> dict[str, Any]:
        holds = await self._holds()
        return {"halted": bool(holds), "by": holds}

    async def _holds(self) -> Sequence[dict[str, str]]:
        """Flag and file, each with its reason: both must be gone."""
        told = {"flag": await self._api.store.halted(), "file": self._api.halt_file()}
        return [{"what": what, "reason": reason} for what, reason in told.items() if reason is not None]
