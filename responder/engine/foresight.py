"""What an alert would lead to if it came now: which rule, which steps on which targets, and what holds them.

It looks, as a step does before it acts, and changes nothing. The incident exists for this answer alone: one
of that group that is live already goes on as it stands, which is said beside it. One answer is made at a
time: each asks every target of a rule.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

from responder.decide.all_of import together
from responder.decide.case import Case, Facts, Terms
from responder.decide.guards import judge
from responder.decide.inhibit import inhibits
from responder.engine.gather import Gather
from responder.engine.rules import ActiveRules, IndexedRules
from responder.model.alert import fingerprint
from responder.model.base import Frozen
from responder.model.duration import Duration
from responder.model.guard import Guard, Ruling, RulingWord
from responder.model.incident import Incident, IncidentState, MemberAlert, Members, Progress
from responder.model.inhibition import Inhibitor
from responder.model.rule import AllOf, Rule, Step, StepKind, parts_of
from responder.ports import NewIncident, Store
from responder.rulebook.considered import Matching, Taken, considered

_NOBODY = UUID(int=0)


class Word(Frozen):
    """What a guard says of a step that it does not let go."""

    guard: Guard
    ruling: RulingWord
    reason: str


class StepForeseen(Frozen):
    """One step, as it would be taken first.

    `elements` are what it would act on, `held_by` the guards that do not let it go; both are empty of a step
    that only reads. `shadow` is why it would do all but the effect, where the guards let it go no further.
    """

    number: int
    action: str
    kind: StepKind
    target: str | None
    elements: tuple[str, ...] = ()
    computed: tuple[str, ...] = ()
    """What relative parameters would come to now, in words."""
    held_by: tuple[Word, ...] = ()
    let_go: int = 0
    """How many guards let it go."""
    shadow: str | None = None
    repeat: int = 0
    """How often it may be taken again, where it has not helped."""
    part: int | None = None
    """Which part of its `all:` it is, from 1."""


class Led(Frozen):
    """What an alert would lead to by one rule that takes it.

    `joins` says that an incident of that group is there, which the alert would join; `opens_after` is how
    long it has to fire before a new one opens.
    """

    steps: tuple[StepForeseen, ...] = ()
    joins: bool = False
    opens_after: Duration = timedelta(0)
    inhibitor: Inhibitor | None = None
    """The incident under way that explains it: it would only be recorded meanwhile."""


class Foreseen(Led):
    """The answer for one alert: by the first rule that takes it, and by each of `matching.further`."""

    matching: Matching
    further: tuple[Led, ...] = ()


class Foresight:
    """Tells what would be done, by the active rulebook and all that stands now."""

    def __init__(self, store: Store, rules: ActiveRules, gather: Gather, terms: Terms) -> None:
        self._store = store
        self._rules = rules
        self._gather = gather
        self._terms = terms
        self._one_at_a_time = asyncio.Lock()

    async def of(self, labels: Mapping[str, str], source: str) -> Foreseen:
        """What an alert with these labels would lead to, were it heard of from that source now."""
        async with self._one_at_a_time:
            await self._rules.follow()
            rules = self._rules.indexed
            matching = considered(rules.rulebook.rules, labels)
            if matching.taken is None:
                return Foreseen(matching=matching)
            taken = (matching.taken, *matching.further)
            first, *further = [
                await self._led(rules, one, new, labels, source)
                for one, new in zip(taken, rules.incidents_of(labels), strict=True)
            ]
            return Foreseen(matching=matching, further=tuple(further), **dict(first))

    async def _led(
        self, rules: IndexedRules, taken: Taken, wanted: NewIncident, labels: Mapping[str, str], source: str
    ) -> Led:
        rule = rules.rulebook.rule(taken.rule)
        if rule is None:
            return Led()
        case = await self._case(rule, rules.hash, taken, labels, source)
        _, live = await self._store.standing((), (wanted.identity,), 0)
        steps = [one for index in range(len(rule.steps)) for one in await self._step(case, index)]
        return Led(
            steps=tuple(steps),
            joins=wanted.identity in live,
            opens_after=wanted.pending_for,
            inhibitor=await self._store.inhibitor(inhibits(rule, wanted.key, rules.rulebook)),
        )

    async def _step(self, case: Case, index: int) -> list[StepForeseen]:
        """A step; or each part of one, seen together as before it is taken."""
        rung = case.rule.steps[index]
        parts = parts_of(rung)
        conditions = (rung.when, *[None] * len(parts))
        seen = [
            await self._gather.step(case, step, case.now, when=when)
            for step, when in zip(parts, conditions, strict=False)
        ]
        facts = together([one.facts for one in seen])
        several = range(len(parts)) if isinstance(rung, AllOf) else [None]
        return [
            self._foreseen(index, number, step, one, rung.repeat)
            for number, step, one in zip(several, parts, facts, strict=True)
        ]

    def _foreseen(self, index: int, part: int | None, step: Step, facts: Facts, repeat: int) -> StepForeseen:
        verdicts = judge(facts, self._terms).verdicts if step.kind.changing else ()
        held = [one for one in verdicts if one.ruling is not Ruling.GO]
        return StepForeseen(
            number=index + 1,
            part=None if part is None else part + 1,
            action=step.action,
            kind=step.kind,
            target=facts.target,
            elements=facts.elements,
            computed=facts.computed,
            held_by=tuple(
                Word(guard=one.guard, ruling=one.ruling, reason=one.reason)
                for one in sorted(held, key=lambda verdict: -verdict.ruling)
            ),
            let_go=len(verdicts) - len(held),
            shadow=next((one.reason for one in verdicts if one.shadow), None),
            repeat=repeat,
        )

    async def _case(
        self, rule: Rule, rulebook: str, taken: Taken, labels: Mapping[str, str], source: str
    ) -> Case:
        now = await self._store.now()
        promoted = await self._store.promotion(rule.name, rule.acting_hash)
        return Case(
            now=now,
            incident=_incident(taken, rulebook, now),
            rule=rule,
            current=rule,
            current_hash=rulebook,
            promotions={} if promoted is None else {rule.acting_hash: promoted},
            members=_members(labels, source, now),
            holds=False,
            storm=await self._store.storm(),
        )


def _incident(taken: Taken, rulebook: str, now: datetime) -> Incident:
    return Incident(
        id=_NOBODY,
        rule=taken.rule,
        rulebook_hash=rulebook,
        key=taken.key,
        severity=taken.severity,
        state=IncidentState.OPEN,
        opened_at=now,
        state_since=now,
        deadline=None,
        due_at=now,
        epoch=0,
        progress=Progress(opened_at=now),
    )


def _members(labels: Mapping[str, str], source: str, now: datetime) -> Members:
    one = MemberAlert(
        source=source,
        fingerprint=fingerprint(labels),
        generation=1,
        labels=dict(labels),
        annotations={},
        starts_at=now,
        ends_at=None,
        seen_at=now,
        joined_at=now,
    )
    return Members(
        firing=1,
        total=1,
        first_starts_at=now,
        first_heard_at=now,
        newest_seen_at=now,
        sources=(source,),
        sample=(one,),
        common_labels=dict(labels),
    )
