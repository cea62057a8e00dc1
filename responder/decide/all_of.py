"""The parts of an `all:` seen together, before the first of them starts, and what was done of them then.

All are looked at and judged before anything is done, floors included: what only an earlier part would lift
refuses the whole. The strictest verdict on any part is that on all of them.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from responder.decide.case import Case, Facts
from responder.model.approval import consent_of_all
from responder.model.attempt import Attempt, Outcome
from responder.model.budget import Budget, BudgetScope
from responder.model.guard import Judgement, Refuses, Ruling
from responder.model.rule import Step, StepKind, Undo, parts_of


def together(parts: Sequence[Facts]) -> tuple[Facts, ...]:
    """The facts of each part as one of several: a yes is to all of it, each target spends its budget once."""
    given = tuple(one.consent for one in parts if one.consent is not None)
    consent = consent_of_all(given) if len(given) == len(parts) else None
    found: list[Facts] = []
    for number, one in enumerate(parts):
        others = {each.target: each for each in parts[:number] if each.kind is StepKind.DISRUPTIVE}
        others.pop(one.target, None)
        budgets = _less(one.budgets, others.values(), one.now + _AGAIN)
        found.append(one.model_copy(update={"consent": consent, "budgets": budgets}))
    return tuple(found)


_AGAIN = timedelta(minutes=1)
"""How soon it is looked at again where a budget has room for some of the targets: nobody counts them."""


def _less(budgets: Sequence[Budget], others: Iterable[Facts], again: datetime) -> tuple[Budget, ...]:
    """What is left of budgets once these other targets have spent theirs of them."""
    spend = Counter((each.scope, each.name) for one in others for each in one.budgets)
    return tuple(
        one.model_copy(update={"spent": one.spent + more, "frees_at": one.frees_at or again})
        if one.scope is not BudgetScope.TARGET and (more := spend[one.scope, one.name])
        else one
        for one in budgets
    )


def whole(judged: Sequence[Judgement]) -> Judgement:
    """All verdicts on all parts."""
    return Judgement(verdicts=tuple(verdict for one in judged for verdict in one.verdicts))


def deciding(judged: Sequence[Judgement]) -> int:
    """Which part decides: the first with the strictest verdict, of refusals that by the incident."""
    return max(range(len(judged)), key=lambda part: _strictness(judged[part]))


def _strictness(judgement: Judgement) -> tuple[Ruling, bool]:
    return judgement.strictest.ruling, judgement.strictest.refuses is Refuses.INCIDENT


# --- what was done ---------------------------------------------------------------------------------------


def done_parts(case: Case) -> tuple[Attempt, ...]:
    """The parts that had their effect, in their order, whether or not they were taken back."""
    return tuple(one for one in case.parts if one.undo_of is None and one.outcome is Outcome.DONE)


def owed_parts(case: Case, below: int | None = None) -> tuple[Attempt, ...]:
    """What is to be taken back of an `all:`, in reverse; only parts before one, where one is taken back."""
    return tuple(
        one
        for one in reversed(done_parts(case))
        if one.part is not None
        and (below is None or one.part < below)
        and step_of(case, one).undo is Undo.IF_NOT_RECOVERED
    )


def kept_parts(case: Case) -> tuple[Attempt, ...]:
    """What was done of an `all:` and is never taken back."""
    return tuple(one for one in done_parts(case) if step_of(case, one).undo is not Undo.IF_NOT_RECOVERED)


def step_of(case: Case, attempt: Attempt) -> Step:
    """The step, or the part of one, that an attempt was made for."""
    return parts_of(case.rule.steps[attempt.step])[0 if attempt.part is None else attempt.part]


def words(attempts: Iterable[Attempt]) -> str:
    """What they did, in words."""
    return ", ".join(f"{one.action} on {one.target}" for one in attempts) or "nothing"
