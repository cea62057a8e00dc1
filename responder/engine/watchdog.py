"""The watchdog: an alert that always fires. Where it is not heard of, what else is heard means nothing.

Many ship such an alert to prove that the way from Prometheus to people works. Where the settings name it, no
step starts for an incident whose sources have not told of it for three intervals.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from pydantic import Field

from responder.model.alert import AlertKey
from responder.model.base import Frozen
from responder.model.duration import PositiveDuration, format_duration
from responder.ports import Store

_MISSED = 3
_SEARCH_EVERY = timedelta(seconds=10)
"""Searching looks at every firing alert; the ones that were found are looked up by their keys."""


class WatchdogSettings(Frozen):
    """The alert that always fires, by its alertname, and how often its notifications come."""

    alertname: str = Field(min_length=1)
    interval: PositiveDuration


class Watchdog:
    """Whether the sources of an incident can be believed to tell what fires."""

    def __init__(
        self,
        store: Store,
        settings: WatchdogSettings | None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._settings = settings
        self._monotonic = monotonic
        self._known: Sequence[AlertKey] = ()
        self._searched = float("-inf")

    async def blind(self, sources: Sequence[str], now: datetime) -> str | None:
        """Why nothing that these sources tell is to be trusted, in words; None where it is.

        Raises what the store raises.
        """
        if self._settings is None:
            return None
        mine = [key for key in self._known if key.source in sources]
        heard = await self._store.heard_of(mine) if mine else {}
        if self._why(sources, heard, now) is not None and self._may_search():
            self._known = await self._store.alerts_named(self._settings.alertname)
            heard = await self._store.heard_of([key for key in self._known if key.source in sources])
        return self._why(sources, heard, now)

    def _may_search(self) -> bool:
        if self._monotonic() - self._searched < _SEARCH_EVERY.total_seconds():
            return False
        self._searched = self._monotonic()
        return True

    def _why(self, sources: Sequence[str], heard: Mapping[AlertKey, datetime], now: datetime) -> str | None:
        """The source that is silent for longest, where that is too long."""
        if self._settings is None:
            return None
        name, interval = self._settings.alertname, self._settings.interval
        for source in sources:
            words = [at for key, at in heard.items() if key.source == source]
            if not words:
                return f"the watchdog alert {name} has never been heard of from {source}"
            age = now - max(words)
            if age > _MISSED * interval:
                every = format_duration(interval)
                return (
                    f"the watchdog alert {name} was last heard of from {source} {format_duration(age)} ago, "
                    f"more than {_MISSED} intervals of {every}"
                )
        return None
