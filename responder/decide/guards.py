"""The guards: each one a pure check of one attempt. All are judged, all are recorded, the strictest wins.

A guard answers go, wait (until), ask (a person) or refuse, with a reason in words. Who a refusal is about
decides what follows: the target's takes the next step, the incident's escalates.
"""

from collections.abc import Callable
from datetime import timedelta

from responder.decide.case import Facts, Terms
from responder.model.autonomy import Autonomy, effective
from responder.model.duration import format_duration
from responder.model.guard import Guard, GuardVerdict, Judgement, Refuses, Ruling

GuardCheck = Callable[[Facts, Terms], GuardVerdict]


def judge(facts: Facts, terms: Terms) -> Judgement:
    """The verdicts of all guards, in their order."""
    return Judgement(verdicts=tuple(guard(facts, terms) for guard in GUARDS))


def _go(guard: Guard, reason: str, *, shadow: bool = False) -> GuardVerdict:
    return GuardVerdict(guard=guard, ruling=Ruling.GO, reason=reason, shadow=shadow)


def _wait(
    guard: Guard, reason: str, facts: Facts, delay: timedelta, holder: str | None = None
) -> GuardVerdict:
    return GuardVerdict(
        guard=guard, ruling=Ruling.WAIT, reason=reason, until=facts.now + delay, holder=holder
    )


def _refuse(guard: Guard, reason: str, about: Refuses) -> GuardVerdict:
    return GuardVerdict(guard=guard, ruling=Ruling.REFUSE, reason=reason, refuses=about)


def halt(facts: Facts, terms: Terms) -> GuardVerdict:
    """Nothing starts while the kill switch is on, or cannot be read."""
    if facts.halted is not None:
        return _wait(Guard.HALT, f"halted: {facts.halted}", facts, terms.hold_every, holder="halt")
    return _go(Guard.HALT, "not halted")


def clock(facts: Facts, terms: Terms) -> GuardVerdict:
    """No clock jumped within the last lease time, or may have jumped."""
    unsteady = facts.unsteady
    if unsteady is None:
        return _go(Guard.CLOCK, "the clocks are steady")
    soon = facts.now + terms.hold_every
    until = soon if unsteady.until is None else max(unsteady.until, facts.now)
    return GuardVerdict(
        guard=Guard.CLOCK, ruling=Ruling.WAIT, reason=unsteady.reason, until=until, holder="the clock"
    )


def scope(facts: Facts, terms: Terms) -> GuardVerdict:
    """The target is exactly one entry of the inventory."""
    del terms
    if facts.out_of_scope is not None:
        return _refuse(Guard.SCOPE, facts.out_of_scope, Refuses.INCIDENT)
    return _go(Guard.SCOPE, f"{facts.target} is in the inventory")


def opt_out(facts: Facts, terms: Terms) -> GuardVerdict:
    """The target itself does not ask to be left alone."""
    del terms
    if facts.opted_out is not None:
        return _refuse(Guard.SCOPE, f"{facts.target} opted out: {facts.opted_out}", Refuses.TARGET)
    return _go(Guard.SCOPE, "the target has not opted out")


def own_ground(facts: Facts, terms: Terms) -> GuardVerdict:
    """The target does not carry the responder itself."""
    del terms
    shared = sorted(set(facts.ground) & set(facts.own_ground))
    if shared:
        reason = f"{facts.target} carries the responder itself ({', '.join(shared)})"
        return _refuse(Guard.OWN_GROUND, reason, Refuses.INCIDENT)
    return _go(Guard.OWN_GROUND, "the target does not carry the responder")


def still_firing(facts: Facts, terms: Terms) -> GuardVerdict:
    """Something still fires, by our record and by the source's word."""
    if facts.firing == 0:
        return _wait(Guard.STILL_FIRING, "no alert of this incident fires any more", facts, timedelta(0))
    view = facts.source
    if view.configured and view.problem is None and view.absent and not (view.firing or view.suppressed):
        reason = "the source does not know these alerts as firing any more"
        return _wait(Guard.STILL_FIRING, reason, facts, terms.hold_every, holder="the source")
    return _go(Guard.STILL_FIRING, f"{facts.firing} firing")


def suppressed(facts: Facts, terms: Terms) -> GuardVerdict:
    """Nobody silenced or inhibited the alerts at their source."""
    view = facts.source
    if view.suppressed and not view.firing:
        by = view.suppressed_by or "a silence or an inhibition"
        return _wait(Guard.SUPPRESSED, f"suppressed by {by}", facts, terms.suppressed_every, holder=by)
    return _go(Guard.SUPPRESSED, "neither silenced nor inhibited")


def source_answers(facts: Facts, terms: Terms) -> GuardVerdict:
    """A source whose API is configured answers."""
    if facts.source.problem is not None:
        reason = f"the source does not answer: {facts.source.problem}"
        return _wait(Guard.SOURCE, reason, facts, terms.hold_every, holder="the source")
    return _go(Guard.SOURCE, "the source was asked" if facts.source.configured else "no API to ask")


def too_old(facts: Facts, terms: Terms) -> GuardVerdict:
    """The newest word that it fires is not older than `max_alert_age`."""
    words = [facts.newest_seen_at]
    if facts.source.configured and facts.source.problem is None:
        # The source was asked just now: what it says of them is what the other guards judge.
        words.append(facts.source.asked_at)
    known = [word for word in words if word is not None]
    newest = max(known, default=None)
    if newest is None or facts.now - newest > terms.max_alert_age:
        age = "unknown" if newest is None else format_duration(facts.now - newest)
        limit = format_duration(terms.max_alert_age)
        reason = f"the newest word that it fires is {age} old, more than {limit}"
        return _refuse(Guard.TOO_OLD, reason, Refuses.INCIDENT)
    return _go(Guard.TOO_OLD, f"heard of {format_duration(facts.now - newest)} ago")


def condition(facts: Facts, terms: Terms) -> GuardVerdict:
    """The step's `when` holds. No data asks a person."""
    del terms
    reading = facts.condition
    if reading is None or reading.holds:
        return _go(Guard.CONDITION, "no condition" if reading is None else reading.text)
    if reading.holds is None:
        return GuardVerdict(guard=Guard.CONDITION, ruling=Ruling.ASK, reason=f"no data: {reading.text}")
    return _refuse(Guard.CONDITION, f"the step's condition is false: {reading.text}", Refuses.TARGET)


def look(facts: Facts, terms: Terms) -> GuardVerdict:
    """The target could be looked at just now."""
    if facts.look_problem is not None:
        return _wait(Guard.LOOK, facts.look_problem, facts, terms.hold_every, holder=facts.target)
    return _go(Guard.LOOK, "looked at just now")


def cooldown(facts: Facts, terms: Terms) -> GuardVerdict:
    """The last attempt of another ladder on this target ended long enough ago."""
    del terms
    ends = [
        past.ended_at or past.intended_at for past in facts.history if past.spent and not past.same_ladder
    ]
    if not ends:
        return _go(Guard.COOLDOWN, "no earlier attempt to cool down from")
    over = max(ends) + facts.limits.cooldown
    if facts.now < over:
        rest = format_duration(over - facts.now)
        reason = f"cooling down for another {rest} after an earlier attempt on {facts.target}"
        return GuardVerdict(
            guard=Guard.COOLDOWN, ruling=Ruling.WAIT, reason=reason, until=over, holder="cooldown"
        )
    return _go(Guard.COOLDOWN, "the cooldown is over")


def attempts_left(facts: Facts, terms: Terms) -> GuardVerdict:
    """Fewer attempts of (rule, target) than allowed in the window; only a proven "no" comes back."""
    del terms
    since = facts.now - facts.limits.per
    spent = sum(1 for past in facts.history if past.spent and past.intended_at > since)
    window = format_duration(facts.limits.per)
    if spent >= facts.limits.attempts:
        reason = f"{spent} of {facts.limits.attempts} attempts on {facts.target} in {window} are spent"
        return _refuse(Guard.ATTEMPTS, reason, Refuses.INCIDENT)
    return _go(Guard.ATTEMPTS, f"{spent} of {facts.limits.attempts} attempts in {window} are spent")


def claim_free(facts: Facts, terms: Terms) -> GuardVerdict:
    """Nobody else works on the target, and no attempt with an unknown outcome holds it."""
    claim = facts.claim
    if claim is None:
        return _go(Guard.CLAIM, "nobody else holds the target")
    holder = f"incident {claim.incident_id} (rule {claim.rule})"
    if claim.quarantined:
        reason = f"{claim.target} is quarantined by {holder}: {claim.reason}"
    else:
        reason = f"{claim.target} is held by {holder}"
    return _wait(Guard.CLAIM, reason, facts, terms.hold_every, holder=holder)


def floor(facts: Facts, terms: Terms) -> GuardVerdict:
    """The action's own floors and ceilings, and the number of elements, on the fresh state."""
    del terms
    if facts.floor is not None:
        return _refuse(Guard.FLOOR, facts.floor, Refuses.TARGET)
    number = len(facts.elements)
    return _go(Guard.FLOOR, f"{number} element{'' if number == 1 else 's'}, within the limits")


def autonomy(facts: Facts, terms: Terms) -> GuardVerdict:
    """How far automation may go here: the least of all ceilings."""
    del terms
    least = effective(facts.ceilings)
    match least.level:
        case Autonomy.AUTO:
            return _go(Guard.AUTONOMY, "auto by every ceiling")
        case Autonomy.APPROVE:
            reason = f"a person must approve ({least.origin})"
            return GuardVerdict(guard=Guard.AUTONOMY, ruling=Ruling.ASK, reason=reason)
        case Autonomy.SHADOW | Autonomy.OBSERVE:
            return _go(Guard.AUTONOMY, f"{least.level.word}, no effect ({least.origin})", shadow=True)


GUARDS: tuple[GuardCheck, ...] = (
    halt,
    clock,
    scope,
    opt_out,
    own_ground,
    still_firing,
    suppressed,
    source_answers,
    too_old,
    condition,
    look,
    cooldown,
    attempts_left,
    claim_free,
    floor,
    autonomy,
)
"""In the order in which they are told; autonomy last."""
