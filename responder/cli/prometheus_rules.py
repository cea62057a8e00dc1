"""Commands about Prometheus's alerting rules: rules to begin with, and alerts that no rule covers."""

from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

import click

from responder.cli import output
from responder.cli.common import ExitCode, config_option, ends_in_words, fail, print_json, settings
from responder.cli.rule_files import checked
from responder.model.severity import Severity
from responder.review.words import count
from responder.rulebook.gaps import Gap, gaps
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
    alerts = _alerts(files)
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


@click.command("gaps")
@_prometheus_files
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@ends_in_words
def find_gaps(
    files: tuple[Path, ...], paths: tuple[Path, ...], config_file: Path | None, as_json: bool
) -> None:
    """Alerts of Prometheus's rule files that no rule in PATHS covers (default: those of the settings).

    Needs no server; exits 1 where there is a gap.
    """
    chosen = settings(config_file).settings
    report = checked(paths or chosen.rules, chosen)
    if report.rulebook is None:
        _end_by(report.mistakes)
    alerts = _alerts(files)
    found = gaps(alerts, report.rulebook.rules)
    if as_json:
        print_json({"alerts": len(alerts), "gaps": [gap.model_dump(mode="json") for gap in found]})
    else:
        rows = [(gap.alert.name, _place_of(gap.alert), _near(gap)) for gap in found]
        output.table(
            ("ALERT", "FILE", "NEAREST RULE"), rows, f"Covered: {count(len(alerts), 'alerting rule')}."
        )
    if found:
        raise SystemExit(ExitCode.WRONG)


def _alerts(files: tuple[Path, ...]) -> tuple[PrometheusAlert, ...]:
    """The alerting rules of the files; what is wrong with these ends the command."""
    mistakes = Mistakes()
    alerts = read_alerts(sorted(read_files(files, mistakes)), mistakes)
    if mistakes.found:
        _end_by(mistakes.sorted())
    return alerts


def _end_by(mistakes: Iterable[Mistake]) -> NoReturn:
    for mistake in mistakes:
        output.say(str(mistake), err=True)
    raise SystemExit(ExitCode.WRONG)


def _place_of(alert: PrometheusAlert) -> str:
    return f"{alert.position.file}:{alert.position.line}"


def _near(gap: Gap) -> str:
    if gap.near is None:
        return "-"
    return (
        f"{gap.near}: {'; '.join(f'{one.matcher} does not hold, it is {one.value!r}' for one in gap.failed)}"
    )


def _meaning(written: str) -> tuple[str, Severity]:
    word, _, level = written.rpartition("=")
    if level.upper() not in Severity.__members__:
        raise click.BadParameter(f"{written!r} is not WORD=P0 to WORD=P3", param_hint="--severity")
    return word.lower(), Severity(level.upper())
