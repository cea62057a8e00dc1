"""`perform`: the only place that does what was decided, one Move at a time.

A step goes the straight line: gather -> judge all guards -> commit the intent -> act -> outcome. Nothing is
done to the world outside `_act`, and `_act` is reached only with a committed intent.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar, assert_never
from uuid import uuid4

import structlog
from prometheus_client import Counter

from responder.clients.boottime import boottime
from responder.crash_points import Point, reached
from responder.decide import changes
from responder.decide.all_of import step_of, together, whole
from responder.decide.case import (
    Apply,
    AskSource,
    AttemptEnd,
    Case,
    Change,
    Check,
    CloseBySource,
    GatherEvidence,
    IntentLost,
    Move,
    Page,
    Reading,
    Recheck,
    Settle,
    TakeBack,
    TakePart,
    TakeStep,
    Terms,
    Wait,
)
from responder.decide.guards import judge
from responder.decide.raising import in_time
from responder.decide.verify import assess
from responder.engine.evidence import Evidence
from responder.engine.gather import Gather, Place, Seen, labels_of
from responder.engine.halting import Halt
from responder.engine.outlast import outlast
from responder.engine.ownership import Ownership
from responder.model.alert import Alert, Delivery, Standing
from responder.model.attempt import Attempt, ElementOutcome, GroupTarget, Intent, Outcome
from responder.model.budget import Budgets
from responder.model.errors import DeposedError, ResponderError
from responder.model.guard import Guard, Judgement, Ruling
from responder.model.incident import MemberAlert
from responder.model.rule import AllOf, Step, StepKind, parts_of
from responder.model.target import Element
from responder.model.timeline import EntryDraft, EntryKind
from responder.ports import Actions, Intake, Lease, Probes, Store
from responder.telemetry import Metrics

_log = structlog.get_logger(__name__)
_One = TypeVar("_One")
_Other = TypeVar("_Other")

Recording = Callable[[], Awaitable[bool]]
"""Writes a change; False where nothing was written."""

LOOK_AGAIN: None = None
"""What `perform` answers when the world moved meanwhile: load the case anew and decide again."""


@dataclass(frozen=True, slots=True)
class Perform:
    """Carries out moves with the parts that it is given."""

    store: Store
    intake: Intake
    actions: Actions
    probes: Probes
    gather: Gather
    evidence: Evidence
    ownership: Ownership
    halt: Halt
    metrics: Metrics
    terms: Terms
    budgets: Budgets
    monotonic: Callable[[], float] = field(default=boottime)
    _verdicts: dict[tuple[Guard, Ruling], Counter] = field(default_factory=dict)

    async def __call__(
        self, lease: Lease, case: Case, move: Move, now: datetime, before: Recording | None = None
    ) -> Change | None:
        """The change that follows from one move, or None to look again.

        `before` records what led to the case. It ends before anything else is written, or done to the world;
        only a step's look, which changes nothing anywhere, is taken meanwhile.
        """
        if before is not None and not isinstance(move, TakeStep):
            if not await before():
                return LOOK_AGAIN
            before = None
        change = await self._made(lease, case, move, now, before)
        return None if change is None else in_time(case, change)

    async def _made(
        self, lease: Lease, case: Case, move: Move, now: datetime, before: Recording | None
    ) -> Change | None:
        match move:
            case Wait(until=until):
                return changes.stay(case, until)
            case Apply(change=change):
                return change
            case GatherEvidence():
                self.evidence.start(case)
                return changes.evidence_started(case, now)
            case TakeStep(index=index):
                rung = case.rule.steps[index]
                if isinstance(rung, AllOf):
                    return await self._take_all(lease, case, index, rung, now, before)
                return await self._take_step(lease, case, index, rung, now, before)
            case TakePart(index=index, part=part):
                return await self._take_part(lease, case, index, part, now)
            case Settle(attempt=attempt):
                return await self._settle(case, attempt, now)
            case Check():
                reading = await self._read(case)
                reached(Point.VERIFICATION_READ)
                return assess(case, reading, now, self.terms)
            case TakeBack(attempt=attempt):
                return await self._take_back(lease, case, attempt, now)
            case Recheck():
                view = await self.gather.source(case, fresh=False)
                return changes.rechecked(case, view, now, self.terms)
            case AskSource():
                view = await self.gather.source(case, fresh=False)
                return changes.asked_for_a_person(case, view, now, self.terms)
            case Page():
                view = await self.gather.source(case, fresh=False)
                return changes.paged(case, view, self.gather.reach(case), now, self.terms)
            case CloseBySource():
                return await self._close_by_source(case, now)
            case _:
                assert_never(move)

    # The straight line ---------------------------------------------------------------------------

    async def _take_step(
        self, lease: Lease, case: Case, index: int, step: Step, now: datetime, before: Recording | None
    ) -> Change | None:
        looking = self.gather.step(case, step, now)
        recorded, seen = (True, await looking) if before is None else await _both(before(), looking)
        if not recorded:
            return LOOK_AGAIN
        if not step.kind.changing:
            return changes.evidence_read(case, index, _evidence(seen), now, self.terms)
        judgement = self._judge(seen)
        may_act, asks = _may_act(judgement), _asks_for_nothing(judgement, seen)
        if not may_act and not asks:
            return changes.judged(case, index, seen.facts, judgement, self.terms)
        told = changes.judged_entry(case, index, seen.facts, judgement)
        if seen.place is None or not seen.elements:
            return changes.nothing_to_do(case, index, told, now, self.terms)
        reached(Point.STEP_JUDGED)
        intent = self._intent(case, index, seen.place, seen, judgement)
        return await self._attempt(lease, case, seen.place, intent, told, now)

    async def _take_all(
        self, lease: Lease, case: Case, index: int, rung: AllOf, now: datetime, before: Recording | None
    ) -> Change | None:
        """Look at all parts and judge all of them; then the first that has anything to do begins."""
        looking = self._look_at_all(case, rung, now)
        recorded, several = (True, await looking) if before is None else await _both(before(), looking)
        if not recorded:
            return LOOK_AGAIN
        parts = [(seen.facts, self._judge(seen)) for seen in several]
        judgement = whole([each for _, each in parts])
        idle = not any(seen.elements for seen in several) and all(seen.place for seen in several)
        asks = judgement.strictest.ruling is Ruling.ASK and not judgement.shadow
        if not _may_act(judgement) and not (asks and idle):
            return changes.all_judged(case, index, parts, self.terms)
        *told, last = changes.all_judged_entries(case, index, parts)
        if idle:
            change = changes.nothing_to_do(case, index, last, now, self.terms)
            return change.model_copy(update={"entries": (*told, *change.entries)})
        part = next(number for number, seen in enumerate(several) if seen.elements)
        seen = several[part]
        if seen.place is None:
            raise AssertionError("what was not looked at has no elements")
        intent = self._intent(case, index, seen.place, seen, judgement)
        group = {"all_of": intent.attempt_id, "part": part, "group": _targets(several)}
        return await self._attempt(lease, case, seen.place, intent.model_copy(update=group), last, now, *told)

    async def _look_at_all(self, case: Case, rung: AllOf, now: datetime) -> list[Seen]:
        """Each part as one of several; the condition is that of all, and asked once."""
        conditions = (rung.when, *[None] * len(rung.parts))
        steps = zip(rung.parts, conditions, strict=False)
        seen = await asyncio.gather(*(self.gather.step(case, step, now, when=when) for step, when in steps))
        facts = together([one.facts for one in seen])
        return [replace(one, facts=mine) for one, mine in zip(seen, facts, strict=True)]

    async def _take_part(
        self, lease: Lease, case: Case, index: int, part: int, now: datetime
    ) -> Change | None:
        """A further part: looked at anew, judged by what may never be passed over."""
        group, step = case.incident.progress.group, parts_of(case.rule.steps[index])[part]
        if group is None:
            raise AssertionError("a part is taken of what is under way")
        seen = await self.gather.step(case, step, now, part_of=group)
        yes = seen.facts.approval and seen.facts.approval.of_part(part, until=now + self.terms.open_deadline)
        seen = replace(seen, facts=seen.facts.model_copy(update={"approval": yes}))
        judgement = self._judge(seen).for_part()
        told = changes.judged_entry(case, index, seen.facts, judgement, part=part)
        if judgement.strictest.guard in _PATIENT and judgement.strictest.ruling is Ruling.WAIT:
            return changes.part_waits(case, now, self.terms, judgement.strictest.reason)
        if not _may_act(judgement):
            return changes.stopped(case, now, self.terms, judgement.strictest.reason, told)
        if seen.place is None or not seen.elements:
            return changes.part_needless(case, told, now, self.terms)
        if seen.place.target.key not in group.targets:
            elsewhere = f"it leads to {seen.place.target.key} now, which was not judged"
            return changes.stopped(case, now, self.terms, elsewhere, told)
        intent = self._intent(case, index, seen.place, seen, judgement)
        intent = intent.model_copy(
            update={"all_of": group.first, "part": part, "approval": None, "approved_until": None}
        )
        return await self._attempt(lease, case, seen.place, intent, told, now)

    async def _attempt(
        self,
        lease: Lease,
        case: Case,
        place: Place,
        intent: Intent,
        told: EntryDraft,
        now: datetime,
        *others: EntryDraft,
    ) -> Change | None:
        if self.ownership.stopping:
            return LOOK_AGAIN
        latest = self.monotonic() + intent.start_window_s
        change = changes.intended(case, intent, told, now, self.terms)
        if others:
            change = change.model_copy(update={"entries": (*others, *change.entries)})
        length = case.incident.timeline_length
        attempt = await self.store.commit_intent(lease, intent, change, after=length)
        if isinstance(attempt, IntentLost):
            return self._look_again(attempt)
        reached(Point.INTENT_COMMITTED)
        end = await self._act(lease, place, attempt, latest)
        reached(Point.EFFECT_ENDED)
        self.metrics.attempts.labels(action=attempt.action, outcome=end.outcome.value).inc()
        case = await outlast(self.ownership, lease, partial(self.store.load, lease))
        if all(result.detail in _NOT_LET for result in end.results):
            return changes.too_late(case, attempt, end, case.now, self.terms)
        return changes.ended(case, attempt, end, case.now, self.terms)

    async def _act(self, lease: Lease, place: Place, attempt: Attempt, latest: float) -> AttemptEnd:
        """The effects, one element after the other; after one that nobody can tell of, no more are tried."""
        results: tuple[ElementOutcome, ...] = ()
        for element in attempt.elements:
            if changes.overall(results) is Outcome.UNKNOWN:
                result = ElementOutcome(element=element.key, outcome=Outcome.NOT_DONE, detail=_NOT_TRIED)
            else:
                result = await self._effect(lease, place, attempt, element, latest)
            results = (*results, result)
            reached(Point.ELEMENT_ENDED)
        after = await self._state_after(place, attempt)
        outcome = changes.overall(results)
        return AttemptEnd(attempt_id=attempt.id, outcome=outcome, results=results, state_after=after)

    async def _effect(
        self, lease: Lease, place: Place, attempt: Attempt, element: Element, latest: float
    ) -> ElementOutcome:
        """One effect. It may start only within its window, and only while this process is a live owner."""
        not_let = _TOO_LATE if self.monotonic() > latest or not self.ownership.owns(lease) else None
        if self.halt.before_effect(place.concern):
            not_let = _HALTED
        if not_let is not None:
            return ElementOutcome(element=element.key, outcome=Outcome.NOT_DONE, detail=not_let)
        try:
            async with asyncio.timeout(attempt.timeout_s):
                return await place.action.run(place.target, element, place.params, place.state, attempt.id)
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the effect may have happened
            _log.warning("effect without answer", action=attempt.action, error=type(error).__name__)
            detail = f"no answer: {type(error).__name__}"
            return ElementOutcome(element=element.key, outcome=Outcome.UNKNOWN, detail=detail)

    async def _state_after(self, place: Place, attempt: Attempt) -> dict[str, Any] | None:
        """A look for the review. Whatever goes wrong with it must not cost the outcome."""
        try:
            async with asyncio.timeout(attempt.timeout_s):
                state = await place.action.look(place.params, place.target)
        except Exception as error:  # noqa: BLE001 - see above
            _log.info("no look after the effect", action=attempt.action, error=type(error).__name__)
            return None
        after: dict[str, Any] = state.model_dump(mode="json")
        return after

    def _look_again(self, lost: IntentLost) -> Change | None:
        match lost:
            case IntentLost.DEPOSED:
                raise DeposedError("the lease was lost before the intent")
            case (
                IntentLost.HALTED
                | IntentLost.RESTRAINED
                | IntentLost.CLOCK
                | IntentLost.NOT_FIRING
                | IntentLost.INHIBITED
                | IntentLost.CLAIMED
                | IntentLost.OVERTAKEN
                | IntentLost.BROKEN
                | IntentLost.BUDGET
                | IntentLost.COMMANDED
                | IntentLost.APPROVAL
                | IntentLost.FORGOTTEN
            ):
                return LOOK_AGAIN
            case _:
                assert_never(lost)

    def _intent(self, case: Case, index: int, place: Place, seen: Seen, judgement: Judgement) -> Intent:
        approval = seen.facts.approval if judgement.approved else None
        return Intent(
            attempt_id=uuid4(),
            incident_id=case.incident.id,
            rule=case.rule.name,
            step=index,
            action=place.action.name,
            params=place.params.model_dump(mode="json"),
            target=place.target.key,
            namespace=place.target.namespace,
            elements=seen.elements,
            state_before=place.state.model_dump(mode="json"),
            start_window_s=self.terms.start_window.total_seconds(),
            timeout_s=seen.step.timeout.total_seconds(),
            fenced=place.action.fenced,
            restraints=seen.facts.restraints,
            inhibits=case.inhibits,
            approval=approval.id if approval else None,
            approved_until=approval.expires_at if approval else None,
            disruptive=seen.step.kind is StepKind.DISRUPTIVE,
            budgets=self.budgets,
            newest_known=seen.facts.newest_attempt,
        )

    def _judge(self, seen: Seen, *, undo: bool = False) -> Judgement:
        judgement = judge(seen.facts, self.terms)
        if undo:
            judgement = judgement.for_undo()
        for verdict in judgement.verdicts:
            self._counted(verdict.guard, verdict.ruling).inc()
        return judgement

    def _counted(self, guard: Guard, ruling: Ruling) -> Counter:
        """The counter of such verdicts: to find it by its labels costs more than to count."""
        found = self._verdicts.get((guard, ruling))
        if found is None:
            labels = {"guard": guard.value, "ruling": ruling.name.lower()}
            found = self._verdicts[guard, ruling] = self.metrics.guard_verdicts.labels(**labels)
        return found

    # Around it -----------------------------------------------------------------------------------

    async def _settle(self, case: Case, attempt: Attempt, now: datetime) -> Change:
        """Ask the target whether an attempt without outcome happened. Whatever fails is unknown."""
        limit = timedelta(seconds=attempt.timeout_s)
        try:
            action = self.actions.get(attempt.action)
            limit = action.deadline
            async with asyncio.timeout(attempt.timeout_s):
                results = tuple(await action.happened(attempt))
        except Exception as error:  # noqa: BLE001 - whatever goes wrong with asking, the answer is unknown
            detail = str(error) if isinstance(error, ResponderError) else type(error).__name__
            results = tuple(
                ElementOutcome(element=element.key, outcome=Outcome.UNKNOWN, detail=detail)
                for element in attempt.elements
            )
        reached(Point.TARGET_ASKED)
        end = AttemptEnd(attempt_id=attempt.id, outcome=changes.overall(results), results=results)
        return changes.settled(case, attempt, end, now, self.terms, limit)

    async def _read(self, case: Case) -> Reading:
        verify = case.rule.verify
        labels = labels_of(case)
        probes = verify.probes if verify is not None else ()
        source, *readings = await asyncio.gather(
            self.gather.source(case, fresh=False), *(self.probes.ask(probe, labels) for probe in probes)
        )
        return Reading(source=source, probes=tuple(readings))

    async def _take_back(self, lease: Lease, case: Case, attempt: Attempt, now: datetime) -> Change | None:
        """The undo of an attempt: another step, judged by what no undo may skip."""
        action = self.actions.get(attempt.action)
        inverse = action.undo(action.Params.model_validate(attempt.params), attempt.state_before)
        if inverse is None:
            return changes.undo_over(case, attempt, now, self.terms, "there is nothing to take back")
        given = step_of(case, attempt)
        kind = self.actions.get(inverse.action).kind
        step = given.model_copy(
            update={"action": inverse.action, "params": dict(inverse.params), "kind": kind}
        )
        seen = await self.gather.step(case, step, now, undo_of=attempt)
        judgement = self._judge(seen, undo=True)
        told = changes.judged_entry(case, attempt.step, seen.facts, judgement, part=attempt.part)
        if not _may_act(judgement):
            return changes.undo_owed(case, attempt, judgement.strictest, told, now, self.terms)
        if seen.place is None or not seen.elements:
            return changes.undo_over(case, attempt, now, self.terms, "nothing was left to take back", told)
        intent = self._intent(case, attempt.step, seen.place, seen, judgement)
        intent = intent.model_copy(
            update={"undo_of": attempt.id, "all_of": attempt.all_of, "part": attempt.part}
        )
        return await self._attempt(lease, case, seen.place, intent, told, now)

    async def _close_by_source(self, case: Case, now: datetime) -> Change:
        """Journal the end that the source's API told and no notification brought.

        Each alert is asked for once more: one that joined meanwhile, or stands beyond the sample, was not
        among those that have been good for long enough. Where one fires, or nobody can say, it counts anew.
        """
        open_ones = [member for member in case.members.sample if member.ends_at is None]
        if not await self.gather.all_gone(open_ones):
            return changes.not_yet_good(case, now, self.terms)
        by_source: dict[str, list[Alert]] = {}
        for member in open_ones:
            by_source.setdefault(member.source, []).append(_gone(member, now))
        for source, alerts in by_source.items():
            await self.intake.take(Delivery(source=source, alerts=tuple(alerts)))
        return changes.stay(case, now + self.terms.verify_every)


_TOO_LATE = "the start window was over, or this process was deposed"
_HALTED = "it was halted before the effect could start"
_NOT_LET = {_TOO_LATE, _HALTED}
_NOT_TRIED = "not tried: nobody can say what became of the element before it"


def _gone(member: MemberAlert, asked_at: datetime) -> Alert:
    return Alert(
        fingerprint=member.fingerprint,
        labels=member.labels,
        annotations=member.annotations,
        standing=Standing.GONE,
        starts_at=member.starts_at,
        ends_at=asked_at,
        generator_url=member.generator_url,
    )


async def _both(one: Awaitable[_One], other: Awaitable[_Other]) -> tuple[_One, _Other]:
    """Both answers. What one raises is raised when both have ended: nothing goes on that nobody waits for."""
    first, second = await asyncio.gather(one, other, return_exceptions=True)
    if isinstance(first, BaseException):
        raise first
    if isinstance(second, BaseException):
        raise second
    return first, second


def _may_act(judgement: Judgement) -> bool:
    return judgement.strictest.ruling is Ruling.GO and not judgement.shadow


_PATIENT = {Guard.LOOK, Guard.CLOCK}
"""What a further part waits for, as long as its incident may be open: a target that is away, a clock."""


def _targets(several: Sequence[Seen]) -> tuple[GroupTarget, ...]:
    """Every target of an `all:`, in the order of their keys: that in which they are locked."""
    found: dict[str, GroupTarget] = {}
    for seen in several:
        if seen.place is None:
            raise AssertionError("what may go was looked at")
        target, disruptive = seen.place.target, seen.step.kind is StepKind.DISRUPTIVE
        before = found.get(target.key)
        found[target.key] = GroupTarget(
            target=target.key,
            namespace=target.namespace,
            disruptive=disruptive or (before is not None and before.disruptive),
            newest_known=seen.facts.newest_attempt,
        )
    return tuple(found[key] for key in sorted(found))


def _asks_for_nothing(judgement: Judgement, seen: Seen) -> bool:
    """Whether a person would be asked for a step that finds nothing to do: that needs no consent."""
    asks = judgement.strictest.ruling is Ruling.ASK and not judgement.shadow
    return asks and seen.place is not None and not seen.elements


def _evidence(seen: Seen) -> EntryDraft:
    facts: dict[str, Any] = {"action": seen.step.action, "target": seen.facts.target}
    condition = seen.facts.condition
    if condition is not None and condition.holds is False:
        skipped = f"{seen.step.action} is passed over: its condition is false: {condition.text}"
        return EntryDraft(kind=EntryKind.EVIDENCE, text=skipped, facts={**facts, "summary": skipped})
    if seen.place is None:
        problem = seen.facts.out_of_scope or seen.facts.look_problem or seen.facts.floor or "nothing to see"
        text = f"{seen.step.action}: {problem}"
        return EntryDraft(kind=EntryKind.ERROR, text=text, facts={**facts, "summary": problem})
    state = seen.place.state
    told = {**facts, "summary": state.summary, "state": state.model_dump(mode="json")}
    return EntryDraft(kind=EntryKind.EVIDENCE, text=f"{seen.step.action}: {state.summary}", facts=told)
