"""What follows from a case without a further look at the world, taken as one change.

An incident opens and takes its first step, or tells of a member and waits on: each is decided by `next_move`
as ever, and nothing happens between them. Written one by one they would cost a transaction each, which is
most of the way to an action, and most of a storm.
"""

from dataclasses import dataclass

from responder.decide import changes
from responder.decide.case import Apply, Case, Change, Move, Terms, Wait
from responder.decide.next_move import next_move

_AT_MOST = 20


@dataclass(frozen=True, slots=True)
class RunOn:
    """Either a `change` that is to be recorded now, or a `move` that needs the world.

    `case` is the case as it stands after the change, where that is known without loading it again.
    """

    change: Change | None
    move: Move | None
    case: Case | None


def run_on(case: Case, terms: Terms) -> RunOn:
    """Everything that is decided already, in one change; else the move that comes first."""
    sofar: Change | None = None
    after: Case = case
    for _ in range(_AT_MOST):
        move = next_move(after, case.now, terms)
        match move:
            case Apply(change=change):
                sofar = _joined(sofar, change)
            case Wait(until=until):
                sofar = _joined(sofar, changes.stay(after, until))
            case _:
                return RunOn(sofar, None, after) if sofar is not None else RunOn(None, move, after)
        if not _plain(sofar):
            return RunOn(sofar, None, None)
        after = _after(case, sofar)
        if sofar.due_at is None or sofar.due_at > case.now:
            break
    return RunOn(sofar, None, after)


def _joined(first: Change | None, then: Change) -> Change:
    if first is None:
        return then
    return then.model_copy(
        update={
            "entries": (*first.entries, *then.entries),
            "notices": (*first.notices, *then.notices),
            "severity": then.severity or first.severity,
        }
    )


def _plain(change: Change) -> bool:
    """Whether it touches the incident alone: nothing of its rule, attempts, commands and findings."""
    ledger = (change.end, change.verdict, change.quarantine, change.command, change.rulebook_hash)
    return all(part is None for part in ledger) and not change.told_findings and not change.quiet


def _after(case: Case, change: Change) -> Case:
    incident = case.incident
    moved = {
        "state": change.state,
        "state_since": incident.state_since if change.state is incident.state else case.now,
        "progress": change.progress,
        "severity": change.severity or incident.severity,
        "deadline": change.deadline,
        "due_at": change.due_at,
        "timeline_length": incident.timeline_length + len(change.entries),
    }
    return case.model_copy(update={"incident": incident.model_copy(update=moved)})
