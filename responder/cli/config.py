"""`responder config show`: what applies, and where each value came from."""

from pathlib import Path

import click

from responder.cli import output
from responder.cli.common import config_option, ends_in_words, print_json, settings
from responder.settings.shown import DEFAULT, shown


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
    lines = [line for line in shown(settings(config_file)) if not changed or line.origin != DEFAULT]
    if as_json:
        print_json({line.key: {"value": line.value, "origin": line.origin} for line in lines})
        return
    rows = [(line.key, line.value, line.origin) for line in lines]
    output.table(("SETTING", "VALUE", "ORIGIN"), rows, "Everything is as by default.")
