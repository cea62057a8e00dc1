"""Who of those that we ask answers, by name: for whoever wants to know what is degraded, and for how long.

What went wrong is logged when it begins, and that it is over. A name is forgotten a while after it was asked
last: nobody can say how it stands then.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

import structlog

_log = structlog.get_logger(__name__)

FORGOTTEN_AFTER = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class _Silent:
    since: float
    asked: float


class Answering:
    """Remembers who gave no usable answer when asked last.

    Args:
        what: what they are, for the log.
        clock: seconds that never go back.
    """

    def __init__(self, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._what = what
        self._clock = clock
        self._silent: dict[str, _Silent] = {}

    def heard(self, name: str, problem: str | None) -> None:
        """An answer of that name was usable, or else what was wrong."""
        before, now = self._silent.pop(name, None), self._clock()
        if problem is not None:
            self._silent[name] = _Silent(now if before is None else before.since, now)
        if problem is not None and before is None:
            _log.warning("no usable answer", of=self._what, name=name, problem=problem)
        if problem is None and before is not None:
            _log.info("it answers again", of=self._what, name=name, after_s=round(now - before.since, 1))

    def silent(self) -> Mapping[str, timedelta]:
        """For how long each of those that give no usable answer has given none."""
        now = self._clock()
        oldest = now - FORGOTTEN_AFTER.total_seconds()
        recent = {name: one for name, one in self._silent.items() if one.asked >= oldest}
        return {name: timedelta(seconds=now - one.since) for name, one in recent.items()}
