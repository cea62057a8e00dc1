"""Commands about the whole service: halt, resume, targets, alerts that no rule took, dead letters."""

import os
from pathlib import Path
from typing import Any

import click

from responder.cli import output
from responder.cli.client import Client
from responder.cli.common import (
    ExitCode,
    actor_option,
    ends_in_words,
    fail,
    print_json,
    reason_option,
    speaks,
    token_option,
    url_option,
)

_WORDS = {"flag": "the flag in the database", "file": "a file"}
_limit = click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)


@click.command()
@click.option("--reason", default="halted by a person", show_default=True, help="Why.")
@actor_option
@click.option(
    "--file", "file", type=click.Path(path_type=Path), help="Make this file instead; needs no server."
)
@url_option
@token_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@ends_in_words
def halt(
    reason: str, actor: str, file: Path | None, url: str | None, token: str | None, as_json: bool
) -> None:
    """Stop every replica from starting anything. What runs already is not interrupted.

    With --file only the processes stop whose engine.halt_file is this file; it works while no server and no
    database answers. Remove the file to end it.
    """
    if file is not None:
        _halt_by_file(file, f"{actor}: {reason}", as_json=as_json)
        return
    _print_halt(Client(url, token).post("halt", {"actor": actor, "reason": reason}), as_json=as_json)


@click.command()
@click.option("--reason", default="resumed by a person", show_default=True, help="Why.")
@actor_option
@speaks
def resume(reason: str, actor: str, client: Client, as_json: bool) -> None:
    """Clear the halt flag; names what still halts, and exits 1 then."""
    told = client.post("resume", {"actor": actor, "reason": reason})
    _print_halt(told, as_json=as_json)
    if told["halted"]:
        raise SystemExit(ExitCode.WRONG)


@click.group()
def targets() -> None:
    """What an action holds, and what is quarantined."""


@targets.command("list")
@speaks
def list_targets(client: Client, as_json: bool) -> None:
    """Every held target and who holds it."""
    told = client.get("targets")
    if as_json:
        print_json(told)
        return
    now = output.moment(told["now"])
    rows = [_target_row(claim, output.ago(output.moment(claim["since"]), now)) for claim in told["targets"]]
    output.table(("TARGET", "", "SINCE", "RULE", "INCIDENT", "WHY"), rows, "No target is held.")


@targets.command()
@click.argument("target")
@reason_option
@actor_option
@speaks
def release(target: str, reason: str, actor: str, client: Client, as_json: bool) -> None:
    """Release a quarantined TARGET: you know what became of its last attempt."""
    told = client.post("targets/release", {"target": target, "actor": actor, "reason": reason})
    if as_json:
        print_json(told)
        return
    output.say(f"{target} is released; its waiting incidents look again.")


@click.group()
def alerts() -> None:
    """Alerts as they were received."""


@alerts.command()
@_limit
@speaks
def unmatched(limit: int, client: Client, as_json: bool) -> None:
    """Firing alerts that no rule took."""
    told = client.get("alerts/unmatched", limit=limit)
    if as_json:
        print_json(told)
        return
    rows = [_alert_row(alert) for alert in told["alerts"]]
    output.table(
        ("SINCE", "SOURCE", "ALERT", "LABELS"), rows, "Every firing alert that is known was taken by a rule."
    )


@click.group()
def deadletters() -> None:
    """What could not be used."""


@deadletters.command("list")
@_limit
@speaks
def list_deadletters(limit: int, client: Client, as_json: bool) -> None:
    """The newest dead letters, with the reason of each."""
    told = client.get("dead-letters", limit=limit)
    if as_json:
        print_json(told)
        return
    rows = [
        (_second(letter["received_at"]), letter["source"], letter["reason"], _head(letter["payload"]))
        for letter in told["dead_letters"]
    ]
    output.table(("RECEIVED", "SOURCE", "REASON", "PAYLOAD"), rows, "There are no dead letters.")


def _halt_by_file(file: Path, reason: str, *, as_json: bool) -> None:
    """Whole or not at all: a file that exists counts as a halt even while it is written."""
    try:
        with file.open("w", encoding="utf-8") as out:
            out.write(f"{reason}\n")
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        fail(f"{file} cannot be written: {error.strerror}", ExitCode.WRONG)
    if as_json:
        print_json({"halted": True, "by": [{"what": "file", "reason": reason}], "file": str(file)})
        return
    output.say(f"Halted: {file} is there. Every process stops whose engine.halt_file it is, within 5 s.")
    output.say("Remove the file to end it.")


def _print_halt(told: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(told)
        return
    if not told["halted"]:
        output.say("Nothing halts: actions may start.")
        return
    output.say("Halted: no action starts.")
    for hold in told["by"]:
        output.say(f"- by {_WORDS.get(hold['what'], hold['what'])}: {hold['reason']}")


def _target_row(claim: dict[str, Any], since: str) -> tuple[str, ...]:
    word = "quarantined" if claim["quarantined"] else "held"
    return (claim["target"], word, since, claim["rule"], claim["incident_id"], claim["reason"] or "-")


def _alert_row(alert: dict[str, Any]) -> tuple[str, ...]:
    labels = dict(alert["labels"])
    name = labels.pop("alertname", "-")
    told = ", ".join(f"{key}={value}" for key, value in sorted(labels.items()))
    return (_second(alert["starts_at"]), alert["source"], name, told)


def _second(text: str) -> str:
    return f"{output.moment(text):%Y-%m-%d %H:%M:%S}"


def _head(payload: Any) -> str:
    text = str(payload)
    return text if len(text) <= _HEAD else f"{text[:_HEAD]} ..."


_HEAD = 80
