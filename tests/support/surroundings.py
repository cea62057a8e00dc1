"""One whole incident in virtual time: `virtual` with everything around it that a guard looks at.

`Surroundings` is the world of one incident as it really is, its source and its probes included; `WholeStore`
is the ledger, with what other incidents did there. Both note what has happened, for whoever judges it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from responder.decide.budgets import accounts
from responder.decide.case import (
    AttemptVerdict,
    Case,
    Change,
    IntentLost,
    LedgerQuestion,
    LedgerView,
    Notice,
    SourceView,
)
from responder.model.attempt import Attempt, Claim, Intent, Outcome, PastAttempt, Verdict
from responder.model.autonomy import Autonomy
from responder.model.breaker import Breaker
from responder.model.budget import Budgets, Start
from responder.model.incident import Command, Incident, MemberAlert, Members
from responder.model.inhibition import Inhibitor, Inhibits
from responder.model.matcher import Matcher, MatchOp
from responder.model.restraint import Restraint, RestraintKind, Restraints
from responder.model.rule import Rule
from responder.model.storm import Storm
from responder.ports import Lease
from tests.support.virtual import START, VirtualStore, World

TARGET = "test/target"
UMBRELLA_ID = UUID(int=7)
BUDGETS = Budgets()
EXPLAINS = Inhibits(rule="Cause", labels={})
CAUSE = Inhibitor(id=UUID(int=8), rule="Cause")
MAINTENANCE_OF_ONE = (Matcher(name="instance", op=MatchOp.EQUAL, value="0"),)


@dataclass
class OneAlert:
    """An alert of the incident: whether it fires by what was notified, and in truth."""

    number: int
    fires: bool = True
    in_truth: bool = True
    seen_at: datetime = START


class Surroundings(World):
    """The world of one incident; every look at the source and the probes is noted, good or not."""

    configured = True
    hangs = False
    silenced = False
    probed = False
    """Whether the rule asks a probe, too."""

    def __init__(self) -> None:
        self.alerts = [OneAlert(0), OneAlert(1)]
        self.looks: list[tuple[datetime, bool]] = []
        super().__init__()
        self.answer: bool | None = True

    @property
    def firing(self) -> bool:
        """As the source knows it."""
        return any(one.in_truth for one in self.alerts)

    @property
    def source(self) -> SourceView:
        """What the source says when it is asked now."""
        view = self._view()
        self.looks.append((self.now, view.problem is None and not view.firing and not view.suppressed))
        return view

    @source.setter
    def source(self, view: SourceView) -> None:
        """What `World` begins with says nothing here."""

    def _view(self) -> SourceView:
        if not self.configured:
            return SourceView(configured=False)
        if self.hangs:
            return SourceView(configured=True, problem="it hangs")
        firing = sum(one.in_truth for one in self.alerts)
        told = sum(one.fires for one in self.alerts)
        standing = {"suppressed" if self.silenced else "firing": firing}
        return SourceView(configured=True, absent=max(0, told - firing), **standing)

    @property
    def probe(self) -> bool | None:
        """What every probe answers now."""
        self.looks.append((self.now, self.answer is True))
        return self.answer

    @probe.setter
    def probe(self, answer: bool | None) -> None:
        self.answer = answer


@dataclass(frozen=True)
class Recorded:
    """One change, with the incident before it and the moment."""

    at: datetime
    before: Incident
    change: Change
    after: Incident


class WholeStore(VirtualStore):
    """The ledger of one incident, and of what others do on its target."""

    def __init__(self, world: Surroundings, rule: Rule, incident_: Incident) -> None:
        self.around = world
        self.commands: list[Command] = []
        self.current: Rule | None = rule
        self.standing: list[Restraint] = []
        self.foreign: list[PastAttempt] = []
        self.foreign_claim: Claim | None = None
        self.foreign_starts: list[datetime] = []
        self.failures: list[UUID] = []
        self.breaker: Breaker | None = None
        self.recurred = 0
        self.storm = Storm()
        self.inhibitor: Inhibitor | None = None
        self.race: Callable[[], None] | None = None
        """What happens between judging a step and its intent."""
        self.log: list[Recorded] = []
        self.told: list[tuple[datetime, Notice]] = []
        self.on_intent: Callable[[Attempt], None] | None = None
        self.on_change: Callable[[Recorded], None] | None = None
        super().__init__(world, rule, incident_, Members(firing=1, total=1))

    # --- members and commands, kept where they are -------------------------------------------------

    @property
    def members(self) -> Members:
        """As they were notified."""
        alerts = self.around.alerts
        seen = [one.seen_at for one in alerts if one.fires]
        return Members(
            firing=len(seen),
            total=len(alerts),
            first_starts_at=START,
            newest_seen_at=max(seen, default=None),
            sources=("am",),
            sample=tuple(self._member(one) for one in alerts),
        )

    @members.setter
    def members(self, told: Members) -> None:
        if told.firing == 0:
            for one in self.around.alerts:
                one.fires = False

    def _member(self, one: OneAlert) -> MemberAlert:
        return MemberAlert(
            source="am",
            fingerprint=f"{one.number:016x}",
            generation=1,
            labels={"alertname": "A", "instance": str(one.number)},
            annotations={},
            starts_at=START,
            ends_at=None if one.fires else self.around.now,
            seen_at=one.seen_at,
            joined_at=START,
        )

    @property
    def command(self) -> Command | None:
        """The oldest one that is not applied."""
        return self.commands[0] if self.commands else None

    @command.setter
    def command(self, command: Command | None) -> None:
        if command is not None:
            self.commands.append(command)
        elif self.commands:
            self.commands.pop(0)

    # --- what the owner reads and writes -------------------------------------------------------------

    async def load(self, lease: Lease) -> Case:
        """The case, with the rule as it is now."""
        case = await super().load(lease)
        now_hash = "1" * 64 if self.current != self.rule else self.incident.rulebook_hash
        windows = tuple(one for one in self._standing() if one.kind is RestraintKind.MAINTENANCE)
        around = {"current": self.current, "current_hash": now_hash, "storm": self.storm}
        explained = {"inhibits": (EXPLAINS,), "inhibitor": self.inhibitor}
        return case.model_copy(update={**around, **explained, "maintenance": windows})

    def _standing(self) -> tuple[Restraint, ...]:
        now = self.around.now
        return tuple(one for one in self.standing if one.until is None or now < one.until)

    def restrain(self, kind: RestraintKind, seconds: int | None, *match: Matcher) -> None:
        """A person halts, freezes or begins maintenance."""
        now = self.around.now
        until = None if seconds is None else now + timedelta(seconds=seconds)
        number = len(self.standing) + 1
        made = Restraint(
            id=number, kind=kind, match=match, actor="ada", reason="because", since=now, until=until
        )
        self.standing.append(made)

    async def record(self, lease: Lease, case: Case, change: Change) -> bool:
        """As the worker does it: the umbrella incident of a storm is opened first."""
        if change.opens_storm:
            self.storm = self.storm.model_copy(update={"umbrella": UMBRELLA_ID})
            return False
        return await super().record(lease, case, change)

    async def commit_intent(
        self, lease: Lease, intent: Intent, change: Change, *, after: int | None = None
    ) -> Attempt | IntentLost:
        """What raced with judging is looked at again."""
        race, self.race = self.race, None
        if race is not None:
            race()
        lost = self._lost(intent)
        if lost is not None:
            return lost
        attempt = await super().commit_intent(lease, intent, change, after=after)
        if isinstance(attempt, Attempt) and self.on_intent is not None:
            self.on_intent(attempt)
        return attempt

    def _lost(self, intent: Intent) -> IntentLost | None:
        undo = intent.undo_of is not None or intent.all_of not in {None, intent.attempt_id}
        if not {one.id for one in self._standing()} <= set(intent.restraints):
            return IntentLost.RESTRAINED
        if self.commands:
            return IntentLost.COMMANDED
        if not undo and intent.inhibits and self.inhibitor is not None:
            return IntentLost.INHIBITED
        if self.foreign_claim is not None:
            return IntentLost.CLAIMED
        if not undo and self.newest() != intent.newest_known:
            return IntentLost.OVERTAKEN
        if not undo and self.breaker is not None:
            return IntentLost.BROKEN
        spent = [one for one in self.budgets_left() if one.budget.used_up]
        return IntentLost.BUDGET if spent and not undo else None

    def newest(self) -> UUID | None:
        """The newest attempt of the rule on the target, in any incident."""
        made = [(one.intended_at, one.id) for one in self.attempts.values()]
        made += [(one.intended_at, UUID(int=number)) for number, one in enumerate(self.foreign)]
        return max(made)[1] if made else None

    def budgets_left(self) -> tuple[Any, ...]:
        """The budgets of the target, from all starts that are not proven not to have been."""
        own = [
            one.intended_at
            for one in self.attempts.values()
            if one.undo_of is None and one.id == one.holder and one.outcome is not Outcome.NOT_DONE
        ]
        starts = [
            Start(
                at=at,
                target=TARGET,
                namespace="test",
                attempt_id=UUID(int=number),
                incident_id=UUID(int=0),
                rule="Hit",
                action="test.hit",
            )
            for number, at in enumerate([*own, *self.foreign_starts])
        ]
        return accounts(starts, BUDGETS, self.around.now)

    def _apply(self, change: Change) -> None:
        before = self.incident
        if change.rulebook_hash is not None and self.current is not None:
            self.rule = self.current
            self.incident = before.model_copy(update={"rulebook_hash": change.rulebook_hash})
        super()._apply(change)
        length = self.incident.timeline_length + len(change.entries)
        self.incident = self.incident.model_copy(update={"timeline_length": length})
        self.told += [(self.around.now, notice) for notice in change.notices]
        recorded = Recorded(self.around.now, before, change, self.incident)
        self.log.append(recorded)
        if self.on_change is not None:
            self.on_change(recorded)

    def _end(self, verdict: AttemptVerdict, held: Claim | None) -> None:
        super()._end(verdict, held)
        if verdict.verdict is Verdict.RECOVERED:
            self.failures.clear()
        if verdict.breaks_after is not None:
            self.failures.append(verdict.attempt_id)
            if len(self.failures) >= verdict.breaks_after:
                self.break_it()

    def break_it(self) -> None:
        """The circuit breaker of the rule opens."""
        attempts = tuple(self.failures) or (UUID(int=1),)
        self.breaker = Breaker(rule=self.rule.name, opened_at=self.around.now, attempts=attempts)

    def reset_it(self) -> None:
        """A person resets the circuit breaker."""
        self.failures.clear()
        self.breaker = None

    async def ledger_view(self, question: LedgerQuestion, incident: Incident) -> LedgerView:
        """All that the guards ask of the ledger."""
        view = await super().ledger_view(question, incident)
        restraints = Restraints(flag=self.around.halted, standing=self._standing(), civil=self.around.now)
        return view.model_copy(
            update={
                "restraints": restraints,
                "history": self.history(),
                "newest": self.newest(),
                "claim": self.foreign_claim or self.claim_,
                "recurred": self.recurred,
                "breaker": self.breaker,
                "budgets": tuple(one.budget for one in self.budgets_left()),
            }
        )

    def history(self) -> tuple[PastAttempt, ...]:
        """The attempts of the rule on the target; an undo is none."""
        opened_at = self.incident.progress.opened_at
        own = [
            PastAttempt(
                intended_at=one.intended_at,
                ended_at=one.ended_at,
                spent=one.outcome is not Outcome.NOT_DONE,
                same_ladder=opened_at is not None and one.intended_at >= opened_at,
                verdict=one.verdict,
            )
            for one in self.attempts.values()
            if one.undo_of is None and one.id == one.holder
        ]
        return (*own, *self.foreign)

    def level(self) -> Autonomy:
        """How far automation may go now, by all ceilings that speak."""
        current = Autonomy.OBSERVE if self.current is None else self.current.autonomy
        return min(self.rule.autonomy, current, self.promoted or Autonomy.SHADOW)


def others_claim() -> Claim:
    """Another incident's claim on the target."""
    return Claim(target=TARGET, attempt_id=uuid4(), incident_id=uuid4(), rule="Other", since=START)
