"""The routes about limits over many incidents: budgets, and the circuit breakers of rules."""

from aiohttp import web

from responder.decide.budgets import accounts
from responder.web.access import actor_of
from responder.web.answers import RequestError, answer
from responder.web.api import Api
from responder.web.bodies import read_as
from responder.web.queries import LARGEST_LIMIT, asked_flag, asked_limit
from responder.web.words import BreakerReset


class Limits:
    """What people see of them, and how a breaker is reset."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def routes(self) -> list[web.RouteDef]:
        """The routes."""
        return [
            web.get("/api/v1/budgets", self.budgets),
            web.get("/api/v1/breakers", self.breakers),
            web.post("/api/v1/breakers/reset", self.reset),
        ]

    async def budgets(self, _request: web.Request) -> web.Response:
        """Every budget that anything was spent of: how much, by which starts, when it frees."""
        now, budgets = await self._api.store.now(), self._api.budgets
        starts = await self._api.desk.starts(now - budgets.within, LARGEST_LIMIT)
        told = [
            {**account.budget.model_dump(mode="json"), "starts": account.starts}
            for account in accounts(starts, budgets, now)
        ]
        within = budgets.model_dump(mode="json")["within"]
        return answer({"budgets": told, "within": within, "now": now})

    async def breakers(self, request: web.Request) -> web.Response:
        """Open circuit breakers; with `all` also those that were reset, by whom and why."""
        every = asked_flag(request, "all", default=False)
        found = await self._api.desk.breakers(asked_limit(request), open_only=not every)
        return answer({"breakers": found, "now": await self._api.store.now()})

    async def reset(self, request: web.Request) -> web.Response:
        """Close the circuit breaker of a rule: its next incident may act again."""
        wanted = await read_as(request, BreakerReset)
        if not await self._api.desk.reset_breaker(
            wanted.rule, actor_of(request, wanted.actor), wanted.reason
        ):
            raise RequestError(
                409,
                f"the circuit breaker of {wanted.rule} is not open",
                field="rule",
                mend="responder breaker list shows which are",
            )
        return answer({"rule": wanted.rule, "reset": True})
