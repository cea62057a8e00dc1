"""Budgets: how many disruptive starts a window allows, for a target, for its namespace and for everything."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import assert_never
from uuid import UUID

from pydantic import Field

from responder.model.base import Frozen
from responder.model.duration import PositiveDuration


class BudgetScope(StrEnum):
    """What a budget is counted for, in the order in which budgets are locked."""

    GLOBAL = "global"
    NAMESPACE = "namespace"
    TARGET = "target"


class Budgets(Frozen):
    """How many disruptive starts are allowed within `within`, over all replicas."""

    target: int = Field(default=3, ge=1, lt=2**31)
    namespace: int = Field(default=5, ge=1, lt=2**31)
    globally: int = Field(default=20, ge=1, lt=2**31)
    within: PositiveDuration = timedelta(hours=1)

    def allowed(self, scope: BudgetScope) -> int:
        """How many one budget of this scope allows."""
        match scope:
            case BudgetScope.GLOBAL:
                return self.globally
            case BudgetScope.NAMESPACE:
                return self.namespace
            case BudgetScope.TARGET:
                return self.target
            case _:
                assert_never(scope)


class Budget(Frozen):
    """One budget as it stands: `name` is the target or the namespace, empty for the global one."""

    scope: BudgetScope
    name: str
    spent: int
    allowed: int
    frees_at: datetime | None = None
    """When the window frees one; None where one is left."""

    @property
    def used_up(self) -> bool:
        """Whether nothing may start on it."""
        return self.spent >= self.allowed

    @property
    def words(self) -> str:
        """Whose budget it is."""
        match self.scope:
            case BudgetScope.GLOBAL:
                return "the global budget"
            case BudgetScope.NAMESPACE:
                return f"the budget of namespace {self.name}"
            case BudgetScope.TARGET:
                return f"the budget of {self.name}"
            case _:
                assert_never(self.scope)


class Start(Frozen):
    """One disruptive start that is not proven not to have happened."""

    at: datetime
    target: str
    namespace: str
    attempt_id: UUID
    incident_id: UUID
    rule: str
    action: str

    def counted_for(self, scope: BudgetScope) -> str:
        """The name of the budget of this scope that it spends."""
        match scope:
            case BudgetScope.GLOBAL:
                return ""
            case BudgetScope.NAMESPACE:
                return self.namespace
            case BudgetScope.TARGET:
                return self.target
            case _:
                assert_never(scope)


class Account(Frozen):
    """A budget with the starts that it was spent by, the newest first."""

    budget: Budget
    starts: tuple[Start, ...]
