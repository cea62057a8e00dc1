"""What happened in a test, as facts that expectations are compared with, and as a timeline for people."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from responder.decide.case import Change
from responder.model.attempt import Attempt
from responder.model.duration import format_duration
from responder.model.guard import Guard, Ruling
from responder.model.incident import Incident, IncidentState
from responder.model.policy import NoticeKind
from responder.model.schedule import ScheduledRun
from responder.model.timeline import EntryDraft, EntryKind
from responder.rehearsal.kept import Kept
from responder.rehearsal.memory import Memory
from responder.rehearsal.script import What


@dataclass(frozen=True, slots=True)
class Told:
    """One line of an incident's timeline."""

    at: datetime
    incident: UUID
    text: str
    kind: EntryKind | None = None
    """None for what is in no timeline: that it was heard of."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that happened, with everything that an expectation can ask of it."""

    at: datetime
    incident: UUID
    what: What
    fields: Mapping[str, Any]


@dataclass(slots=True)
class Happened:
    """Implements `memory.Observer`: keeps everything of one test."""

    facts: list[Fact] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    judged: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    """The rule and the facts of every judgement, for the coverage of guards and limits."""
    passed_by_condition: set[tuple[str, int]] = field(default_factory=set)
    """Rule and step (from 0) of what was passed over because its condition was not met."""
    undone: set[tuple[str, int, int]] = field(default_factory=set)
    """Rule, step and part (from 0) of what was taken back."""
    given_back: set[tuple[str, int]] = field(default_factory=set)
    """Rule and step (from 0) of what was given back, as far as any act of that."""
    repeated: set[tuple[str, int]] = field(default_factory=set)
    """Rule and step (from 0) of what was taken again."""
    looked: set[tuple[str, int]] = field(default_factory=set)
    """Rule and step of read-only steps that ran."""
    runs: list[tuple[datetime, str]] = field(default_factory=list)
    """What each run of a scheduled rule came to, in words."""
    checked: set[tuple[str, int, bool]] = field(default_factory=set)
    """Rule and step of what a scheduled run asked, and whether that was a finding."""
    severities: dict[str, set[str]] = field(default_factory=dict)
    """By rule, the severities that its incidents opened with."""
    inhibited: dict[str, set[str]] = field(default_factory=dict)
    """By rule, the rules of the incidents that explained its own."""
    raised: dict[str, set[str]] = field(default_factory=dict)
    """By rule, the severities that time alone made of its incidents."""
    _attempts: dict[UUID, Fact] = field(default_factory=dict)
    memory: Memory | None = None

    def opened(self, kept: Kept, at: datetime) -> None:
        """It is pending: told when it opens."""
        self.told.append(Told(at, kept.incident.id, "Heard of"))

    def changed(self, kept: Kept, before: Incident, change: Change, at: datetime) -> None:
        """Everything that a change says."""
        incident = kept.incident
        for entry in change.entries:
            self.told.append(Told(at, incident.id, entry.text, entry.kind))
            self._entry(kept, entry, at)
        if change.verdict is not None and change.verdict.verdict is not None:
            self._verdict(kept, change, at)
        for notice in change.notices:
            fields = {"kind": notice.kind.value, "level": notice.level, "says": notice.text}
            self._note(What.NOTICES, kept, at, fields)
            if notice.level > 0 and notice.kind is not NoticeKind.OPENED:
                severity = incident.severity.value
                self._note(What.ESCALATIONS, kept, at, {**fields, "severity": severity})
        if (by := change.progress.inhibited) is not None:
            self.inhibited.setdefault(kept.rule.name, set()).add(by.rule)
        self._steps_read(kept, before, change)

    def ran(self, run: ScheduledRun, at: datetime) -> None:
        """What a run came to. It has no incident of its own; its findings may have."""
        report = run.report
        if report is None:
            return
        self.runs.append((at, f"{run.rule}: {report.summary}"))
        self.checked |= {(run.rule, index, step.finding) for index, step in enumerate(report.steps)}
        fields = {
            "rule": run.rule,
            "outcome": report.outcome.value,
            "findings": list(report.findings),
            "says": report.summary,
        }
        self.facts.append(Fact(at, run.id, What.RUNS, fields))

    def _steps_read(self, kept: Kept, before: Incident, change: Change) -> None:
        """A read-only step of the ladder ran: its number moved on, and nothing was judged."""
        after, step = change.progress.step, before.progress.step
        if after == step + 1 and not kept.rule.steps[step].kind.changing:
            self.looked.add((kept.rule.name, step))

    def _entry(self, kept: Kept, entry: EntryDraft, at: datetime) -> None:
        match entry.kind:
            case EntryKind.OPENED:
                opened = self.severities.setdefault(kept.rule.name, set())
                opened.add(kept.incident.severity.value)
            case EntryKind.RULE if "raised_after" in entry.facts:
                self.raised.setdefault(kept.rule.name, set()).add(entry.facts["to"])
            case EntryKind.INTENT:
                self._started(kept, at)
            case EntryKind.EFFECT:
                self._ended(entry)
            case EntryKind.JUDGED:
                self.judged.append((kept.rule.name, entry.facts))
                if entry.facts["ruling"] != Ruling.GO.name.lower():
                    self._guard(kept, entry, at)
            case _:
                return

    def _started(self, kept: Kept, at: datetime) -> None:
        if self.memory is None or kept.attempt is None:
            return
        attempt = self.memory.ledger.attempts[kept.attempt]
        if (asked := kept.incident.by_hand) is not None and asked.gives_back is not None:
            owed = self.memory.ledger.attempts[asked.gives_back]
            self.given_back.add((owed.rule, owed.step))
        if attempt.undo_of is not None:
            self.undone.add((attempt.rule, attempt.step, attempt.part or 0))
        elif kept.incident.progress.taken > 1:
            self.repeated.add((attempt.rule, attempt.step))
        fact = self._note(What.STEPS, kept, at, _of_attempt(attempt))
        self._attempts[attempt.id] = fact

    def _ended(self, entry: EntryDraft) -> None:
        fact = self._attempts[UUID(entry.facts["attempt"])]
        fields = {**fact.fields, "outcome": entry.facts["outcome"]}
        ended = Fact(fact.at, fact.incident, fact.what, fields)
        self.facts[self.facts.index(fact)] = ended
        self._attempts[UUID(entry.facts["attempt"])] = ended

    def _guard(self, kept: Kept, entry: EntryDraft, at: datetime) -> None:
        if entry.facts["decided_by"] == Guard.CONDITION.value:
            self.passed_by_condition.add((kept.rule.name, entry.facts["step"]))
        fields = {
            "step": entry.facts["step"] + 1,
            "action": entry.facts["action"],
            **_part(entry.facts.get("part")),
            "guard": entry.facts["decided_by"],
            "ruling": entry.facts["ruling"],
            "says": entry.facts["reason"],
        }
        self._note(What.GUARDS, kept, at, fields)

    def _verdict(self, kept: Kept, change: Change, at: datetime) -> None:
        if change.verdict is None or change.verdict.verdict is None:
            return
        step = self._attempts[change.verdict.attempt_id].fields
        fields = {
            "step": step["step"],
            "action": step["action"],
            "verdict": change.verdict.verdict.value,
        }
        self._note(What.VERDICTS, kept, at, fields)

    def _note(self, what: What, kept: Kept, at: datetime, fields: Mapping[str, Any]) -> Fact:
        known = {"rule": kept.incident.rule, "key": dict(kept.incident.key)}
        fact = Fact(at, kept.incident.id, what, {**known, **fields})
        self.facts.append(fact)
        return fact

    def between(self, what: What, after: datetime | None, until: datetime) -> list[Fact]:
        """What happened of a kind after one moment and up to another."""
        return [
            fact
            for fact in self.facts
            if fact.what is what and fact.at <= until and (after is None or fact.at > after)
        ]

    def incidents(self, memory: Memory) -> list[Fact]:
        """Every incident that is not closed, as it stands."""
        return [
            Fact(memory.clock.now, kept.incident.id, What.INCIDENTS, _of_incident(kept.incident))
            for kept in memory.incidents.values()
            if kept.incident.state is not IncidentState.CLOSED
        ]


@dataclass(frozen=True, slots=True)
class Timeline:
    """One incident as it ended, and what it told: offset and text."""

    incident: str
    lines: tuple[tuple[str, str], ...]


def timelines(happened: Happened, memory: Memory, start: datetime) -> Iterator[Timeline]:
    """What scheduled rules found, and every incident with what it told."""
    if happened.runs:
        ran = tuple((offset_words(at - start), text) for at, text in happened.runs)
        yield Timeline(incident="scheduled runs", lines=ran)
    for kept in memory.incidents.values():
        incident = kept.incident
        key = ", ".join(f"{name}={value}" for name, value in sorted(incident.key.items())) or "all alerts"
        lines = [one for one in happened.told if one.incident == incident.id]
        yield Timeline(
            incident=f"{incident.severity} {incident.rule} ({key}), {incident.state.value}",
            lines=tuple((offset_words(one.at - start), one.text) for one in lines),
        )


def offset_words(offset: timedelta) -> str:
    """An offset as a test writes it."""
    return format_duration(offset)


def _part(part: int | None) -> dict[str, int]:
    """Which part of an `all:`, from 1."""
    return {} if part is None else {"part": part + 1}


def _of_attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "step": attempt.step + 1,
        **_part(attempt.part),
        "action": attempt.action,
        "target": attempt.target,
        "with": attempt.params,
        "elements": [element.title for element in attempt.elements],
        "outcome": attempt.outcome.value,
        "undo": attempt.undo_of is not None,
    }


def _of_incident(incident: Incident) -> dict[str, Any]:
    return {
        "rule": incident.rule,
        "key": dict(incident.key),
        "severity": incident.severity.value,
        "state": incident.state.value,
        "outcome": incident.progress.outcome,
    }
