"""The Alertmanager clusters of the settings' sources, by name: what actions reach an Alertmanager through.

A cluster gossips its silences: one peer that answers is enough to make one, and all are asked for it.
"""

import asyncio
from collections.abc import Mapping, Sequence

from responder.clients.alertmanager import Alertmanager
from responder.clients.http import Access
from responder.model.errors import RefusedError, UnknownTargetError


class AlertmanagerClusters:
    """The peers of each cluster. Connections are opened when they are needed."""

    def __init__(self, clusters: Mapping[str, tuple[Sequence[str], Access]]) -> None:
        self._peers = {
            name: tuple(Alertmanager(url, access) for url in urls)
            for name, (urls, access) in clusters.items()
            if urls
        }

    def find(self, wanted: str | None) -> str:
        """The name of the one that is wanted, or of the only one there is.

        Raises:
            RefusedError: there is none of that name; or several, and none was named.
        """
        known = ", ".join(self._peers) or "none"
        if wanted is not None:
            if wanted not in self._peers:
                text = f"no source {wanted!r} has an Alertmanager (these have: {known})"
                raise UnknownTargetError(text, "sources")
            return wanted
        match tuple(self._peers):
            case (one,):
                return one
            case ():
                raise UnknownTargetError("no source has an Alertmanager", "sources")
            case _:
                raise RefusedError(f"several sources have an Alertmanager ({known}): name one as `source`")

    def peers(self, name: str) -> tuple[Alertmanager, ...]:
        """Every peer of a cluster; none where it is not known any more."""
        return self._peers.get(name, ())

    async def close(self) -> None:
        """Close all connections."""
        every = (peer for peers in self._peers.values() for peer in peers)
        await asyncio.gather(*(peer.close() for peer in every))
