"""`responder rules backtest`: what rules would have done with the alerts of the past."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import click

from responder.cli import output
from responder.cli.backtest_page import page
from responder.cli.client import Client
from responder.cli.common import ExitCode, SpanType, fail, print_json, settings, speaks_quietly
from responder.cli.prometheus_rules import end_by
from responder.cli.rule_files import around_of, checked
from responder.cli.rule_tests import quiet
from responder.model.errors import PermanentError
from responder.model.rule import Rulebook
from responder.rehearsal.backtest import Backtest, Setting
from responder.rehearsal.recorded import Fact, read_facts
from responder.rehearsal.result import Counted, Difference, Result, RuleResult, differences, result_of
from responder.rehearsal.rows import moments, read_rows
from responder.rehearsal.scene import own_actions
from responder.review.words import count
from responder.settings import Settings

_PAGE = 10_000
_INCIDENTS = 100
"""Incidents of a page of what was recorded: each has some dozens of facts."""
_CURRENT = "current"
_MOST_RULES = 20
_MOST_DIFFERENCES = 40


@click.command("backtest")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--since", type=SpanType(), default="30d", show_default=True, help="How far back.")
@click.option("--until", type=SpanType(), help="Up to how long ago. Default: now.")
@click.option("--against", metavar="current|PATH", help="Rules to compare with: the active ones, or files.")
@click.option("--html", "page_file", type=click.Path(path_type=Path), help="Write a page with a chart, too.")
@click.option(
    "--format", "form", type=click.Choice(["table", "json"]), default="table", help="How it is said."
)
@speaks_quietly
def backtest_rules(
    paths: tuple[Path, ...],
    since: timedelta,
    until: timedelta | None,
    against: str | None,
    page_file: Path | None,
    form: str,
    client: Client,
) -> None:
    """Play the rules in PATHS through what was heard: incidents, severities, actions, guards.

    The journal is read from the service, and imported alerts with it; the rules are played here, in virtual
    time, and nothing is done anywhere. What is assumed is listed.
    """
    chosen = settings(client.config_file).settings
    books = [_checked(paths, chosen)]
    if against is not None:
        books.append(_current(client) if against == _CURRENT else _checked((Path(against),), chosen))
    now = output.moment(client.get("journal")["now"])
    end = now - until if until is not None else now
    if now - since >= end:
        raise PermanentError("--since is not before --until: nothing lies between")
    with quiet():
        found = asyncio.run(_played(client, books, _setting(chosen, now - since, end)))
    changed = differences(*found) if len(found) > 1 else ()
    if page_file is not None:
        _write(page_file, page(found[0], found[1] if len(found) > 1 else None, changed))
    if form == "json":
        print_json(_as_json(found, changed))
        return
    _say(found[0])
    if len(found) > 1:
        _say_differences(changed, against or "")
    if page_file is not None:
        output.say(f"The chart is in {page_file}.")


def _checked(paths: tuple[Path, ...], chosen: Settings) -> Rulebook:
    report = checked(paths, chosen)
    if report.rulebook is None:
        end_by(report.mistakes)
    return report.rulebook


def _current(client: Client) -> Rulebook:
    return Rulebook.model_validate(client.get("rulebook")["rulebook"])


def _setting(chosen: Settings, since: datetime, until: datetime) -> Setting:
    askable = frozenset(name for name, source in chosen.sources.items() if source.askable)
    return Setting(since, until, own_actions(around_of(chosen)), askable, chosen.terms, chosen.engine)


async def _played(client: Client, books: Sequence[Rulebook], setting: Setting) -> list[Result]:
    """Every rulebook over the same rows, read once."""
    played = [Backtest(book, setting) for book in books]
    span = max(1, int((setting.until - setting.since).total_seconds()))
    recorded = _Recorded(client, setting)
    with click.progressbar(length=span, label="Playing", file=sys.stderr) as bar:
        done = 0
        async for lines, after in _pages(client, setting.since, setting.until):
            async for facts in recorded.before(after):
                for one in played:
                    one.recall(facts)
            rows = read_rows(lines)
            for one in played:
                await one.hear(moments(rows))
            come = int((after - setting.since).total_seconds())
            bar.update(come - done)
            done = come
        for one in played:
            await one.end()
        bar.update(span - done)
    return [result_of(one) for one in played]


async def _pages(
    client: Client, since: datetime, until: datetime
) -> AsyncIterator[tuple[Sequence[str], datetime]]:
    """Page after page; the next one is asked for while one is played."""
    asking: asyncio.Task[tuple[Sequence[str], datetime]] | None = asyncio.create_task(
        _page(client, since, until)
    )
    while asking is not None:
        lines, after = await asking
        more = after < until - timedelta.resolution
        asking = asyncio.create_task(_page(client, after, until)) if more else None
        yield lines, after


async def _page(client: Client, after: datetime, until: datetime) -> tuple[Sequence[str], datetime]:
    text = await client.later_text(
        "journal/rows", after=after.isoformat(), until=until.isoformat(), limit=_PAGE
    )
    first, *lines = text.split("\n")
    return lines, datetime.fromisoformat(first.strip('"'))


class _Recorded:
    """What was recorded, read no further than is needed."""

    def __init__(self, client: Client, setting: Setting) -> None:
        self._client = client
        self._span = {"since": setting.since.isoformat(), "until": setting.until.isoformat()}
        self._after: dict[str, str] = {}
        self._complete_until: datetime | None = setting.since
        """None where everything was read."""

    async def before(self, moment: datetime) -> AsyncIterator[list[Fact]]:
        """What was not read yet of everything up to a moment."""
        while self._complete_until is not None and self._complete_until <= moment:
            text = await self._client.later_text(
                "journal/recorded", **self._span, **self._after, limit=_INCIDENTS
            )
            first, *lines = text.split("\n")
            after, until = json.loads(first)
            self._after = {"after": after}
            self._complete_until = None if after is None else datetime.fromisoformat(until)
            yield read_facts(lines)


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        fail(f"{file} cannot be written: {error.strerror}", ExitCode.WRONG)


def _say(found: Result) -> None:
    span = f"{found.since:%F %H:%M} to {found.until:%F %H:%M} UTC"
    output.say(f"{count(found.rows, 'row')} of the journal, {span}.")
    severities = ", ".join(f"{number} {severity}" for severity, number in found.severities.items())
    output.say(f"{count(found.incidents, 'incident')} opened{f': {severities}' if severities else ''}.")
    starts = ", ".join(f"{action} {number}" for action, number in found.starts.items())
    output.say(f"Actions that would have started: {starts or 'none'}.")
    output.say(f"{count(found.without_rule, 'episode')} without a rule (responder rules gaps names them).")
    output.heading("Rules, the noisiest first")
    columns = ("RULE", "INCIDENTS", "ALERTS", "SEVERITIES", "STARTS", "PEOPLE TOLD")
    output.table(columns, map(_row, found.rules[:_MOST_RULES]), "No rule took anything.")
    if len(found.rules) > _MOST_RULES:
        output.say(f"and {len(found.rules) - _MOST_RULES} more: --format json has them all", indent=2)
    if found.silent:
        output.say(f"Took nothing: {', '.join(found.silent)}.")
    output.heading("Guards that held, asked or refused")
    rows = [(one.guard, one.ruling, str(one.times)) for one in found.guards]
    output.table(("GUARD", "RULING", "TIMES"), rows, "None did.")
    output.heading("Taken from the record")
    _say_counted(found.recorded)
    if not found.recorded:
        output.say("Nothing: nothing was recorded that fits these rules.")
    output.heading("Assumed")
    _say_counted(found.assumptions)


def _say_counted(counted: Sequence[Counted]) -> None:
    for one in counted:
        of = f"{one.of}: " if one.of else ""
        times = f" ({one.times} times)" if one.of else ""
        output.say(f"- {of}{one.text}{times}")


def _row(one: RuleResult) -> tuple[str, ...]:
    severities = ", ".join(f"{number} {severity}" for severity, number in one.severities.items())
    starts = ", ".join(f"{action} {number}" for action, number in one.starts.items())
    return (one.rule, str(one.incidents), str(one.alerts), severities, starts or "-", str(one.told))


def _say_differences(changed: Sequence[Difference], against: str) -> None:
    output.heading(f"Difference to {against}")
    rows = [(one.rule, one.what, str(one.there), str(one.here)) for one in changed[:_MOST_DIFFERENCES]]
    output.table(("RULE", "WHAT", "THERE", "HERE"), rows, "There is none.")
    if len(changed) > _MOST_DIFFERENCES:
        output.say(f"and {len(changed) - _MOST_DIFFERENCES} more: --format json has them all", indent=2)


def _as_json(found: Sequence[Result], changed: Sequence[Difference]) -> dict[str, object]:
    told = [
        {
            **one.model_dump(mode="json"),
            "incidents": one.incidents,
            "severities": dict(one.severities),
            "starts": dict(one.starts),
            "guards": [each.model_dump(mode="json") for each in one.guards],
        }
        for one in found
    ]
    if len(told) == 1:
        return told[0]
    return {**told[0], "against": told[1], "differences": [one.model_dump(mode="json") for one in changed]}
