"""One incident in virtual time, around the real `Perform`: for properties that no real part can be asked for.

`VirtualStore` keeps what the ledger keeps for one incident and one owner; it is no second store, it only
lets Hypothesis choose every moment at which the process dies. `World` is the target: it counts its effects.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, cast
from uuid import UUID, uuid4

from responder.decide import changes
from responder.decide.case import (
    AttemptVerdict,
    Case,
    Change,
    Finding,
    IntentLost,
    LedgerQuestion,
    LedgerView,
    ProbeReading,
    SourceView,
    Terms,
)
from responder.decide.clock import Unsteady
from responder.decide.raising import in_time
from responder.decide.run_on import run_on
from responder.engine.evidence import Evidence
from responder.engine.gather import Gather
from responder.engine.halting import Halt
from responder.engine.ownership import Ownership
from responder.engine.perform import Perform, Recording
from responder.engine.settings import EngineSettings
from responder.engine.trust import Trust
from responder.engine.watchdog import Watchdog
from responder.model.alert import Delivery, Receipt
from responder.model.attempt import Attempt, Claim, ElementOutcome, Intent, Outcome, PastAttempt
from responder.model.autonomy import Autonomy
from responder.model.base import Frozen
from responder.model.errors import StoreAwayError
from responder.model.incident import (
    Command,
    CommandFacts,
    CommandKind,
    Incident,
    IncidentState,
    MemberAlert,
    Members,
)
from responder.model.restraint import Restraint, Restraints
from responder.model.rule import (
    AllOf,
    Limits,
    Position,
    Probe,
    Rule,
    Rung,
    SeverityCase,
    Step,
    StepKind,
    Undo,
    Verify,
)
from responder.model.severity import Severity
from responder.model.target import Element, State, Target
from responder.ports import Actions, AlertState, Intake, Lease, Probes, Store, UndoStep
from responder.telemetry import Metrics, build_metrics

START = datetime(2026, 1, 1, tzinfo=UTC)


class Died(BaseException):
    """The process ends here, as by SIGKILL: nothing after this point runs."""


@dataclass
class World:
    """The target and the source, as they really are."""

    present: set[str] = field(default_factory=lambda: {"a", "b"})
    effects: list[tuple[UUID, str]] = field(default_factory=list)
    reachable: bool = True
    broken: bool = False
    """Whether looking at the target fails in a way that nobody foresaw."""
    file: Path | None = None
    """A halt file that somebody makes while the effects run."""
    lasting: bool = False
    """Whether what is hit stays there, and can be hit again."""
    unsure: str | None = None
    """The element whose effect gives no answer."""
    refuses: bool = False
    """Whether every effect finds its element changed, and does nothing."""
    undo_note: str = ""
    """The note that an undo is given."""
    deposed: bool = False
    """Whether another process has taken over since the intent."""
    late_s: int = 0
    """How long the process is away between an intent and its effect."""
    die_before_effect: bool = False
    die_after_effect: bool = False
    release: str = "v1"
    """What an approval is bound to beside the elements."""
    now: datetime = START
    halted: str | None = None
    unsteady: Unsteady | None = None
    probe: bool | None = None
    source: SourceView = field(default_factory=lambda: SourceView(configured=False))

    def hit(self, attempt: UUID, element: str) -> None:
        """One effect, counted by the target itself."""
        if self.die_before_effect:
            self.die_before_effect = False
            raise Died
        self.effects.append((attempt, element))
        if not self.lasting:
            self.present.discard(element)
        if self.file is not None:
            self.file.touch()
        if self.unsure == element:
            raise OSError("the connection was lost")
        if self.die_after_effect:
            self.die_after_effect = False
            raise Died


class HitParams(Frozen):
    """The action's parameters."""

    at_most: int = 5
    note: str = ""


class HitState(State):
    """What the look sees."""

    present: tuple[str, ...] = ()
    release: str = ""


class Hit:
    """An action that hits every element present."""

    name: ClassVar[str] = "test.hit"
    kind: ClassVar[StepKind] = StepKind.DISRUPTIVE
    deadline: ClassVar[timedelta] = timedelta(seconds=5)
    fenced: ClassVar[bool] = True
    relative: ClassVar[frozenset[str]] = frozenset()
    Params: ClassVar[type[Frozen]] = HitParams

    def __init__(self, world: World, *, undoable: bool = False) -> None:
        self.world = world
        self.undoable = undoable

    def resolve(self, params: HitParams) -> tuple[Target, ...]:  # noqa: D102 - the contract's
        del params
        return (Target(key="test/target", name="target"),)

    async def look(self, params: HitParams, target: Target) -> HitState:  # noqa: D102
        del params, target
        if self.world.broken:
            raise RuntimeError("nobody foresaw this")
        return HitState(present=tuple(sorted(self.world.present)), release=self.world.release)

    def present(self, state: HitState) -> Mapping[str, int]:  # noqa: D102
        del state
        return {}

    def pin(self, params: HitParams, state: HitState) -> tuple[Element, ...]:  # noqa: D102
        del params
        return tuple(Element(key=name, title=name) for name in state.present)

    def at_most(self, params: HitParams) -> int:  # noqa: D102
        return params.at_most

    def refuse(self, params: HitParams, state: HitState) -> str | None:  # noqa: D102
        del params, state
        return None

    async def run(  # noqa: D102
        self, target: Target, element: Element, params: HitParams, state: HitState, attempt_id: UUID
    ) -> ElementOutcome:
        del target, params, state
        if self.world.refuses:
            return ElementOutcome(element=element.key, outcome=Outcome.NOT_DONE, detail="it has changed")
        self.world.hit(attempt_id, element.key)
        return ElementOutcome(element=element.key, outcome=Outcome.DONE)

    async def happened(self, attempt: Attempt) -> tuple[ElementOutcome, ...]:  # noqa: D102
        if not self.world.reachable:
            return tuple(ElementOutcome(element=e.key, outcome=Outcome.UNKNOWN) for e in attempt.elements)
        done = {element for by, element in self.world.effects if by == attempt.id}
        return tuple(
            ElementOutcome(element=e.key, outcome=Outcome.DONE if e.key in done else Outcome.NOT_DONE)
            for e in attempt.elements
        )

    def undo(self, params: HitParams, state_before: Mapping[str, Any]) -> UndoStep | None:  # noqa: D102
        del params, state_before
        return UndoStep(self.name, {"note": self.world.undo_note}) if self.undoable else None

    def consent(self, params: HitParams, state: HitState) -> Mapping[str, Any]:  # noqa: D102
        del params
        return {"release": state.release}


def ladder(
    *,
    steps: int = 2,
    undo: Undo = Undo.NEVER,
    autonomy: Autonomy = Autonomy.AUTO,
    repeat: int = 0,
    parts: int = 1,
) -> Rule:
    """A rule whose steps all hit; with several parts each of them does."""
    lasts = timedelta(seconds=5)
    step: Rung = Step(action="test.hit", kind=StepKind.DISRUPTIVE, timeout=lasts, undo=undo, repeat=repeat)
    if parts > 1:
        part = step.model_copy(update={"repeat": 0})
        step = AllOf.model_validate({"all": (part,) * parts, "repeat": repeat})
    return Rule(
        name="Hit",
        match=(),
        severity=(SeverityCase(severity=Severity.P1),),
        group_by=("alertname",),
        wait_for=timedelta(0),
        autonomy=autonomy,
        steps=(step,) * steps,
        verify=Verify(alert_resolved_within=timedelta(minutes=5), stable_for=timedelta(seconds=30)),
        limits=Limits(attempts=10, per=timedelta(hours=1), cooldown=timedelta(minutes=10)),
        position=Position(file="test.yaml", line=1, column=1),
    )


@dataclass
class VirtualStore:
    """The ledger of one incident, with one owner at a time."""

    world: World
    rule: Rule
    incident: Incident
    members: Members
    attempts: dict[UUID, Attempt] = field(default_factory=dict)
    claim_: Claim | None = None
    command: Command | None = None
    windows: tuple[Restraint, ...] = ()
    """What is under maintenance."""
    changes: list[Change] = field(default_factory=list)
    die_before_outcome: bool = False
    promoted: Autonomy | None = Autonomy.AUTO
    unreadable: bool = False
    """Whether what the ledger says cannot be read."""

    async def now(self) -> datetime:
        """Virtual service time."""
        return self.world.now

    async def load(self, lease: Lease) -> Case:
        """The case."""
        del lease
        newest = next(reversed(self.attempts.values()), None)  # by number: two may be of one moment
        return Case(
            now=self.world.now,
            incident=self.incident,
            rule=self.rule,
            current=self.rule,
            promotions={} if self.promoted is None else {self.rule.acting_hash: self.promoted},
            members=self.members,
            attempt=newest,
            parts=self.parts_of(newest),
            holds=self.claim_ is not None and not self.claim_.quarantined,
            command=self.command,
            maintenance=self.windows,
        )

    async def record(self, lease: Lease, case: Case, change: Change) -> bool:
        """Apply a change at once."""
        del lease, case
        if change.end is not None and self.die_before_outcome:
            self.die_before_outcome = False
            raise Died
        if change.quiet and self.members.firing:
            return False
        self._apply(change)
        return True

    async def commit_intent(
        self, lease: Lease, intent: Intent, change: Change, *, after: int | None = None
    ) -> Attempt | IntentLost:
        """The ledger's predicates, then attempt, claim and change."""
        del lease, after
        if self.world.halted:
            return IntentLost.HALTED
        if self.world.unsteady:
            return IntentLost.CLOCK
        goes_on = intent.undo_of is not None or intent.all_of not in {None, intent.attempt_id}
        if not self.members.firing and not goes_on:
            return IntentLost.NOT_FIRING
        if self.claim_ is not None and self.claim_.attempt_id not in {intent.undo_of, intent.all_of}:
            return IntentLost.CLAIMED
        if intent.approval is not None and self.is_over(intent):
            return IntentLost.APPROVAL
        attempt = intent.started(self.world.now)
        self.attempts[attempt.id] = attempt
        intended_at = self.world.now
        self.world.now += timedelta(seconds=self.world.late_s)
        self.claim_ = Claim(
            target=intent.target,
            attempt_id=attempt.holder,
            incident_id=intent.incident_id,
            rule=intent.rule,
            since=intended_at,
        )
        self._apply(change)
        return attempt

    def parts_of(self, attempt: Attempt | None) -> tuple[Attempt, ...]:
        """Every attempt of the same `all:`."""
        if attempt is None or attempt.all_of is None:
            return ()
        return tuple(one for one in self.attempts.values() if one.all_of == attempt.all_of)

    def is_over(self, intent: Intent) -> bool:
        """Whether the approval of an intent has expired or was used up."""
        used = {attempt.approval for attempt in self.attempts.values()}
        expired = intent.approved_until is None or self.world.now >= intent.approved_until
        return expired or intent.approval in used

    def _apply(self, change: Change) -> None:
        self.changes.append(change)
        if change.end is not None:
            attempt = self.attempts[change.end.attempt_id]
            ended = {"outcome": change.end.outcome, "results": change.end.results, "ended_at": self.world.now}
            self.attempts[attempt.id] = attempt.model_copy(update=ended)
        held = self.claim_
        if change.verdict is not None:
            self._end(change.verdict, held)
        if change.quarantine is not None and held is not None and not held.quarantined:
            self.claim_ = held.model_copy(update={"quarantined": True, "reason": change.quarantine.reason})
        if change.command is not None:
            self.command = None
        since = self.incident.state_since if change.state is self.incident.state else self.world.now
        self.incident = self.incident.model_copy(
            update={
                "state": change.state,
                "state_since": since,
                "severity": change.severity or self.incident.severity,
                "progress": change.progress,
                "deadline": change.deadline,
                "due_at": change.due_at,
            }
        )

    def _end(self, verdict: AttemptVerdict, held: Claim | None) -> None:
        attempt = self.attempts[verdict.attempt_id]
        for one in (attempt, *self.parts_of(attempt)):
            if one.undo_of is None or one.id == attempt.id:
                written = {"verdict": one.verdict or verdict.verdict}
                self.attempts[one.id] = one.model_copy(update=written)
        if (
            held is not None
            and held.attempt_id == attempt.id
            and not (verdict.claim_stays or held.quarantined)
        ):
            self.claim_ = None

    def answer(self, kind: CommandKind, actor: str) -> None:
        """A person answers what is asked now; where nothing is, an answer to nothing."""
        question = self.incident.progress.question
        self.say(kind, actor, question=question.id if question else None)

    def say(self, kind: CommandKind, actor: str, **facts: Any) -> None:
        """A person gives a command, and the incident is due."""
        self.command = Command(
            id=uuid4(),
            incident_id=self.incident.id,
            kind=kind,
            actor=actor,
            facts=CommandFacts(**facts),
            given_at=self.world.now,
        )
        self.incident = self.incident.model_copy(update={"due_at": self.world.now})

    async def ground(self) -> tuple[str, ...]:
        """The store's own ground."""
        return ("ground/own",)

    async def ledger_view(self, question: LedgerQuestion, incident: Incident) -> LedgerView:
        """All attempts, which are of this ladder, and the claim on the target."""
        del incident
        if self.unreadable:
            raise StoreAwayError("by the test")
        history = tuple(
            PastAttempt(
                intended_at=attempt.intended_at,
                ended_at=attempt.ended_at,
                spent=attempt.outcome is not Outcome.NOT_DONE,
                same_ladder=True,
            )
            for attempt in self.attempts.values()
        )
        return LedgerView(
            restraints=Restraints(flag=self.world.halted, standing=self.windows, civil=self.world.now),
            unsteady=self.world.unsteady,
            history=() if question.target is None else history,
            claim=None if question.target is None else self.claim_,
        )

    async def add_finding(self, incident_id: UUID, finding: Finding) -> None:
        """No rule here has evidence."""
        raise AssertionError((incident_id, finding))


def incident(state: IncidentState = IncidentState.PENDING, **changed: Any) -> Incident:
    """An incident that is due now."""
    fields: dict[str, Any] = {
        "id": uuid4(),
        "rule": "Hit",
        "rulebook_hash": "0" * 64,
        "key": {"alertname": "A"},
        "severity": Severity.P1,
        "state": state,
        "opened_at": START,
        "state_since": START,
        "deadline": START,
        "due_at": START,
        "epoch": 1,
    }
    return Incident(**{**fields, **changed})


def members(firing: int = 1, total: int = 1, at: datetime = START) -> Members:
    """Members without a sample: the virtual source needs none."""
    return Members(firing=firing, total=total, first_starts_at=at, newest_seen_at=at)


def member(source: str = "am", **labels: str) -> MemberAlert:
    """A firing member with these labels."""
    return MemberAlert(
        source=source,
        fingerprint="0" * 16,
        generation=1,
        labels={"alertname": "A", **labels},
        annotations={},
        starts_at=START,
        ends_at=None,
        seen_at=START,
        joined_at=START,
    )


class _Probes:
    def __init__(self, world: World) -> None:
        self.world = world

    async def ask(self, probe: Probe, labels: Mapping[str, str]) -> ProbeReading:
        del probe, labels
        return ProbeReading(holds=self.world.probe, text="probe")


class _AlertState:
    def __init__(self, world: World) -> None:
        self.world = world

    async def ask(
        self, members: Sequence[MemberAlert], *, fresh: bool, incident: UUID | None = None
    ) -> SourceView:
        del members, fresh, incident
        return self.world.source


class _Intake:
    def __init__(self, store: VirtualStore) -> None:
        self.store = store

    async def take(self, delivery: Delivery) -> Receipt:
        ended = {"firing": 0}
        self.store.members = self.store.members.model_copy(update=ended)
        return Receipt(stored=len(delivery.alerts), rejected=0)


class _Actions:
    def __init__(self, action: Hit) -> None:
        self.action = action

    def get(self, name: str) -> Hit:
        assert name == "test.hit"
        return self.action


@cache
def _metrics() -> Metrics:
    """Counters that nobody reads: building them is most of a move."""
    return build_metrics("test")


def perform_on(
    store: VirtualStore,
    *,
    undoable: bool = False,
    terms: Terms | None = None,
    halt_file: Path | None = None,
    action: Hit | None = None,
) -> Perform:
    """The real `Perform` over the virtual world, whose steps all hit it, or do another thing to it."""
    world = store.world
    terms = terms or Terms()
    settings = EngineSettings(ceiling=Autonomy.AUTO, terms=terms)
    as_store = cast("Store", store)
    actions = cast("Actions", _Actions(action or Hit(world, undoable=undoable)))
    probes = cast("Probes", _Probes(world))
    source = cast("AlertState", _AlertState(world))
    halt, trust = Halt(as_store, halt_file), Trust(settings, {})
    return Perform(
        store=as_store,
        intake=cast("Intake", _Intake(store)),
        actions=actions,
        probes=probes,
        gather=Gather(
            as_store, actions, probes, source, halt, trust, terms, settings.budgets, Watchdog(as_store, None)
        ),
        evidence=Evidence(as_store, actions, 1.0),
        ownership=cast("Ownership", SimpleNamespace(owns=lambda _: not world.deposed, stopping=False)),
        halt=halt,
        metrics=_metrics(),
        terms=terms,
        budgets=settings.budgets,
        monotonic=lambda: _seconds(world),
    )


def _recording(store: VirtualStore, lease: Lease, case: Case, change: Change | None) -> Recording | None:
    return None if change is None else lambda: store.record(lease, case, change)


def lease_of(store: VirtualStore) -> Lease:
    """A lease; the virtual store looks at none."""
    return Lease(store.incident.id, UUID(int=0), 1)


def _seconds(world: World) -> float:
    return (world.now - START).total_seconds()


async def drive(store: VirtualStore, **parts: Any) -> None:
    """Make moves as a worker does until the incident has to wait; a death ends this process.

    The next call is the restart. `parts` are those of `perform_on`.
    """
    await drive_with(perform_on(store, **parts), store, parts.get("terms") or Terms())


async def drive_with(perform: Perform, store: VirtualStore, terms: Terms) -> None:
    """As `drive`, by a process that is there already."""
    lease = lease_of(store)
    for _ in range(60):
        case = await store.load(lease)
        due = case.incident.due_at
        if due is None or due > store.world.now:
            return
        try:
            decided = run_on(case, terms)
            change = decided.change
            if decided.move is not None:
                before, case = _recording(store, lease, case, decided.change), decided.case or case
                change = await perform(lease, case, decided.move, store.world.now, before)
        except Died:
            return
        except RuntimeError as error:
            case = await store.load(lease)
            change = in_time(case, changes.failed(case, store.world.now, terms, str(error)))
        try:
            if change is not None:
                await store.record(lease, case, change)
        except Died:
            return
    raise AssertionError(f"it never comes to rest: {store.incident.state}")
