"""What all changes are made of: to stay, to go on at once, and the words that several of them tell."""

from datetime import datetime, timedelta
from typing import Any

from responder.decide.case import (
    Case,
    Change,
    Terms,
)
from responder.model.incident import IncidentState, Progress
from responder.model.timeline import EntryDraft, EntryKind


def stay(case: Case, due_at: datetime | None, *entries: EntryDraft, **progress: Any) -> Change:
    """The same state, looked at again at `due_at`; `progress` names what moves in it."""
    incident = case.incident
    after = incident.progress.model_copy(update=progress)
    return Change(
        state=incident.state,
        progress=after,
        deadline=incident.deadline,
        due_at=due_at if due_at is None else by_the_page(incident.state, after, due_at),
        entries=entries,
    )


def by_the_page(state: IncidentState, progress: Progress, due_at: datetime) -> datetime:
    """When it is looked at again: no later than people are to be told that it has opened."""
    page_at = progress.page_at if state.pages else None
    return due_at if page_at is None else min(due_at, page_at)


def soon(case: Case, now: datetime, every: timedelta) -> datetime:
    """When to look again: after `every`, and at the state's deadline, which no wait outlives."""
    deadline = case.incident.deadline
    return now + every if deadline is None else min(now + every, max(now, deadline))


def go_on(case: Case, now: datetime, terms: Terms, why: str, *entries: EntryDraft, **progress: Any) -> Change:
    """To `open`, and on at once."""
    return Change(
        state=IncidentState.OPEN,
        progress=case.incident.progress.model_copy(update={"hold": None, **progress}),
        deadline=now + terms.open_deadline,
        due_at=now,
        entries=(*entries, moved(case, IncidentState.OPEN, why)),
    )


def moved(case: Case, to: IncidentState, why: str) -> EntryDraft:
    """The timeline's word on a change of state."""
    facts = {"from": case.incident.state.value, "to": to.value, "why": why}
    return EntryDraft(
        kind=EntryKind.STATE, text=f"{to.value.replace('_', ' ').capitalize()}: {why}", facts=facts
    )


def nothing_done(case: Case) -> bool:
    """Whether this ladder had no effect yet and nobody was told: only then may it end without a person."""
    return not attempted(case) and not case.incident.progress.people_know


def attempted(case: Case) -> bool:
    """Whether this ladder had an attempt."""
    attempt, opened_at = case.attempt, case.incident.progress.opened_at
    return attempt is not None and (opened_at is None or attempt.intended_at >= opened_at)


NAMED = 20
"""How many elements of one step are named: enough to see whether it means the right ones."""


def named(elements: tuple[str, ...]) -> str:
    """The number of elements first, so that a reader who cuts the line still has it; then their titles."""
    number = f"{len(elements)} element{'' if len(elements) == 1 else 's'}"
    more = f"; and {len(elements) - NAMED} more" if len(elements) > NAMED else ""
    return f"{number}: {'; '.join(elements[:NAMED])}{more}" if elements else number
