"""A ladder of which no step is left: what became of it, in words for a tired person."""

from responder.decide.case import Case
from responder.decide.changes.base import attempted
from responder.model.attempt import Attempt, Outcome, Verdict
from responder.model.guard import Guard, GuardVerdict
from responder.model.incident import PassedOver


def refused(index: int, action: str, target: str | None, verdict: GuardVerdict) -> PassedOver:
    """What is kept of a step that a guard refused."""
    became = "not needed" if verdict.guard is Guard.CONDITION else "refused"
    why = verdict.reason.removeprefix(f"{became}: ")
    what = f"{action} on {target or 'no target'} was {became}"
    return PassedOver(step=index, guard=verdict.guard.value, words=f"{what} ({why})")


def found_nothing(index: int, action: str, target: str | None) -> PassedOver:
    """What is kept of a step whose look found nothing to do."""
    return PassedOver(step=index, words=f"{action} on {target or 'no target'} found nothing to do")


def spent(case: Case) -> str:
    """What was done last, why the step after it was passed over, and that none is left."""
    progress, only = case.incident.progress, len(case.rule.steps) == 1
    attempt, last = (case.attempt if attempted(case) else None), progress.passed_over
    times = f", taken {progress.taken} times" if progress.taken > 1 else ""
    if last is not None and attempt is not None and attempt.step >= last.step:
        last = None
    if attempt is not None and last is None and _solved(attempt):
        return f"{_came_of(attempt)}; {'its only step is spent' if only else 'no step is left'}"
    parts = [
        "nothing was done" if attempt is None else f"{_came_of(attempt)}{times}",
        last.words if last is not None else "",
    ]
    told = (": " if attempt is None else "; ").join(part for part in parts if part)
    return f"{told}; no step is left"


def _solved(attempt: Attempt) -> bool:
    return attempt.verdict is Verdict.RECOVERED


def _came_of(attempt: Attempt) -> str:
    what = f"{attempt.action} on {attempt.target}"
    if _solved(attempt):
        return f"it came back after {what} had solved it"
    if attempt.undo_of is not None:
        return f"what was done did not help, and {what} took it back"
    if attempt.outcome is Outcome.NOT_DONE:
        return f"{what} found nothing left to do"
    match attempt.verdict:
        case Verdict.NO_DATA:
            return f"nobody can say whether {what} helped"
        case None:  # a person took it over first
            return f"whether {what} helped was not verified"
        case _:
            return f"{what} did not help"
