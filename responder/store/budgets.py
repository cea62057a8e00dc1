"""Budgets: the starts that are counted, and the rows that are locked while they are.

What is spent is never stored as a number: it is counted over the starts of the window whose attempts are not
proven not to have happened. Counting is right only under the locks, and only in a statement that began when
they were held: a statement sees what was committed before it began.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from responder.decide.case import LedgerQuestion
from responder.model.budget import Budget, Budgets, BudgetScope, Start
from responder.store.connection import Connection

_ALLOWED = tuple[str, str, str]
"""The SQL of what the global, the namespace's and the target's budget allow."""

_COUNTED = """
FROM starts s, LATERAL (
    SELECT incident_id, rule, action, outcome FROM attempts WHERE id = s.attempt_id OFFSET 0
) a
WHERE a.outcome <> 'not_done'"""
"""`OFFSET 0` has the attempts looked up one by one: the planner does not know how few a window holds."""

LOCK = """
INSERT INTO budgets (scope, name, locked_at)
SELECT b.scope, b.name, {now}
FROM {claim}, (
    VALUES (1, 'global', ''), (2, 'namespace', {namespace}), (3, 'target', {target})
) AS b (place, scope, name)
ORDER BY b.place
ON CONFLICT (scope, name) DO UPDATE SET locked_at = excluded.locked_at
RETURNING 1
"""
"""Locks the three budgets of a start, those of which nothing was ever spent as well."""


def left(target: str, namespace: str, since: str, allowed: _ALLOWED) -> str:
    """The SQL of whether each budget (global, namespace, target) has one left."""
    globally, spaces, targets = allowed
    return f"""
    SELECT count(*) < {globally} AND count(*) FILTER (WHERE s.namespace = {namespace}) < {spaces}
           AND count(*) FILTER (WHERE s.target = {target}) < {targets}
    {_COUNTED} AND s.at > {since}
    """


_LOCK_SEVERAL = """
INSERT INTO budgets (scope, name, locked_at)
SELECT b.scope, b.name, $1 FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS b (scope, name, place)
ORDER BY b.place
ON CONFLICT (scope, name) DO UPDATE SET locked_at = excluded.locked_at
"""

_LEFT = f"SELECT ({left('$1', '$2', '$3', ('$4', '$5', '$6'))})"

Spent = tuple[str, str]
"""A target and its namespace, of which a start is spent."""


async def lock(connection: Connection, spent: Sequence[Spent], now: datetime) -> None:
    """Lock the budgets of several starts: the global one, then namespaces, then targets, each by name."""
    named = [(BudgetScope.GLOBAL.value, "")]
    named += [(BudgetScope.NAMESPACE.value, name) for name in sorted({space for _, space in spent})]
    named += [(BudgetScope.TARGET.value, name) for name in sorted({target for target, _ in spent})]
    await connection.execute(_LOCK_SEVERAL, now, [scope for scope, _ in named], [name for _, name in named])


async def all_left(connection: Connection, spent: Sequence[Spent], since: datetime, allowed: Budgets) -> bool:
    """Whether one start on each of these targets is left in every budget, under their locks."""
    for target, namespace in spent:
        others = len(spent) - 1
        beside = sum(space == namespace for _, space in spent) - 1
        most = (allowed.globally - others, allowed.namespace - beside, allowed.target)
        if not await connection.fetchval(_LEFT, target, namespace, since, *most):
            return False
    return True


def view(target: str, namespace: str, since: str, allowed: _ALLOWED) -> str:
    """The SQL of how the three budgets stand, as JSON.

    `nth` is the start that has to leave the window before another one is allowed.
    """
    parts = []
    among = ("true", f"s.namespace = {namespace}", f"s.target = {target}")
    for scope, condition, most in zip(BudgetScope, among, allowed, strict=True):
        newest = f"(array_agg(s.at ORDER BY s.at DESC) FILTER (WHERE {condition}))[{most}::integer]"
        counted = f"count(*) FILTER (WHERE {condition})"
        parts.append(f"'{scope.value}', jsonb_build_object('spent', {counted}, 'nth', {newest})")
    return f"SELECT jsonb_build_object({', '.join(parts)}) {_COUNTED} AND s.at > {since}"


_STARTS = f"""
SELECT s.at, s.target, s.namespace, s.attempt_id, a.incident_id, a.rule, a.action {_COUNTED} AND s.at > $1
ORDER BY s.at DESC LIMIT $2
"""


async def starts(connection: Connection, since: datetime, limit: int) -> Sequence[Start]:
    """The newest starts since then that count."""
    return [Start.model_validate(dict(row)) for row in await connection.fetch(_STARTS, since, limit)]


def as_budgets(told: dict[str, Any], question: LedgerQuestion) -> tuple[Budget, ...]:
    """What `view` answered."""
    names = {
        BudgetScope.GLOBAL: "",
        BudgetScope.NAMESPACE: question.namespace or "",
        BudgetScope.TARGET: question.target or "",
    }
    return tuple(_as_budget(scope, names[scope], told[scope.value], question) for scope in BudgetScope)


def _as_budget(scope: BudgetScope, name: str, told: dict[str, Any], question: LedgerQuestion) -> Budget:
    nth = told["nth"]
    return Budget(
        scope=scope,
        name=name,
        spent=told["spent"],
        allowed=question.budgets.allowed(scope),
        frees_at=None if nth is None else datetime.fromisoformat(nth) + question.budgets.within,
    )
