"""Guards over who decides: how far automation may go by itself."""

from responder.decide.case import Facts, Terms
from responder.decide.guards.base import ask, go
from responder.model.autonomy import Autonomy, Ceiling, effective
from responder.model.guard import Guard, GuardVerdict, Ruling


def autonomy(facts: Facts, terms: Terms) -> GuardVerdict:
    """How far automation may go here: the least of all ceilings."""
    del terms
    least = effective(facts.ceilings)
    match least.level:
        case Autonomy.AUTO:
            return go(Guard.AUTONOMY, "automation may act alone here")
        case Autonomy.APPROVE if facts.by_hand is not None:
            return go(Guard.AUTONOMY, f"approved by {facts.by_hand}, who asked for it ({least.origin})")
        case Autonomy.APPROVE:
            return ask(Guard.AUTONOMY, f"a person must approve ({least.origin})", facts)
        case Autonomy.SHADOW | Autonomy.OBSERVE:
            return _without_effect(least, facts)


def _without_effect(least: Ceiling, facts: Facts) -> GuardVerdict:
    """It goes on up to the effect, and no further. Every ceiling that is as low has to be raised.

    One that nobody can raise for this incident is named, for else a command would seem to be enough.
    """
    as_low = [one for one in facts.ceilings if one.level == least.level]
    fixed = [one.origin for one in as_low if one.way is None]
    return GuardVerdict(
        guard=Guard.AUTONOMY,
        ruling=Ruling.GO,
        reason=f"{least.level.word} only, {', and '.join(dict.fromkeys((least.origin, *fixed)))}",
        shadow=True,
        ways=tuple(dict.fromkeys(one.way for one in as_low if one.way is not None)),
    )
