"""`responder config show`: what applies, and where each value came from."""

from pathlib import Path

import click

from responder.cli import output
from responder.cli.added import as_run
from responder.cli.common import config_option, ends_in_words, print_json, settings
from responder.settings import Loaded
from responder.settings.shown import DEFAULT, shown
from responder.store.settings import EMBEDDED


@click.group()
def config() -> None:
    """The settings."""


@config.command()
@config_option
@click.option("--changed", is_flag=True, help="Only what is no default.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@ends_in_words
def show(config_file: Path | None, changed: bool, as_json: bool) -> None:
    """Print every setting as it applies, with its origin. Secrets are shown as ********."""
    loaded = settings(config_file)
    lines = [line for line in shown(loaded) if not changed or line.origin != DEFAULT]
    if as_json:
        print_json({line.key: {"value": line.value, "origin": line.origin} for line in lines})
        return
    rows = [(line.key, line.value, line.origin) for line in lines]
    output.table(("SETTING", "VALUE", "ORIGIN"), rows, "Everything is as by default.")
    added = _added(loaded, config_file)
    if added:
        output.heading("`responder up` adds, for a service on this machine")
        for line in added:
            output.say(line, indent=2)


def _added(loaded: Loaded, config_file: Path | None) -> list[str]:
    """What `run` takes where these settings say nothing; `serve` takes none of it."""
    run = as_run(config_file)
    told = {(line.key, line.value) for line in shown(loaded)}
    return [
        f"{line.key}: {EMBEDDED if line.key == 'database' else line.value}"
        for line in shown(run)
        if (line.key, line.value) not in told and (line.origin != DEFAULT or line.key.startswith("rules"))
    ]
