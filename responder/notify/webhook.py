"""A signed webhook as a channel: what is posted, byte for byte the same at every try of one word."""

from typing import Any, assert_never

from responder.clients.webhook import Webhook
from responder.model.base import canonical_json
from responder.model.notification import ExtraKind, Notification
from responder.model.policy import NoticeKind
from responder.notify.settings import ChannelSettings

_AT_ONCE = 4


class WebhookChannel:
    """One receiver of https://www.standardwebhooks.com messages. Implements `ports.Channel`."""

    at_once = _AT_ONCE

    def __init__(self, name: str, settings: ChannelSettings) -> None:
        self.name = name
        self.per_minute: int | None = settings.per_minute
        self.timeout = settings.timeout
        self._receiver = Webhook(settings.webhook, settings.secret, settings.ca_file)

    async def send(self, notification: Notification) -> None:
        """See `ports.Channel.send`."""
        body = canonical_json(payload(notification)).encode(errors="replace")
        await self._receiver.send(notification.key, body, self.timeout)

    async def close(self) -> None:
        """See `ports.Channel.close`."""
        await self._receiver.close()


def payload(notification: Notification) -> dict[str, Any]:
    """What a receiver reads. `timestamp` is when it was written, not when it is sent."""
    told = notification.body.model_dump(mode="json", exclude_defaults=True)
    place = {"kind": notification.kind.value, "level": notification.level, "thread": notification.thread}
    return {
        "type": _type(notification.kind),
        "timestamp": notification.created_at.isoformat(),
        "data": {**place, **told},
    }


def _type(kind: NoticeKind | ExtraKind) -> str:
    match kind:
        case NoticeKind():
            return f"responder.incident.{kind.value}"
        case ExtraKind():
            return f"responder.{kind.value}"
        case _:
            assert_never(kind)
