"""Where the HTTP API listens, who may speak to it, and how much it reads."""

import ipaddress
from datetime import timedelta
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretStr,
    WithJsonSchema,
    model_validator,
)
from yarl import URL

from responder.model.base import Frozen
from responder.model.duration import Duration
from responder.web.roles import Grant

_LAST_PORT = 65535


class Listen(Frozen):
    """A host and a port; port 0 lets the system choose."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it. An unresolved name other than localhost counts as open."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        """As users write it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_listen(text: str) -> Listen:
    """Read `host:port`, `[v6]:port` or `:port` (all addresses).

    Raises:
        ValueError: it is none of these; says what one looks like.
    """
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    if not colon or not port.isascii() or not port.isdigit() or int(port) > _LAST_PORT:
        raise ValueError(f"{text!r} is no address to listen on; write one like 127.0.0.1:9095 or [::1]:9095")
    return Listen(host=host or "0.0.0.0", port=int(port))  # noqa: S104 - `:port` means all addresses everywhere


def _coerce(value: Any) -> Any:
    return parse_listen(value) if isinstance(value, str) else value


def _public(value: str) -> str:
    """Without the slash at its end, and without what a link must not carry around."""
    try:
        url = URL(value)
    except ValueError:
        url = URL()
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValueError("is no address; write one like https://responder.example.org")
    if url.user is not None or url.password is not None or url.query_string or url.fragment:
        raise ValueError("goes into every notification: write it without credentials, query and fragment")
    return value.rstrip("/")


ListenAddress = Annotated[
    Listen,
    BeforeValidator(_coerce),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["127.0.0.1:9095"]}),
]
"""A pydantic field that reads and writes `host:port`."""


class PersonSettings(Frozen):
    """A person with a token of their own: who they are stands in the timeline, whatever they write there."""

    model_config = ConfigDict(hide_input_in_errors=True)

    token: SecretStr = Field(min_length=16)
    grants: tuple[Grant, ...] = Field(min_length=1)


_PersonName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")]


class WebSettings(Frozen):
    """The `web:` block of the settings.

    A listener that others than this machine can reach must have `people` or an `api_token`, and each source
    its own credentials: the start refuses otherwise. The API token is shared and may do everything; whoever
    has it says who they are, and nobody can prove it. `allowed_hosts` are the names under which the listener
    is reached; addresses and localhost are always allowed, because a name is what DNS rebinding needs.
    """

    listen: ListenAddress = Listen(host="127.0.0.1", port=9095)
    public_url: Annotated[str, AfterValidator(_public)] | None = None
    """Where people reach this listener, for links in notifications; without one there are no links."""
    api_token: SecretStr | None = Field(default=None, min_length=16)
    people: dict[_PersonName, PersonSettings] = Field(default_factory=dict)
    """People by name, each with a token and with roles, everywhere or in a scope."""
    allowed_hosts: tuple[str, ...] = ()
    body_limit: int = Field(default=128 * 1024 * 1024, ge=1024)
    """Bytes of one delivery, after decompression."""
    in_flight_limit: int = Field(default=32 * 1024 * 1024, ge=1024)
    """Bytes of all small deliveries from their first byte to their answer; beyond it new ones get 503."""
    large_body: int = Field(default=1024 * 1024, ge=1024)
    """From this size on a delivery is large: taken in slice by slice, one at a time, others get 503."""
    idle_timeout: Duration = Field(default=timedelta(seconds=30), gt=timedelta(0))
    """How long a connection may stay without a whole request: idle, or while its headers come."""
    read_timeout: Duration = timedelta(seconds=10)
    """How long a client may take to send its body; a second more for each MiB that has come."""
    retry_after: Duration = timedelta(seconds=1)
    """What a 503 says when to come again."""

    @property
    def guarded(self) -> bool:
        """Whether people's routes ask for a token."""
        return self.api_token is not None or bool(self.people)

    @model_validator(mode="after")
    def _one_token_each(self) -> Self:
        """A token that two have names neither."""
        named = [(f"people.{name}.token", person.token) for name, person in self.people.items()]
        shared = [("api_token", self.api_token)] if self.api_token is not None else []
        by_token: dict[str, str] = {}
        for field, token in (*shared, *named):
            other = by_token.setdefault(token.get_secret_value(), field)
            if other != field:
                raise ValueError(f"{other} and {field} are the same: give each a token of its own")
        return self

    @model_validator(mode="after")
    def _room_for_each(self) -> Self:
        """A small body for which there is never room would be refused for ever."""
        if self.in_flight_limit < self.large_body:
            raise ValueError(
                f"in_flight_limit ({self.in_flight_limit}) is less than large_body ({self.large_body}): "
                "a delivery between the two could never be taken"
            )
        return self
