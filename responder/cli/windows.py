"""`responder freeze` (no actions for a time) and `responder maintenance` (only the record for a time)."""

from datetime import datetime
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

from responder.cli import output
from responder.cli.client import Client
from responder.cli.common import actor_option, print_json, speaks
from responder.decide.civil import instants
from responder.model.duration import parse_duration

_reason = click.option("--reason", required=True, help="Why; whoever is held by it reads this.")
_match = click.option(
    "--match",
    "--scope",
    "match",
    multiple=True,
    help="""A matcher, as 'namespace="prod"'; all given must hold. --scope is the same.""",
)
_key = click.option(
    "--key", help="A name of your own for it (a build's number): the same key again changes nothing."
)


def _length(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    try:
        parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    return value


@click.group()
def freeze() -> None:
    """No action for a time: what waits is held, and told to a person at its severity's response time."""


@freeze.command("add")
@_reason
@_match
@click.option("--allow", multiple=True, metavar="SEVERITY", help="A severity that may act all the same.")
@click.option("--for", "lasts", callback=_length, help="How long from now, as 2h.")
@click.option("--from", "since", help="When it begins, as '2026-12-23 18:00'; now by default.")
@click.option("--until", help="When it ends.")
@click.option("--timezone", help="Whose clock --from and --until show; UTC by default.")
@_key
@actor_option
@speaks
def add_freeze(
    reason: str,
    match: tuple[str, ...],
    allow: tuple[str, ...],
    lasts: str | None,
    since: str | None,
    until: str | None,
    timezone: str | None,
    key: str | None,
    actor: str,
    client: Client,
    as_json: bool,
) -> None:
    """Freeze everything, or what the matchers may concern."""
    if timezone is not None and since is None and until is None:
        raise click.UsageError("--timezone says whose clock --from and --until show: give one of them")
    body: dict[str, Any] = {"actor": actor, "reason": reason, "match": list(match), "allow": list(allow)}
    if lasts is not None:
        body["for"] = lasts
    if since is not None:
        body["from"] = _at(since, timezone or "UTC", first=True)
    if until is not None:
        body["until"] = _at(until, timezone or "UTC", first=False)
    told = client.post("freezes", body, key or str(uuid4()))
    if as_json:
        print_json(told)
        return
    one = told["freeze"]
    output.say(f"Freeze {one['id']}{_again(told)}: {_where(one)}, {_second(one['since'])} to {_end(one)}.")
    output.say(f"To end it before:  responder freeze end {one['id']} --reason ...")


@freeze.command("list")
@speaks
def list_freezes(client: Client, as_json: bool) -> None:
    """Those of the settings and those of people, and which are in force."""
    told = client.get("freezes")
    if as_json:
        print_json(told)
        return
    output.table(
        ("FREEZE", "", "BEGINS", "ENDS", "WHERE", "BUT", "BY", "WHY"),
        [_freeze_row(one) for one in told["freezes"]],
        "No freeze, neither in the settings nor by a person.",
    )


@freeze.command("end")
@click.argument("number", metavar="ID", type=click.IntRange(min=1))
@_reason
@actor_option
@speaks
def end_freeze(number: int, reason: str, actor: str, client: Client, as_json: bool) -> None:
    """End the freeze ID before its time."""
    told = client.post(f"freezes/{number}/end", {"actor": actor, "reason": reason})
    if as_json:
        print_json(told)
        return
    output.say(f"Freeze {number} is over; what it held looks again within 30s. What has escalated stays so.")


@click.group()
def maintenance() -> None:
    """Alerts are recorded only, for a time: no page, no action. For deploy pipelines."""


@maintenance.command()
@click.option(
    "--match",
    "--scope",
    "match",
    multiple=True,
    required=True,
    help="""A matcher over the alerts' labels, as 'service="api"'; all given must hold. """
    """--scope is the same.""",
)
@click.option("--for", "lasts", required=True, callback=_length, help="How long, as 30m; at most 24h.")
@_reason
@_key
@actor_option
@speaks
def start(
    match: tuple[str, ...],
    lasts: str,
    reason: str,
    key: str | None,
    actor: str,
    client: Client,
    as_json: bool,
) -> None:
    """Begin maintenance of what the matchers find; prints its ID. With --key it is safe to try again.

    An incident is kept quiet where every alert of it that fires is found; what still fires at the end is
    judged then, and told then.
    """
    body = {"actor": actor, "reason": reason, "match": list(match), "for": lasts}
    told = client.post("maintenance", body, key or str(uuid4()))
    if as_json:
        print_json(told)
        return
    one = told["maintenance"]
    if one["ended_at"] is not None:
        output.say(
            f"Maintenance {one['id']}, begun with this key, is over. Take another key to begin another."
        )
        return
    output.say(f"Maintenance {one['id']}{_again(told)}: {_where(one)}, until {_end(one)}.")
    output.say(f"To end it before:  responder maintenance end {one['id']}")


@maintenance.command("list")
@speaks
def list_maintenance(client: Client, as_json: bool) -> None:
    """What is under maintenance now."""
    told = client.get("maintenance")
    if as_json:
        print_json(told)
        return
    rows = [
        (str(one["id"]), _second(one["since"]), _end(one), _where(one), one["actor"], one["reason"])
        for one in told["maintenance"]
    ]
    output.table(("ID", "SINCE", "ENDS", "WHERE", "BY", "WHY"), rows, "Nothing is under maintenance.")


@maintenance.command("end")
@click.argument("number", metavar="[ID]", type=click.IntRange(min=1), required=False)
@click.option("--key", help="The key that it was begun with, where its ID is not known.")
@click.option("--reason", default="done", show_default=True, help="Why.")
@actor_option
@speaks
def end_maintenance(
    number: int | None, key: str | None, reason: str, actor: str, client: Client, as_json: bool
) -> None:
    """End the maintenance ID before its time; what still fires is judged now, and told now."""
    if (number is None) == (key is None):
        raise click.UsageError("give an ID or --key")
    act = {"actor": actor, "reason": reason}
    if key is not None:
        told = client.post("maintenance/end", {**act, "key": key})
    else:
        told = client.post(f"maintenance/{number}/end", act)
    if as_json:
        print_json(told)
        return
    output.say(f"Maintenance {told['maintenance']['id']} is over.")


def _at(text: str, timezone: str, *, first: bool) -> str:
    """A moment as the clock on the wall shows it; of an hour that comes twice what freezes longer."""
    try:
        at, zone = datetime.fromisoformat(text), ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, OSError):
        raise click.BadParameter(f"{timezone!r} is no time zone; write one like Europe/Berlin") from None
    except ValueError:
        raise click.BadParameter(f"{text!r} is no moment; write one like '2026-12-23 18:00'") from None
    if at.tzinfo is None:
        at = instants(at, zone)[0 if first else -1]
    return at.isoformat()


def _again(told: dict[str, Any]) -> str:
    return "" if told["new"] else " stands already"


def _where(one: dict[str, Any]) -> str:
    return ", ".join(one["match"]) or "everything"


def _end(one: dict[str, Any]) -> str:
    return _second(one["until"]) if one["until"] is not None else "-"


def _second(text: str) -> str:
    return f"{output.moment(text):%Y-%m-%d %H:%M:%S} UTC"


def _freeze_row(one: dict[str, Any]) -> tuple[str, ...]:
    begins = _second(one["since"]) if one["when"] is None else f"{one['when']} ({one['timezone']})"
    allowed = ", ".join(one["allow"]) or "-"
    state = "in force" if one["in_force"] else "-"
    name = one["name"] if one["id"] is None else str(one["id"])
    return (name, state, begins, _end(one), _where(one), allowed, one["actor"], one["reason"])
