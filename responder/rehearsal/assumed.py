"""The systems outside in a backtest: as it was recorded, and where nothing was, as it is assumed.

Everything that is assumed is counted and told with the result: a backtest says what the rules would have done
in a world that was so. What no rehearsal can know is whether an act would have helped. It is assumed that it
would not have: every alert ends when the journal says.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, cast, get_type_hints
from uuid import UUID

from pydantic import ValidationError

from responder.decide.case import ProbeReading, SourceView
from responder.decide.fold import AlertRecord
from responder.model.alert import AlertKey
from responder.model.attempt import Attempt, ElementOutcome, Outcome
from responder.model.base import Frozen
from responder.model.errors import TemporaryError
from responder.model.incident import MemberAlert
from responder.model.rule import Probe
from responder.model.target import Element, State, Target
from responder.ports import Action, Actions, UndoStep
from responder.rehearsal.kept import Clock
from responder.rehearsal.recorded import Found, Recorded

_REMEMBERED = 4096


class Assumption(StrEnum):
    """What is assumed where nothing was recorded; each is a sentence for people."""

    PROMOTED = "every rule is promoted, and no ceiling of the settings holds it"
    EFFECT = "an act is done and changes nothing: every alert ends when the journal says"
    LOOK = "a look finds the target as it should be, with one element to act on"
    PROBE = "a probe answers as the rule expects"
    CONDITION = "the condition of a step holds"
    SOURCE = "the source says what the journal says: nothing was silenced, and it always answered"
    EVIDENCE = "evidence that was not recorded finds nothing of note, and scheduled rules do not run"
    PEOPLE = "nobody says anything beside what was recorded; nothing is done, released or reset by hand"


@dataclass(slots=True)
class Assumed:
    """What was assumed, and how often, by what it was assumed of."""

    times: Counter[tuple[Assumption, str]] = field(default_factory=Counter)

    def note(self, what: Assumption, of: str = "") -> None:
        """Once more."""
        self.times[what, of] += 1


class AssumedState(State):
    """A target that nobody has looked at, or what was recorded of it."""

    elements: tuple[Element, ...] = (Element(key="what is there", title="what is there"),)
    floor: str | None = None
    """Why it refused."""

    @property
    def summary(self) -> str:
        """That nobody looks now."""
        return "not looked at"


class _Assumed:
    """One action with its own parameters, targets and kind; what it comes to is recorded or assumed."""

    def __init__(self, own: Action[Any, Any], assumed: Assumed, recorded: Recorded, clock: Clock) -> None:
        self._own = own
        self._assumed = assumed
        self._recorded = recorded
        self._clock = clock
        self.relative: frozenset[str] = own.relative
        self.name, self.kind, self.deadline, self.fenced = own.name, own.kind, own.deadline, own.fenced
        self.Params: type[Frozen] = own.Params
        self._targets: dict[str, tuple[Target, ...]] = {}
        """By parameters: the inventory stays as it is."""

    def resolve(self, params: Any) -> tuple[Target, ...]:
        written = params.model_dump_json()
        if written not in self._targets:
            if len(self._targets) >= _REMEMBERED:
                self._targets.clear()
            self._targets[written] = self._own.resolve(params)
        return self._targets[written]

    async def look(self, params: Any, target: Target) -> State:
        del params
        found = self._recorded.found(self.name, target.key, self._clock.now)
        if found is None:
            self._assumed.note(Assumption.LOOK, self.name)
            return AssumedState()
        if found.away is not None:
            raise TemporaryError(found.away)
        return self._as_it_was(found) or AssumedState(elements=found.elements, floor=found.floor)

    def _as_it_was(self, found: Found) -> State | None:
        """The action's own state, where it was kept as this version of it is: the action does the rest."""
        model: type[State] = get_type_hints(type(self._own).look)["return"]
        try:
            return model.model_validate(found.state) if found.state else None
        except ValidationError:
            return None

    def present(self, state: State) -> Mapping[str, int]:
        """Of what nobody has looked at nobody can say what is there."""
        return {} if isinstance(state, AssumedState) else self._own.present(state)

    def pin(self, params: Any, state: State) -> tuple[Element, ...]:
        return state.elements if isinstance(state, AssumedState) else self._own.pin(params, state)

    def at_most(self, params: Any) -> int:
        return self._own.at_most(params)

    def refuse(self, params: Any, state: State) -> str | None:
        return state.floor if isinstance(state, AssumedState) else self._own.refuse(params, state)

    async def run(
        self, target: Target, element: Element, params: Any, state: State, attempt_id: UUID
    ) -> ElementOutcome:
        del params, state, attempt_id
        known = self._recorded.done(self.name, target.key, element.key, self._clock.now)
        if known is not None:
            return known
        self._assumed.note(Assumption.EFFECT, self.name)
        return ElementOutcome(element=element.key, outcome=Outcome.DONE)

    async def happened(self, attempt: Attempt) -> tuple[ElementOutcome, ...]:
        """A backtest is never cut off, so nobody has to ask."""
        return tuple(ElementOutcome(element=one.key, outcome=Outcome.UNKNOWN) for one in attempt.elements)

    def undo(self, params: Any, state_before: Mapping[str, Any]) -> UndoStep | None:
        return self._own.undo(params, state_before)

    def consent(self, params: Any, state: State) -> Mapping[str, Any]:
        assumed = isinstance(state, AssumedState)
        return {"ground": list(state.ground)} if assumed else self._own.consent(params, state)


class AssumedActions:
    """Implements `ports.Actions`."""

    def __init__(self, own: Actions, assumed: Assumed, recorded: Recorded, clock: Clock) -> None:
        self._own = own
        self._assumed = assumed
        self._recorded = recorded
        self._clock = clock
        self._known: dict[str, _Assumed] = {}

    def get(self, name: str) -> Action[Any, Any]:
        """The action with nothing behind it. Raises PermanentError where there is none of that name."""
        if name not in self._known:
            own = self._own.get(name)
            self._known[name] = _Assumed(own, self._assumed, self._recorded, self._clock)
        return cast("Action[Any, Any]", self._known[name])


class AssumedProbes:
    """Implements `ports.Probes`."""

    def __init__(self, assumed: Assumed, recorded: Recorded, clock: Clock) -> None:
        self._assumed = assumed
        self._recorded = recorded
        self._clock = clock

    async def ask(self, probe: Probe, labels: Mapping[str, str]) -> ProbeReading:
        """As it was recorded, else as the rule expects."""
        del labels
        asked, of_step = str(probe), self._recorded.now.doing is not None
        at = self._clock.now
        known = self._recorded.condition(asked, at) if of_step else self._recorded.probe(asked, at)
        if known is not None:
            return ProbeReading(holds=known[0], text="as it was recorded")
        self._assumed.note(Assumption.CONDITION if of_step else Assumption.PROBE, asked)
        return ProbeReading(holds=True, text="as expected")


class JournalSource:
    """Implements `ports.AlertState`: the source says what was heard of it."""

    def __init__(self, askable: frozenset[str], assumed: Assumed) -> None:
        self._askable = askable
        self._assumed = assumed
        self.records: Mapping[AlertKey, AlertRecord] = {}

    async def ask(
        self, members: Sequence[MemberAlert], *, fresh: bool, incident: UUID | None = None
    ) -> SourceView:
        """See `ports.AlertState.ask`."""
        del fresh, incident
        asked = [one for one in members if one.source in self._askable]
        if not asked:
            return SourceView(configured=False)
        firing = sum(self.records[AlertKey(one.source, one.fingerprint)].firing for one in asked)
        return SourceView(configured=True, firing=firing, absent=len(asked) - firing)

    async def standings(
        self, source: str, labels: Mapping[str, Mapping[str, str]]
    ) -> Mapping[str, bool] | None:
        """What it said of contested alerts is in the journal."""
        del source, labels
        return None


def never(moment: datetime) -> datetime | None:
    """What the systems outside say changes only where something is heard."""
    del moment
    return None
