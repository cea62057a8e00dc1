"""What the engine needs of the world, as Protocols. Everything that implements one stands below `engine`.

Times are service time (`Store.now`, aware, UTC). Errors are those of `model.errors`: `StoreAwayError` when
PostgreSQL does not answer, `DeposedError` when the lease is lost.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar
from uuid import UUID

from responder.decide.case import (
    Case,
    Change,
    Finding,
    IntentLost,
    LedgerQuestion,
    LedgerView,
    ProbeReading,
    SourceView,
)
from responder.decide.clock import Agreement, ClockJump
from responder.decide.fold import AlertRecord
from responder.decide.schedules import Due
from responder.model.alert import (
    Alert,
    AlertKey,
    Delivery,
    Heard,
    Observation,
    Receipt,
    Rejected,
    Retried,
    SourcePosition,
)
from responder.model.anchor import AnchorCheck
from responder.model.attempt import Attempt, Claim, ElementOutcome, Intent, Owed, Quarantined
from responder.model.autonomy import Autonomy
from responder.model.base import Frozen, canonical_json
from responder.model.breaker import Breaker
from responder.model.budget import Start
from responder.model.by_hand import ByHand
from responder.model.guard import RulingWord
from responder.model.incident import Command, Incident, MemberAlert, Members
from responder.model.inhibition import Inhibitor, Inhibits
from responder.model.matcher import Matcher
from responder.model.notification import ChannelStanding, Notification
from responder.model.restraint import Restraint, RestraintKind, Restraints
from responder.model.rule import Probe, Rule, Rulebook, StepKind
from responder.model.schedule import PlanStanding, RunReport, ScheduledRun, ScheduleStanding
from responder.model.severity import Severity
from responder.model.source import PeerReport, SourceStanding
from responder.model.storm import Storm
from responder.model.target import Element, State, Target
from responder.model.timeline import Entry

P_contra = TypeVar("P_contra", bound=Frozen, contravariant=True)
S = TypeVar("S", bound=State)


class Intake(Protocol):
    """The only way in."""

    def admit(self) -> None:
        """Whether a delivery would be admitted now; for whoever has not read it yet.

        Raises:
            OverloadedError: the queue is full, or the process is stopping.
            StoreAwayError: the database is known to be away.
        """
        ...

    async def take(self, delivery: Delivery) -> Receipt:
        """Store a delivery and all that follows from it; returns after COMMIT.

        Raises:
            OverloadedError: the queue is full; nothing was stored.
            StoreAwayError: the database is away, or did not store it in time; as far as is known, nothing
                was stored.
        """
        ...


class Action(Protocol[P_contra, S]):
    """One kind of thing that can be done; see docs/actions.md.

    A read-only action stops after `look`: the state is the evidence. All others are taken through
    resolve, look, pin, refuse, the guards, the intent and `run` for each pinned element.
    """

    name: ClassVar[str]
    kind: ClassVar[StepKind]
    deadline: ClassVar[timedelta]
    """The default timeout of a step, and the server-side limit of one effect."""
    fenced: ClassVar[bool]
    """Whether the effect is fenced at the target: it cannot start later than its own statement says."""
    Params: ClassVar[type[Frozen]]
    relative: ClassVar[frozenset[str]]
    """The parameters that a rule may give relative to what is there, `{by: +2, ceiling: 10}`.

    Until the look has said what is there such a parameter is at its bound: neither `resolve` nor `look` may
    go by it. All that follows has the number that it came to.
    """

    def resolve(self, params: P_contra) -> tuple[Target, ...]:
        """The targets, from the inventory. Raises RefusedError where none or several fit."""
        ...

    async def look(self, params: P_contra, target: Target) -> S:
        """A fresh state. Raises TemporaryError where the target does not answer."""
        ...

    def present(self, state: S) -> Mapping[str, int]:
        """What the parameters that may be `relative` are now, by a fresh look."""
        ...

    def pin(self, params: P_contra, state: S) -> tuple[Element, ...]:
        """The elements that the effect would hit. Never truncated."""
        ...

    def at_most(self, params: P_contra) -> int:
        """How many elements are allowed; more refuse the step."""
        ...

    def refuse(self, params: P_contra, state: S) -> str | None:
        """The action's own floors and ceilings: why it will not, in words, or None."""
        ...

    async def run(
        self, target: Target, element: Element, params: P_contra, state: S, attempt_id: UUID
    ) -> ElementOutcome:
        """One effect on one pinned element. An exception counts as unknown."""
        ...

    async def happened(self, attempt: Attempt) -> tuple[ElementOutcome, ...]:
        """For each element of an attempt without outcome: done, not done or unknown."""
        ...

    def undo(self, params: P_contra, state_before: Mapping[str, Any]) -> "UndoStep | None":
        """The inverse as another step, or None where there is none."""
        ...

    def consent(self, params: P_contra, state: S) -> Mapping[str, Any]:
        """The facts that an approval is bound to: not what changes every second.

        The action, its target and its parameters are bound in any case; the elements as an upper bound.
        """
        ...


@dataclass(frozen=True, slots=True)
class UndoStep:
    """An inverse: another action with its parameters."""

    action: str
    params: Mapping[str, Any]


class Attempts(Protocol):
    """The ledger, for an action that says at its target who made what is there."""

    async def attempt(self, attempt_id: UUID) -> Attempt | None:
        """One attempt, with its rule and its incident."""
        ...


class Actions(Protocol):
    """The actions by name, built on first use with the clients that they need."""

    def get(self, name: str) -> Action[Any, Any]:
        """The action. Raises PermanentError where there is none of that name."""
        ...


class Probes(Protocol):
    """Asks one probe."""

    async def ask(self, probe: Probe, labels: Mapping[str, str]) -> ProbeReading:
        """The answer; what cannot be asked or is empty is `holds=None`, never an exception."""
        ...


class AlertState(Protocol):
    """Asks the sources what they know of alerts."""

    async def ask(
        self, members: Sequence[MemberAlert], *, fresh: bool, incident: UUID | None = None
    ) -> SourceView:
        """What the sources' APIs say of these members, all together.

        `fresh` forbids the cache (at most 5 s). A silence that was made for `incident` does not count. Never
        raises: what did not answer is in `problem`.
        """
        ...

    async def standings(
        self, source: str, labels: Mapping[str, Mapping[str, str]]
    ) -> Mapping[str, bool] | None:
        """For each fingerprint (with its labels) of one source: does it fire?

        None where no API is configured or not enough peers answered; a fingerprint is left out of the
        answer where nobody can say.
        """
        ...


class Listed(NamedTuple):
    """One alert of a peer's list, by our fingerprint; None as `alert` where it cannot be kept."""

    fingerprint: str
    alert: Alert | None


class PeerList(Protocol):
    """One peer of a source, asked for all the alerts that it knows as not ended."""

    whole_labels: bool
    """Whether it lists alerts with all their labels, so that they are found by fingerprint alone."""

    async def read(self, take: Callable[[Sequence[Listed]], Awaitable[None]]) -> PeerReport:
        """Give the list to `take`, slice by slice, and then say how far it can be believed. Never raises."""
        ...

    def same(self, found: Mapping[str, str], held: Mapping[str, str]) -> bool:
        """Whether an alert that it lists with these labels is the one that we hold with those."""
        ...


class Channel(Protocol):
    """One way to people."""

    name: str
    per_minute: int | None
    """How many are sent in a minute at most, by all replicas together; None for as many as there are."""
    at_once: int
    """How many this process sends at the same time."""
    timeout: timedelta
    """How long one may take."""

    async def send(self, notification: Notification) -> None:
        """Deliver one; returns when the other side has it.

        Raises:
            TemporaryError: it did not take it now; `delay` is the least pause that it asks for.
            PermanentError: it will not take it.
        """
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class Dispatch(Protocol):
    """Sends what is in the outbox."""

    def wake(self) -> None:
        """Words were stored a moment ago. What nobody says is found by polling."""
        ...


@dataclass(frozen=True, slots=True)
class Taking:
    """How much may be taken for a channel: its pace, how many at once, and for how long they are held."""

    per_minute: int | None
    at_once: int
    hold_for: timedelta


@dataclass(frozen=True, slots=True)
class Undelivered:
    """Why one was not delivered. `final`: it never will be. The channel rests for `pause` at least."""

    error: str
    final: bool
    again_in: timedelta
    pause: timedelta
    give_up_after: timedelta


class Outbox(Protocol):
    """Words to people that wait to be delivered. The owner of an incident writes them with `Store.record`."""

    async def enter(self, channels: Sequence[str]) -> None:
        """Make these channels known."""
        ...

    async def take(self, channel: str, worker_id: UUID, taking: Taking) -> Sequence[Notification]:
        """What is to be sent now, the worst first; nobody else is given it for `hold_for`.

        Of one incident nothing is given while something earlier of it waits. Beyond the channel's pace
        nothing is given until the minute is over; what was left over then comes as one summary.
        """
        ...

    async def delivered(self, notification: Notification) -> None:
        """It has reached its channel, and so has all that it is a summary of."""
        ...

    async def undelivered(self, notification: Notification, worker_id: UUID, why: Undelivered) -> bool:
        """It waits for its next try; True where it is given up, and all that it is a summary of."""
        ...

    async def give_back(self, worker_id: UUID) -> None:
        """What this process took and did not end may be sent by others now."""
        ...

    async def give_up_unknown(
        self, channels: Sequence[str], give_up_after: timedelta
    ) -> Sequence[Notification]:
        """Give up what has waited so long for another channel than these; which they were."""
        ...

    async def standings(self, channels: Sequence[str]) -> tuple[datetime, Sequence[ChannelStanding]]:
        """How these channels stand, and others for which something waits; and service time."""
        ...

    async def expire(self, kept_for: timedelta) -> int:
        """Remove what was delivered or given up so long ago; how many they were."""
        ...


class EmergencyPage(Frozen):
    """A P0 alert of which there is no record: everything that a person must know to begin.

    Labels and annotations no larger than a receiver takes.
    """

    source: str
    fingerprint: str
    rule: str
    runbook_url: str | None
    owner: str | None
    labels: dict[str, str]
    annotations: dict[str, str]
    starts_at: datetime
    generator_url: str


class EmergencyPager(Protocol):
    """Tells people without a store."""

    def page(self, page: EmergencyPage) -> None:
        """Ask for a page, or for none where one was sent for this alert in the last 15 minutes.

        Neither waits nor raises.
        """
        ...


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to make moves for one incident, until `give_up` or until the epoch moves on."""

    incident_id: UUID
    worker_id: UUID
    epoch: int


IncidentKey = tuple[str, bytes]
"""Rule and SHA-256 of the canonical group values: what incidents are locked in the order of."""


@dataclass(frozen=True, slots=True)
class Leased:
    """A lease, and the case as it stood when it was taken; None where that has to be loaded."""

    lease: Lease
    case: Case | None


@dataclass(frozen=True, slots=True)
class NewIncident:
    """What intake wants opened or joined: the incident of (rule, key), for these alerts."""

    rule: str
    rulebook_hash: str
    key: Mapping[str, str]
    severity: Severity
    pending_for: timedelta
    members: tuple[AlertKey, ...]
    key_text: str = field(init=False)
    """The key as canonical JSON."""
    identity: IncidentKey = field(init=False)

    def __post_init__(self) -> None:
        """Made once: an incident that is wanted once is wanted for each of its alerts."""
        object.__setattr__(self, "key_text", canonical_json(dict(self.key)))
        object.__setattr__(self, "identity", (self.rule, sha256(self.key_text.encode()).digest()))


Wanted = Mapping[str, tuple[NewIncident, ...]]
"""By fingerprint: the incidents that an alert opens or joins if it begins, one of each rule that takes it."""


@dataclass(frozen=True, slots=True)
class Unmatched:
    """An open episode that belongs to no incident."""

    key: AlertKey
    labels: Mapping[str, str]
    starts_at: datetime


@dataclass(frozen=True, slots=True)
class UnmatchedPage:
    """What was found among some open episodes, and the last that was looked at; None after the very last."""

    found: Sequence[Unmatched]
    last: AlertKey | None


Numbered = tuple[int, Heard]
"""What is said of an alert, and by which delivery of its transaction."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What one statement of intake led to: incidents concerned and opened, how many wait for a worker.

    `left_over`: the fingerprints of what has to be folded, and is not stored.
    """

    incidents: tuple[UUID, ...]
    opened: tuple[NewIncident, ...]
    due: int
    left_over: frozenset[str]


class IntakeTransaction(Protocol):
    """One transaction of the one writer. Call in this order; leaving the context commits."""

    now: datetime
    """Service time of this transaction: `received_at` of everything in it."""

    async def advance(self, source: str, position: SourcePosition) -> None:
        """Move a stream's position. Raises DeposedError where the stored one is not the expected one."""
        ...

    due: int
    """How many incidents this transaction left to a worker now; said when it is committed."""

    async def lock_alerts(
        self, keys: Sequence[AlertKey], heard: Mapping[AlertKey, Heard] | None = None
    ) -> Mapping[AlertKey, AlertRecord]:
        """The stored records of these alerts, locked in key order; unknown alerts are left out.

        What is `heard` of them in this transaction saves reading what was said before in the same words.
        """
        ...

    async def lock_incidents(self, wanted: Sequence[NewIncident]) -> None:
        """Lock in key order whatever more than one `open_or_join` of this transaction can open, join or wake.

        Before the first of them: each locks in key order only what it concerns itself.
        """
        ...

    async def history(self, key: AlertKey) -> Sequence[Observation]:
        """All journal rows of one alert, in journal order."""
        ...

    async def write_journal(self, rows: Sequence[Observation]) -> None:
        """Append observations with what is written next; a row that is there already changes nothing."""
        ...

    async def write_alerts(self, records: Sequence[AlertRecord]) -> None:
        """Store what the fold says now, and bring the episodes of members up to date.

        Incidents of episodes that began or ended are made due now.
        """
        ...

    async def write_dead_letters(self, source: str, rejected: Sequence[Rejected]) -> None:
        """Keep what could not be used, with its reason; and that alerts of the source were missed."""
        ...

    async def take_back(self, retried: Retried) -> None:
        """Remove dead letters that are stored as alerts now, and record who retried them."""
        ...

    async def open_or_join(self, wanted: Sequence[NewIncident]) -> Sequence[UUID]:
        """Open or join incidents in key order, add the open episodes as members, make them due now."""
        ...


class Store(Protocol):
    """Everything durable."""

    async def now(self) -> datetime:
        """`service_time()` of the database; by this process's clock while the wall clock is in doubt."""
        ...

    async def make_sure_of_room(self) -> None:
        """Whether what is stored now finds room, as far as can be known without storing it.

        Raises:
            StoreFullError: the database's disk is full.
            StoreAwayError: it does not answer.
        """
        ...

    async def agree_on_clock(self) -> Agreement:
        """Ask the processes that live whether the database's clock is the one that they know.

        Before a process that has just started goes by it, in whatever it writes.
        """
        ...

    async def watch_clock(self, worker_id: UUID) -> ClockJump | None:
        """Compare the database's clock with this process's own; where the former jumped, keep service time.

        The jump is answered once, when it is known whose it was.
        """
        ...

    def intake(
        self, keys: Sequence[AlertKey] = (), heard: Mapping[AlertKey, Heard] | None = None
    ) -> AbstractAsyncContextManager[IntakeTransaction]:
        """The intake transaction; commits at the end of the block, rolls back on an exception.

        Alerts given here are locked as `lock_alerts` does, with the statement that asks the time.
        """
        ...

    async def take_in(self, source: str, said: Mapping[str, Sequence[Numbered]], wanted: Wanted) -> Taken:
        """Store what is said of alerts of one source, and all that follows, in one statement.

        By fingerprint: what is said of each, once or several times in the same words; the numbers say in
        which order it was received. Only what needs no folding is stored: alerts that are new, or fire on, or
        end, or fire anew after that. `left_over` has the others, of which nothing is stored. `wanted` has the
        incidents that those with a rule open or join where they begin.
        """
        ...

    async def standing(
        self, rules: Sequence[str], keys: Sequence[IncidentKey], at_most: int
    ) -> tuple[Mapping[str, int], AbstractSet[IncidentKey]]:
        """How many incidents of each rule are open, counted up to `at_most`; and which of the keys are.

        Open is what is neither resolved nor closed; a key is as long as an alert of it joins an incident.
        """
        ...

    async def storm(self) -> Storm:
        """Whether a storm rages now, and which umbrella incident tells of it."""
        ...

    async def inhibitor(self, wanted: Sequence[Inhibits]) -> Inhibitor | None:
        """The incident under way that inhibits, of all that would; None where there is none."""
        ...

    async def contested(self, limit: int) -> Sequence[AlertRecord]:
        """Alerts whose firing waits for the source's word, the oldest contest first."""
        ...

    async def unmatched_open(self, looked_at: int, after: AlertKey | None = None) -> UnmatchedPage:
        """Of so many open episodes, in the order of their keys, those that belong to no incident.

        Looked at are those after `after`: so a round costs the same, however many have an incident.
        """
        ...

    # Ownership ---------------------------------------------------------------------------------------

    async def register(self, worker_id: UUID, host: str, roles: Sequence[str]) -> None:
        """Make this process known as a worker."""
        ...

    async def heartbeat(self, worker_id: UUID) -> bool:
        """Renew, on a connection that nothing else uses. False: this worker was deposed."""
        ...

    async def unregister(self, worker_id: UUID) -> None:
        """Give up everything that this worker leases."""
        ...

    async def lease(self, worker_id: UUID) -> Leased | None:
        """The most urgent due incident that nobody alive owns, its epoch raised by one; or None."""
        ...

    async def give_up(self, lease: Lease) -> None:
        """End a lease without a change."""
        ...

    async def give_up_others(self, worker_id: UUID, known: Sequence[UUID]) -> None:
        """End every lease of this worker but those on the incidents that it knows of."""
        ...

    async def postpone(self, lease: Lease, delay: timedelta) -> None:
        """Make a leased incident due so much later, whatever it was due for. Raises DeposedError."""
        ...

    # The owner's view and its changes ------------------------------------------------------------------

    async def load(self, lease: Lease) -> Case:
        """The case as it stands now. Raises DeposedError."""
        ...

    async def record(self, lease: Lease, case: Case, change: Change, *, ends: bool = False) -> bool:
        """Write a change, its timeline entries and its ledger rows in one transaction.

        Nothing that happened while the owner was thinking is slept over: where `wakes` is no longer what the
        case says, a command or a finding makes it due now, and news of members as soon as they always do.
        With `ends` the lease is given up by the same transaction. What `decide.run_on.has_to_last` is on disk
        before this returns. False: `change.quiet` did not hold, nothing was written.

        Raises:
            DeposedError: the lease is lost, nothing was written.
        """
        ...

    async def commit_intent(
        self, lease: Lease, intent: Intent, change: Change, *, after: int | None = None
    ) -> Attempt | IntentLost:
        """Check what may have changed since the step was judged; write attempt, claim and change.

        Looked at again are epoch, heartbeat, halt, clock, firing members, commands, the claim, attempts that
        the limits were not judged by, restraints that are not among `intent.restraints`, the rule's breaker,
        the budgets and what would inhibit it (`intent.inhibits`). It is on disk before this returns, whatever
        was recorded before it as well. `after` is how many entries the timeline has by then, as the owner
        knows it.

        An undo (`intent.undo_of`) needs no firing member, passes limits, breaker, budgets and inhibitors, and
        takes over the claim of what it undoes.
        """
        ...

    async def open_umbrella(self, pending_for: timedelta) -> None:
        """Open the storm's umbrella incident, or wake the one of a storm that was over a short while ago.

        There is one, however many replicas open it.
        """
        ...

    async def add_finding(self, incident_id: UUID, finding: Finding) -> None:
        """Keep one piece of evidence and make the incident due."""
        ...

    async def ledger_view(self, question: LedgerQuestion, incident: Incident) -> LedgerView:
        """What was tried before and how it went, what goes on elsewhere, what keeps all from starting."""
        ...

    async def alerts_named(self, alertname: str) -> Sequence[AlertKey]:
        """The alerts of that alertname that fire. Looks at all that fire."""
        ...

    async def heard_of(self, keys: Sequence[AlertKey]) -> Mapping[AlertKey, datetime]:
        """The newest word that each of these alerts fires; those that are not known are left out."""
        ...

    async def restraints(self) -> Restraints:
        """Every halt, freeze and maintenance window that stands. What cannot be read counts as halted."""
        ...

    async def follow_restraints(self, told: Callable[[Restraints], None]) -> None:
        """Tell what stands, now and at once when somebody halts or resumes; ends only by an error.

        Raises:
            StoreAwayError: nobody can be heard any more.
        """
        ...

    async def promotion(self, rule: str, acting_hash: str) -> Autonomy | None:
        """How far this acting part was promoted; None where nobody did."""
        ...

    async def ground(self) -> tuple[str, ...]:
        """The systems that carry the store itself."""
        ...

    # Rulebooks -----------------------------------------------------------------------------------------

    async def activate(self, rulebook: Rulebook, origin: str) -> None:
        """Store a rulebook and make it the active one for all replicas."""
        ...

    async def active_hash(self) -> str | None:
        """The hash of the active rulebook: what is asked every second."""
        ...

    async def active_rulebook(self) -> Rulebook | None:
        """The active rulebook."""
        ...


@dataclass(frozen=True, slots=True)
class Round:
    """The right to ask a source for all its alerts once; `at` is service time, before it is asked."""

    source: str
    worker_id: UUID
    epoch: int
    at: datetime


@dataclass(frozen=True, slots=True)
class RoundEnd:
    """What came of a round. `problem` says why it was not complete, in words."""

    peers: tuple[PeerReport, ...]
    taken_in: int
    gone: int
    problem: str | None


class Rounds(Protocol):
    """Whose turn it is to ask a source for all its alerts, and what is compared with its answer."""

    async def enter(self, sources: Sequence[str]) -> None:
        """Make these sources known as ones that can be asked; the first round is due now."""
        ...

    async def standing(self, source: str) -> SourceStanding:
        """How asking one source stands."""
        ...

    async def begin(self, source: str, worker_id: UUID, next_in: timedelta) -> Round | None:
        """Begin a round, and make the next one due; None where it is another live worker's turn.

        The turn stays a worker's until it gives it up or its heartbeat is too old. The epoch rises with each
        new one.
        """
        ...

    async def end(self, begun: Round, end: RoundEnd) -> bool:
        """Keep what came of a round. A complete one closes the source's gap, where nothing was missed since.

        False: the turn is another worker's by now, nothing was kept.
        """
        ...

    async def leave(self, worker_id: UUID) -> None:
        """Give up every turn of this worker."""
        ...

    async def held(self, source: str) -> Mapping[str, datetime]:
        """The alerts of a source that fire by our record: when each was last heard of, by fingerprint."""
        ...

    async def records(self, source: str, fingerprints: Sequence[str]) -> Sequence[AlertRecord]:
        """What is known of these alerts of a source; unknown ones are left out."""
        ...


class Schedules(Protocol):
    """The plans of scheduled rules and their runs, over all replicas. Planned times are civil.

    A run is told apart from itself, begun by another, by its epoch: who was overtaken changes nothing.
    """

    async def follow(self, plans: Mapping[str, str], rulebook: str) -> bool:
        """Have the plans (`Plan.key` by rule) of this rulebook stand, and no others.

        A plan that is new, or another one, begins now. False: that rulebook is not the active one.
        """
        ...

    async def standing(self) -> ScheduleStanding:
        """How all plans stand."""
        ...

    async def decide(
        self,
        rule: str,
        rulebook: str,
        worker_id: UUID,
        lasts: timedelta,
        judge: Callable[[PlanStanding, datetime], Due | None],
    ) -> Sequence[ScheduledRun]:
        """Decide what is planned up to now, once over all replicas; `judge` gets civil time.

        What is written is in the answer; one that is running is this worker's to make. Nothing is decided
        where the rulebook is not the active one, and no planned time comes to a second row.
        """
        ...

    async def begin(self, run: ScheduledRun, worker_id: UUID, lasts: timedelta) -> ScheduledRun | None:
        """Make a run that waits, or whose owner is dead, this worker's; None where another was faster."""
        ...

    async def found(self, run: ScheduledRun, report: RunReport, worker_id: UUID) -> ScheduledRun | None:
        """Keep the report of a run; None where it is another's by now, or is over."""
        ...

    async def tell(self, run: ScheduledRun, worker_id: UUID) -> ScheduledRun | None:
        """Make the telling of a kept report this worker's; None where another was faster."""
        ...

    async def ended(self, run: ScheduledRun) -> bool:
        """All of it is told."""
        ...

    async def leave(self, worker_id: UUID) -> None:
        """Give up every run of this worker: others make it again."""
        ...

    async def open_findings(self) -> Sequence[Mapping[str, str]]:
        """The labels of what runs have found and that is not over."""
        ...

    async def expire(self, kept_for: timedelta) -> int:
        """Remove runs that ended so long ago; how many they were."""
        ...


@dataclass(frozen=True, slots=True)
class RunAsked:
    """A run that a person asks for. The same key again is the same run."""

    key: UUID | None
    rule: str
    rulebook: str
    actor: str
    reason: str


class ScheduleDesk(Protocol):
    """What people see of scheduled rules, and ask of them."""

    async def standing(self) -> ScheduleStanding:
        """How all plans stand."""
        ...

    async def runs(self, rule: str | None, limit: int) -> Sequence[ScheduledRun]:
        """The newest runs of a rule; of every rule its newest one, where none is named."""
        ...

    async def run(self, run_id: UUID) -> ScheduledRun | None:
        """One run."""
        ...

    async def ask(self, asked: RunAsked) -> tuple[ScheduledRun, bool]:
        """Have a rule run now, and whether that is new; the run that goes on, where one does."""
        ...


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What could not be used, as it is kept."""

    id: int
    source: str
    reason: str
    payload: str
    size: int
    """Characters of the whole payload."""
    received_at: datetime


class ShadowRunTold(Frozen):
    """One step that was judged in shadow, and what became of its incident without it."""

    incident_id: UUID
    severity: Severity
    key: dict[str, str]
    rule: str
    step: int
    """From 0."""
    action: str
    target: str | None
    ruling: RulingWord
    guard: str
    reason: str
    elements: tuple[str, ...]
    element_count: int
    observed: bool = False
    """Whether the target was not looked at: then nobody knows what it would have hit."""
    at: datetime
    quiet_at: datetime | None
    """When no alert of the incident fired any more, after it."""
    person: str | None
    """Who acted on the incident before that."""
    other_incident: UUID | None
    """Whose attempt hit the target before that."""
    own_attempt: bool
    """Whether the incident itself had an attempt before that: its rule was promoted in the meantime."""


@dataclass(frozen=True, slots=True)
class NewRestraint:
    """A halt, freeze or maintenance window that somebody asks for, under a key of their own.

    It begins at `since`, or now, and lasts to `until`, or for so long; a halt has no end.
    """

    kind: RestraintKind
    key: str
    actor: str
    reason: str
    match: tuple[Matcher, ...] = ()
    allow: tuple[Severity, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    lasts: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Added:
    """A restraint, and whether it is new: the same key gives the same one."""

    restraint: Restraint
    new: bool


@dataclass(frozen=True, slots=True)
class NewByHand:
    """An incident that a person wants opened: who and why, its rule, what is known of what it is about."""

    key: UUID | None
    """The same key again is the same incident."""
    asked: ByHand
    rule: Rule
    labels: Mapping[str, str]
    severity: Severity


@dataclass(frozen=True, slots=True)
class OpenedByHand:
    """The incident. Where it is not `new`, `same` says whether the same was asked for under its key."""

    incident: Incident
    new: bool
    same: bool


@dataclass(frozen=True, slots=True)
class OwedBack:
    """What is to be given back now: the attempt, and its incident's group and severity.

    `newer` is what has acted on the target in the same way since then, and stands.
    """

    attempt: Attempt
    key: Mapping[str, str]
    severity: Severity
    newer: Attempt | None
    now: datetime


class GiveBackStore(Protocol):
    """What is owed back (`undo: {after: ...}`). It is written with the outcome of its attempt."""

    async def owed_back(self, limit: int) -> Sequence[OwedBack]:
        """What is due and not opened yet, the longest due first.

        Of several on one target the newest comes first: what was built on something is given back before it.
        """
        ...

    async def open_give_back(self, owed: OwedBack, new: NewByHand) -> None:
        """Open its incident, once, whoever else opens it at the same time."""
        ...


class KeptPast(Frozen):
    """What became of imported episodes."""

    new: int
    longer: int
    """Known before, and more of their end is known now."""
    known: int


class JournalPage(NamedTuple):
    """Rows in the order in which they were heard, each as a line of JSON; all that came up to `after`.

    A line is an array: received_at, source, fingerprint, standing, starts_at, ends_at, labels, annotations,
    generator_url, content hash. What was imported is heard of when it began and when it ended.
    """

    lines: tuple[str, ...]
    after: datetime


class RecordedPage(NamedTuple):
    """What was recorded of incidents, in the order of their opening: each fact as a line of JSON.

    A line is an array: when, its kind (`evidence`, `judged`, `attempt`, `verification`, `command`), the
    incident's rule, the hash of its group as hexadecimals, and what it tells. The first page has every
    restraint of the span, too: kind `restraint`, without rule and group.
    """

    lines: tuple[str, ...]
    after: UUID | None
    """The incident that the next page begins after; None where this is the last."""
    complete_until: datetime
    """Every fact from before then stands in this page or in one before it."""


class HeardAlert(Frozen):
    """An alert that was heard of, with how many episodes are known of it."""

    source: str
    fingerprint: str
    labels: dict[str, str]
    episodes: int
    seen_at: datetime


class HeardPage(Frozen):
    """Some of them, by source and fingerprint. `after` is where the next page begins; None at the end."""

    alerts: tuple[HeardAlert, ...]
    after: tuple[str, str] | None


class History(Protocol):
    """What fired before now, for whoever thinks about rules. Nothing that acts reads it."""

    async def heard_since(self) -> datetime | None:
        """When the oldest row of the journal was received; None where nothing was heard of yet."""
        ...

    async def keep(self, source: str, episodes: Sequence[Alert]) -> KeptPast:
        """Keep imported episodes. One that overlaps a known one of its alert is that one.

        Nothing is ever done about them: they open, join and wake no incident.
        """
        ...

    async def forget(self, before: datetime) -> None:
        """Forget imported episodes that ended before then."""
        ...

    async def rows(self, after: datetime, until: datetime, at_least: int) -> JournalPage:
        """What was heard after one moment and before another, with what was imported.

        A page may have fewer rows than asked for; it is the last one where its `after` reaches `until`.
        """
        ...

    async def recorded(
        self, since: datetime, until: datetime, after: UUID | None, incidents: int
    ) -> RecordedPage:
        """What was decided, done and said in incidents that opened in that span, so many of them at most.

        Incidents that a person opened by hand are left out: no alert of the journal leads to them.
        """
        ...

    async def heard(self, since: datetime, after: tuple[str, str], at_least: int) -> HeardPage:
        """The alerts that were heard of since then, imported ones too, after one of them."""
        ...


class Desk(Protocol):
    """What people see and do: the store's side of the HTTP API."""

    async def incidents(self, *, live_only: bool, limit: int) -> Sequence[Incident]:
        """The newest incidents first."""
        ...

    async def incident(self, incident_id: UUID) -> "Dossier | None":
        """Everything about one incident, or None."""
        ...

    async def waiting(self, limit: int) -> Sequence[Incident]:
        """The incidents that wait for people, escalated or asking, the worst and longest waiting first."""
        ...

    async def awaiting_approval(self, limit: int) -> Sequence[Incident]:
        """The incidents that ask a person, the worst and longest waiting first."""
        ...

    async def chain_break(self, incident_id: UUID) -> str | None:
        """Where an incident's timeline is broken, in words, or None."""
        ...

    async def check_anchors(self, lines: Sequence[str]) -> Sequence[AnchorCheck]:
        """What each line of an anchor file says of the timelines as they are now."""
        ...

    async def give_command(self, command: Command) -> bool:
        """Store a person's act; False where the same id was given before. Makes the incident due."""
        ...

    async def open_by_hand(self, new: NewByHand) -> OpenedByHand:
        """Open an incident that a person asks for. It is due now.

        Raises:
            PermanentError: what is asked for holds a secret.
        """
        ...

    async def halt(self, actor: str, reason: str, scope: tuple[Matcher, ...] = ()) -> Restraint:
        """Stop every replica, or, with a scope, whatever the matchers may concern.

        It stands beside all other halts, and until a person resumes.
        """
        ...

    async def resume(self, actor: str, reason: str, ids: Sequence[int] | None = None) -> Sequence[Restraint]:
        """End these halts, or all; 0 is a flag that no halt stands behind. Which of them stood."""
        ...

    async def restrain(self, new: NewRestraint) -> Added:
        """Begin a freeze or a maintenance window; the same key again is the same one, as it stands."""
        ...

    async def restraint(self, kind: RestraintKind, which: int | str) -> Restraint | None:
        """A freeze or a maintenance window by its number or its key, ended or not; None: there is none."""
        ...

    async def end_restraint(
        self, kind: RestraintKind, which: int | str, actor: str, reason: str
    ) -> Restraint | None:
        """End a freeze or a maintenance window by its number or its key; None where no such one stands."""
        ...

    async def claims(self) -> Sequence[Claim]:
        """Every held target."""
        ...

    async def release(self, target: str, actor: str, reason: str) -> bool:
        """Release a quarantined target; False where it is not quarantined."""
        ...

    async def owing(self, limit: int, *, pending_only: bool) -> Sequence[Owed]:
        """What is owed back, the next due first.

        Without `pending_only` also what was given back or is kept, the newest first.
        """
        ...

    async def owed(self, attempt_id: UUID) -> Owed | None:
        """What that attempt owes back, whatever became of it."""
        ...

    async def keep(self, owed: Owed, actor: str, reason: str) -> bool:
        """What is owed back is not given back; False where it is not owed any more."""
        ...

    async def starts(self, since: datetime, limit: int) -> Sequence[Start]:
        """The newest disruptive starts since then that budgets count."""
        ...

    async def breakers(self, limit: int, *, open_only: bool) -> Sequence[Breaker]:
        """Circuit breakers: those that are open first, then the newest that were."""
        ...

    async def open_breaker(self, rule: str) -> Breaker | None:
        """The circuit breaker of a rule; None where it is closed."""
        ...

    async def reset_breaker(self, rule: str, actor: str, reason: str) -> bool:
        """Close the circuit breaker of a rule; False where it is not open."""
        ...

    async def promote(self, rule: str, acting_hash: str, level: Autonomy, actor: str, reason: str) -> None:
        """Record how far an acting part may go."""
        ...

    async def dead_letters(self, limit: int) -> Sequence[DeadLetter]:
        """The newest dead letters, each with no more than the head of its payload."""
        ...

    async def dead_letter(self, number: int) -> DeadLetter | None:
        """One dead letter, whole."""
        ...

    async def drop_dead_letters(self, numbers: Sequence[int], actor: str, reason: str) -> Sequence[int]:
        """Remove dead letters and record who did it and why; which of them were there."""
        ...

    async def shadow_runs(self, since: datetime, rule: str | None, limit: int) -> Sequence[ShadowRunTold]:
        """What steps in shadow would have done since then, the newest first."""
        ...

    async def unmatched(self, limit: int) -> Sequence[Mapping[str, Any]]:
        """Open episodes that no rule took: source, fingerprint, labels, starts_at."""
        ...

    async def notifications(
        self, limit: int, *, incident: UUID | None, undelivered: bool
    ) -> Sequence[Notification]:
        """The newest words to people, of one incident or of all; only those that have reached nobody."""
        ...

    async def notification(self, notification_id: UUID) -> Notification | None:
        """One of them."""
        ...

    async def channels(self, names: Sequence[str]) -> Sequence[ChannelStanding]:
        """How these channels stand, and others for which something waits."""
        ...

    async def write_test(self, channel: str, text: str) -> UUID:
        """Put a message into the outbox that says it is a test; its id."""
        ...

    async def source_standings(self) -> Sequence[SourceStanding]:
        """How asking each source for all its alerts stands, in the order of their names."""
        ...

    async def ask_for_round(self, source: str, actor: str) -> bool:
        """Have a source asked for all its alerts now; False where it never was to be asked."""
        ...


class Dossier(Frozen):
    """Everything about one incident: what `show` prints and what the review is written from."""

    incident: Incident
    rule: dict[str, Any]
    """The pinned rule, as JSON."""
    rule_as_of: datetime | None = None
    """Since when that version was known, where the active rulebook has another or none; else None."""
    members: Members
    attempts: tuple[Attempt, ...]
    entries: tuple[Entry, ...]
    commands: tuple[Command, ...] = ()
    notifications: tuple[Notification, ...] = ()
    """What people were told of it, by channel, and how far each has got."""
    quarantined: tuple[Quarantined, ...] = ()
    """What its attempts have left quarantined, in their order, whether or not it was released since."""
    owed: tuple[Owed, ...] = ()
    """What its attempts owe back, in their order, whatever became of that."""
