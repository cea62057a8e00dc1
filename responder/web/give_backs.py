"""The routes about what is given back later: what is owed, and that it is kept instead."""

from aiohttp import web

from responder.web.access import actor_of, bearer_of
from responder.web.answers import RequestError, answer
from responder.web.api import Api
from responder.web.bodies import read_as
from responder.web.queries import asked_flag, asked_limit
from responder.web.roles import Role, places
from responder.web.words import KeptGiveBack


class GiveBacks:
    """What people see of it, and how it is kept."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def routes(self) -> list[web.RouteDef]:
        """The routes."""
        return [
            web.get("/api/v1/give-backs", self.list),
            web.post("/api/v1/give-backs/keep", self.keep),
        ]

    async def list(self, request: web.Request) -> web.Response:
        """What is owed back, the next due first; with `all` also what was given back or is kept."""
        every = asked_flag(request, "all", default=False)
        found = await self._api.desk.owing(asked_limit(request), pending_only=not every)
        return answer({"give_backs": found, "now": await self._api.store.now()})

    async def keep(self, request: web.Request) -> web.Response:
        """What was done stays. Whoever may decide that something is done there decides that, too."""
        wanted = await read_as(request, KeptGiveBack)
        actor = actor_of(request, wanted.actor)
        owed = await self._api.desk.owed(wanted.attempt)
        if owed is not None:
            dossier = await self._api.desk.incident(owed.incident_id)
            if dossier is not None:
                bearer_of(request).require(Role.APPROVER, places(dossier))
        if owed is None or not await self._api.desk.keep(owed, actor, wanted.reason):
            raise RequestError(
                409,
                f"attempt {wanted.attempt} owes nothing back any more",
                field="attempt",
                mend="responder givebacks list shows what is owed",
            )
        return answer({"attempt": wanted.attempt, "kept": True})
