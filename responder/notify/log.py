"""The log as a channel: one line for each notice. Never raises, never delays."""

import structlog

from responder.decide.case import Notice
from responder.model.incident import Incident

_log = structlog.get_logger("responder.notice")


class LogChannel:
    """Writes notices to the log; escalations as warnings."""

    async def tell(self, incident: Incident, notice: Notice) -> None:
        """See `ports.Notifier.tell`."""
        write = _log.warning if notice.level else _log.info
        write(
            "notice",
            incident=str(incident.id),
            rule=incident.rule,
            severity=incident.severity.value,
            level=notice.level,
            text=notice.text,
        )
