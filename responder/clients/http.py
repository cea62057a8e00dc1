"""Plain HTTP to configured addresses: one session for each, hard limits, and errors in words.

Everything that can go wrong on the way becomes a `TemporaryError` whose text names the address without its
user information and never a header. What an answer means belongs to the client that asked.
"""

import asyncio
import json
import ssl
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self

import aiohttp
from pydantic import ConfigDict, Field, SecretStr, model_validator
from yarl import URL

from responder.model.base import Frozen
from responder.model.errors import TemporaryError

_CONNECTIONS = 8
_CHUNK = 64 * 1024
_DIGITS = 9
_LONGEST_PAUSE_S = 24 * 3600
_MIB = 1024 * 1024


class Access(Frozen):
    """How to speak to an API: who we are, and whom we trust.

    Files are read again for each request, so that a rotated token is taken up without a restart.
    """

    model_config = ConfigDict(hide_input_in_errors=True)

    token: SecretStr | None = None
    token_file: Path | None = None
    """A bearer token, or the file that holds it."""
    username: str | None = None
    password: SecretStr | None = None
    password_file: Path | None = None
    """Basic authentication."""
    ca_file: Path | None = None
    """Certificates to trust instead of the system's, as PEM."""
    response_limit: int = Field(default=128 * _MIB, ge=1024)
    """Bytes of one answer, after decompression."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        bearer = self.token is not None or self.token_file is not None
        if self.token is not None and self.token_file is not None:
            raise ValueError("give token or token_file, not both")
        if self.password is not None and self.password_file is not None:
            raise ValueError("give password or password_file, not both")
        if bearer and self.username is not None:
            raise ValueError("give a token or a username, not both")
        has_password = self.password is not None or self.password_file is not None
        if (self.username is not None) != has_password:
            raise ValueError("username and password (or password_file) belong together")
        return self

    def authorization(self) -> str | None:
        """The value of the Authorization header.

        Raises:
            TemporaryError: a file cannot be read.
        """
        if self.username is not None:
            password = _secret(self.password, self.password_file) or ""
            return f"Basic {b64encode(f'{self.username}:{password}'.encode()).decode()}"
        token = _secret(self.token, self.token_file)
        return f"Bearer {token}" if token is not None else None


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What came back: any status, a body within the limit, the server's own clock where it told it."""

    status: int
    body: bytes | bytearray
    at: datetime
    """The server's Date header, else our clock when the answer came. UTC, whole seconds."""
    retry_after: timedelta | None = None
    """The Retry-After header, by the server's own clock where it names a moment; never negative."""

    @property
    def ok(self) -> bool:
        """Whether the status says success."""
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES

    @property
    def reason(self) -> str:
        """The status in words, for example `503 Service Unavailable`."""
        try:
            return f"{self.status} {HTTPStatus(self.status).phrase}"
        except ValueError:
            return str(self.status)


class HttpClient:
    """Asks one address. Redirects are not followed and proxies of the environment are not used."""

    def __init__(self, url: str, access: Access | None = None) -> None:
        self._base = URL(url.rstrip("/") + "/")
        self._access = access or Access()
        self._session: aiohttp.ClientSession | None = None
        self.name = shown(url)
        """The address as it may be told: without user information."""

    async def get(self, path: str, params: Mapping[str, str], within: timedelta) -> HttpAnswer:
        """GET a path below the address. `within` covers everything, from the name to the last byte.

        Raises:
            TemporaryError: there is no answer, or more of it than allowed.
        """
        return await self._ask("GET", path, within, params=params)

    async def post_form(self, path: str, form: Mapping[str, str], within: timedelta) -> HttpAnswer:
        """POST a form, for questions too long for a URL. Otherwise as `get`."""
        return await self._ask("POST", path, within, data=form)

    async def post(self, path: str, body: bytes, headers: Mapping[str, str], within: timedelta) -> HttpAnswer:
        """POST bytes to a path, encoded as it is. Otherwise as `get`."""
        return await self._ask("POST", path, within, headers=headers, data=body)

    async def delete(self, path: str, within: timedelta) -> HttpAnswer:
        """DELETE a path. Otherwise as `get`."""
        return await self._ask("DELETE", path, within)

    async def close(self) -> None:
        """Close the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _ask(self, method: str, path: str, within: timedelta, **what: Any) -> HttpAnswer:
        seconds = within.total_seconds()
        try:
            async with asyncio.timeout(seconds):
                return await self._exchange(method, path, **what)
        except TimeoutError:
            raise TemporaryError(f"{self.name} did not answer within {seconds:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise TemporaryError(f"{self.name} {_in_words(error)}") from None

    async def _exchange(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, **what: Any
    ) -> HttpAnswer:
        authorization = self._access.authorization()
        all_headers = {**(headers or {}), **({"Authorization": authorization} if authorization else {})}
        url = self._base.join(URL(path, encoded=headers is not None))
        async with self._opened().request(
            method, url, headers=all_headers, allow_redirects=False, **what
        ) as response:
            body = await self._read(response)
            at = _date(response.headers.get("Date"))
            return HttpAnswer(response.status, body, at, _pause(response.headers.get("Retry-After"), at))

    async def _read(self, response: aiohttp.ClientResponse) -> bytearray:
        limit = self._access.response_limit
        body = bytearray()
        async for chunk in response.content.iter_chunked(_CHUNK):
            body += chunk
            if len(body) > limit:
                raise TemporaryError(f"{self.name} answered more than {limit} bytes")
        return body

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=_CONNECTIONS, ssl=_trust(self._access.ca_file)),
                timeout=aiohttp.ClientTimeout(total=None),  # `_ask` bounds the whole exchange
                headers={"Accept": "application/json", "User-Agent": "responder"},
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
        return self._session


def json_of(answer: HttpAnswer, name: str) -> Any:
    """The body as JSON.

    Raises:
        TemporaryError: it is none; says what answered instead.
    """
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        raise TemporaryError(f"{name} answered {answer.reason} with a body that is not JSON") from None


def shown(url: str) -> str:
    """An address without user information, query and fragment: fit for logs and timelines."""
    try:
        return str(URL(url).with_user(None).with_query(None).with_fragment(None)).rstrip("/")
    except ValueError:
        return "the configured address"


def _trust(ca_file: Path | None) -> ssl.SSLContext | bool:
    if ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise TemporaryError(f"the certificates in {ca_file} cannot be read: {reason}") from None


def _secret(value: SecretStr | None, file: Path | None) -> str | None:
    if value is not None:
        return value.get_secret_value()
    if file is None:
        return None
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise TemporaryError(f"the credentials in {file} cannot be read: {reason}") from None


def _date(header: str | None) -> datetime:
    try:
        told = parsedate_to_datetime(header) if header else None
    except ValueError:
        told = None
    return told.astimezone(UTC) if told is not None else datetime.now(UTC).replace(microsecond=0)


def _pause(header: str | None, at: datetime) -> timedelta | None:
    """A number of seconds, or a moment; what is neither says nothing."""
    if header is None:
        return None
    if header.isascii() and header.isdigit():
        return timedelta(seconds=min(int(header[:_DIGITS]), _LONGEST_PAUSE_S))
    try:
        until = parsedate_to_datetime(header)
    except ValueError:
        return None
    return max(timedelta(0), until.replace(tzinfo=until.tzinfo or UTC) - at)


def _in_words(error: Exception) -> str:
    """What happened, without anything of the request: exceptions may quote its URL or headers."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return "has a certificate that is not trusted"
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return "cannot be spoken to by TLS"
        case aiohttp.ClientConnectorDNSError():
            return "cannot be reached: its name is not found"
        case aiohttp.ClientOSError(strerror=reason) | OSError(strerror=reason) if reason:
            return f"cannot be reached: {reason}"
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientPayloadError():
            return "broke the connection off"
        case _:
            return f"cannot be asked ({type(error).__name__})"
