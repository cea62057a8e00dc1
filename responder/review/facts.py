"""What happened, read from a dossier: times, stages, actions, what was held back, who was told.

Two clocks appear here and are named wherever they meet: the source's (when an alert began and ended) and ours
(service time, everything else). No prose: sentences are `document`'s.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Any
from uuid import UUID

from responder.model.attempt import Attempt, Outcome, Owed, Quarantined, Verdict
from responder.model.base import Frozen
from responder.model.by_hand import ByHand
from responder.model.incident import Incident, IncidentState, MemberAlert
from responder.model.severity import Severity, SeverityTerms
from responder.model.timeline import Entry, EntryKind
from responder.ports import Dossier


class Told(Frozen):
    """One entry of the timeline."""

    number: int
    at: datetime
    kind: EntryKind
    actor: str
    text: str
    redacted: bool


class Stage(Frozen):
    """A time that the incident spent in one state. `until` is None for the last one."""

    state: IncidentState
    since: datetime
    until: datetime | None
    why: str


class ElementEnd(Frozen):
    """What happened to one pinned element."""

    title: str
    outcome: Outcome
    detail: str


class Act(Frozen):
    """One attempt: what was done to what, and the target's state before and after."""

    attempt_id: UUID
    step: int
    action: str
    target: str
    params: dict[str, Any]
    intended_at: datetime
    ended_at: datetime | None
    outcome: Outcome
    verdict: Verdict | None
    verdict_at: datetime | None
    elements: tuple[ElementEnd, ...]
    state_before: dict[str, Any]
    state_after: dict[str, Any] | None
    undo_of: UUID | None
    part: int | None = None
    """Which part of an `all:` it is, or takes back; from 0."""
    approved_by: str | None = None
    """Who said yes to it, where somebody was asked; or who asked for it by hand."""
    quarantined: Quarantined | None = None
    """Where it left its target quarantined, and whether a person has released that."""
    owed: Owed | None = None
    """Where it was done for a while: when it is given back, as which incident, or who keeps it."""


class HeldBack(Frozen):
    """A step that a guard kept from starting, or that had no effect because of shadow.

    Equal judgements in a row are one: `times` of them, from `first_at` to `last_at`. `objections` are all
    verdicts that were not a go, as (guard, reason). `elements` are the titles of what the step would have
    hit, the first ones of `element_count`, as the last of the judgements found them.
    """

    step: int | None
    action: str
    target: str | None
    ruling: str
    guard: str
    reason: str
    shadow: bool
    objections: tuple[tuple[str, str], ...]
    elements: tuple[str, ...]
    element_count: int
    first_at: datetime
    last_at: datetime
    times: int
    entries: tuple[int, ...]

    @property
    def only_shadow(self) -> bool:
        """Whether nothing but shadow kept the effect from happening."""
        return self.shadow and self.ruling == "go"


class Evidence(Frozen):
    """One thing that was found out."""

    at: datetime
    entry: int
    action: str
    summary: str


class Check(Frozen):
    """One reading of the verification; a verdict ends it."""

    at: datetime
    entry: int
    verdict: Verdict | None
    reading: str


class Escalation(Frozen):
    """A person was told. `asks` says whether they had to act, or automation went on."""

    at: datetime
    entry: int
    level: int
    reason: str
    asks: bool


class Asked(Frozen):
    """A person was asked for a yes or a no, and why."""

    at: datetime
    entry: int
    reason: str


class PersonAct(Frozen):
    """A person did something."""

    at: datetime
    entry: int
    actor: str
    command: str
    reason: str


class ResponseKind(StrEnum):
    """What counts as a response: whatever comes first."""

    ACTION = "the responder began an action"
    TOLD = "a person was told"
    PERSON = "a person acted"


class Response(Frozen):
    """The response against what the severity promises. `met` is None while nobody can say."""

    target: timedelta
    kind: ResponseKind | None
    at: datetime | None
    taken: timedelta | None
    met: bool | None


class Alerts(Frozen):
    """The alerts of the incident. `sample` holds at most a few of them, in a stable order."""

    total: int
    firing: int
    most_firing: int
    common_labels: dict[str, str]
    sources: tuple[str, ...]
    sample: tuple[MemberAlert, ...]


class ReviewFacts(Frozen):
    """Everything that a review tells."""

    incident_id: UUID
    rule: str
    rulebook_hash: str
    severity: Severity
    terms: SeverityTerms
    key: dict[str, str]
    by_hand: ByHand | None
    """Who opened it, where no alert did."""
    state: IncidentState
    outcome: str | None
    owner: str | None
    runbook_url: str | None
    notes: str | None

    started_at: datetime | None
    """The source's clock: when the first alert began to fire."""
    ended_at: datetime | None
    """The source's clock: when the last known alert ended; None while one fires."""
    detected_at: datetime
    """Service time, as everything below: when the first alert was heard of and stored."""
    taken_up_at: datetime
    """When a rule took it and the incident began: what the response counts from."""
    opened_at: datetime | None
    """When the ladder began, after the rule's `for`."""
    first_action_at: datetime | None
    """The first attempt that is not proven to have done nothing."""
    first_told_at: datetime | None
    first_person_at: datetime | None
    recovered_at: datetime | None
    """When it was found to be resolved for good, its `stable_for` included."""
    as_of: datetime
    """The last thing that is known."""

    alerts: Alerts
    acts: tuple[Act, ...]
    held_back: tuple[HeldBack, ...]
    evidence: tuple[Evidence, ...]
    checks: tuple[Check, ...]
    escalations: tuple[Escalation, ...]
    questions: tuple[Asked, ...]
    people: tuple[PersonAct, ...]
    stages: tuple[Stage, ...]
    reopened: int
    acknowledged_by: str | None
    in_auto: str | None
    """What people would have heard in auto when shadow ended the ladder last; None for nothing."""
    response: Response
    timeline: tuple[Told, ...]
    timeline_length: int
    """How many entries the incident says it has; fewer in `timeline` means that some are missing."""
    timeline_head: str | None
    """The MAC of the last entry, as hexadecimal digits."""

    @property
    def final(self) -> bool:
        """Whether nothing can be added any more."""
        return self.state is IncidentState.CLOSED

    @property
    def taken_up_later(self) -> bool:
        """Whether no rule took the first alert when it arrived, and a rulebook that came later did."""
        return self.detected_at < self.taken_up_at

    @property
    def words(self) -> tuple[Escalation | Asked, ...]:
        """Every word to a person in its order: whoever is asked is told."""
        words: list[Escalation | Asked] = [*self.escalations, *self.questions]
        return tuple(sorted(words, key=lambda word: (word.at, word.entry)))

    @property
    def detection_delay(self) -> timedelta | None:
        """From the alert's start to its arrival here, over two clocks; None where these disagree."""
        if self.started_at is None or self.started_at > self.detected_at:
            return None
        return self.detected_at - self.started_at


def read(dossier: Dossier, terms: SeverityTerms) -> ReviewFacts:
    """The facts of one incident, whatever the order of what the dossier holds; `terms` are its severity's."""
    incident, opened_at = dossier.incident, dossier.incident.opened_at
    entries = tuple(sorted(dossier.entries, key=lambda entry: entry.number))
    attempts = sorted(dossier.attempts, key=lambda a: (a.intended_at, a.id))
    left = {one.attempt_id: one for one in dossier.quarantined}
    owed = {one.attempt_id: one for one in dossier.owed}
    acts = tuple(
        _act(one, _approved_by(one, dossier), left.get(one.id), owed.get(one.id)) for one in attempts
    )
    alerts = _alerts(dossier, entries)
    detected_at = min(dossier.members.first_heard_at or opened_at, opened_at)
    stages = stages_of(entries, opened_at, _began(incident.by_hand, later=detected_at < opened_at))
    recovered_at = _recovered_at(incident.state, stages, entries)
    as_of = max([incident.state_since, *(entry.at for entry in entries)])
    firsts = _firsts(acts, entries)
    return ReviewFacts(
        terms=terms,
        started_at=dossier.members.first_starts_at,
        ended_at=_ended_at(alerts),
        detected_at=detected_at,
        taken_up_at=opened_at,
        first_action_at=firsts[ResponseKind.ACTION],
        first_told_at=firsts[ResponseKind.TOLD],
        first_person_at=firsts[ResponseKind.PERSON],
        recovered_at=recovered_at,
        as_of=as_of,
        alerts=alerts,
        acts=acts,
        stages=stages,
        reopened=_reopened(stages),
        response=_response(opened_at, terms.response_time, firsts, recovered_at or as_of),
        **_of_incident(incident, dossier.rule),
        **_of_timeline(entries),
    )


def _of_incident(incident: Incident, rule: Mapping[str, Any]) -> dict[str, Any]:
    """What the incident and its rule say by themselves."""
    return {
        "incident_id": incident.id,
        "rule": incident.rule,
        "rulebook_hash": incident.rulebook_hash,
        "severity": incident.severity,
        "key": incident.key,
        "by_hand": incident.by_hand,
        "state": incident.state,
        "outcome": incident.progress.outcome,
        "owner": _text(rule.get("owner")),
        "runbook_url": _text(rule.get("runbook_url")),
        "notes": _text(rule.get("notes")),
        "acknowledged_by": incident.progress.acknowledged_by,
        "timeline_length": incident.timeline_length,
    }


def _of_timeline(entries: tuple[Entry, ...]) -> dict[str, Any]:
    """What the entries tell, in their order."""
    return {
        "opened_at": next((entry.at for entry in entries if entry.kind is EntryKind.OPENED), None),
        "held_back": _held_back(entries),
        "evidence": _evidence(entries),
        "checks": _checks(entries),
        "escalations": _escalations(entries),
        "questions": _questions(entries),
        "people": _people(entries),
        "in_auto": _in_auto(entries),
        "timeline": tuple(_told(entry) for entry in entries),
        "timeline_head": entries[-1].mac.hex() if entries else None,
    }


def _firsts(acts: Iterable[Act], entries: tuple[Entry, ...]) -> dict[ResponseKind, datetime | None]:
    """When each kind of response came first."""
    begun = (act.intended_at for act in acts if act.outcome is not Outcome.NOT_DONE)
    told = [*(one.at for one in _escalations(entries)), *(one.at for one in _questions(entries))]
    people = (person.at for person in _people(entries))
    return {
        ResponseKind.ACTION: min(begun, default=None),
        ResponseKind.TOLD: min(told, default=None),
        ResponseKind.PERSON: min(people, default=None),
    }


def _in_auto(entries: Iterable[Entry]) -> str | None:
    said = [entry.facts["in_auto"] for entry in entries if "in_auto" in entry.facts]
    return _text(said[-1]) if said else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _told(entry: Entry) -> Told:
    return Told(
        number=entry.number,
        at=entry.at,
        kind=entry.kind,
        actor=entry.actor,
        text=entry.text,
        redacted=entry.redacted,
    )


def _approved_by(attempt: Attempt, dossier: Dossier) -> str | None:
    """By the command that the attempt used up; what was asked for by hand is approved by whoever asked."""
    given = {command.id: command.actor for command in dossier.commands}
    by_hand = dossier.incident.by_hand
    if attempt.approval is not None:
        return given.get(attempt.approval)
    return by_hand.actor if by_hand is not None else None


def _act(
    attempt: Attempt, approved_by: str | None, quarantined: Quarantined | None, owed: Owed | None
) -> Act:
    ends = {result.element: result for result in attempt.results}
    elements = tuple(
        ElementEnd(
            title=element.title,
            outcome=ends[element.key].outcome if element.key in ends else Outcome.STARTED,
            detail=ends[element.key].detail if element.key in ends else "",
        )
        for element in attempt.elements
    )
    return Act(
        attempt_id=attempt.id,
        step=attempt.step,
        action=attempt.action,
        target=attempt.target,
        params=attempt.params,
        intended_at=attempt.intended_at,
        ended_at=attempt.ended_at,
        outcome=attempt.outcome,
        verdict=attempt.verdict,
        verdict_at=attempt.verdict_at,
        elements=elements,
        state_before=attempt.state_before,
        state_after=attempt.state_after,
        undo_of=attempt.undo_of,
        part=attempt.part,
        approved_by=approved_by,
        quarantined=quarantined,
        owed=owed,
    )


# --- alerts and stages --------------------------------------------------------------------------------


def _alerts(dossier: Dossier, entries: Iterable[Entry]) -> Alerts:
    members = dossier.members
    sample = sorted(members.sample, key=lambda a: (a.starts_at, a.source, a.fingerprint, a.generation))
    told = [_number(entry.facts.get("firing")) for entry in entries if entry.kind is EntryKind.ALERT]
    return Alerts(
        total=members.total,
        firing=members.firing,
        most_firing=max([members.firing, *told]),
        common_labels=members.common_labels,
        sources=tuple(sorted({alert.source for alert in sample})),
        sample=tuple(sample),
    )


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _ended_at(alerts: Alerts) -> datetime | None:
    ends = [alert.ends_at for alert in alerts.sample if alert.ends_at is not None]
    return max(ends) if ends and alerts.firing == 0 else None


def _began(by_hand: ByHand | None, *, later: bool) -> str:
    if by_hand is not None:
        return f"{by_hand.actor} asked for it by hand"
    return "a new rulebook took up its first alert" if later else "its first alert was stored"


def stages_of(entries: Iterable[Entry], first: datetime, began: str) -> tuple[Stage, ...]:
    """The states in order, each with its time; `began` is why the first one was entered."""
    moves = [(first, IncidentState.PENDING, began)]
    for entry in entries:
        state = _state_after(entry, moves[-1][1])
        if state is not None and state is not moves[-1][1]:
            moves.append((entry.at, state, str(entry.facts.get("why") or entry.text)))
    ends = [move[0] for move in moves[1:]]
    return tuple(
        Stage(state=state, since=at, until=until, why=why)
        for (at, state, why), until in zip(moves, [*ends, None], strict=True)
    )


def _state_after(entry: Entry, before: IncidentState) -> IncidentState | None:
    """The state that an entry tells of; entries of what happens inside a state tell of none."""
    match entry.kind:
        case EntryKind.STATE:
            return _known_state(entry.facts.get("to"))
        case EntryKind.OPENED:
            return IncidentState.OPEN
        case EntryKind.INTENT:
            return IncidentState.REMEDIATING
        case EntryKind.ESCALATION:
            return before if before is IncidentState.TAKEN_OVER else IncidentState.ESCALATED
        case EntryKind.PERSON if entry.facts.get("command") == "take_over":
            return before if before is IncidentState.CLOSED else IncidentState.TAKEN_OVER
        case _:
            return None


def _known_state(word: object) -> IncidentState | None:
    return next((state for state in IncidentState if state.value == word), None)


def _reopened(stages: tuple[Stage, ...]) -> int:
    ended = {IncidentState.RESOLVED, IncidentState.RECORDED}
    return sum(
        1 for before, after in pairwise(stages) if before.state in ended and after.state is IncidentState.OPEN
    )


def _recovered_at(
    state: IncidentState, stages: tuple[Stage, ...], entries: Iterable[Entry]
) -> datetime | None:
    """When it was resolved and stayed so; of what was only recorded, when its last alert ended."""
    ended = [stage for stage in stages if stage.state is not IncidentState.CLOSED]
    if ended and ended[-1].state is IncidentState.RESOLVED:
        return ended[-1].since
    if state not in {IncidentState.RECORDED, IncidentState.CLOSED}:
        return None
    last = next((e for e in reversed(tuple(entries)) if e.kind is EntryKind.ALERT), None)
    return last.at if last is not None and last.facts.get("firing") == 0 else None


# --- what the timeline tells --------------------------------------------------------------------------


def _held_back(entries: Iterable[Entry]) -> tuple[HeldBack, ...]:
    held: list[HeldBack] = []
    for entry in entries:
        if entry.kind is not EntryKind.JUDGED or entry.facts.get("nothing_to_do"):
            continue
        one = _judgement(entry)
        if one.ruling == "go" and not one.shadow:
            continue
        if held and _same(held[-1], one):
            last = held[-1]
            numbers = last.entries + one.entries
            merged = {"first_at": last.first_at, "times": last.times + 1, "entries": numbers}
            held[-1] = one.model_copy(update=merged)
        else:
            held.append(one)
    return tuple(held)


def _same(one: HeldBack, other: HeldBack) -> bool:
    return _what(one) == _what(other)


def _what(held: HeldBack) -> tuple[object, ...]:
    """What makes two judgements equal; in shadow what would have been hit is the news, so it counts too."""
    hit = (held.elements, held.element_count) if held.shadow else None
    return (held.step, held.action, held.target, held.ruling, held.guard, held.reason, held.shadow, hit)


def _judgement(entry: Entry) -> HeldBack:
    facts = entry.facts
    verdicts = [v for v in facts.get("verdicts") or () if isinstance(v, Mapping)]
    guard = str(facts.get("decided_by") or "")
    decisive = (str(v.get("reason")) for v in verdicts if v.get("guard") == guard and v.get("reason"))
    step = facts.get("step")
    elements = tuple(str(title) for title in facts.get("elements") or ())
    return HeldBack(
        step=step if isinstance(step, int) else None,
        action=str(facts.get("action") or ""),
        target=_text(facts.get("target")),
        ruling=str(facts.get("ruling") or ""),
        guard=guard,
        reason=_text(facts.get("reason")) or next(decisive, entry.text),
        shadow=facts.get("shadow") is True,
        objections=tuple(
            (str(v.get("guard")), str(v.get("reason"))) for v in verdicts if v.get("ruling") != "go"
        ),
        elements=elements,
        element_count=_number(facts.get("element_count")) or len(elements),
        first_at=entry.at,
        last_at=entry.at,
        times=1,
        entries=(entry.number,),
    )


def _evidence(entries: Iterable[Entry]) -> tuple[Evidence, ...]:
    return tuple(
        Evidence(
            at=entry.at,
            entry=entry.number,
            action=str(entry.facts.get("action") or ""),
            summary=_text(entry.facts.get("summary")) or entry.text,
        )
        for entry in entries
        if entry.kind is EntryKind.EVIDENCE
    )


def _checks(entries: Iterable[Entry]) -> tuple[Check, ...]:
    return tuple(
        Check(
            at=entry.at,
            entry=entry.number,
            verdict=next((v for v in Verdict if v.value == entry.facts.get("verdict")), None),
            reading=_text(entry.facts.get("reading")) or entry.text,
        )
        for entry in entries
        if entry.kind is EntryKind.VERIFICATION
    )


def _escalations(entries: Iterable[Entry]) -> tuple[Escalation, ...]:
    return tuple(
        Escalation(
            at=entry.at,
            entry=entry.number,
            level=_number(entry.facts.get("level")),
            reason=_text(entry.facts.get("reason")) or entry.text,
            asks=entry.kind is EntryKind.ESCALATION,
        )
        for entry in entries
        if entry.kind in {EntryKind.ESCALATION, EntryKind.TOLD}
    )


def _questions(entries: Iterable[Entry]) -> tuple[Asked, ...]:
    """Whoever is asked is told: the question goes out with the change of state."""
    return tuple(
        Asked(at=entry.at, entry=entry.number, reason=_text(entry.facts.get("why")) or entry.text)
        for entry in entries
        if entry.kind is EntryKind.STATE
        and _known_state(entry.facts.get("to")) is IncidentState.AWAITING_APPROVAL
    )


def _people(entries: Iterable[Entry]) -> tuple[PersonAct, ...]:
    return tuple(
        PersonAct(
            at=entry.at,
            entry=entry.number,
            actor=entry.actor,
            command=str(entry.facts.get("command") or ""),
            reason=str(entry.facts.get("reason") or ""),
        )
        for entry in entries
        if entry.kind is EntryKind.PERSON
    )


def _response(
    since: datetime, target: timedelta, firsts: Mapping[ResponseKind, datetime | None], known_until: datetime
) -> Response:
    """The first response, or none: then the promise is broken only once its time was over before the end."""
    known = [(at, kind) for kind, at in firsts.items() if at is not None]
    if known:
        at, kind = min(known)
        return Response(target=target, kind=kind, at=at, taken=at - since, met=at - since <= target)
    overdue = known_until - since > target
    return Response(target=target, kind=None, at=None, taken=None, met=False if overdue else None)
