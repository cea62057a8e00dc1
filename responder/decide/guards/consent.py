"""Guards over who decides: how far automation may go by itself."""

from responder.decide.case import Facts, Terms
from responder.decide.guards.base import go
from responder.model.autonomy import Autonomy, effective
from responder.model.guard import Guard, GuardVerdict, Ruling


def autonomy(facts: Facts, terms: Terms) -> GuardVerdict:
    """How far automation may go here: the least of all ceilings."""
    del terms
    least = effective(facts.ceilings)
    match least.level:
        case Autonomy.AUTO:
            return go(Guard.AUTONOMY, "auto by every ceiling")
        case Autonomy.APPROVE:
            reason = f"a person must approve ({least.origin})"
            return GuardVerdict(guard=Guard.AUTONOMY, ruling=Ruling.ASK, reason=reason)
        case Autonomy.SHADOW | Autonomy.OBSERVE:
            return go(Guard.AUTONOMY, f"{least.level.word}, no effect ({least.origin})", shadow=True)
