"""Incidents that people open: their rule is of no active rulebook, and no alert ever joins them."""

from hashlib import sha256

from responder.model.by_hand import ByHand
from responder.model.incident import IncidentState
from responder.model.rule import Rulebook
from responder.ports import NewByHand, OpenedByHand
from responder.store import cases
from responder.store.clock import ServiceClock
from responder.store.connection import Connection
from responder.store.ids import uuid7
from responder.store.rulebooks import Rulebooks
from responder.store.storable import storable_json

_OPEN = """
INSERT INTO incidents (id, rule, key_hash, key, rulebook_hash, severity, state, opened_at, state_since,
                       deadline, due_at, by_hand, by_hand_key)
VALUES ($1, $2, $3, $4::text::jsonb, $5, $6, $7, $8, $8, $8, $8, $9::text::jsonb, $10)
ON CONFLICT (by_hand_key) WHERE by_hand_key IS NOT NULL DO NOTHING
"""


async def open_by_hand(
    connection: Connection, clock: ServiceClock, rulebooks: Rulebooks, new: NewByHand
) -> OpenedByHand:
    """See `ports.Desk.open_by_hand`.

    Whoever comes with the same key at the same time waits for the first one's commit, and finds its incident.
    """
    now = await clock.now(connection)
    wanted, book = uuid7(now), Rulebook(rules=(new.rule,))
    await rulebooks.keep(connection, book, "by hand", now)
    await connection.execute(
        _OPEN,
        wanted,
        new.rule.name,
        sha256(f"by hand: {wanted}".encode()).digest(),
        storable_json(new.labels),
        book.hash,
        new.severity.value,
        IncidentState.PENDING.value,
        now,
        storable_json(new.asked.model_dump(mode="json")),
        new.key,
    )
    found = await cases.read_incidents(connection, "WHERE i.id = $1 OR i.by_hand_key = $2", wanted, new.key)
    incident = found[0]
    same = incident.rulebook_hash == book.hash and _same(incident.by_hand, new.asked)
    return OpenedByHand(incident=incident, new=incident.id == wanted, same=same)


def _same(one: ByHand | None, other: ByHand) -> bool:
    return one is not None and one == other.model_copy(update={"asked_at": one.asked_at})
