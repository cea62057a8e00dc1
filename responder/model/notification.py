"""A word to people on its way to one channel: what it says, how large it may be, and how far it has got."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from pydantic import Field

from responder.model.base import Frozen
from responder.model.incident import IncidentState
from responder.model.policy import NoticeKind
from responder.model.severity import Severity

_TEXT_AT_MOST = 4000
_VALUE_AT_MOST = 1000
_NAMED_AT_MOST = 50


def told_text(text: str, at_most: int = _TEXT_AT_MOST) -> str:
    """As much of a text as people are told: what a receiver refuses for its size would be told to nobody."""
    return text if len(text) <= at_most else f"{text[:at_most]}\u2026"


def told_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """As much of labels, or annotations, as people are told. An alert may have thousands, of a megabyte."""
    first = sorted(labels, key=lambda name: (name != "alertname", name))[:_NAMED_AT_MOST]
    return {told_text(name, _VALUE_AT_MOST): told_text(labels[name], _VALUE_AT_MOST) for name in first}


class ExtraKind(StrEnum):
    """What no incident says."""

    SUMMARY = "summary"
    """It stands for many that a channel had no room for."""
    TEST = "test"
    """A person tries the channel."""


class Word(Frozen):
    """What a channel needs to tell people. It is kept, so it holds no secret.

    Of an incident everything is there that it has; a summary has `count`, `rules` and `worst` instead.
    """

    text: str
    incident: UUID | None = None
    rule: str | None = None
    severity: Severity | None = None
    state: IncidentState | None = None
    """Of the incident, when this was written."""
    key: dict[str, str] = Field(default_factory=dict)
    """The group's labels and values."""
    summary: str | None = None
    """What its alert says of itself: the annotation `summary`, else `description`, of one that fires."""
    command: str | None = None
    """What to type to see where it stands."""
    runbook_url: str | None = None
    owner: str | None = None
    link: str | None = None
    """Where the incident is shown, where a public URL is configured."""
    count: int | None = None
    """Of a summary: for how many it stands."""
    rules: dict[str, int] = Field(default_factory=dict)
    """Of a summary: how many of each rule."""
    worst: tuple[dict[str, Any], ...] = ()
    """Of a summary: the worst of them, each with incident, kind, severity and text."""


class Notification(Frozen):
    """One word for one channel, as the outbox has it."""

    id: UUID
    incident_id: UUID | None
    channel: str
    kind: NoticeKind | ExtraKind
    level: int
    thread: str
    """All of one thread belongs together for people: the incident's id."""
    body: Word
    key: str
    """The idempotency key: the same at every try, so that a receiver can leave out what it has already."""
    created_at: datetime
    due_at: datetime
    tries: int = 0
    last_error: str | None = None
    delivered_in: UUID | None = None
    """The summary that is sent in its place."""
    delivered_at: datetime | None = None
    given_up_at: datetime | None = None

    @property
    def waits(self) -> bool:
        """Whether it is neither delivered nor given up."""
        return self.delivered_at is None and self.given_up_at is None


class ChannelStanding(Frozen):
    """How one channel stands: what waits for it, since when, and what was given up lately."""

    channel: str
    waiting: int
    oldest: datetime | None
    """When the oldest that waits was written."""
    given_up: int
    """Within the last day."""
    last_error: str | None
    """Of the oldest that waits."""
