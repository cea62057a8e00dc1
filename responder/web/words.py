"""What people send: the bodies of their requests, checked before anything else sees them."""

from datetime import timedelta
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, Field, StringConstraints, model_validator

from responder.engine.settings import Matchers
from responder.model.autonomy import AutonomyWord
from responder.model.base import Frozen
from responder.model.duration import Duration
from responder.model.incident import ClosedAs, CommandKind
from responder.model.severity import Severity

LONGEST_MAINTENANCE = timedelta(hours=24)


def _printable(text: str) -> str:
    """PostgreSQL refuses NUL, terminals obey escape sequences: neither has a place in a reason."""
    if any(not (char.isprintable() or char in "\n\t") for char in text):
        raise ValueError("control characters are not allowed")
    return text


Sentence = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=2000),
    AfterValidator(_printable),
]
"""A reason that a person gives."""

Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    AfterValidator(_printable),
]
"""A person, a rule, a target."""


class Act(Frozen):
    """Who does it and why. A person's own token says who, and need not be told."""

    actor: Name | None = None
    reason: Sentence


class RoundAsked(Frozen):
    """Who wants a source to be asked for all its alerts now."""

    actor: Name | None = None


class ChannelTest(Frozen):
    """Which channel is to be tried, and by whom."""

    channel: Name
    actor: Name | None = None


class NewHalt(Act):
    """A halt of everything, or of what the matchers may concern."""

    scope: Matchers = ()


class Resume(Act):
    """The end of a halt by its number, of all of them, or of the only one there is."""

    id: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    all: bool = False


class EndByKey(Act):
    """The end of a maintenance window that was begun with this key."""

    key: Name


Length = Annotated[Duration, Field(gt=timedelta(0))]


class NewFreeze(Act):
    """A freeze from a moment, or now, until a moment, or for so long. Moments have an offset or Z."""

    match: Matchers = ()
    allow: tuple[Severity, ...] = ()
    since: AwareDatetime | None = Field(default=None, alias="from")
    until: AwareDatetime | None = None
    lasts: Annotated[Length, Field(le=timedelta(days=366))] | None = Field(default=None, alias="for")

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if (self.until is None) == (self.lasts is None):
            raise ValueError("a freeze needs `for` or `until`, and not both")
        if self.since is not None and self.until is None:
            raise ValueError("a freeze with `from` needs `until`")
        if self.since is not None and self.until is not None and self.until <= self.since:
            raise ValueError("`until` is not after `from`")
        return self


class NewMaintenance(Act):
    """Maintenance of what the matchers find. Everything at once is what a halt is for."""

    match: Annotated[Matchers, Field(min_length=1)]
    lasts: Annotated[Length, Field(le=LONGEST_MAINTENANCE)] = Field(alias="for")


class IncidentAct(Frozen):
    """A command to one incident. An acknowledgement, and a yes, need no reason.

    `question` is the one that is answered, `closed_as` and `duplicate_of` (an id) belong to a closing,
    `severity` to a change of it.
    """

    kind: CommandKind
    actor: Name | None = None
    reason: Sentence | None = None
    question: UUID | None = None
    closed_as: ClosedAs | None = None
    duplicate_of: Name | None = None
    severity: Severity | None = None


class ProofWanted(Frozen):
    """What shows that an act helped: a PromQL query, and the comparison that its answer has to meet."""

    promql: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)]
    expect: Annotated[str, StringConstraints(max_length=100)] = Field(alias="is")
    within: Annotated[Length, Field(le=timedelta(hours=24))] = timedelta(minutes=5)
    stable_for: Annotated[Duration, Field(le=timedelta(hours=24))] = timedelta(seconds=30)


class ActByHand(Act):
    """One action that a person asks for, with its parameters as a rule's step has them."""

    action: Name
    params: dict[str, Any] = Field(default_factory=dict, alias="with")
    severity: Severity = Severity.P2
    verify: ProofWanted | None = None
    dry_run: bool = False


class IncidentByHand(Act):
    """An incident for people, under a title or a rule's name."""

    severity: Severity
    rule: Name | None = None
    title: Name | None = None
    labels: Annotated[dict[Name, Name], Field(max_length=30)] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _named(self) -> Self:
        if self.rule is None and self.title is None:
            raise ValueError("an incident needs a `title`, or a `rule`")
        return self


class TargetRelease(Frozen):
    """The release of a quarantined target."""

    target: Name
    actor: Name | None = None
    reason: Sentence


class KeptGiveBack(Frozen):
    """The word that what an attempt did is not given back."""

    attempt: UUID
    actor: Name | None = None
    reason: Sentence


class BreakerReset(Frozen):
    """The reset of a rule's circuit breaker."""

    rule: Name
    actor: Name | None = None
    reason: Sentence


class AnchorLines(Frozen):
    """Lines of an anchor file, in their order."""

    lines: tuple[str, ...]


LetterIds = Annotated[tuple[Annotated[int, Field(ge=1, lt=2**63)], ...], Field(min_length=1, max_length=1000)]
"""Dead letters by their numbers."""


class LetterRetry(Frozen):
    """Dead letters to be taken in again. `old` also those of long ago: they count as heard of now."""

    ids: LetterIds
    actor: Name | None = None
    old: bool = False


class LetterDrop(Frozen):
    """Dead letters to be removed for good."""

    ids: LetterIds
    actor: Name | None = None
    reason: Sentence


class RulePromotion(Frozen):
    """How far the acting part of a rule may go.

    `acting_hash` is what the person has read: where the active rule has another by now, nothing is promoted.
    """

    level: AutonomyWord
    actor: Name | None = None
    reason: Sentence
    acting_hash: Name | None = None


class AlertToExplain(Frozen):
    """The labels of an alert, and the source that it would come from: the first one if left out."""

    labels: dict[str, str] = Field(max_length=1000)
    source: Name | None = None


class RuleFiles(Frozen):
    """Rule files to check, by name."""

    files: dict[Name, str]


class PastEpisode(Frozen):
    """One interval in which an alert fired, as somebody else remembers it. Without an end it fires still."""

    labels: dict[str, str]
    starts_at: AwareDatetime
    ends_at: AwareDatetime | None = None


class PastEpisodes(Frozen):
    """Episodes for the history of a source: nothing is done about them."""

    source: Name
    episodes: tuple[PastEpisode, ...] = Field(max_length=1000)
