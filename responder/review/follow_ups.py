"""What should be done next, derived from the facts of one incident. Nothing is guessed.

A follow-up is a topic with a sentence. Its `entries` are the numbers of the timeline that it rests on.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from enum import StrEnum

from responder.model.attempt import Outcome, Verdict
from responder.model.base import Frozen
from responder.model.guard import Guard
from responder.model.incident import IncidentState
from responder.model.timeline import EntryKind
from responder.review.facts import Act, HeldBack, ReviewFacts
from responder.review.words import count, lasted, when

LATE = timedelta(minutes=5)
"""An alert that arrives longer than this after its start was notified late: an evaluation interval and a
group_wait are seconds."""


class Topic(StrEnum):
    """What a follow-up is about, the most pressing first."""

    UNKNOWN_OUTCOME = "unknown_outcome"
    QUARANTINE = "quarantine"
    TIMELINE = "timeline"
    REVIEW = "review"
    RESPONSE_TIME = "response_time"
    UNANSWERED = "unanswered"
    NOT_RECOVERED = "not_recovered"
    NO_DATA = "no_data"
    REOPENED = "reopened"
    HELD_BACK = "held_back"
    SHADOW = "shadow"
    LATE_ALERT = "late_alert"
    CLOCKS = "clocks"
    ERRORS = "errors"
    BY_HAND = "by_hand"
    RUNBOOK = "runbook"
    OWNER = "owner"


class FollowUp(Frozen):
    """One thing to do, and the entries of the timeline that it rests on."""

    topic: Topic
    text: str
    entries: tuple[int, ...] = ()


def follow_ups(facts: ReviewFacts) -> tuple[FollowUp, ...]:
    """Everything that the facts ask for, the most pressing first."""
    return tuple(item for find in _FINDERS for item in find(facts))


def _unknown_outcomes(facts: ReviewFacts) -> Iterator[FollowUp]:
    for act in facts.acts:
        if act.outcome is Outcome.UNKNOWN:
            what = f"whether {act.action} on {act.target} happened (attempt {act.attempt_id})"
            stands = f"Find out {what}. Its target is quarantined until a person releases it: {_RELEASE}."
            released = _released(act)
            over = f"{released}: write down {what}, which nobody could say before."
            yield FollowUp(topic=Topic.UNKNOWN_OUTCOME, text=over if released else stands)


_RELEASE = "responder targets list, then responder targets release"


def _released(act: Act) -> str | None:
    """Who has released the target that it left quarantined, and when; None where nobody has."""
    left = act.quarantined
    if left is None or left.released_at is None:
        return None
    return f"{left.released_by or 'Somebody'} released {left.target} at {when(left.released_at)}"


_UNDER_WAY = {IncidentState.OPEN, IncidentState.REMEDIATING, IncidentState.VERIFYING, IncidentState.HELD}
"""States in which an attempt without a verdict may still get one."""


def _without_verdict(facts: ReviewFacts) -> Iterator[FollowUp]:
    """What was done, and neither verified nor taken back: an undo is owed, and the target stays claimed."""
    taken_back = {act.undo_of for act in facts.acts if act.outcome is Outcome.DONE}
    for act in facts.acts:
        open_end = act.outcome is Outcome.DONE and act.verdict_at is None and act.attempt_id not in taken_back
        if open_end and facts.state not in _UNDER_WAY:
            was = f"{act.action} on {act.target} was done, and neither verified nor taken back"
            mend = f"Bring the target into order, then release it: {_RELEASE}"
            if released := _released(act):
                mend = f"{released}: write down how it was brought into order"
            yield FollowUp(topic=Topic.QUARANTINE, text=f"{was} (attempt {act.attempt_id}). {mend}.")


def _timeline(facts: ReviewFacts) -> Iterator[FollowUp]:
    if len(facts.timeline) != facts.timeline_length:
        text = (
            f"The incident says that its timeline has {count(facts.timeline_length, 'entry', 'entries')}, "
            f"but {len(facts.timeline)} are there: run responder incidents verify {facts.incident_id}."
        )
        yield FollowUp(topic=Topic.TIMELINE, text=text)


def _review(facts: ReviewFacts) -> Iterator[FollowUp]:
    if facts.terms.review_required:
        who = f", owner {facts.owner}" if facts.owner else ""
        text = f"Hold the post-incident review that {facts.severity} requires{who}: find and write the cause."
        yield FollowUp(topic=Topic.REVIEW, text=text)


def _response_time(facts: ReviewFacts) -> Iterator[FollowUp]:
    if facts.response.met is False:
        promised = lasted(facts.response.target)
        taken = f"took {lasted(facts.response.taken)}" if facts.response.taken is not None else "did not come"
        text = f"The first response {taken}; {facts.severity} promises it within {promised}. Find out why."
        yield FollowUp(topic=Topic.RESPONSE_TIME, text=text)


def _unanswered(facts: ReviewFacts) -> Iterator[FollowUp]:
    asking = tuple(told.entry for told in facts.escalations if told.asks)
    if asking and not facts.people:
        times = count(len(asking), "escalation")
        text = f"Nobody answered {times}: see that pages reach a person who can act."
        yield FollowUp(topic=Topic.UNANSWERED, text=text, entries=asking)


def _not_recovered(facts: ReviewFacts) -> Iterator[FollowUp]:
    for act in facts.acts:
        if act.verdict is Verdict.NOT_RECOVERED:
            text = (
                f"{act.action} on {act.target} was done and did not help: "
                f"is step {act.step + 1} of {facts.rule} the right one?"
            )
            yield FollowUp(topic=Topic.NOT_RECOVERED, text=text)


def _no_data(facts: ReviewFacts) -> Iterator[FollowUp]:
    for check in facts.checks:
        if check.verdict is Verdict.NO_DATA:
            text = f"The verification had no data; mend what could not answer: {check.reading}"
            yield FollowUp(topic=Topic.NO_DATA, text=text, entries=(check.entry,))


def _reopened(facts: ReviewFacts) -> Iterator[FollowUp]:
    if facts.reopened:
        text = f"It came back {count(facts.reopened, 'time')} after it was over: the cause is still there."
        yield FollowUp(topic=Topic.REOPENED, text=text)


_MENDS: dict[str, str] = {
    Guard.HALT: "Everything was halted: resume when the reason for it is gone (responder resume).",
    Guard.CLOCK: "A clock jumped: keep the database's host and this one on NTP.",
    Guard.FREEZE: "A freeze was in force: end it, or let this severity act in it.",
    Guard.MAINTENANCE: "Somebody did maintenance on it: was the window as long as the work?",
    Guard.STORM: "Too many incidents opened at once for any but P0 and P1 to act: look for what they share.",
    Guard.SCOPE: "Give the inventory the one target that the rule means, or narrow the rule.",
    Guard.OWN_GROUND: "The target carries the responder itself: a person has to act there, "
    "or the responder has to move.",
    Guard.STILL_FIRING: "The source knew nothing of the alert any more: see that it reports its end.",
    Guard.SUPPRESSED: "It was silenced or inhibited at its source: is that still wanted?",
    Guard.SOURCE: "See why the source's API did not answer.",
    Guard.TOO_OLD: "The alert was too old to act on: see what delayed it.",
    Guard.BLIND: "The watchdog alert was missing: mend the way from Prometheus to the responder.",
    Guard.SELF_CAUSED: "It began right after an attempt of ours nearby: does that remedy cause it?",
    Guard.CONDITION: "The step's condition kept it from running: is the condition right?",
    Guard.LOOK: "The target could not be looked at: see that the responder reaches it.",
    Guard.FLAPPING: "An alert of it came and went: give it a longer `for`, or mend its cause.",
    Guard.MANAGED: "Somebody else keeps the target as it is: let the remedy be done there.",
    Guard.OVERRIDE: "A person changed the target meanwhile: ask them what they did.",
    Guard.COOLDOWN: "It came back within the cooldown: the remedy does not last.",
    Guard.ATTEMPTS: "All attempts are spent: the remedy does not mend the cause.",
    Guard.RECURRENCE: "The same remedy was needed too often: mend the cause.",
    Guard.BREAKER: "The rule failed too often in a row: find out why, then responder breaker reset RULE.",
    Guard.OPEN_AT_MOST: "Many incidents of the rule were open at once: look for what they share.",
    Guard.CLAIM: "Another attempt held the target: see that it ended, or release it.",
    Guard.BUDGET: "A budget of disruptive starts was spent: responder budgets says by what.",
    Guard.FLOOR: "The action's own limits refused it: a person has to decide.",
    Guard.AUTONOMY: "A person had to approve it: promote the rule if that is not needed.",
}
"""What to do about each guard that held a step back."""


def _held_back(facts: ReviewFacts) -> Iterator[FollowUp]:
    """One for each guard that kept an effect from happening, whatever number of times."""
    for guard, mend in _MENDS.items():
        found = [held for held in facts.held_back if held.guard == guard and not held.shadow]
        if found:
            entries = tuple(number for held in found for number in held.entries)
            text = f"{mend} ({found[-1].action}: {found[-1].reason})"
            yield FollowUp(topic=Topic.HELD_BACK, text=text, entries=entries)


def _shadow(facts: ReviewFacts) -> Iterator[FollowUp]:
    shadowed = () if facts.by_hand is not None else facts.held_back  # no rule to promote
    for held in _distinct(tuple(h for h in shadowed if h.only_shadow)):
        text = (
            f"In shadow {facts.rule} would have run {held.action} on {held.target or 'its target'}. "
            f"Would that have been right? Then let it: raise the ceiling where it matched, and "
            f"responder rules promote {facts.rule} --to auto --reason ..."
        )
        yield FollowUp(topic=Topic.SHADOW, text=text, entries=held.entries)


def _distinct(held: tuple[HeldBack, ...]) -> tuple[HeldBack, ...]:
    """The last judgement of each action on each target, in the order of the first."""
    return tuple({(one.action, one.target): one for one in held}.values())


def _late_alert(facts: ReviewFacts) -> Iterator[FollowUp]:
    delay = facts.detection_delay
    if delay is not None and delay > LATE:
        text = (
            f"The alert arrived {lasted(delay)} after it began to fire: "
            f"look at the source's group_wait, its routes and the network between."
        )
        yield FollowUp(topic=Topic.LATE_ALERT, text=text)


def _clocks(facts: ReviewFacts) -> Iterator[FollowUp]:
    if facts.started_at is not None and facts.detection_delay is None:
        ahead = lasted(facts.started_at - facts.detected_at)
        text = f"The alert began {ahead} after it arrived here: the clock of its source is ahead of ours."
        yield FollowUp(topic=Topic.CLOCKS, text=text)


def _errors(facts: ReviewFacts) -> Iterator[FollowUp]:
    numbers = tuple(told.number for told in facts.timeline if told.kind is EntryKind.ERROR)
    if numbers:
        text = (
            f"{count(len(numbers), 'error')} of the responder itself while it worked on this: mend the cause."
        )
        yield FollowUp(topic=Topic.ERRORS, text=text, entries=numbers)


def _by_hand(facts: ReviewFacts) -> Iterator[FollowUp]:
    if facts.by_hand is not None and facts.acts:
        done = facts.acts[-1].action
        text = f"{done} was asked for by hand: where the same comes again, let a rule do it."
        yield FollowUp(topic=Topic.BY_HAND, text=text)


def _runbook(facts: ReviewFacts) -> Iterator[FollowUp]:
    if facts.escalations and facts.runbook_url is None and facts.by_hand is None:
        text = f"People were told, and {facts.rule} names no runbook: write one and set its runbook_url."
        yield FollowUp(topic=Topic.RUNBOOK, text=text)


def _owner(facts: ReviewFacts) -> Iterator[FollowUp]:
    if facts.owner is None and facts.by_hand is None:
        yield FollowUp(topic=Topic.OWNER, text=f"{facts.rule} has no owner: set its owner.")


_FINDERS: tuple[Callable[[ReviewFacts], Iterator[FollowUp]], ...] = (
    _unknown_outcomes,
    _without_verdict,
    _timeline,
    _review,
    _response_time,
    _unanswered,
    _not_recovered,
    _no_data,
    _reopened,
    _held_back,
    _shadow,
    _late_alert,
    _clocks,
    _errors,
    _by_hand,
    _runbook,
    _owner,
)
