"""Whole incidents while everything around them happens: people, faults, limits, storms, silences, time.

The real `next_move`, `changes`, guards and `Perform` run on `tests.support.surroundings`. What must hold is
judged here from what truly was, not by the code that decided: at each intent, at each change, and when
everything has come to rest.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from responder.decide.case import Terms
from responder.decide.clock import Unsteady
from responder.decide.raising import RISES
from responder.model.attempt import Attempt, Outcome, PastAttempt, Verdict
from responder.model.autonomy import Autonomy
from responder.model.incident import ClosedAs, CommandKind, Incident, IncidentState
from responder.model.policy import EscalationPolicy, PolicyLevel
from responder.model.restraint import Restraint, RestraintKind
from responder.model.rule import Comparison, Notify, PageAfter, PageAt, PromqlProbe, Raise, Undo
from responder.model.severity import MANUAL_TERMS, Severity
from responder.model.storm import ACTING, Storm
from responder.model.timeline import EntryKind
from tests.support.surroundings import (
    BUDGETS,
    CAUSE,
    MAINTENANCE_OF_ONE,
    OneAlert,
    Recorded,
    Surroundings,
    WholeStore,
    others_claim,
)
from tests.support.virtual import START, drive_with, incident, ladder, perform_on

SOMETIMES = timedelta(minutes=5)
LEVELS = EscalationPolicy(levels=tuple(PolicyLevel(channels=(name,)) for name in ("chat", "phone", "boss")))
TERMS = Terms(
    severities={each: terms.model_copy(update={"policy": "usual"}) for each, terms in MANUAL_TERMS.items()},
    policies={"usual": LEVELS},
    hold_every=SOMETIMES,
    suppressed_every=SOMETIMES,
    verify_every=timedelta(seconds=15),
)
LONGEST = timedelta(hours=60)
"""Longer than any chain of deadlines of one incident that nobody touches."""
SILENT = {IncidentState.RECORDED, IncidentState.CLOSED}
PROBE = PromqlProbe.model_validate({"promql": "up", "is": Comparison(op="==", value=1)})
SECONDS = st.sampled_from([0, 1, 6, 16, 16, 31, 31, 61, 61, 61, 340, 340, 700, 4000, 20000])
ALSO = st.sampled_from(
    [
        *[""] * 5,
        "heard",
        *["ends"] * 4,
        "ends unheard",
        "joins",
        *["again"] * 2,
        "worse",
        "approve",
        "approve",
        *["acknowledge"] * 2,
    ]
)
"""What is not left out of any run: what becomes of the alerts, and answers to what is asked."""


def happens(**given: Any) -> Callable[[Callable[..., None]], Any]:
    """A rule after which something may become of the alerts, and time passes."""

    def with_time(function: Callable[..., None]) -> Any:
        @wraps(function)
        def happening(self: "Ladder", seconds: int, also: str, **drawn: Any) -> None:
            function(self, **drawn)
            self.become(also)
            self.wake()
            self.live(seconds)

        made: Any = rule(seconds=SECONDS, also=ALSO, **given)
        return made(happening)

    return with_time


TROUBLES: list[tuple[str, dict[str, Any]]] = [
    *[
        ("a_restraint", {"what": what, "lasts": 900})
        for what in ("halt", "freeze", "maintenance", "maintenance of one")
    ],
    *[("others", {"what": what}) for what in ("claimed", "spent", "breaks", "acted")],
    *[("a_fault", {"what": what}) for what in ("unsteady", "late", "unsure", "refuses", "die_after_effect")],
    ("the_source_and_the_probes", {"hangs": True, "silenced": False, "answer": True}),
    ("the_source_and_the_probes", {"hangs": False, "silenced": True, "answer": None}),
    ("the_rulebook", {"what": "gone"}),
    ("the_rulebook", {"what": "observe"}),
    ("a_storm", {"rages": True}),
    ("a_cause", {"opens": True}),
]
"""What may be so already when an incident opens: each in its turn stands before the very first step."""


def raises(severity: Severity, minutes: tuple[int, ...]) -> tuple[Raise, ...]:
    """One severity up after each of these times, as far as there is a worse one."""
    worse = list(reversed([one for one in Severity if one < severity]))
    return tuple(
        Raise(after=timedelta(minutes=after), to=to) for after, to in zip(minutes, worse, strict=False)
    )


class Ladder(RuleBasedStateMachine):
    """One incident."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.wrong: list[str] = []
        """What was found where an error would have been taken for one of the target's."""

    @initialize(
        steps=st.integers(1, 3),
        undo=st.sampled_from(list(Undo)),
        autonomy=st.sampled_from([*[Autonomy.AUTO] * 4, *[Autonomy.APPROVE] * 3, Autonomy.SHADOW]),
        severity=st.sampled_from(list(Severity)),
        source=st.sampled_from(["configured", "configured", "none"]),
        probed=st.booleans(),
        page=st.sampled_from([PageAt.ON_ESCALATION, PageAt.AT_ONCE, PageAfter(after=SOMETIMES)]),
        attempts=st.integers(1, 4),
        repeat=st.sampled_from([0, 0, 1, 2]),
        parts=st.sampled_from([1, 1, 2, 3]),
        wait_for=st.booleans(),
        rises=st.sampled_from([(), (), (10,), (10, 60), (60, 600)]),
        trouble=st.just(("time_passes", {})) | st.sampled_from(TROUBLES),
    )
    def it_is_opened(
        self,
        steps: int,
        undo: Undo,
        autonomy: Autonomy,
        severity: Severity,
        source: str,
        attempts: int,
        page: PageAt | PageAfter,
        rises: tuple[int, ...],
        trouble: tuple[str, dict[str, Any]],
        repeat: int = 0,
        parts: int = 1,
        *,
        probed: bool,
        wait_for: bool,
    ) -> None:
        """An incident of some rule is opened."""
        made = ladder(steps=steps, undo=undo, autonomy=autonomy, repeat=repeat, parts=parts)
        verify = made.verify
        assert verify is not None
        limits = made.limits.model_copy(update={"attempts": attempts})
        probes = (PROBE,) if probed else ()
        made = made.model_copy(
            update={
                "limits": limits,
                "verify": verify.model_copy(update={"probes": probes}),
                "notify": Notify(page=page),
                "raises": raises(severity, rises),
            }
        )
        self.world = Surroundings()
        self.world.lasting = parts > 1
        self.world.configured = source == "configured"
        deadline = START + timedelta(seconds=60 if wait_for else 0)
        opened = incident(severity=severity, deadline=deadline)
        self.store = WholeStore(self.world, made, opened)
        self.store.on_intent = self.judge_intent
        self.store.on_change = self.judge_change
        self.perform = perform_on(self.store, undoable=undo is not Undo.NEVER, terms=TERMS)
        self.persons = 0
        """How many words people have said."""
        self.most = self.store.level()
        """How far automation might ever have gone."""
        name, given = trouble
        getattr(self, name)(seconds=0, also="", **given)

    # --- time ------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """What happened outside makes it due."""
        due = self.store.incident.due_at
        if due is not None:
            woken = {"due_at": min(due, self.world.now), "wakes": self.store.incident.wakes + 1}
            self.store.incident = self.store.incident.model_copy(update=woken)

    def work(self) -> None:
        """The owner works on it until it has to wait; a death ends that process."""
        self.most = max(self.most, self.store.level())
        self.loop.run_until_complete(drive_with(self.perform, self.store, TERMS))

    def live(self, seconds: int, looks: int = 4) -> None:
        """Time passes; after some looks on time it is only looked at in the end, as after an outage."""
        until = self.world.now + timedelta(seconds=seconds)
        self.work()
        for _ in range(looks):
            due = self.store.incident.due_at
            if due is None or due > until:
                break
            self.world.now = max(self.world.now, due)
            self.work()
        self.world.now = max(self.world.now, until)
        self.work()

    # --- what happens ------------------------------------------------------------------------------------

    @happens()
    def time_passes(self) -> None:
        """And nothing else happens."""

    def become(self, what: str) -> None:
        """An alert ends, with or without a word; another joins, perhaps a worse one; a person answers."""
        alerts, known, now = self.world.alerts, self.store.incident, self.world.now
        match what:
            case "approve":
                asked = known.progress.question
                if known.state is IncidentState.AWAITING_APPROVAL and asked is not None:
                    self.persons += 1
                    self.store.say(CommandKind.APPROVE, "ada", question=asked.id)
            case "acknowledge" if known.progress.escalations:
                self.persons += 1
                self.store.say(CommandKind.ACKNOWLEDGE, "ada")
            case "ends":
                self.all_end()
            case "ends unheard":
                for one in alerts:
                    one.in_truth = False
            case "heard":
                for one in alerts:
                    one.seen_at = now if one.in_truth else one.seen_at
            case "joins" | "again" | "worse" if known.state is not IncidentState.CLOSED:
                alerts.append(OneAlert(len(alerts), seen_at=now))
                if what == "worse" and known.severity > Severity.P0:
                    worse = Severity(f"P{int(known.severity[1]) - 1}")
                    self.store.incident = known.model_copy(update={"severity": worse})
            case _:
                return

    @happens(
        hangs=st.sampled_from([False, False, True]),
        silenced=st.sampled_from([False, False, True]),
        answer=st.sampled_from([True, True, False, None]),
    )
    def the_source_and_the_probes(self, *, hangs: bool, silenced: bool, answer: bool | None) -> None:
        """Somebody silences it, the source hangs, the probes answer something else, or nothing."""
        self.world.hangs, self.world.silenced, self.world.answer = hangs, silenced, answer

    @happens(
        what=st.sampled_from(
            [
                "die_before_effect",
                "die_after_effect",
                "die_before_outcome",
                "unreachable",
                "unsure",
                "refuses",
                "broken",
                "late",
                "unsteady",
                "unreadable",
                "another release",
                "mended",
                "mended",
            ]
        )
    )
    def a_fault(self, what: str) -> None:
        """Of the process, of the target, of the ledger, or their end."""
        world, store = self.world, self.store
        match what:
            case "die_before_effect" | "die_after_effect":
                setattr(world, what, True)
            case "die_before_outcome":
                store.die_before_outcome = True
            case "unreachable":
                world.reachable = False
            case "unsure":
                world.unsure = "a"
            case "refuses" | "broken":
                setattr(world, what, True)
            case "late":
                world.late_s = 6
            case "unreadable":
                store.unreadable = True
            case "unsteady":
                world.unsteady = Unsteady(reason="by the test")
            case "another release":
                world.release = "v2" if world.release == "v1" else "v1"
            case _:
                self.mended()

    def mended(self) -> None:
        """All faults of process and target are over."""
        world, store = self.world, self.store
        world.die_before_effect = world.die_after_effect = store.die_before_outcome = False
        world.reachable, world.unsure, world.refuses, world.broken, world.late_s = True, None, False, False, 0
        world.present, store.unreadable, world.unsteady = {"a", "b"}, False, None

    @happens(
        kind=st.sampled_from(
            [
                *CommandKind,
                CommandKind.APPROVE,
                CommandKind.APPROVE,
                CommandKind.ACKNOWLEDGE,
                CommandKind.HAND_BACK,
            ]
        ),
        severity=st.sampled_from(list(Severity)),
        times=st.sampled_from([1, 1, 2]),
    )
    def a_person(self, kind: CommandKind, severity: Severity, times: int) -> None:
        """Says something, perhaps twice."""
        self.persons += 1
        asked = self.store.incident.progress.question
        for _ in range(times):
            match kind:
                case CommandKind.APPROVE | CommandKind.DECLINE:
                    self.store.say(kind, "ada", question=asked.id if asked else None)
                case CommandKind.CHANGE_SEVERITY:
                    self.store.say(kind, "ada", severity=severity)
                case CommandKind.CLOSE:
                    self.store.say(kind, "ada", closed_as=ClosedAs.DUPLICATE)
                case _:
                    self.store.say(kind, "ada")

    @happens(
        what=st.sampled_from(
            ["halt", "halt a part", "freeze", "maintenance", "maintenance of one", "over", "over", "over"]
        ),
        lasts=st.sampled_from([60, 900, 7200]),
    )
    def a_restraint(self, what: str, lasts: int) -> None:
        """Somebody halts, freezes, begins maintenance, or ends all of it."""
        match what:
            case "halt":
                self.world.halted = "by the test"
            case "halt a part":
                self.store.restrain(RestraintKind.HALT, None, *MAINTENANCE_OF_ONE)
            case "freeze":
                self.store.restrain(RestraintKind.FREEZE, lasts)
            case "maintenance":
                self.store.restrain(RestraintKind.MAINTENANCE, lasts)
            case "maintenance of one":
                self.store.restrain(RestraintKind.MAINTENANCE, lasts, *MAINTENANCE_OF_ONE)
            case _:
                self.world.halted, self.store.standing = None, []

    @happens(what=st.sampled_from(["gone", "observe", "approve", "tight", "back", "demoted", "promoted"]))
    def the_rulebook(self, what: str) -> None:
        """Is replaced, or a person promotes or demotes the rule."""
        pinned, store = self.store.rule, self.store
        match what:
            case "gone":
                store.current = None
            case "observe" | "approve":
                store.current = pinned.model_copy(update={"autonomy": Autonomy[what.upper()]})
            case "tight":
                limits = pinned.limits.model_copy(update={"attempts": 1})
                store.current = pinned.model_copy(update={"limits": limits})
            case "back":
                store.current = pinned
            case _:
                store.promoted = Autonomy.AUTO if what == "promoted" else Autonomy.SHADOW

    @happens(
        what=st.sampled_from(
            ["claimed", "free", "spent", "unspent", "breaks", "reset", "acted", "recurs", "released"]
        )
    )
    def others(self, what: str) -> None:
        """Other incidents use the target and the limits; a person resets or releases."""
        store, now = self.store, self.world.now
        match what:
            case "claimed":
                store.foreign_claim = others_claim() if store.claim_ is None else None
            case "free":
                store.foreign_claim = None
            case "spent" | "unspent":
                store.foreign_starts = [now] * BUDGETS.target if what == "spent" else []
            case "breaks":
                store.break_it()
            case "reset":
                store.reset_it()
            case "acted":
                past = PastAttempt(intended_at=now, ended_at=now, spent=True, same_ladder=False)
                store.foreign.append(past)
            case "recurs":
                store.recurred += 1
            case _:
                if store.claim_ is not None and store.claim_.quarantined:
                    store.claim_ = None

    @happens(rages=st.booleans())
    def a_storm(self, *, rages: bool) -> None:
        """Begins or ends."""
        self.store.storm = Storm(openings=TERMS.storm.openings) if rages else Storm()

    @happens(opens=st.booleans())
    def a_cause(self, *, opens: bool) -> None:
        """An incident that explains this one opens, or is over."""
        self.store.inhibitor = CAUSE if opens else None

    @happens(
        what=st.sampled_from(
            ["halt", "part", "ends", "claim", "breaks", "spent", "acted", "word", "cause", "cause"]
        )
    )
    def a_race(self, what: str) -> None:
        """Something happens between the judging of the next step and its intent."""
        store, world = self.store, self.world

        def race() -> None:
            match what:
                case "halt":
                    world.halted = "by the test"
                case "part":
                    store.restrain(RestraintKind.HALT, None)
                case "ends":
                    self.all_end()
                case "cause":
                    store.inhibitor = CAUSE
                case "claim":
                    store.foreign_claim = others_claim() if store.claim_ is None else None
                case "breaks":
                    store.break_it()
                case "spent":
                    store.foreign_starts = [world.now] * BUDGETS.target
                case "acted":
                    past = PastAttempt(
                        intended_at=world.now, ended_at=world.now, spent=True, same_ladder=False
                    )
                    store.foreign.append(past)
                case _:
                    store.say(CommandKind.ACKNOWLEDGE, "ada")

        store.race = race

    def all_end(self) -> None:
        """Told and true."""
        for one in self.world.alerts:
            one.fires = one.in_truth = False

    # --- what must hold: at each intent -------------------------------------------------------------------

    def hold(self, found: object, claim: str) -> None:
        """Note what does not hold; an error raised here would be taken for a move that failed."""
        if not found:
            self.wrong = [*self.wrong, f"{claim} ({self.store.incident.state})"][:3]

    def judge_intent(self, attempt: Attempt) -> None:
        """Everything that has to be so when an effect may start."""
        world, store = self.world, self.store
        begun = attempt.undo_of is not None or attempt.id != attempt.holder
        level = store.level()
        self.hold(world.halted is None, "no intent while halted, an undo neither")
        self.hold(not any(self.concerns(one) for one in store.standing), "none that a restraint concerns")
        self.hold(world.unsteady is None and not store.unreadable, "none by a clock or a ledger in doubt")
        self.hold(store.foreign_claim is None, "none on a target that another incident holds")
        self.hold(not store.commands, "a person's word comes first")
        running = [one for one in store.attempts.values() if one.outcome is Outcome.STARTED]
        self.hold(len(running) == 1, "at most one attempt is open")
        yes = store.attempts[attempt.holder].approval if attempt.undo_of is None else attempt.approval
        self.hold(level is Autonomy.AUTO or yes is not None, "less than auto needs a yes")
        self.hold(level >= Autonomy.APPROVE, "shadow has no effect")
        used = Counter(one.approval for one in store.attempts.values() if one.approval is not None)
        self.hold(all(times == 1 for times in used.values()), "an approval is used once")
        if attempt.undo_of is None and attempt.part is not None:
            self.judge_part(attempt)
        if not begun:
            self.judge_start()

    def judge_part(self, attempt: Attempt) -> None:
        """Of an `all:` one part comes after the other, each once, and none once it is taken back."""
        of_all = self.store.parts_of(attempt)
        spent = [one for one in of_all if one.outcome is not Outcome.NOT_DONE]
        before = [one for one in spent if one.id != attempt.id]
        self.hold(all(one.undo_of is None for one in before), "no part after one was taken back")
        self.hold(all(one.outcome is Outcome.DONE for one in before), "no part after one that is not done")
        in_order = [one.part for one in spent] == sorted({one.part or 0 for one in spent})
        self.hold(in_order, "each part once, in order")

    def judge_start(self) -> None:
        """What an undo may skip."""
        world, store, now = self.world, self.store, self.world.now
        members, limits = store.members, store.rule.limits
        if store.current is not None:
            limits = limits.tightened(store.current.limits)
        self.hold(members.firing > 0, "no intent where nothing fires")
        self.hold(store.inhibitor is None, "none while another incident explains it")
        if world.configured:
            self.hold(not world.hangs, "none while the source does not answer")
            self.hold(not world.silenced, "none while it is silenced")
            self.hold(world.firing, "none where the source knows of nothing that fires")
        else:
            heard = members.newest_seen_at
            self.hold(heard and now - heard <= TERMS.max_alert_age, "none on an old word")
        self.hold(self.taken() <= self.taken_at_most(), "no step is taken more often than it says")
        self.hold(store.breaker is None, "none while the breaker is open")
        raging = store.storm.raging(TERMS.storm)
        self.hold(not raging or store.incident.severity in ACTING, "in a storm only P0 and P1 act")
        others = [one for one in store.history() if one.ended_at is not None]
        spent = [one for one in others if one.spent and now - one.intended_at < limits.per]
        self.hold(len(spent) < limits.attempts, "no attempt beyond the limits")
        ends = [one.ended_at or one.intended_at for one in others if one.spent and not one.same_ladder]
        self.hold(all(now - end >= limits.cooldown for end in ends), "none before the cooldown is over")
        self.hold(len(store.foreign_starts) < BUDGETS.target or not self.lately(), "none beyond a budget")

    def taken(self) -> int:
        """How often this ladder has taken the step that it takes now."""
        opened_at, made = self.store.incident.progress.opened_at, list(self.store.attempts.values())
        mine = [one for one in made if opened_at is None or one.intended_at >= opened_at]
        first = [one for one in mine if one.undo_of is None and one.id == one.holder]
        spent = [one for one in first if one.outcome is not Outcome.NOT_DONE]
        return sum(one.step == made[-1].step for one in spent)

    def taken_at_most(self) -> int:
        """As its rule says."""
        return 1 + self.store.rule.steps[list(self.store.attempts.values())[-1].step].repeat

    def lately(self) -> bool:
        """Whether what others have spent is spent still."""
        return any(self.world.now - at < BUDGETS.within for at in self.store.foreign_starts)

    def concerns(self, one: Restraint) -> bool:
        """Whether a restraint stands and may be about any alert of this incident."""
        over = one.until is not None and self.world.now >= one.until
        if over:
            return False
        if one.kind is RestraintKind.MAINTENANCE:
            return not one.match or self.world.alerts[0].fires
        return True

    # --- what must hold: at each change -------------------------------------------------------------------

    def judge_change(self, done: Recorded) -> None:
        """The deadline, the level, the explanation, and what may end an incident."""
        before, change = done.before, done.change
        self.most = max(self.most, self.store.level())
        self.judge_deadline(done)
        self.judge_level(done)
        self.judge_severity(done)
        if change.state is not before.state:
            self.hold(explains(done), f"an entry explains {before.state} -> {change.state}")
        if change.state is not before.state and change.state in {
            IncidentState.RESOLVED,
            IncidentState.CLOSED,
        }:
            by_person = change.command is not None
            self.hold(by_person or self.store.members.firing == 0, "it ends only with no firing member")
        verdict = change.verdict.verdict if change.verdict else None
        if verdict is Verdict.RECOVERED or (
            before.state is IncidentState.VERIFYING and change.state is IncidentState.RESOLVED
        ):
            self.judge_recovery(before)
        if change.quarantine is not None:
            self.hold(bool(change.notices), "a quarantine is told to people")
        waits = before.state in {
            IncidentState.PENDING,
            IncidentState.HELD,
            IncidentState.AWAITING_APPROVAL,
            IncidentState.SUPPRESSED,
        }
        if self.store.inhibitor is not None and waits and change.command is None:
            told = [one for one in change.notices if one.level > 0]
            self.hold(not told, "nobody is told of what another incident explains")
            late = change.deadline is not None and change.deadline > done.at + timedelta(hours=24)
            resting = change.state is IncidentState.SUPPRESSED
            self.hold(not (resting and late), "it is judged anew within a day")
        acted = bool(self.store.attempts)
        if self.most <= Autonomy.SHADOW and not self.persons and not acted:
            late = any("open for" in one.text or "cannot go on" in one.text for one in change.notices)
            first = len(self.store.told) == len(change.notices)
            self.hold(not change.notices or late or not first, "shadow never pages because nothing was done")

    def judge_deadline(self, done: Recorded) -> None:
        """Every state but closed has one, and is looked at by then."""
        change = done.change
        if change.state is IncidentState.CLOSED:
            self.hold(change.due_at is None, "closed waits for nothing")
            return
        self.hold(change.deadline is not None and change.due_at is not None, "every state has a deadline")
        if change.deadline is None or change.due_at is None:
            return
        latest = max(change.deadline, done.at)
        if change.state is IncidentState.VERIFYING:
            latest += timedelta(seconds=30) + 2 * TERMS.verify_every
        if change.state is IncidentState.RECORDED and self.store.members.firing:
            return  # it stays recorded as long as it fires
        self.hold(change.due_at <= latest, "no wait outlives the state's deadline")
        self.hold(
            change.progress.hold is None or change.progress.hold.until <= change.progress.hold.deadline,
            "no wait outlives the hold's deadline",
        )

    def judge_level(self, done: Recorded) -> None:
        """Up only; and not while it is acknowledged and nothing is new."""
        before, change = done.before, done.change
        self.hold(change.progress.escalations >= before.progress.escalations, "the level never decreases")
        known = before.progress
        quietly = (
            known.acknowledged_by is not None
            and before.state is not IncidentState.TAKEN_OVER
            and change.command is None
            and known.covered_members == self.store.members.total
            and known.told_severity == before.severity
        )
        if quietly:
            self.hold(change.progress.escalations == known.escalations, "what is acknowledged does not climb")

    def judge_severity(self, done: Recorded) -> None:
        """By time it only rises, to what the rule says, not before its time, and not against a person."""
        before, change = done.before, done.change
        if change.severity is None:
            return
        raised = [one for one in change.entries if "raised_after" in one.facts]
        by_person = [one for one in change.entries if one.facts.get("command") == "change_severity"]
        self.hold(raised or by_person, "an entry says why it is as bad as that")
        if not raised:
            return
        said = [one for one in self.store.log if one.change.severity and one.change.command]
        self.hold(not said, "a person's word on how bad it is stands above the rule's")
        self.hold(change.severity < before.severity, "time makes it worse, never better")
        due = [one.to for one in self.store.rule.raises if one.after <= self.lived(done.at)]
        self.hold(change.severity in due, "it rises to what the rule says, not before its time")
        heard = change.notices or change.progress.page_at is not None or change.due_at == done.at
        self.hold(heard, "people are told")

    def lived(self, at: datetime) -> timedelta:
        """For how long it has been open, less the time suppressed: from what was recorded."""
        log = self.store.log
        opened = [
            one.at
            for one in log
            if any(entry.kind is EntryKind.OPENED for entry in one.change.entries)
            or (one.before.state is IncidentState.RECORDED and one.change.state is IncidentState.OPEN)
        ]
        since, quiet, began = (opened or [at])[-1], timedelta(0), None
        for one in log:
            suppressed = one.change.state is IncidentState.SUPPRESSED
            if one.at >= since and suppressed and began is None:
                began = one.at
            if began is not None and not suppressed:
                quiet, began = quiet + (one.at - began), None
        return at - since - quiet

    def judge_recovery(self, before: Incident) -> None:
        """Every look of the last `stable_for` was good, and there was one before it."""
        verify, now = self.store.rule.verify, self.world.now
        running = before.progress.verification
        assert verify is not None
        assert running is not None
        since = now - verify.stable_for
        looks = [(at, good) for at, good in self.world.looks if at >= running.started_at]
        self.hold(self.store.members.firing == 0, "recovered means that nothing fires")
        if self.world.configured or verify.probes:
            lately = [good for at, good in looks if at > since]
            self.hold(all(lately), "recovered only after everything was good for stable_for")
            self.hold(any(good for at, good in looks if at <= since), "it was good stable_for ago")

    # --- what must hold: at any time ----------------------------------------------------------------------

    @invariant()
    def nothing_is_wrong(self) -> None:
        """See the judges."""
        assert not self.wrong, self.wrong

    @invariant()
    def effects_are_those_of_an_attempt_and_happen_once(self) -> None:
        """Each (attempt, element) at most once."""
        if not hasattr(self, "store"):
            return
        counts = Counter(self.world.effects)
        assert all(times == 1 for times in counts.values())
        for by, element in counts:
            assert element in {one.key for one in self.store.attempts[by].elements}

    @invariant()
    def what_holds_a_target_can_be_released(self) -> None:
        """It runs, is verified, is to be taken back, or a person sees it and can release it."""
        if not hasattr(self, "store"):
            return
        held, now = self.store.claim_, self.store.incident
        if held is None or held.quarantined or now.state is IncidentState.REMEDIATING:
            return
        running = now.progress.verification
        verified = running is not None and running.attempt_id == held.attempt_id
        back = self.store.attempts.get(now.progress.take_back) if now.progress.take_back else None
        owed = now.state is IncidentState.OPEN and back is not None and back.holder == held.attempt_id
        group = now.progress.group
        goes_on = now.state is IncidentState.OPEN and group is not None and group.first == held.attempt_id
        assert owed or goes_on or (now.state is IncidentState.VERIFYING and verified), now.state

    @invariant()
    def what_was_to_rise_by_now_has_risen(self) -> None:
        """After the owner has worked on it, unless a person has said how bad it is."""
        if not hasattr(self, "store") or self.dying:
            return
        now, said = self.store.incident, [one for one in self.store.log if one.change.command]
        if now.state not in RISES or not self.store.members.firing:
            return
        if any(one.change.severity for one in said):
            return
        due = [one.to for one in self.store.rule.raises if one.after < self.lived(self.world.now)]
        assert all(to >= now.severity for to in due), (now.severity, due)

    @invariant()
    def its_deadline_has_made_its_move(self) -> None:
        """After the owner has worked on it no deadline is over."""
        if not hasattr(self, "store"):
            return
        now = self.store.incident
        if now.deadline is None or now.state in {IncidentState.VERIFYING, IncidentState.REMEDIATING}:
            return
        if now.state is IncidentState.RECORDED and self.store.members.firing:
            return
        assert now.deadline > self.world.now or self.dying, (now.state, now.deadline, self.world.now)

    @property
    def dying(self) -> bool:
        """Whether the process died while it worked on it: then it is due still."""
        due = self.store.incident.due_at
        return due is not None and due <= self.world.now

    # --- what must hold: when everything comes to rest ----------------------------------------------------

    def teardown(self) -> None:
        """All faults stop, and people say nothing: a person is told, or it comes to rest."""
        try:
            if hasattr(self, "store"):
                self.rest()
        finally:
            self.loop.close()

    def rest(self) -> None:
        """Left alone: first it still fires, then it ends."""
        world, store = self.world, self.store
        self.mended()
        world.halted, world.unsteady, world.hangs, world.silenced, store.race = None, None, False, False, None
        store.standing, store.foreign_claim, store.storm = [], None, Storm()
        store.inhibitor = None
        since, until = world.now, world.now + LONGEST
        self.wake()
        self.run_on_to(until, told_since=since)
        if store.members.firing > 0:
            assert self.told(since) or store.incident.state in SILENT, store.incident.state
        self.all_end()
        self.wake()
        self.run_on_to(world.now + LONGEST)
        assert store.incident.state is IncidentState.CLOSED, store.incident.state
        assert store.claim_ is None or store.claim_.quarantined
        assert not self.wrong, self.wrong

    def told(self, since: datetime) -> bool:
        """Whether a person was told that something is to be done."""
        return any(at >= since and notice.level > 0 for at, notice in self.store.told)

    def run_on_to(self, until: datetime, told_since: datetime | None = None) -> None:
        """Each look on time, until people are told where that is enough."""
        self.work()
        for _ in range(1000):
            due = self.store.incident.due_at
            if due is None or due > until or (told_since is not None and self.told(told_since)):
                break
            self.world.now = max(self.world.now, due)
            self.work()
        else:
            raise AssertionError(f"it does not come to rest: {self.store.incident.state}")


def explains(done: Recorded) -> bool:
    """Whether the entries of a change say where it went."""
    to = done.change.state
    for entry in done.change.entries:
        match entry.kind:
            case EntryKind.STATE if entry.facts.get("to") == to.value:
                return True
            case EntryKind.ESCALATION if to is IncidentState.ESCALATED:
                return True
            case EntryKind.INTENT if to is IncidentState.REMEDIATING:
                return True
            case EntryKind.OPENED if to is IncidentState.OPEN:
                return True
            case EntryKind.PERSON if to is IncidentState.TAKEN_OVER:
                return True
            case _:
                continue
    return False


TestLadder = Ladder.TestCase
TestLadder.settings = settings(report_multiple_bugs=False)


@pytest.mark.parametrize(("later", "parts"), [(False, 1), (True, 1), (True, 2)])
@pytest.mark.parametrize(
    ("source", "severity"), [("configured", Severity.P1), ("configured", Severity.P2), ("none", Severity.P2)]
)
@pytest.mark.parametrize(("name", "given"), TROUBLES)
def test_each_trouble_before_the_first_step_and_before_its_undo(
    name: str, given: dict[str, Any], source: str, severity: Severity, parts: int, *, later: bool
) -> None:
    """What stands is judged at the very next intent, of a step or of an undo; then all faults stop."""
    machine = Ladder()
    machine.it_is_opened(
        steps=2,
        undo=Undo.IF_NOT_RECOVERED,
        autonomy=Autonomy.AUTO,
        severity=severity,
        source=source,
        probed=False,
        page=PageAt.ON_ESCALATION,
        attempts=2,
        wait_for=False,
        rises=(),
        parts=parts,
        trouble=("time_passes", {}) if later else (name, given),
    )
    if later:
        machine.world.present = {"a", "b"}
        getattr(machine, name)(seconds=0, also="", **given)
    for seconds in (61, 340, 700):
        machine.live(seconds)
    machine.nothing_is_wrong()
    machine.what_holds_a_target_can_be_released()
    machine.teardown()
