"""What became of each step of an incident, in lines: for `responder explain`, and for an act by hand.

The words alone: what they tell is read from the timeline by `review.explained`.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import assert_never

from responder.cli import output
from responder.cli.ended import Standing, refusing, since_ended, since_released
from responder.cli.ways import beside, command, ways_left
from responder.model.attempt import Attempt, Outcome, Owed, Verdict
from responder.model.base import Frozen
from responder.model.guard import Guard, Ruling
from responder.model.incident import Incident, IncidentState
from responder.model.spoken import moment
from responder.model.storm import UMBRELLA
from responder.review.explained import (
    Answer,
    Coming,
    Explanation,
    GuardWord,
    Judged,
    Prospect,
    Read,
    StepTold,
    Tried,
)
from responder.review.words import count, listed


class Telling(Frozen):
    """How a step is told: at what time, with `everything` that each guard said, and what stands now.

    `incident` is None where nobody asks what helps.
    """

    now: datetime
    everything: bool = False
    standing: Standing | None = None
    incident: Incident | None = None


_NO_WAY = {IncidentState.RESOLVED, IncidentState.CLOSED, IncidentState.SUPPRESSED}
"""Where what held a step last holds nothing now."""


def without_steps(incident: Incident) -> str:
    """Why there is nothing to tell."""
    if incident.by_hand is not None:
        return "A person opened it for people: it has no step, so there was nothing to judge."
    if incident.rule == UMBRELLA.name:
        ends = (
            "It ends when fewer incidents opened lately, and fewer of its own still fire, than make a storm."
        )
        return f"It stands for all incidents of the storm: it has no step of its own. {ends}"
    return "The rule has no step: it only gathers evidence, so there was nothing to judge."


def goes_on(step: StepTold, incident: Incident, now: datetime) -> Iterator[str]:
    """When a step that waits is looked at again."""
    progress, hold, due = incident.progress, incident.progress.hold, incident.due_at
    if step.number != progress.step + 1:
        return
    if incident.state is IncidentState.RECORDED and progress.part_of is not None and due is not None:
        over = "when the storm is over (fewer open, and fewer of its incidents still fire, than make one)"
        yield f"judged again {over}: it is looked at {output.until(due, now)}"
    if incident.state is IncidentState.HELD and hold is not None:
        yield f"judged again {output.until(hold.until, now)}, at {moment(hold.until, now)}"


def quiet_lines(explanation: Explanation, now: datetime) -> list[str]:
    """When nobody was told anything, and why; that it is so now the headline says."""
    return [
        f"{moment(one.since, now)} to {moment(one.until, now)}: {one.why}"
        for one in explanation.quiet
        if one.until is not None
    ]


def evidence_lines(explanation: Explanation, incident: Incident, now: datetime) -> list[str]:
    """What the rule reads beside its steps, and what it was told."""
    over = incident.state in {IncidentState.RESOLVED, IncidentState.CLOSED}
    unread = "was not read" if over else "not read yet"
    return [
        _read(one, now) if one.at is not None else f"{one.action}: {unread}" for one in explanation.evidence
    ]


_LONGEST = 200
"""Characters of what was read: the timeline has all of it."""


def _read(read: Read, now: datetime) -> str:
    return f"{read.action}, {_said(read, now)}"


def _said(read: Read, now: datetime) -> str:
    at = "" if read.at is None else f" at {moment(read.at, now)}"
    cut = read.summary if len(read.summary) <= _LONGEST else f"{read.summary[:_LONGEST]}\u2026"
    return f"read{at}: {cut}"


# --- a step --------------------------------------------------------------------------------------------


def lines_of(step: StepTold, telling: Telling) -> Iterator[tuple[int, str]]:
    """What came of a step, what becomes of it, and what was judged, the newest first; each with its depth."""
    for read in step.read:
        yield 0, _said(read, telling.now)
    if step.repeat:
        yield 0, f"taken up to {step.repeat + 1} times, as long as it does not help"
    for attempt in reversed(step.attempts):
        yield 0, _attempt(attempt, step.action, telling)
    if (line := _prospect(step, telling.now)) is not None:
        yield 0, line
    for number, judged in enumerate(reversed(step.judged)):
        yield from _judged(judged, telling, newest=number == 0)


def _prospect(step: StepTold, now: datetime) -> str | None:
    given = step.prospect
    if given is None:
        return None
    match given.coming:
        case Coming.NEXT:
            return None if step.judged else "next: it was not judged yet"
        case Coming.IF_NEEDED:
            return _if_needed(given, now)
        case Coming.NOT_NEEDED if given.after is not None:
            return f"not needed: step {given.after} recovered it"
        case Coming.NOT_NEEDED:
            return f"not needed: {given.why or 'the incident is over'}"
        case Coming.QUIET if given.at is not None:
            return f"not judged before {moment(given.at, now)}: {given.why} keeps it quiet"
        case Coming.INHIBITED:
            return f"not judged while {given.why} is under way"
        case Coming.QUIET:
            return "not judged while its alerts are silenced or inhibited"
        case Coming.IN_HANDS:
            at = "" if given.at is None else f" at {moment(given.at, now)}"
            return f"not taken: {given.who or 'a person'} took the incident over{at}"
        case Coming.HANDED_BACK:
            return "judged again after a hand-back" if step.judged else _handed_back(given)
        case Coming.BEHIND:
            return f"only after a hand-back, and if step {given.after} has not helped then"
        case Coming.RECORDED | Coming.NOTHING_FOUND:
            return None if step.judged or step.read else _recorded(given)
        case Coming.STORM:
            return None if step.judged else "not judged while it is part of the storm"
        case _:
            assert_never(given.coming)


def _if_needed(given: Prospect, now: datetime) -> str:
    before = "what was done" if given.after is None else f"step {given.after}"
    by = "" if given.at is None else f" by {moment(given.at, now)}"
    return f"only if {before} has not helped{by}"


def _recorded(given: Prospect) -> str:
    if given.coming is Coming.NOTHING_FOUND:
        found = f"in shadow it ended at step {given.after}, which found nothing to act on"
        return f"not judged: {found}; in auto this comes if the alert lasts"
    return f"not judged: it ended {'before it' if given.after is None else f'at step {given.after}'}"


def _handed_back(given: Prospect) -> str:
    """People have it: by itself no further step comes."""
    told = "people were told" if given.after is None else f"people were told at step {given.after}"
    return f"{told}; this is judged after a hand-back"


_CAME = {
    Verdict.RECOVERED: "it helped",
    Verdict.NOT_RECOVERED: "did not help",
    Verdict.NO_DATA: "nobody can say whether it helped",
}


_KNOWS_YET = {IncidentState.REMEDIATING, IncidentState.VERIFYING}


def _came(attempt: Attempt, incident: Incident | None) -> str:
    """Whether it helped; of a verification that is cut off, as by a take-over, that nobody knows."""
    if attempt.verdict is not None:
        return f", {_CAME[attempt.verdict]}"
    cut_off = incident is not None and incident.state not in _KNOWS_YET
    return ", not verified" if attempt.outcome is Outcome.DONE and cut_off else ""


def _attempt(attempt: Tried, action: str, telling: Telling) -> str:
    now, came = telling.now, _came(attempt, telling.incident)
    undo = f", {attempt.action} to take an attempt back" if attempt.undo_of is not None else ""
    part = "" if attempt.part is None else f", part {attempt.part + 1}"
    other = f", {attempt.action}" if attempt.action != action and not undo else ""
    began = moment(attempt.intended_at, now)
    became = f"{_outcome(attempt, telling)}{came}{_quarantined(attempt, now)}{given_back(attempt.owed, now)}"
    return f"started {began} on {attempt.target}{part}{undo}{other}: {became}"


def _outcome(attempt: Tried, telling: Telling) -> str:
    """What became of it, and how that is known where whoever ran it has not told."""
    asked = "" if attempt.asked_at is None else moment(attempt.asked_at, telling.now)
    by_asking = f"no outcome was recorded, the target was asked at {asked}: " if asked else ""
    match attempt.outcome:
        case Outcome.STARTED:
            return f"no outcome is known yet{_asked_by(telling)}"
        case Outcome.UNKNOWN:
            told = f"nobody can say whether it happened{_why_unknown(attempt)}"
        case _:
            told = attempt.outcome.value.replace("_", " ")
    return f"{by_asking}{told}"


def _why_unknown(attempt: Attempt) -> str:
    """In the words of whoever could not say it."""
    lost = (one.detail for one in attempt.results if one.outcome is Outcome.UNKNOWN)
    why = "; ".join(dict.fromkeys(detail for detail in lost if detail))
    return f" ({why})" if why else ""


def _quarantined(attempt: Tried, now: datetime) -> str:
    """Whether it left its target quarantined, and why, where the line does not say so already."""
    left = attempt.quarantined
    if left is None:
        return ""
    why = "" if attempt.outcome is Outcome.UNKNOWN else f", for {left.reason}"
    return f"; the target is quarantined{why}{since_released(left, now)}"


def given_back(owed: Owed | None, now: datetime) -> str:
    """What becomes of that which is done for a while; empty where it stays anyway."""
    if owed is None:
        return ""
    if owed.kept_at is not None:
        return f"; it stays, {owed.kept_by} keeps it since {moment(owed.kept_at, now)}"
    if owed.opened_as is not None:
        return f"; what became of giving it back: responder explain {owed.opened_as}"
    return f"; it is given back at {moment(owed.due_at, now)}"


def _asked_by(telling: Telling) -> str:
    """When somebody looks what became of it, whether or not whoever runs it is still there."""
    incident, now = telling.incident, telling.now
    due = incident.due_at if incident is not None and incident.state is IncidentState.REMEDIATING else None
    return f"; the target is asked at {moment(due, now)} if none is by then" if due and due > now else ""


# --- one judgement -------------------------------------------------------------------------------------

_MORE = "--all lists them"
_WHY = "--all says why"


def _judged(judged: Judged, telling: Telling, *, newest: bool) -> Iterator[tuple[int, str]]:
    now = telling.now
    where = judged.target or "no target"
    times = f", {judged.times} times since {moment(judged.first_at, now)}" if judged.times > 1 else ""
    at = moment(judged.last_at, now)
    part = "" if judged.part is None else f"part {judged.part + 1}, {judged.action} "
    yield 0, f"{at} ({output.ago(judged.last_at, now)}{times}), {part}on {where}: {_became(judged, telling)}"
    told: set[str] = set()
    for word in judged.held_by:
        yield 1, _against(word, judged, telling)
        if newest:
            ends = [line for line in _ends(word, judged, telling) if line not in told]
            told.update(ends)
            yield from ((2, line) for line in ends)
    if judged.computed and (newest or telling.everything):
        yield 1, f"from what it found: {', '.join(judged.computed)}"
    if judged.elements and (newest or telling.everything):
        yield 1, f"it found {count(judged.element_count, 'element')} to hit:"
        yield from ((2, title) for title in listed(judged.elements, judged.element_count))
    if telling.everything:
        yield from _everything(judged)
    elif newest and judged.held_by and (rest := _rest(judged)):
        yield 1, f"{rest} ({_WHY})"


def _became(judged: Judged, telling: Telling) -> str:
    if not judged.words:
        return "what the guards said is no longer there"
    match judged.ruling:
        case Ruling.GO if judged.observed:
            return "recorded only: it is observed, and the target was not looked at"
        case Ruling.ASK if judged.nothing_to_do:
            return "there was nothing to do, so nobody was asked"
        case Ruling.REFUSE if judged.decided_by == Guard.CONDITION:
            return "passed over, for it was not needed"
        case _ if judged.found_nothing:
            return f"found nothing to act on{_then(telling)}"
        case _ if judged.shadow:
            return f"would have {_IN_SHADOW[judged.ruling]}; in shadow nothing is done"
        case Ruling.GO:
            found = ", but there was nothing to do" if judged.nothing_to_do else ""
            approved = "".join(f", {word.reason}" for word in judged.let_go if word.approved)
            return f"every guard let it go{approved}{found}{_all_of(telling)}"
        case Ruling.ASK if judged.answer is not None:
            return f"a person was asked: {_answer(judged.answer, telling.now)}"
        case Ruling.ASK:
            return "a person must say so" if judged.open else "a person was asked, and nobody answered"
        case Ruling.WAIT:
            return "held"
        case Ruling.REFUSE:
            return "refused"
        case _:
            assert_never(judged.ruling)


def _then(telling: Telling) -> str:
    """What shadow makes of that, and auto; an act by hand is over with it."""
    by_alerts = telling.incident is not None and telling.incident.by_hand is None
    return "; in shadow it ends there, in auto it goes on if the alert lasts" if by_alerts else ""


_IN_SHADOW = {
    Ruling.GO: "started",
    Ruling.ASK: "asked a person",
    Ruling.WAIT: "waited",
    Ruling.REFUSE: "been refused",
}


def _all_of(telling: Telling) -> str:
    return "" if telling.everything else f" ({_MORE})"


def _answer(answer: Answer, now: datetime) -> str:
    who, at = answer.actor, moment(answer.at, now)
    match answer.command:
        case "approve":
            return f"{who} said yes at {at}"
        case "decline":
            return f"{who} said no at {at}"
        case "take_over":
            return f"the question is void, {who} took the incident over at {at}"
        case _:
            return f"the question is void, {who} closed the incident at {at}"


_WOULD = {Ruling.GO: "", Ruling.ASK: " would ask a person", Ruling.WAIT: " would hold it", Ruling.REFUSE: ""}


def _against(word: GuardWord, judged: Judged, telling: Telling) -> str:
    """Who kept it from starting; beside something stricter, what it would have done."""
    name = "held by the ceiling" if word.shadow else word.called
    would = _WOULD[word.ruling] if word.ruling < judged.ruling else ""
    since = since_ended(word, telling.incident, telling.standing, telling.now)
    reason = word.reason
    if word.guard == Guard.CONDITION.value and word.ruling is Ruling.REFUSE:
        reason = reason.removeprefix("not needed: ")
    return f"{name}{would}: {reason}{since}"


def _ends(word: GuardWord, judged: Judged, telling: Telling) -> Iterator[str]:
    """What ends that which a guard said, where that may still help, and whether it is enough."""
    incident = telling.incident
    if incident is None or incident.state in _NO_WAY:
        return
    refused = refusing(judged, telling.standing, telling.now)
    for way in ways_left(word, incident, telling.standing, telling.now):
        yield f"-> {command(way)}{beside(way, word, refused, incident)}"


def _rest(judged: Judged) -> str:
    let, unasked = judged.let_go, judged.not_asked
    parts = [
        f"{count(len(let), 'other guard')} let it go: {_names(let)}" if let else "",
        f"{len(unasked)} had nothing to look at: {_names(unasked)}" if unasked else "",
    ]
    return "; ".join(part for part in parts if part)


def _names(words: Sequence[GuardWord]) -> str:
    return ", ".join(dict.fromkeys(word.called for word in words))


def _everything(judged: Judged) -> Iterator[tuple[int, str]]:
    for title, words in (
        ("these let it go:", judged.let_go),
        ("these had nothing to look at:", judged.not_asked),
    ):
        if words:
            yield 1, title
            yield from ((2, f"{word.called}: {word.reason}") for word in words)
