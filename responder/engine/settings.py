"""What the operator decides about acting: ceilings, promotions, halt file, deadlines, pace."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from responder.decide.case import Pace
from responder.decide.freezes import Freeze
from responder.engine.watchdog import WatchdogSettings
from responder.model.autonomy import Autonomy, AutonomyWord
from responder.model.base import Frozen
from responder.model.budget import Budgets
from responder.model.duration import Duration, PositiveDuration
from responder.model.matcher import Matcher
from responder.rulebook.matchers import parse_matchers


def _parsed(value: Any) -> Any:
    if isinstance(value, str):
        return parse_matchers(value)
    if isinstance(value, list | tuple):
        return tuple(
            m for item in value for m in (parse_matchers(item) if isinstance(item, str) else (item,))
        )
    return value


Matchers = Annotated[tuple[Matcher, ...], BeforeValidator(_parsed)]
"""A pydantic field that reads Alertmanager's matchers, as one text or a list of texts."""


class MatchedCeiling(Frozen):
    """A ceiling for incidents with an alert whose labels meet the matchers."""

    match: Matchers
    level: AutonomyWord = Field(alias="is")

    @property
    def words(self) -> str:
        """The level, and where it applies."""
        where = ", ".join(str(matcher) for matcher in self.match)
        return f"{self.level.word} where {where}" if where else f"{self.level.word} for every alert"


class ReconcileSettings(Frozen):
    """How often each source is asked for all its alerts, and when what it does not know is gone."""

    every: PositiveDuration = timedelta(minutes=1)
    """With a tenth of jitter, so that replicas and sources do not ask in step."""
    absent_polls: int = Field(default=3, ge=3)
    """In how many polls in a row an alert is unknown to every peer before it counts as ended."""
    warn_after: int = Field(default=5, ge=2)
    """After how many periods without a complete round `/readyz` warns."""


class MatchedFreeze(Freeze):
    """A freeze as it is written in the settings."""

    match: Matchers = ()


class EngineSettings(Frozen):
    """How far the engine may go, and how fast it looks.

    `promoted` lists hashes of acting parts (`responder rules show NAME` prints them) that are trusted as this
    file is trusted. `halt_file` halts this process as long as the file is there, or cannot be looked for.
    """

    ceiling: AutonomyWord = Autonomy.SHADOW
    ceilings: tuple[MatchedCeiling, ...] = ()
    freezes: tuple[MatchedFreeze, ...] = ()
    promoted: tuple[str, ...] = ()
    halt_file: Path | None = None
    terms: Pace = Pace()
    reconcile: ReconcileSettings = ReconcileSettings()
    budgets: Budgets = Budgets()
    """How many disruptive steps may start, over all replicas. All replicas should have the same."""
    workers: int = Field(default=4, ge=1, le=64)
    waiting_at_most: int = Field(default=64, ge=0, le=1024)
    """How many incidents may wait for systems that are slow to answer without taking a worker from others."""
    poll_every: Duration = timedelta(milliseconds=250)
    evidence_timeout: Duration = timedelta(seconds=30)
    queue_limit: int = Field(default=2000, ge=1)
    """How many deliveries may wait for the writer; more are refused with 503."""
    batch_limit: int = Field(default=200, ge=1)
    """How many deliveries go into one transaction at most."""
    watchdog: WatchdogSettings | None = None
    """The alert that always fires, where there is one; empty by default."""
    open_incidents_per_rule: int = Field(default=200, ge=1)
    """How many incidents of one rule may be open; further alerts of it join one overflow incident."""
    intake_timeout: Duration = timedelta(seconds=10)
    stop_grace: Duration = timedelta(seconds=30)
    """How long running effects may finish after SIGTERM."""

    @property
    def reach(self) -> str:
        """How far anything may go by these settings, in words: the ceiling, and where it is another."""
        others = [entry for entry in self.ceilings if entry.level is not self.ceiling]
        if not others:
            return self.ceiling.word
        most = max(self.ceiling, *(entry.level for entry in others))
        return f"{most.word} ({self.ceiling.word}, except {', '.join(entry.words for entry in others)})"
