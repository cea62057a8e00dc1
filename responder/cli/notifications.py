"""Commands about words to people: what was told by which channel, and a test of one."""

import time
from datetime import datetime
from typing import Any

import click

from responder.cli import output
from responder.cli.client import Client, segment
from responder.cli.common import ExitCode, actor_option, fail, print_json, speaks
from responder.cli.story import how_far
from responder.model.notification import ChannelStanding, Notification

_PATIENCE_S = 30.0
_LOOKS_EVERY_S = 0.25


@click.group()
def notifications() -> None:
    """What people were told, by which channel, and whether it has reached it."""


@notifications.command("list")
@click.option("--incident", "incident_id", metavar="ID", help="Of this incident alone.")
@click.option("--undelivered", is_flag=True, help="Only what waits, or was given up.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
@speaks
def list_notifications(
    incident_id: str | None, undelivered: bool, limit: int, client: Client, as_json: bool
) -> None:
    """The newest first, and how each channel stands."""
    asked: dict[str, str | int] = {"undelivered": str(undelivered).lower(), "limit": limit}
    if incident_id is not None:
        asked["incident"] = client.get(f"incidents/{segment(incident_id)}")["incident"]["id"]
    told = client.get("notifications", **asked)
    if as_json:
        print_json(told)
        return
    now = output.moment(told["now"])
    found = [Notification.model_validate(one) for one in told["notifications"]]
    rows = [
        (
            output.ago(one.created_at, now),
            one.channel,
            one.kind.value,
            one.body.severity.value if one.body.severity else "-",
            how_far(one, now),
            one.body.text,
            "-" if one.incident_id is None else str(one.incident_id),
        )
        for one in found
    ]
    none = "Everything has reached its channel." if undelivered else "Nobody was told of anything."
    output.table(("WRITTEN", "CHANNEL", "KIND", "", "HOW FAR", "TEXT", "INCIDENT"), rows, none)
    output.heading("Channels")
    for channel in told["channels"]:
        output.say(_stands(ChannelStanding.model_validate(channel), now), indent=2)


@notifications.command()
@click.argument("channel")
@actor_option
@speaks
def test(channel: str, actor: str, client: Client, as_json: bool) -> None:
    """Send a test message by CHANNEL, the way of all others; exits 1 where it is not taken."""
    written = client.post("notifications/test", {"channel": channel, "actor": actor})["id"]
    until = time.monotonic() + _PATIENCE_S
    told = client.get(f"notifications/{written}")
    while _unsettled(told) and time.monotonic() < until:
        time.sleep(_LOOKS_EVERY_S)
        told = client.get(f"notifications/{written}")
    one = Notification.model_validate(told["notification"])
    if as_json:
        print_json(told)
    elif one.delivered_at is not None:
        output.say(f"{channel} has it: {one.key}")
    if one.delivered_at is None:
        if as_json:
            raise SystemExit(ExitCode.WRONG)
        fail(f"{channel} has not taken it: {how_far(one, output.moment(told['now']))}", ExitCode.WRONG)


def _unsettled(told: dict[str, Any]) -> bool:
    """Whether its first try has not ended."""
    one = Notification.model_validate(told["notification"])
    return one.waits and one.last_error is None


def _stands(one: ChannelStanding, now: datetime) -> str:
    waits = "nothing waits"
    if one.oldest is not None:
        waits = f"{one.waiting} wait, the oldest was written {output.ago(one.oldest, now)}"
    why = f" ({one.last_error})" if one.last_error else ""
    given_up = f"; {one.given_up} given up within a day" if one.given_up else ""
    return f"{one.channel}: {waits}{why}{given_up}"
