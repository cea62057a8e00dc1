"""The verdicts of guards, written short."""

from datetime import datetime, timedelta
from functools import lru_cache

from responder.decide.case import Facts
from responder.model.guard import Guard, GuardVerdict, Refuses, Ruling
from responder.model.way import Way


@lru_cache(maxsize=1024)
def go(guard: Guard, reason: str, *, asked: bool = True) -> GuardVerdict:
    """It may start, as far as this guard is asked. Most guards say so most of the time, in the same words."""
    return GuardVerdict(guard=guard, ruling=Ruling.GO, reason=reason, asked=asked)


def wait(
    guard: Guard,
    reason: str,
    facts: Facts,
    delay: timedelta,
    holder: str | None = None,
    ways: tuple[Way, ...] = (),
) -> GuardVerdict:
    """Not now: look again after `delay` at the latest. Nobody knows when it ends."""
    until = facts.now + delay
    return GuardVerdict(guard=guard, ruling=Ruling.WAIT, reason=reason, until=until, holder=holder, ways=ways)


def wait_until(guard: Guard, reason: str, over_at: datetime, holder: str, *ways: Way) -> GuardVerdict:
    """Not before that moment."""
    return GuardVerdict(
        guard=guard,
        ruling=Ruling.WAIT,
        reason=reason,
        until=over_at,
        holder=holder,
        over_at=over_at,
        ways=ways,
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


def refuse(guard: Guard, reason: str, about: Refuses, *ways: Way) -> GuardVerdict:
    """Never for this target, or for this incident."""
    return GuardVerdict(guard=guard, ruling=Ruling.REFUSE, reason=reason, refuses=about, ways=ways)
