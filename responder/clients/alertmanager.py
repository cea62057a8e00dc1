"""Alertmanager's API v2, as 0.25 to 0.34 answer it: alerts, silences, receivers, status.

Only what is asked of it here; unknown fields are ignored, so that a newer version is no error. What an answer
means for an incident belongs to `sources`.
"""

import asyncio
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated, Any, Self, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from responder.clients.http import Access, HttpAnswer, HttpClient
from responder.clients.wire import parse_time, told
from responder.model.errors import TemporaryError

_TIMEOUT = timedelta(seconds=3)
_LARGE = 1024 * 1024
_PLAIN = re.compile(r"[A-Za-z0-9_.:/-]+")
_TOLD = 200
_READ = 8 * 1024
"""Of the body of an error: more than is told, so that no secret is cut in two before it is seen."""
_UNKNOWN_ID = (HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY)
"""What it answers for an id that it does not know, and for one that is none."""
T = TypeVar("T")


def _time(value: Any) -> Any:
    return parse_time(value) if isinstance(value, str) else value


Time = Annotated[datetime | None, BeforeValidator(_time)]
"""An RFC 3339 time in UTC; None for Go's zero time."""


class _Wire(BaseModel):
    """A part of an answer: frozen, and unknown keys are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class AlertStatus(StrEnum):
    """What Alertmanager's pipeline has made of an alert."""

    UNPROCESSED = "unprocessed"
    """Received, but not looked at yet."""
    ACTIVE = "active"
    SUPPRESSED = "suppressed"


class _Status(_Wire):
    state: AlertStatus
    silenced_by: tuple[str, ...] | None = Field(default=(), alias="silencedBy")
    inhibited_by: tuple[str, ...] | None = Field(default=(), alias="inhibitedBy")
    muted_by: tuple[str, ...] | None = Field(default=(), alias="mutedBy")
    """Since 0.28."""


class _Receiver(_Wire):
    name: str


class KnownAlert(_Wire):
    """One alert that an Alertmanager knows as not ended. `labels` are as it wrote them."""

    fingerprint: str
    labels: dict[str, str]
    annotations: dict[str, str] = Field(default_factory=dict)
    starts_at: Time = Field(alias="startsAt")
    status: _Status

    @property
    def state(self) -> AlertStatus:
        """Active, suppressed or not looked at yet."""
        return self.status.state

    @property
    def silenced_by(self) -> tuple[str, ...]:
        """The ids of the silences that cover it."""
        return self.status.silenced_by or ()

    @property
    def held_by(self) -> tuple[str, ...]:
        """What else suppresses it, in words: inhibiting alerts by fingerprint, time intervals by name."""
        status = self.status
        return (
            *(told(f"inhibition by alert {alert}") for alert in status.inhibited_by or ()),
            *(told(f"time interval {interval}") for interval in status.muted_by or ()),
        )


class SilenceMatcher(_Wire):
    """One condition of a silence, as the API writes it."""

    name: str
    value: str
    is_regex: bool = Field(alias="isRegex")
    is_equal: bool = Field(default=True, alias="isEqual")

    @classmethod
    def exactly(cls, name: str, value: str) -> Self:
        """A label with exactly this value."""
        return cls.model_validate({"name": name, "value": value, "isRegex": False, "isEqual": True})


class _SilenceStatus(_Wire):
    state: str


class Silence(_Wire):
    """One silence. `state` is active, pending or expired."""

    id: str
    matchers: tuple[SilenceMatcher, ...]
    starts_at: Time = Field(alias="startsAt")
    ends_at: Time = Field(alias="endsAt")
    created_by: str = Field(default="", alias="createdBy")
    comment: str = ""
    status: _SilenceStatus

    @property
    def state(self) -> str:
        """Active, pending or expired."""
        return self.status.state


class _Config(_Wire):
    original: str = ""


class _Version(_Wire):
    version: str = ""


class _StatusAnswer(_Wire):
    uptime: Time
    config: _Config = _Config()
    version: _Version = Field(default=_Version(), alias="versionInfo")


@dataclass(frozen=True, slots=True)
class AlertmanagerStatus:
    """What an Alertmanager says of itself.

    `up_for` is measured on its own clock. `config` is its configuration as YAML, its secrets already hidden
    by itself.
    """

    version: str
    started_at: datetime
    up_for: timedelta
    config: str

    @property
    def now(self) -> datetime:
        """The time by its own clock, in whole seconds."""
        return (self.started_at + self.up_for).replace(microsecond=0)


_ALERTS = TypeAdapter(tuple[KnownAlert, ...])


class _Made(_Wire):
    silence_id: str = Field(alias="silenceID")


_SILENCE = TypeAdapter(Silence)
_MADE = TypeAdapter(_Made)
_SILENCES = TypeAdapter(tuple[Silence, ...])
_RECEIVERS = TypeAdapter(tuple[_Receiver, ...])
_STATUS = TypeAdapter(_StatusAnswer)


class Alertmanager:
    """One Alertmanager, a single peer. Every method raises TemporaryError where it gives no usable answer."""

    def __init__(self, url: str, access: Access | None = None, timeout: timedelta = _TIMEOUT) -> None:
        self._http = HttpClient(url, access)
        self._timeout = timeout
        self.name = self._http.name

    async def alerts(
        self, receiver: str | None = None, alertname: str | None = None
    ) -> tuple[KnownAlert, ...]:
        """All alerts that have not ended, silenced and inhibited ones too.

        `receiver` keeps those that are routed to the receiver of exactly that name. `alertname` keeps those
        of that name, where it has no character that the versions' parsers read differently; otherwise all
        come, so the caller looks for itself what it needs.
        """
        wanted = _all_alerts(receiver)
        if alertname is not None and _PLAIN.fullmatch(alertname):
            wanted["filter"] = f'alertname="{alertname}"'
        return await self._get("alerts", _ALERTS, wanted)

    async def list_of_alerts(self, receiver: str | None, within: timedelta) -> bytes | bytearray:
        """What `alerts` reads, as it was sent: read at one go, a storm's list costs many times its bytes."""
        answer = await self._http.get("api/v2/alerts", _all_alerts(receiver), within)
        self._check(answer)
        return answer.body

    async def silences(self) -> tuple[Silence, ...]:
        """All silences, expired ones too."""
        return await self._get("silences", _SILENCES)

    async def find_silence(self, identity: str) -> Silence | None:
        """One silence, be it expired; None where it knows none of that id."""
        answer = await self._http.get(f"api/v2/silence/{quote(identity, safe='')}", {}, self._timeout)
        if answer.status in _UNKNOWN_ID:
            return None
        return await self._read(answer, _SILENCE)

    async def silence(
        self,
        matchers: Iterable[SilenceMatcher],
        starts_at: datetime,
        ends_at: datetime,
        created_by: str,
        comment: str,
    ) -> str:
        """Make a silence; its id. A TemporaryError does not say that none was made."""
        body = {
            "matchers": [matcher.model_dump(by_alias=True) for matcher in matchers],
            "startsAt": starts_at.isoformat(),
            "endsAt": ends_at.isoformat(),
            "createdBy": created_by,
            "comment": comment,
        }
        headers = {"Content-Type": "application/json"}
        sent = json.dumps(body).encode()
        answer = await self._http.post("api/v2/silences", sent, headers, self._timeout)
        return (await self._read(answer, _MADE)).silence_id

    async def expire_silence(self, identity: str) -> None:
        """End a silence now. A TemporaryError does not say that it stands."""
        self._check(await self._http.delete(f"api/v2/silence/{quote(identity, safe='')}", self._timeout))

    async def receivers(self) -> tuple[str, ...]:
        """The names of the receivers of its configuration."""
        return tuple(receiver.name for receiver in await self._get("receivers", _RECEIVERS))

    async def status(self) -> AlertmanagerStatus:
        """Its version, since when it is up, and its configuration."""
        answer = await self._http.get("api/v2/status", {}, self._timeout)
        status = await self._read(answer, _STATUS)
        if status.uptime is None:
            raise TemporaryError(f"{self.name} does not say since when it is up")
        return AlertmanagerStatus(
            version=status.version.version,
            started_at=status.uptime,
            up_for=answer.at - status.uptime,
            config=status.config.original,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def _get(self, path: str, shape: TypeAdapter[T], params: dict[str, str] | None = None) -> T:
        return await self._read(await self._http.get(f"api/v2/{path}", params or {}, self._timeout), shape)

    def _check(self, answer: HttpAnswer) -> None:
        if not answer.ok:
            said = told(answer.body[:_READ].decode(errors="replace"))[:_TOLD]
            raise TemporaryError(f"{self.name} answered {answer.reason}{f': {said}' if said else ''}")

    async def _read(self, answer: HttpAnswer, shape: TypeAdapter[T]) -> T:
        self._check(answer)
        try:
            if len(answer.body) > _LARGE:  # a storm's list would hold the event loop for too long
                return await asyncio.to_thread(shape.validate_json, answer.body)
            return shape.validate_json(answer.body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"]) or "the body"
            raise TemporaryError(
                f"{self.name} does not answer as Alertmanager's API v2: {place}: {first['msg']}"
            ) from None


def _all_alerts(receiver: str | None) -> dict[str, str]:
    wanted = {"active": "true", "silenced": "true", "inhibited": "true", "unprocessed": "true"}
    return wanted if receiver is None else {**wanted, "receiver": re.escape(receiver)}
