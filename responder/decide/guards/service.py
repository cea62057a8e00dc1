"""Guards over everything that the responder does: what keeps any of it from starting now."""

from responder.decide.case import Facts, Restrained, Terms
from responder.decide.guards.base import go, refuse, wait
from responder.model.duration import format_duration
from responder.model.guard import Guard, GuardVerdict, Refuses, Ruling
from responder.model.storm import ACTING
from responder.model.way import Way, WayKind


def halt(facts: Facts, terms: Terms) -> GuardVerdict:
    """Nothing starts while the kill switch is on, or cannot be read."""
    if facts.halted is not None:
        lead = " " if facts.halted.startswith("by ") else ": "
        reason = f"halted{lead}{facts.halted}"
        return wait(Guard.HALT, reason, facts, terms.hold_every, holder="halt", ways=facts.halts)
    return go(Guard.HALT, "not halted")


def clock(facts: Facts, terms: Terms) -> GuardVerdict:
    """No clock jumped within the last lease time, or may have jumped."""
    unsteady = facts.unsteady
    if unsteady is None:
        return go(Guard.CLOCK, "the clocks are steady")
    soon = facts.now + terms.hold_every
    until = soon if unsteady.until is None else max(unsteady.until, facts.now)
    return GuardVerdict(
        guard=Guard.CLOCK, ruling=Ruling.WAIT, reason=unsteady.reason, until=until, holder="the clock"
    )


def storm(facts: Facts, terms: Terms) -> GuardVerdict:
    """Where very many incidents open at once, only the worst of them act: the rest is one incident."""
    brake = terms.storm
    if not facts.storm.raging(brake):
        return go(Guard.STORM, "no storm")
    if facts.severity in ACTING:
        return go(Guard.STORM, f"a storm, in which {facts.severity} acts")
    within = format_duration(brake.within)
    reason = f"a storm: {brake.openings} incidents or more opened within {within}; only P0 and P1 act"
    umbrella = facts.storm.umbrella
    ways = () if umbrella is None else (Way(kind=WayKind.SEE_INCIDENT, of=str(umbrella)),)
    return refuse(Guard.STORM, reason, Refuses.INCIDENT, *ways)


def freeze(facts: Facts, terms: Terms) -> GuardVerdict:
    """No freeze is in force for what it concerns."""
    if facts.freeze is not None:
        return _until_over(Guard.FREEZE, facts.freeze, facts, terms)
    return go(Guard.FREEZE, "no freeze")


def maintenance(facts: Facts, terms: Terms) -> GuardVerdict:
    """Nobody works on what any of its alerts is about."""
    if facts.maintenance is not None:
        return _until_over(Guard.MAINTENANCE, facts.maintenance, facts, terms)
    return go(Guard.MAINTENANCE, "no maintenance")


def _until_over(guard: Guard, by: Restrained, facts: Facts, terms: Terms) -> GuardVerdict:
    """To the end; a person may end it before, so it is looked at again meanwhile."""
    until = min(by.until, facts.now + terms.suppressed_every)
    ways = () if by.way is None else (by.way,)
    return GuardVerdict(
        guard=guard,
        ruling=Ruling.WAIT,
        reason=by.reason,
        until=until,
        holder=by.holder,
        over_at=by.until,
        ways=ways,
    )
