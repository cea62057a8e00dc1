"""What the operator says of a source: who may post as it, where it can be asked, how its alerts are known."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)
from yarl import URL

from responder.clients.http import Access
from responder.model.base import Frozen
from responder.model.duration import PositiveDuration
from responder.model.errors import PermanentError
from responder.model.schedule import SCHEDULES_SOURCE

DEFAULT_SOURCE = "default"
"""What `responder up` calls the source that it adds where the settings name none."""


def _http_url(text: str) -> str:
    try:
        url = URL(text)
    except ValueError:
        raise ValueError("is no URL; write one like http://alertmanager:9093") from None
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValueError("is no address of HTTP; write one like http://alertmanager:9093")
    if url.user is not None or url.password is not None:
        raise ValueError("has credentials in it; put them under `api: {username, password_file}`")
    if url.query_string or url.fragment:
        raise ValueError("has a query or a fragment; give the address alone, with its path prefix if any")
    return text.rstrip("/")


ApiUrl = Annotated[str, AfterValidator(_http_url)]
"""The address of an API, without credentials, query and fragment; a path prefix is allowed."""


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


ApiUrls = Annotated[tuple[ApiUrl, ...], BeforeValidator(_listed)]
"""Several addresses; a single one may be written without a list."""


class SourceSettings(Frozen):
    """One source: one Alertmanager cluster, never a single peer of it.

    Its name stands in the webhook's path and in every key of its alerts: to rename it makes new alerts.
    """

    model_config = ConfigDict(hide_input_in_errors=True)

    name: str = Field(pattern=r"^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$")
    token: SecretStr | None = Field(default=None, min_length=16)
    token_file: Path | None = None
    """The bearer token that a delivery must carry, or the file that holds it."""
    username: str | None = None
    password: SecretStr | None = None
    password_file: Path | None = None
    """Basic authentication of deliveries, instead of a token."""
    alertmanager: ApiUrls = ()
    """Every peer of the cluster: an alert counts as gone only when all of them say so."""
    prometheus: ApiUrls = ()
    """Asked for alerts where no Alertmanager is given. Replicas of one another, every one of them."""
    api: Access = Access()
    """How the addresses above are asked."""
    receiver: str | None = None
    """Our receiver's name in Alertmanager: alerts routed elsewhere are not ours."""
    drop_labels: frozenset[str] = frozenset()
    """Labels that tell replicas of a Prometheus apart, not alerts, for example `prometheus_replica`."""
    resend_period: PositiveDuration = timedelta(minutes=1)
    """How long Prometheus may take to send a firing alert again (`--rules.alert.resend-delay`)."""
    evaluation_interval: PositiveDuration = timedelta(minutes=1)
    group_interval: PositiveDuration = timedelta(minutes=5)
    """How late a resolve may come: `rules check` measures verify windows against the sum of these two."""
    endless: bool = False
    """Its alerts never end by themselves: `alert_resolved_within` is no proof for them."""

    @field_validator("name")
    @classmethod
    def _is_not_ours(cls, name: str) -> str:
        if name == SCHEDULES_SOURCE:
            raise ValueError("is the name of what scheduled rules find; choose another one")
        return name

    @model_validator(mode="after")
    def _one_credential(self) -> Self:
        bearer = self.token is not None or self.token_file is not None
        has_password = self.password is not None or self.password_file is not None
        if self.token is not None and self.token_file is not None:
            raise ValueError("give token or token_file, not both")
        if self.password is not None and self.password_file is not None:
            raise ValueError("give password or password_file, not both")
        if (self.username is not None) != has_password:
            raise ValueError("username and password (or password_file) belong together")
        if bearer and self.username is not None:
            raise ValueError("give a token or a username, not both: each would be a second way in")
        return self

    @property
    def askable(self) -> bool:
        """Whether an API is configured that knows its alerts."""
        return bool(self.alertmanager or self.prometheus)

    def bearer(self) -> SecretStr | None:
        """The token that deliveries must carry. Raises PermanentError where its file cannot be read."""
        return self.token if self.token_file is None else _read(self.token_file)

    def basic(self) -> tuple[str, SecretStr] | None:
        """User and password of deliveries. Raises PermanentError where the password's file cannot be read."""
        if self.username is None:
            return None
        password = self.password if self.password_file is None else _read(self.password_file)
        return None if password is None else (self.username, password)


def _read(file: Path) -> SecretStr:
    try:
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise PermanentError(f"the secret in {file} cannot be read: {reason}") from None
    if not text:
        raise PermanentError(f"the secret in {file} is empty: anybody could post with an empty token")
    return SecretStr(text)
