"""Commands about what is given back later (`undo: {after: 2h}`): what is owed, and to keep it instead."""

from datetime import datetime
from typing import Any

import click

from responder.cli import output
from responder.cli.client import Client
from responder.cli.common import actor_option, print_json, reason_option, speaks


@click.group()
def givebacks() -> None:
    """What rules have done for a while, and give back when that is over."""


@givebacks.command("list")
@click.option("--all", "every", is_flag=True, help="Also what was given back, and what is kept.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
@speaks
def list_give_backs(every: bool, limit: int, client: Client, as_json: bool) -> None:
    """What is owed back, and when it is due."""
    told = client.get("give-backs", limit=limit, **({"all": "true"} if every else {}))
    if as_json:
        print_json(told)
        return
    now = output.moment(told["now"])
    rows = [_row(one, now) for one in told["give_backs"]]
    none = "Nothing was ever owed back." if every else "Nothing is owed back."
    output.table(("ATTEMPT", "DONE", "TARGET", "RULE", "GIVEN BACK"), rows, none)


@givebacks.command()
@click.argument("attempt", type=click.UUID)
@reason_option
@actor_option
@speaks
def keep(attempt: Any, reason: str, actor: str, client: Client, as_json: bool) -> None:
    """What ATTEMPT did stays: it is not given back. Whoever wants it undone later does that by hand."""
    told = client.post("give-backs/keep", {"attempt": str(attempt), "actor": actor, "reason": reason})
    if as_json:
        print_json(told)
        return
    output.say(f"What attempt {attempt} did stays: it is not given back.")


def _row(one: dict[str, Any], now: datetime) -> tuple[str, ...]:
    return (one["attempt_id"], one["action"], one["target"], one["rule"], _when(one, now))


def _when(one: dict[str, Any], now: datetime) -> str:
    if one["kept_at"]:
        return f"kept by {one['kept_by']}: {one['kept_reason']}"
    if one["opened_as"]:
        return f"incident {one['opened_as']}"
    return output.until(output.moment(one["due_at"]), now)
