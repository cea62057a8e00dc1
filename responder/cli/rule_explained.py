"""`responder rules explain`: which rule takes an alert, why not others, and what would be done now."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, TextIO

import click

from responder.cli import output
from responder.cli.client import Client
from responder.cli.common import ExitCode, fail, print_json, speaks
from responder.model.guard import called
from responder.review.words import count

Labels = dict[str, str]


@click.command("explain")
@click.option(
    "--alert",
    "file",
    type=click.File(encoding="utf-8"),
    help="JSON: what Alertmanager posts, one alert, or its labels; - reads standard input.",
)
@click.option("--label", "written", multiple=True, metavar="NAME=VALUE", help="One label. May be repeated.")
@click.option("--source", help="The source that it would come from. Default: the first of the settings.")
@speaks
def explain_alert(
    file: TextIO | None, written: tuple[str, ...], source: str | None, client: Client, as_json: bool
) -> None:
    """Which rule takes an alert, what would be done, and what each guard says now. Nothing is changed."""
    alerts = _alerts(file.read()) if file is not None else [{}]
    given = dict(map(_label, written))
    if not any(alerts) and not given:
        raise click.UsageError("say which alert: --alert FILE, or --label alertname=NAME")
    told = [
        client.post("rules/explain", {"labels": {**labels, **given}, "source": source}) for labels in alerts
    ]
    if as_json:
        print_json(told if len(told) > 1 else told[0])
        return
    for number, (labels, one) in enumerate(zip(alerts, told, strict=True)):
        if number:
            output.say("")
        for depth, line in lines_of({**labels, **given}, one):
            output.say(line, indent=2 * depth)


def lines_of(labels: Mapping[str, str], told: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    """One alert's answer, each line with its depth."""
    matching = told["matching"]
    taken = matching["taken"]
    yield 0, f"Alert {_pairs(labels)}"
    if taken is None:
        yield 0, "No rule takes it: it would be kept and listed, and nothing would be done about it."
    else:
        yield from _led(taken, told, first=True)
        for one, led in zip(matching.get("further", ()), told.get("further", ()), strict=True):
            yield from _led(one, led, first=False)
    if matching["considered"]:
        yield 0, "Other rules" if taken is not None else "The nearest rules"
        keeps = [taken, *matching.get("further", ())][-1]
        yield from ((1, _considered(one, keeps)) for one in matching["considered"])
    if matching["others"]:
        yield 1, f"{count(matching['others'], 'further rule')} of other alerts"


def _led(taken: Mapping[str, Any], told: Mapping[str, Any], *, first: bool) -> Iterator[tuple[int, str]]:
    """What the alert would lead to by one rule that takes it."""
    group = f" for {_pairs(taken['key'])}" if taken["key"] else ", one for all alerts of the rule"
    after = "" if told["opens_after"] == "0s" else f", once it has fired for {told['opens_after']}"
    takes = "takes it" if first else "takes it, too"
    yield 0, f"{taken['rule']} {takes} ({_place(taken)}): a {taken['severity']} incident{group}{after}."
    if told["joins"]:
        yield (
            0,
            "Such an incident is there already: the alert would join it, and it goes on as it stands.",
        )
    if (by := told.get("inhibitor")) is not None:
        yield (
            0,
            f"It would only be recorded while incident {by['id']} of {by['rule']} is under way; then:",
        )
    yield from _steps(told["steps"])


def _steps(steps: list[dict[str, Any]]) -> Iterator[tuple[int, str]]:
    if not steps:
        yield 1, "It has no step: it records, or tells people."
    for step in steps:
        where = f" on {step['target']}" if step["target"] else ""
        part = f".{step['part']}" if step.get("part") else ""
        named = f"Step {step['number']}{part}: {step['action']}{where}"
        if step["kind"] == "read_only":
            yield 1, f"{named}: only reads"
        elif not step["held_by"] and step["shadow"]:
            yield 1, f"{named}: would not be done, only recorded: {step['shadow']}"
        elif not step["held_by"]:
            yield 1, f"{named}: would go, all {step['let_go']} guards let it"
        else:
            yield 1, f"{named}: would not go now; {count(step['let_go'], 'guard')} would let it"
        for word in step["held_by"]:
            yield 2, f"{called(word['guard'])} {_RULINGS[word['ruling']]}: {word['reason']}"
        if step.get("repeat"):
            yield 2, f"taken up to {step['repeat'] + 1} times, as long as it does not help"
        if step.get("computed"):
            yield 2, f"from what is there now: {', '.join(step['computed'])}"
        if step["elements"]:
            yield 2, f"would act on {count(len(step['elements']), 'element')}: {'; '.join(step['elements'])}"


_RULINGS = {"ask": "asks a person", "wait": "holds it", "refuse": "refuses it"}


def _considered(one: Mapping[str, Any], taken: Mapping[str, Any] | None) -> str:
    named = f"{one['rule']} ({_place(one)})"
    if not one["failed"]:
        first = "an earlier rule" if taken is None else taken["rule"]
        return f"{named} would take it, too, but {first} comes first"
    failed = (f"{each['matcher']} does not hold, it is {each['value']!r}" for each in one["failed"])
    return f"{named}: {'; '.join(failed)}"


def _place(one: Mapping[str, Any]) -> str:
    at = one["position"]
    return f"{at['file']}:{at['line']}:{at['column']}"


def _pairs(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(labels.items())) or "without labels"


def _label(written: str) -> tuple[str, str]:
    name, equals, value = written.partition("=")
    if not equals or not name:
        raise click.BadParameter(f"{written!r} is not NAME=VALUE", param_hint="--label")
    return name, value


def _alerts(text: str) -> list[Labels]:
    """The labels of each alert of a document."""
    try:
        found = json.loads(text)
    except ValueError as error:
        fail(f"--alert: this is no JSON: {error}", ExitCode.WRONG)
    alerts = found.get("alerts", [found]) if isinstance(found, dict) else found
    labels = [_labels(one) for one in alerts] if isinstance(alerts, list) else []
    if not labels or None in labels:
        fail("--alert: give what Alertmanager posts, one alert, or labels as names and texts", ExitCode.WRONG)
    return [one for one in labels if one is not None]


def _labels(alert: Any) -> Labels | None:
    found = alert.get("labels", alert) if isinstance(alert, dict) else None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        return None
    return found
