"""What a person says, applied by the incident's owner."""

from datetime import datetime

from responder.decide.case import (
    AttemptVerdict,
    Case,
    Change,
    Terms,
)
from responder.decide.changes.base import go_on, stay
from responder.decide.changes.endings import closed
from responder.model.incident import CommandKind, IncidentState
from responder.model.timeline import EntryDraft, EntryKind


def obeyed(case: Case, now: datetime, terms: Terms) -> Change:
    """Apply the oldest command of a person."""
    command = case.command
    if command is None:
        raise ValueError("there is no command to obey")
    said = f": {command.reason}" if command.reason else ""
    entry = EntryDraft(
        kind=EntryKind.PERSON,
        text=f"{command.actor} {_SAYS[command.kind]}{said}",
        facts={"command": command.kind.value, "id": str(command.id), "reason": command.reason},
        actor=command.actor,
    )
    change = _obey(case, command.kind, entry, now, terms)
    given_up = change.state in {IncidentState.TAKEN_OVER, IncidentState.CLOSED}
    if given_up and case.holds and case.attempt is not None:
        change = change.model_copy(update={"verdict": AttemptVerdict(attempt_id=case.attempt.id)})
    return change.model_copy(update={"command": command.id})


_SAYS = {
    CommandKind.ACKNOWLEDGE: "acknowledged it",
    CommandKind.TAKE_OVER: "took over; automation is off",
    CommandKind.HAND_BACK: "handed it back to automation",
    CommandKind.CLOSE: "closed it",
}


def _obey(case: Case, kind: CommandKind, entry: EntryDraft, now: datetime, terms: Terms) -> Change:
    state = case.incident.state
    match kind:
        case CommandKind.ACKNOWLEDGE:
            return stay(case, now, entry, acknowledged_by=entry.actor, acknowledged_at=now)
        case CommandKind.TAKE_OVER if state is not IncidentState.CLOSED:
            return Change(
                state=IncidentState.TAKEN_OVER,
                progress=case.incident.progress.model_copy(
                    update={
                        "hold": None,
                        "verification": None,
                        "take_back": None,
                        "taken_over_by": entry.actor,
                    }
                ),
                deadline=now + terms.taken_over_deadline,
                due_at=now,
                entries=(entry,),
            )
        case CommandKind.HAND_BACK if state is IncidentState.TAKEN_OVER:
            return go_on(case, now, terms, f"{entry.actor} handed it back", entry, taken_over_by=None)
        case CommandKind.CLOSE if state is not IncidentState.CLOSED:
            return closed(case, f"closed by {entry.actor}", entry, quiet=False)
        case _:
            text = f"{entry.text}, which changes nothing: the incident is {state.value.replace('_', ' ')}"
            facts = {**entry.facts, "changed": False}
            told = entry.model_copy(update={"text": text, "facts": facts})
            return stay(case, None if state is IncidentState.CLOSED else now, told)
