"""Guards over how often: what was tried before, how it went, and how much of it goes on elsewhere."""

from responder.decide.case import Facts, OpenIncidents, Terms
from responder.decide.guards.base import go, refuse, wait_until
from responder.model.duration import format_duration
from responder.model.guard import Guard, GuardVerdict, Refuses
from responder.model.rule import StepKind
from responder.model.spoken import moment
from responder.model.way import Way, WayKind


def flapping(facts: Facts, terms: Terms) -> GuardVerdict:
    """No alert of the incident begins again and again: what flaps is not mended by one more act."""
    allowed, at = terms.flapping, facts.flapped_at
    if at is not None and facts.now < at + allowed.within:
        within = format_duration(allowed.within)
        reason = f"an alert of it flaps: it began {allowed.episodes} times or more within {within}"
        reason += f"; not before {moment(at + allowed.within, facts.now)}"
        return wait_until(Guard.FLAPPING, reason, at + allowed.within, "flapping")
    return go(Guard.FLAPPING, "no alert of it flaps")


def cooldown(facts: Facts, terms: Terms) -> GuardVerdict:
    """The last attempt of an earlier ladder on this target ended long enough ago."""
    del terms
    ends = [
        past.ended_at or past.intended_at for past in facts.history if past.spent and not past.same_ladder
    ]
    if not ends:
        return go(Guard.COOLDOWN, "no attempt of an earlier ladder to cool down from")
    over = max(ends) + facts.limits.cooldown
    if facts.now < over:
        until = moment(over, facts.now)
        reason = f"cooling down until {until} after an earlier attempt on {facts.target}"
        return wait_until(Guard.COOLDOWN, reason, over, "cooldown")
    return go(Guard.COOLDOWN, "the cooldown after an earlier ladder is over")


def attempts_left(facts: Facts, terms: Terms) -> GuardVerdict:
    """Fewer attempts of (rule, target) than allowed in the window; only a proven "no" comes back."""
    del terms
    since = facts.now - facts.limits.per
    begun = sorted(past.intended_at for past in facts.history if past.spent and past.intended_at > since)
    spent, allowed = len(begun), facts.limits.attempts
    window = format_duration(facts.limits.per)
    if spent >= allowed:
        reason = f"{spent} of {allowed} attempts on {facts.target} in {window} are spent"
        if allowed:
            reason += f"; one is free at {moment(begun[spent - allowed] + facts.limits.per, facts.now)}"
        return refuse(Guard.ATTEMPTS, reason, Refuses.INCIDENT)
    return go(Guard.ATTEMPTS, f"{spent} of {allowed} attempts in {window} are spent")


def recurrence(facts: Facts, terms: Terms) -> GuardVerdict:
    """The rule was not needed on this target too often, though it worked each time."""
    del terms
    limit = facts.limits.recurrence
    if limit is None:
        return go(Guard.RECURRENCE, "the rule sets no limit of recurrence")
    incidents = f"{facts.recurred} earlier incident{'' if facts.recurred == 1 else 's'}"
    often = f"{incidents} within {format_duration(limit.within)}"
    if facts.recurred >= limit.count:
        reason = f"it acted on {facts.target} in {often}: the cause comes back, doing it again mends nothing"
        reason += f" (the rule's limits.recurrence is {limit.count})"
        return refuse(Guard.RECURRENCE, reason, Refuses.INCIDENT)
    return go(Guard.RECURRENCE, f"needed in {often}, fewer than {limit.count}")


def breaker(facts: Facts, terms: Terms) -> GuardVerdict:
    """The rule has not failed so often in a row that a person has to look at it first."""
    del terms
    found = facts.breaker
    if found is None:
        return go(Guard.BREAKER, "the circuit breaker is closed")
    reason = (
        f"the circuit breaker of {found.rule} is open since {found.opened_at:%Y-%m-%d %H:%M:%S} UTC: "
        f"{len(found.attempts)} attempts in a row did not lead to recovery"
    )
    return refuse(Guard.BREAKER, reason, Refuses.INCIDENT, Way(kind=WayKind.RESET_BREAKER, of=found.rule))


def open_at_most(facts: Facts, terms: Terms) -> GuardVerdict:
    """Not so many incidents of the rule are open at once that they are one outage."""
    del terms
    limit, found = facts.limits.only_if_open_at_most, facts.open_incidents
    if limit is None or found is None:
        return go(Guard.OPEN_AT_MOST, "the rule sets no limit of open incidents")
    if found.count > limit:
        reason = f"{_number(found)} of this rule are open, more than {limit}: treat them as one outage"
        return refuse(Guard.OPEN_AT_MOST, f"{reason}{_others(found)}", Refuses.INCIDENT)
    return go(Guard.OPEN_AT_MOST, f"open of this rule: {_number(found)}; up to {limit} it acts")


def budget(facts: Facts, terms: Terms) -> GuardVerdict:
    """A disruptive start has a budget of its target, of its namespace and of everything left."""
    del terms
    if facts.kind is not StepKind.DISRUPTIVE:
        return go(Guard.BUDGET, "it is not disruptive: it spends no budget")
    spent = [one for one in facts.budgets if one.used_up]
    if not spent:
        left = ", ".join(f"{one.spent} of {one.allowed} of {one.words}" for one in facts.budgets)
        spent_of = f"spent: {left}" if left else "no target to spend a budget on"
        return go(Guard.BUDGET, spent_of, asked=bool(left))
    last = max(spent, key=lambda one: one.frees_at or facts.now)
    until = max(last.frees_at or facts.now, facts.now)
    spent_words = f"{last.words} is spent: {last.spent} of {last.allowed} starts"
    reason = f"{spent_words}, the next is free at {moment(until, facts.now)}"
    return wait_until(Guard.BUDGET, reason, until, "budget", Way(kind=WayKind.SEE_BUDGETS))


def _number(found: OpenIncidents) -> str:
    least = "at least " if found.more else ""
    return f"{least}{found.count} incident{'' if found.count == 1 else 's'}"


def _others(found: OpenIncidents) -> str:
    if not found.others:
        return ""
    more = found.count - 1 - len(found.others)
    rest = f"; and {more} more" if more > 0 else ""
    return f" (also {'; '.join(found.others)}{rest})"
