"""What a guard can say, and every reason it can give, each with one sentence used everywhere."""

from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer

from responder.model.base import Frozen
from responder.model.way import Way


class Ruling(IntEnum):
    """The strictest of all guards wins: a larger number is stricter."""

    GO = 0
    ASK = 1
    WAIT = 2
    REFUSE = 3


RulingWord = Annotated[
    Ruling,
    BeforeValidator(lambda value: Ruling[value.upper()] if isinstance(value, str) else value),
    PlainSerializer(lambda ruling: ruling.name.lower(), return_type=str),
]
"""A ruling that is written as its word."""


class Refuses(StrEnum):
    """Who the refusal is about: the target (take the next step) or the incident (escalate)."""

    TARGET = "target"
    INCIDENT = "incident"


class Guard(StrEnum):
    """The guards by name, in the order in which they are told."""

    HALT = "halt"
    CLOCK = "clock"
    FREEZE = "freeze"
    MAINTENANCE = "maintenance"
    STORM = "storm"
    SCOPE = "scope"
    OWN_GROUND = "own_ground"
    STILL_FIRING = "still_firing"
    SUPPRESSED = "suppressed"
    SOURCE = "source"
    TOO_OLD = "too_old"
    BLIND = "blind"
    SELF_CAUSED = "self_caused"
    CONDITION = "condition"
    LOOK = "look"
    FLAPPING = "flapping"
    MANAGED = "managed_elsewhere"
    OVERRIDE = "human_override"
    COOLDOWN = "cooldown"
    ATTEMPTS = "attempts"
    RECURRENCE = "recurrence"
    BREAKER = "breaker"
    OPEN_AT_MOST = "only_if_open_at_most"
    CLAIM = "claim"
    BUDGET = "budget"
    FLOOR = "floor"
    AUTONOMY = "autonomy"

    @property
    def called(self) -> str:
        """What people call it."""
        return _CALLED[self]

    @property
    def asks(self) -> str:
        """What it looks at, as a question that "yes" lets go."""
        return _ASKS[self]


def called(name: str) -> str:
    """What people call the guard of that name; one that is no more by the name itself."""
    return next((guard.called for guard in Guard if guard.value == name), name)


_CALLED = {
    Guard.HALT: "halt",
    Guard.CLOCK: "clocks",
    Guard.FREEZE: "freeze",
    Guard.MAINTENANCE: "maintenance",
    Guard.STORM: "storm",
    Guard.SCOPE: "target",
    Guard.OWN_GROUND: "the responder's own host",
    Guard.STILL_FIRING: "alert still firing",
    Guard.SUPPRESSED: "silences",
    Guard.SOURCE: "alert source",
    Guard.TOO_OLD: "age of the alert",
    Guard.BLIND: "watchdog alert",
    Guard.SELF_CAUSED: "our own acts",
    Guard.CONDITION: "the step's condition",
    Guard.LOOK: "look at the target",
    Guard.FLAPPING: "flapping",
    Guard.MANAGED: "managed by another",
    Guard.OVERRIDE: "changed by a person",
    Guard.COOLDOWN: "cooldown",
    Guard.ATTEMPTS: "attempts",
    Guard.RECURRENCE: "recurrence",
    Guard.BREAKER: "circuit breaker",
    Guard.OPEN_AT_MOST: "open incidents",
    Guard.CLAIM: "target in use",
    Guard.BUDGET: "budget",
    Guard.FLOOR: "the action's own limits",
    Guard.AUTONOMY: "autonomy",
}

_ASKS = {
    Guard.HALT: "may anything start now?",
    Guard.CLOCK: "are the clocks steady?",
    Guard.FREEZE: "is no freeze in force here?",
    Guard.MAINTENANCE: "does nobody do maintenance on it?",
    Guard.STORM: "is there no storm, or is it P0 or P1?",
    Guard.SCOPE: "is it one target of the inventory, and has it not opted out?",
    Guard.OWN_GROUND: "does the responder itself stand elsewhere?",
    Guard.STILL_FIRING: "does the alert still fire?",
    Guard.SUPPRESSED: "is it neither silenced nor inhibited?",
    Guard.SOURCE: "does the source answer?",
    Guard.TOO_OLD: "is the last word that it fires fresh?",
    Guard.BLIND: "was the watchdog alert heard of?",
    Guard.SELF_CAUSED: "did nothing of our own cause it?",
    Guard.CONDITION: "does the step's own condition hold?",
    Guard.LOOK: "could the target be looked at just now?",
    Guard.FLAPPING: "does no alert of it begin again and again?",
    Guard.MANAGED: "does nobody else put the target back?",
    Guard.OVERRIDE: "has nobody changed the target since the alert?",
    Guard.COOLDOWN: "was the last attempt long enough ago?",
    Guard.ATTEMPTS: "are attempts left?",
    Guard.RECURRENCE: "was the rule not needed here too often?",
    Guard.BREAKER: "has the rule not failed too often in a row?",
    Guard.OPEN_AT_MOST: "are no more incidents of the rule open than it allows?",
    Guard.CLAIM: "does nobody else work on the target?",
    Guard.BUDGET: "is a disruptive start left in every budget?",
    Guard.FLOOR: "is it within the action's own limits?",
    Guard.AUTONOMY: "may automation go so far here?",
}


class GuardVerdict(Frozen):
    """What one guard says of one attempt, and why, in words for a tired person.

    `until` is set for WAIT: look again then at the latest. `refuses` is set for REFUSE. `shadow` marks a GO
    that may do everything but the effect, `approved` one that asks, had a person not said yes already.
    `holder` names what is waited for, where it has a name; `over_at` is when that ends by itself, where this
    is known. `verifies_until` is when whoever else works on the target knows whether it helped: it may end
    before, or go on after. `ways` are what a person can do about it. `asked` is false where there was nothing
    to ask it of: no target, or one that was not looked at.
    """

    guard: Guard
    ruling: Ruling
    reason: str
    until: datetime | None = None
    refuses: Refuses | None = None
    shadow: bool = False
    approved: bool = False
    holder: str | None = None
    over_at: datetime | None = None
    verifies_until: datetime | None = None
    ways: tuple[Way, ...] = ()
    asked: bool = True


class Judgement(Frozen):
    """All verdicts of one attempt, in the order of the guards."""

    verdicts: tuple[GuardVerdict, ...]

    @property
    def strictest(self) -> GuardVerdict:
        """The verdict that decides: the strictest, and among equals the first.

        Of several refusals the incident's; where all go, the last, which says how far: autonomy.
        """
        worst = max(verdict.ruling for verdict in self.verdicts)
        equal = [verdict for verdict in self.verdicts if verdict.ruling == worst]
        if worst == Ruling.REFUSE:
            return next((verdict for verdict in equal if verdict.refuses == Refuses.INCIDENT), equal[0])
        return equal[-1] if worst == Ruling.GO else equal[0]

    @property
    def reasons(self) -> str:
        """Why, by every guard that is as strict as the one that decides."""
        decides = self.strictest
        as_strict = [one.reason for one in self.verdicts if one.ruling == decides.ruling]
        return "; also ".join(dict.fromkeys([decides.reason, *as_strict]))

    @property
    def shadow(self) -> bool:
        """Whether the go is one without effect."""
        return any(verdict.shadow for verdict in self.verdicts)

    @property
    def approved(self) -> bool:
        """Whether it goes because of a person's yes: that one is used up by what starts."""
        return any(verdict.approved for verdict in self.verdicts)

    def for_undo(self) -> "Judgement":
        """What remains for taking an attempt back.

        Never less than halt, clock, freeze, maintenance, scope, claim, ground and floors.
        """
        return Judgement(verdicts=tuple(v for v in self.verdicts if v.guard not in _SKIPPED_BY_UNDO))

    def for_part(self) -> "Judgement":
        """What remains for a further part of an `all:` that is under way: never less than for taking it back.

        All else was judged for all parts before the first one; the alert may end meanwhile.
        """
        return self.for_undo()


_SKIPPED_BY_UNDO = {
    Guard.STORM,
    Guard.STILL_FIRING,
    Guard.SUPPRESSED,
    Guard.SOURCE,
    Guard.TOO_OLD,
    Guard.BLIND,
    Guard.SELF_CAUSED,
    Guard.CONDITION,
    Guard.FLAPPING,
    Guard.COOLDOWN,
    Guard.ATTEMPTS,
    Guard.RECURRENCE,
    Guard.BREAKER,
    Guard.OPEN_AT_MOST,
    Guard.BUDGET,
}
"""What only keeps more from being done: an undo does less. The breaker opens by the very verdict that an undo
follows from."""
