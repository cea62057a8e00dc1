"""What the store keeps, in memory and in virtual time: alerts, incidents, the ledger, what restrains.

It lasts as long as a rehearsal and has one owner. So nothing races, and nothing is locked; what intake and
the owner's transactions mean for an incident (who joins, who is woken when, what is not written) is the same
as in the store. Whose turn it is stands in `turns`, what is known of alerts in `alerts`, what is counted over
all incidents in `counts`, and what was tried in `ledger`.
"""

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
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
from responder.model.attempt import Attempt, Claim, Intent
from responder.model.budget import Budgets
from responder.model.incident import SAMPLE, Command, Incident, IncidentState
from responder.model.inhibition import Inhibitor, Inhibits
from responder.model.restraint import Restraint, RestraintKind, Restraints
from responder.model.rule import Rule, Rulebook
from responder.model.severity import Severity
from responder.model.storm import UMBRELLA, Storm
from responder.ports import IncidentKey, Lease, NewByHand, NewIncident, OwedBack
from responder.rehearsal.alerts import Alerts
from responder.rehearsal.counts import Counts
from responder.rehearsal.kept import Clock, Kept, Observer
from responder.rehearsal.ledger import Ledger
from responder.rehearsal.members import Member
from responder.rehearsal.owed_back import OwedBacks
from responder.rehearsal.stirred import STORM, Kind, Stir
from responder.rehearsal.turns import Turns
from responder.store.openings import NEWS_WITHIN

_HEARS_AT_ONCE = {
    IncidentState.PENDING,
    IncidentState.OPEN,
    IncidentState.RESOLVED,
    IncidentState.RECORDED,
}
"""What is quiet hears of its members at once, all others soon."""
_WAITING = {IncidentState.HELD, IncidentState.AWAITING_APPROVAL}
_NAMED = 3
_SHOWN = 120
_VALUE_SHOWN = 60


class Memory:
    """See `ports.Store`, of which it has what deciding and performing ask for.

    With `forgets` closed incidents are given up, and what no limit counts any more: a backtest of a month has
    more of them than memory.
    """

    def __init__(
        self,
        clock: Clock,
        rulebook: Rulebook,
        terms: Terms,
        budgets: Budgets,
        observer: Observer,
        *,
        forgets: bool = False,
    ) -> None:
        self.clock = clock
        self.ledger = Ledger(budgets)
        self.alerts = Alerts(terms.flapping.episodes)
        self.incidents: dict[UUID, Kept] = {}
        self.turns = Turns(clock, self.incidents)
        self.counts = Counts(terms.storm)
        self.owed = OwedBacks(clock, self.ledger, self.incidents)
        self.restrained: list[Restraint] = []
        self._restraints_made = 0
        self.rulebook = rulebook
        self._hash = rulebook.hash
        self._rules = {rule.name: rule for rule in rulebook.rules}
        self._terms = terms
        self.observer = observer
        self._forgets = forgets
        self._made = 0
        """How many incidents there were."""
        self._open: dict[IncidentKey, UUID] = {}
        """Those that are not closed."""
        self._stirred: list[Stir] = []
        """What the incident that is at work has done that others may see."""

    async def now(self) -> datetime:
        """The rehearsal's."""
        return self.clock.now

    # --- whose turn it is ------------------------------------------------------------------------------

    def worked(self) -> None:
        """Whoever was at work has come to rest: others see what it has done."""
        stirred = [*self._stirred, *self.ledger.stirred]
        if stirred:
            self.turns.rouse(stirred, self.clock.now)
            self._stirred.clear()
            self.ledger.stirred.clear()
        self.turns.working = None

    def rest(self, kept: Kept, until: datetime) -> None:
        """See `Turns.rest`; what restrains has ends of its own."""
        now = self.clock.now
        stands = [one for restraint in self.restrained for one in (restraint.since, restraint.until)]
        self.turns.rest(kept, min([until, *(one for one in stands if one is not None and one > now)]))

    def forget(self, kept: Kept) -> None:
        """It is closed: nothing comes of it any more."""
        if self._forgets and not self.owed.concerns(kept.incident.id):
            self.counts.forget(kept.incident)
            del self.incidents[kept.incident.id]

    def forget_before(self, before: datetime) -> None:
        """What ended before then is nothing that anybody asks for."""
        self.alerts.forget(before, self.incidents)
        newest = {kept.attempt for kept in self.incidents.values()}
        self.ledger.forget(before, newest | self.owed.of_attempts())

    # --- intake ----------------------------------------------------------------------------------------

    def keep(self, record: AlertRecord, *, news: bool) -> None:
        """What is known of an alert now; the incidents of its episodes hear of `news`."""
        before = self.alerts.records.get(record.key)
        self.alerts.keep(record)
        if before is None:
            return
        for incident_id, member in self.alerts.moved(before, record):
            kept = self.incidents.get(incident_id)
            if kept is None:
                continue
            self.turns.rouse([Stir(Kind.INCIDENT, incident_id)], self.clock.now)
            _bring_up_to_date(kept, member, record)
            if news:
                self._wake(kept, None)

    def is_in_closed(self, record: AlertRecord) -> bool:
        """Whether its episode belongs to a closed incident."""
        found = [self.incidents.get(one) for one in self.alerts.owners_of(record)]
        return any(kept is None or kept.incident.state is IncidentState.CLOSED for kept in found)

    def open_or_join(self, wanted: Sequence[NewIncident]) -> None:
        """See `ports.IntakeTransaction.open_or_join`."""
        records = self.alerts.records
        free = {key for new in wanted for key in new.members if self.alerts.is_free(records[key])}
        for new in sorted(wanted, key=lambda one: one.identity) if len(wanted) > 1 else wanted:
            joining = [records[key] for key in new.members if key in free]
            if not joining:
                continue
            there = self._open.get(new.identity)
            if there is None:
                kept = self._opened(new)
            else:
                kept = self.incidents[there]
                self.turns.rouse([Stir(Kind.INCIDENT, there)], self.clock.now)
                self._wake(kept, new.severity)
            for record in joining:
                self._join(kept, record)
            if there is None:
                self.observer.opened(kept, self.clock.now)

    def _join(self, kept: Kept, record: AlertRecord) -> None:
        member = Member(
            key=record.key,
            generation=record.generation,
            starts_at=record.starts_at,
            ends_at=None,
            seen_at=record.seen_at,
            joined_at=self.clock.now,
        )
        self.alerts.join(kept.incident.id, member)
        kept.members.join(member)

    def _opened(self, new: NewIncident) -> Kept:
        due = self.clock.now + new.pending_for
        return self._add(new.identity, dict(new.key), new.severity, self._rules[new.rule], due)

    def _add(
        self, identity: IncidentKey, key: dict[str, str], severity: Severity, rule: Rule, due: datetime
    ) -> Kept:
        now = self.clock.now
        self._made += 1
        incident = Incident(
            id=UUID(int=self._made),
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
        if self.counts.opened(incident, now):
            self.turns.rouse([STORM], now)
        self.turns.put_back(kept)
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
        self.turns.put_back(kept)

    @property
    def all_live(self) -> Container[IncidentKey]:
        """The rules and groups with an incident that is not closed."""
        return self._open.keys()

    def live(self, identity: IncidentKey) -> Kept | None:
        """The incident of that rule and group that is not closed."""
        found = self._open.get(identity)
        return None if found is None else self.incidents[found]

    async def standing(
        self, rules: Sequence[str], keys: Sequence[IncidentKey], at_most: int
    ) -> tuple[Mapping[str, int], set[IncidentKey]]:
        """See `ports.Store.standing`."""
        counted = {rule: min(self.counts.not_closed[rule], at_most) for rule in rules}
        return counted, {key for key in keys if key in self._open}

    async def contested(self, limit: int) -> Sequence[AlertRecord]:
        """See `ports.Store.contested`."""
        return self.alerts.contested_ones(limit)

    # --- the owner's view and its changes ----------------------------------------------------------------

    def newest_seen_at(self, kept: Kept) -> datetime | None:
        """The newest observation of any firing member."""
        return kept.members.newest_seen_at(self.alerts.records)

    async def load(self, lease: Lease) -> Case:
        """The case as it stands now."""
        kept = self.incidents[lease.incident_id]
        attempt = None if kept.attempt is None else self.ledger.attempts[kept.attempt]
        held = [] if attempt is None else self.ledger.held_by(attempt.holder)
        kept.inhibits = wanted = inhibits(kept.rule, kept.incident.key, self.rulebook)
        umbrella = kept.incident.rule == UMBRELLA.name
        return Case(
            now=self.clock.now,
            incident=kept.incident,
            rule=kept.rule,
            current=UMBRELLA if umbrella else self._rules.get(kept.incident.rule),
            current_hash=self._hash,
            members=kept.members.as_members(self.alerts.records),
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
        yield from (self.incidents[one] for one in self.counts.under_way[rule])
        for one in self.counts.pending[rule]:
            deadline = self.incidents[one].incident.deadline
            if deadline is not None and deadline <= self.clock.now:
                yield self.incidents[one]
        for one in self.counts.resolved[rule]:
            if self.incidents[one].members.firing:
                yield self.incidents[one]

    def _storm(self, kept: Kept) -> Storm:
        openings = self.counts.openings(self.clock.now)
        found = self._open.get(_umbrella_key())
        over = {IncidentState.RESOLVED, IncidentState.RECORDED}
        umbrella = None if found is None or self.incidents[found].incident.state in over else found
        if kept.incident.rule != UMBRELLA.name:
            return Storm(openings=openings, umbrella=umbrella)
        parts = [self.incidents[one] for one in self.counts.part_of[kept.incident.id]]
        covered = Counter(self.counts.closed_parts[kept.incident.id])
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
                self.owed.owe(change.end.attempt_id, now + change.end.give_back_after)
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
        self._seen_by_others(kept, before)
        self.turns.put_back(kept)
        self.observer.changed(kept, before, change, now)

    def _seen_by_others(self, kept: Kept, before: Incident) -> None:
        incident = kept.incident
        if self.counts.moved(before, incident):
            self._stirred.append(Stir(Kind.UNDER_WAY, incident.rule))
        if (before.state, before.deadline) == (incident.state, incident.deadline):
            return
        if incident.state is IncidentState.CLOSED:
            self._open.pop(kept.identity, None)
        if incident.rule == UMBRELLA.name:
            self._stirred.append(STORM)
        if kept.attempt is not None:  # whoever waits for its target is told by when it is proven
            attempt = self.ledger.attempts[kept.attempt]
            held = [one.target for one in self.ledger.held_by(attempt.holder)]
            self._stirred += (Stir(Kind.TARGET, target) for target in {attempt.target, *held})

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
            self._stirred.append(STORM)
            self.observer.opened(kept, self.clock.now)
        elif self.incidents[there].incident.state in {IncidentState.RESOLVED, IncidentState.RECORDED}:
            self._woken(self.incidents[there], self.clock.now)

    async def owed_back(self, limit: int) -> Sequence[OwedBack]:
        """See `ports.GiveBackStore.owed_back`."""
        return self.owed.due(limit)

    async def open_give_back(self, owed: OwedBack, new: NewByHand) -> None:
        """See `ports.GiveBackStore.open_give_back`."""
        self.turns.rouse_all(self.clock.now)
        identity: IncidentKey = (new.rule.name, owed.attempt.id.bytes)
        kept = self._add(identity, dict(new.labels), new.severity, new.rule, self.clock.now)
        book = Rulebook(rules=(new.rule,))
        own = {"by_hand": new.asked, "rulebook_hash": book.hash}
        kept.incident = kept.incident.model_copy(update=own)
        self.owed.opened(owed.attempt.id, kept.incident.id)
        self.observer.opened(kept, self.clock.now)

    async def add_finding(self, incident_id: UUID, finding: Finding) -> None:
        """Keep one piece of evidence and make the incident due."""
        kept = self.incidents[incident_id]
        kept.findings.append(finding)
        self._woken(kept, self.clock.now)

    # --- what people do --------------------------------------------------------------------------------

    def command(self, command: Command) -> None:
        """A person's act; the incident is due."""
        self.turns.rouse_all(self.clock.now)
        kept = self.incidents[command.incident_id]
        kept.commands.append(command)
        self._woken(kept, self.clock.now)

    def restrain(self, restraint: Restraint) -> None:
        """A halt, a freeze, or maintenance begins. What waits is looked at when maintenance begins."""
        self.turns.rouse_all(self.clock.now)
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
        """A restraint is over, because somebody says so. What maintenance kept quiet hears of it at once."""
        self.turns.rouse_all(self.clock.now)
        over = [one.name for one in self.restrained if one.id == number]
        self.restrained = [one for one in self.restrained if one.id != number]
        for kept in self.incidents.values():
            incident = kept.incident
            if incident.state is IncidentState.SUPPRESSED and incident.progress.maintenance in over:
                self._woken(kept, self.clock.now)

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
        self.incidents[incident.id].asked = question
        spends = question.disruptive and target is not None
        namespace = question.namespace or ""
        return LedgerView(
            restraints=await self.restraints(),
            history=ledger.history(question, incident),
            newest=None if target is None else ledger.newest(question.rule, target),
            claim=None if target is None else self._claim(target),
            flapped_at=None if target is None else self._flapped_at(question, incident),
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

    def _flapped_at(self, question: LedgerQuestion, incident: Incident) -> datetime | None:
        firing = islice(reversed(self.incidents[incident.id].members.firing), SAMPLE)
        return self.alerts.flapped_at(firing, question.flapping.episodes)

    def _open_incidents(self, question: LedgerQuestion, incident: Incident) -> OpenIncidents | None:
        if question.limits.only_if_open_at_most is None:
            return None
        found = (kept.incident.id for kept in self._explaining(question.rule))
        others = sorted(one for one in found if one != incident.id)
        keys = [self.incidents[one].incident.key for one in others]
        named = tuple(_words(key) for key in keys if key)[:_NAMED]
        return OpenIncidents(count=1 + len(others), others=named)

    async def alerts_named(self, alertname: str) -> Sequence[AlertKey]:
        """See `ports.Store.alerts_named`."""
        return self.alerts.named(alertname)

    async def heard_of(self, keys: Sequence[AlertKey]) -> Mapping[AlertKey, datetime]:
        """See `ports.Store.heard_of`."""
        records = self.alerts.records
        return {key: records[key].seen_at for key in keys if key in records}

    async def ground(self) -> tuple[str, ...]:
        """A rehearsal stands on nothing that a rule could hit."""
        return ()


def _bring_up_to_date(kept: Kept, member: Member, record: AlertRecord) -> None:
    if member.generation != record.generation:
        kept.members.end(member, record.last_end or member.starts_at)
        return
    member.seen_at = record.seen_at
    kept.members.starts(member, record.starts_at)
    if record.ends_at is not None:
        kept.members.end(member, record.ends_at)


def _umbrella_key() -> IncidentKey:
    return (UMBRELLA.name, b"")


def _words(key: Mapping[str, str]) -> str:
    pairs: Iterable[str] = (f"{name}={value[:_VALUE_SHOWN]}" for name, value in sorted(key.items()))
    return ", ".join(pairs)[:_SHOWN]
