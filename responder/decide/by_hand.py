"""What happens to an incident that a person opened: its own row of the state table.

It has no alerts: it does not begin because one fires, nor end because none does. An act is `pending` until
its owner takes it up, and goes the way of every step from there. It may begin within `GOOD_FOR` after it was
asked for, and not later. Without a verification it ends `recorded`, with what the action says, and nobody
claims that it helped; with one it is `resolved`, or people are told. An incident for people is `escalated` at
once, and stays so until a person closes it.
"""

from datetime import datetime
from typing import assert_never

from responder.decide import changes
from responder.decide.case import Apply, Case, Change, Check, Move, TakeStep, Terms, Wait
from responder.model.by_hand import ByHand
from responder.model.incident import IncidentState
from responder.model.spoken import span


def by_hand_move(case: Case, asked: ByHand, now: datetime, terms: Terms) -> Move:
    """The move of an incident that a person opened; a person's further word has come before."""
    state, deadline = case.incident.state, case.incident.deadline or now
    late = now >= deadline
    match state:
        case IncidentState.PENDING:
            return Apply(change=changes.asked_by_hand(case, asked, now, terms))
        case IncidentState.OPEN | IncidentState.AWAITING_APPROVAL | IncidentState.SUPPRESSED:
            return _open(case, asked, now, terms, late=late)
        case IncidentState.HELD:
            return _held(case, asked, now, terms, late=late)
        case IncidentState.VERIFYING:
            return Check()
        case IncidentState.ESCALATED:
            why = case.incident.progress.escalation_reason or "nobody has closed it"
            return (
                Apply(change=changes.escalated(case, now, why, terms, again=True))
                if late
                else Wait(until=deadline)
            )
        case IncidentState.TAKEN_OVER:
            return Apply(change=changes.reminded(case, now, terms)) if late else Wait(until=deadline)
        case IncidentState.RESOLVED:
            return Apply(change=changes.closed(case, "it stayed resolved")) if late else Wait(until=deadline)
        case IncidentState.RECORDED:
            why = "recorded, and nobody said more of it"
            return Apply(change=changes.closed(case, why)) if late else Wait(until=deadline)
        case IncidentState.CLOSED:
            return Wait(until=None)
        case IncidentState.REMEDIATING:
            raise AssertionError("what runs is settled before anything else is decided")
        case _:
            assert_never(state)


def _open(case: Case, asked: ByHand, now: datetime, terms: Terms, *, late: bool) -> Move:
    step = case.incident.progress.step
    if not asked.acts:
        by = "" if asked.gives_back is not None else f"opened by {asked.actor}: "
        why = f"{asked.title} ({by}{asked.reason})"
        return Apply(change=changes.escalated(case, now, why, terms))
    if step >= len(case.rule.steps):
        return Apply(change=_taken(case, asked, now, terms))
    if now >= asked.until:
        return Apply(change=_not_begun(case, asked, now, terms))
    if late:
        since = span(now - case.incident.state_since)
        return Apply(change=changes.escalated(case, now, f"open for {since} without a result", terms))
    return TakeStep(index=step)


def _taken(case: Case, asked: ByHand, now: datetime, terms: Terms) -> Change:
    """Its one step was taken, and what was to prove that it helped does not; or nothing was to prove it."""
    proof = "it did not help" if case.rule.verify is not None else "nobody has said whether it helped"
    why = f"{asked.action} ran on {asked.target} for {asked.actor}, and {proof}"
    return changes.escalated(case, now, why, terms)


def _not_begun(case: Case, asked: ByHand, now: datetime, terms: Terms) -> Change:
    """What a person wanted then is not done later: somebody has to want it anew."""
    ago = span(now - asked.asked_at)
    why = f"nothing was done: {asked.actor} asked for it {ago} ago, and it could not begin in time"
    if asked.gives_back is not None:
        why = f"{asked.title}, due {ago} ago, and could not be in time"
    return changes.escalated(case, now, why, terms)


def _held(case: Case, asked: ByHand, now: datetime, terms: Terms, *, late: bool) -> Move:
    hold = case.incident.progress.hold
    if hold is None:
        return Apply(change=changes.go_on(case, now, terms, "nothing holds it any more"))
    if late or now >= min(hold.deadline, asked.until):
        held = span(now - hold.since)
        what = f"nothing was done for {asked.actor}" if asked.gives_back is None else asked.title
        why = f"{what}: held for {held}: {hold.reasons}"
        return Apply(change=changes.escalated(case, now, why, terms))
    return TakeStep(index=case.incident.progress.step) if now >= hold.until else Wait(until=hold.until)
