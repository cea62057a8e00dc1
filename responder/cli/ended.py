"""What has ended since a guard said that it holds a step: by what stands now, and by the time.

A guard's words are of the moment in which it judged; what they name may be over when a person reads them.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter

from responder.model.attempt import Quarantined
from responder.model.guard import Guard, Ruling
from responder.model.incident import Holder, Incident, IncidentState
from responder.model.spoken import moment
from responder.model.way import KnownWays, Way, WayKind
from responder.review.explained import GuardWord, Judged

_KNOWN: TypeAdapter[tuple[Way, ...]] = TypeAdapter(KnownWays)

Standing = tuple[Way, ...]
"""How everything is ended that stands now; what is not among these has ended."""

Word = GuardWord | Holder
"""What one guard said: of a step that was judged, or of the one that is held."""


def as_standing(told: dict[str, Any]) -> Standing | None:
    """What an answer about an incident says of it; None where the server does not tell."""
    found = told.get("standing")
    return None if found is None else _KNOWN.validate_python(found)


def has_ended(way: Way, standing: Standing | None) -> bool:
    """Whether what it would end has ended."""
    return way.kind.ends and standing is not None and not way.stands_in(standing)


def is_over(word: Word, standing: Standing | None, now: datetime) -> bool:
    """Whether nothing is left of what a guard said that it waits for, or refuses it for."""
    if word.over_at is not None and word.over_at <= now:
        return True
    if word.guard == Guard.CLAIM.value and not _of(WayKind.RELEASE, word.ways):
        return standing is not None and bool(word.ways) and not set(word.ways) & set(standing)
    ends = [way for way in word.ways if not way.kind.looks]
    return bool(ends) and all(has_ended(way, standing) for way in ends)


_HOW_IT_ENDED = {
    WayKind.RELEASE: "released since",
    WayKind.RESET_BREAKER: "reset since",
    WayKind.PROMOTE: "promoted since",
    WayKind.EDIT_RULE: "edited since",
}
_COUNTS_ANEW = {WayKind.PROMOTE, WayKind.EDIT_RULE}


def how_it_ended(
    word: Word, incident: Incident | None, standing: Standing | None, now: datetime
) -> str | None:
    """What has become of it, in words; None while it lasts."""
    if not is_over(word, standing, now):
        return None
    kind = next((kind for kind in _HOW_IT_ENDED if _of(kind, word.ways)), None)
    waits = incident is not None and incident.state is IncidentState.RECORDED
    told = "since ended" if kind is None else _HOW_IT_ENDED[kind]
    return f"{told}: that counts when an alert of it fires anew" if kind in _COUNTS_ANEW and waits else told


def since_released(one: Quarantined, now: datetime) -> str:
    """Behind the word that a target is quarantined: who has released it since; empty while nobody has."""
    if one.released_at is None:
        return ""
    by = f" by {one.released_by}" if one.released_by else ""
    return f" (released since{by} at {moment(one.released_at, now)})"


def since_ended(word: Word, incident: Incident | None, standing: Standing | None, now: datetime) -> str:
    """The same, to be put behind a guard's words; empty while it lasts."""
    told = how_it_ended(word, incident, standing, now)
    return "" if told is None else f" ({told})"


def marked(
    text: str, words: Iterable[Word], incident: Incident, standing: Standing | None, now: datetime
) -> str:
    """A text that quotes guards, with what has become of each that is over since.

    Whose words are others by now is named behind the text, where that tells of a hold that lasted too long.
    """
    told, unnamed = text, []
    for word in words:
        since, reason = since_ended(word, incident, standing, now), word.reason
        if since and reason in told:
            told = told.replace(reason, f"{reason}{since}", 1)
        elif since and "held for " in told:
            unnamed.append(f"{_called(word)}{since}")
    return f"{told}; {', '.join(unnamed)}" if unnamed else told


def _called(word: Word) -> str:
    return next((guard.called for guard in Guard if guard.value == word.guard), word.guard)


def _of(kind: WayKind, ways: Sequence[Way]) -> bool:
    return any(way.kind is kind for way in ways)


def refusing(judged: Judged, standing: Standing | None, now: datetime) -> tuple[GuardWord, ...]:
    """The guards that refuse the step still: while they do, nothing else that is ended helps it."""
    refused = (word for word in judged.held_by if word.ruling is Ruling.REFUSE)
    return tuple(word for word in refused if not is_over(word, standing, now))


def can_be_lifted(word: GuardWord) -> bool:
    """Whether a person can end what it says, by a command or in a file."""
    return any(not way.kind.looks for way in word.ways)


def not_enough(word: GuardWord, refusing: Sequence[GuardWord]) -> str:
    """Behind the command of a guard beside which others refuse: who else has to let it go; else empty."""
    if word.ruling is Ruling.REFUSE or not refusing:
        return ""
    return f"   (not enough: also refused by {', '.join(dict.fromkeys(one.called for one in refusing))})"
