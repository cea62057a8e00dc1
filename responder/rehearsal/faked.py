"""The systems outside as a test tells of them: actions, probes and the source.

Everything else about an action is its own: its parameters, how they lead to a target, its kind, how many
elements it allows, its undo. A probe is asked by the product's own code, which only gets other answers. What
the test says nothing of is no answer at all, and makes the test fail by name.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast, get_type_hints
from uuid import UUID

from pydantic import Field, ValidationError

from responder.actions.probes import StandardProbes
from responder.clients.postgres import PostgresServers
from responder.clients.prometheus import Prometheus, Sample
from responder.decide.case import SourceView
from responder.engine.gather import first_mistake
from responder.model.attempt import Attempt, ElementOutcome, Outcome
from responder.model.base import Frozen
from responder.model.errors import TemporaryError
from responder.model.incident import MemberAlert
from responder.model.inventory import Inventory
from responder.model.matcher import all_match
from responder.model.rule import Position, StepKind
from responder.model.schedule import SCHEDULES_SOURCE
from responder.model.target import Element, State, Target
from responder.ports import Action, Actions, UndoStep
from responder.rehearsal.kept import Clock
from responder.rehearsal.rehearsal import Now
from responder.rehearsal.script import Effect, FakedAction, FakedProbe, RuleTest, SourceWord


@dataclass(slots=True)
class Stage:
    """One test, and where it stands."""

    test: RuleTest
    clock: Clock
    now: Now
    moments: Sequence[timedelta] = ()
    """When anything outside begins or ends to be so."""
    unsaid: dict[str, Position] = field(default_factory=dict)
    """What was asked of the systems outside that the test says nothing of, and where to say it."""
    heard: list[FakedAction | FakedProbe] = field(default_factory=list)
    """What the test says and somebody asked for, each once."""

    def changes_after(self, moment: datetime) -> datetime | None:
        """See `World.changes_after`: what the test says has a beginning, and perhaps an end."""
        known, offset = self._moments(), moment - self.test.start
        at = bisect_right(known, offset)
        return None if at == len(known) else self.test.start + known[at]

    def _moments(self) -> Sequence[timedelta]:
        if not self.moments:
            test = self.test
            spans = [*(one.span for one in test.source), *(span for one in test.alerts for span in one.fires)]
            known = {one.since for one in test.actions} | {one.since for one in spans}
            known |= {one.until for one in spans if one.until is not None}
            known |= {answer.since for probe in test.probes for answer in probe.answers}
            self.moments = sorted(known)
        return self.moments

    def says(self, told: FakedAction | FakedProbe) -> None:
        """Somebody asks for this."""
        if not any(one is told for one in self.heard):
            self.heard.append(told)

    def unheard(self) -> Iterator[FakedAction | FakedProbe]:
        """What the test says and nobody asked for: it proves nothing."""
        said: Sequence[FakedAction | FakedProbe] = (*self.test.actions, *self.test.probes)
        yield from (one for one in said if not any(one is heard for heard in self.heard))

    @property
    def offset(self) -> timedelta:
        """How far the test has come."""
        return self.clock.now - self.test.start

    def say_nothing(self, text: str, at: Position | None = None) -> None:
        """Note what the test says nothing of, or what fits nothing."""
        self.unsaid.setdefault(text, at or self.test.position)


class FakedState(State):
    """What a look finds: the elements by name, and whatever else the test says of the target."""

    elements: tuple[str, ...] = ()
    floor: str | None = None
    facts: dict[str, Any] = Field(default_factory=dict)

    @property
    def summary(self) -> str:
        """As the test has it."""
        told = [f"{name}: {value}" for name, value in sorted(self.facts.items())]
        return "; ".join([*self.elements, *told]) or "nothing to see"

    @property
    def result(self) -> dict[str, Any]:
        """The fields that the test gives."""
        return dict(self.facts)


class _Faked:
    """One action, of which only what touches its target is told by the test."""

    def __init__(self, own: Action[Any, Any], stage: Stage) -> None:
        self._own = own
        self._stage = stage
        self.name: str = own.name
        self.kind: StepKind = own.kind
        self.deadline: timedelta = own.deadline
        self.fenced: bool = own.fenced
        self.Params: type[Frozen] = own.Params
        self.relative: frozenset[str] = own.relative

    def resolve(self, params: Any) -> tuple[Target, ...]:
        return self._own.resolve(params)

    async def look(self, params: Any, target: Target) -> State:
        del params
        told = self._told()
        if told is None:
            doing = self._stage.now.doing
            if self.kind.changing or (doing is not None and doing.expects):
                self._stage.say_nothing(
                    f"{self._what()} looks at {target.key}, and the test does not say what it finds"
                )
            return FakedState()
        if told.away is not None:
            raise TemporaryError(told.away)
        return self._state(told) if told.look is None else self._own_state(told, told.look)

    def _own_state(self, told: FakedAction, look: Mapping[str, Any]) -> State:
        """What the action's own look would give: it is pinned and refused by the action itself."""
        model: type[State] = get_type_hints(type(self._own).look)["return"]
        try:
            return model.model_validate(look)
        except ValidationError as error:
            self._stage.say_nothing(
                f"`look` of {self.name} does not fit: {first_mistake(error)}", told.position
            )
            return FakedState()

    def _state(self, told: FakedAction) -> FakedState:
        known = {name: value for name, value in told.state.items() if name in State.model_fields}
        facts = {name: value for name, value in told.state.items() if name not in known}
        try:
            return FakedState.model_validate(
                {**known, "elements": told.finds, "floor": told.floor, "facts": facts}
            )
        except ValidationError as error:
            why = first_mistake(error)
            self._stage.say_nothing(f"`state` of {self.name} does not fit: {why}", told.position)
            return FakedState(elements=told.finds)

    def present(self, state: State) -> Mapping[str, int]:
        if not isinstance(state, FakedState):
            return self._own.present(state)
        return {name: value for name in self.relative if isinstance(value := state.facts.get(name), int)}

    def pin(self, params: Any, state: State) -> tuple[Element, ...]:
        if not isinstance(state, FakedState):
            return self._own.pin(params, state)
        return tuple(Element(key=name, title=name) for name in state.elements)

    def at_most(self, params: Any) -> int:
        return self._own.at_most(params)

    def refuse(self, params: Any, state: State) -> str | None:
        return state.floor if isinstance(state, FakedState) else self._own.refuse(params, state)

    async def run(
        self, target: Target, element: Element, params: Any, state: State, attempt_id: UUID
    ) -> ElementOutcome:
        del target, params, state, attempt_id
        told = self._told()
        run = Effect.DONE if told is None else told.run
        effect = run if isinstance(run, Effect) else run.get(element.key, Effect.DONE)
        if effect is Effect.RAISES:
            raise TemporaryError("the test says that it raises")
        return ElementOutcome(element=element.key, outcome=Outcome(effect.value))

    async def happened(self, attempt: Attempt) -> tuple[ElementOutcome, ...]:
        """A rehearsal is never cut off, so nobody has to ask."""
        return tuple(ElementOutcome(element=one.key, outcome=Outcome.UNKNOWN) for one in attempt.elements)

    def undo(self, params: Any, state_before: Mapping[str, Any]) -> UndoStep | None:
        return self._own.undo(params, {**state_before, **state_before.get("facts", {})})

    def consent(self, params: Any, state: State) -> Mapping[str, Any]:
        if not isinstance(state, FakedState):
            return self._own.consent(params, state)
        return {"ground": list(state.ground)}

    def _told(self) -> FakedAction | None:
        """The last that fits and has begun."""
        doing, offset = self._stage.now.doing, self._stage.offset
        fits = [
            one
            for one in self._stage.test.actions
            if one.action == self.name
            and one.since <= offset
            and (one.rule is None or (doing is not None and one.rule == doing.rule))
            and (one.step is None or (doing is not None and one.step == doing.step + 1))
        ]
        told = max(reversed(fits), key=lambda one: one.since, default=None)
        if told is not None:
            self._stage.says(told)
        return told

    def _what(self) -> str:
        doing = self._stage.now.doing
        return self.name if doing is None else f"step {doing.step + 1} of {doing.rule} ({self.name})"


class FakedActions:
    """Implements `ports.Actions`."""

    def __init__(self, own: Actions, stage: Stage) -> None:
        self._own = own
        self._stage = stage

    def get(self, name: str) -> Action[Any, Any]:
        """The action, faked. Raises PermanentError where there is none of that name."""
        return cast("Action[Any, Any]", _Faked(self._own.get(name), self._stage))


class _Answers:
    """Stands for Prometheus and for the servers of the inventory: answers with what the test says."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    async def query(self, promql: str, within: timedelta | None = None) -> tuple[Sample, ...]:
        del within
        told = self._find(
            lambda one: one.promql is not None and _same(one.promql, promql), f"promql {promql}"
        )
        value = None if told is None else told.at(self._stage.offset)
        return () if value is None else (Sample({}, value),)

    async def fetch_read_only(self, name: str, sql: str, *_: object) -> list[dict[str, Any]]:
        """`sql` is the query's name: a test has no server to run it."""
        told = self._find(
            lambda one: one.sql == sql and one.connection in {None, name}, f"sql {sql} on {name}"
        )
        value = None if told is None else told.at(self._stage.offset)
        return [] if value is None else [{"value": value}]

    def _find(self, fits: Any, asked: str) -> FakedProbe | None:
        found: FakedProbe | None = next((one for one in self._stage.test.probes if fits(one)), None)
        if found is not None:
            self._stage.says(found)
        if found is None:
            self._stage.say_nothing(f"{asked} is asked, and the test does not say what it answers")
        return found


def faked_probes(stage: Stage, inventory: Inventory, queries: frozenset[str]) -> StandardProbes:
    """The product's probes, over the answers of a test."""
    answers = _Answers(stage)
    return StandardProbes(
        [cast("Prometheus", answers)],
        cast("PostgresServers", answers),
        inventory,
        {name: name for name in queries},
    )


class FakedSource:
    """Implements `ports.AlertState`: what the alerts of the test say, or what it says of the source."""

    def __init__(self, stage: Stage, *, has_api: bool) -> None:
        self._stage = stage
        self._has_api = has_api

    async def ask(
        self, members: Sequence[MemberAlert], *, fresh: bool, incident: UUID | None = None
    ) -> SourceView:
        """See `ports.AlertState.ask`."""
        del fresh, incident
        own = any(member.source == SCHEDULES_SOURCE for member in members)
        if own or not self._has_api or not members:
            return SourceView(configured=False)  # nobody can be asked what a scheduled rule found
        said = [self._word(member.labels) for member in members]
        words = [word for word, _ in said]
        firing = words.count(SourceWord.FIRING)
        silent = [why for word, why in said if word is SourceWord.NO_ANSWER]
        by = dict.fromkeys(why for word, why in said if word is SourceWord.SILENCED)
        return SourceView(
            configured=True,
            firing=firing,
            suppressed=words.count(SourceWord.SILENCED),
            absent=words.count(SourceWord.RESOLVED),
            suppressed_by=", ".join(by) or None,
            problem="; ".join(dict.fromkeys(silent)) if silent and not firing else None,
        )

    async def standings(
        self, source: str, labels: Mapping[str, Mapping[str, str]]
    ) -> Mapping[str, bool] | None:
        """See `ports.AlertState.standings`."""
        del source
        if not self._has_api:
            return None
        said = {name: self._word(each)[0] for name, each in labels.items()}
        known = {name: word for name, word in said.items() if word is not SourceWord.NO_ANSWER}
        return {name: word is not SourceWord.RESOLVED for name, word in known.items()}

    def _word(self, labels: Mapping[str, str]) -> tuple[SourceWord, str]:
        offset, test = self._stage.offset, self._stage.test
        for one in reversed(test.source):
            if one.span.holds(offset) and all_match(one.match, labels):
                return one.says, one.why
        fires = any(
            span.holds(offset) for series in test.alerts if series.labels == labels for span in series.fires
        )
        return (SourceWord.FIRING if fires else SourceWord.RESOLVED), ""


def _same(told: str, asked: str) -> bool:
    """Whether two queries are the same but for their white space."""
    return "".join(told.split()) == "".join(asked.split())
