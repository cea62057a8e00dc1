"""What is told of an act by hand: that it was asked for, that it was not let, what came of it."""

from datetime import datetime

from responder.decide.case import AttemptEnd, AttemptVerdict, Case, Change, Facts, Terms
from responder.decide.changes.base import named
from responder.decide.changes.endings import recorded
from responder.model.attempt import Attempt, Outcome
from responder.model.autonomy import Autonomy, Ceiling, effective
from responder.model.by_hand import DRY_RUN, ByHand
from responder.model.guard import GuardVerdict, Judgement, Ruling
from responder.model.incident import IncidentState, Progress
from responder.model.timeline import EntryDraft, EntryKind


def asked_by_hand(case: Case, asked: ByHand, now: datetime, terms: Terms) -> Change:
    """From `pending` to `open`: the timeline begins with who asked, for what and why."""
    return Change(
        state=IncidentState.OPEN,
        progress=Progress(opened_at=now, told_severity=case.incident.severity),
        deadline=now + terms.open_deadline,
        due_at=now,
        entries=(
            EntryDraft(
                kind=EntryKind.OPENED,
                text=f"{case.incident.severity} {_asks(asked)}: {asked.reason}",
                facts=_facts(case, asked),
                actor=asked.actor,
            ),
        ),
    )


def _asks(asked: ByHand) -> str:
    if asked.gives_back is not None:
        return asked.title
    if not asked.acts:
        return f"opened by hand by {asked.actor}: {asked.title}"
    wants = "wants to know by hand what would come of" if asked.dry_run else "asks by hand for"
    return f"{asked.actor} {wants} {asked.action} on {asked.target}"


def _facts(case: Case, asked: ByHand) -> dict[str, object]:
    params = next((step.params for step in case.rule.every_step), None)
    return {
        "by_hand": asked.model_dump(mode="json", exclude_none=True),
        "severity": case.incident.severity.value,
        "labels": case.incident.key,
        **({} if params is None else {"with": params}),
    }


def not_let(
    case: Case, asked: ByHand, facts: Facts, judgement: Judgement, entry: EntryDraft, terms: Terms
) -> Change:
    """A guard refuses, or a ceiling lets nothing be done. Whoever asked is told; nobody else has to be."""
    verdict = judgement.strictest
    if verdict.ruling is Ruling.REFUSE and not asked.dry_run:
        why = f"refused: {verdict.reason}; nothing was done"
    else:
        why = f"{_limit(asked, facts)}: nothing was done; {_would(asked, facts, verdict)}"
    change = recorded(case, facts.now, why, terms)
    would = verdict.ruling is Ruling.GO and _least(facts).level > Autonomy.SHADOW
    told = tuple(
        one.model_copy(update={"facts": {**one.facts, "would_start": would}}) for one in change.entries
    )
    return change.model_copy(update={"entries": (entry, *told)})


UNSEEN = "the target was not looked at, so nothing is known of what it would hit"
"""What `observe` leaves unknown."""


def _least(facts: Facts) -> Ceiling:
    """The least of the ceilings that are there without a dry run."""
    return effective(tuple(one for one in facts.ceilings if one != DRY_RUN))


def _limit(asked: ByHand, facts: Facts) -> str:
    if asked.dry_run:
        return "a dry run"
    least = _least(facts)
    return f"{least.origin} is {least.level.word}"


def _would(asked: ByHand, facts: Facts, verdict: GuardVerdict) -> str:
    """What the guards make of it, the ceiling apart; of a dry run the ceiling of a real one is told, too."""
    least = _least(facts)
    match verdict.ruling:
        case Ruling.REFUSE:
            return f"it would be refused: {verdict.reason}"
        case Ruling.WAIT:
            return f"it would be held: {verdict.reason}"
        case Ruling.ASK:
            return f"a person would be asked: {verdict.reason}"
        case Ruling.GO if asked.dry_run and least.level <= Autonomy.SHADOW:
            return f"nor would it be without: {least.origin} is {least.level.word}"
        case Ruling.GO if facts.observed:
            return UNSEEN
        case Ruling.GO if not facts.elements:
            return "there would be nothing to do: no element of the target fits"
        case Ruling.GO:
            return f"it would start on {named(facts.elements)}"


def looked(case: Case, index: int, entry: EntryDraft, now: datetime, terms: Terms) -> Change:
    """A step that only looks: what it saw is what came of it, or that it saw nothing."""
    seen = entry.kind is EntryKind.EVIDENCE
    change = recorded(case, now, entry.text, terms)
    progress = change.progress.model_copy(update={"step": index + 1 if seen else index})
    return change.model_copy(update={"progress": progress, "entries": (entry, *change.entries)})


def nothing_found(case: Case, index: int, entry: EntryDraft, now: datetime, terms: Terms) -> Change:
    """The look found no element, and nothing was to be proven: that is all."""
    change = recorded(case, now, "there is nothing to do: no element of the target fits", terms)
    progress = change.progress.model_copy(update={"step": index + 1})
    return change.model_copy(update={"progress": progress, "entries": (entry, *change.entries)})


def unproven(
    case: Case,
    asked: ByHand,
    attempt: Attempt,
    end: AttemptEnd,
    entry: EntryDraft,
    now: datetime,
    terms: Terms,
) -> Change:
    """The action says what became of it. Nothing was to prove that it helped: that is for people to say."""
    if asked.gives_back is not None:
        came = "ran" if end.outcome is Outcome.DONE else "found nothing left to do"
        why = f"given back: {attempt.action} {came} on {attempt.target}"
    elif end.outcome is Outcome.DONE:
        why = f"{attempt.action} ran on {attempt.target}; whether it helped is for {asked.actor} to say"
    else:
        why = f"{attempt.action} found nothing left to do on {attempt.target}; nothing was done"
    change = recorded(case, now, why, terms)
    update = {
        "entries": (entry, *change.entries),
        "end": end,
        "verdict": AttemptVerdict(attempt_id=attempt.id),
    }
    return change.model_copy(update=update)
