"""Commands about sources: whether each can be asked for all its alerts, and how that goes."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import click

from responder.cli import output
from responder.cli.client import Client
from responder.cli.common import actor_option, print_json, speaks
from responder.model.duration import format_duration

_NO_API = "no API to ask: a notification that is lost is not noticed"


@click.group()
def sources() -> None:
    """Where alerts come from, and how asking for all of them goes."""


@sources.command("list")
@speaks
def list_sources(client: Client, as_json: bool) -> None:
    """Every source: its peers, the last complete round, what was missed, what asking made good."""
    told = client.get("sources")
    if as_json:
        print_json(told)
        return
    now = output.moment(told["now"])
    for source in told["sources"]:
        _tell(source, now)
    if not told["sources"]:
        output.say("The settings name no source.")


@sources.command()
@click.argument("name")
@actor_option
@speaks
def reconcile(name: str, actor: str, client: Client, as_json: bool) -> None:
    """Ask the source NAME for all its alerts now. Nothing ends sooner by it."""
    told = client.post(f"sources/{name}/reconcile", {"actor": actor})
    if as_json:
        print_json(told)
        return
    output.say(f"{name} is asked within seconds; see responder sources list")


def _tell(source: dict[str, Any], now: datetime) -> None:
    name = source["name"]
    if not source["asked"]:
        output.say(f"{name}: {_NO_API}")
        return
    made_good = f"took in {source['taken_in']} and ended {source['gone']}"
    since = f"{source['rounds']} rounds since {_second(source['since'])} UTC"
    output.say(f"{name}: last complete round {_ago(source['complete_at'], now)}; {since} {made_good}")
    for line in _remarks(source, now):
        output.say(line, indent=2)
    for peer in source["peers"]:
        output.say(_peer(peer), indent=2)


def _remarks(source: dict[str, Any], now: datetime) -> Iterator[str]:
    if source["problem"]:
        yield f"the last round was not complete: {source['problem']}"
    if not source["owner_alive"]:
        yield "no live process has the turn to ask it"
    if gap := source["gap"]:
        yield f"alerts were missed since {_second(gap['since'])} UTC: {gap['reason']}"
    if source["asked_by"]:
        yield f"{source['asked_by']} asked for a round {_ago(source['asked_at'], now)}"


def _peer(peer: dict[str, Any]) -> str:
    if not peer["answered"]:
        return f"{peer['name']}: no answer"
    up = format_duration(timedelta(seconds=int(peer["up_for_s"])))
    receiver = {None: "", True: ", has our receiver", False: ", has no receiver of our name"}
    unusable = f", {peer['unusable']} of them cannot be kept" if peer["unusable"] else ""
    has = receiver[peer["receiver_known"]]
    return f"{peer['name']}: {peer['alerts']} alerts{unusable}, up for {up}{has}"


def _ago(text: str | None, now: datetime) -> str:
    return "never" if text is None else output.ago(output.moment(text), now)


def _second(text: str) -> str:
    return f"{output.moment(text):%Y-%m-%d %H:%M:%S}"
