"""The routes about the whole service: anchor, held targets, alerts that no rule took."""

from aiohttp import web

from responder.web.access import actor_of, bearer_of
from responder.web.answers import RequestError, answer
from responder.web.api import Api
from responder.web.bodies import FILES_LIMIT, read_as
from responder.web.queries import asked_limit
from responder.web.roles import Role, places
from responder.web.words import AnchorLines, TargetRelease


class Operations:
    """What people see of the service and do with it."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def routes(self) -> list[web.RouteDef]:
        """The routes."""
        return [
            web.get("/api/v1/whoami", self.whoami),
            web.get("/api/v1/service", self.service),
            web.get("/api/v1/anchor", self.anchor),
            web.post("/api/v1/anchor/verify", self.verify_anchor),
            web.get("/api/v1/targets", self.targets),
            web.post("/api/v1/targets/release", self.release),
            web.get("/api/v1/alerts/unmatched", self.unmatched),
        ]

    async def whoami(self, request: web.Request) -> web.Response:
        """Who asks, by the token, and what they may do where."""
        bearer = bearer_of(request)
        grants = [
            {"role": grant.role, "scope": [str(matcher) for matcher in grant.scope]}
            for grant in bearer.grants
        ]
        return answer({"name": bearer.name, "identity": bearer.identity, "grants": grants})

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
        await self._require_release(request, wanted.target)
        actor = actor_of(request, wanted.actor)
        if not await self._api.desk.release(wanted.target, actor, wanted.reason):
            raise RequestError(
                409,
                f"{wanted.target} is not quarantined",
                field="target",
                mend="responder targets list shows what is",
            )
        return answer({"target": wanted.target, "released": True})

    async def _require_release(self, request: web.Request, target: str) -> None:
        """A target is let go by whoever may act on the incident that holds it."""
        holders = [claim.incident_id for claim in await self._api.desk.claims() if claim.target == target]
        for holder in holders:
            dossier = await self._api.desk.incident(holder)
            if dossier is not None:
                bearer_of(request).require(Role.APPROVER, places(dossier))

    async def unmatched(self, request: web.Request) -> web.Response:
        """Firing alerts that no rule took."""
        return answer({"alerts": await self._api.desk.unmatched(asked_limit(request))})
