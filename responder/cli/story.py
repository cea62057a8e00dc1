"""An incident for a tired person: first how it stands and why, in one sentence; then the rest.

What happened is read by `review.facts`, as the review reads it: both tell the same story.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from responder.cli.output import ago, until
from responder.cli.ways import you_can
from responder.decide.told_next import Promised
from responder.model.incident import Incident, IncidentState
from responder.model.notification import Notification
from responder.model.policy import NoticeKind
from responder.model.spoken import moment
from responder.ports import Dossier
from responder.review.facts import Act, HeldBack, ReviewFacts, read
from responder.review.words import clock, count, listed, pairs, when

_RULINGS = {"go": "in shadow", "ask": "a person must say so", "wait": "held", "refuse": "refused"}


def headline(dossier: Dossier, now: datetime) -> str:
    """One sentence: severity, rule, group, state, since when, why."""
    incident = dossier.incident
    group = f" ({pairs(incident.key)})" if incident.key else ""
    state = incident.state.value.replace("_", " ")
    lasted = ago(incident.state_since, now).removesuffix(" ago")
    by_hand = incident.by_hand
    named = incident.rule if by_hand is None else f"{by_hand.title}, by hand of {by_hand.actor}"
    what = f"{incident.severity.value} {named}{group}"
    return f"{what} is {state}, for {lasted} now: {_why(dossier, now)}."


def told_story(dossier: Dossier, told: Promised, now: datetime) -> Iterator[tuple[str, list[str]]]:
    """The parts below the headline, each with its title; what is empty is left out."""
    facts = read(dossier, told.terms)
    parts = {
        "You can": you_can(dossier),
        "Rule": [_rule_then(dossier)],
        "Held back": [line for one in facts.held_back for line in _held(one)],
        "Done": [line for act in facts.acts for line in _act(act)],
        "People": [*_person(facts, dossier.incident, now), *next_lines(dossier.incident, told, now)],
        "Told": told_lines(dossier.notifications, now),
        "Alerts": [] if dossier.incident.by_hand is not None else _alerts(dossier, facts, now),
        f"Timeline (UTC, {facts.timeline_length} entries)": [
            f"{clock(told.at)[:8]}  {told.text}" + (f"  [{told.actor}]" if told.actor != "responder" else "")
            for told in facts.timeline
        ],
        "More": _more(facts),
    }
    yield from ((title, lines) for title, lines in parts.items() if any(lines))


def _rule_then(dossier: Dossier) -> str:
    if dossier.rule_as_of is None:
        return ""
    return f"judged by the rule as of {when(dossier.rule_as_of)}, not the active one"


def _why(dossier: Dossier, now: datetime) -> str:
    """What the state rests on, in the words of whoever decided it."""
    incident = dossier.incident
    progress = incident.progress
    match incident.state:
        case IncidentState.HELD if progress.hold is not None:
            hold = progress.hold
            return f"{hold.reason}; people are told {until(hold.deadline, now)} if nothing changes"
        case IncidentState.AWAITING_APPROVAL:
            told = f"; people are told at {clock(incident.deadline)[:5]} UTC" if incident.deadline else ""
            answer = f"answer: responder approve {incident.id}, or responder decline"
            return f"{_last_change(dossier)}; {answer}{told}"
        case IncidentState.VERIFYING if progress.verification is not None:
            verification = progress.verification
            reading = verification.last or "nothing was read yet"
            return f"{reading}; decided at the latest {until(verification.deadline, now)}"
        case IncidentState.ESCALATED if progress.escalation_reason:
            return progress.escalation_reason
        case IncidentState.TAKEN_OVER if progress.taken_over_by:
            return f"{progress.taken_over_by} acts, automation is off"
        case IncidentState.RESOLVED | IncidentState.RECORDED | IncidentState.CLOSED if progress.outcome:
            return progress.outcome
        case _:
            return _last_change(dossier)


def _last_change(dossier: Dossier) -> str:
    """The last change of state tells its reason; before the first one there is only the opening."""
    for entry in reversed(dossier.entries):
        if why := entry.facts.get("why"):
            return str(why)
    return dossier.entries[-1].text if dossier.entries else "it was just opened"


def _held(held: HeldBack) -> Iterator[str]:
    step = f"step {held.step + 1}, " if held.step is not None else ""
    what = f"{step}{held.action} on {held.target or 'no target'}"
    word = "in shadow" if held.shadow else _RULINGS.get(held.ruling, held.ruling)
    times = f" ({held.times} times, last {clock(held.last_at)[:8]})" if held.times > 1 else ""
    yield f"{clock(held.first_at)[:8]}  {what}: {word}, {held.reason}{times}"
    if held.elements:
        verb = "would have hit" if held.only_shadow else "found"
        yield f"{verb} {count(held.element_count, 'element')}:"
        yield from listed(held.elements, held.element_count)


def _act(act: Act) -> Iterator[str]:
    verdict = f", {act.verdict.value.replace('_', ' ')}" if act.verdict is not None else ""
    outcome = act.outcome.value.replace("_", " ")
    yield f"{clock(act.intended_at)[:8]}  {act.action} on {act.target}: {outcome}{verdict}"
    for element in act.elements:
        detail = f" ({element.detail})" if element.detail else ""
        yield f"{element.title}: {element.outcome.value.replace('_', ' ')}{detail}"


def next_lines(incident: Incident, told: Promised, now: datetime) -> list[str]:
    """Who is told next, and when, if nothing happens before."""
    word = told.next
    if word is None:
        return []
    level = f"level {word.level} ({', '.join(word.channels)})"
    match word.kind:
        case NoticeKind.OPENED:
            what = f"pages {level}"
        case NoticeKind.REMINDER:
            what = f"reminds {incident.progress.taken_over_by or 'people'} at {level}"
        case _ if word.up:
            what = f"escalates to {level}"
        case _:
            what = f"tells {level} again"
    at = moment(word.at, now, seconds=word.at - now < timedelta(hours=1))
    return [f"next: {what} {until(word.at, now)}, at {at}, unless {word.unless}"]


def _person(facts: ReviewFacts, incident: Incident, now: datetime) -> list[str]:
    times = len(facts.escalations)
    told = f"told {'once' if times == 1 else f'{times} times'}" if times else ""
    by, at = incident.progress.acknowledged_by, incident.progress.acknowledged_at
    seen = f"acknowledged by {by}" + (f" {ago(at, now)}" if at is not None else "") if by else ""
    line = ", ".join(part for part in (told, seen) if part)
    return [line] if line else []


def told_lines(notifications: Sequence[Notification], now: datetime) -> list[str]:
    """Each word to people by each channel, and whether it has reached that."""
    return [
        f"{clock(one.created_at)[:8]}  {one.kind.value} to {one.channel}: {how_far(one, now)}"
        for one in notifications
    ]


def how_far(one: Notification, now: datetime) -> str:
    """How far one word has got on its way."""
    inside = ", in a summary" if one.delivered_in is not None else ""
    if one.delivered_at is not None:
        return f"delivered {ago(one.delivered_at, now)}{inside}"
    if one.given_up_at is not None:
        return (
            f"given up {ago(one.given_up_at, now)}{inside}, nobody was told: {one.last_error or 'no reason'}"
        )
    if one.last_error is None:
        return f"not delivered yet{inside}"
    tries = "1 try" if one.tries == 1 else f"{one.tries} tries"
    return f"not delivered after {tries}, the next {until(one.due_at, now)}: {one.last_error}"


def _alerts(dossier: Dossier, facts: ReviewFacts, now: datetime) -> list[str]:
    members = dossier.members
    head = f"{members.firing} firing of {members.total}"
    if members.first_starts_at is not None:
        head += f", the first since {ago(members.first_starts_at, now)}"
    if facts.taken_up_later:
        taken_up = ago(facts.taken_up_at, now)
        head += f", heard of {ago(facts.detected_at, now)}; a new rulebook took it up {taken_up}"
    common = pairs(members.common_labels)
    return [head, common] if common else [head]


def _more(facts: ReviewFacts) -> list[str]:
    named = {"runbook": facts.runbook_url, "owner": facts.owner, "notes": facts.notes}
    lines = [f"{name}: {value}" for name, value in named.items() if value]
    return [*lines, f"id: {facts.incident_id}"]
