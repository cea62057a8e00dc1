"""`responder rules import`: rules to begin with, from Prometheus's alerting rules."""

from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

import click

from responder.cli import output
from responder.cli.common import ExitCode, ends_in_words, fail
from responder.model.severity import Severity
from responder.review.words import count
from responder.rulebook.load import read_files
from responder.rulebook.mistake import Mistake, Mistakes
from responder.rulebook.prometheus import SEVERITIES, PrometheusAlert, read_alerts, skeleton

_prometheus_files = click.option(
    "--prometheus",
    "files",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path, exists=True),
    help="A file of Prometheus's rules, or a folder of them. May be repeated.",
)


@click.command("import")
@_prometheus_files
@click.option(
    "--severity",
    "words",
    multiple=True,
    metavar="WORD=P1",
    help="What a word of the label `severity` means here. May be repeated.",
)
@click.option("--output", "target", type=click.Path(path_type=Path), help="A new file. Default: print them.")
@ends_in_words
def import_rules(files: tuple[Path, ...], words: tuple[str, ...], target: Path | None) -> None:
    """Write a rule for each alert of Prometheus's rule files. It records and changes nothing."""
    severities = {**SEVERITIES, **dict(map(_meaning, words))}
    alerts = alerting_rules(files)
    text, number = skeleton(alerts, severities)
    if target is None:
        click.echo(text, nl=False)
        return
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        fail(
            f"{target} is there already: name a new file, for your own changes would be lost", ExitCode.WRONG
        )
    except OSError as error:
        fail(f"{target} cannot be written: {error.strerror}", ExitCode.WRONG)
    output.say(f"{count(number, 'rule')} of {count(len(alerts), 'alerting rule')} in {target}.")
    output.say(f"Next: responder rules check {target}")


def alerting_rules(files: tuple[Path, ...]) -> tuple[PrometheusAlert, ...]:
    """The alerting rules of the files; what is wrong with these ends the command."""
    mistakes = Mistakes()
    alerts = read_alerts(sorted(read_files(files, mistakes)), mistakes)
    if mistakes.found:
        end_by(mistakes.sorted())
    return alerts


def end_by(mistakes: Iterable[Mistake]) -> NoReturn:
    """End with the mistakes of files."""
    for mistake in mistakes:
        output.say(str(mistake), err=True)
    raise SystemExit(ExitCode.WRONG)


def _meaning(written: str) -> tuple[str, Severity]:
    word, _, level = written.rpartition("=")
    if level.upper() not in Severity.__members__:
        raise click.BadParameter(f"{written!r} is not WORD=P0 to WORD=P3", param_hint="--severity")
    return word.lower(), Severity(level.upper())
