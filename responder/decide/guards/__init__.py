"""The guards: each one a pure check of one attempt. All are judged, all are recorded, the strictest wins.

A guard answers go, wait (until), ask (a person) or refuse, with a reason in words. Who a refusal is about
decides what follows: the target's takes the next step, the incident's escalates. Each room has the guards
that ask the same thing of the facts; here they stand in the order in which they are told.
"""

from collections.abc import Callable

from responder.decide.case import Facts, Terms
from responder.decide.guards.consent import autonomy
from responder.decide.guards.limits import (
    attempts_left,
    breaker,
    budget,
    cooldown,
    flapping,
    open_at_most,
    recurrence,
)
from responder.decide.guards.service import clock, freeze, halt, maintenance, storm
from responder.decide.guards.source import (
    blind,
    self_caused,
    source_answers,
    still_firing,
    suppressed,
    too_old,
)
from responder.decide.guards.target import (
    claim_free,
    condition,
    floor,
    human_override,
    look,
    managed_elsewhere,
    opt_out,
    own_ground,
    scope,
)
from responder.model.guard import GuardVerdict, Judgement

GuardCheck = Callable[[Facts, Terms], GuardVerdict]


def judge(facts: Facts, terms: Terms) -> Judgement:
    """The verdicts of all guards, in their order."""
    return Judgement(verdicts=tuple(guard(facts, terms) for guard in GUARDS))


GUARDS: tuple[GuardCheck, ...] = (
    halt,
    clock,
    freeze,
    maintenance,
    storm,
    scope,
    opt_out,
    own_ground,
    still_firing,
    suppressed,
    source_answers,
    too_old,
    blind,
    self_caused,
    condition,
    look,
    flapping,
    managed_elsewhere,
    human_override,
    cooldown,
    attempts_left,
    recurrence,
    breaker,
    open_at_most,
    claim_free,
    budget,
    floor,
    autonomy,
)
"""In the order in which they are told; autonomy last."""
