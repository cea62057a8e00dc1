"""The Prometheus servers that may be asked, by name: that of the settings, and those of the sources.

Several addresses under one name are replicas of one another: the first that answers is believed.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta

from responder.clients.prometheus import Prometheus, Sample
from responder.model.errors import RefusedError, TemporaryError

OWN = "settings"
"""What the one of the settings is called."""


class PrometheusServers:
    """All of them."""

    def __init__(
        self, own: Sequence[Prometheus] = (), of_sources: Mapping[str, Sequence[Prometheus]] | None = None
    ) -> None:
        self._own = tuple(own)
        self._of_sources = {name: tuple(some) for name, some in (of_sources or {}).items() if some}

    def find(self, source: str | None) -> str:
        """The name of the one that is meant: of that source; else of the settings, else of the only source.

        Raises:
            RefusedError: there is none, or nobody can say which.
        """
        known = ", ".join(self._of_sources) or "none"
        if source is not None:
            if source not in self._of_sources:
                raise RefusedError(f"no source {source!r} has a Prometheus (these have: {known})")
            return source
        if self._own:
            return OWN
        match tuple(self._of_sources):
            case (one,):
                return one
            case ():
                raise RefusedError("no Prometheus is configured: add `prometheus` to the settings")
            case _:
                raise RefusedError(f"several sources have a Prometheus ({known}): name one as `source`")

    async def query(self, name: str, promql: str, within: timedelta) -> tuple[Sample, ...]:
        """The answer of the first that gives one.

        Raises:
            TemporaryError: none of them does; says what each said.
            PermanentError: the query is wrong.
        """
        asked = self._own if name == OWN and self._own else self._of_sources.get(name, ())
        problems: list[str] = []
        for server in asked:
            try:
                return await server.query(promql, within)
            except TemporaryError as error:
                problems.append(str(error))
        raise TemporaryError("; ".join(problems) or "its Prometheus is not known")

    async def close(self) -> None:
        """Close all connections."""
        every = (*self._own, *(one for some in self._of_sources.values() for one in some))
        await asyncio.gather(*(one.close() for one in every))
