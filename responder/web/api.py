"""What the HTTP API needs of the rest of the program, as one frozen value that `app` fills."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import SecretStr

from responder.decide.case import Terms
from responder.decide.freezes import Freeze
from responder.engine.by_hand import ActsByHand
from responder.engine.foresight import Foreseen
from responder.model.alert import Delivery
from responder.model.anchor import AnchorState
from responder.model.autonomy import Ceiling
from responder.model.base import Frozen
from responder.model.budget import Budgets
from responder.model.redaction import SHIPPED, Redaction
from responder.model.rule import Rule
from responder.ports import Desk, Dispatch, Dossier, History, Intake, ScheduleDesk, Store
from responder.rulebook.mistake import Mistake
from responder.telemetry import Metrics
from responder.web.refusals import Refusals
from responder.web.settings import WebSettings

ReviewFormat = Literal["md", "json", "html"]
"""The forms in which a review is written."""


class Part(Frozen):
    """One part of the program for `/readyz`: whether it is ready, and why not.

    Ready means that deliveries are taken in. `warning` marks what a person should know of although the part
    is ready: a halt is no reason to take a process out of service. `affects` says what a part that is not
    ready, or warns, keeps from being done, and what goes on. `unwell` marks a warning of which nobody outside
    should be told that all is well.
    """

    name: str
    ready: bool
    text: str = ""
    warning: bool = False
    affects: str = ""
    unwell: bool = False


@dataclass(frozen=True, slots=True)
class WebhookSource:
    """One source that may post deliveries, with what proves that it is the one.

    `decode` turns a body into a delivery; it raises `PermanentError` with a `field` attribute where the
    body is no payload at all. `divide` does so slice by slice, and raises before the first slice comes. Both
    may be called beside the event loop. `token` is a bearer token, `basic` a user and a password; where both
    are None the source is open, which only a loopback listener may have.
    """

    name: str
    decode: Callable[[bytes], Delivery]
    divide: Callable[[bytearray], Iterator[Delivery]]
    token: SecretStr | None = None
    basic: tuple[str, SecretStr] | None = None


class StartedWith(Frozen):
    """What this process took from its settings when it started; they may be others on disk by now.

    `settings` has a hash for each of their blocks, without secrets; `promoted` are the hashes of acting parts
    that they promote.
    """

    settings: dict[str, str]
    halt_file: Path | None = None
    promoted: frozenset[str] = frozenset()


class RuleDesk(Protocol):
    """What people do with rulebooks.

    `mistakes` are those of the rule files, as they were taken last: then what they say is not active.
    """

    @property
    def mistakes(self) -> Sequence[Mistake]:  # noqa: D102 - see above
        ...

    async def reload(self) -> Sequence[Mistake]:
        """Read the rule files again and activate them; with mistakes nothing changes, and they come back."""
        ...

    async def check(self, files: Mapping[str, str]) -> Sequence[Mistake]:
        """Check texts of rule files against this server's actions and settings; nothing is activated."""
        ...


@dataclass(frozen=True, slots=True)
class Api:
    """Everything behind the routes."""

    settings: WebSettings
    intake: Intake
    desk: Desk
    store: Store
    history: History
    """What fired before now."""
    sources: Mapping[str, WebhookSource]
    metrics: Metrics
    rules: RuleDesk
    ready: Callable[[], Awaitable[Sequence[Part]]]
    review: Callable[[Dossier, ReviewFormat], str]
    halt_file: Callable[[], str | None]
    """Why the local halt file halts, in words, or None."""
    started_with: StartedWith
    ceilings: Callable[[Rule], Sequence[Ceiling]]
    """What the settings' ceilings may be for an incident of a rule, before its alerts are known."""
    anchor: Callable[[], AnchorState]
    """How the anchoring of the timelines stands in this process."""
    dispatch: Dispatch
    """Sends what a person writes into the outbox."""
    channels: Sequence[str]
    """Every way to people by its name."""
    describe_rule: Callable[[Rule], Mapping[str, Any]]
    """A resolved rule as JSON with the origin of each default."""
    by_hand: ActsByHand
    """What people may ask for by hand."""
    schedules: ScheduleDesk
    """What people see of scheduled rules and ask of them."""
    foresee: Callable[[Mapping[str, str], str], Awaitable[Foreseen]]
    """What an alert with these labels, of the source of that name, would lead to now."""
    terms: Terms = field(default_factory=Terms)
    """What severities promise people, and who is told."""
    budgets: Budgets = field(default_factory=Budgets)
    """What budgets of disruptive starts allow."""
    freezes: Sequence[Freeze] = ()
    """Those of the settings."""
    redaction: Redaction = SHIPPED
    """What answers go through, and what is kept of a body that cannot be decoded."""
    unstored: Callable[[Delivery], None] | None = None
    """What is done for a delivery while the database is away: it neither waits nor raises."""
    askable: frozenset[str] = frozenset()
    """The sources that can be asked for all their alerts."""
    refusals: Refusals = field(default_factory=Refusals)
    """Which deliveries were refused, of this process."""
