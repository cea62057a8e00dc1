"""The log as a channel: one line for each word. It is always there, and takes as many as there are."""

import logging
from datetime import timedelta

import structlog

from responder.model.errors import TemporaryError
from responder.model.notification import Notification
from responder.model.policy import LOG
from responder.telemetry import LogOutput

_log = structlog.wrap_logger(None, wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET))
"""Whatever `log.level` says: it is for what the responder tells of itself, and this is for people."""
_AT_ONCE = 50


class LogChannel:
    """Writes words to the log; escalations as warnings. Implements `ports.Channel`."""

    name = LOG
    per_minute: int | None = None
    at_once = _AT_ONCE
    timeout = timedelta(seconds=5)

    def __init__(self, output: LogOutput | None = None) -> None:
        self._output = output

    async def send(self, notification: Notification) -> None:
        """See `ports.Channel.send`. It fails where the log cannot be written: nobody could read it there."""
        body = notification.body
        write = _log.warning if notification.level else _log.info
        write(
            "notice",
            id=notification.key,
            kind=notification.kind.value,
            incident=None if body.incident is None else str(body.incident),
            rule=body.rule,
            severity=None if body.severity is None else body.severity.value,
            escalation=notification.level,
            text=body.text,
        )
        if self._output is not None and self._output.problem is not None:
            raise TemporaryError(f"the log cannot be written: {self._output.problem}")

    async def close(self) -> None:
        """See `ports.Channel.close`."""
