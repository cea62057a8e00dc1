"""`responder run` and `responder actions`: an act by hand, and what can be done."""

import json
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import click
import yaml

from responder.cli import output
from responder.cli.client import Client, segment
from responder.cli.common import ExitCode, actor_option, print_json, speaks
from responder.cli.incidents import as_dossier
from responder.cli.steps import Telling, lines_of
from responder.model.duration import parse_duration
from responder.model.incident import IncidentState
from responder.model.severity import Severity
from responder.ports import Dossier
from responder.review.by_hand import ActEnd, act_end
from responder.review.explained import explain
from responder.review.words import clock

_BETWEEN_S = 0.3
_BEFORE_IT_BEGINS = timedelta(seconds=30)
"""Waited for beside the time that the act takes: it has to be taken up, looked at and judged."""
_CODES = {ActEnd.DONE: ExitCode.DONE, ActEnd.FAILED: ExitCode.WRONG, ActEnd.NOT_LET: ExitCode.REFUSED}
_EXAMPLE = """
\b
Example:
  responder run postgres.cancel_queries --with connection=orders --with older_than=10m \\
      --reason "the nightly report hangs"
"""
_NO_ACTION = """say which ACTION: responder run --list shows them.
To keep a service up on this machine: responder up"""


def _given(_context: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> dict[str, Any]:
    """`name=value`; what begins with a bracket is read as YAML, the rest is text for the action to read."""
    pairs: dict[str, Any] = {}
    for one in values:
        name, sign, value = one.partition("=")
        if not sign or not name:
            raise click.BadParameter(f"{one!r} is no NAME=VALUE")
        if name in pairs:
            raise click.BadParameter(f"{name!r} is given twice")
        pairs[name] = _structured(value) if value.startswith(("{", "[")) else value
    return pairs


def _structured(text: str) -> Any:
    try:
        return json.loads(json.dumps(yaml.safe_load(text)))
    except (yaml.YAMLError, TypeError, ValueError):
        raise click.BadParameter(f"{text!r} cannot be read; write {{name: value}} or [one, two]") from None


def _length(_context: click.Context, _option: click.Parameter, value: str | None) -> timedelta | None:
    if value is None:
        return None
    try:
        return parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command(epilog=_EXAMPLE)
@click.argument("action", metavar="[ACTION]", required=False)
@click.option("--list", "listed", is_flag=True, help="List what can be done, and with which parameters.")
@click.option("--with", "params", multiple=True, callback=_given, metavar="NAME=VALUE", help="A parameter.")
@click.option("--reason", help="Why; it stands in the timeline.")
@click.option(
    "--severity",
    type=click.Choice([one.value for one in Severity]),
    default=Severity.P2.value,
    show_default=True,
    help="Of the incident that it opens.",
)
@click.option("--verify-promql", "promql", metavar="QUERY", help="What shows that it helped; with --is.")
@click.option("--is", "expect", metavar="COMPARISON", help="The answer that QUERY has to have, as '< 1'.")
@click.option("--within", metavar="DURATION", callback=_length, help="By when it has to; 5m by default.")
@click.option("--dry-run", is_flag=True, help="Show what it would hit and what every guard says; do nothing.")
@click.option(
    "--wait", metavar="DURATION", callback=_length, help="Wait so long; by default as long as it takes."
)
@click.option("--no-wait", is_flag=True, help="Print the incident's id, and go.")
@click.option("--key", help="A name of your own for it: the same key again is the same act.")
@actor_option
@speaks
def run(
    action: str | None,
    listed: bool,
    params: dict[str, Any],
    reason: str | None,
    severity: str,
    promql: str | None,
    expect: str | None,
    within: timedelta | None,
    dry_run: bool,
    wait: timedelta | None,
    no_wait: bool,
    key: str | None,
    actor: str,
    client: Client,
    as_json: bool,
) -> None:
    """Do ACTION now, by hand: by the way that every rule goes, judged by the same guards.

    It opens an incident. You count as the one who approves it; a ceiling of shadow, a halt or a claim hold
    for you, too. It may begin within 15 minutes, and not later. Exits 0 when it was done, 1 when it was not
    or did not help, 3 when it was not let. (What keeps a service up on this machine is `responder up`.)
    """
    if listed:
        _list(client, as_json=as_json)
        return
    if action is None:
        raise click.UsageError(_NO_ACTION)
    if reason is None:
        raise click.UsageError("say why, with --reason; it stands in the timeline")
    if (promql is None) != (expect is None):
        raise click.UsageError("--verify-promql and --is belong together")
    body: dict[str, Any] = {
        "action": action,
        "with": params,
        "reason": reason,
        "actor": actor,
        "severity": severity,
        "dry_run": dry_run,
    }
    if promql is not None:
        body["verify"] = {"promql": promql, "is": expect, **({"within": _text(within)} if within else {})}
    told = client.post("acts", body, key or str(uuid4()))
    if no_wait:
        print_json(told) if as_json else output.say(told["incident"])
        return
    patience = wait if wait is not None else timedelta(seconds=told["lasts_s"]) + _BEFORE_IT_BEGINS
    _follow(client, told, patience, dry_run=dry_run, as_json=as_json)


def _text(length: timedelta) -> str:
    return f"{int(length.total_seconds() * 1000)}ms"


@click.command()
@speaks
def actions(client: Client, as_json: bool) -> None:
    """What can be done, and with which parameters."""
    _list(client, as_json=as_json)


def _list(client: Client, *, as_json: bool) -> None:
    told = client.get("actions")
    if as_json:
        print_json(told)
        return
    for one in told["actions"]:
        output.heading(f"{one['name']} ({one['kind'].replace('_', '-')})")
        for param in one["params"]:
            default = param["default"] if param["default"] == "required" else f"default {param['default']}"
            output.say(f"{param['name']}: {param['type']}, {default}. {param['description']}", indent=2)
    names = ", ".join(told["connections"]) or "none"
    click.echo()
    output.say(f"Connections of the inventory: {names}")


def _follow(
    client: Client, told: dict[str, Any], patience: timedelta, *, dry_run: bool, as_json: bool
) -> None:
    """Tell what the timeline says until the act has come to its end, or the patience has."""
    dossier, now = _watched(client, told["incident"], patience, None if as_json else _tell)
    end = act_end(dossier)
    would = _would_start(dossier) if dry_run else None
    if as_json:
        print_json({**told, "end": end, "would_start": would, "state": dossier.incident.state})
    elif dry_run:
        _tell_guards(dossier, now)
    elif end is None:
        _tell_open(dossier)
    else:
        output.say(f"incident {told['incident']}: {end.value}")
    if dry_run and end is not None:
        raise SystemExit(ExitCode.DONE if would or end is ActEnd.DONE else ExitCode.REFUSED)
    raise SystemExit(ExitCode.WRONG if end is None else _CODES[end])


def _watched(
    client: Client, incident: str, patience: timedelta, tell: Callable[[Dossier, int], int] | None
) -> tuple[Dossier, datetime]:
    until, seen = time.monotonic() + patience.total_seconds(), 0
    while True:
        dossier, now = as_dossier(client.get(f"incidents/{segment(incident)}"))
        if tell is not None:
            seen = tell(dossier, seen)
        if act_end(dossier) is not None or time.monotonic() >= until:
            return dossier, now
        time.sleep(_BETWEEN_S)


def _tell(dossier: Dossier, seen: int) -> int:
    """The entries that were not told yet; how many there are by now."""
    for entry in dossier.entries[seen:]:
        output.say(f"{clock(entry.at)[:8]}  {entry.text}")
    return len(dossier.entries)


def _would_start(dossier: Dossier) -> bool:
    said = [one.facts["would_start"] for one in dossier.entries if "would_start" in one.facts]
    return bool(said and said[-1])


def _tell_guards(dossier: Dossier, now: datetime) -> None:
    for step in explain(dossier).steps:
        for depth, line in lines_of(step, Telling(now=now, everything=True)):
            output.say(line, indent=2 * depth)


def _tell_open(dossier: Dossier) -> None:
    """It goes on without whoever asked for it; what that means, and how it is stopped."""
    incident = dossier.incident
    begins = incident.state in {IncidentState.PENDING, IncidentState.OPEN, IncidentState.HELD}
    where = "it has not begun, and may yet" if begins else f"it is {incident.state.value.replace('_', ' ')}"
    output.say(f"incident {incident.id}: {where}; it goes on without you.")
    output.say(f"  see it:   responder incidents show {incident.id}")
    if begins:
        output.say(f"  stop it:  responder incidents close {incident.id} --reason ...")
