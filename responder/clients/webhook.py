"""Signed webhooks, as https://www.standardwebhooks.com says: the receiver can tell that we sent it, and when.

Headers: `webhook-id` (the same at every try, so that a receiver can leave out what it has already),
`webhook-timestamp` (of this try), `webhook-signature` (`v1,` and the base64 of HMAC-SHA-256 over
`id.timestamp.body`).
"""

import hmac
import time
from base64 import b64decode, b64encode
from binascii import Error as NoBase64
from datetime import timedelta
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, SecretStr
from yarl import URL

from responder.clients.http import Access, HttpClient
from responder.model.errors import PermanentError, TemporaryError

_PREFIX = "whsec_"
_SHORTEST = 24
"""Bytes of a key, as the specification asks for."""
_COMES_AGAIN = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}


def _address(value: SecretStr) -> SecretStr:
    try:
        url = URL(value.get_secret_value())
    except ValueError:
        raise ValueError("is no URL; write one like https://pager.example.org/hook") from None
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValueError("is no address of HTTP; write one like https://pager.example.org/hook")
    if url.user is not None or url.password is not None:
        raise ValueError("has credentials before the host; the signature says who we are")
    return value


def _signing_key(value: SecretStr) -> SecretStr:
    if len(_key(value)) < _SHORTEST:
        raise ValueError(f"is no signing secret; write {_PREFIX} and the base64 of {_SHORTEST} bytes or more")
    return value


def _key(secret: SecretStr) -> bytes:
    text = secret.get_secret_value()
    try:
        return b64decode(text.removeprefix(_PREFIX), validate=True) if text.startswith(_PREFIX) else b""
    except (NoBase64, ValueError):
        return b""


WebhookUrl = Annotated[SecretStr, AfterValidator(_address)]
"""The address of a receiver. A secret: whoever knows the path of many a receiver may post there."""
SigningSecret = Annotated[SecretStr, AfterValidator(_signing_key)]
"""`whsec_` and the base64 of the key."""


def signature(secret: SecretStr, message_id: str, timestamp: int, body: bytes) -> str:
    """What stands in `webhook-signature`."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return f"v1,{b64encode(hmac.new(_key(secret), signed, sha256).digest()).decode()}"


class Webhook:
    """One receiver."""

    def __init__(self, url: SecretStr, secret: SecretStr, ca_file: Path | None = None) -> None:
        address = URL(url.get_secret_value())
        self._path = address.raw_path_qs
        self._secret = secret
        self._client = HttpClient(str(address.origin()), Access(ca_file=ca_file, response_limit=64 * 1024))
        self.name = self._client.name
        """The host alone: the path may be a secret."""

    async def send(self, message_id: str, body: bytes, within: timedelta) -> None:
        """Deliver one JSON message; returns when the receiver said that it has it.

        Raises:
            TemporaryError: it did not take it now; `delay` is its Retry-After.
            PermanentError: it will not take it.
        """
        now = int(time.time())
        headers = {
            "Content-Type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(now),
            "webhook-signature": signature(self._secret, message_id, now, body),
        }
        answer = await self._client.post(self._path, body, headers, within)
        if answer.ok:
            return
        told = f"{self.name} answered {answer.reason}"
        refused = HTTPStatus.BAD_REQUEST <= answer.status < HTTPStatus.INTERNAL_SERVER_ERROR
        if refused and answer.status not in _COMES_AGAIN:
            raise PermanentError(told)
        raise TemporaryError(told, answer.retry_after or timedelta(0))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()
