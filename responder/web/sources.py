"""The routes about sources: whether each can be asked for all its alerts, how that goes, and to ask now."""

from typing import Any

from aiohttp import web

from responder.model.source import SourceStanding
from responder.web.access import actor_of
from responder.web.answers import RequestError, answer
from responder.web.api import Api
from responder.web.bodies import read_as
from responder.web.words import RoundAsked


class Sources:
    """What people see of the sources and ask of them."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def routes(self) -> list[web.RouteDef]:
        """The routes."""
        return [
            web.get("/api/v1/sources", self.list),
            web.post("/api/v1/sources/{name}/reconcile", self.reconcile),
        ]

    async def list(self, _request: web.Request) -> web.Response:
        """Every source of the settings; those with an API with what came of asking it."""
        found = {one.source: one for one in await self._api.desk.source_standings()}
        told = [_told(name, found.get(name) if self._asked(name) else None) for name in self._api.sources]
        return answer({"sources": told, "now": await self._api.store.now()})

    async def reconcile(self, request: web.Request) -> web.Response:
        """Have a source asked for all its alerts now, by whichever replica has the turn."""
        wanted = await read_as(request, RoundAsked)
        name = request.match_info["name"]
        if name not in self._api.sources:
            known = ", ".join(self._api.sources) or "none"
            raise RequestError(404, f"there is no source {name}", field="name", mend=f"there are: {known}")
        if not self._asked(name) or not await self._api.desk.ask_for_round(
            name, actor_of(request, wanted.actor)
        ):
            raise RequestError(
                409,
                f"{name} has no API that could be asked",
                field="name",
                mend="give its `alertmanager:` addresses, every peer of the cluster",
            )
        return answer({"source": name, "asked": True})

    def _asked(self, name: str) -> bool:
        return name in self._api.askable


def _told(name: str, standing: SourceStanding | None) -> dict[str, Any]:
    if standing is None:
        return {"name": name, "asked": False}
    known = standing.model_dump(mode="json", exclude={"now", "epoch", "source"})
    return {"name": name, "asked": True, **known, "age_s": standing.age_s}
