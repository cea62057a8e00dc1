"""The chain of a timeline: what was changed, left out, cut off or brought in from elsewhere shows."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from responder.model.timeline import GENESIS, Entry, EntryKind, body_hash, broken_at, link

KEY = b"a key of the tests"
START = datetime(2026, 1, 1, tzinfo=UTC)
INCIDENT = UUID(int=7)


def chain(*texts: str) -> tuple[Entry, ...]:
    """A timeline that says these things, one a second."""
    entries: list[Entry] = []
    head = GENESIS
    for number, text in enumerate(texts, start=1):
        bare = Entry(
            incident_id=INCIDENT,
            number=number,
            at=START + timedelta(seconds=number),
            kind=EntryKind.STATE,
            actor="responder",
            text=text,
            facts={},
            body_hash=body_hash(text, {}),
            mac=b"",
            key_id="1",
        )
        head = link(KEY, head, bare)
        entries.append(bare.model_copy(update={"mac": head}))
    return tuple(entries)


TRUE = chain("opened", "terminated 1 session", "recovered")
OTHER = chain("opened", "terminated 9 sessions", "recovered")


def changed(entries: tuple[Entry, ...], number: int, **update: object) -> tuple[Entry, ...]:
    """The entries with one of them changed."""
    return tuple(e.model_copy(update=update) if e.number == number else e for e in entries)


@pytest.mark.parametrize(
    ("tampered", "told"),
    [
        (lambda: changed(TRUE, 2, text="nothing was done"), "the text or the facts of entry 2 were changed"),
        (lambda: changed(TRUE, 2, actor="ada"), "entry 2 does not follow"),
        (lambda: changed(TRUE, 2, at=START), "entry 2 does not follow"),
        (lambda: (TRUE[0], TRUE[2]), "entry 2 is missing"),
        (lambda: TRUE[:2], "3 entries were written, 2 are there"),
        (lambda: (TRUE[0], OTHER[1], TRUE[2]), "entry 2"),
        (lambda: OTHER, "the last entry is not the one that the incident names"),
        (lambda: changed(TRUE, 1, key_id="9"), "unknown key"),
    ],
    ids=["text", "actor", "time", "left out", "cut off", "one of another history", "another history", "key"],
)
def test_whatever_was_done_to_it_shows(tampered: Callable[[], tuple[Entry, ...]], told: str) -> None:
    """Each kind of change is told, with its place."""
    found = broken_at(tampered(), {"1": KEY}, TRUE[-1].mac, len(TRUE))
    assert found is not None
    assert told in found or (told == "entry 2" and "entry 3 does not follow" in found)


def test_an_untouched_or_redacted_timeline_holds() -> None:
    """What was written verifies; a body that was taken away later keeps its hash, and the chain holds."""
    assert broken_at(TRUE, {"1": KEY}, TRUE[-1].mac, 3) is None
    redacted = changed(TRUE, 2, text="", redacted=True)
    assert broken_at(redacted, {"1": KEY}, TRUE[-1].mac, 3) is None
