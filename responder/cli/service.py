"""`responder serve` for production, `responder up` for this machine."""

import asyncio
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import click

from responder.cli.added import SOURCE_TOKEN_FILE, completed, with_rules
from responder.cli.common import config_option, ends_in_words, settings
from responder.cli.local import URL_FILE, data_dir
from responder.cli.rule_files import checked
from responder.review.words import count
from responder.settings import Settings, load
from responder.sources.settings import DEFAULT_SOURCE


@click.command()
@config_option
@ends_in_words
def serve(config_file: Path | None) -> None:
    """Serve until SIGTERM. Without a database in the settings it refuses to start."""
    _serve(settings(config_file).settings)


@click.command()
@config_option
@ends_in_words
def up(config_file: Path | None) -> None:
    """Keep a service up on this machine, with a PostgreSQL of its own; in shadow by default.

    Data and tokens stand in the data directory and are found again at the next start. Rules are those of the
    settings, else the ones in ./rules where the settings fit them.
    """
    chosen = with_rules(load(config_file, completed(config_file, os.environ)).settings)
    _tell_mistakes(chosen)
    with ExitStack() as until_it_ends:
        _serve(chosen, lambda url: _up(url, chosen, until_it_ends), needs_rules=False)


def _tell_mistakes(chosen: Settings) -> None:
    """What keeps the rules from being used yet: they may name what the settings lack."""
    mistakes = checked(chosen.rules, chosen).mistakes
    if not mistakes:
        return
    named = " ".join(map(str, chosen.rules))
    click.echo(f"The rules in {named} are not active; what was active before stays so, and alerts are kept.")
    number = count(len(mistakes), "mistake")
    if missing := _missing(chosen):
        click.echo(f"  Missing:     {', '.join(missing)} ({number} against these settings)")
        click.echo("  To do:       add it to the settings (README.md, step 2), and start again")
    else:
        click.echo(f"  Wrong:       {number}, the first: {mistakes[0]}")
        click.echo("  To do:       mend the rules, then: responder rules reload")
    click.echo(f"  In detail:   responder rules check {named}")


def _missing(chosen: Settings) -> list[str]:
    """What rules lean on and these settings do not have at all."""
    parts = {
        "no connection in the inventory": bool(chosen.inventory.postgres),
        "no query": bool(chosen.queries),
        "no source that can be asked": any(source.askable for source in chosen.sources.values()),
    }
    return [what for what, there in parts.items() if not there]


def _serve(chosen: Settings, ready: Callable[[str], None] | None = None, *, needs_rules: bool = True) -> None:
    from responder import app  # noqa: PLC0415 - it imports every client; the other commands need none

    asyncio.run(app.serve(chosen, ready, needs_rules=needs_rules))


def _up(url: str, chosen: Settings, until_it_ends: ExitStack) -> None:
    """Leave the address for the command line, and tell what a newcomer needs."""
    file = chosen.data_dir / URL_FILE
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{url}\n", encoding="ascii")
        until_it_ends.callback(file.unlink, missing_ok=True)
    except OSError as error:
        click.echo(f"{file} cannot be written ({error.strerror}): name the address with RESPONDER_URL={url}")
    _tell(url, chosen)


def _tell(url: str, chosen: Settings) -> None:
    """What a newcomer needs: where it is, which token, how far it goes."""
    click.echo(f"\nResponder is up at {url}, autonomy at most {chosen.engine.reach}.")
    for name, source in chosen.sources.items():
        click.echo(f"  Alertmanager posts to  {url}/api/v1/webhooks/alertmanager/{name}")
        if (token := source.bearer()) is not None:
            click.echo(f"  with the bearer token  {token.get_secret_value()}")
        if name == DEFAULT_SOURCE and (file := chosen.data_dir / SOURCE_TOKEN_FILE).exists():
            click.echo(f"  which stands in        {file}")
    elsewhere = "" if data_dir() == chosen.data_dir else f"RESPONDER_DATA_DIR={chosen.data_dir} "
    click.echo(f"  Look at it with        {elsewhere}responder incidents list")
    click.echo("  Stop it with           Ctrl-C\n")
