"""Who is told of an incident next, and when, if nothing happens before: for people who ask."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from responder.decide.case import Terms
from responder.decide.levels import next_level
from responder.decide.raising import RISES, next_raise
from responder.model.base import Frozen
from responder.model.incident import Incident, IncidentState
from responder.model.policy import NoticeKind
from responder.model.rule import Raise
from responder.model.severity import Severity, SeverityTerms


class NextWord(Frozen):
    """A word to people that is to come. `unless` is what keeps it from being said, in words."""

    at: datetime
    kind: NoticeKind
    level: int
    up: bool
    """Whether a level hears of it that did not before."""
    channels: tuple[str, ...]
    unless: str


class Rises(Frozen):
    """How bad it becomes by time alone, and when."""

    at: datetime
    to: Severity


class Promised(Frozen):
    """What the settings promise people of an incident: its severity's terms, and the next word.

    Its rule may promise them more: that it is worse from some moment on.
    """

    terms: SeverityTerms
    next: NextWord | None
    rises: Rises | None = None


def promised(
    incident: Incident, steps: int, terms: Terms, raises: Iterable[Raise] = (), *, again: bool = False
) -> Promised:
    """By these terms; `steps` is how many its ladder has, `again` whether the last taken may be repeated.

    `raises` is what its rule says of time.
    """
    left = again or incident.progress.step < steps
    words = sorted(_to_come(incident, terms, left=left), key=lambda word: word.at)
    found = next_raise(raises, incident.progress, incident.severity) if incident.state in RISES else None
    return Promised(
        terms=terms.severities[incident.severity],
        next=words[0] if words else None,
        rises=None if found is None else Rises(at=found[1], to=found[0].to),
    )


def _to_come(incident: Incident, terms: Terms, *, left: bool) -> Iterator[NextWord]:
    progress, deadline = incident.progress, _deadline(incident)
    if incident.state.pages and progress.page_at is not None:
        level = max(1, progress.escalations)
        yield _word(incident, progress.page_at, NoticeKind.OPENED, level, "it is over by then", terms)
    if deadline is None:
        return
    match incident.state:
        case IncidentState.ESCALATED:
            yield _at(incident, deadline, NoticeKind.AGAIN, "it is acknowledged", terms)
        case IncidentState.TAKEN_OVER:
            yield _at(incident, deadline, NoticeKind.REMINDER, "it is over by then", terms)
        case IncidentState.AWAITING_APPROVAL:
            yield _at(incident, deadline, NoticeKind.ESCALATED, "somebody answers", terms)
        case IncidentState.HELD:
            stale = None if progress.hold is None else progress.hold.stale_at
            if stale is not None and stale < deadline:
                unless = "what holds it ends first, or its alert is told again (by then its word is too old)"
                yield _at(incident, stale, NoticeKind.ESCALATED, unless, terms)
            else:
                yield _at(incident, deadline, NoticeKind.ESCALATED, "what holds it ends first", terms)
        case IncidentState.OPEN:
            yield _at(incident, deadline, NoticeKind.ESCALATED, "the next step has a result", terms)
        case IncidentState.VERIFYING if not left:
            yield _at(incident, deadline, NoticeKind.ESCALATED, "it recovers", terms)


def _deadline(incident: Incident) -> datetime | None:
    """What a person asked for by hand does not begin later than they wanted it."""
    asked, begins = (
        incident.by_hand,
        {IncidentState.OPEN, IncidentState.HELD, IncidentState.AWAITING_APPROVAL},
    )
    if incident.deadline is None or asked is None or incident.state not in begins:
        return incident.deadline
    return min(incident.deadline, asked.until)


def _at(incident: Incident, at: datetime, kind: NoticeKind, unless: str, terms: Terms) -> NextWord:
    return _word(incident, at, kind, next_level(incident, at, terms), unless, terms)


def _word(
    incident: Incident, at: datetime, kind: NoticeKind, level: int, unless: str, terms: Terms
) -> NextWord:
    up = level > incident.progress.escalations
    if kind is NoticeKind.AGAIN and not up:
        unless = "it is over by then"
    channels = terms.policy(incident.severity).told(level)
    return NextWord(at=at, kind=kind, level=level, up=up, channels=channels, unless=unless)
