"""Which deliveries were refused, kept where people look: the log, `/readyz` and `responder doctor`.

Whoever is refused reads the answer, but Alertmanager's log is rarely where anybody looks. Only counts, times
and reasons are kept, in this process; nothing of what was sent.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import structlog

from responder.model.base import Frozen
from responder.review.words import count, when
from responder.web.answers import RequestError

_LOG = structlog.get_logger("web")

UNKNOWN_SOURCE = "(none of the settings)"
"""Stands for every name that no setting knows: strangers cannot make us keep names."""
_LOGGED_EVERY_S = 60.0
_FRESH = timedelta(hours=1)


class Refusal(StrEnum):
    """Why a delivery was refused for good, in words."""

    NO_PAYLOAD = "the body is no payload"
    CREDENTIALS = "wrong credentials"
    WEB_PAGE = "sent by a web page"
    NO_SOURCE = "no such source"
    TOO_LARGE = "the body is too large"
    NOT_JSON = "the body is not declared as plain or gzipped JSON"
    HOST = "this listener is not known by that name"
    OTHER = "refused"


_BY_STATUS = {
    400: Refusal.NO_PAYLOAD,
    401: Refusal.CREDENTIALS,
    403: Refusal.WEB_PAGE,
    404: Refusal.NO_SOURCE,
    413: Refusal.TOO_LARGE,
    415: Refusal.NOT_JSON,
    421: Refusal.HOST,
}


class Refused(Frozen):
    """What was refused of one source since the start of this process. `fresh`: the last a short while ago."""

    source: str
    deliveries: int
    last_at: datetime
    last: Refusal
    fresh: bool

    @property
    def text(self) -> str:
        """The sentence for people."""
        deliveries = count(self.deliveries, "delivery", "deliveries")
        return f"{deliveries} refused, the last at {when(self.last_at)}: {self.last.value}"


@dataclass(frozen=True, slots=True)
class _Counted:
    """One source's refusals of one kind."""

    last_at: datetime
    deliveries: int = 0
    unlogged: int = 0
    logged_at: float | None = None


class Refusals:
    """Counts refused deliveries by source and reason, and logs of each the first, then one line a minute."""

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._monotonic = monotonic
        self._wall = wall
        self._counted: dict[tuple[str, Refusal], _Counted] = {}

    def note(self, source: str, error: RequestError) -> None:
        """Count one refusal; log it where the last line about its like is a minute old."""
        why = _BY_STATUS.get(error.status, Refusal.OTHER)
        now, at = self._monotonic(), self._wall()
        before = self._counted.get((source, why), _Counted(at))
        after = replace(before, last_at=at, deliveries=before.deliveries + 1, unlogged=before.unlogged + 1)
        if before.logged_at is None or now - before.logged_at >= _LOGGED_EVERY_S:
            told = {"source": source, "why": why.value, "status": error.status, "deliveries": after.unlogged}
            _LOG.warning("deliveries refused", **told, mend=error.mend)
            after = replace(after, unlogged=0, logged_at=now)
        self._counted[source, why] = after

    def by_source(self) -> Sequence[Refused]:
        """What was refused of each source, the last reason named."""
        return [self._of(source) for source in sorted({source for source, _ in self._counted})]

    def _of(self, source: str) -> Refused:
        known = {why: counted for (name, why), counted in self._counted.items() if name == source}
        last = max(known, key=lambda why: known[why].last_at)
        last_at = known[last].last_at
        return Refused(
            source=source,
            deliveries=sum(counted.deliveries for counted in known.values()),
            last_at=last_at,
            last=last,
            fresh=self._wall() - last_at < _FRESH,
        )
