"""Commands about dead letters: what could not be used, and what to do with it."""

import json
from typing import Any

import click

from responder.cli import output
from responder.cli.client import Client
from responder.cli.common import ExitCode, actor_option, print_json, reason_option, speaks

_SHOWN = 80
"""Characters of a payload in a list."""
_SHOWN_WHOLE = 20_000
"""Characters of a payload shown to a person; `--json` has all of them."""

_ids = click.argument("numbers", metavar="ID...", nargs=-1, required=True, type=click.IntRange(1, 2**63 - 1))


@click.group()
def deadletters() -> None:
    """What could not be used."""


@deadletters.command("list")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
@speaks
def list_deadletters(limit: int, client: Client, as_json: bool) -> None:
    """The newest dead letters, with the reason of each."""
    told = client.get("dead-letters", limit=limit)
    if as_json:
        print_json(told)
        return
    rows = [_row(letter) for letter in told["dead_letters"]]
    output.table(("ID", "RECEIVED", "SOURCE", "REASON", "PAYLOAD"), rows, "There are no dead letters.")


@deadletters.command()
@click.argument("number", metavar="ID", type=click.IntRange(1, 2**63 - 1))
@speaks
def show(number: int, client: Client, as_json: bool) -> None:
    """One dead letter with its payload."""
    told = client.get(f"dead-letters/{number}")
    if as_json:
        print_json(told)
        return
    letter = told["dead_letter"]
    output.say(f"{letter['id']} of {letter['source']}, received {_second(letter['received_at'])} UTC")
    output.say(letter["reason"])
    output.heading(f"Payload, {letter['size']} characters")
    for line in _readable(letter["payload"]):
        click.echo(line)


@deadletters.command()
@_ids
@click.option("--old", is_flag=True, help="Also what is older than an hour: it counts as heard of now.")
@actor_option
@speaks
def retry(numbers: tuple[int, ...], old: bool, actor: str, client: Client, as_json: bool) -> None:
    """Take dead letters in again. One that is stored is gone; the others stay, with the reason."""
    told = client.post("dead-letters/retry", {"ids": list(numbers), "actor": actor, "old": old})
    if as_json:
        print_json(told)
    else:
        for letter in told["letters"]:
            output.say(f"{letter['id']}: {_became(letter)}")
    if any(letter["stored"] == 0 for letter in told["letters"]):
        raise SystemExit(ExitCode.WRONG)


@deadletters.command()
@_ids
@reason_option
@actor_option
@speaks
def drop(numbers: tuple[int, ...], reason: str, actor: str, client: Client, as_json: bool) -> None:
    """Remove dead letters for good; who did it and why is kept."""
    told = client.post("dead-letters/drop", {"ids": list(numbers), "actor": actor, "reason": reason})
    if as_json:
        print_json(told)
    else:
        for number in told["dropped"]:
            output.say(f"{number}: dropped")
        for number in told["unknown"]:
            output.say(f"{number}: there is no such dead letter")
    if told["unknown"]:
        raise SystemExit(ExitCode.WRONG)


def _became(letter: dict[str, Any]) -> str:
    why = letter.get("why")
    if why is None:
        return "stored"
    return f"{letter['stored']} stored, {why}" if letter["stored"] else str(why)


def _row(letter: dict[str, Any]) -> tuple[str, ...]:
    payload = str(letter["payload"])
    head = payload if letter["size"] <= _SHOWN else f"{payload[:_SHOWN]} ..."
    received = _second(letter["received_at"])
    return (str(letter["id"]), received, letter["source"], letter["reason"], head)


def _second(text: str) -> str:
    return f"{output.moment(text):%Y-%m-%d %H:%M:%S}"


def _readable(payload: str) -> list[str]:
    """A payload for a terminal: nothing in it can move the cursor."""
    try:
        text = json.dumps(json.loads(payload), indent=2)
    except (ValueError, RecursionError):
        text = json.dumps(payload)
    more = [f"... {len(text) - _SHOWN_WHOLE} more characters; --json has them"]
    return [*text[:_SHOWN_WHOLE].splitlines(), *(more if len(text) > _SHOWN_WHOLE else [])]
