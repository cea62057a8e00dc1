"""Gathering: resolve the target, look at it, pin the elements, and collect what the guards judge by.

Nothing here changes anything anywhere. What cannot be gathered becomes a fact, not an exception.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from responder.decide import evidence
from responder.decide.bind import bind_params, bindable
from responder.decide.case import Case, Facts, LedgerQuestion, LedgerView, ProbeReading, SourceView, Terms
from responder.decide.freezes import Freeze
from responder.decide.restraints import Concern, concern, frozen_by, halted_by, maintained
from responder.engine.halting import UNREADABLE, Halt
from responder.engine.trust import Trust
from responder.engine.watchdog import Watchdog
from responder.model.approval import Consent
from responder.model.attempt import Attempt
from responder.model.autonomy import Autonomy, Ceiling, effective
from responder.model.base import digest
from responder.model.budget import Budgets
from responder.model.errors import (
    PermanentError,
    RefusedError,
    ResponderError,
    TemporaryError,
    UnknownTargetError,
)
from responder.model.incident import Group, MemberAlert
from responder.model.relative import By, as_relative
from responder.model.restraint import RestraintKind, Restraints
from responder.model.rule import OnEvidence, Probe, Step, StepKind
from responder.model.target import Element, State, Target
from responder.model.way import Way, WayKind
from responder.ports import Action, Actions, AlertState, Probes, Store


@dataclass(frozen=True, slots=True)
class Place:
    """Where a step acts, resolved and looked at just now."""

    action: Action[Any, Any]
    params: Any
    target: Target
    state: State
    concern: Concern
    """What the step concerns: whoever halts a part of everything may mean it."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One step as it was found: the facts for the guards, and where it would act.

    `place` is None where the target could not be resolved or looked at: then no guard lets it go.
    """

    step: Step
    facts: Facts
    place: Place | None
    elements: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True)
class _Look:
    """What came of resolving and looking."""

    target: Target | None = None
    place: Place | None = None
    elements: tuple[Element, ...] = ()
    computed: tuple[str, ...] = ()
    out_of_scope: str | None = None
    mends: tuple[Way, ...] = ()
    problem: str | None = None
    floor: str | None = None
    observed: bool = False


class Gather:
    """Looks at the world for one step of one case."""

    def __init__(
        self,
        store: Store,
        actions: Actions,
        probes: Probes,
        alert_state: AlertState,
        halt: Halt,
        trust: Trust,
        terms: Terms,
        budgets: Budgets,
        watchdog: Watchdog,
        freezes: tuple[Freeze, ...] = (),
    ) -> None:
        self._store = store
        self._actions = actions
        self._probes = probes
        self._alert_state = alert_state
        self._halt = halt
        self._trust = trust
        self._terms = terms
        self._budgets = budgets
        self._freezes = freezes
        self._watchdog = watchdog

    async def step(
        self,
        case: Case,
        step: Step,
        now: datetime,
        *,
        undo_of: Attempt | None = None,
        part_of: Group | None = None,
        when: Probe | OnEvidence | None = None,
    ) -> Seen:
        """Resolve, look, pin, and collect the facts.

        `part_of` is the `all:` under way that the step is a further part of; `when` is asked beside its own.
        An undo's parameters come from the attempt that it takes back: they are bound already, and what an
        alert said in one of them must not be read as a reference.
        """
        ceilings = self._trust.ceilings(case, step)
        looks = effective(ceilings).level > Autonomy.OBSERVE or not step.kind.changing
        bound = undo_of is not None or case.incident.by_hand is not None
        look, source, condition = await asyncio.gather(
            self._look(case, step, looks=looks, bound=bound),
            self.source(case, fresh=True),
            self._condition(case, step.when or when),
        )
        own = undo_of.holder if undo_of is not None else part_of.first if part_of is not None else None
        target = look.target.key if look.target else None
        about = look.place.concern if look.place else concern(case, step.action, target)
        facts = await self._facts(case, step, now, look, about, ceilings, source, condition, own)
        if undo_of is None and step.kind.changing:
            approval = case.incident.progress.approval if part_of is None else part_of.approval
            answer = {"consent": _consent(look), "approval": approval}
            facts = facts.model_copy(update=answer)
        return Seen(step, facts, look.place, look.elements)

    async def source(self, case: Case, *, fresh: bool) -> SourceView:
        """What the source's API says. It was asked after the case was read, and counts as no younger."""
        view = await self._alert_state.ask(case.members.sample, fresh=fresh, incident=case.incident.id)
        return view.model_copy(update={"asked_at": case.now}) if view.configured else view

    def reach(self, case: Case) -> Ceiling | None:
        """How far any changing step of the incident may go; None where its rule has none."""
        return self._trust.reach(case)

    async def all_gone(self, members: Sequence[MemberAlert]) -> bool:
        """Whether the source, asked freshly, knows none of these any more. A silence of its API is a no."""
        view = await self._alert_state.ask(members, fresh=True)
        known = view.firing + view.suppressed
        return view.configured and view.problem is None and not known and view.absent == len(members)

    async def _condition(self, case: Case, when: Probe | OnEvidence | None) -> ProbeReading | None:
        if isinstance(when, OnEvidence):
            return evidence.reading(case, when)
        return await self._probes.ask(when, labels_of(case)) if when is not None else None

    async def _look(self, case: Case, step: Step, *, looks: bool, bound: bool) -> _Look:
        if case.incident.overflow:
            return _Look(out_of_scope=_overflows(case))
        try:
            action = self._actions.get(step.action)
            given = step.params if bound else bind_params(step.params, labels_of(case))
            relative = _relative(action, given)
            params = action.Params.model_validate(
                {**given, **{name: by.bound for name, by in relative.items()}}
            )
            target = _only(action.resolve(params))
        except UnknownTargetError as error:
            add = Way(kind=WayKind.ADD_TARGET, of=error.listed_in)
            return _Look(out_of_scope=str(error), mends=(add,))
        except (RefusedError, PermanentError) as error:
            return _Look(out_of_scope=str(error))
        except ValidationError as error:
            return _Look(out_of_scope=f"{step.action} does not take these parameters: {first_mistake(error)}")
        if not looks:
            return _Look(target, observed=True)
        try:
            async with asyncio.timeout(step.timeout.total_seconds()):
                state = await action.look(params, target)
        except TimeoutError:
            return _Look(target, problem=f"{target.key} did not answer in time")
        except TemporaryError as error:
            return _Look(target, problem=f"{target.key} cannot be looked at: {error}")
        except (RefusedError, PermanentError) as error:
            return _Look(target, floor=str(error))
        place = Place(action, params, target, state, concern(case, step.action, target.key))
        return _computed(place, given, relative) if relative else _pinned(place)

    async def _facts(
        self,
        case: Case,
        step: Step,
        now: datetime,
        look: _Look,
        about: Concern,
        ceilings: tuple[Ceiling, ...],
        source: SourceView,
        condition: ProbeReading | None,
        own: UUID | None,
    ) -> Facts:
        shadow = effective(ceilings).level <= Autonomy.SHADOW
        own_ground = await self._store.ground()
        ledger, blind = await asyncio.gather(
            self._ledger(case, step, look.target if step.kind.changing else None, now, shadow=shadow),
            self._blind(case, now),
        )
        return Facts(
            now=now,
            severity=case.incident.severity,
            kind=step.kind,
            action=step.action,
            storm=case.storm,
            ceilings=ceilings,
            own_ground=own_ground,
            blind=blind,
            limits=case.limits,
            condition=condition,
            by_hand=case.incident.by_hand.actor if case.incident.by_hand is not None else None,
            **self._restrained(ledger.restraints, case, about, now),
            **_looked(look),
            **_of_ledger(ledger, own),
            **_of_source(case, source),
        )

    def _restrained(self, stands: Restraints, case: Case, about: Concern, now: datetime) -> dict[str, Any]:
        return {
            "halted": self._halt.reason(halted_by(stands, about)),
            "halts": self._halt.ways(stands, about),
            "freeze": frozen_by(stands, self._freezes, about, now),
            "maintenance": maintained(stands.of(RestraintKind.MAINTENANCE), case, now),
            "restraints": tuple(one.id for one in stands.standing),
        }

    async def _blind(self, case: Case, now: datetime) -> str | None:
        try:
            return await self._watchdog.blind(case.members.sources, now)
        except ResponderError as error:
            return f"nobody can say when the watchdog alert was heard of: {error}"

    async def _ledger(
        self, case: Case, step: Step, target: Target | None, now: datetime, *, shadow: bool
    ) -> LedgerView:
        """What was done here before, and how much may be done. What cannot be read counts as halted."""
        acts_since = now - self._terms.self_caused_within
        question = LedgerQuestion(
            rule=case.rule.name,
            target=target.key if target is not None else None,
            namespace=target.namespace if target is not None else None,
            disruptive=step.kind is StepKind.DISRUPTIVE,
            now=now,
            limits=case.limits,
            budgets=self._budgets,
            flapping=self._terms.flapping,
            shadow=shadow,
            acts_since=acts_since if target is not None and case.incident.opened_at > acts_since else None,
        )
        try:
            return await self._store.ledger_view(question, case.incident)
        except ResponderError:
            return LedgerView(restraints=Restraints(flag=UNREADABLE))


def _looked(look: _Look) -> dict[str, Any]:
    """What the look has found, and what it could not."""
    state = look.place.state if look.place else None
    return {
        "target": look.target.key if look.target else None,
        "out_of_scope": look.out_of_scope,
        "mends": look.mends,
        "ground": state.ground if state else (),
        "opted_out": state.opted_out if state else None,
        "managed_by": state.managed_by if state else None,
        "changed_at": state.changed_at if state else None,
        "changed_by": state.changed_by if state else None,
        "look_problem": look.problem,
        "observed": look.observed,
        "floor": look.floor,
        "elements": tuple(element.title for element in look.elements),
        "computed": look.computed,
    }


def _of_ledger(ledger: LedgerView, own: UUID | None) -> dict[str, Any]:
    """What was done before, and may be done. What its `own` attempt claims is claimed by nobody else."""
    claim = ledger.claim
    if claim is not None and claim.attempt_id == own:
        claim = None
    return {
        "unsteady": ledger.unsteady,
        "own_act": ledger.own_act,
        "history": ledger.history,
        "newest_attempt": ledger.newest,
        "flapped_at": ledger.flapped_at,
        "recurred": ledger.recurred,
        "breaker": ledger.breaker,
        "open_incidents": ledger.open_incidents,
        "budgets": ledger.budgets,
        "claim": claim,
    }


def _of_source(case: Case, source: SourceView) -> dict[str, Any]:
    """What the alerts say, by their notifications and by the source that was asked."""
    return {
        "began_at": case.members.first_starts_at,
        "firing": case.members.firing,
        "source": source,
        "newest_seen_at": case.members.newest_seen_at,
    }


def labels_of(case: Case) -> Mapping[str, str]:
    """What `$labels.x` may name in this incident."""
    return bindable(case.rule, case.incident.key)


def _overflows(case: Case) -> str:
    members = case.members
    return (
        f"too many incidents of {case.rule.name} are open, and all its further alerts are in this one "
        f"({members.total}, {members.firing} firing): it has no target of its own"
    )


def _only(targets: tuple[Target, ...]) -> Target:
    match targets:
        case [one]:
            return one
        case []:
            raise RefusedError("the parameters lead to no target")
        case several:
            names = ", ".join(target.key for target in several)
            raise RefusedError(f"the parameters lead to several targets: {names}")


def _relative(action: Action[Any, Any], given: Mapping[str, Any]) -> dict[str, By]:
    """The parameters that are relative to what the look will find."""
    found = {name: as_relative(value) for name, value in given.items() if isinstance(value, Mapping)}
    return {name: by for name, by in found.items() if by is not None and name in action.relative}


def _computed(place: Place, given: Mapping[str, Any], relative: Mapping[str, By]) -> _Look:
    """As `_pinned`, with the numbers that relative parameters came to: these stand in the intent.

    Where one is at its bound already, or nobody can say what is there, the step refuses.
    """
    present, numbers, told = place.action.present(place.state), dict[str, int](), []
    for name, by in relative.items():
        if name not in present:
            return _Look(place.target, place, floor=f"nobody can say what {name} is now, and it goes {by}")
        number = by.since(present[name])
        if number is None:
            return _Look(place.target, place, floor=f"{name} is {present[name]} already, and it goes {by}")
        numbers[name] = number
        told.append(f"{name} {number} ({present[name]} now, {by})")
    try:
        params = place.action.Params.model_validate({**given, **numbers})
    except ValidationError as error:
        return _Look(place.target, place, floor=f"{', '.join(told)} does not fit: {first_mistake(error)}")
    return replace(_pinned(replace(place, params=params)), computed=tuple(told))


def _pinned(place: Place) -> _Look:
    action = place.action
    if not action.kind.changing:
        return _Look(place.target, place)
    elements = action.pin(place.params, place.state)
    floor = action.refuse(place.params, place.state) or _too_many(elements, action.at_most(place.params))
    return _Look(place.target, place, elements, floor=floor)


def _consent(look: _Look) -> Consent | None:
    """What a person would have to consent to: the action's own facts, and the elements as a bound."""
    place = look.place
    if place is None:
        return None
    action, target, params = place.action.name, place.target.key, place.params.model_dump(mode="json")
    own = dict(place.action.consent(place.params, place.state))
    return Consent(
        action=action,
        target=target,
        params=params,
        facts=digest([action, target, params, own]),
        elements=tuple(element.key for element in look.elements),
        titles=tuple(element.title for element in look.elements),
    )


def _too_many(elements: tuple[Element, ...], at_most: int) -> str | None:
    if len(elements) <= at_most:
        return None
    return f"{len(elements)} elements were found, more than the {at_most} that at_most allows"


def first_mistake(error: ValidationError) -> str:
    """The first thing that is wrong with parameters, in words: the field and why, without the value."""
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
