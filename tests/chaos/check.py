"""What must be true after all that, of what was acknowledged and of what the targets recorded.

Pure: records in, violations out. Each violation is a sentence, with the incident that it is about where there
is one, so that its story can be told.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from responder.model.alert import fingerprint
from responder.model.budget import BudgetScope
from tests.chaos.faults import Fault, Kind
from tests.chaos.peers import Acknowledged
from tests.chaos.records import Attempted, Episode, Records, Takeover
from tests.chaos.stage import BUDGETS
from tests.chaos.target import Effect

RULES: Mapping[str, str | None] = {name: name for name in ("Call", "Restart", "Stuck", "Noted")}
"""The rule that takes alerts of a name; no other name has one."""
TOLD = {"escalated": "escalation", "resolved": "state", "recorded": "state", "closed": "state"}
"""The states in which an incident may rest, and the timeline's entry that tells of it."""
_WORDS = {"escalation", "told"}
"""The entries that say that people were told: by an escalation, or by the page of `notify:`."""
HALT_S = 5.0
TAKEOVER_S = 30.0
DUE_WITHIN_S = 60.0
"""Longer than any time of the settings."""
UNKNOWN_AT_MOST = 0.2
_FEW = 5
"""Of fewer cut attempts no share is taken."""
_LOG_GRAIN_S = 0.001
"""A log writes whole milliseconds, rounded down."""
_CLOCK_GRAIN_S = 1.0
"""How far service time may be off the host's clock, after jumps that were taken back."""
_DEATHS = {Kind.KILL, Kind.PAUSE, Kind.LONG_PAUSE, Kind.STALL, Kind.STALL_ANSWERS}


@dataclass(frozen=True, slots=True)
class Violation:
    """What is not as it must be."""

    text: str
    incident: UUID | None = None
    fingerprint: str | None = None
    """The alert that it is about."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the test itself knows: what was acknowledged and refused, and what it did."""

    acknowledged: Sequence[Acknowledged] = ()
    refusals: Sequence[str] = ()
    faults: Sequence[Fault] = ()


def violations(told: Told, left: Records) -> tuple[Violation, ...]:
    """Everything that is not as it must be."""
    return (
        *(Violation(f"refused for ever: {refusal}") for refusal in told.refusals),
        *_lost(told.acknowledged, left),
        *_doubled(left),
        *_without_intent(left),
        *_out_of_time(left),
        *_on_foreign_ground(left),
        *_under_halt(told.faults, left),
        *_overspent(left),
        *_told_wrongly(left),
        *_unknown(left),
        *_taken_over_late(told.faults, left),
        *_not_at_rest(left),
        *_not_heard(left),
    )


def _lost(acknowledged: Sequence[Acknowledged], left: Records) -> Iterator[Violation]:
    """Whatever was acknowledged is in the journal; what fired belongs to an incident of its rule.

    An end that came before its beginning leaves nothing to open.
    """
    for labels, episode, ended in sorted({_heard(one) for one in acknowledged}, key=str):
        heard = left.resolved if ended else left.firing
        if episode not in heard:
            yield Violation(
                f"acknowledged, and not in the journal as {'resolved' if ended else 'firing'}: {labels}"
            )
            continue
        rule = RULES.get(dict(labels)["alertname"])
        early = left.resolved.get(episode)
        if ended or rule is None or (early is not None and early <= left.firing[episode]):
            continue
        found = [one for one in left.members.get(episode[0], ()) if one.rule == rule]
        if not any(one.covers(episode[1]) for one in found):
            of = [f"{one.starts_at} to {one.ends_at}" for one in found]
            heard_at = f"heard firing at {left.firing[episode]}, its end at {early}"
            since = f"since {episode[1]}, {heard_at}; its members: {of}"
            text = f"acknowledged, and in no incident of {rule}: {labels} {since}"
            yield Violation(text, found[-1].incident if found else None, episode[0])


def _heard(one: Acknowledged) -> tuple[tuple[tuple[str, str], ...], Episode, bool]:
    labels = one.alert.labels
    episode = (fingerprint(labels), one.alert.starts_at)
    return tuple(sorted(labels.items())), episode, one.alert.ends_at is not None


def _doubled(left: Records) -> Iterator[Violation]:
    """One effect at most for each intent and element."""
    known = _known(left)
    for (attempt, element), times in Counter((one.attempt, one.element) for one in left.effects).items():
        if times > 1:
            yield Violation(f"attempt {attempt} had {times} effects on {element}", _incident(known, attempt))


def _without_intent(left: Records) -> Iterator[Violation]:
    """Every effect is one that a committed intent names."""
    known = _known(left)
    for one in left.effects:
        attempt = known.get(one.attempt)
        if attempt is None:
            yield Violation(
                f"{one.element} had an effect for attempt {one.attempt}, which is not in the ledger"
            )
        elif one.element not in attempt.elements:
            text = f"attempt {one.attempt} had an effect on {one.element}, which its intent does not name"
            yield Violation(text, attempt.incident)


def _out_of_time(left: Records) -> Iterator[Violation]:
    """No effect is called for before its intent is committed, or had when it counts as never started."""
    for one, attempt in _intended(left):
        committed = attempt.committed_at
        if committed is None or one.called_at < committed - _LOG_GRAIN_S:
            text = (
                f"attempt {one.attempt} ran at {one.called_at:.3f}; its intent was committed at {committed}"
            )
            yield Violation(text, attempt.incident)
        latest = attempt.start_before + attempt.timeout_s + _CLOCK_GRAIN_S
        if one.at > latest:
            text = f"attempt {one.attempt} had its effect {one.at - latest:.3f} s too late"
            yield Violation(text, attempt.incident)


def _on_foreign_ground(left: Records) -> Iterator[Violation]:
    """No effect on a target that its attempt holds no more: another one may hold it."""
    for one, attempt in _intended(left):
        if attempt.released_at is None or one.at <= attempt.released_at:
            continue
        others = [
            str(other.id)
            for other in left.attempts
            if other.target == attempt.target and other.id != attempt.id and _holds(other, one.at)
        ]
        whose = f"attempt {', '.join(others)} held it" if others else "nobody held it"
        late = f"{one.at - attempt.released_at:.3f} s after it had given {attempt.target} back"
        yield Violation(f"attempt {one.attempt} had its effect {late}; {whose}", attempt.incident)


def _holds(attempt: Attempted, at: float) -> bool:
    taken = attempt.committed_at
    return taken is not None and taken <= at and (attempt.released_at is None or at <= attempt.released_at)


def _under_halt(faults: Sequence[Fault], left: Records) -> Iterator[Violation]:
    """Nothing is called for from 5 s after a halt to its end."""
    halts = [fault for fault in faults if fault.kind is Kind.HALT]
    known = _known(left)
    for one in left.effects:
        for halt in halts:
            if halt.began + HALT_S < one.called_at < halt.ended:
                text = f"attempt {one.attempt} acted {one.called_at - halt.began:.1f} s after a halt"
                yield Violation(text, _incident(known, one.attempt))


def _overspent(left: Records) -> Iterator[Violation]:
    """In no window more disruptive starts than each of the three budgets allows."""
    within = BUDGETS.within.total_seconds()
    for scope in BudgetScope:
        spent: dict[str, list[float]] = defaultdict(list)
        for start in left.starts:
            name = {BudgetScope.TARGET: start.target, BudgetScope.NAMESPACE: start.namespace}.get(scope, "")
            recent = [at for at in spent[name] if at > start.at - within]
            spent[name] = [*recent, start.at]
            if len(recent) >= BUDGETS.allowed(scope):
                text = f"attempt {start.attempt} is disruptive start {len(recent) + 1} in {within:g} s"
                whose = f"{name or 'everything'} ({scope}) has a budget of {BUDGETS.allowed(scope)}"
                yield Violation(f"{text}; {whose}", start.incident)


def _told_wrongly(left: Records) -> Iterator[Violation]:
    """The ledger has an outcome for each attempt, and says nothing that a target denies."""
    effects = {(one.attempt, one.element) for one in left.effects}
    for attempt in left.attempts:
        if attempt.outcome == "started":
            yield Violation(f"attempt {attempt.id} never got an outcome", attempt.incident)
        elif silent := attempt.elements - attempt.results.keys():
            text = f"attempt {attempt.id} is {attempt.outcome}, and says nothing of {sorted(silent)}"
            yield Violation(text, attempt.incident)
        for element, outcome in attempt.results.items():
            key = (attempt.id, element)
            if outcome == "not_done" and key in left.ended:
                yield Violation(
                    f"attempt {attempt.id} says not done of {element}, which was", attempt.incident
                )
            if outcome == "done" and key not in effects:
                yield Violation(
                    f"attempt {attempt.id} says done of {element}, which was not", attempt.incident
                )


def cut_attempts(left: Records) -> Sequence[Attempted]:
    """Those that one worker began and another one ended. All targets of the test can say what happened."""
    return [attempt for attempt in left.attempts if attempt.cut]


def _unknown(left: Records) -> Iterator[Violation]:
    cut = cut_attempts(left)
    unknown = [attempt for attempt in cut if attempt.outcome == "unknown"]
    if len(cut) >= _FEW and len(unknown) > UNKNOWN_AT_MOST * len(cut):
        text = (
            f"{len(unknown)} of {len(cut)} attempts that were cut are unknown: {UNKNOWN_AT_MOST:.0%} may be"
        )
        yield Violation(text, unknown[0].incident)


def takeovers(faults: Sequence[Fault], left: Records) -> Sequence[tuple[Takeover, float]]:
    """Each takeover by another process, and how many seconds after its owner's death or pause it came.

    Where nothing was done to the old owner, it counts from that one's last heartbeat.
    """
    done: dict[int, list[float]] = defaultdict(list)
    for fault in faults:
        if fault.pid is not None and fault.kind in _DEATHS:
            done[fault.pid].append(fault.began)
    found = []
    for one in left.takeovers:
        old = left.pids.get(one.old)
        if old is None or old == left.pids.get(one.new):
            continue
        silent = one.silent_s if one.silent_s is not None else 0.0
        began = [at for at in done[old] if one.at - silent - 1.0 <= at <= one.at]
        found.append((one, one.at - min(began) if began else silent))
    return found


def _taken_over_late(faults: Sequence[Fault], left: Records) -> Iterator[Violation]:
    for one, seconds in takeovers(faults, left):
        if seconds > TAKEOVER_S:
            yield Violation(f"incident {one.incident} was taken over after {seconds:.1f} s", one.incident)


def _not_at_rest(left: Records) -> Iterator[Violation]:
    """Every incident ended in a state that was told and is looked at again in time; nothing is held."""
    for one in left.incidents:
        who = f"incident {one.id} of {one.rule}"
        entry = TOLD.get(one.state)
        if entry is None:
            yield Violation(f"{who} did not come to rest: {one.state}", one.id)
        elif entry not in one.told:
            yield Violation(f"{who} is {one.state}, and its timeline has no {entry}", one.id)
        if (told := sum(kind in _WORDS for kind in one.told)) != one.words:
            text = (
                f"{who} says {told} times that people were told, and {one.words} words to them were written"
            )
            yield Violation(text, one.id)
        if one.due_in_s is None and one.state != "closed":
            yield Violation(f"{who} is {one.state}, and nobody will ever look at it again", one.id)
        if one.due_in_s is not None and one.due_in_s > DUE_WITHIN_S:
            text = f"{who} is looked at in {one.due_in_s:.0f} s only: no time of the settings is that long"
            yield Violation(text, one.id)
    for target, (quarantined, incident) in left.claims.items():
        if not quarantined:
            yield Violation(f"{target} is still held, and nobody can release it", incident)


def _not_heard(left: Records) -> Iterator[Violation]:
    """The pager heard every word that was written, in its order, and none that was not."""
    first: dict[str, int] = {}
    for number, said in enumerate(left.heard):
        first.setdefault(said.key, number)
    written = {one.key: one for one in left.words}
    urgent = Counter(one.incident for one in left.words if one.urgent)
    for incident in left.incidents:
        if urgent[incident.id] != incident.words:
            text = f"{incident.words} words for the log were written, and {urgent[incident.id]} for the pager"
            yield Violation(f"incident {incident.id}: {text}", incident.id)
    last: dict[UUID, int] = {}
    for one in left.words:
        came = first.get(one.within or one.key)
        if came is None:
            yield Violation(f"the pager never heard the word {one.key}", one.incident)
        elif one.incident is not None:
            if came < last.get(one.incident, -1):
                yield Violation(f"the pager heard the word {one.key} before an earlier one", one.incident)
            last[one.incident] = came
    for said in left.heard:
        word = written.get(said.key)
        if word is None or word.incident != said.incident:
            yield Violation(f"the pager heard {said.key}, which was never written so", said.incident)


def _known(left: Records) -> Mapping[UUID, Attempted]:
    return {attempt.id: attempt for attempt in left.attempts}


def _incident(known: Mapping[UUID, Attempted], attempt: UUID) -> UUID | None:
    return known[attempt].incident if attempt in known else None


def _intended(left: Records) -> Iterator[tuple[Effect, Attempted]]:
    known = _known(left)
    for one in left.effects:
        if one.attempt in known:
            yield one, known[one.attempt]
