"""The routes about words to people: what was told by which channel, and a test of one."""

import re
from uuid import UUID

from aiohttp import web

from responder.web.access import actor_of
from responder.web.answers import RequestError, answer
from responder.web.api import Api
from responder.web.bodies import read_as
from responder.web.queries import asked_flag, asked_limit
from responder.web.words import ChannelTest

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Notifications:
    """What people see of the outbox, and how they try a channel."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def routes(self) -> list[web.RouteDef]:
        """The routes."""
        return [
            web.get("/api/v1/notifications", self.list),
            web.post("/api/v1/notifications/test", self.test),
            web.get("/api/v1/notifications/{id}", self.show),
        ]

    async def list(self, request: web.Request) -> web.Response:
        """The newest first, of one incident or of all; and how each channel stands."""
        wanted = request.query.get("incident")
        incident = None if wanted is None else _id(wanted, "incident")
        undelivered = asked_flag(request, "undelivered", default=False)
        found = await self._api.desk.notifications(
            asked_limit(request), incident=incident, undelivered=undelivered
        )
        standings = await self._api.desk.channels(self._api.channels)
        return answer({"notifications": found, "channels": standings, "now": await self._api.store.now()})

    async def show(self, request: web.Request) -> web.Response:
        """One of them."""
        found = await self._api.desk.notification(_id(request.match_info["id"], "id"))
        if found is None:
            raise RequestError(404, "there is no such notification", field="id")
        return answer({"notification": found, "now": await self._api.store.now()})

    async def test(self, request: web.Request) -> web.Response:
        """Send a marked message by one channel, the way of all others: 202, it is looked at by its id."""
        wanted = await read_as(request, ChannelTest)
        if wanted.channel not in self._api.channels:
            raise RequestError(
                404,
                f"there is no channel {wanted.channel}",
                field="channel",
                mend=f"take one of {', '.join(self._api.channels)}, or add it to `channels:` of the settings",
            )
        actor = actor_of(request, wanted.actor)
        text = f"{actor} tries the channel {wanted.channel} of the responder: nothing has happened"
        written = await self._api.desk.write_test(wanted.channel, text)
        self._api.dispatch.wake()
        return answer({"id": written}, 202)


def _id(text: str, field: str) -> UUID:
    if not _ID.fullmatch(text.lower()):
        raise RequestError(400, "this is no whole id", field=field, mend="send all 36 characters of it")
    return UUID(text)
