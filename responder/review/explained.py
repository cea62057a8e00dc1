"""Why each step of an incident went or did not: what every guard said of it, read from the timeline.

The verdicts are those of the moment, as they were recorded; nothing is judged anew here.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from responder.model.attempt import Attempt
from responder.model.base import Frozen
from responder.model.guard import Guard, Ruling, RulingWord
from responder.model.timeline import Entry, EntryKind
from responder.ports import Dossier


class GuardWord(Frozen):
    """What one guard said. `asks` is what it looks at, in words; empty for a guard that is no more."""

    guard: str
    asks: str
    ruling: RulingWord
    reason: str


class Judged(Frozen):
    """One judgement, or several in a row that said the same: `times` of them, between two times."""

    action: str
    target: str | None
    ruling: RulingWord
    decided_by: str
    reason: str
    shadow: bool
    words: tuple[GuardWord, ...]
    elements: tuple[str, ...]
    element_count: int
    first_at: datetime
    last_at: datetime
    times: int

    @property
    def held_by(self) -> tuple[GuardWord, ...]:
        """The guards that did not let it go, the strictest first."""
        against = (word for word in self.words if word.ruling is not Ruling.GO)
        return tuple(sorted(against, key=lambda word: -word.ruling))

    @property
    def let_go(self) -> tuple[GuardWord, ...]:
        """The guards that had nothing against it."""
        return tuple(word for word in self.words if word.ruling is Ruling.GO)


class StepTold(Frozen):
    """One step of the ladder: what was judged of it, in order, and the attempts that came of it."""

    number: int
    """From 1."""
    action: str
    next: bool
    """Whether it is the one that the ladder stands before."""
    judged: tuple[Judged, ...]
    attempts: tuple[Attempt, ...]


class Explanation(Frozen):
    """Every step of the incident's ladder, in order."""

    steps: tuple[StepTold, ...]


def explain(dossier: Dossier) -> Explanation:
    """What every guard said of every step."""
    entries = sorted(dossier.entries, key=lambda entry: entry.number)
    told = [entry for entry in entries if entry.kind is EntryKind.JUDGED]
    steps = (
        StepTold(
            number=index + 1,
            action=str(step.get("action", "")),
            next=index == dossier.incident.progress.step and dossier.incident.state.live,
            judged=tuple(_runs(entry for entry in told if entry.facts.get("step") == index)),
            attempts=tuple(attempt for attempt in dossier.attempts if attempt.step == index),
        )
        for index, step in enumerate(dossier.rule.get("steps", ()))
    )
    return Explanation(steps=tuple(steps))


def _runs(entries: Iterator[Entry]) -> Iterator[Judged]:
    """Judgements in a row that say the same become one."""
    before: Judged | None = None
    for entry in entries:
        one = _judged(entry)
        if before is not None and _alike(before, one):
            before = one.model_copy(update={"first_at": before.first_at, "times": before.times + 1})
            continue
        if before is not None:
            yield before
        before = one
    if before is not None:
        yield before


def _alike(one: Judged, other: Judged) -> bool:
    """By who says what, not by the words: these may count down."""

    def said(judged: Judged) -> Any:
        return judged.action, judged.target, judged.shadow, [(w.guard, w.ruling) for w in judged.words]

    return bool(said(one) == said(other))


def _judged(entry: Entry) -> Judged:
    facts = entry.facts
    return Judged(
        action=str(facts.get("action", "")),
        target=facts.get("target"),
        ruling=_ruling(facts),
        decided_by=str(facts.get("decided_by", "")),
        reason=str(facts.get("reason", entry.text)),
        shadow=bool(facts.get("shadow")),
        words=tuple(_word(verdict) for verdict in facts.get("verdicts", ())),
        elements=tuple(facts.get("elements", ())),
        element_count=int(facts.get("element_count", 0)),
        first_at=entry.at,
        last_at=entry.at,
        times=1,
    )


_ASKS = {guard.value: guard.asks for guard in Guard}


def _word(verdict: Mapping[str, Any]) -> GuardWord:
    name = str(verdict.get("guard", ""))
    return GuardWord(
        guard=name,
        asks=_ASKS.get(name, ""),
        ruling=_ruling(verdict),
        reason=str(verdict.get("reason", "")),
    )


def _ruling(facts: Mapping[str, Any]) -> Ruling:
    """A redacted entry has no verdict any more: nothing was against it that we can name."""
    return Ruling[str(facts.get("ruling", "go")).upper()]
