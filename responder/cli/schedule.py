"""Commands about scheduled rules: when each runs, what its runs have found, and to run one now."""

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import click

from responder.cli import output
from responder.cli.client import Client
from responder.cli.common import ExitCode, actor_option, print_json, reason_option, speaks

_MARKS = {"as_expected": "ok", "not_as_expected": "WRONG", "no_answer": "NO ANSWER"}
_WAIT_EVERY_S = 1.0
_GOING = ("waiting", "running", "found")


@click.group()
def schedule() -> None:
    """Rules that run by the calendar: health checks, and what they found."""


@schedule.command("list")
@speaks
def list_schedules(client: Client, as_json: bool) -> None:
    """Every scheduled rule: when it runs next, and what its last run came to."""
    told = client.get("schedules")
    if as_json:
        print_json(told)
        return
    civil = output.moment(told["civil"])
    rows = [
        (
            one["name"],
            f"{one['schedule']} {one['timezone']}",
            _next(one, civil),
            _planned(one["last"]),
            _came_to(one),
        )
        for one in told["schedules"]
    ]
    none = "No rule is scheduled: docs/rules.md says how to write one."
    output.table(("RULE", "PLANNED", "NEXT RUN", "LAST RUN", "CAME TO"), rows, none)


@schedule.command()
@click.argument("name")
@click.option("--run", "run_id", help="This run, by its id; else the newest that was made.")
@click.option("--limit", type=click.IntRange(1, 1000), default=10, show_default=True, help="Runs to list.")
@speaks
def show(name: str, run_id: str | None, limit: int, client: Client, as_json: bool) -> None:
    """The scheduled rule NAME: its newest runs, and the report of one, step by step."""
    if run_id is not None:
        run = client.get(f"schedules/{quote(name, safe='')}/runs/{quote(run_id, safe='')}")
        print_json(run) if as_json else _tell_run(run)
        return
    told = client.get(f"schedules/{quote(name, safe='')}", limit=limit)
    if as_json:
        print_json(told)
        return
    civil = output.moment(told["civil"])
    output.say(f"{name} runs at {told['schedule']} ({told['timezone']}); next {_next(told, civil)}")
    if told["trouble"]:
        output.say(f"Look at this: {told['trouble']}")
    rows = [(_planned(run), _summary(run), run["id"]) for run in told["runs"]]
    output.table(("RUN", "CAME TO", "ID"), rows, "It has not run yet.")
    newest = next((run for run in told["runs"] if run["report"] is not None), None)
    if newest is not None:
        click.echo()
        _tell_run(newest)


@schedule.command()
@click.argument("name")
@reason_option
@actor_option
@click.option("--wait/--no-wait", default=True, help="Wait for the report; exit 1 where something is found.")
@speaks
def run(name: str, reason: str, actor: str, wait: bool, client: Client, as_json: bool) -> None:
    """Run the scheduled rule NAME now. It only looks; what it finds is told as ever."""
    path = f"schedules/{quote(name, safe='')}"
    asked = client.post(f"{path}/run", {"actor": actor, "reason": reason}, str(uuid4()))
    if not wait:
        print_json(asked) if as_json else output.say(
            f"It runs within seconds: responder schedule show {name} --run {asked['run']}"
        )
        return
    while (found := client.get(f"{path}/runs/{asked['run']}"))["state"] in _GOING:
        time.sleep(_WAIT_EVERY_S)
    print_json(found) if as_json else _tell_run(found)
    if found["report"] is None or found["report"]["outcome"] != "as_expected":
        raise SystemExit(ExitCode.WRONG)


def _row(one: Mapping[str, Any], civil: datetime) -> tuple[str, ...]:
    planned = f"{one['schedule']} {one['timezone']}"
    return one["name"], planned, _next(one, civil), _planned(one["last"]), _came_to(one)


def _next(one: Mapping[str, Any], civil: datetime) -> str:
    if one["going"] is not None:
        return "going now"
    at = output.moment(one["next"])
    return f"{_minute(at)} ({output.until(at, civil)})"


def _came_to(one: Mapping[str, Any]) -> str:
    return "-" if one["last"] is None else _summary(one["last"])


def _planned(run: Mapping[str, Any] | None) -> str:
    if run is None:
        return "never"
    if run["planned_for"] is None:
        who = f" (asked by {run['asked_by']})" if run["asked_by"] else ""
        return f"{_minute(output.moment(run['at']))}{who}"
    if run["missed"] > 1:
        first = _minute(output.moment(run["planned_from"]))
        return f"{first} to {_minute(output.moment(run['planned_for']))}"
    return _minute(output.moment(run["planned_for"]))


def _summary(run: Mapping[str, Any]) -> str:
    times = f" {run['missed']} times" if run["missed"] > 1 else ""
    if run["state"] in {"missed", "skipped"}:
        return f"{run['state']}{times}: {run['why']}"
    if run["state"] in _GOING:
        return "it is going"
    summary: str = run["report"]["summary"] if run["report"] is not None else run["why"] or "no report"
    return summary


def _tell_run(run: Mapping[str, Any]) -> None:
    """The report of one run, as a person reads it who has just been woken."""
    output.say(f"{run['rule']}, run of {_planned(run)}: {_headline(run)}")
    if run["reason"]:
        output.say(f"asked by {run['asked_by']}: {run['reason']}", indent=2)
    if run["why"]:
        output.say(run["why"], indent=2)
    report = run["report"]
    for step in report["steps"] if report is not None else ():
        output.say(f"{_mark(step)}: {step['name']}: {step['answer']}", indent=2)
        for line in _wrong(step):
            output.say(line, indent=4)


def _headline(run: Mapping[str, Any]) -> str:
    report = run["report"]
    if report is None or report["problem"] is not None:
        return _summary(run)
    found = sum(1 for step in report["steps"] if step["finding"])
    of = len(report["steps"])
    return "all is as expected" if not found else f"{found} of {of} are not as expected"


def _mark(step: Mapping[str, Any]) -> str:
    if not step["expected"] and step["outcome"] == "as_expected":
        return "told"
    return _MARKS[step["outcome"]]


def _wrong(step: Mapping[str, Any]) -> Iterator[str]:
    for one in step["fields"]:
        if one["holds"] is None:
            yield f"{one['field']} is not known ({one['found']}), expected {one['expected']}"
        elif not one["holds"]:
            yield f"{one['field']} is {one['found']}, expected {one['expected']}"


def _minute(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
