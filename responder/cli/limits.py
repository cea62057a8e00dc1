"""Commands about limits over many incidents: budgets, and the circuit breakers of rules."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import click

from responder.cli import output
from responder.cli.client import Client
from responder.cli.common import actor_option, print_json, reason_option, speaks


@click.command()
@speaks
def budgets(client: Client, as_json: bool) -> None:
    """How much of each budget of disruptive starts is spent, by what, and when it frees."""
    told = client.get("budgets")
    if as_json:
        print_json(told)
        return
    now = output.moment(told["now"])
    rows = [row for budget in told["budgets"] for row in _budget_rows(budget, now)]
    output.table(("BUDGET", "", f"SPENT IN {told['within']}", "FREES", "WHEN", "RULE", "INCIDENT"), rows, "")


@click.group()
def breaker() -> None:
    """Rules that failed too often in a row: they act no more until a person resets their breaker."""


@breaker.command("list")
@click.option("--all", "every", is_flag=True, help="Also those that were reset, by whom and why.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
@speaks
def list_breakers(every: bool, limit: int, client: Client, as_json: bool) -> None:
    """Open circuit breakers, and by which attempts."""
    told = client.get("breakers", limit=limit, **({"all": "true"} if every else {}))
    if as_json:
        print_json(told)
        return
    now = output.moment(told["now"])
    rows = [_breaker_row(one, now) for one in told["breakers"]]
    none = "No circuit breaker was ever open." if every else "No circuit breaker is open."
    output.table(("RULE", "", "OPENED", "FAILED IN A ROW", "RESET"), rows, none)


@breaker.command()
@click.argument("rule")
@reason_option
@actor_option
@speaks
def reset(rule: str, reason: str, actor: str, client: Client, as_json: bool) -> None:
    """Reset the breaker of RULE: you know why it failed, and that it will not again."""
    told = client.post("breakers/reset", {"rule": rule, "actor": actor, "reason": reason})
    if as_json:
        print_json(told)
        return
    output.say(f"The breaker of {rule} is reset: its next incident may act. What has escalated stays so.")


def _budget_rows(budget: dict[str, Any], now: datetime) -> Iterator[tuple[str, ...]]:
    """The budget, and below it what it was spent by."""
    frees = budget["frees_at"]
    when = output.until(output.moment(frees), now) if frees else "-"
    name = budget["name"] or "-"
    yield (budget["scope"], name, f"{budget['spent']} of {budget['allowed']}", when, "", "", "")
    for start in budget["starts"]:
        ago = output.ago(output.moment(start["at"]), now)
        yield ("", "", "", "", ago, start["rule"], start["incident_id"])


def _breaker_row(one: dict[str, Any], now: datetime) -> tuple[str, ...]:
    word = "reset" if one["reset_at"] else "open"
    by = f"{one['actor']}: {one['reason']}" if one["reset_at"] else "-"
    opened = output.ago(output.moment(one["opened_at"]), now)
    return (one["rule"], word, opened, str(len(one["attempts"])), by)
