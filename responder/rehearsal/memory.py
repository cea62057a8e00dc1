"""What the store keeps, in memory and in virtual time: alerts, incidents, the ledger, what restrains.

It lasts as long as a rehearsal and has one owner. So nothing races, and nothing is locked; what intake and
the owner's transactions mean for an incident (who joins, who is woken when, what is not written) is the same
as in the store.
"""

import heapq
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from responder.decide.case import (
    Case,
    Change,
    Finding,
    LedgerQuestion,
    LedgerView,
    OpenIncidents,
    Terms,
)
from responder.decide.fold import AlertRecord
from responder.decide.inhibit import has_values, inhibits
from responder.model.alert import AlertKey
from responder.model.attempt import Attempt, Claim, Intent, Outcome
from responder.model.incident import Command, Incident, IncidentState
from responder.model.inhibition import Inhibitor, Inhibits
from responder.model.restraint import Restraint, RestraintKind, Restraints
from responder.model.rule import Rule, Rulebook
from responder.model.schedule import ScheduledRun
from responder.model.severity import Severity
from responder.model.storm import UMBRELLA, Storm
from responder.ports import IncidentKey, Lease, NewByHand, NewIncident, OwedBack
from responder.rehearsal.idle import Idle
from responder.rehearsal.ledger import Ledger
from responder.rehearsal.members import Episode, Member, Membership
from responder.store.openings import NEWS_WITHIN

_HEARS_AT_ONCE = {
    IncidentState.PENDING,
    IncidentState.OPEN,
    IncidentState.RESOLVED,
    IncidentState.RECORDED,
}
"""What is quiet hears of its members at once, all others soon."""
_NOT_UNDER_WAY = {
    IncidentState.PENDING,
    IncidentState.RESOLVED,
    IncidentState.RECORDED,
    IncidentState.CLOSED,
}
_WAITING = {IncidentState.HELD, IncidentState.AWAITING_APPROVAL}
_NAMED = 3
_SHOWN = 120
_VALUE_SHOWN = 60


class Observer(Protocol):
    """Who is told what happens. A rehearsal keeps no history of its own: a backtest has too much of it."""

    def opened(self, kept: "Kept", at: datetime) -> None:
        """An incident was opened; it may be pending."""
        ...

    def changed(self, kept: "Kept", before: Incident, change: Change, at: datetime) -> None:
        """A change was recorded: of an intent, too."""
        ...

    def ran(self, run: ScheduledRun, at: datetime) -> None:
        """A scheduled rule ran: the run has its report."""
        ...


@dataclass(slots=True)
class Kept:
    """One incident as it stands."""

    incident: Incident
    rule: Rule
    """As pinned."""
    identity: IncidentKey
    members: Membership = field(default_factory=Membership)
    attempt: UUID | None = None
    """The newest."""
    commands: deque[Command] = field(default_factory=deque)
    findings: list[Finding] = field(default_factory=list)


@dataclass(slots=True)
class Clock:
    """The one clock of a rehearsal."""

    now: datetime


Order = tuple[Severity, datetime, int]
"""Who comes first of those that are due at one moment."""


def _order(incident: Incident, due: datetime) -> Order:
    return (incident.severity, due, incident.id.int)


class Memory:
    """See `ports.Store`, of which it has what deciding and performing ask for."""

    def __init__(self, clock: Clock, rulebook: Rulebook, terms: Terms, observer: Observer) -> None:
        self.clock = clock
        self.ledger = Ledger()
        self.records: dict[AlertKey, AlertRecord] = {}
        self.incidents: dict[UUID, Kept] = {}
        self.restrained: list[Restraint] = []
        self._restraints_made = 0
        self.rulebook = rulebook
        self._hash = rulebook.hash
        self._rules = {rule.name: rule for rule in rulebook.rules}
        self._terms = terms
        self.observer = observer
        self._open: dict[IncidentKey, UUID] = {}
        """Those that are not closed."""
        self._episodes: dict[Episode, list[tuple[UUID, Member]]] = {}
        """The incidents that an episode belongs to, one of each rule that took it."""
        self._joined: dict[AlertKey, deque[datetime]] = {}
        """When the newest episodes of an alert joined, as many as flapping counts."""
        self._under_way: dict[str, dict[UUID, None]] = defaultdict(dict)
        self._pending: dict[str, dict[UUID, None]] = defaultdict(dict)
        self._not_closed: dict[str, int] = defaultdict(int)
        """By rule, how many incidents are neither resolved nor closed."""
        self._openings: deque[datetime] = deque()
        self._owed_back: dict[UUID, datetime] = {}
        self._given_back: dict[UUID, UUID] = {}
        """By the attempt that is given back, the incident that does it."""
        self._part_of: dict[UUID, dict[UUID, None]] = defaultdict(dict)
        self._due: list[tuple[datetime, int, UUID]] = []
        self._ready: list[tuple[Severity, datetime, int, UUID]] = []
        """Those that are due now, the worst first: as workers take them."""
        self.idle: dict[UUID, Idle] = {}
        self.working: Order | None = None
        """The place in line of the incident that is at work."""

    # --- time ------------------------------------------------------------------------------------------

    async def now(self) -> datetime:
        """The rehearsal's."""
        return self.clock.now

    def next_due(self) -> datetime | None:
        """When the next incident is due."""
        while self._due and self._is_stale(self._due[0][0], self._due[0][2]):
            heapq.heappop(self._due)
        return self._due[0][0] if self._due else None

    def take_due(self) -> Kept | None:
        """The incident that is due now, the worst first."""
        while (due := self.next_due()) is not None and due <= self.clock.now:
            _, order, incident_id = heapq.heappop(self._due)
            severity = self.incidents[incident_id].incident.severity
            heapq.heappush(self._ready, (severity, due, order, incident_id))
        while self._ready:
            _, due, _, incident_id = heapq.heappop(self._ready)
            if not self._is_stale(due, incident_id):
                self.idle.pop(incident_id, None)
                self.working = _order(self.incidents[incident_id].incident, due)
                return self.incidents[incident_id]
        return None

    def rest(self, kept: Kept, until: datetime) -> None:
        """Its last look has changed nothing: before `until` the next ones would not either, but the last."""
        incident, now = kept.incident, self.clock.now
        if incident.due_at is None or incident.due_at <= now:
            return
        idle = Idle(now, incident.due_at - now)
        stands = [one for restraint in self.restrained for one in (restraint.since, restraint.until)]
        until = min([until, *(one for one in stands if one is not None and one > now)])
        look = idle.last_look(until)
        if look > incident.due_at:
            self.idle[incident.id] = idle
            self._due_at(kept, look)

    def rouse(self, moment: datetime) -> None:
        """Something happens: whoever is idle looks when it would have looked next.

        What an incident does at that moment comes after the looks of those that are before it in line.
        """
        after = self.working
        for incident_id, idle in self.idle.items():
            kept = self.incidents[incident_id]
            look = idle.look(moment)
            if after is not None and look == moment and _order(kept.incident, look) < after:
                look += idle.every
            if kept.incident.due_at is not None and look < kept.incident.due_at:
                self._due_at(kept, look)
        self.idle.clear()

    def _due_at(self, kept: Kept, moment: datetime) -> None:
        """As the looks that were left out would have written it."""
        incident = kept.incident
        progress, hold = incident.progress, incident.progress.hold
        if hold is not None and hold.until == incident.due_at:
            progress = progress.model_copy(update={"hold": hold.model_copy(update={"until": moment})})
        kept.incident = incident.model_copy(update={"due_at": moment, "progress": progress})
        self._put_back(kept)

    def _put_back(self, kept: Kept) -> None:
        """It is due when it says."""
        due = kept.incident.due_at
        if due is not None:
            heapq.heappush(self._due, (due, kept.incident.id.int, kept.incident.id))

    def _is_stale(self, due: datetime, incident_id: UUID) -> bool:
        return self.incidents[incident_id].incident.due_at != due

    # --- intake ----------------------------------------------------------------------------------------

    def keep(self, record: AlertRecord, *, news: bool) -> None:
        """What is known of an alert now; the incidents of its episodes hear of `news`."""
        before = self.records.get(record.key)
        self.rouse(self.clock.now)
        self.records[record.key] = record
        if before is None:
            return
        for generation in {before.generation, record.generation}:
            for found, member in self._episodes.get((record.key, generation), ()):
                if generation != record.generation and member.ends_at is not None:
                    continue
                self._bring_up_to_date(self.incidents[found], member, record)
                if news:
                    self._wake(self.incidents[found], None)

    def _bring_up_to_date(self, kept: Kept, member: Member, record: AlertRecord) -> None:
        if member.generation != record.generation:
            kept.members.end(member, record.last_end or member.starts_at)
            return
        member.seen_at = record.seen_at
        kept.members.starts(member, record.starts_at)
        if record.ends_at is not None:
            kept.members.end(member, record.ends_at)

    def is_in_closed(self, record: AlertRecord) -> bool:
        """Whether its episode belongs to a closed incident."""
        found = self._episodes.get((record.key, record.generation), ())
        return any(self.incidents[one].incident.state is IncidentState.CLOSED for one, _ in found)

    def open_or_join(self, wanted: Sequence[NewIncident]) -> None:
        """See `ports.IntakeTransaction.open_or_join`."""
        began = [record for new in wanted for key in new.members if self._is_new(record := self.records[key])]
        free = {(one.key, one.generation) for one in began}
        for new in sorted(wanted, key=lambda one: one.identity):
            joining = [self.records[key] for key in new.members]
            joining = [one for one in joining if (one.key, one.generation) in free]
            if not joining:
                continue
            self.rouse(self.clock.now)
            there = self._open.get(new.identity)
            if there is None:
                kept = self._opened(new)
            else:
                kept = self.incidents[there]
                self._wake(kept, new.severity)
            for record in joining:
                self._join(kept, record)
            if there is None:
                self.observer.opened(kept, self.clock.now)

    def _is_new(self, record: AlertRecord) -> bool:
        """Whether its episode fires, and no rule has taken it before."""
        return record.firing and (record.key, record.generation) not in self._episodes

    def _join(self, kept: Kept, record: AlertRecord) -> None:
        now = self.clock.now
        member = Member(
            key=record.key,
            generation=record.generation,
            starts_at=record.starts_at,
            ends_at=None,
            seen_at=record.seen_at,
            joined_at=now,
        )
        belongs = self._episodes.setdefault(member.episode, [])
        if not belongs:
            most = self._terms.flapping.episodes
            self._joined.setdefault(record.key, deque(maxlen=most)).append(now)
        belongs.append((kept.incident.id, member))
        kept.members.join(member)

    def _opened(self, new: NewIncident) -> Kept:
        due = self.clock.now + new.pending_for
        return self._add(new.identity, dict(new.key), new.severity, self._rules[new.rule], due)

    def _add(
        self, identity: IncidentKey, key: dict[str, str], severity: Severity, rule: Rule, due: datetime
    ) -> Kept:
        now = self.clock.now
        incident = Incident(
            id=UUID(int=len(self.incidents) + 1),
            rule=rule.name,
            rulebook_hash=self._hash,
            key=key,
            severity=severity,
            state=IncidentState.PENDING,
            opened_at=now,
            state_since=now,
            deadline=due,
            due_at=due,
            epoch=1,
        )
        kept = self.incidents[incident.id] = Kept(incident, rule, identity)
        self._open[identity] = incident.id
        self._not_closed[rule.name] += 1
        if rule.name != UMBRELLA.name:
            self._openings.append(now)
        self._pending[rule.name][incident.id] = None
        self._put_back(kept)
        return kept

    def _wake(self, kept: Kept, severity: Severity | None) -> None:
        """It hears of its members: at once where it is quiet, else soon."""
        incident, now = kept.incident, self.clock.now
        if incident.state is IncidentState.CLOSED:
            return
        at = now if incident.state in _HEARS_AT_ONCE else now + NEWS_WITHIN
        worse = incident.severity if severity is None else min(incident.severity, severity)
        self._woken(kept, at, severity=worse)

    def _woken(self, kept: Kept, at: datetime, **moved: object) -> None:
        incident = kept.incident
        due = at if incident.due_at is None else min(incident.due_at, at)
        woken = {"wakes": incident.wakes + 1, "due_at": due, **moved}
        kept.incident = incident.model_copy(update=woken)
        self._put_back(kept)

    async def standing(
        self, rules: Sequence[str], keys: Sequence[IncidentKey], at_most: int
    ) -> tuple[Mapping[str, int], set[IncidentKey]]:
        """See `ports.Store.standing`."""
        counted = {rule: min(self._not_closed[rule], at_most) for rule in rules}
        return counted, {key for key in keys if key in self._open}

    async def contested(self, limit: int) -> Sequence[AlertRecord]:
        """See `ports.Store.contested`. Looks at every alert: asked only where some are."""
        found = [one for one in self.records.values() if one.contested_at is not None]
        return sorted(found, key=lambda one: one.contested_at or self.clock.now)[:limit]

    # --- the owner's view and its changes ----------------------------------------------------------------

    def newest_seen_at(self, kept: Kept) -> datetime | None:
        """The newest observation of any firing member."""
        return kept.members.newest_seen_at(self.records)

    async def load(self, lease: Lease) -> Case:
        """The case as it stands now."""
        kept = self.incidents[lease.incident_id]
        attempt = None if kept.attempt is None else self.ledger.attempts[kept.attempt]
        held = [] if attempt is None else self.ledger.held_by(attempt.holder)
        umbrella = kept.incident.rule == UMBRELLA.name
        wanted = inhibits(kept.rule, kept.incident.key, self.rulebook)
        return Case(
            now=self.clock.now,
            incident=kept.incident,
            rule=kept.rule,
            current=UMBRELLA if umbrella else self._rules.get(kept.incident.rule),
            current_hash=self._hash,
            members=kept.members.as_members(self.records),
            attempt=attempt,
            parts=() if attempt is None else tuple(self.ledger.parts_of(attempt)),
            holds=bool(held),
            command=kept.commands[0] if kept.commands else None,
            maintenance=tuple(one for one in self._stands() if one.kind is RestraintKind.MAINTENANCE),
            findings=tuple(kept.findings),
            storm=self._storm(kept),
            inhibits=wanted,
            inhibitor=self._inhibitor(wanted),
        )

    def _inhibitor(self, wanted: Sequence[Inhibits]) -> Inhibitor | None:
        """See `store.inhibition.find`."""
        found = [
            one.incident
            for each in wanted
            for one in self._explaining(each.rule)
            if has_values(one.incident.key, each)
        ]
        first = min(found, key=lambda one: (one.opened_at, one.rule, one.id.int), default=None)
        return None if first is None else Inhibitor(id=first.id, rule=first.rule)

    def _explaining(self, rule: str) -> Iterator[Kept]:
        yield from (self.incidents[one] for one in self._under_way[rule])
        for one in self._pending[rule]:
            deadline = self.incidents[one].incident.deadline
            if deadline is not None and deadline <= self.clock.now:
                yield self.incidents[one]

    def _storm(self, kept: Kept) -> Storm:
        terms = self._terms.storm
        while self._openings and self._openings[0] <= self.clock.now - terms.within:
            self._openings.popleft()
        openings = min(len(self._openings), terms.openings)
        found = self._open.get(_umbrella_key())
        over = {IncidentState.RESOLVED, IncidentState.RECORDED}
        umbrella = None if found is None or self.incidents[found].incident.state in over else found
        if kept.incident.rule != UMBRELLA.name:
            return Storm(openings=openings, umbrella=umbrella)
        parts = [self.incidents[one] for one in self._part_of[kept.incident.id]]
        covered: dict[str, int] = defaultdict(int)
        for part in parts:
            covered[part.incident.rule] += 1
        firing = [one for one in parts if one.members.firing and one.incident.state is IncidentState.RECORDED]
        return Storm(openings=openings, umbrella=umbrella, covered=dict(covered), still_firing=len(firing))

    async def record(self, lease: Lease, case: Case, change: Change, *, ends: bool = False) -> bool:
        """See `ports.Store.record`. Nothing has raced, so everything is written."""
        del ends
        kept, now = self.incidents[lease.incident_id], self.clock.now
        if kept.incident.wakes != case.incident.wakes:
            change = change.model_copy(update={"due_at": self._woken_due(kept, change)})
        if change.end is not None:
            self.ledger.end(change.end, now)
            if change.end.give_back_after is not None:
                self._owed_back[change.end.attempt_id] = now + change.end.give_back_after
        if change.quarantine is not None:
            self.ledger.quarantine(change.quarantine)
        if change.verdict is not None:
            self.ledger.verdict(change.verdict, now)
        for run in change.shadow_runs:
            self.ledger.shadow_run(kept.incident.id, kept.incident.rule, run, now)
        if change.command is not None:
            kept.commands.popleft()
        if change.told_findings:
            kept.findings = [one for one in kept.findings if one.id not in change.told_findings]
        self._apply(kept, change)
        return True

    def _woken_due(self, kept: Kept, change: Change) -> datetime:
        commanded = any(one.id != change.command for one in kept.commands)
        found = any(one.id not in change.told_findings for one in kept.findings)
        if commanded or found:
            return self.clock.now
        news = self.clock.now + NEWS_WITHIN
        return news if change.due_at is None else min(change.due_at, news)

    def _apply(self, kept: Kept, change: Change) -> None:
        before, now = kept.incident, self.clock.now
        if change.rulebook_hash is not None:
            kept.rule = self._rules[before.rule]
        kept.incident = before.model_copy(
            update={
                "state": change.state,
                "state_since": before.state_since if change.state is before.state else now,
                "progress": change.progress,
                "severity": change.severity or before.severity,
                "deadline": change.deadline,
                "due_at": change.due_at,
                "timeline_length": before.timeline_length + len(change.entries),
                "rulebook_hash": change.rulebook_hash or before.rulebook_hash,
            }
        )
        self._count(kept, before)
        self._put_back(kept)
        self.observer.changed(kept, before, change, now)

    def _count(self, kept: Kept, before: Incident) -> None:
        """What is counted over all incidents is kept as they move: counting each time takes too long."""
        incident = kept.incident
        if incident.progress.part_of != before.progress.part_of:
            if before.progress.part_of is not None:
                self._part_of[before.progress.part_of].pop(incident.id, None)
            if incident.progress.part_of is not None:
                self._part_of[incident.progress.part_of][incident.id] = None
        if incident.state is before.state:
            return
        if incident.state is IncidentState.CLOSED:
            self._open.pop(kept.identity, None)
        self._pending[incident.rule].pop(incident.id, None)
        over = {IncidentState.RESOLVED, IncidentState.CLOSED}
        self._not_closed[incident.rule] += (before.state in over) - (incident.state in over)
        if incident.state in _NOT_UNDER_WAY or incident.by_hand is not None:
            self._under_way[incident.rule].pop(incident.id, None)
        else:
            self._under_way[incident.rule][incident.id] = None

    async def commit_intent(
        self, lease: Lease, intent: Intent, change: Change, *, after: int | None = None
    ) -> Attempt:
        """See `ports.Store.commit_intent`: nothing that it looks at again can have changed since then."""
        del after
        kept = self.incidents[lease.incident_id]
        attempt = self.ledger.intend(intent, self.clock.now)
        kept.attempt = attempt.id
        self._apply(kept, change)
        return attempt

    async def open_umbrella(self, pending_for: timedelta) -> None:
        """See `ports.Store.open_umbrella`."""
        there = self._open.get(_umbrella_key())
        if there is None:
            due = self.clock.now + pending_for
            kept = self._add(_umbrella_key(), {}, UMBRELLA.severity[0].severity, UMBRELLA, due)
            self.observer.opened(kept, self.clock.now)
        elif self.incidents[there].incident.state in {IncidentState.RESOLVED, IncidentState.RECORDED}:
            self._woken(self.incidents[there], self.clock.now)

    # --- what is given back ----------------------------------------------------------------------------

    async def owed_back(self, limit: int) -> Sequence[OwedBack]:
        """See `ports.GiveBackStore.owed_back`."""
        now, attempts = self.clock.now, self.ledger.attempts
        pending = [attempts[one] for one in self._owed_back if one not in self._given_back]
        numbers = {one: number for number, one in enumerate(attempts)}

        def later(one: Attempt) -> bool:
            return any(
                other.target == one.target and numbers[other.id] > numbers[one.id] for other in pending
            )

        due = [one for one in pending if self._owed_back[one.id] <= now and not later(one)]
        due.sort(key=lambda one: (self._owed_back[one.id], numbers[one.id]))
        return [self._owed(one, numbers) for one in due[:limit]]

    def _owed(self, attempt: Attempt, numbers: Mapping[UUID, int]) -> OwedBack:
        incident = self.incidents[attempt.incident_id].incident
        newer = [
            one
            for one in self.ledger.attempts.values()
            if one.target == attempt.target
            and numbers[one.id] > numbers[attempt.id]
            and one.action == attempt.action
            and one.undo_of is None
            and one.outcome is not Outcome.NOT_DONE
            and not self._is_taken_back(one)
        ]
        last = newer[-1] if newer else None
        return OwedBack(attempt, incident.key, incident.severity, last, self.clock.now)

    def _is_taken_back(self, attempt: Attempt) -> bool:
        """Whether what it did is no more there, or it is itself what gives something back."""
        attempts = self.ledger.attempts.values()
        given = self._given_back.get(attempt.id)
        by_undo = any(one.undo_of == attempt.id and one.outcome is Outcome.DONE for one in attempts)
        in_time = any(one.incident_id == given and one.outcome is Outcome.DONE for one in attempts)
        return by_undo or in_time or attempt.incident_id in self._given_back.values()

    async def open_give_back(self, owed: OwedBack, new: NewByHand) -> None:
        """See `ports.GiveBackStore.open_give_back`."""
        self.rouse(self.clock.now)
        identity: IncidentKey = (new.rule.name, owed.attempt.id.bytes)
        kept = self._add(identity, dict(new.labels), new.severity, new.rule, self.clock.now)
        book = Rulebook(rules=(new.rule,))
        own = {"by_hand": new.asked, "rulebook_hash": book.hash}
        kept.incident = kept.incident.model_copy(update=own)
        self._given_back[owed.attempt.id] = kept.incident.id
        self.observer.opened(kept, self.clock.now)

    async def add_finding(self, incident_id: UUID, finding: Finding) -> None:
        """Keep one piece of evidence and make the incident due."""
        kept = self.incidents[incident_id]
        kept.findings.append(finding)
        self._woken(kept, self.clock.now)

    # --- what people do --------------------------------------------------------------------------------

    def command(self, command: Command) -> None:
        """A person's act; the incident is due."""
        self.rouse(self.clock.now)
        kept = self.incidents[command.incident_id]
        kept.commands.append(command)
        self._woken(kept, self.clock.now)

    def restrain(self, restraint: Restraint) -> None:
        """A halt, a freeze, or maintenance begins. What waits is looked at when maintenance begins."""
        self.rouse(self.clock.now)
        self.restrained.append(restraint)
        self._restraints_made += 1
        if restraint.kind is RestraintKind.MAINTENANCE:
            for kept in self.incidents.values():
                if kept.incident.state in _WAITING:
                    self._woken(kept, self.clock.now)

    @property
    def next_restraint(self) -> int:
        """The number of the next one."""
        return self._restraints_made + 1

    def resume(self, number: int) -> None:
        """A restraint is over, because somebody says so."""
        self.rouse(self.clock.now)
        self.restrained = [one for one in self.restrained if one.id != number]

    def _stands(self) -> tuple[Restraint, ...]:
        now = self.clock.now
        return tuple(one for one in self.restrained if one.until is None or now < one.until)

    # --- what a step is judged by ------------------------------------------------------------------------

    async def restraints(self) -> Restraints:
        """Everything that stands."""
        return Restraints(standing=self._stands(), civil=self.clock.now)

    async def ledger_view(self, question: LedgerQuestion, incident: Incident) -> LedgerView:
        """See `ports.Store.ledger_view`."""
        target, ledger = question.target, self.ledger
        spends = question.disruptive and target is not None
        namespace = question.namespace or ""
        return LedgerView(
            restraints=await self.restraints(),
            history=ledger.history(question, incident),
            newest=None if target is None else ledger.newest(question.rule, target),
            claim=None if target is None else self._claim(target),
            flapped_at=None if target is None else self._flapped_at(incident, question.flapping.episodes),
            recurred=ledger.recurred(question, incident),
            breaker=ledger.breakers.get(question.rule),
            open_incidents=self._open_incidents(question, incident),
            budgets=ledger.budgets(target or "", namespace, question.budgets, question.now) if spends else (),
            own_act=ledger.own_act(question, incident),
        )

    def _claim(self, target: str) -> Claim | None:
        held = self.ledger.claims.get(target)
        if held is None:
            return None
        holder = self.incidents[held.incident_id].incident
        proven_by = holder.deadline if holder.state is IncidentState.VERIFYING else None
        return held.model_copy(update={"proven_by": proven_by})

    def _flapped_at(self, incident: Incident, episodes: int) -> datetime | None:
        """When the n-th newest episode of an alert that fires joined; of several alerts the latest."""
        firing = self.incidents[incident.id].members.firing
        joined = [self._joined[key] for key, _ in firing]
        return max((times[0] for times in joined if len(times) == episodes), default=None)

    def _open_incidents(self, question: LedgerQuestion, incident: Incident) -> OpenIncidents | None:
        if question.limits.only_if_open_at_most is None:
            return None
        found = self._under_way[question.rule]
        others = sorted(one for one in found if one != incident.id)
        named = [self.incidents[one].incident.key for one in others]
        return OpenIncidents(count=len(found), others=tuple(_words(key) for key in named if key)[:_NAMED])

    async def alerts_named(self, alertname: str) -> Sequence[AlertKey]:
        """See `ports.Store.alerts_named`."""
        return [key for key, one in self.records.items() if one.firing and _named(one, alertname)]

    async def heard_of(self, keys: Sequence[AlertKey]) -> Mapping[AlertKey, datetime]:
        """See `ports.Store.heard_of`."""
        return {key: self.records[key].seen_at for key in keys if key in self.records}

    async def ground(self) -> tuple[str, ...]:
        """A rehearsal stands on nothing that a rule could hit."""
        return ()


def _named(record: AlertRecord, alertname: str) -> bool:
    return record.labels.get("alertname") == alertname


def _umbrella_key() -> IncidentKey:
    return (UMBRELLA.name, b"")


def _words(key: Mapping[str, str]) -> str:
    pairs: Iterable[str] = (f"{name}={value[:_VALUE_SHOWN]}" for name, value in sorted(key.items()))
    return ", ".join(pairs)[:_SHOWN]
