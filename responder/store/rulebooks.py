"""Rulebooks by content hash, and the one row that says which is active for all replicas.

A rulebook never changes under its hash, so what was read once is kept: an incident names its own on every
move.
"""

from datetime import datetime

from responder.model.base import canonical_json
from responder.model.errors import PermanentError
from responder.model.rule import Rulebook
from responder.store.connection import Connection
from responder.store.storable import storable_text

_STORE = """
INSERT INTO rulebooks (hash, body, origin, stored_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING
"""

_ACTIVATE = """
INSERT INTO active_rulebook (hash, origin, activated_at) VALUES ($1, $2, $3)
ON CONFLICT (only_row) DO UPDATE SET hash = $1, origin = $2, activated_at = $3
"""

_KEPT = 8
"""How many parsed rulebooks are kept: the active one, and those that open incidents are pinned to."""


class Rulebooks:
    """Reads and writes rulebooks; keeps the parsed ones of this process."""

    def __init__(self) -> None:
        self._parsed: dict[str, Rulebook] = {}

    async def activate(self, connection: Connection, rulebook: Rulebook, origin: str, now: datetime) -> None:
        """Store a rulebook and make it the active one."""
        await self.keep(connection, rulebook, origin, now)
        await connection.execute(_ACTIVATE, rulebook.hash, storable_text(origin), now)

    async def keep(self, connection: Connection, rulebook: Rulebook, origin: str, now: datetime) -> None:
        """Store a rulebook for incidents that are pinned to it; which one is active stays as it is."""
        body = canonical_json(rulebook.model_dump(mode="json", by_alias=True))
        await connection.execute(_STORE, rulebook.hash, body, storable_text(origin), now)

    async def active_hash(self, connection: Connection) -> str | None:
        """Which rulebook is the active one; None where none was ever activated."""
        found: str | None = await connection.fetchval("SELECT hash FROM active_rulebook")
        return found

    async def active(self, connection: Connection) -> Rulebook | None:
        """The active rulebook, or None where none was ever activated."""
        active = await self.active_hash(connection)
        return None if active is None else await self.get(connection, active)

    async def get(self, connection: Connection, wanted: str) -> Rulebook:
        """The rulebook of that hash.

        Raises:
            PermanentError: the database has no such rulebook.
        """
        found = self._parsed.pop(wanted, None) or await self._read(connection, wanted)
        self._parsed[wanted] = found
        while len(self._parsed) > _KEPT:
            del self._parsed[next(iter(self._parsed))]
        return found

    async def known_since(self, connection: Connection, wanted: str) -> datetime | None:
        """When the rulebook of that hash was stored first."""
        found: datetime | None = await connection.fetchval(
            "SELECT stored_at FROM rulebooks WHERE hash = $1", wanted
        )
        return found

    async def _read(self, connection: Connection, wanted: str) -> Rulebook:
        body = await connection.fetchval("SELECT body FROM rulebooks WHERE hash = $1", wanted)
        if body is None:
            raise PermanentError(f"the database has no rulebook {wanted[:12]}, though something refers to it")
        return Rulebook.model_validate_json(body)
