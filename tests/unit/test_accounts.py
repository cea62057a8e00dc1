"""What is told of budgets: every account, in one order, with its newest starts first."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from responder.decide.budgets import accounts
from responder.model.budget import Budgets, BudgetScope, Start

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BUDGETS = Budgets(target=1, namespace=2, globally=3, within=timedelta(hours=1))
MINUTE = timedelta(minutes=1)


def start(minutes: int, target: str, namespace: str) -> Start:
    """A start so many minutes ago."""
    one = UUID(int=minutes)
    at = NOW - minutes * MINUTE
    return Start(
        at=at, target=target, namespace=namespace, attempt_id=one, incident_id=one, rule="R", action="a"
    )


def test_the_global_budget_is_told_before_anything_was_spent() -> None:
    """With nothing in it: what is left of it is what people ask."""
    (only,) = accounts((), BUDGETS, NOW)
    assert (only.budget.scope, only.budget.spent, only.budget.allowed) == (BudgetScope.GLOBAL, 0, 3)
    assert (only.budget.frees_at, only.starts) == (None, ())


def test_accounts_come_by_scope_and_then_by_name() -> None:
    """Global, namespaces, targets: whatever order the starts come in."""
    starts = [start(5, "b", "z"), start(9, "a", "y"), start(7, "c", "x"), start(60, "d", "w")]
    found = [(one.budget.scope, one.budget.name) for one in accounts(starts, BUDGETS, NOW)]
    assert found == [
        (BudgetScope.GLOBAL, ""),
        *((BudgetScope.NAMESPACE, name) for name in "xyz"),
        *((BudgetScope.TARGET, name) for name in "abc"),
    ]


def test_a_spent_budget_frees_when_its_nth_newest_start_leaves_the_window() -> None:
    """One more start is allowed then, however many were made."""
    starts = [start(minutes, "a", "x") for minutes in (50, 10, 30, 20)]
    globally, namespace, target = (one.budget for one in accounts(starts, BUDGETS, NOW))
    assert [one.frees_at for one in (globally, namespace, target)] == [
        NOW + 30 * MINUTE,
        NOW + 40 * MINUTE,
        NOW + 50 * MINUTE,
    ]
    assert [one.at for one in accounts(starts, BUDGETS, NOW)[0].starts] == [
        NOW - minutes * MINUTE for minutes in (10, 20, 30, 50)
    ]


def test_a_budget_that_is_just_spent_frees_with_its_oldest_start() -> None:
    """As many starts as are allowed leave none; one less leaves one now."""
    three = [start(minutes, "a", "x") for minutes in (10, 20, 30)]
    assert accounts(three, BUDGETS, NOW)[0].budget.frees_at == NOW + 30 * MINUTE
    assert accounts(three[1:], BUDGETS, NOW)[0].budget.frees_at is None
