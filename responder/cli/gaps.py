"""`responder rules gaps`: alerts that no rule covers, of Prometheus's rule files or of what was heard."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from responder.cli import output
from responder.cli.client import Client
from responder.cli.common import ExitCode, SpanType, print_json, settings, speaks
from responder.cli.prometheus_rules import alerting_rules, end_by
from responder.cli.rule_files import checked
from responder.model.rule import Rulebook
from responder.review.words import count
from responder.rulebook.considered import Failed
from responder.rulebook.gaps import Heard, HeardGaps, gaps
from responder.rulebook.index import RuleIndex
from responder.rulebook.prometheus import PrometheusAlert

_PAGE = 2000


@click.command("gaps")
@click.option(
    "--prometheus",
    "files",
    multiple=True,
    type=click.Path(path_type=Path, exists=True),
    help="A file of Prometheus's rules, or a folder of them, to hold against the rules. May be repeated.",
)
@click.option(
    "--since", type=SpanType(), default="30d", show_default=True, help="How far back, without --prometheus."
)
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@speaks
def find_gaps(
    files: tuple[Path, ...], since: timedelta, paths: tuple[Path, ...], client: Client, as_json: bool
) -> None:
    """Alerts that no rule in PATHS covers. Exits 1 where there are any.

    Without --prometheus: of all that was heard of since then, imported alerts too, by default with the active
    rules. With it: of the alerting rules in these files, by default with the rules of the settings; this
    needs no server.
    """
    if files:
        _of_files(files, paths, client.config_file, as_json=as_json)
    else:
        _of_the_journal(client, since, paths, as_json=as_json)


def _of_files(
    files: tuple[Path, ...], paths: tuple[Path, ...], config_file: Path | None, *, as_json: bool
) -> None:
    chosen = settings(config_file).settings
    report = checked(paths or chosen.rules, chosen)
    if report.rulebook is None:
        end_by(report.mistakes)
    alerts = alerting_rules(files)
    found = gaps(alerts, report.rulebook.rules)
    if as_json:
        print_json({"alerts": len(alerts), "gaps": [gap.model_dump(mode="json") for gap in found]})
    else:
        rows = [(gap.alert.name, _place_of(gap.alert), _near(gap.near, gap.failed)) for gap in found]
        output.table(
            ("ALERT", "FILE", "NEAREST RULE"), rows, f"Covered: {count(len(alerts), 'alerting rule')}."
        )
    if found:
        raise SystemExit(ExitCode.WRONG)


def _of_the_journal(client: Client, since: timedelta, paths: tuple[Path, ...], *, as_json: bool) -> None:
    told = client.get("journal")
    now = output.moment(told["now"])
    rulebook = _rulebook(client, paths)
    counted = HeardGaps(rulebook.rules, RuleIndex(rulebook))
    after: tuple[str, str] | None = ("", "")
    while after is not None:
        page = _page(client, (now - since).isoformat(), after)
        for one in page["alerts"]:
            counted.hear(Heard(one["labels"], one["episodes"], output.moment(one["seen_at"])))
        after = tuple(page["after"]) if page["after"] is not None else None
    found = counted.found()
    if as_json:
        print_json({"alerts": counted.alerts, "gaps": [gap.model_dump(mode="json") for gap in found]})
    else:
        rows = [
            (
                gap.name or "(no alertname)",
                str(gap.alerts),
                str(gap.episodes),
                output.ago(gap.last_seen, now),
                _near(gap.near, gap.failed),
            )
            for gap in found
        ]
        none = f"Covered: all of {count(counted.alerts, 'alert')} heard of."
        output.table(("ALERT", "ALERTS", "EPISODES", "LAST SEEN", "NEAREST RULE"), rows, none)
    if found:
        raise SystemExit(ExitCode.WRONG)


def _page(client: Client, since: str, after: tuple[str, str]) -> Any:
    source, fingerprint = after
    return client.get("journal/alerts", since=since, source=source, fingerprint=fingerprint, limit=_PAGE)


def _rulebook(client: Client, paths: tuple[Path, ...]) -> Rulebook:
    if not paths:
        return Rulebook.model_validate(client.get("rulebook")["rulebook"])
    report = checked(paths, settings(client.config_file).settings)
    if report.rulebook is None:
        end_by(report.mistakes)
    return report.rulebook


def _place_of(alert: PrometheusAlert) -> str:
    return f"{alert.position.file}:{alert.position.line}"


def _near(rule: str | None, failed: tuple[Failed, ...]) -> str:
    if rule is None:
        return "-"
    return f"{rule}: {'; '.join(f'{one.matcher} does not hold, it is {one.value!r}' for one in failed)}"
