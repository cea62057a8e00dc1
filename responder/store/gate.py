"""The gate before the lanes: a new session is let in only where it leads to the server that was judged last.

A failover needs no restart of ours: sessions end, new ones reach a standby that took over, and what the old
primary had not sent it is forgotten, attempts among it. So every new session is asked who it leads to. Where
that is another than before, nobody is let in until the store was judged as at a start (`identity`): that
halts every replica first where something may have been forgotten.
"""

import asyncio

import asyncpg

from responder.model.errors import StoreAwayError
from responder.store.connection import Connection
from responder.store.identity import Identity, identity_of, remembered


class Gate:
    """What this process knows of the server that its sessions lead to."""

    def __init__(self) -> None:
        self._known: Identity | None = None
        self.moved = asyncio.Event()
        """Set where a session led to another server, until the store was judged."""

    async def admit(self, connection: Connection) -> None:
        """Let a new session in.

        The first one is held against what the store itself remembers of its last judgement.

        Raises:
            StoreAwayError: it leads to another server than the one that was judged last.
        """
        try:
            now = await identity_of(connection)
        except asyncpg.ObjectNotInPrerequisiteStateError as error:
            raise StoreAwayError("PostgreSQL is away: it is a standby that has not taken over") from error
        if now == (self._known or await remembered(connection)):
            self._known = now
            return
        self._known = None
        self.moved.set()
        raise StoreAwayError(
            "PostgreSQL is away: another server than before answers (it failed over, or was restored); "
            "nothing goes on until it is known what that one may have forgotten"
        )
