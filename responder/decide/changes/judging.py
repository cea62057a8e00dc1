"""What the verdicts on a step mean when they do not let it start with an effect."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import uuid5

from responder.decide.all_of import deciding, whole
from responder.decide.case import (
    Case,
    Change,
    Facts,
    Notice,
    Restrained,
    ShadowRun,
    SourceView,
    Terms,
)
from responder.decide.changes.base import (
    NAMED,
    attempted,
    by_the_page,
    go_on,
    moved,
    named,
    nothing_done,
    soon,
    stay,
)
from responder.decide.changes.by_hand import UNSEEN, not_let
from responder.decide.changes.endings import escalated, recorded_in_shadow
from responder.decide.changes.question import question_words
from responder.decide.changes.spent import refused
from responder.decide.guards.source import stale_at, suppressed_words
from responder.model.approval import Question
from responder.model.duration import format_duration
from responder.model.guard import Guard, GuardVerdict, Judgement, Refuses, Ruling
from responder.model.incident import Hold, Holder, IncidentState
from responder.model.policy import NoticeKind
from responder.model.timeline import EntryDraft, EntryKind

Parts = Sequence[tuple[Facts, Judgement]]
"""The parts of an `all:` in their order, each as it was judged; of a step alone but itself."""


@dataclass(frozen=True, slots=True)
class _Judged:
    """A step as it was judged: the facts of the part that decides, all verdicts, and part by part."""

    facts: Facts
    judgement: Judgement
    parts: Parts


def judged(case: Case, index: int, facts: Facts, judgement: Judgement, terms: Terms) -> Change:
    """What the verdicts mean when they do not let the step start with an effect."""
    entry = judged_entry(case, index, facts, judgement)
    return _judged(case, index, _Judged(facts, judgement, ((facts, judgement),)), entry, terms)


def all_judged(case: Case, index: int, parts: Parts, terms: Terms) -> Change:
    """The same of an `all:`: what decides is the strictest verdict on any part, and each part is told."""
    number = deciding([judgement for _, judgement in parts])
    one = _Judged(parts[number][0], whole([judgement for _, judgement in parts]), parts)
    entries = all_judged_entries(case, index, parts)
    change = _judged(case, index, one, entries[-1], terms)
    told = entries[:-1] if entries[-1] in change.entries else ()
    return change.model_copy(update={"entries": (*told, *change.entries)})


def all_judged_entries(case: Case, index: int, parts: Parts) -> tuple[EntryDraft, ...]:
    """All verdicts on all parts, that which decides last: it is what stands."""
    number = deciding([judgement for _, judgement in parts])
    told = [judged_entry(case, index, *one, part=part) for part, one in enumerate(parts)]
    return (*told[:number], *told[number + 1 :], told[number])


def _judged(case: Case, index: int, one: _Judged, entry: EntryDraft, terms: Terms) -> Change:
    facts, judgement = one.facts, one.judgement
    now, verdict, by_hand = facts.now, judgement.strictest, case.incident.by_hand
    if facts.firing == 0 and by_hand is None:
        return go_on(case, now, terms, "no alert of it fires any more")
    if by_hand is not None and (judgement.shadow or verdict.ruling is Ruling.REFUSE):
        if by_hand.gives_back is not None:
            reason = f"{by_hand.title}, and may not be: {judgement.reasons}"
            return escalated(case, now, reason, terms, entry)
        return not_let(case, by_hand, facts, judgement, entry, terms)
    if verdict.refuses is Refuses.TARGET:
        skip = f"step {index + 1} ({facts.action}) is passed over: {verdict.reason}"
        passed = refused(index, facts.action, facts.target, verdict)
        change = go_on(
            case, now, terms, skip, entry, step=index + 1, shadow=judgement.shadow, passed_over=passed
        )
        return _kept(change, index, one)
    if verdict.guard is Guard.SUPPRESSED:
        return _suppressed(case, verdict.reason, terms, now, entry)
    if judgement.shadow and nothing_done(case):
        why, in_auto = _shadow_text(index, one), _told_in_auto(case, verdict, terms)
        change = recorded_in_shadow(case, now, why, terms, entry, in_auto=in_auto)
        return _kept(change, index, one)
    if judgement.shadow:
        before = "the last attempt did not help" if attempted(case) else "people were told of it"
        reason = f"{before}, and the next step may not act: {verdict.reason}"
        return _kept(escalated(case, now, reason, terms, entry), index, one)
    match verdict.ruling:
        case Ruling.REFUSE:
            return escalated(case, now, judgement.reasons, terms, entry)
        case Ruling.WAIT:
            return _held(case, facts, judgement, entry, terms)
        case Ruling.ASK:
            return asked(case, index, facts, judgement, entry, terms)
        case Ruling.GO:
            raise ValueError("a go with effect becomes an intent, not a change")


def _kept(change: Change, index: int, one: _Judged) -> Change:
    """With what shadow would have done, part by part, for the report on it."""
    if not one.judgement.shadow:
        return change
    runs = tuple(_run(index, facts, judgement.strictest) for facts, judgement in one.parts)
    return change.model_copy(update={"shadow_runs": runs})


def _run(index: int, facts: Facts, verdict: GuardVerdict) -> ShadowRun:
    return ShadowRun(
        step=index,
        action=facts.action,
        target=facts.target,
        ruling=verdict.ruling,
        guard=verdict.guard,
        reason=verdict.reason,
        elements=facts.elements[:NAMED],
        element_count=len(facts.elements),
    )


def judged_entry(
    case: Case, index: int, facts: Facts, judgement: Judgement, *, part: int | None = None
) -> EntryDraft:
    """All verdicts of one judgement, told once; of an `all:` those on one `part`."""
    verdict = judgement.strictest
    word = {
        Ruling.GO: "may go",
        Ruling.ASK: "asks a person",
        Ruling.WAIT: "waits",
        Ruling.REFUSE: "is refused",
    }
    shadow = " in shadow" if judgement.shadow else ""
    became = f"{word[verdict.ruling]}{shadow}"
    if facts.observed and verdict.ruling is Ruling.GO:
        became = "is only recorded"
    what = f"{facts.action} on {facts.target or 'no target'}"
    return EntryDraft(
        kind=EntryKind.JUDGED,
        text=f"{what} {became}: {_why(verdict)}{_computed(facts)}",
        facts={
            "step": index,
            "action": facts.action,
            "target": facts.target,
            "ruling": verdict.ruling.name.lower(),
            "decided_by": verdict.guard.value,
            "reason": verdict.reason,
            "shadow": judgement.shadow,
            "verdicts": [_told(one) for one in judgement.verdicts],
            "elements": list(facts.elements[:NAMED]),
            "element_count": len(facts.elements),
            "state": case.incident.state.value,
            **({"observed": True} if facts.observed else {}),
            **({} if part is None else {"part": part}),
            **({"computed": list(facts.computed)} if facts.computed else {}),
        },
    )


def _computed(facts: Facts) -> str:
    return f"; {', '.join(facts.computed)}" if facts.computed else ""


@lru_cache(maxsize=1024)
def _told(one: GuardVerdict) -> dict[str, Any]:
    """One verdict for the timeline; what is as usual is left out."""
    told = {
        "guard": one.guard.value,
        "ruling": one.ruling.name.lower(),
        "reason": one.reason,
        "over_at": one.over_at.isoformat() if one.over_at is not None else None,
        "shadow": one.shadow or None,
        "approved": one.approved or None,
        "not_asked": not one.asked or None,
        "ways": [way.model_dump(mode="json", exclude_defaults=True) for way in one.ways] or None,
    }
    return {name: value for name, value in told.items() if value is not None}


def _why(verdict: GuardVerdict) -> str:
    if verdict.ruling is Ruling.GO and not verdict.shadow:
        return "every guard lets it go"
    return verdict.reason


def _shadow_text(index: int, one: _Judged) -> str:
    """What would have become of the step, and of all parts of it."""
    facts, judgement = one.facts, one.judgement
    verdict = judgement.strictest
    if len(one.parts) > 1:
        return _all_in_shadow(index, one)
    what = f"step {index + 1} ({facts.action} on {facts.target or 'no target'})"
    if facts.observed and verdict.ruling is Ruling.GO:
        return f"observe: recorded only, {what} was not taken; {UNSEEN}"
    found = f"; it found {named(facts.elements)}" if facts.elements else ""
    match verdict.ruling:
        case Ruling.GO if not facts.elements:
            return f"in shadow nothing was done; {what} found nothing to act on"
        case Ruling.GO:
            hits = f"{named(facts.elements)}{_computed(facts)}"
            return f"in shadow nothing was done; {what} would have started on {hits}"
        case Ruling.ASK:
            return f"in shadow {what} would have asked a person: {verdict.reason}{found}"
        case Ruling.WAIT:
            return f"in shadow {what} would have been held: {verdict.reason}{found}"
        case Ruling.REFUSE:
            return f"in shadow {what} would have been refused: {judgement.reasons}{found}"


def _all_in_shadow(index: int, one: _Judged) -> str:
    verdict = one.judgement.strictest
    parts = [
        f"{facts.action} on {facts.target or 'no target'}"
        + (f", on {named(facts.elements)}{_computed(facts)}" if facts.elements else ", finding nothing to do")
        for facts, _ in one.parts
    ]
    what = f"step {index + 1} ({'; then '.join(parts)})"
    by = f"{one.facts.action} on {one.facts.target or 'no target'}"
    match verdict.ruling:
        case Ruling.GO if one.facts.observed:
            return f"observe: recorded only, {what} was not taken; {UNSEEN}"
        case Ruling.GO:
            return f"in shadow nothing was done; {what} would have started"
        case Ruling.ASK:
            return f"in shadow {what} would have asked a person: {verdict.reason}"
        case Ruling.WAIT:
            return f"in shadow {what} would have been held by {by}: {verdict.reason}"
        case Ruling.REFUSE:
            return f"in shadow {what} would have been refused for {by}: {one.judgement.reasons}"


def _told_in_auto(case: Case, verdict: GuardVerdict, terms: Terms) -> str | None:
    """What people would have heard of the same verdict in auto; nothing where the step may go."""
    severity = case.incident.severity
    match verdict.ruling:
        case Ruling.GO:
            return None
        case Ruling.ASK:
            return f"a person would have been asked at once ({severity})"
        case Ruling.WAIT:
            patience = format_duration(terms.severities[severity].response_time)
            return f"a person would have been told within {patience} ({severity}) if nothing changed"
        case Ruling.REFUSE if verdict.guard is Guard.STORM:
            return "it would have been part of the storm's incident, which tells people of all"
        case Ruling.REFUSE:
            return told_at_once(case)


def told_at_once(case: Case) -> str:
    """What auto does where nothing is left that it may do."""
    return f"a person would have been told at once ({case.incident.severity})"


def _held(case: Case, facts: Facts, judgement: Judgement, entry: EntryDraft, terms: Terms) -> Change:
    """It waits, and is judged again before long: what else holds it by then, a person can read.

    Whoever else holds it is told with it, and a new one of them is news for the timeline.
    """
    now, before, verdict = facts.now, case.incident.progress.hold, judgement.strictest
    deadline = before.deadline if before else _patience(case, now, terms)
    until = min(verdict.until or now + terms.hold_every, now + terms.suppressed_every, deadline)
    hold = Hold(
        guard=verdict.guard.value,
        reason=verdict.reason,
        until=until,
        since=before.since if before else now,
        deadline=deadline,
        stale_at=stale_at(facts, terms),
        holder=verdict.holder,
        holders=tuple(
            Holder(
                guard=one.guard.value,
                reason=one.reason,
                over_at=one.over_at,
                verifies_until=one.verifies_until,
                ways=one.ways,
            )
            for one in judgement.verdicts
            if one.ruling is Ruling.WAIT
        ),
    )
    same = before is not None and _who_holds(before) == _who_holds(hold)
    known = same and case.incident.state is IncidentState.HELD
    progress = case.incident.progress.model_copy(update={"hold": hold})
    return Change(
        state=IncidentState.HELD,
        progress=progress,
        deadline=deadline,
        due_at=by_the_page(IncidentState.HELD, progress, until),
        entries=() if known else (entry, moved(case, IncidentState.HELD, verdict.reason)),
    )


def _who_holds(hold: Hold) -> tuple[object, ...]:
    """By name, not by the words: these may count down."""
    others = frozenset(one.guard for one in hold.holders if one.guard != hold.guard)
    ways = frozenset(way for one in hold.holders for way in one.ways)
    return hold.guard, hold.holder, others, ways


def _patience(case: Case, now: datetime, terms: Terms) -> datetime:
    """Until when it may be held: as the severity says, and an act by hand no longer than it is good for."""
    until = now + terms.severities[case.incident.severity].response_time
    by_hand = case.incident.by_hand
    return until if by_hand is None else min(until, by_hand.until)


def asked_for_a_person(case: Case, view: SourceView, now: datetime, terms: Terms) -> Change:
    """The rule wants a person, and no step has asked yet whether somebody silenced the alerts."""
    if view.suppressed and not view.firing:
        return _suppressed(case, suppressed_words(view), terms, now)
    return escalated(case, now, "the rule asks for a person", terms)


NOT_QUIET: dict[str, None] = {"maintenance": None, "inhibited": None}
"""Of a progress: neither maintenance nor another incident keeps it quiet."""


def _suppressed(case: Case, why: str, terms: Terms, now: datetime, *entries: EntryDraft) -> Change:
    # What held it before stays known: its time goes on when the suppression is over.
    return Change(
        state=IncidentState.SUPPRESSED,
        progress=case.incident.progress.model_copy(update=NOT_QUIET),
        deadline=now + terms.suppressed_deadline,
        due_at=now + terms.suppressed_every,
        entries=(*entries, moved(case, IncidentState.SUPPRESSED, why)),
    )


def quieted(
    case: Case, by: Restrained, now: datetime, terms: Terms, *, at_most: datetime | None = None
) -> Change:
    """Under maintenance, or explained by another incident: recorded only until that is over.

    People are told nothing. `at_most` is the deadline of what is suppressed already, and is so by another
    reason from now on: it is not quiet for longer.
    """
    inhibitor, deadline = by.inhibitor, min(by.until, now + terms.suppressed_deadline)
    deadline = deadline if at_most is None else min(deadline, at_most)
    named = {"maintenance": by.holder if inhibitor is None else None, "inhibited": inhibitor}
    return Change(
        state=IncidentState.SUPPRESSED,
        progress=case.incident.progress.model_copy(update=named),
        deadline=deadline,
        due_at=deadline if inhibitor is None else min(deadline, now + terms.suppressed_every),
        entries=(moved(case, IncidentState.SUPPRESSED, by.reason),),
    )


def asked(
    case: Case, index: int, facts: Facts, judgement: Judgement, entry: EntryDraft, terms: Terms
) -> Change:
    """A person is asked, and asked again where the world changed after the answer: not for ever."""
    now, verdict = facts.now, judgement.strictest
    question = _question(case, index, facts, judgement, terms)
    if question is None:
        return escalated(
            case, now, f"nobody can say what a person would approve: {verdict.reason}", terms, entry
        )
    if question.times > ASKED_AT_MOST:
        reason = f"{facts.action} was approved {ASKED_AT_MOST} times and not done: {verdict.reason}"
        return escalated(case, now, reason, terms, entry)
    deadline = now + terms.severities[case.incident.severity].response_time
    update = {"hold": None, "question": question, "approval": None, "told_at": now}
    progress = case.incident.progress.model_copy(update=update)
    text = question_words(case, question, case.incident.severity, deadline, now)
    return Change(
        state=IncidentState.AWAITING_APPROVAL,
        progress=progress,
        deadline=deadline,
        due_at=by_the_page(IncidentState.AWAITING_APPROVAL, progress, deadline),
        entries=(entry, moved(case, IncidentState.AWAITING_APPROVAL, verdict.reason)),
        notices=(Notice(kind=NoticeKind.QUESTION, level=0, text=text),),
    )


ASKED_AT_MOST = 3
"""How often a person is asked for one step: once, and twice more where the world changed after the answer."""


def _question(case: Case, index: int, facts: Facts, judgement: Judgement, terms: Terms) -> Question | None:
    """What is asked now; what the last answer let pass is asked with it, for that answer is spent.

    Its id says what it is, when it was asked and of which incident.
    """
    consent, before = facts.consent, case.incident.progress.question
    if consent is None:
        return None
    asking = dict(zip(before.guards, before.reasons, strict=True)) if before and facts.approval else {}
    asking |= {
        verdict.guard: verdict.reason for verdict in judgement.verdicts if verdict.ruling is Ruling.ASK
    }
    name = f"{facts.now.isoformat()} {consent.facts} {' '.join(consent.elements)}"
    return Question(
        id=uuid5(case.incident.id, name),
        step=index,
        consent=consent,
        guards=tuple(asking),
        reasons=tuple(asking.values()),
        asked_at=facts.now,
        times=1 if before is None or before.step != index else before.times + 1,
        stale_at=stale_at(facts, terms),
    )


def rechecked(case: Case, view: SourceView, now: datetime, terms: Terms) -> Change:
    """The source was asked whether the alerts are still suppressed; no answer changes nothing."""
    if view.problem is not None or (view.suppressed and not view.firing):
        return stay(case, soon(case, now, terms.suppressed_every))
    return unsuppressed(case, now, terms, "no longer silenced or inhibited")


def unsuppressed(case: Case, now: datetime, terms: Terms, why: str) -> Change:
    """Judged anew. A hold or a page goes on where it stood: the time suppressed does not count."""
    hold, page_at = case.incident.progress.hold, case.incident.progress.page_at
    suppressed = now - case.incident.state_since
    if hold is not None:
        hold = hold.model_copy(update={"deadline": hold.deadline + suppressed})
    if page_at is not None:
        page_at = page_at + suppressed
    return go_on(case, now, terms, why, hold=hold, page_at=page_at, **NOT_QUIET)
