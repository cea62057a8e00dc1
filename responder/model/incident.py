"""An incident: its state, where it stands on its ladder, and what is known of its members."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from pydantic import Field

from responder.model.approval import Approval, Question
from responder.model.base import Frozen
from responder.model.by_hand import ByHand
from responder.model.inhibition import Inhibitor
from responder.model.severity import Severity
from responder.model.way import KnownWays


class IncidentState(StrEnum):
    """The states of semantics.md. Each has a deadline, and each deadline has a move."""

    PENDING = "pending"
    OPEN = "open"
    REMEDIATING = "remediating"
    VERIFYING = "verifying"
    AWAITING_APPROVAL = "awaiting_approval"
    HELD = "held"
    SUPPRESSED = "suppressed"
    TAKEN_OVER = "taken_over"
    ESCALATED = "escalated"
    RESOLVED = "resolved"
    RECORDED = "recorded"
    CLOSED = "closed"

    @property
    def pages(self) -> bool:
        """Whether automation works on it, so that people may be told that it has opened."""
        return self in {
            IncidentState.OPEN,
            IncidentState.VERIFYING,
            IncidentState.AWAITING_APPROVAL,
            IncidentState.HELD,
        }

    @property
    def live(self) -> bool:
        """Every state but closed and recorded."""
        return self not in {IncidentState.CLOSED, IncidentState.RECORDED}


class ClosedAs(StrEnum):
    """What a person says that an incident was, who closes it."""

    FIXED = "fixed"
    DUPLICATE = "duplicate"
    FALSE_POSITIVE = "false_positive"


class Verification(Frozen):
    """A running verification.

    `good_since` is since when everything that `verify` names has held without a break; `no_data` is what the
    last reading could not answer, in words, or None.
    """

    started_at: datetime
    deadline: datetime
    attempt_id: UUID | None = None
    good_since: datetime | None = None
    no_data: str | None = None
    last: str = ""
    """The last reading in words; a new timeline entry is written only when it changes."""


class Holder(Frozen):
    """One guard that holds the ladder. `over_at` is when that ends by itself, where it is known.

    `verifies_until` is as a verdict has it.
    """

    guard: str
    reason: str
    over_at: datetime | None = None
    verifies_until: datetime | None = None
    ways: KnownWays = ()


class Hold(Frozen):
    """Why the ladder waits: the guard that said so, in its words, and until when at the latest.

    `until` is when it is looked at again; `holders` are all that hold it, when it was judged last. `stale_at`
    is when the word that its alerts fire is too old to act on: people are told then, unless it comes again.
    """

    guard: str
    reason: str
    until: datetime
    since: datetime
    deadline: datetime
    stale_at: datetime | None = None
    holder: str | None = None
    holders: tuple[Holder, ...] = ()

    @property
    def reasons(self) -> str:
        """What every guard that holds it says."""
        return "; also ".join(dict.fromkeys([self.reason, *(one.reason for one in self.holders)]))


class Group(Frozen):
    """An `all:` that is under way: its parts are taken one after the other.

    `part` is the one that is taken next, or runs; `first` the attempt by which `targets` are claimed. `of` is
    how many parts it has. `stopped` is why no further part is taken, while what was done is taken back.
    """

    step: int
    part: int
    of: int
    first: UUID
    targets: tuple[str, ...]
    approval: Approval | None = None
    """A person's yes to all of it."""
    waits: bool = False
    """Whether the timeline has told that the next part cannot be judged just now."""
    stopped: str | None = None


class PassedOver(Frozen):
    """The last step that was not taken: a guard refused it, or there was nothing to do."""

    step: int
    guard: str | None = None
    """Which guard refused it."""
    words: str
    """What became of it, with the reason."""


class EvidenceFound(Frozen):
    """What a piece of evidence found that a step's condition asks: by target, the fields of its result.

    `results` is None where it could not be gathered; `problem` says why.
    """

    index: int
    """Its place in the rule's `evidence`, from 0."""
    results: dict[str, dict[str, Any]] | None = None
    problem: str | None = None


class Progress(Frozen):
    """Where an incident stands on its ladder. It changes only together with the state, by the owner."""

    step: int = 0
    """Index of the next step that may be taken."""
    taken: int = 0
    """How often the step that was taken last was taken in a row."""
    opened_at: datetime | None = None
    """When the ladder was last opened: what `same_ladder` counts from."""
    shadow: bool = False
    """Whether the last judgement allowed everything but the effect: then nobody is paged for inaction."""
    group: Group | None = None
    take_back: UUID | None = None
    """The attempt whose undo is owed."""
    passed_over: PassedOver | None = None
    """The last step of this ladder that was passed over: what people are told where none is left."""
    missed_starts: int = 0
    """How many intents in a row found their start window over."""
    evidence_started: bool = False
    evidence_at: datetime | None = None
    """When it was begun to be gathered for this ladder."""
    found: tuple[EvidenceFound, ...] = ()
    """What it found, as far as conditions of steps ask for it."""
    hold: Hold | None = None
    verification: Verification | None = None
    escalations: int = 0
    """The level that people were told at last, from 1; 0 while none had to act."""
    level_since: datetime | None = None
    """Since when that level has been told and may acknowledge, before the next one is told."""
    told_at: datetime | None = None
    """When people were told anything of it last: a page, a question, an escalation."""
    page_at: datetime | None = None
    """When people are told that it has opened, whatever automation does; None where they are not."""
    paged_at: datetime | None = None
    """When they were."""
    escalation_reason: str | None = None
    told_severity: Severity | None = None
    """The severity that the timeline has told of; None until it opens."""
    severity_by: str | None = None
    """Who said how bad it is: a person's word, after which time alone does not change it."""
    raise_from: datetime | None = None
    """From when on the rule's `raise` counts: its opening, and as much later as it was suppressed since."""
    told_members: int = 0
    told_firing: int = 0
    """How many members, and how many firing ones, the timeline has told of."""
    covered_members: int = 0
    """How many members the ladder knew when it ended: a later one is news."""
    acknowledged_by: str | None = None
    acknowledged_at: datetime | None = None
    taken_over_by: str | None = None
    outcome: str | None = None
    """How it ended, in words: resolved, recorded in shadow, closed as false positive."""
    part_of: UUID | None = None
    """The storm's umbrella incident, where people hear of this one by that."""
    maintenance: str | None = None
    """The maintenance that keeps it quiet while it is suppressed; None where something else does."""
    inhibited: Inhibitor | None = None
    """The incident that inhibits it while it is suppressed; None where something else keeps it quiet."""
    question: Question | None = None
    """What a person was asked last on this ladder."""
    approval: Approval | None = None
    """A yes that no attempt has used up yet."""
    closed_as: ClosedAs | None = None
    """What the person who closed it says it was."""
    in_auto: str | None = None
    """Where shadow ended the ladder: what people would have heard in auto, in words; None for nothing."""

    @property
    def people_know(self) -> bool:
        """Whether people were told of it, and are told of its end."""
        return self.told_at is not None or self.escalations > 0


OVERFLOW = {"": "overflow"}
"""The key of a rule's overflow incident: no label has an empty name."""


class Incident(Frozen):
    """One for each (rule, values of group_by) while open. `id` sorts by time (UUID version 7)."""

    id: UUID
    rule: str
    rulebook_hash: str
    key: dict[str, str]
    """The group's labels and values."""
    severity: Severity
    state: IncidentState
    opened_at: datetime
    state_since: datetime
    deadline: datetime | None
    """The state's own; None only for closed."""
    due_at: datetime | None
    epoch: int
    progress: Progress = Field(default_factory=Progress)
    wakes: int = 0
    """Counts what happened to it from outside (alerts, commands, findings); see `ports.Store.record`."""
    timeline_length: int = 0
    by_hand: ByHand | None = None
    """Who opened it, where no alert did."""

    @property
    def overflow(self) -> bool:
        """Whether it has the alerts of a rule of which too many incidents are open."""
        return self.key == OVERFLOW


class MemberAlert(Frozen):
    """One alert of an incident, for the bounded sample that a Case carries."""

    source: str
    fingerprint: str
    generation: int
    labels: dict[str, str]
    annotations: dict[str, str]
    generator_url: str = ""
    starts_at: datetime
    ends_at: datetime | None
    seen_at: datetime
    """The newest observation that it fires, in service time."""
    joined_at: datetime


class Members(Frozen):
    """Counts over all members, and at most `SAMPLE` of them, firing ones first."""

    firing: int
    total: int
    first_starts_at: datetime | None = None
    first_heard_at: datetime | None = None
    """When the first of them was heard of, in service time; before the incident opened where no rule took it
    then."""
    newest_seen_at: datetime | None = None
    """The newest observation of any firing member, in service time: what `max_alert_age` looks at."""
    sources: tuple[str, ...] = ()
    """Every source that any member came from."""
    sample: tuple[MemberAlert, ...] = ()
    common_labels: dict[str, str] = Field(default_factory=dict)


SAMPLE = 20
"""How many members a Case carries at most."""


class CommandKind(StrEnum):
    """What a person can ask of an incident."""

    ACKNOWLEDGE = "acknowledge"
    TAKE_OVER = "take_over"
    HAND_BACK = "hand_back"
    CLOSE = "close"
    APPROVE = "approve"
    DECLINE = "decline"
    COMMENT = "comment"
    CHANGE_SEVERITY = "change_severity"


class CommandFacts(Frozen):
    """What belongs to a command beside who gives it and why.

    `question` is the one that is answered, `closed_as` and `duplicate_of` are a closing's, `severity` is that
    of a change. `identity` is who the bearer of the request is known as; `said_by` is the name that came with
    it, where that is another one.
    """

    question: UUID | None = None
    closed_as: ClosedAs | None = None
    duplicate_of: UUID | None = None
    severity: Severity | None = None
    identity: str | None = None
    said_by: str | None = None


class Command(Frozen):
    """A person's act, applied by the incident's owner at its next move."""

    id: UUID
    incident_id: UUID
    kind: CommandKind
    actor: str
    reason: str = ""
    facts: CommandFacts = CommandFacts()
    given_at: datetime
