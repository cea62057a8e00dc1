"""The routes of history: the journal in order, what is imported into it, and the rulebook that is active.

Whoever tries rules on the past does so in a process of their own: replaying a month takes a core for a
minute, and here alerts are answered.
"""

import json
from typing import Any

from aiohttp import web

from responder.model.alert import Alert
from responder.model.rule import Rulebook
from responder.review.words import count
from responder.web.answers import COMMON_HEADERS, RequestError, answer
from responder.web.api import Api
from responder.web.bodies import FILES_LIMIT, read_as
from responder.web.queries import asked_id, asked_limit, asked_moment
from responder.web.words import PastEpisode, PastEpisodes

LINES = "application/x-ndjson"


class HistoryRoutes:
    """What fired before now."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def routes(self) -> list[web.RouteDef]:
        """The routes."""
        return [
            web.get("/api/v1/rulebook", self.rulebook),
            web.get("/api/v1/journal", self.span),
            web.get("/api/v1/journal/rows", self.rows),
            web.get("/api/v1/journal/recorded", self.recorded),
            web.get("/api/v1/journal/alerts", self.alerts),
            web.post("/api/v1/journal/imported", self.keep),
        ]

    async def rulebook(self, _request: web.Request) -> web.Response:
        """The active rulebook, whole: what a backtest compares with."""
        book = await self._api.store.active_rulebook() or Rulebook(rules=())
        return answer({"hash": book.hash, "rulebook": book.model_dump(mode="json", by_alias=True)})

    async def span(self, _request: web.Request) -> web.Response:
        """Since when alerts are heard of, and the time of the service."""
        heard_since = await self._api.history.heard_since()
        now, sources = await self._api.store.now(), list(self._api.sources)
        return answer({"heard_since": heard_since, "now": now, "sources": sources})

    async def rows(self, request: web.Request) -> web.Response:
        """Rows after one moment and before another, each a line; the first says where the next page is.

        The last page is the one after which the next one would begin at `until`, or a microsecond before.
        """
        after, until = asked_moment(request, "after"), asked_moment(request, "until")
        page = await self._api.history.rows(after, until, asked_limit(request))
        body = "\n".join((json.dumps(page.after.isoformat()), *page.lines))
        return web.Response(text=body, content_type=LINES, headers=COMMON_HEADERS)

    async def recorded(self, request: web.Request) -> web.Response:
        """What was decided, done and said in incidents that opened in a span; each fact is a line.

        The first line says after which incident the next page begins (null: this is the last), and until
        when everything is told.
        """
        since, until = asked_moment(request, "since"), asked_moment(request, "until")
        after, limit = asked_id(request, "after"), asked_limit(request)
        page = await self._api.history.recorded(since, until, after, limit)
        head = json.dumps([page.after and str(page.after), page.complete_until.isoformat()])
        return web.Response(text="\n".join((head, *page.lines)), content_type=LINES, headers=COMMON_HEADERS)

    async def alerts(self, request: web.Request) -> web.Response:
        """The alerts that were heard of since then, by source and fingerprint."""
        after = (request.query.get("source", ""), request.query.get("fingerprint", ""))
        page = await self._api.history.heard(asked_moment(request, "since"), after, asked_limit(request))
        return answer(page.model_dump(mode="json"))

    async def keep(self, request: web.Request) -> web.Response:
        """Keep episodes that somebody else remembers. They open, join and wake no incident."""
        wanted = await read_as(request, PastEpisodes, FILES_LIMIT)
        if wanted.source not in self._api.sources:
            known = ", ".join(self._api.sources) or "none"
            raise RequestError(
                400, f"there is no source {wanted.source!r}", field="source", mend=f"sources: {known}"
            )
        alerts = self._as_delivered(wanted)
        return answer((await self._api.history.keep(wanted.source, alerts)).model_dump(mode="json"))

    def _as_delivered(self, wanted: PastEpisodes) -> tuple[Alert, ...]:
        """The very alerts that the source would have delivered: known by the same labels, without secrets."""
        posted = {"version": "4", "alerts": [_posted(one) for one in wanted.episodes]}
        delivery = self._api.sources[wanted.source].decode(json.dumps(posted).encode())
        if delivery.rejected:
            first, number = delivery.rejected[0].reason, len(delivery.rejected)
            raise RequestError(400, f"{count(number, 'episode')} cannot be kept: {first}", field="episodes")
        ends = {(one.fingerprint, one.starts_at): one for one in delivery.alerts}
        return tuple(ends.values())


def _posted(one: PastEpisode) -> dict[str, Any]:
    return {
        "status": "firing" if one.ends_at is None else "resolved",
        "labels": one.labels,
        "annotations": {},
        "startsAt": one.starts_at.isoformat(),
        "endsAt": None if one.ends_at is None else one.ends_at.isoformat(),
    }
