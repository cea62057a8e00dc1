"""An `all:` under way: from one part to the next, why it stops, and how what was done is taken back.

The parts are one attempt: its verdict is written of the first, by which all targets are claimed, and ends
the claims of all. What stops in the middle is never left there in silence: it is taken back where every part
says so, in reverse, and a person is told of what is not.
"""

from datetime import datetime

from responder.decide.all_of import done_parts, kept_parts, owed_parts, words
from responder.decide.case import AttemptVerdict, Case, Change, Terms
from responder.decide.changes.base import go_on, soon, stay
from responder.decide.changes.endings import escalated
from responder.model.attempt import Attempt, Intent
from responder.model.incident import Group, Progress
from responder.model.rule import parts_of
from responder.model.timeline import EntryDraft, EntryKind


def begun(case: Case, intent: Intent) -> Group | None:
    """The `all:` as it is under way with this intent; as it was, with that of an undo or of a step alone."""
    before = case.incident.progress.group
    if intent.part is None or intent.undo_of is not None:
        return before
    if intent.all_of != intent.attempt_id:
        return None if before is None else before.model_copy(update={"part": intent.part})
    return Group(
        step=intent.step,
        part=intent.part,
        of=len(parts_of(case.rule.steps[intent.step])),
        first=intent.attempt_id,
        targets=tuple(one.target for one in intent.group),
        approval=None if intent.approval is None else case.incident.progress.approval,
    )


def left(progress: Progress) -> bool:
    """Whether a further part is to be taken after the one that the incident is at."""
    group = progress.group
    return group is not None and group.part + 1 < group.of


def next_part(case: Case, now: datetime, terms: Terms, why: str, *entries: EntryDraft) -> Change:
    """A part is over, and the one after it comes."""
    group = case.incident.progress.group
    if group is None:
        raise ValueError("no `all:` is under way")
    told = f"{why}; part {group.part + 2} of {group.of} is next"
    moved = group.model_copy(update={"part": group.part + 1, "waits": False})
    return go_on(case, now, terms, told, *entries, group=moved, missed_starts=0, approval=None)


def part_waits(case: Case, now: datetime, terms: Terms, why: str) -> Change:
    """The next part cannot be judged just now: told once; the incident's deadline ends the wait."""
    group = case.incident.progress.group
    known = group is None or group.waits
    entry = EntryDraft(kind=EntryKind.ERROR, text=f"the next part waits: {why}", facts={"problem": why})
    told = () if known else (entry,)
    waits = None if group is None else group.model_copy(update={"waits": True})
    return stay(case, soon(case, now, terms.hold_every), *told, group=waits)


def stopped(case: Case, now: datetime, terms: Terms, why: str, *entries: EntryDraft) -> Change:
    """No further part is taken: what was done is taken back, or a person is told that it is half done."""
    group = case.incident.progress.group
    if group is None:
        raise ValueError("no `all:` is under way")
    done = done_parts(case)
    reason = f"step {group.step + 1} stopped at part {group.part + 1} of {group.of}: {why}"
    if owed := owed_parts(case):
        told = f"{reason}; what was done is taken back"
        halted = group.model_copy(update={"stopped": reason})
        return go_on(case, now, terms, told, *entries, group=halted, take_back=owed[0].id)
    if done:
        return escalated(case, now, f"{reason}; done and not taken back: {words(done)}", terms, *entries)
    change = go_on(case, now, terms, f"{reason}; nothing was done", *entries, group=None)
    return change.model_copy(update={"verdict": AttemptVerdict(attempt_id=group.first)})


def undone(
    case: Case, attempt: Attempt, now: datetime, terms: Terms, why: str, *entries: EntryDraft
) -> Change:
    """A part was taken back, or needs no taking back: then the one before it; then the ladder goes on."""
    group = case.incident.progress.group
    if owed := owed_parts(case, below=attempt.part):
        told = f"{why}; {owed[0].action} on {owed[0].target} is next"
        return go_on(case, now, terms, told, *entries, take_back=owed[0].id)
    kept = kept_parts(case)
    if group is not None and group.stopped is not None and kept:
        reason = f"{group.stopped}; done and not taken back: {words(kept)}"
        return escalated(case, now, reason, terms, *entries)
    change = go_on(case, now, terms, why, *entries, take_back=None, group=None)
    return change.model_copy(update={"verdict": AttemptVerdict(attempt_id=attempt.holder)})


def half_done(case: Case) -> str:
    """What stands of an `all:` that ends in the middle, for the sentence that tells why; else nothing."""
    done = done_parts(case)
    return f"; done before it: {words(done)}" if case.incident.progress.group is not None and done else ""
