"""Guards over the target and what was seen there just now."""

from datetime import UTC

from responder.decide.case import Facts, Terms
from responder.decide.guards.base import ask, go, refuse, wait
from responder.decide.opt_out import opt_out_holds
from responder.decide.restraints import release_of
from responder.model.guard import Guard, GuardVerdict, Refuses
from responder.model.spoken import moment
from responder.model.way import Way, WayKind


def _go(facts: Facts, guard: Guard, reason: str) -> GuardVerdict:
    """Nothing against it; of no target nothing was asked, and nothing is said."""
    if facts.target is None:
        return go(guard, "no target: not asked", asked=False)
    return go(guard, reason)


def _seen(facts: Facts, guard: Guard, reason: str) -> GuardVerdict:
    """Nothing against it in what was seen at the target; where nobody looked, nothing is said either."""
    if facts.target is not None and facts.observed:
        return go(guard, "observe: the target is not looked at", asked=False)
    return _go(facts, guard, reason)


def scope(facts: Facts, terms: Terms) -> GuardVerdict:
    """The target is exactly one entry of the inventory."""
    del terms
    if facts.out_of_scope is not None:
        return refuse(Guard.SCOPE, facts.out_of_scope, Refuses.INCIDENT, *facts.mends)
    return go(Guard.SCOPE, f"{facts.target} is in the inventory")


def opt_out(facts: Facts, terms: Terms) -> GuardVerdict:
    """The target itself does not ask to be left alone."""
    del terms
    if facts.opted_out is None:
        return _seen(facts, Guard.SCOPE, "the target has not opted out")
    if not opt_out_holds(facts.opted_out, facts.now):
        return go(Guard.SCOPE, f"the target's opt-out is over: {facts.opted_out}")
    return refuse(Guard.SCOPE, f"{facts.target} opted out: {facts.opted_out}", Refuses.TARGET)


def managed_elsewhere(facts: Facts, terms: Terms) -> GuardVerdict:
    """Nobody else would take back what is done to the target."""
    del terms
    if facts.managed_by is not None:
        reason = f"{facts.target} is managed by {facts.managed_by}, which would take it back: change it there"
        return refuse(Guard.MANAGED, reason, Refuses.TARGET)
    return _seen(facts, Guard.MANAGED, "nobody else is known to manage the target")


def human_override(facts: Facts, terms: Terms) -> GuardVerdict:
    """Nobody else has changed the target since the alert began."""
    del terms
    changed, began = facts.changed_at, facts.began_at
    if changed is None or began is None or changed < began:
        return _seen(facts, Guard.OVERRIDE, "nobody is known to have changed the target since the alert")
    who = facts.changed_by or "somebody"
    when = f"{changed.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    reason = f"{who} changed {facts.target} at {when}, after the alert began"
    return refuse(Guard.OVERRIDE, reason, Refuses.TARGET)


def own_ground(facts: Facts, terms: Terms) -> GuardVerdict:
    """The target does not carry the responder itself."""
    del terms
    shared = sorted(set(facts.ground) & set(facts.own_ground))
    if shared:
        reason = f"{facts.target} carries the responder itself ({', '.join(shared)})"
        return refuse(Guard.OWN_GROUND, reason, Refuses.INCIDENT)
    return _seen(facts, Guard.OWN_GROUND, "the target does not carry the responder")


def condition(facts: Facts, terms: Terms) -> GuardVerdict:
    """The step's `when` holds. No data asks a person."""
    del terms
    reading = facts.condition
    if reading is None or reading.holds:
        return go(Guard.CONDITION, "no condition" if reading is None else reading.text)
    if reading.holds is None:
        return ask(Guard.CONDITION, f"nobody can say whether it is needed: {reading.text}", facts)
    reason = f"not needed: {reading.text}"
    return refuse(Guard.CONDITION, reason, Refuses.TARGET)


def look(facts: Facts, terms: Terms) -> GuardVerdict:
    """The target could be looked at just now."""
    if facts.look_problem is not None:
        return wait(Guard.LOOK, facts.look_problem, facts, terms.hold_every, holder=facts.target)
    return _seen(facts, Guard.LOOK, "it was looked at for this judgement")


def claim_free(facts: Facts, terms: Terms) -> GuardVerdict:
    """Nobody else works on the target, and no attempt with an unknown outcome holds it."""
    claim = facts.claim
    if claim is None:
        return _go(facts, Guard.CLAIM, "nobody else holds the target")
    who = f"rule {claim.rule}" if claim.asked_by is None else f"by hand, {claim.asked_by}"
    holder = f"incident {claim.incident_id} ({who})"
    ways: tuple[Way, ...] = (Way(kind=WayKind.SEE_INCIDENT, of=str(claim.incident_id)),)
    if claim.quarantined:
        reason = f"{claim.target} is quarantined by {holder}: {claim.reason}"
        ways = (*ways, release_of(claim))
    else:
        by = "" if claim.proven_by is None else f", which verifies until {moment(claim.proven_by, facts.now)}"
        reason = f"{claim.target} is held by {holder}{by}"
    verdict = wait(Guard.CLAIM, reason, facts, terms.hold_every, holder=holder, ways=ways)
    return verdict if claim.quarantined else verdict.model_copy(update={"verifies_until": claim.proven_by})


def floor(facts: Facts, terms: Terms) -> GuardVerdict:
    """The action's own floors and ceilings, and the number of elements, on the fresh state."""
    del terms
    if facts.floor is not None:
        return refuse(Guard.FLOOR, facts.floor, Refuses.TARGET)
    number = len(facts.elements)
    return _seen(facts, Guard.FLOOR, f"{number} element{'' if number == 1 else 's'}, within the limits")
