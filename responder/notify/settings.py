"""What the operator says of how people are told."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from responder.clients.webhook import SigningSecret, WebhookUrl
from responder.model.base import Frozen
from responder.model.duration import Duration
from responder.model.policy import LOG


def _not_the_log(name: str) -> str:
    if name == LOG:
        raise ValueError("the log is always there and has no settings; give the channel another name")
    return name


ChannelName = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"), AfterValidator(_not_the_log)
]


class ChannelSettings(Frozen):
    """One entry of the `channels:` block: a receiver of signed webhooks, by the name that policies use."""

    model_config = ConfigDict(hide_input_in_errors=True)

    webhook: WebhookUrl
    secret: SigningSecret
    """What messages are signed with, as https://www.standardwebhooks.com says."""
    ca_file: Path | None = None
    """Certificates to trust instead of the system's, as PEM."""
    timeout: Duration = Field(default=timedelta(seconds=10), gt=timedelta(0), le=timedelta(minutes=1))
    """How long the receiver may take for one message."""
    per_minute: int = Field(default=30, ge=1, le=1000)
    """How many are sent in a minute at most, by all replicas; the rest of the minute is one summary."""


class NotificationSettings(Frozen):
    """The `notifications:` block: how long a word is tried, and how long it is kept afterwards."""

    give_up_after: Duration = Field(
        default=timedelta(hours=24), ge=timedelta(minutes=1), le=timedelta(days=7)
    )
    kept_for: Duration = Field(default=timedelta(days=30), ge=timedelta(days=1))
    """After it was delivered or given up; as long as its incident is not closed it stays in any case."""


class EmergencySettings(Frozen):
    """The `emergency:` block: who is paged for a P0 while the database is away. Empty: nobody.

    The receiver must not lean on this database, nor on the responder.
    """

    model_config = ConfigDict(hide_input_in_errors=True)

    webhook: WebhookUrl | None = None
    secret: SigningSecret | None = None
    """What pages are signed with, as https://www.standardwebhooks.com says."""
    ca_file: Path | None = None
    """Certificates to trust instead of the system's, as PEM."""
    timeout: Duration = Field(default=timedelta(seconds=5), gt=timedelta(0))
    """How long the receiver may take for one page."""
    per_minute: int = Field(default=20, ge=1, le=1000)
    """How many pages are sent in a minute at most; the rest of the minute is one page with their number."""

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.webhook is None) != (self.secret is None):
            raise ValueError("webhook and secret (or their files) belong together")
        return self


class DeadMansSwitchSettings(Frozen):
    """The `dead_mans_switch:` block: who notices when the responder itself falls silent. Empty: nobody.

    The address is that of a service that pages when it was not called for a while (Healthchecks.io, Dead
    Man's Snitch ...); set its period to three times `every` or more. Each process calls it: give each replica
    an address of its own to notice the loss of one of several.
    """

    model_config = ConfigDict(hide_input_in_errors=True)

    url: WebhookUrl | None = None
    every: Duration = Field(default=timedelta(minutes=1), ge=timedelta(seconds=1))
    timeout: Duration = Field(default=timedelta(seconds=10), gt=timedelta(0))
    """How long the receiver may take for one call."""
    ca_file: Path | None = None
    """Certificates to trust instead of the system's, as PEM."""
