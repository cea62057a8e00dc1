"""Who is told of an incident next, and when, if nothing happens before: for people who ask."""

from collections.abc import Iterator, Sequence
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
    kept_by: str | None = None
    """Whose word on how bad it is keeps it from becoming worse by time alone."""
    stale_at: datetime | None = None
    """Of what waits for an answer: when a yes is of no use, since nobody has said lately that it fires."""


def promised(
    incident: Incident,
    steps: int,
    terms: Terms,
    raises: Sequence[Raise] = (),
    *,
    again: bool = False,
    heard_at: datetime | None = None,
) -> Promised:
    """By these terms; `steps` is how many its ladder has, `again` whether the last taken may be repeated.

    `raises` is what its rule says of time, `heard_at` when an alert of it was last heard to fire.
    """
    left = again or incident.progress.step < steps
    words = sorted(_to_come(incident, terms, left=left), key=lambda word: word.at)
    found = next_raise(raises, incident.progress, incident.severity) if incident.state in RISES else None
    return Promised(
        terms=terms.severities[incident.severity],
        next=words[0] if words else None,
        rises=None if found is None else Rises(at=found[1], to=found[0].to),
        kept_by=_kept_by(incident, raises),
        stale_at=_stale_at(incident, heard_at, terms),
    )


def _kept_by(incident: Incident, raises: Sequence[Raise]) -> str | None:
    by = incident.progress.severity_by
    alone = incident.progress.model_copy(update={"severity_by": None})
    rises = incident.state in RISES and next_raise(raises, alone, incident.severity) is not None
    return by if rises else None


def _stale_at(incident: Incident, heard_at: datetime | None, terms: Terms) -> datetime | None:
    """As `guards.source.stale_at` has it, by what was heard since the question."""
    question = incident.progress.question
    if incident.state is not IncidentState.AWAITING_APPROVAL or question is None or question.stale_at is None:
        return None
    return question.stale_at if heard_at is None else heard_at + terms.max_alert_age


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
            yield _reminder(incident, deadline, terms)
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


def _reminder(incident: Incident, at: datetime, terms: Terms) -> NextWord:
    """A person who acts is reminded in any case; the next level hears of it only where they do not answer."""
    word = _at(incident, at, NoticeKind.REMINDER, "it is over by then", terms)
    return word.model_copy(update={"unless": "it is over or acknowledged by then"}) if word.up else word


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
