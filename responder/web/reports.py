"""The routes of reports: what is told about many incidents together."""

from datetime import timedelta

from aiohttp import web

from responder.model.duration import parse_duration
from responder.review.shadow import report
from responder.web.answers import RequestError, answer
from responder.web.api import Api

_MOST = 10_000
"""Runs that one report reads; the newest ones."""
_USUAL = timedelta(days=30)


class Reports:
    """What people read who think about many incidents."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def routes(self) -> list[web.RouteDef]:
        """The routes."""
        return [web.get("/api/v1/reports/shadow", self.shadow)]

    async def shadow(self, request: web.Request) -> web.Response:
        """What steps in shadow would have done in the last `since` (30d), of one `rule` or of all."""
        until = await self._api.store.now()
        since = until - _asked_span(request)
        told = await self._api.desk.shadow_runs(since, request.query.get("rule"), _MOST + 1)
        return answer(report(told[:_MOST], since, until, cut=len(told) > _MOST))


def _asked_span(request: web.Request) -> timedelta:
    text = request.query.get("since")
    if text is None:
        return _USUAL
    try:
        span = parse_duration(text)
    except ValueError as error:
        raise RequestError(400, str(error), field="since", mend="send a duration like 12h or 30d") from None
    if not timedelta(0) < span <= timedelta(days=3650):
        raise RequestError(400, f"{text} is no time to look back", field="since", mend="send 1s to 10y")
    return span
