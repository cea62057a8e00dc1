"""Whether the service runs with what the settings on disk say: it took them when it started."""

import os
from pathlib import Path

import click

from responder.cli.added import as_run
from responder.cli.client import Client, ServerAwayError, ServerRefusedError
from responder.model.errors import PermanentError
from responder.settings import Settings, chosen_file, load
from responder.settings.hashes import differing, hashes

_PATIENCE_S = 5.0


def client_of(config_file: Path | None) -> Client:
    """The service of these settings, for a command that can do without it."""
    variables = os.environ
    url, token = variables.get("RESPONDER_URL"), variables.get("RESPONDER_TOKEN")
    return Client(url, token, config_file, patience_s=_PATIENCE_S)


def other_settings(client: Client) -> str | None:
    """One sentence where the service was started with other settings than those on disk.

    None where they are the same, where there is no settings file, and where one of the two cannot be asked.
    """
    file = chosen_file(client.config_file, os.environ)
    if file is None:
        return None
    try:
        theirs = client.get("service")["settings"]
        blocks = min((_differing(ours, theirs) for ours in _as_started(client.config_file)), key=len)
    except (ServerAwayError, ServerRefusedError, PermanentError):
        return None
    if not blocks:
        return None
    named = ", ".join(blocks)
    return f"the service at {client.url} was started with other settings than {file} ({named}): restart it"


def warn_of_other_settings(client: Client) -> None:
    """The same on standard error, so that what a program reads stays whole."""
    if (told := other_settings(client)) is not None:
        click.echo(f"Note: {told}.", err=True)


def _as_started(config_file: Path | None) -> tuple[Settings, Settings]:
    """What `serve` makes of the settings on disk, and what `run` makes of them."""
    return load(config_file).settings, as_run(config_file).settings


def _differing(ours: Settings, theirs: dict[str, str]) -> tuple[str, ...]:
    """The blocks that differ. Rules that no setting names are taken from where `run` was called."""
    unsaid = set() if "rules" in ours.model_fields_set else {"rules"}
    return tuple(block for block in differing(hashes(ours), theirs) if block not in unsaid)
