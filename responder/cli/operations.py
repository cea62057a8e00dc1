"""Commands about the whole service: held targets, alerts that no rule took."""

from typing import Any

import click

from responder.cli import output
from responder.cli.client import Client
from responder.cli.common import (
    actor_option,
    print_json,
    reason_option,
    speaks,
)

_limit = click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)


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
