"""Speaks the HTTP API, one request at a time, and turns every failure into words."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
from yarl import URL

from responder.cli.local import data_dir, left, local_token, local_url

_PATIENCE_S = 30.0
_CONNECT_S = 5.0
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


class ServerRefusedError(Exception):
    """The server answered that it will not; `field` is the one of the request that is wrong, dotted."""

    def __init__(self, told: str, field: str | None = None) -> None:
        super().__init__(told)
        self.field = field


class ServerAwayError(Exception):
    """The server does not answer, or says that it cannot now."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: a status, and the body as text."""

    status: int
    text: str

    def json(self) -> Any:
        """The body as JSON. Raises ServerAwayError where it is none: then something else answers there."""
        try:
            return json.loads(self.text)
        except ValueError:
            raise ServerAwayError("what answers at this URL is no responder") from None


class Client:
    """One server: the named one, else the one of this machine.

    Every method raises ServerRefusedError or ServerAwayError with words for a person.
    """

    def __init__(
        self,
        url: str | None,
        token: str | None,
        config_file: Path | None = None,
        *,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        self.config_file = config_file
        self._folder = data_dir(config_file)
        self.url = (url or local_url(config_file, self._folder)).rstrip("/")
        self._token = token
        self._timeout = aiohttp.ClientTimeout(total=patience_s, connect=_CONNECT_S)

    def get(self, path: str, **params: str | int) -> Any:
        """The JSON at a path below the API."""
        return self._checked("GET", path, params=params).json()

    def text(self, path: str, **params: str | int) -> str:
        """The text at a path below the API."""
        return self._checked("GET", path, params=params).text

    async def later_text(self, path: str, **params: str | int) -> str:
        """As `text`, for whoever does something else meanwhile."""
        answer = await self._ask("GET", path, params, None, self._headers(None))
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise self._error(answer)
        return answer.text

    def post(
        self, path: str, body: Mapping[str, Any], key: str | None = None, *, may: tuple[int, ...] = ()
    ) -> Any:
        """Post JSON; `key` makes it safe to try again, `may` are errors whose body is wanted."""
        return self._checked("POST", path, body=body, key=key, may=may).json()

    def _checked(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        body: Mapping[str, Any] | None = None,
        key: str | None = None,
        may: tuple[int, ...] = (),
    ) -> Answer:
        answer = asyncio.run(self._ask(method, path, params or {}, body, self._headers(key)))
        if answer.status >= HTTPStatus.BAD_REQUEST and answer.status not in may:
            raise self._error(answer)
        return answer

    def _headers(self, key: str | None) -> Mapping[str, str]:
        headers = {"Idempotency-Key": key} if key is not None else {}
        if (token := self._known_token()) is not None:
            headers["Authorization"] = f"Bearer {token}"
        return headers

    async def _ask(
        self,
        method: str,
        path: str,
        params: Mapping[str, str | int],
        body: Mapping[str, Any] | None,
        headers: Mapping[str, str],
    ) -> Answer:
        url = URL(f"{self.url}/api/v1/{path}", encoded=True)
        try:
            async with (
                aiohttp.ClientSession(timeout=self._timeout, trust_env=False) as session,
                session.request(
                    method, url, params=params, json=body, headers=headers, allow_redirects=False
                ) as response,
            ):
                return Answer(response.status, await response.text(errors="replace"))
        except TimeoutError:
            raise ServerAwayError(f"{self.url} does not answer in time") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise ServerAwayError(
                f"{self.url} cannot be reached ({type(error).__name__}): is the server up? "
                "Say where it is with --url or RESPONDER_URL, or name its settings with --config, or its "
                "data directory with RESPONDER_DATA_DIR"
            ) from None

    def _known_token(self) -> str | None:
        """The given token; on this machine also its settings' or the one that `responder up` left.

        These are never sent elsewhere.
        """
        if self._token is not None:
            return self._token
        if URL(self.url).host not in _LOOPBACK:
            return None
        return local_token(self.config_file, self._folder)

    def _where_else(self) -> str:
        """Where the token of this machine's service was looked for, and what to name so that it is found."""
        if self._token is not None or URL(self.url).host not in _LOOPBACK:
            return ""
        if not self._folder.is_dir():
            found = f"the data directory {self._folder} does not exist"
        elif left(self._folder).token is None:
            found = f"the data directory {self._folder} holds no token that you may read"
        else:
            found = f"the token in the data directory {self._folder} is another service's"
        return f"; {found}:\nname the service's with RESPONDER_DATA_DIR, or its settings file with --config"

    def _error(self, answer: Answer) -> Exception:
        told, field = _told(answer)
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return ServerAwayError(f"the server answered {answer.status}: {told}")
        if answer.status == HTTPStatus.UNAUTHORIZED:
            return ServerRefusedError(f"{told}\nGive it with --token or RESPONDER_TOKEN{self._where_else()}.")
        return ServerRefusedError(told, field)


def segment(text: str) -> str:
    """A text as one segment of a path."""
    return quote(text, safe="")


def _told(answer: Answer) -> tuple[str, str | None]:
    """The server's words (what, which field, what to do), and the field by itself."""
    try:
        body = json.loads(answer.text)
    except ValueError:
        body = None
    if not isinstance(body, dict) or "error" not in body:
        return f"an answer {answer.status} that no responder gives", None
    field = body.get("field")
    mend = f"\n{body['mend']}" if body.get("mend") else ""
    return f"{f'{field}: ' if field else ''}{body['error']}{mend}", field
