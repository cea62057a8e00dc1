"""The one form of every answer: JSON, and for an error what was wrong, where, and what to do.

A client's mistake is a 4xx. A 5xx means that the same request may work later, or that we are at fault.
"""

import math
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Self

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import ValidationError
from pydantic_core import to_json

from responder.model.errors import PermanentError, TemporaryError
from responder.model.unfit import unfit

_LOG = structlog.get_logger("web")

_WHERE = "sources post their alerts to /api/v1/webhooks/alertmanager/ and the name of the source"
COMMON_HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}


class RequestError(Exception):
    """An answer that is an error: `status`, what was wrong, the field that was, and its mend."""

    def __init__(
        self,
        status: int,
        error: str,
        *,
        field: str | None = None,
        mend: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.field = field
        self.mend = mend
        self.headers = headers or {}

    @classmethod
    def of_validation(cls, error: ValidationError, mend: str | None = None) -> Self:
        """A 400 that names the first field that is wrong; the others come to light one by one."""
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "the body"
        return cls(400, unfit(first), field=field, mend=mend)


def answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A JSON answer."""
    return web.Response(
        body=to_json(value, bytes_mode="hex", inf_nan_mode="null", serialize_unknown=True),
        status=status,
        content_type="application/json",
        charset="utf-8",
        headers={**COMMON_HEADERS, **(headers or {})},
    )


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every error into its answer; what nobody foresaw is logged and becomes a bare 500."""
    try:
        return await handler(request)
    except RequestError as error:
        return _error(error)
    except TemporaryError as error:
        return _error(RequestError(503, str(error), mend="try again", headers=retry_after(error.delay)))
    except PermanentError as error:
        return _error(RequestError(400, str(error)))
    except web.HTTPException as error:
        return _error(RequestError(error.status, error.reason, mend=_WHERE, headers=_kept(error)))
    except ConnectionError:
        raise
    except Exception:  # noqa: BLE001 - the last resort: whatever it is, the client gets a well-formed 500
        _LOG.exception("a request failed", method=request.method, route=_route(request))
        return _error(RequestError(500, "the request failed; the log says why"))


def retry_after(delay: timedelta) -> dict[str, str]:
    """The header that says when to come again; whole seconds, at least one."""
    return {"Retry-After": str(max(1, math.ceil(delay.total_seconds())))}


def _error(error: RequestError) -> web.Response:
    told = {"error": error.error, "field": error.field, "mend": error.mend}
    safe = {key: _encodable(value) for key, value in told.items()}
    return answer(safe, error.status, error.headers)


def _encodable(text: str | None) -> str | None:
    """A client may send what is no text in any encoding; an error message repeats it harmlessly."""
    return None if text is None else text.encode("utf-8", "backslashreplace").decode()


def _kept(error: web.HTTPException) -> dict[str, str]:
    return {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "unknown"
