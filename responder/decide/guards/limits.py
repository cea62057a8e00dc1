"""Guards over how often: what was tried before, and how it went."""

from responder.decide.case import Facts, Terms
from responder.decide.guards.base import go, refuse
from responder.model.duration import format_duration
from responder.model.guard import Guard, GuardVerdict, Refuses, Ruling


def cooldown(facts: Facts, terms: Terms) -> GuardVerdict:
    """The last attempt of another ladder on this target ended long enough ago."""
    del terms
    ends = [
        past.ended_at or past.intended_at for past in facts.history if past.spent and not past.same_ladder
    ]
    if not ends:
        return go(Guard.COOLDOWN, "no earlier attempt to cool down from")
    over = max(ends) + facts.limits.cooldown
    if facts.now < over:
        rest = format_duration(over - facts.now)
        reason = f"cooling down for another {rest} after an earlier attempt on {facts.target}"
        return GuardVerdict(
            guard=Guard.COOLDOWN, ruling=Ruling.WAIT, reason=reason, until=over, holder="cooldown"
        )
    return go(Guard.COOLDOWN, "the cooldown is over")


def attempts_left(facts: Facts, terms: Terms) -> GuardVerdict:
    """Fewer attempts of (rule, target) than allowed in the window; only a proven "no" comes back."""
    del terms
    since = facts.now - facts.limits.per
    spent = sum(1 for past in facts.history if past.spent and past.intended_at > since)
    window = format_duration(facts.limits.per)
    if spent >= facts.limits.attempts:
        reason = f"{spent} of {facts.limits.attempts} attempts on {facts.target} in {window} are spent"
        return refuse(Guard.ATTEMPTS, reason, Refuses.INCIDENT)
    return go(Guard.ATTEMPTS, f"{spent} of {facts.limits.attempts} attempts in {window} are spent")
