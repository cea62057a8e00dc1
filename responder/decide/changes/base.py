"""What all changes are made of: to stay, to go on at once, and the timeline's word on a change of state."""

from datetime import datetime
from typing import Any

from responder.decide.case import (
    Case,
    Change,
    Terms,
)
from responder.model.incident import IncidentState
from responder.model.timeline import EntryDraft, EntryKind


def stay(case: Case, due_at: datetime | None, *entries: EntryDraft, **progress: Any) -> Change:
    """The same state, looked at again at `due_at`; `progress` names what moves in it."""
    incident = case.incident
    return Change(
        state=incident.state,
        progress=incident.progress.model_copy(update=progress),
        deadline=incident.deadline,
        due_at=due_at,
        entries=entries,
    )


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
    attempt, opened_at = case.attempt, case.incident.progress.opened_at
    attempted = attempt is not None and (opened_at is None or attempt.intended_at >= opened_at)
    return not attempted and case.incident.progress.escalations == 0
