"""The routes about dead letters: list, show, retry, drop.

A retried letter is decoded as its source would deliver it now, and taken in through the intake like any other
delivery: it is gone in the transaction that stores what it held.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from aiohttp import web

from responder.model.alert import Alert, Delivery, Retried, rejected
from responder.model.errors import PermanentError
from responder.model.redaction import is_redacted
from responder.ports import DeadLetter
from responder.review.words import count
from responder.web.access import actor_of
from responder.web.answers import RequestError, answer
from responder.web.api import Api
from responder.web.bodies import read_as
from responder.web.queries import asked_limit
from responder.web.words import LetterDrop, LetterRetry

FRESH = timedelta(hours=1)
"""How old a letter may be that is retried without a word: what fired then counts as firing now."""
_LARGEST = 2**63 - 1
_NOBODY_KNOWS = "its labels were redacted, so nobody can tell which alert it is: the source has to send it"


class DeadLetters:
    """What could not be used, and what people do with it."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def routes(self) -> list[web.RouteDef]:
        """The routes."""
        return [
            web.get("/api/v1/dead-letters", self.list),
            web.get("/api/v1/dead-letters/{id}", self.show),
            web.post("/api/v1/dead-letters/retry", self.retry),
            web.post("/api/v1/dead-letters/drop", self.drop),
        ]

    async def list(self, request: web.Request) -> web.Response:
        """The newest first, each with the head of its payload."""
        return answer({"dead_letters": await self._api.desk.dead_letters(asked_limit(request))})

    async def show(self, request: web.Request) -> web.Response:
        """One, whole."""
        text = request.match_info["id"]
        letter = await self._api.desk.dead_letter(_number(text))
        if letter is None:
            raise RequestError(
                404,
                f"there is no dead letter {text}",
                field="id",
                mend="responder deadletters list shows them",
            )
        return answer({"dead_letter": letter})

    async def retry(self, request: web.Request) -> web.Response:
        """Take letters in again, each on its own; what became of each, in words."""
        wanted = await read_as(request, LetterRetry)
        actor = actor_of(request, wanted.actor)
        told = [await self._again(number, wanted, actor) for number in dict.fromkeys(wanted.ids)]
        return answer({"letters": told})

    async def drop(self, request: web.Request) -> web.Response:
        """Remove letters; who did it and why is kept."""
        wanted = await read_as(request, LetterDrop)
        gone = await self._api.desk.drop_dead_letters(
            wanted.ids, actor_of(request, wanted.actor), wanted.reason
        )
        return answer({"dropped": gone, "unknown": sorted(set(wanted.ids) - set(gone))})

    async def _again(self, number: int, wanted: LetterRetry, actor: str) -> dict[str, Any]:
        letter = await self._api.desk.dead_letter(number)
        if letter is None:
            return _told(number, "there is no such dead letter")
        age = await self._api.store.now() - letter.received_at
        if age > FRESH and not wanted.old:
            return _told(number, "it is older than an hour, and would count as heard of now: retry it as old")
        source = self._api.sources.get(letter.source)
        if source is None:
            return _told(number, f"there is no source {letter.source!r} any more")
        delivery = await asyncio.to_thread(_decoded, source.decode, letter)
        if isinstance(delivery, str):
            return _told(number, delivery)
        retried = Retried((number,), self._api.redaction.text(actor))
        receipt = await self._api.intake.take(replace(delivery, sent_at=letter.received_at, retried=retried))
        if receipt.rejected:
            again = count(receipt.rejected, "alert of it was", "alerts of it were")
            return _told(number, f"{again} rejected again: see the newest dead letters", receipt.stored)
        return {"id": number, "stored": receipt.stored}


def _number(text: str) -> int:
    """The number of a letter. Raises RequestError (400) where it is none."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(_LARGEST)) and int(text) <= _LARGEST):
        raise RequestError(400, "this is no number of a dead letter", field="id", mend="give one of the list")
    return int(text)


def _decoded(decode: Callable[[bytes], Delivery], letter: DeadLetter) -> Delivery | str:
    """The payload as a delivery of its source, or why nothing of it is an alert, in words.

    A letter may hold many alerts. Those that still cannot be used become letters again, when the others are
    stored. It may also be long: call this beside the event loop.
    """
    payload = letter.payload.strip()
    listed = payload if payload.startswith("[") else f"[{payload}]"
    try:
        delivery = decode(f'{{"alerts":{listed}}}'.encode())
    except PermanentError as error:
        return f"what was kept is no alert: {error}"
    usable = tuple(alert for alert in delivery.alerts if not _labels_redacted(alert))
    hidden = tuple(alert for alert in delivery.alerts if _labels_redacted(alert))
    if usable:
        return replace(
            delivery,
            alerts=usable,
            rejected=(*delivery.rejected, *(rejected(alert, _NOBODY_KNOWS) for alert in hidden)),
        )
    if hidden:
        return _NOBODY_KNOWS
    return f"still: {delivery.rejected[0].reason}" if delivery.rejected else "it holds no alert"


def _labels_redacted(alert: Alert) -> bool:
    return any(is_redacted(text) for text in (*alert.labels, *alert.labels.values()))


def _told(number: int, why: str, stored: int = 0) -> dict[str, Any]:
    return {"id": number, "stored": stored, "why": why}
