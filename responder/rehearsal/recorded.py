"""What was recorded of the systems outside, for a backtest: each question has the answer that it had.

Facts are what was judged, with what the look and the condition had to say; attempts, with what became of each
element; what each probe said; what evidence found. The same question is that of the same step of the same
incident, known by its rule and group. An answer holds until another one is known: an incident that looks
again and sees nothing new writes nothing. Others that look at the same target by the same action are told
what was seen there last, if that is not long ago.

In a backtest nothing takes time, so its looks come a little before those that were recorded: what was written
within a second is the answer to this very look, and what was written first answers whatever was asked before.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Container, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Generic, TypeVar

from pydantic_core import from_json

from responder.model.attempt import ElementOutcome, Outcome
from responder.model.guard import Guard, Ruling
from responder.model.target import Element
from responder.ports import IncidentKey
from responder.rehearsal.rehearsal import Now

_OWN = timedelta(days=1)
"""How long the own answer holds: it may be that of an earlier incident of the group."""
_OTHERS = timedelta(hours=1)
"""How long what others have seen of a target is believed."""
_THIS_LOOK = timedelta(seconds=1)
"""What is written so soon after a look is what that look has found."""
_FIRST_LOOK = timedelta(minutes=5)
"""How long before it was written the first answer is believed."""
_FLOORS = {Guard.FLOOR, Guard.SCOPE, Guard.MANAGED, Guard.OVERRIDE, Guard.OWN_GROUND}
"""Guards that ask the target itself: where one refused, the target is played as refusing."""


class FactKind(StrEnum):
    """Of what a fact tells."""

    EVIDENCE = "evidence"
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

    elements: tuple[Element, ...] = ()
    away: str | None = None
    floor: str | None = None
    state: Mapping[str, Any] = field(default_factory=dict)


_Answer = TypeVar("_Answer")


@dataclass(slots=True)
class _Series(Generic[_Answer]):
    """The answers to one question, in the order of their moments."""

    moments: list[datetime] = field(default_factory=list)
    answers: list[_Answer] = field(default_factory=list)

    def add(self, at: datetime, answer: _Answer) -> None:
        """One more; of one moment the last counts."""
        number = bisect_right(self.moments, at)
        self.moments.insert(number, at)
        self.answers.insert(number, answer)

    def at(
        self, moment: datetime, lasts: timedelta = _OWN, before: timedelta = _FIRST_LOOK
    ) -> _Answer | None:
        """The answer at a moment; the first is believed so long `before` it was written."""
        number = bisect_right(self.moments, moment)
        if number and self.moments[number - 1] == moment:
            return self.answers[number - 1]
        ahead = self.moments[number] - moment if number < len(self.moments) else timedelta.max
        if ahead <= _THIS_LOOK:
            return self.answers[number]
        if number:
            return self.answers[number - 1] if moment - self.moments[number - 1] <= lasts else None
        return self.answers[number] if ahead <= before else None

    def forget(self, before: datetime) -> bool:
        """Forget what is older, but for the last. Whether nothing else is left."""
        number = max(0, min(bisect_left(self.moments, before), len(self.moments)) - 1)
        del self.moments[:number], self.answers[:number]
        return len(self.moments) <= 1 and (not self.moments or self.moments[0] < before)


_Question = tuple[Hashable, ...]
_Answers = dict[_Question, _Series[_Answer]]
Done = Mapping[str, ElementOutcome]
"""What became of an attempt, by element."""


@dataclass(slots=True)
class Recorded:
    """What is known of a span."""

    now: Now
    used: Counter[tuple[Known, str]] = field(default_factory=Counter)
    """What was taken from the record, of what, and how often."""
    _found: _Answers[Found] = field(default_factory=dict)
    _done: _Answers[Done] = field(default_factory=dict)
    _holds: _Answers[tuple[bool | None]] = field(default_factory=dict)

    # --- what is heard -------------------------------------------------------------------------------------

    def hear(self, fact: Fact) -> None:
        """It is known. What was redacted tells nothing."""
        match fact.kind:
            case FactKind.JUDGED if "action" in fact.told:
                self._judged(fact)
            case FactKind.EVIDENCE if fact.told.get("target") and "state" in fact.told:
                _keep(self._found, fact, Found(state=fact.told["state"]))
            case FactKind.ATTEMPT:
                self._attempt(fact)
            case FactKind.VERIFICATION:
                for probe, holds in fact.told.get("probes", {}).items():
                    _add(self._holds, (fact.of, probe), fact.at, (holds,))
            case _:
                return

    def _judged(self, fact: Fact) -> None:
        told = fact.told
        words = {one["guard"]: one for one in told.get("verdicts", ()) if not one.get("not_asked")}
        if (said := words.get(Guard.CONDITION)) is not None:
            _add(self._holds, (fact.of, int(told["step"])), fact.at, (_HOLDS.get(said["ruling"]),))
        if told.get("target") is not None and not told.get("observed"):
            _keep(self._found, fact, _found(fact, words))

    def _attempt(self, fact: Fact) -> None:
        told = fact.told
        elements = tuple(Element.model_validate(one) for one in told["elements"])
        _keep(self._found, fact, Found(elements, state=told["state_before"]))
        results = [ElementOutcome.model_validate(one) for one in told["results"]]
        if results and told["outcome"] != Outcome.STARTED:
            _keep(self._done, fact, {one.element: one for one in results})

    def forget(self, before: datetime, live: Container[IncidentKey]) -> None:
        """What was heard before then of incidents that nobody asks for, and of places."""
        _forget(self._found, before, live)
        _forget(self._done, before, live)
        _forget(self._holds, before, live)

    # --- what is asked -------------------------------------------------------------------------------------

    def found(self, action: str, target: str, at: datetime) -> Found | None:
        """What a look at this moment finds, as far as it is known."""
        found = self._answer(self._found, (action, target), at)
        if found is not None:
            self.used[Known.LOOK, action] += 1
        return found

    def done(self, action: str, target: str, element: str, at: datetime) -> ElementOutcome | None:
        """What an act on an element comes to, as far as it is known."""
        done = self._answer(self._done, (action, target), at)
        if done is None or element not in done:
            return None
        self.used[Known.EFFECT, action] += 1
        return done[element]

    def condition(self, asked: str, at: datetime) -> tuple[bool | None] | None:
        """Whether the condition of the step that is taken holds; None where nobody knows."""
        doing = self.now.doing
        said = self._holds.get((self.now.of, doing.step)) if doing is not None else None
        return self._said(Known.CONDITION, asked, said, at)

    def probe(self, asked: str, at: datetime) -> tuple[bool | None] | None:
        """Whether a probe of the verification holds; None where nobody knows."""
        return self._said(Known.PROBE, asked, self._holds.get((self.now.of, asked)), at)

    def _said(
        self, what: Known, asked: str, said: _Series[tuple[bool | None]] | None, at: datetime
    ) -> tuple[bool | None] | None:
        answer = None if said is None else said.at(at)
        if answer is not None:
            self.used[what, asked] += 1
        return answer

    def _answer(self, known: _Answers[_Answer], place: tuple[str, str], at: datetime) -> _Answer | None:
        doing = self.now.doing
        own = known.get((self.now.of, doing.step, *place)) if doing is not None else None
        answer = None if own is None else own.at(at)
        if answer is None and (there := known.get(place)) is not None:
            return there.at(at, _OTHERS, before=_THIS_LOOK)
        return answer


def _add(known: _Answers[_Answer], asked: _Question, at: datetime, answer: _Answer) -> None:
    known.setdefault(asked, _Series()).add(at, answer)


def _keep(known: _Answers[_Answer], fact: Fact, answer: _Answer) -> None:
    """As the answer to that step of that incident, and to whoever asks the same of the target."""
    told = fact.told
    place = (str(told["action"]), str(told["target"]))
    _add(known, place, fact.at, answer)
    if "step" in told:
        _add(known, (fact.of, int(told["step"]), *place), fact.at, answer)


def _forget(known: _Answers[_Answer], before: datetime, live: Container[IncidentKey]) -> None:
    for asked, series in list(known.items()):
        is_over = series.forget(before)
        if is_over and asked[0] not in live:
            del known[asked]


_HOLDS = {"go": True, "refuse": False}


def _found(fact: Fact, words: Mapping[str, Mapping[str, Any]]) -> Found:
    """By what the guards said that ask the target."""
    look = words.get(Guard.LOOK)
    if look is not None and look["ruling"] != Ruling.GO.name.lower():
        return Found(away=str(look["reason"]))
    refused = [
        str(one["reason"])
        for guard, one in words.items()
        if guard in _FLOORS and one["ruling"] == Ruling.REFUSE.name.lower()
    ]
    titles = [str(one) for one in fact.told.get("elements", ())]
    more = range(len(titles), int(fact.told.get("element_count", 0)))
    names = [*titles, *(f"element {number + 1}" for number in more)]
    elements = tuple(Element(key=name, title=name) for name in names)
    return Found(elements, floor=refused[0] if refused else None)
