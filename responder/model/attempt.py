"""The ledger's words: an attempt, its intent, its outcome, the claim it holds."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from pydantic import Field

from responder.model.base import Frozen
from responder.model.budget import Budgets
from responder.model.inhibition import Inhibits
from responder.model.target import Element


class Outcome(StrEnum):
    """What became of an attempt or of one of its elements."""

    STARTED = "started"
    """The intent is committed; nothing is known yet."""
    DONE = "done"
    """The effect happened."""
    NOT_DONE = "not_done"
    """The effect is proven not to have happened."""
    UNKNOWN = "unknown"
    """Nobody can say. Its claim becomes a quarantine."""


class Verdict(StrEnum):
    """What verification said of an attempt in the end."""

    RECOVERED = "recovered"
    NOT_RECOVERED = "not_recovered"
    NO_DATA = "no_data"


class ElementOutcome(Frozen):
    """What happened to one pinned element, and in what words the target said so."""

    element: str
    outcome: Outcome
    detail: str = ""


class GroupTarget(Frozen):
    """A target that the parts of an `all:` act on: claimed with the first intent, its budget spent by that.

    `newest_known` is as `Intent` has it.
    """

    target: str
    namespace: str
    disruptive: bool
    newest_known: UUID | None = None


class Intent(Frozen):
    """What is about to be done, committed before it is done.

    `start_window_s` is how many seconds after the commit the effect may start at the latest; the store
    turns it into `start_before` in service time.
    """

    attempt_id: UUID
    incident_id: UUID
    rule: str
    step: int
    action: str
    params: dict[str, Any]
    target: str
    elements: tuple[Element, ...]
    state_before: dict[str, Any]
    start_window_s: float
    timeout_s: float
    fenced: bool
    """Whether the effect is fenced at the target: only then is a later "it did not happen" believed."""
    undo_of: UUID | None = None
    all_of: UUID | None = None
    """The first attempt of the `all:` that this is a part of; its own id where it is that."""
    part: int | None = None
    """Which part, from 0."""
    group: tuple[GroupTarget, ...] = ()
    """Of the first attempt of an `all:` every target of it, in the order of their keys."""
    namespace: str
    """What the target stands in: the budget of a namespace counts on it."""
    disruptive: bool
    """Whether it spends budgets."""
    budgets: Budgets = Budgets()
    """What they allow."""
    newest_known: UUID | None = None
    """The newest attempt of its rule on its target when it was judged: where there is a newer one by now, the
    limits are judged anew."""
    restraints: tuple[int, ...] = ()
    """Every halt, freeze and maintenance window that stood when it was judged: a newer one stops it."""
    inhibits: tuple[Inhibits, ...] = ()
    """What would inhibit its incident: where that has opened since it was judged, it stops it."""
    approval: UUID | None = None
    """The approval that this attempt uses up."""
    approved_until: datetime | None = None

    def started(self, at: datetime) -> "Attempt":
        """The attempt that it is once it is committed at that time; PostgreSQL makes the same of it."""
        return Attempt(
            id=self.attempt_id,
            incident_id=self.incident_id,
            rule=self.rule,
            step=self.step,
            action=self.action,
            params=self.params,
            target=self.target,
            elements=self.elements,
            outcome=Outcome.STARTED,
            intended_at=at,
            start_before=at + timedelta(seconds=self.start_window_s),
            timeout_s=self.timeout_s,
            fenced=self.fenced,
            undo_of=self.undo_of,
            all_of=self.all_of,
            part=self.part,
            approval=self.approval,
            state_before=self.state_before,
        )


class Attempt(Frozen):
    """One start of one step, as the ledger keeps it."""

    id: UUID
    incident_id: UUID
    rule: str
    step: int
    action: str
    params: dict[str, Any]
    target: str
    elements: tuple[Element, ...]
    results: tuple[ElementOutcome, ...] = ()
    outcome: Outcome
    verdict: Verdict | None = None
    intended_at: datetime
    start_before: datetime
    timeout_s: float
    ended_at: datetime | None = None
    verdict_at: datetime | None = None
    fenced: bool
    undo_of: UUID | None = None
    all_of: UUID | None = None
    """The first attempt of the `all:` that this is a part of, itself included."""
    part: int | None = None
    """Which part it is, or takes back; from 0."""
    approval: UUID | None = None
    """The command that approved it; no two attempts have the same."""
    state_before: dict[str, Any] = Field(default_factory=dict)
    state_after: dict[str, Any] | None = None

    @property
    def holder(self) -> UUID:
        """By which attempt its target is claimed, and what its verdict is written of."""
        return self.all_of or self.id


class Quarantined(Frozen):
    """A target that an attempt has left quarantined and why, and who released it since."""

    target: str
    attempt_id: UUID
    reason: str
    released_at: datetime | None = None
    """None while it is quarantined."""
    released_by: str | None = None


class Owed(Frozen):
    """What an attempt did, and is given back later: when, and as which incident once it is due.

    A person may say before that it stays: `kept_at`, by whom and why.
    """

    attempt_id: UUID
    incident_id: UUID
    rule: str
    action: str
    target: str
    due_at: datetime
    opened_as: UUID | None = None
    kept_at: datetime | None = None
    kept_by: str | None = None
    kept_reason: str | None = None

    @property
    def pending(self) -> bool:
        """Whether it is still to be given back, and can be kept."""
        return self.opened_as is None and self.kept_at is None


class PastAttempt(Frozen):
    """What the limits need to know of an earlier attempt of (rule, target), in whatever incident.

    `spent` is false only for what is proven not to have happened.
    """

    intended_at: datetime
    ended_at: datetime | None
    spent: bool
    same_ladder: bool
    """It belongs to the ladder that is being climbed now (this incident, since it last opened)."""
    verdict: Verdict | None = None


class OwnAct(Frozen):
    """An attempt for another incident, on a target or beside it, shortly before this incident opened."""

    target: str
    rule: str
    incident_id: UUID
    at: datetime


class Claim(Frozen):
    """Who holds a target. A quarantined claim waits for a person or for a later yes or no."""

    target: str
    attempt_id: UUID
    incident_id: UUID
    rule: str
    since: datetime
    quarantined: bool = False
    reason: str = ""
    asked_by: str | None = None
    """Who asked for it by hand."""
    proven_by: datetime | None = None
    """By when the verification of the attempt ends, where that runs."""
