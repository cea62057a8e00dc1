"""`responder rules test`: plays the tests beside the rules and says what was not as expected."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import click
import structlog

from responder.cli import output
from responder.cli.common import ExitCode, config_option, ends_in_words, print_json, settings
from responder.cli.rule_files import around_of
from responder.model.errors import PermanentError
from responder.rehearsal.coverage import Coverage, coverage
from responder.rehearsal.play import Played, Report, play
from responder.rehearsal.scene import Around
from responder.review.words import plain
from responder.rulebook.load import TESTS_END
from responder.rulebook.surroundings import Surroundings
from responder.settings import Settings

_DEFAULT = Path("rules")
_TIMELINES = 10
"""How many incidents of a test that failed are told."""


@click.command("test")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path, exists=True))
@config_option
@click.option("--coverage", "covers", is_flag=True, help="Say which parts of the rules the tests reach.")
@click.option("--require-coverage", "requires", is_flag=True, help="Exit 1 where any part is not reached.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="How it is said.")
@ends_in_words
def test_rules(
    paths: tuple[Path, ...], config_file: Path | None, covers: bool, requires: bool, form: str
) -> None:
    """Play the tests in files that end with .test.yaml, and in folders of them; ./rules by default.

    Needs no server: the rules run in virtual time, with the targets as the tests say. Exits 1 where something
    is not as expected.
    """
    files = _files(paths or (_DEFAULT,))
    chosen = settings(config_file).settings
    around = Around(_surroundings(chosen), chosen.terms, chosen.engine.budgets)
    with quiet():
        report = play(files, around)
    covered = coverage(report.played) if (covers or requires) and not report.mistakes else None
    if form == "json":
        print_json(_as_json(report, covered))
    else:
        _say(report, files)
        if covered is not None:
            _say_coverage(covered)
    if not report.passed or (requires and covered is not None and covered.missing):
        raise SystemExit(ExitCode.WRONG)


def _surroundings(chosen: Settings) -> Surroundings:
    """Where the settings name no source, a test has one that can be asked."""
    around = around_of(chosen)
    return around if chosen.sources else replace(around, sources=())


def _files(paths: Sequence[Path]) -> list[Path]:
    """The test files among these, and in these folders at any depth."""
    found: list[Path] = []
    for path in paths:
        found += sorted(path.rglob(f"*{TESTS_END}")) if path.is_dir() else [path]
    if not found:
        where = ", ".join(str(path) for path in paths)
        raise PermanentError(f"there is no test in {where}: tests stand in files that end with {TESTS_END}")
    return list(dict.fromkeys(found))


@contextmanager
def quiet() -> Iterator[None]:
    """What the engine logs of itself is no news here: the timeline has it."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)


def _say(report: Report, files: Sequence[Path]) -> None:
    for mistake in report.mistakes:
        output.say(str(mistake))
    if report.mistakes:
        return
    for one in report.played:
        if not one.passed:
            _say_failed(one)
    failed = sum(not one.passed for one in report.played)
    number = len(report.played)
    tests = f"{number} test{'' if number == 1 else 's'} in {len(files)} file{'' if len(files) == 1 else 's'}"
    output.say(f"{tests}: {f'{failed} failed' if failed else 'all passed'}.")


def _say_failed(one: Played) -> None:
    output.heading(f"FAILED {one.test.position}: {one.test.name}")
    for difference in one.differences:
        output.say(f"{difference.position}: {difference.text}.")
    output.say("What happened:" if one.timelines else "No incident was opened.")
    for timeline in one.timelines[:_TIMELINES]:
        output.say(f"{timeline.incident}:", indent=2)
        for at, text in timeline.lines:
            click.echo(f"{at:>10}  {plain(text)}")
    if len(one.timelines) > _TIMELINES:
        output.say(
            f"and {len(one.timelines) - _TIMELINES} more incidents: --format json has them all", indent=2
        )


def _say_coverage(covered: Coverage) -> None:
    output.heading("Coverage of the rules")
    rows = [
        (part.file, part.rule, part.part, str(part.times) if part.reached else "not reached")
        for part in covered.parts
    ]
    output.table(("FILE", "RULE", "PART", "TESTS"), rows, "There is no rule.")
    reached, all_parts = len(covered.parts) - len(covered.missing), len(covered.parts)
    output.say(f"{reached} of {all_parts} parts reached.")
    output.heading("Guards that held, asked or refused")
    guards = [(guard.value, str(times) if times else "-") for guard, times in covered.guards.items()]
    output.table(("GUARD", "TESTS"), guards, "There is no guard.")


def _as_json(report: Report, covered: Coverage | None) -> dict[str, object]:
    told = _tests_as_json(report)
    if covered is not None:
        told["coverage"] = {
            "parts": [
                {"file": part.file, "rule": part.rule, "part": part.part, "tests": part.times}
                for part in covered.parts
            ],
            "guards": {guard.value: times for guard, times in covered.guards.items()},
        }
    return told


def _tests_as_json(report: Report) -> dict[str, object]:
    return {
        "ok": report.passed,
        "mistakes": [
            {**one.position.model_dump(), "text": one.text, "mend": one.mend} for one in report.mistakes
        ],
        "tests": [
            {
                "name": one.test.name,
                **one.test.position.model_dump(),
                "passed": one.passed,
                "differences": [
                    {**each.position.model_dump(), "text": each.text} for each in one.differences
                ],
                "timelines": [
                    {
                        "incident": each.incident,
                        "lines": [{"at": at, "text": text} for at, text in each.lines],
                    }
                    for each in one.timelines
                ],
            }
            for one in report.played
        ],
    }
