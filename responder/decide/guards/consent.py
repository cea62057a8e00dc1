"""Guards over who decides: how far automation may go by itself."""

from responder.decide.case import Facts, Terms
from responder.decide.guards.base import ask, go
from responder.model.autonomy import Autonomy, effective
from responder.model.guard import Guard, GuardVerdict


def autonomy(facts: Facts, terms: Terms) -> GuardVerdict:
    """How far automation may go here: the least of all ceilings."""
    del terms
    least = effective(facts.ceilings)
    match least.level:
        case Autonomy.AUTO:
            return go(Guard.AUTONOMY, "auto by every ceiling")
        case Autonomy.APPROVE if facts.by_hand is not None:
            return go(Guard.AUTONOMY, f"approved by {facts.by_hand}, who asked for it ({least.origin})")
        case Autonomy.APPROVE:
            return ask(Guard.AUTONOMY, f"a person must approve ({least.origin})", facts)
        case Autonomy.SHADOW | Autonomy.OBSERVE:
            return go(Guard.AUTONOMY, f"{least.level.word}, no effect ({least.origin})", shadow=True)
