"""Attempts, claims, starts and breakers in memory: what the store's ledger counts, counted the same way."""

from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from uuid import UUID

from responder.decide.case import (
    AttemptEnd,
    AttemptVerdict,
    LedgerQuestion,
    Quarantine,
    ShadowRun,
)
from responder.model.attempt import (
    Attempt,
    Claim,
    GroupTarget,
    Intent,
    Outcome,
    OwnAct,
    PastAttempt,
    Verdict,
)
from responder.model.breaker import Breaker
from responder.model.budget import Budget, Budgets, BudgetScope
from responder.model.guard import Ruling
from responder.model.incident import Incident
from responder.rehearsal.stirred import Kind, Stir, budget

Place = tuple[str, str]
"""A rule on a target."""


@dataclass(frozen=True, slots=True)
class _Start:
    at: datetime
    target: str
    namespace: str
    attempt_id: UUID

    def counts_for(self, scope: BudgetScope, name: str) -> bool:
        match scope:
            case BudgetScope.GLOBAL:
                return True
            case BudgetScope.NAMESPACE:
                return self.namespace == name
            case BudgetScope.TARGET:
                return self.target == name


@dataclass(slots=True)
class Ledger:
    """What was tried, how it went, and what holds which target."""

    allowed: Budgets = field(default_factory=Budgets)
    """What disruptive starts are allowed."""
    stirred: list[Stir] = field(default_factory=list)
    """What was written that others may see, since it was cleared last."""
    attempts: dict[UUID, Attempt] = field(default_factory=dict)
    """In the order of their intents."""
    claims: dict[str, Claim] = field(default_factory=dict)
    breakers: dict[str, Breaker] = field(default_factory=dict)
    """Those that are open, by rule."""
    _of_place: dict[Place, list[UUID]] = field(default_factory=lambda: defaultdict(list))
    _shadow: dict[Place, list[tuple[datetime, UUID]]] = field(default_factory=lambda: defaultdict(list))
    _order: list[UUID] = field(default_factory=list)
    _starts: deque[_Start] = field(default_factory=deque)
    _judged: dict[str, list[tuple[UUID, Verdict]]] = field(default_factory=lambda: defaultdict(list))
    """By rule, the attempts that did or did not lead to recovery, in the order of their verdicts."""

    # --- what is written -------------------------------------------------------------------------------

    def intend(self, intent: Intent, now: datetime) -> Attempt:
        """Claim the target, or all those of an `all:`, and write the attempt.

        It was judged by this very ledger at this very moment: nothing has raced, nothing is looked at again.
        """
        attempt = intent.started(now)
        self.attempts[attempt.id] = attempt
        self._order.append(attempt.id)
        self._of_place[intent.rule, intent.target].append(attempt.id)
        if attempt.id == attempt.holder:
            self._claim(intent, attempt, now)
        self.stirred += (Stir(Kind.TARGET, intent.target), Stir(Kind.NEAR, intent.namespace))
        for one in _spends(intent):
            self._starts.append(_Start(now, one.target, one.namespace, attempt.id))
            spent = self.budgets(one.target, one.namespace, self.allowed, now)
            self.stirred += (budget(each.scope, each.name) for each in spent if each.used_up)
        return attempt

    def _claim(self, intent: Intent, attempt: Attempt, now: datetime) -> None:
        for target in [one.target for one in intent.group] or [intent.target]:
            self.claims[target] = Claim(
                target=target,
                attempt_id=attempt.id,
                incident_id=intent.incident_id,
                rule=intent.rule,
                since=now,
            )
            self.stirred.append(Stir(Kind.TARGET, target))

    def end(self, end: AttemptEnd, now: datetime) -> None:
        """The outcome of an attempt."""
        ended = {
            "outcome": end.outcome,
            "results": end.results,
            "state_after": end.state_after,
            "ended_at": now,
        }
        attempt = self.attempts[end.attempt_id] = self.attempts[end.attempt_id].model_copy(update=ended)
        self.stirred.append(Stir(Kind.TARGET, attempt.target))
        if end.outcome is Outcome.NOT_DONE:  # what it spent comes back
            for start in self._starts:
                if start.attempt_id == attempt.id:
                    self.stirred.append(budget(BudgetScope.GLOBAL, ""))
                    self.stirred.append(budget(BudgetScope.NAMESPACE, start.namespace))
                    self.stirred.append(budget(BudgetScope.TARGET, start.target))

    def quarantine(self, one: Quarantine) -> None:
        """Nobody knows whether it happened: its claim stays."""
        for held in self.held_by(one.attempt_id):
            self.claims[held.target] = held.model_copy(update={"quarantined": True, "reason": one.reason})
            self.stirred.append(Stir(Kind.TARGET, held.target))

    def held_by(self, attempt_id: UUID) -> list[Claim]:
        """The claims of an attempt that are no quarantine."""
        return [one for one in self.claims.values() if one.attempt_id == attempt_id and not one.quarantined]

    def verdict(self, verdict: AttemptVerdict, now: datetime) -> None:
        """The verdict of an attempt; its claim ends, unless it stays or is a quarantine."""
        attempt = self.attempts[verdict.attempt_id]
        self.stirred.append(Stir(Kind.TARGET, attempt.target))
        for held in [] if verdict.claim_stays else self.held_by(attempt.id):
            del self.claims[held.target]
            self.stirred.append(Stir(Kind.TARGET, held.target))
        for one in [attempt, *self.parts_of(attempt)]:
            written = {"verdict": one.verdict or verdict.verdict, "verdict_at": one.verdict_at or now}
            if one.undo_of is None or one.id == attempt.id:
                self.attempts[one.id] = one.model_copy(update=written)
                self.stirred.append(Stir(Kind.TARGET, one.target))
        new = verdict.verdict if attempt.verdict is None else None
        if attempt.undo_of is None and new in {Verdict.RECOVERED, Verdict.NOT_RECOVERED}:
            self._judged[attempt.rule].append((attempt.id, new))
        if verdict.breaks_after is not None:
            self._break(attempt.rule, verdict.breaks_after, now)

    def _break(self, rule: str, after: int, now: datetime) -> None:
        last = self._judged[rule][-after:]
        if len(last) == after and all(verdict is Verdict.NOT_RECOVERED for _, verdict in last):
            failed = tuple(attempt for attempt, _ in reversed(last))
            self.breakers.setdefault(rule, Breaker(rule=rule, opened_at=now, attempts=failed))
            self.stirred.append(Stir(Kind.BREAKER, rule))

    def shadow_run(self, incident_id: UUID, rule: str, run: ShadowRun, now: datetime) -> None:
        """A step that was judged in shadow: what would have started counts for shadow's own limits."""
        if run.ruling is Ruling.GO and run.target is not None:
            self._shadow[rule, run.target].append((now, incident_id))
            self.stirred.append(Stir(Kind.TARGET, run.target))

    def forget(self, before: datetime, live: Collection[UUID | None]) -> None:
        """Forget attempts that were begun before then: no limit counts them. Those of open incidents stay."""
        old = {one.id for one in self.attempts.values() if one.intended_at < before and one.id not in live}
        for attempt_id in old:
            del self.attempts[attempt_id]
        self._order = [one for one in self._order if one not in old]
        for place, made in list(self._of_place.items()):
            self._of_place[place] = [one for one in made if one not in old]
            if not self._of_place[place]:
                del self._of_place[place]
        for place, runs in list(self._shadow.items()):
            self._shadow[place] = [run for run in runs if run[0] >= before]
            if not self._shadow[place]:
                del self._shadow[place]

    def parts_of(self, attempt: Attempt) -> list[Attempt]:
        """Every attempt of the `all:` that this is a part of, in order."""
        if attempt.all_of is None:
            return []
        return [one for one in self.attempts.values() if one.all_of == attempt.all_of]

    # --- what is asked ---------------------------------------------------------------------------------

    def newest(self, rule: str, target: str) -> UUID | None:
        """The newest attempt of a rule on a target; an undo counts, too."""
        made = self._of_place.get((rule, target))
        return made[-1] if made else None

    def history(self, question: LedgerQuestion, incident: Incident) -> tuple[PastAttempt, ...]:
        """The attempts within the longest of the limits, and the last one before: it may have ended later."""
        since = question.now - max(question.limits.per, question.limits.cooldown)
        within: list[PastAttempt] = []
        for past, _ in self._tried(question, incident):
            within.append(past)
            if past.intended_at < since:
                break
        return tuple(reversed(within))

    def recurred(self, question: LedgerQuestion, incident: Incident) -> int:
        """In how many other ladders the rule acted on the target within its `recurrence`."""
        recurrence = question.limits.recurrence
        if recurrence is None:
            return 0
        since = question.now - recurrence.within
        found: set[UUID] = set()
        for past, incident_id in self._tried(question, incident):
            if past.intended_at <= since:
                break
            if past.spent and not past.same_ladder:
                found.add(incident_id)
        return len(found)

    def _tried(self, question: LedgerQuestion, incident: Incident) -> Iterator[tuple[PastAttempt, UUID]]:
        """What was tried of the rule on the target, the newest first; in shadow what would have been, too."""
        if question.target is None:
            return
        place = (question.rule, question.target)
        tried: Iterable[tuple[datetime, UUID, Attempt | None]] = (
            (one.intended_at, one.incident_id, one)
            for one in map(self.attempts.__getitem__, reversed(self._of_place.get(place, ())))
            if one.undo_of is None and self._counts(one)
        )
        if question.shadow and place in self._shadow:
            in_shadow = ((at, incident_id, None) for at, incident_id in self._shadow[place])
            tried = sorted([*tried, *in_shadow], key=lambda one: one[0], reverse=True)
        opened_at = incident.progress.opened_at
        for at, incident_id, attempt in tried:
            same = incident_id == incident.id and opened_at is not None and at >= opened_at
            yield _past(at, attempt, same_ladder=same), incident_id

    def _counts(self, attempt: Attempt) -> bool:
        """Of an `all:` the first part on a target counts that may have happened."""
        for one in self.parts_of(attempt):
            if one.id == attempt.id:
                return True
            if one.target == attempt.target and one.undo_of is None and one.outcome is not Outcome.NOT_DONE:
                return False
        return True

    def own_act(self, question: LedgerQuestion, incident: Incident) -> OwnAct | None:
        """The newest attempt that may have caused the incident."""
        since, target = question.acts_since, question.target
        if since is None or target is None:
            return None
        for attempt in map(self.attempts.__getitem__, reversed(self._order)):
            if attempt.intended_at <= since:
                return None
            near = attempt.target == target or attempt.target.startswith(f"{question.namespace}/")
            other = (attempt.rule, attempt.target) != (question.rule, target)
            happened = attempt.outcome is not Outcome.NOT_DONE and attempt.incident_id != incident.id
            if near and other and happened and attempt.intended_at <= incident.opened_at:
                return OwnAct(
                    target=attempt.target,
                    rule=attempt.rule,
                    incident_id=attempt.incident_id,
                    at=attempt.intended_at,
                )
        return None

    def budgets(self, target: str, namespace: str, allowed: Budgets, now: datetime) -> tuple[Budget, ...]:
        """How the budgets of a disruptive start stand."""
        while self._starts and self._starts[0].at <= now - allowed.within:
            self._starts.popleft()
        names = {BudgetScope.GLOBAL: "", BudgetScope.NAMESPACE: namespace, BudgetScope.TARGET: target}
        return tuple(self._budget(scope, names[scope], allowed) for scope in BudgetScope)

    def _budget(self, scope: BudgetScope, name: str, budgets: Budgets) -> Budget:
        counted = [
            one.at
            for one in reversed(self._starts)
            if one.counts_for(scope, name) and self.attempts[one.attempt_id].outcome is not Outcome.NOT_DONE
        ]
        allowed = budgets.allowed(scope)
        nth = next(islice(counted, allowed - 1, None), None)
        frees_at = None if nth is None else nth + budgets.within
        return Budget(scope=scope, name=name, spent=len(counted), allowed=allowed, frees_at=frees_at)


def _spends(intent: Intent) -> Iterator[GroupTarget | Intent]:
    """Whose budgets an intent spends: of an `all:` the first does for all."""
    if intent.undo_of is not None:
        return
    yield from (one for one in intent.group if one.disruptive)
    if intent.all_of is None and intent.disruptive:
        yield intent


def _past(at: datetime, attempt: Attempt | None, *, same_ladder: bool) -> PastAttempt:
    return PastAttempt(
        intended_at=at,
        ended_at=at if attempt is None else attempt.ended_at,
        spent=attempt is None or attempt.outcome is not Outcome.NOT_DONE,
        same_ladder=same_ladder,
        verdict=None if attempt is None else attempt.verdict,
    )
