"""The halt flag's row and its history: who set or cleared it, when and why."""

from responder.store.connection import Connection
from responder.store.storable import storable_text

_SET = """
INSERT INTO halt (halted, actor, reason, since) VALUES ($1, $2, $3, service_time())
ON CONFLICT (only_row) DO UPDATE SET halted = $1, actor = $2, reason = $3, since = excluded.since
"""

_TELL = "INSERT INTO halt_history (halted, actor, reason, at) VALUES ($1, $2, $3, service_time())"


async def set_halt(connection: Connection, actor: str, reason: str, *, halted: bool) -> None:
    """Set or clear the flag, and remember it."""
    who, why = storable_text(actor), storable_text(reason)
    await connection.execute(_SET, halted, who, why)
    await connection.execute(_TELL, halted, who, why)
