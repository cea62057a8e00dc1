"""What a person tells an incident, and what became of it: the owner applies it, and its timeline says how."""

import time
from typing import Any
from uuid import uuid4

import click

from responder.cli import output
from responder.cli.client import Client, segment
from responder.cli.common import ExitCode, print_json
from responder.model.incident import CommandKind
from responder.review.words import count, pairs, plain

_PATIENCE_S = 2.0
"""Seconds to wait for the owner; it is woken at once, and moves as soon as it has nothing else in hand."""
_BETWEEN_S = 0.1
_NAMED = 3
"""Alerts that are named; more are counted."""


def give(
    client: Client,
    incident_id: str,
    kind: CommandKind,
    actor: str,
    reason: str,
    *,
    as_json: bool,
    **facts: str | None,
) -> None:
    """Give one command, wait a little for the owner, and say what the timeline says. Exits 3 on no change.

    `facts` are what the command needs of its own.
    """
    body: dict[str, Any] = {"kind": kind.value, "actor": actor, **facts}
    if reason:
        body["reason"] = reason
    told = client.post(f"incidents/{segment(incident_id)}/commands", body, str(uuid4()))
    dossier, entry = _applied(client, incident_id, told["command"])
    changed = None if entry is None else entry["facts"].get("changed", True)
    if as_json:
        print_json({**told, "applied": None if entry is None else entry["text"], "changed": changed})
    else:
        _say(kind, incident_id, entry)
    if kind is CommandKind.CLOSE and dossier["members"]["firing"]:
        click.echo(f"Note: {_firing(dossier['members'])}", err=True)
    if changed is False:
        raise SystemExit(ExitCode.REFUSED)


def _applied(client: Client, incident_id: str, command: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The incident, and the entry that says what became of the command; None where nothing has yet."""
    until = time.monotonic() + _PATIENCE_S
    while True:
        dossier: dict[str, Any] = client.get(f"incidents/{segment(incident_id)}")
        entries = dossier["entries"]
        entry = next((one for one in entries if (one["facts"] or {}).get("id") == command), None)
        if entry is not None or time.monotonic() >= until:
            return dossier, entry
        time.sleep(_BETWEEN_S)


def _say(kind: CommandKind, incident_id: str, entry: dict[str, Any] | None) -> None:
    if entry is not None:
        output.say(f"{entry['text'].rstrip('.')}.")
        return
    output.say(f"Told, but not applied yet: {kind.value.replace('_', ' ')}.")
    output.say("The incident's owner applies it at its next move; whether it did is told by:")
    output.say(f"  responder incidents show {incident_id}")


def _firing(members: dict[str, Any]) -> str:
    """That it is not over for the source."""
    number = members["firing"]
    known = [one["labels"] for one in members["sample"][: min(number, _NAMED)]]
    named = "; ".join(plain(pairs(labels)) for labels in known)
    more = f" and {number - len(known)} more" if known and number > len(known) else ""
    what = f"{count(number, 'alert')} still {'fires' if number == 1 else 'fire'}"
    return f"{what}: {named}{more}." if named else f"{what}."
