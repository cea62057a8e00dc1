"""What was recorded of the systems outside, for a backtest: each question has the answer that it had.

Facts come as they were written: what was judged, with what the look and the condition had to say; attempts,
with what became of each element; what each probe said. Each is known from its moment on, and answers the same
question until another one is known: an incident that looks again and sees nothing new writes nothing.

The same question is that of the same step of the same incident, known by its rule and group. Other rules that
look at the same target by the same action are told what was seen there last, if that is not long ago.
"""

from collections import Counter
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar

from pydantic_core import from_json

from responder.model.attempt import ElementOutcome, Outcome
from responder.model.guard import Guard, Ruling
from responder.model.target import Element
from responder.ports import IncidentKey
from responder.rehearsal.rehearsal import Now

_FRESH = timedelta(hours=1)
"""How long what others have seen of a target is believed."""
_FLOORS = {Guard.FLOOR, Guard.SCOPE, Guard.MANAGED, Guard.OVERRIDE, Guard.OWN_GROUND}
"""Guards that ask the target itself: where one refused, the target is played as refusing."""


class FactKind(StrEnum):
    """Of what a fact tells."""

    JUDGED = "judged"
    ATTEMPT = "attempt"
    VERIFICATION = "verification"
    COMMAND = "command"
    """What a person said."""
    RESTRAINT = "restraint"
    """A halt, a freeze or maintenance."""


class Known(StrEnum):
    """What was taken from the record; each is a sentence for people."""

    LOOK = "a look finds what was recorded"
    EFFECT = "an act comes to what was recorded"
    PROBE = "a probe answers what was recorded"
    CONDITION = "the condition of a step is as it was recorded"
    PEOPLE = "people say what they said"
    RESTRAINT = "what held automation back holds it back"
    UNFIT = "people said this of an incident that is not there with these rules"


@dataclass(frozen=True, slots=True)
class Fact:
    """One of them. `of` is the incident's rule and group; nobody's, of a restraint."""

    at: datetime
    kind: FactKind
    of: IncidentKey
    told: Mapping[str, Any]


def read_facts(lines: Iterable[str]) -> list[Fact]:
    """The facts of some lines, in the order of their moments."""
    rows: list[list[Any]] = from_json(f"[{','.join(lines)}]")
    facts = [
        Fact(datetime.fromisoformat(at), FactKind(kind), (rule, bytes.fromhex(key)), told)
        for at, kind, rule, key, told in rows
    ]
    return sorted(facts, key=lambda one: one.at)


@dataclass(frozen=True, slots=True)
class Found:
    """What a look has found. `away` is why it found nothing out, `floor` why the target refuses."""

    at: datetime
    elements: tuple[Element, ...] = ()
    away: str | None = None
    floor: str | None = None
    state: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Done:
    """What became of an attempt, by element."""

    at: datetime
    results: Mapping[str, ElementOutcome]


_Place = tuple[str, str]
"""An action on a target."""


@dataclass(slots=True)
class _Known:
    """What is known of one incident, by step and by probe."""

    heard_at: datetime
    found: dict[tuple[int, _Place], Found] = field(default_factory=dict)
    done: dict[tuple[int, _Place], Done] = field(default_factory=dict)
    conditions: dict[int, bool | None] = field(default_factory=dict)
    probes: dict[str, bool | None] = field(default_factory=dict)


@dataclass(slots=True)
class Recorded:
    """What is known up to the moment that a backtest has come to."""

    now: Now
    used: Counter[tuple[Known, str]] = field(default_factory=Counter)
    """What was taken from the record, of what, and how often."""
    _of: dict[IncidentKey, _Known] = field(default_factory=dict)
    _found: dict[_Place, Found] = field(default_factory=dict)
    """By whomever it was seen last."""
    _done: dict[_Place, Done] = field(default_factory=dict)

    # --- what is heard -------------------------------------------------------------------------------------

    def hear(self, fact: Fact) -> None:
        """It is known from now on. What was redacted tells nothing."""
        known = self._of.setdefault(fact.of, _Known(fact.at))
        known.heard_at = fact.at
        match fact.kind:
            case FactKind.JUDGED if "action" in fact.told:
                self._judged(fact, known)
            case FactKind.ATTEMPT:
                self._attempt(fact, known)
            case FactKind.VERIFICATION:
                known.probes.update(fact.told.get("probes", {}))
            case _:
                return

    def _judged(self, fact: Fact, known: _Known) -> None:
        told, step = fact.told, int(fact.told["step"])
        words = {one["guard"]: one for one in told.get("verdicts", ()) if not one.get("not_asked")}
        if (said := words.get(Guard.CONDITION)) is not None:
            known.conditions[step] = _HOLDS.get(said["ruling"])
        if told.get("target") is not None and not told.get("observed"):
            place = (str(told["action"]), str(told["target"]))
            known.found[step, place] = self._found[place] = _found(fact, words)

    def _attempt(self, fact: Fact, known: _Known) -> None:
        told = fact.told
        step, place = int(told["step"]), (str(told["action"]), str(told["target"]))
        elements = tuple(Element.model_validate(one) for one in told["elements"])
        found = Found(fact.at, elements, state=told["state_before"])
        known.found[step, place] = self._found[place] = found
        results = [ElementOutcome.model_validate(one) for one in told["results"]]
        if results and told["outcome"] != Outcome.STARTED:
            done = Done(fact.at, {one.element: one for one in results})
            known.done[step, place] = self._done[place] = done

    def forget(self, before: datetime, live: Container[IncidentKey]) -> None:
        """What was heard before then of incidents that nobody asks for."""
        self._of = {of: one for of, one in self._of.items() if one.heard_at >= before or of in live}
        self._found = {place: one for place, one in self._found.items() if one.at >= before}
        self._done = {place: one for place, one in self._done.items() if one.at >= before}

    # --- what is asked -------------------------------------------------------------------------------------

    def found(self, action: str, target: str, at: datetime) -> Found | None:
        """What a look at this moment finds, as far as it is known."""
        place, (known, step) = (action, target), self._asking()
        own = known.found.get((step, place)) if known else None
        found = own or _if_fresh(self._found.get(place), at)
        if found is None:
            return None
        self.used[Known.LOOK, action] += 1
        return found

    def done(self, action: str, target: str, element: str, at: datetime) -> ElementOutcome | None:
        """What an act on an element comes to, as far as it is known."""
        place, (known, step) = (action, target), self._asking()
        own = known.done.get((step, place)) if known else None
        done = own or _if_fresh(self._done.get(place), at)
        if done is None or element not in done.results:
            return None
        self.used[Known.EFFECT, action] += 1
        return done.results[element]

    def condition(self, asked: str) -> tuple[bool | None] | None:
        """Whether the condition of the step that is taken holds; None where nobody knows."""
        known, step = self._asking()
        if known is None or step not in known.conditions:
            return None
        self.used[Known.CONDITION, asked] += 1
        return (known.conditions[step],)

    def probe(self, asked: str) -> tuple[bool | None] | None:
        """Whether a probe of the verification holds; None where nobody knows."""
        known = None if self.now.of is None else self._of.get(self.now.of)
        if known is None or asked not in known.probes:
            return None
        self.used[Known.PROBE, asked] += 1
        return (known.probes[asked],)

    def _asking(self) -> tuple[_Known | None, int]:
        """What is known of the incident that asks, and the step that it takes."""
        doing, of = self.now.doing, self.now.of
        return (None, 0) if doing is None or of is None else (self._of.get(of), doing.step)


_HOLDS = {"go": True, "refuse": False}
_Answer = TypeVar("_Answer", Found, Done)


def _if_fresh(known: _Answer | None, at: datetime) -> _Answer | None:
    return known if known is not None and at - known.at <= _FRESH else None


def _found(fact: Fact, words: Mapping[str, Mapping[str, Any]]) -> Found:
    """By what the guards said that ask the target."""
    look = words.get(Guard.LOOK)
    if look is not None and look["ruling"] != Ruling.GO.name.lower():
        return Found(fact.at, away=str(look["reason"]))
    refused = [
        str(one["reason"])
        for guard, one in words.items()
        if guard in _FLOORS and one["ruling"] == Ruling.REFUSE.name.lower()
    ]
    titles = [str(one) for one in fact.told.get("elements", ())]
    more = range(len(titles), int(fact.told.get("element_count", 0)))
    names = [*titles, *(f"element {number + 1}" for number in more)]
    elements = tuple(Element(key=name, title=name) for name in names)
    return Found(fact.at, elements, floor=refused[0] if refused else None)
