"""What follows from a case without a further look at the world, taken as one change.

An incident opens and takes its first step, or tells of a member and waits on: each is decided by `next_move`
as ever, and nothing happens between them. Written one by one they would cost a transaction each, which is
most of the way to an action, and most of a storm. What is only told in passing is recorded while the next
step already looks at its target.
"""

from dataclasses import dataclass

from responder.decide import changes
from responder.decide.case import Apply, Case, Change, Move, Terms, Wait
from responder.decide.next_move import next_move
from responder.decide.raising import in_time

_AT_MOST = 20


@dataclass(frozen=True, slots=True)
class RunOn:
    """A `change` that is to be recorded now, a `move` that needs the world, or both.

    With both, the change may be recorded while the move looks at the world, and is recorded before the move
    writes anything or does anything. `case` is the case as it stands after the change, where that is known
    without loading it again.
    """

    change: Change | None
    move: Move | None
    case: Case | None


def run_on(case: Case, terms: Terms) -> RunOn:
    """Everything that is decided already, in one change; and the move that comes next, where it may begin."""
    sofar: Change | None = None
    after: Case = case
    for _ in range(_AT_MOST):
        move = next_move(after, case.now, terms)
        match move:
            case Apply(change=change):
                sofar = _joined(sofar, in_time(after, change))
            case Wait(until=until):
                sofar = _joined(sofar, in_time(after, changes.stay(after, until)))
            case _:
                begins = sofar is None or not has_to_last(sofar, ends=False)
                return RunOn(sofar, move if begins else None, after)
        if not _plain(sofar):
            return RunOn(sofar, None, None)
        after = _after(case, sofar)
        if sofar.due_at is None or sofar.due_at > case.now:
            break
    return RunOn(sofar, None, after)


def has_to_last(change: Change, *, ends: bool) -> bool:
    """Whether the record of a change is on disk before anything follows from it.

    Only what is told in passing need not be, and only while its owner goes on (`ends` gives the lease up):
    the incident stays due, nobody outside hears of it, and no effect comes of it but by an intent, which is
    on disk after all that was recorded before. Forgotten by a crash of PostgreSQL, it is decided anew.
    """
    return ends or bool(change.notices) or not _plain(change)


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
    ledger = (
        change.end,
        change.verdict,
        change.quarantine,
        change.command,
        change.rulebook_hash,
    )
    first = change.shadow_runs or change.told_findings or change.quiet or change.opens_storm
    return all(part is None for part in ledger) and not first


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
    return case.model_copy(update={"incident": incident.model_copy(update=moved), "timeline_head": None})
