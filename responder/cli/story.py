"""An incident for a tired person: first how it stands and why, in one sentence; then the rest.

What happened is read by `review.facts`, as the review reads it: both tell the same story.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from responder.cli.ended import Standing, how_it_ended, is_over, marked, since_ended, since_released
from responder.cli.output import ago, until
from responder.cli.ways import last_judged, you_can
from responder.decide.told_next import Promised, Rises
from responder.model.attempt import Outcome
from responder.model.guard import Ruling, called
from responder.model.incident import Hold, Holder, Incident, IncidentState, Verification
from responder.model.notification import Notification
from responder.model.policy import NoticeKind
from responder.model.spoken import moment
from responder.model.storm import UMBRELLA
from responder.model.way import WayKind
from responder.ports import Dossier
from responder.review.explained import words_of
from responder.review.facts import Act, HeldBack, ReviewFacts, read
from responder.review.words import clock, count, listed, pairs, when

_RULINGS = {"ask": "a person must say so", "wait": "held", "refuse": "refused"}


def headline(dossier: Dossier, now: datetime, standing: Standing | None = None) -> str:
    """One sentence: severity, rule, group, state, since when, why."""
    incident = dossier.incident
    group = f" ({pairs(incident.key)})" if incident.key else ""
    state = incident.state.value.replace("_", " ")
    lasted = ago(incident.state_since, now).removesuffix(" ago")
    by_hand = incident.by_hand
    named = incident.rule if by_hand is None else f"{by_hand.title}, by hand of {by_hand.actor}"
    what = f"{incident.severity.value} {named}{group}"
    why = _why(dossier, now, standing)
    return f"{what} is {state}, for {lasted} now: {why}{'' if why.endswith('.') else '.'}"


def told_story(
    dossier: Dossier, told: Promised, now: datetime, standing: Standing | None = None
) -> Iterator[tuple[str, list[str]]]:
    """The parts below the headline, each with its title; what is empty is left out."""
    facts = read(dossier, told.terms)
    parts = {
        "You can": you_can(dossier, standing, now, told.stale_at),
        "Rule": [_rule_then(dossier)],
        "Held back": [
            line for one in facts.held_back for line in _held(one, _since(one, dossier, standing, now))
        ],
        "Done": [line for act in facts.acts for line in _act(act)],
        "People": [*_person(facts, dossier.incident, now), *next_lines(dossier.incident, told, now)],
        "Told": told_lines(dossier.notifications, now),
        "Alerts": [] if dossier.incident.by_hand is not None else _alerts(dossier, facts, now),
        f"Timeline (UTC, {count(facts.timeline_length, 'entry', 'entries')})": [
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


def _why(dossier: Dossier, now: datetime, standing: Standing | None) -> str:
    """What the state rests on, in the words of whoever decided it."""
    incident = dossier.incident
    progress = incident.progress
    match incident.state:
        case IncidentState.PENDING if incident.deadline is not None and _by_alerts(incident):
            return f"it opens at {moment(incident.deadline, now)}, if its alert fires until then"
        case IncidentState.HELD if progress.hold is not None:
            why = _held_why(progress.hold, incident, now, standing)
            return f"{why}{_yes_expires(progress.hold, incident, now, standing)}"
        case IncidentState.REMEDIATING if dossier.attempts:
            runs = dossier.attempts[-1]
            return f"{runs.action} on {runs.target}, started {moment(runs.intended_at, now)}"
        case IncidentState.AWAITING_APPROVAL:
            by = f" until {moment(incident.deadline, now)}" if incident.deadline else ""
            return f"{_last_change(dossier)}; it waits{by} for a person's yes or no"
        case IncidentState.VERIFYING if progress.verification is not None:
            verification = progress.verification
            reading = verification.last or "nothing was read yet"
            what = _verified(verification, dossier)
            return f"{what}{reading}; decided at the latest {until(verification.deadline, now)}"
        case IncidentState.ESCALATED if progress.escalation_reason:
            last = last_judged(dossier)
            words = () if last is None else last.held_by
            told = marked(progress.escalation_reason, words, incident, standing, now)
            return f"{told}{_also_refused(dossier, standing, now)}{_left_quarantined(dossier, now)}"
        case IncidentState.TAKEN_OVER if progress.taken_over_by:
            return f"{progress.taken_over_by} acts, automation is off"
        case IncidentState.RECORDED if progress.shadow and (short := _in_shadow(dossier, now, standing)):
            return short
        case IncidentState.RECORDED if progress.shadow and progress.outcome:
            last = last_judged(dossier)
            return marked(progress.outcome, () if last is None else last.held_by, incident, standing, now)
        case IncidentState.RESOLVED | IncidentState.RECORDED | IncidentState.CLOSED if progress.outcome:
            return progress.outcome
        case _:
            return _last_change(dossier)


def _verified(running: Verification, dossier: Dossier) -> str:
    """Which step is verified; nothing where no attempt is: what was found well needed none."""
    tried = [one for one in dossier.attempts if one.id == running.attempt_id]
    return "".join(f"did step {one.step + 1}, {one.action} on {one.target}, help? " for one in tried)


def _also_refused(dossier: Dossier, standing: Standing | None, now: datetime) -> str:
    """Who else refused the step because of which people were told, and still does."""
    why, last = dossier.incident.progress.escalation_reason or "", last_judged(dossier)
    refused = [one for one in (last.held_by if last is not None else ()) if one.ruling is Ruling.REFUSE]
    if not any(one.reason in why for one in refused):
        return ""
    others = [one for one in refused if one.reason not in why and not is_over(one, standing, now)]
    names = ", ".join(dict.fromkeys(one.called for one in others))
    return f"; also refused by {names}" if names else ""


def _left_quarantined(dossier: Dossier, now: datetime) -> str:
    """Behind why people were told: that the attempt which it is about left its target quarantined.

    And whether a person has released that since.
    """
    why = dossier.incident.progress.escalation_reason or ""
    told = [one for one in dossier.quarantined if one.reason in why]
    if not told:
        return ""
    said = "" if why.endswith("the target is quarantined") else "; the target is quarantined"
    return f"{said}{since_released(told[-1], now)}"


def _by_alerts(incident: Incident) -> bool:
    """Whether an alert opened it: no person, and no storm."""
    return incident.by_hand is None and incident.rule != UMBRELLA.name


def _in_shadow(dossier: Dossier, now: datetime, standing: Standing | None) -> str | None:
    """What the last step would have done, by its number of elements: which they are stands below."""
    last = last_judged(dossier)
    if last is None or last.ruling is not Ruling.GO or not last.shadow or last.observed:
        return None
    started = f"would have started on {count(last.element_count, 'element')}"
    would = "found nothing to act on" if last.found_nothing else started
    told = [(word.reason, how_it_ended(word, dossier.incident, standing, now)) for word in last.held_by]
    why = "".join(f" ({'; '.join(part for part in parts if part)})" for parts in told)
    return f"in shadow nothing was done; {last.action} on {last.target} {would}{why}"


def _held_why(hold: Hold, incident: Incident, now: datetime, standing: Standing | None) -> str:
    """What holds it, and what comes of that: where all of it has ended, it is judged again before long."""
    words = _held_words(hold, incident, now, standing)
    if hold.holders and all(is_over(one, standing, now) for one in hold.holders):
        return f"{words}; it is judged again {until(hold.until, now)}"
    stale = hold.stale_at
    if stale is not None and stale < hold.deadline:
        return f"{words}; people are told {until(stale, now)}: its alert's last word is too old then"
    return f"{words}; people are told {until(hold.deadline, now)} if nothing changes"


def _yes_expires(hold: Hold, incident: Incident, now: datetime, standing: Standing | None) -> str:
    """That a person's yes is spent before what holds it ends, so that they are asked again."""
    yes = incident.progress.approval
    if yes is None:
        return ""
    ends = [one.over_at for one in hold.holders if one.over_at and not is_over(one, standing, now)]
    if yes.expires_at > max([hold.until, *ends]):
        return ""
    return (
        f"; the yes of {yes.by} ends before that, at {moment(yes.expires_at, now)}: it is asked for anew then"
    )


def _held_words(hold: Hold, incident: Incident, now: datetime, standing: Standing | None) -> str:
    """What holds it; of several all by name, and before when nothing starts whatever happens."""
    if len(hold.holders) <= 1:
        return marked(hold.reason, hold.holders, incident, standing, now)
    lasting = [one for one in hold.holders if not is_over(one, standing, now)]
    over = [one for one in hold.holders if one not in lasting]
    lasting.sort(key=lambda one: (one.over_at is None, one.over_at or now), reverse=True)
    named = ", ".join(_until_when(one, incident, now, standing) for one in (*lasting, *over))
    ends = [one.over_at for one in lasting if one.over_at is not None]
    earliest = f"earliest start {moment(max(ends), now)}, " if ends else ""
    return f"{earliest}held by {named}"


def _until_when(one: Holder, incident: Incident, now: datetime, standing: Standing | None) -> str:
    if since := since_ended(one, incident, standing, now):
        return f"{called(one.guard)}{since}"
    if one.over_at is not None:
        when = f"until {moment(one.over_at, now)}"
    elif one.verifies_until is not None:
        when = f"which verifies until {moment(one.verifies_until, now)}"
    elif any(way.kind is WayKind.RELEASE for way in one.ways):
        when = "until it is released"
    else:
        when = "no end is known"
    return f"{called(one.guard)} ({when})"


def holder_lines(dossier: Dossier, now: datetime, standing: Standing | None = None) -> Iterator[str]:
    """Every guard that holds what is held, with its reason; nothing where the headline says it all."""
    hold = dossier.incident.progress.hold
    if dossier.incident.state is not IncidentState.HELD or hold is None or len(hold.holders) <= 1:
        return
    told = ((one.reason, since_ended(one, dossier.incident, standing, now)) for one in hold.holders)
    yield from (f"held: {reason}{since}" for reason, since in told)


def _last_change(dossier: Dossier) -> str:
    """The last change of state tells its reason; before the first one there is only the opening."""
    for entry in reversed(dossier.entries):
        if why := entry.facts.get("why"):
            return str(why)
    return dossier.entries[-1].text if dossier.entries else "it was just opened"


def _since(held: HeldBack, dossier: Dossier, standing: Standing | None, now: datetime) -> str:
    """Behind what held a step back: what has become of that."""
    last = next((one for one in dossier.entries if one.number == held.entries[-1]), None)
    words = () if last is None else words_of(last)
    decided = [word for word in words if word.guard == held.guard]
    return since_ended(decided[0], dossier.incident, standing, now) if decided else ""


def _held(held: HeldBack, since: str) -> Iterator[str]:
    step = f"step {held.step + 1}, " if held.step is not None else ""
    what = f"{step}{held.action} on {held.target or 'no target'}"
    times = f" ({held.times} times, last {_second(held.last_at)})" if held.times > 1 else ""
    yield f"{_second(held.first_at)}  {what}: {_held_word(held)}{held.reason}{since}{times}"
    others = (reason for guard, reason in held.objections if guard != held.guard)
    yield from (f"also: {reason}" for reason in others)
    if held.elements:
        verb = "would have hit" if held.only_shadow else "found"
        yield f"{verb} {count(held.element_count, 'element')}:"
        yield from listed(held.elements, held.element_count)


def _held_word(held: HeldBack) -> str:
    """How it was held back; what shadow alone kept back says so itself."""
    if held.only_shadow:
        return ""
    return f"{'in shadow, ' if held.shadow else ''}{_RULINGS.get(held.ruling, held.ruling)}, "


def _second(at: datetime) -> str:
    return f"{clock(at)[:8]} UTC"


def _act(act: Act) -> Iterator[str]:
    verdict = f", {act.verdict.value.replace('_', ' ')}" if act.verdict is not None else ""
    known = act.outcome is not Outcome.UNKNOWN
    outcome = act.outcome.value.replace("_", " ") if known else "nobody can say whether it happened"
    yield f"{_second(act.intended_at)}  {act.action} on {act.target}: {outcome}{verdict}"
    for element in act.elements:
        detail = f" ({element.detail})" if element.detail else ""
        yield f"{element.title}: {element.outcome.value.replace('_', ' ')}{detail}"


def next_lines(incident: Incident, told: Promised, now: datetime) -> list[str]:
    """Who is told next, and when, if nothing happens before."""
    word = told.next
    if incident.state is IncidentState.RECORDED and incident.progress.shadow:
        return ["nobody is told of it while it is recorded"]
    if incident.state is IncidentState.SUPPRESSED and incident.progress.maintenance and incident.deadline:
        at = moment(incident.deadline, now)
        return [
            f"nobody is told before {at}, when {incident.progress.maintenance} is over: then it is judged"
        ]
    if incident.state is IncidentState.SUPPRESSED and incident.progress.inhibited is not None:
        return [f"nobody is told while {incident.progress.inhibited} is under way: then it is judged"]
    rises = [] if told.rises is None else [_rises(told.rises, now)]
    if told.kept_by is not None:
        rises = [f"{told.kept_by} said that it is {incident.severity}: it does not rise by time any more"]
    if word is None:
        return rises
    level = f"level {word.level} ({', '.join(word.channels)})"
    match word.kind:
        case NoticeKind.OPENED:
            what = f"pages {level}"
        case NoticeKind.REMINDER:
            what = f"reminds {incident.progress.taken_over_by or 'people'} at {level}"
        case _ if word.up:
            what = f"escalates to {level}"
        case NoticeKind.ESCALATED:
            what = f"escalates, and tells {level} again"
        case _:
            what = f"tells {level} again"
    at = moment(word.at, now, seconds=word.at - now < timedelta(hours=1))
    return [f"next: {what} {until(word.at, now)}, at {at}, unless {word.unless}", *rises]


def _rises(rises: Rises, now: datetime) -> str:
    at = moment(rises.at, now, seconds=rises.at - now < timedelta(hours=1))
    return f"becomes {rises.to} {until(rises.at, now)}, at {at}, unless it is over by then"


def _person(facts: ReviewFacts, incident: Incident, now: datetime) -> list[str]:
    times = len(facts.escalations)
    told = f"told {'once' if times == 1 else f'{times} times'}" if times else ""
    line = ", ".join(part for part in (told, *acknowledged_lines(incident, now)) if part)
    return [line] if line else []


def acknowledged_lines(incident: Incident, now: datetime) -> list[str]:
    """Who has seen it, and when; nothing while nobody has."""
    by, at = incident.progress.acknowledged_by, incident.progress.acknowledged_at
    return [f"acknowledged by {by}" + (f" {ago(at, now)}" if at is not None else "")] if by else []


def told_lines(notifications: Sequence[Notification], now: datetime) -> list[str]:
    """Each word to people by each channel, and whether it has reached that."""
    return [
        f"{_second(one.created_at)}  {one.kind.value} to {one.channel}: {how_far(one, now)}"
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
