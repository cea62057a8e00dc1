"""The last look at an answer: no secret leaves, whichever way it came in.

What is stored is redacted already. What is not stored passes here too: what a client wrote and an error
repeats, what a part of the program says of itself just now.
"""

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from pydantic_core import from_json, to_json

from responder.model.redaction import Redaction

_JSON = "application/json"
_READ = {_JSON, "text/markdown", "text/html"}
"""What people and programs read. Metrics hold names and numbers of ours alone."""


def redact_answers(redaction: Redaction) -> Middleware:
    """Replace secrets in every answer that is JSON or a text for people."""

    @web.middleware
    async def redacted(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        if isinstance(response, web.Response) and response.content_type in _READ:
            _redact(response, redaction)
        return response

    return redacted


def _redact(response: web.Response, redaction: Redaction) -> None:
    body = response.body
    if not isinstance(body, bytes) or not redaction.suspects(text := body.decode(errors="replace")):
        return
    if response.content_type == _JSON:
        response.body = to_json(redaction.value(from_json(body)))
    else:
        response.body = redaction.text(text).encode()
