"""What the budgets of a window come to, from the starts that were made in it."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from responder.model.budget import Account, Budget, Budgets, BudgetScope, Start


def accounts(starts: Iterable[Start], budgets: Budgets, now: datetime) -> tuple[Account, ...]:
    """Every budget that anything was spent of in the window, and the global one in any case."""
    counted: dict[tuple[BudgetScope, str], list[Start]] = {(BudgetScope.GLOBAL, ""): []}
    for start in starts:
        if start.at > now - budgets.within:
            for scope in BudgetScope:
                counted.setdefault((scope, start.counted_for(scope)), []).append(start)
    order = list(BudgetScope)
    keys = sorted(counted, key=lambda key: (order.index(key[0]), key[1]))
    return tuple(_account(*key, counted[key], budgets) for key in keys)


def _account(scope: BudgetScope, name: str, starts: Sequence[Start], budgets: Budgets) -> Account:
    newest = tuple(sorted(starts, key=lambda start: start.at, reverse=True))
    allowed = budgets.allowed(scope)
    last = newest[allowed - 1] if len(newest) >= allowed else None
    budget = Budget(
        scope=scope,
        name=name,
        spent=len(newest),
        allowed=allowed,
        frees_at=None if last is None else last.at + budgets.within,
    )
    return Account(budget=budget, starts=newest)
