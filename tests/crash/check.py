"""What must be true after a death, whatever the moment: of what was acknowledged, and of what was done.

The check knows the alerts that were answered with 2xx and the victim's log; it joins them with the
responder's database. Each violation is a sentence.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from tests.crash.ledger import Kept, Ledgered
from tests.support.witness import Executed, Seen

LOG_GRAIN = timedelta(milliseconds=1)
"""The log writes whole milliseconds, rounded down."""
TOLD = {
    "escalated": "escalation",
    "resolved": "state",
    "recorded": "state",
    "closed": "state",
}
"""The states in which an incident may rest, and the timeline's entry that tells of it."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """One alert of a delivery that was answered with 2xx, and the rule that takes it."""

    labels: Mapping[str, str]
    rule: str | None


def violations(acknowledged: Sequence[Acknowledged], seen: Seen, kept: Kept) -> tuple[str, ...]:
    """Everything that is not as it must be."""
    return (
        *_lost(acknowledged, kept),
        *_doubled(seen.executed),
        *_without_intent(seen.executed, kept),
        *_out_of_time(seen.executed, kept),
        *_nobody_asked_for(seen),
        *_at_once(kept.attempts),
        *_told_wrongly(seen, kept),
        *_held_for_ever(kept),
        *_not_at_rest(kept),
        *_nobody_told(kept),
    )


def _lost(acknowledged: Iterable[Acknowledged], kept: Kept) -> Iterator[str]:
    """An alert that was acknowledged is in the journal, and in an incident of its rule."""
    rules: dict[frozenset[tuple[str, str]], set[str | None]] = {}
    for labels, rule in kept.journaled:
        rules.setdefault(frozenset(labels.items()), set()).add(rule)
    for alert in acknowledged:
        found = rules.get(frozenset(alert.labels.items()))
        if found is None:
            yield f"acknowledged, and not in the journal: {dict(alert.labels)}"
        elif alert.rule is not None and alert.rule not in found:
            yield f"acknowledged, and in no incident of {alert.rule}: {dict(alert.labels)}"


def _doubled(executed: Iterable[Executed]) -> Iterator[str]:
    """One attempt runs at most once for each session."""
    for (attempt, session), times in Counter((one.attempt, one.session) for one in executed).items():
        if times > 1:
            yield f"attempt {attempt} ran {times} times on session {session}"


def _without_intent(executed: Iterable[Executed], kept: Kept) -> Iterator[str]:
    """What ran is in the ledger, with the very session that it ran on."""
    known = {attempt.id: attempt for attempt in kept.attempts}
    for one in executed:
        attempt = known.get(one.attempt)
        if attempt is None:
            yield f"an effect ran at {one.at} for attempt {one.attempt}, which is not in the ledger"
        elif one.session not in attempt.sessions:
            yield f"attempt {one.attempt} ran on session {one.session}, which its intent does not name"


def _out_of_time(executed: Iterable[Executed], kept: Kept) -> Iterator[str]:
    """Nothing runs before its intent is committed, or when it counts as never started.

    An effect that begins in its window may reach the target later by its own timeout, not more.
    """
    known = {attempt.id: attempt for attempt in kept.attempts}
    for one in executed:
        attempt = known.get(one.attempt)
        if attempt is None:
            continue
        if attempt.committed_at is None or one.at < attempt.committed_at - LOG_GRAIN:
            yield f"attempt {one.attempt} ran at {one.at}; its intent was committed at {attempt.committed_at}"
        latest = attempt.start_before + timedelta(seconds=attempt.timeout_s) + LOG_GRAIN
        if one.at > latest:
            yield f"attempt {one.attempt} ran at {one.at}, later than {latest}"


def _at_once(attempts: Sequence[Ledgered]) -> Iterator[str]:
    """On each target one attempt at a time: the next one is committed when the verdict of the last is."""
    last: dict[str, Ledgered] = {}
    for attempt in attempts:
        before = last.get(attempt.target)
        last[attempt.target] = attempt
        if before is None or attempt.committed_at is None:
            continue
        if before.over_at is None or attempt.committed_at < before.over_at:
            yield f"attempt {attempt.id} began while {before.id} held {attempt.target}"


def _nobody_asked_for(seen: Seen) -> Iterator[str]:
    """Each session that was ended was ended by the statement of one attempt."""
    for ended in seen.ended:
        if not any(one.pid == ended.pid and one.at <= ended.at for one in seen.executed):
            yield f"session {ended.pid} was ended at {ended.at}, and no attempt did it"


def _told_wrongly(seen: Seen, kept: Kept) -> Iterator[str]:
    """The ledger knows the outcome of each attempt, and says nothing that the log denies."""
    ran = {
        (one.attempt, one.session)
        for one in seen.executed
        if any(ended.pid == one.pid and ended.at >= one.at for ended in seen.ended)
    }
    for attempt in kept.attempts:
        if attempt.outcome == "started":
            yield f"attempt {attempt.id} never got an outcome"
        yield from _denied(attempt, frozenset(session for known, session in ran if known == attempt.id))


def _denied(attempt: Ledgered, ended: frozenset[tuple[int, object]]) -> Iterator[str]:
    if attempt.outcome != "started" and (silent := attempt.sessions - attempt.outcomes.keys()):
        yield f"attempt {attempt.id} is {attempt.outcome}, and says nothing of {sorted(silent)}"
    for session, outcome in attempt.outcomes.items():
        if outcome == "not_done" and session in ended:
            yield f"attempt {attempt.id} is said not to have ended session {session}, which it did"
        if outcome == "done" and session not in ended:
            yield f"attempt {attempt.id} is said to have ended session {session}, which it did not"


def _held_for_ever(kept: Kept) -> Iterator[str]:
    """Whoever is at rest holds nothing, but for what waits in quarantine for a person."""
    for target, quarantined in kept.claims.items():
        if not quarantined:
            yield f"{target} is still held, and nobody can release it"


def _not_at_rest(kept: Kept) -> Iterator[str]:
    """Every incident ended in a state that was told, and none is past its deadline."""
    for incident in kept.incidents:
        who = f"incident {incident.id} of {incident.rule}"
        entry = TOLD.get(incident.state)
        if entry is None:
            yield f"{who} did not come to rest: {incident.state}"
        elif entry not in incident.told:
            yield f"{who} is {incident.state}, and its timeline has no {entry}"
        if incident.deadline is not None and incident.deadline < kept.now:
            yield f"{who} is past its deadline of {incident.deadline}"


def _nobody_told(kept: Kept) -> Iterator[str]:
    """What the timeline says that people were told has reached a channel, and so has every other word."""
    delivered = {incident for incident, there in kept.words if there}
    for incident in kept.incidents:
        if incident.state == "escalated" and incident.id not in delivered:
            yield f"incident {incident.id} of {incident.rule} is escalated, and nobody was told"
    for incident_id, there in kept.words:
        if not there and incident_id in delivered:
            yield f"a word of incident {incident_id} never reached its channel"
