"""What a target's own `responder/opt-out` mark says: a reason, and perhaps until when.

`until 2026-11-30T18:00:00Z: moving house` or `until 2026-11-30: moving house`; a day is over when it is over
everywhere. Whatever else it says is a reason that holds as long as the mark is there.
"""

import re
from datetime import UTC, datetime, time, timedelta

_UNTIL = re.compile(
    r"until\s+(\d{4}-\d{2}-\d{2}(?:T[0-9:.]+(?:Z|[+-]\d{2}:?\d{2}))?)(?::|\s|$)", re.IGNORECASE
)
_LAST_OF_A_DAY = timedelta(hours=36)
"""From its beginning in Greenwich to its end in the last of all time zones."""


def opt_out_holds(mark: str, now: datetime) -> bool:
    """Whether the target is still to be left alone. A mark whose time nobody can read holds."""
    until = _until(mark)
    return until is None or now < until


def _until(mark: str) -> datetime | None:
    found = _UNTIL.match(mark.strip())
    if found is None:
        return None
    try:
        at = datetime.fromisoformat(found.group(1).upper())
        if at.tzinfo is None:
            return datetime.combine(at.date(), time(), UTC) + _LAST_OF_A_DAY
    except (ValueError, OverflowError):
        return None
    return at
