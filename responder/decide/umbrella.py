"""What happens to the storm's umbrella incident: its own row of the state table.

It has no alerts. It is `pending` while it gathers what to tell, pages once (`escalated`), counts what is part
of it, and is `resolved` when the storm is over: not so many incidents open any more, and few enough of those
that are part of it still fire. A new storm within `reopen_within` is the same incident. People are told again
at the update interval, as of every incident that nobody acknowledged, and may take it over or close it.
"""

from datetime import datetime
from typing import assert_never

from responder.decide import changes
from responder.decide.case import Apply, Case, Move, Terms, Wait
from responder.model.incident import IncidentState

_OVER = "the storm is over: what still fires is judged by itself again"


def umbrella_move(case: Case, now: datetime, terms: Terms) -> Move:
    """The move of the umbrella incident; a person's word has come before."""
    state, deadline = case.incident.state, case.incident.deadline or now
    late = now >= deadline
    match state:
        case IncidentState.PENDING:
            return Apply(change=changes.storm_told(case, now, terms)) if late else Wait(until=deadline)
        case IncidentState.ESCALATED if case.storm.over(terms.storm):
            return Apply(change=changes.resolved(case, now, _OVER, terms))
        case IncidentState.ESCALATED:
            return _raging(case, now, deadline, terms)
        case IncidentState.TAKEN_OVER if case.storm.over(terms.storm):
            return Apply(change=changes.resolved(case, now, _OVER, terms))
        case IncidentState.TAKEN_OVER:
            reminds = Apply(change=changes.reminded(case, now, terms))
            return reminds if late else Wait(until=_soon(deadline, now, terms))
        case IncidentState.RESOLVED | IncidentState.RECORDED if case.storm.raging(terms.storm):
            return Apply(change=changes.storm_told(case, now, terms))
        case IncidentState.RESOLVED | IncidentState.RECORDED:
            return (
                Apply(change=changes.closed(case, "the storm stayed over")) if late else Wait(until=deadline)
            )
        case IncidentState.CLOSED:
            return Wait(until=None)
        case (
            IncidentState.OPEN
            | IncidentState.REMEDIATING
            | IncidentState.VERIFYING
            | IncidentState.AWAITING_APPROVAL
            | IncidentState.HELD
            | IncidentState.SUPPRESSED
        ):  # handed back by a person: it has no step, and people are told
            return Apply(change=changes.storm_told(case, now, terms))
        case _:
            assert_never(state)


def _raging(case: Case, now: datetime, deadline: datetime, terms: Terms) -> Move:
    if now >= deadline:
        return Apply(change=changes.storm_told(case, now, terms, again=True))
    part = sum(case.storm.covered.values())
    if part >= 2 * max(case.incident.progress.told_members, 1):
        return Apply(change=changes.storm_grew(case, now, terms))
    return Wait(until=_soon(deadline, now, terms))


def _soon(deadline: datetime, now: datetime, terms: Terms) -> datetime:
    return min(now + terms.storm.look_every, deadline)
