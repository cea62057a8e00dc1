"""Which incident inhibits another one now: read from the rows that every replica writes.

It is asked with each look at an incident whose rule has `inhibited_by`, and once more under the incident's
lock before an intent. What is committed first counts: an inhibitor that opens after the intent does not call
the effect back.
"""

from collections.abc import Sequence
from datetime import datetime

from responder.model.incident import OVERFLOW
from responder.model.inhibition import Inhibitor, Inhibits
from responder.store.connection import Connection
from responder.store.storable import storable_json

UNDER_WAY = """
i.state <> 'closed' AND i.state <> 'recorded'
AND (i.state <> 'pending' OR i.deadline <= {now})
AND (i.state <> 'resolved' OR EXISTS (SELECT FROM members f WHERE f.incident_id = i.id AND f.firing))
"""
"""Of an incident `i`. What is due to open or to reopen counts: of those that are heard of together each sees
the others, whichever is taken first. That it is not closed stands by itself: by this an index finds those of
a rule."""

_FIND = f"""
SELECT i.id, i.rule
FROM unnest($1::text[], $2::text[]) AS w (rule, labels)
     JOIN incidents i ON i.rule = w.rule AND {UNDER_WAY.format(now="$3")}
WHERE i.by_hand IS NULL AND i.key <> $4::text::jsonb
  AND NOT EXISTS (SELECT FROM jsonb_each_text(w.labels::jsonb) AS l (name, value)
                  WHERE coalesce(i.key ->> l.name, '') <> l.value)
ORDER BY i.opened_at, i.rule, i.id LIMIT 1
"""


async def find(connection: Connection, wanted: Sequence[Inhibits], now: datetime) -> Inhibitor | None:
    """The one that opened first of those that inhibit; None where none does."""
    if not wanted:
        return None
    labels = [storable_json(one.labels) for one in wanted]
    row = await connection.fetchrow(_FIND, [one.rule for one in wanted], labels, now, storable_json(OVERFLOW))
    return None if row is None else Inhibitor(id=row["id"], rule=row["rule"])
