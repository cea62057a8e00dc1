"""All that is known of one incident (`Case`), what may be done with it (`Move`), what that means (`Change`).

The engine loads a Case, `next_move` answers with one Move, the engine carries it out and turns what came
back into a Change by a function of `changes`; the store records the Change. Nothing else changes an
incident.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from pydantic import Field

from responder.decide.clock import Unsteady
from responder.model.approval import Approval, Consent
from responder.model.attempt import Attempt, Claim, ElementOutcome, Outcome, OwnAct, PastAttempt, Verdict
from responder.model.autonomy import Autonomy, Ceiling
from responder.model.base import Frozen
from responder.model.breaker import Breaker
from responder.model.budget import Budget, Budgets
from responder.model.duration import Duration, PositiveDuration
from responder.model.guard import Guard, Ruling
from responder.model.incident import Command, Incident, IncidentState, Members, Progress
from responder.model.inhibition import Inhibitor, Inhibits
from responder.model.policy import LOG_ONLY, EscalationPolicy, NoticeKind
from responder.model.restraint import Restraint, Restraints
from responder.model.rule import Limits, Rule, StepKind
from responder.model.severity import MANUAL_TERMS, Severities, Severity
from responder.model.storm import Storm, StormTerms
from responder.model.timeline import EntryDraft
from responder.model.way import Way


class Flapping(Frozen):
    """From how many episodes of one alert within a while on it flaps."""

    episodes: int = Field(default=5, ge=2, le=1000)
    within: PositiveDuration = timedelta(minutes=30)


class Pace(Frozen):
    """The deadlines of states and the pace of looking again: the settings' `engine.terms`."""

    open_deadline: Duration = timedelta(minutes=5)
    effect_grace: Duration = timedelta(seconds=30)
    """Added to an action's timeout: the deadline of `remediating`."""
    verify_deadline: Duration = timedelta(minutes=30)
    """The deadline of `verifying` where the rule gives no `alert_resolved_within`."""
    verify_every: Duration = timedelta(seconds=5)
    hold_every: Duration = timedelta(seconds=5)
    """How soon to look again at what holds a step, where the guard names no time."""
    suppressed_every: Duration = timedelta(seconds=30)
    suppressed_deadline: Duration = timedelta(hours=24)
    taken_over_deadline: Duration = timedelta(hours=1)
    reopen_within: Duration = timedelta(minutes=30)
    recorded_for: Duration = timedelta(minutes=30)
    max_alert_age: Duration = timedelta(minutes=10)
    start_window: Duration = Field(default=timedelta(seconds=5), le=timedelta(seconds=5))
    """From the commit of an intent to the latest start of its effect: no longer than a halt may take."""
    contest_window: Duration = timedelta(seconds=60)
    missed_starts: int = Field(default=3, ge=1)
    """How many intents in a row may find their start window over before a person is told."""
    storm: StormTerms = StormTerms()
    flapping: Flapping = Flapping()
    breaker_after: int = Field(default=3, ge=1, le=1000)
    """How many attempts of a rule in a row that did not lead to recovery open its circuit breaker."""
    self_caused_within: Duration = timedelta(minutes=5)
    """How long after an attempt of ours what begins on its target, or beside it, may be caused by it."""


class Terms(Pace):
    """The settings that decisions need: the pace, what each severity promises people, and who is told."""

    severities: Severities = Field(default=MANUAL_TERMS)
    policies: dict[str, EscalationPolicy] = Field(default_factory=dict)

    def policy(self, severity: Severity) -> EscalationPolicy:
        """Who is told of an incident of this severity; the log where its terms name no policy."""
        name = self.severities[severity].policy
        return LOG_ONLY if name is None else self.policies[name]


class Finding(Frozen):
    """The result of one evidence step, gathered beside the ladder and told at the next move."""

    id: UUID
    action: str
    summary: str
    facts: dict[str, Any]


class Case(Frozen):
    """Everything about one incident that a decision may look at: counts and a bounded sample."""

    now: datetime
    """Service time of the moment that all this was read at."""
    incident: Incident
    rule: Rule
    """As pinned when the ladder began."""
    current: Rule | None
    """The rule of that name in the active rulebook; None when it is gone."""
    current_hash: str | None = None
    """The active rulebook; None where none was ever activated."""
    timeline_head: bytes | None = None
    """What its timeline's chain ends with; None where that is not known without asking."""
    promotions: dict[str, Autonomy] = Field(default_factory=dict)
    """How far a person promoted the versions of its rule, by the hash of the acting part."""
    members: Members
    attempt: Attempt | None = None
    """The newest attempt of this incident."""
    parts: tuple[Attempt, ...] = ()
    """Where that is a part of an `all:`, every attempt of it, what takes parts back included, in order."""
    holds: bool
    """Whether it still holds its target. A quarantined claim is nobody's to give up but a person's."""
    command: Command | None = None
    """The oldest one that is not applied yet."""
    maintenance: tuple[Restraint, ...] = ()
    """Every maintenance window that stands."""
    findings: tuple[Finding, ...] = ()
    """Evidence that is not told yet."""
    storm: Storm = Storm()
    inhibits: tuple[Inhibits, ...] = ()
    """What would inhibit it, by its rule as pinned and as it is now."""
    inhibitor: Inhibitor | None = None
    """What does."""

    @property
    def limits(self) -> Limits:
        """The pinned rule's, or the current one's where those are tighter: what runs may not be loosened."""
        return self.rule.limits if self.current is None else self.rule.limits.tightened(self.current.limits)


# --- what comes back --------------------------------------------------------------------------------


class SourceView(Frozen):
    """What the source's API says of an incident's firing members, asked by us.

    `configured` is false where any member's source has no API to ask. `problem` says why an answer is
    missing although an API is configured.
    """

    configured: bool
    firing: int = 0
    suppressed: int = 0
    absent: int = 0
    suppressed_by: str | None = None
    problem: str | None = None
    asked_at: datetime | None = None
    """Service time of the answer; it counts as a confirmation for `max_alert_age`."""


class LedgerQuestion(Frozen):
    """What is asked of the ledger before a step; nothing is counted for one that has no `target`."""

    rule: str
    target: str | None
    namespace: str | None
    disruptive: bool
    now: datetime
    limits: Limits
    budgets: Budgets = Budgets()
    flapping: Flapping = Flapping()
    shadow: bool
    """Whether it may have no effect: then what shadow would have started before counts like attempts."""
    acts_since: datetime | None = None
    """From when on an act of ours may have caused the incident; None where none can have."""


class OpenIncidents(Frozen):
    """The incidents of one rule that are under way, and the one that asks: neither waiting nor over."""

    count: int
    more: bool = False
    """Whether there are more than were counted."""
    others: tuple[str, ...] = ()
    """Some others than the one that asks, by the values of their group."""


class LedgerView(Frozen):
    """What the ledger says of a rule on a target, and what keeps anything from starting."""

    restraints: Restraints = Restraints()
    """Halts, freezes and maintenance windows as they stand."""
    unsteady: Unsteady | None = None
    history: tuple[PastAttempt, ...] = ()
    """The attempts of (rule, target), in any incident."""
    newest: UUID | None = None
    """The newest of them; an undo counts, too."""
    claim: Claim | None = None
    """Who holds the target."""
    flapped_at: datetime | None = None
    """When the n-th newest episode of one of its alerts joined, n as asked; of several alerts the latest."""
    recurred: int = 0
    """In how many other ladders the rule acted on the target within its `recurrence`."""
    breaker: Breaker | None = None
    """The rule's, where it is open."""
    open_incidents: OpenIncidents | None = None
    """Those of the rule; None where its limits do not ask."""
    budgets: tuple[Budget, ...] = ()
    """Those that a disruptive start on the target spends."""
    own_act: OwnAct | None = None
    """The newest attempt after `acts_since`, and before the incident opened, that may have caused it.

    One for another incident on the target or beside it; of the same rule on the same target it is the
    cooldown that counts. What is proven not to have happened caused nothing."""


class ProbeReading(Frozen):
    """One probe's answer. `holds` is None when there is no data; `text` says what was asked and answered."""

    holds: bool | None
    text: str


class Reading(Frozen):
    """What a verification found at one moment."""

    source: SourceView
    probes: tuple[ProbeReading, ...] = ()


class Restrained(Frozen):
    """A freeze, maintenance or another incident that holds something: its name, why in words, until when."""

    holder: str
    reason: str
    until: datetime
    """In service time."""
    way: Way | None = None
    """How a person ends it."""
    inhibitor: Inhibitor | None = None
    """The incident that does it: nobody knows for how long, so it is looked at again and again."""


class Facts(Frozen):
    """Everything that the guards judge one attempt by."""

    now: datetime
    severity: Severity
    kind: StepKind
    action: str
    target: str | None
    out_of_scope: str | None = None
    """Why the parameters lead to no single target of the inventory."""
    mends: tuple[Way, ...] = ()
    """What would give it one."""
    halted: str | None = None
    """What halts it, in words: the file, the flag, a scoped halt, or that they cannot be read."""
    halts: tuple[Way, ...] = ()
    """How each of these is ended, where a person can."""
    freeze: Restrained | None = None
    """The freeze that holds it the longest."""
    maintenance: Restrained | None = None
    """The maintenance that any of its alerts is under."""
    restraints: tuple[int, ...] = ()
    """Every restraint that stood when these facts were gathered, whatever it concerns."""
    unsteady: Unsteady | None = None
    """A clock jumped a short while ago, or may have jumped."""
    storm: Storm = Storm()
    ceilings: tuple[Ceiling, ...]
    own_ground: tuple[str, ...] = ()
    """The systems that carry the responder itself."""
    ground: tuple[str, ...] = ()
    """The systems that the target stands on."""
    opted_out: str | None = None
    managed_by: str | None = None
    changed_at: datetime | None = None
    """When somebody else changed the target last."""
    changed_by: str | None = None
    began_at: datetime | None = None
    """When the first of the alerts began, by the source's clock."""
    own_act: OwnAct | None = None
    """The newest attempt for another incident on this target, or beside it, before this incident opened."""
    blind: str | None = None
    """Why what the sources tell is not to be trusted."""
    look_problem: str | None = None
    """Why the target could not be looked at."""
    observed: bool = False
    """Under `observe` the target is not looked at: nothing is known of what would be hit."""
    firing: int
    source: SourceView
    newest_seen_at: datetime | None
    history: tuple[PastAttempt, ...] = ()
    limits: Limits
    newest_attempt: UUID | None = None
    """The newest attempt of the rule on the target that the limits are judged by."""
    flapped_at: datetime | None = None
    """See `LedgerView`, as the other counts."""
    recurred: int
    breaker: Breaker | None = None
    open_incidents: OpenIncidents | None = None
    budgets: tuple[Budget, ...] = ()
    claim: Claim | None = None
    """Somebody else's claim on the target."""
    condition: ProbeReading | None = None
    """The step's `when`."""
    floor: str | None = None
    """The action's own refusal, or that more elements were found than allowed."""
    elements: tuple[str, ...] = ()
    """The titles of what the effect would hit, as pinned by this look."""
    computed: tuple[str, ...] = ()
    """What the relative parameters came to by this look, in words."""
    consent: Consent | None = None
    """What a person would have to consent to, by this look; None where there was none."""
    approval: Approval | None = None
    """What a person has consented to, and no attempt has used up."""
    by_hand: str | None = None
    """Who asked for it, where no alert did."""


class IntentLost(StrEnum):
    """Why an intent was not committed: the world moved between judging and the ledger."""

    HALTED = "halted"
    RESTRAINED = "restrained"
    """Somebody has halted a part, frozen or begun maintenance since it was judged."""
    CLOCK = "clock"
    """A clock jumped a short while ago, or may have."""
    NOT_FIRING = "not_firing"
    INHIBITED = "inhibited"
    """An incident has opened that explains this one."""
    CLAIMED = "claimed"
    OVERTAKEN = "overtaken"
    """There is another attempt of the rule on the target than the limits were judged by."""
    BROKEN = "broken"
    """The circuit breaker of the rule has opened."""
    BUDGET = "budget"
    """Another start has spent the last of a budget."""
    COMMANDED = "commanded"
    """A person's word is not applied yet: it comes before any effect."""
    APPROVAL = "approval"
    """The approval has expired or was used up."""
    FORGOTTEN = "forgotten"
    """PostgreSQL crashed, and what was recorded before is not there."""
    DEPOSED = "deposed"


class AttemptEnd(Frozen):
    """The outcome of an attempt as it goes into the ledger."""

    attempt_id: UUID
    outcome: Outcome
    results: tuple[ElementOutcome, ...]
    state_after: dict[str, Any] | None = None
    asked: bool = False
    """Whether no outcome was recorded, so that the target had to be asked for it."""
    give_back_after: timedelta | None = None
    """After how long what was done is given back; None for never."""


class AttemptVerdict(Frozen):
    """The end of an attempt: its verdict is written and its claim released."""

    attempt_id: UUID
    verdict: Verdict | None = None
    """None where nothing is to be verified, because nothing happened, and where one is written already."""
    claim_stays: bool = False
    """The attempt is to be taken back: its target stays held until that is over."""
    breaks_after: int | None = None
    """For one that did not lead to recovery: how many of them in a row open the breaker of its rule."""


class Quarantine(Frozen):
    """Nobody knows whether the attempt happened: its claim stays, with the reason."""

    attempt_id: UUID
    reason: str


class ShadowRun(Frozen):
    """What a step in shadow would have done: kept for the report on shadow, and for shadow's own limits."""

    step: int
    action: str
    target: str | None
    ruling: Ruling
    """The strictest guard's."""
    guard: Guard
    reason: str
    elements: tuple[str, ...] = ()
    """The titles of the first ones that it would have hit."""
    element_count: int


class Notice(Frozen):
    """A word to people. `level` counts the escalations of the incident from 1; 0 is information."""

    kind: NoticeKind
    level: int
    text: str


class Change(Frozen):
    """The next state of an incident and everything written with it, in one transaction.

    `quiet` asks the store to look again, under the incident's lock, that no member fires; where one does,
    nothing is written and the case is decided anew. So it is where `severity` is set, and the incident has
    another one by now than the case says.
    """

    state: IncidentState
    progress: Progress
    deadline: datetime | None
    due_at: datetime | None
    severity: Severity | None = None
    rulebook_hash: str | None = None
    """The rulebook that the incident is pinned to from now on; None leaves it with its own."""
    entries: tuple[EntryDraft, ...] = ()
    end: AttemptEnd | None = None
    verdict: AttemptVerdict | None = None
    quarantine: Quarantine | None = None
    command: UUID | None = None
    """The command that was applied."""
    told_findings: tuple[UUID, ...] = ()
    shadow_runs: tuple[ShadowRun, ...] = ()
    """The step that was judged in shadow, each of its parts."""
    notices: tuple[Notice, ...] = ()
    quiet: bool = False
    opens_storm: bool = False
    """It would be part of a storm that has no umbrella incident: nothing is written, that is opened first."""


# --- moves ------------------------------------------------------------------------------------------


class Wait(Frozen):
    """Nothing to do until then; the incident holds nothing while it waits."""

    until: datetime | None


class Apply(Frozen):
    """A change that needs nothing from the world."""

    change: Change


class GatherEvidence(Frozen):
    """Start the rule's evidence steps beside the ladder."""


class TakeStep(Frozen):
    """Take this step of the ladder: look, judge, commit the intent, act."""

    index: int


class TakePart(Frozen):
    """Take the next part of an `all:` that is under way: look, judge, commit its intent, act."""

    index: int
    part: int


class Settle(Frozen):
    """An intent without an outcome was found: ask the target whether it happened."""

    attempt: Attempt


class Check(Frozen):
    """Read everything that the verification names."""


class TakeBack(Frozen):
    """Undo an attempt that did not lead to recovery."""

    attempt: Attempt


class Recheck(Frozen):
    """Ask the source whether the alerts are still suppressed."""


class AskSource(Frozen):
    """Ask the source whether somebody silenced the alerts, before a person is told of them unjudged."""


class Page(Frozen):
    """Tell people that it has opened, unless somebody silenced the alerts or nothing of it may act."""


class CloseBySource(Frozen):
    """The source's API has not known these alerts for long enough: journal their end, which never came."""


Move = (
    Wait
    | Apply
    | GatherEvidence
    | TakeStep
    | TakePart
    | Settle
    | Check
    | TakeBack
    | Recheck
    | AskSource
    | Page
    | CloseBySource
)
