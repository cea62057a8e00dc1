"""The verdicts of guards, written short."""

from datetime import timedelta

from responder.decide.case import Facts
from responder.model.guard import Guard, GuardVerdict, Refuses, Ruling


def go(guard: Guard, reason: str, *, shadow: bool = False) -> GuardVerdict:
    """It may start, as far as this guard is asked; `shadow`: all but the effect."""
    return GuardVerdict(guard=guard, ruling=Ruling.GO, reason=reason, shadow=shadow)


def wait(
    guard: Guard, reason: str, facts: Facts, delay: timedelta, holder: str | None = None
) -> GuardVerdict:
    """Not now: look again after `delay` at the latest."""
    return GuardVerdict(
        guard=guard, ruling=Ruling.WAIT, reason=reason, until=facts.now + delay, holder=holder
    )


def ask(guard: Guard, reason: str, facts: Facts) -> GuardVerdict:
    """A person decides, and may have decided already: on exactly this, or on what it was then."""
    approval = facts.approval
    if approval is None:
        return GuardVerdict(guard=guard, ruling=Ruling.ASK, reason=reason)
    misfit = approval.misfit(facts.consent, guard, facts.now)
    if misfit is None:
        reason = f"approved by {approval.by}"
        return GuardVerdict(guard=guard, ruling=Ruling.GO, reason=reason, approved=True)
    since = f"{reason}; {approval.by} approved it, but {misfit}"
    return GuardVerdict(guard=guard, ruling=Ruling.ASK, reason=since)


def refuse(guard: Guard, reason: str, about: Refuses) -> GuardVerdict:
    """Never for this target, or for this incident."""
    return GuardVerdict(guard=guard, ruling=Ruling.REFUSE, reason=reason, refuses=about)
