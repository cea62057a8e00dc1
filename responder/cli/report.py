"""`responder report`: what is told about many incidents together."""

import click

from responder.cli import output
from responder.cli.client import Client
from responder.cli.common import print_json, speaks
from responder.model.duration import format_duration
from responder.model.guard import Ruling, called
from responder.review.shadow import RuleInShadow, Run, ShadowReport, WithoutIt
from responder.review.words import lasted, pairs

_WOULD = {
    Ruling.GO: "would have started",
    Ruling.ASK: "would have asked a person",
    Ruling.WAIT: "would have been held",
    Ruling.REFUSE: "would have been refused",
}
_FOUND_NOTHING = "would have found nothing to act on"
_SHORT = 13


@click.group()
def report() -> None:
    """Reports over many incidents."""


@report.command()
@click.option("--since", default="30d", show_default=True, help="How far to look back.")
@click.option("--rule", help="One rule alone.")
@click.option("--limit", type=click.IntRange(0, 10_000), default=20, show_default=True, help="Lines of runs.")
@speaks
def shadow(since: str, rule: str | None, limit: int, client: Client, as_json: bool) -> None:
    """What steps in shadow would have done, and how it went without them: by rule, then one by one.

    It is what to look at before `responder rules promote`.
    """
    told = client.get("reports/shadow", **{"since": since, **({"rule": rule} if rule else {})})
    if as_json:
        print_json(told)
        return
    found = ShadowReport.model_validate(told)
    output.table(
        (
            "RULE",
            "INCIDENTS",
            "WOULD START",
            "FIND NOTHING",
            "ASK",
            "HOLD",
            "REFUSE",
            "WITHOUT IT",
            "AGAINST IT",
        ),
        [_rule(one) for one in found.rules],
        f"In the last {since} no step was judged in shadow.",
    )
    if found.cut:
        output.say(f"There are more: this is about the newest {len(found.runs)}.")
    if found.runs and limit:
        output.heading(f"The newest {min(limit, len(found.runs))} of {len(found.runs)}")
        for run in found.runs[:limit]:
            output.say(_run(run))


def _rule(one: RuleInShadow) -> tuple[str, ...]:
    after = f", usually after {lasted(one.alone_after)}" if one.alone_after is not None else ""
    ends = [
        f"{number} {end.value}{after if end is WithoutIt.ALONE else ''}"
        for end, number in sorted(one.without_it.items())
    ]
    against = [f"{called(guard)} {number}" for guard, number in one.against.items()]
    numbers = (
        one.incidents,
        one.would_start,
        one.would_find_nothing,
        one.would_ask,
        one.would_wait,
        one.would_be_refused,
    )
    return (one.rule, *map(str, numbers), "; ".join(ends), ", ".join(against) or "-")


def _run(run: Run) -> str:
    hits = f" on {run.element_count} element{'' if run.element_count == 1 else 's'}" if run.elements else ""
    why = "" if run.ruling is Ruling.GO else f" ({called(run.guard)}: {run.reason})"
    end = f"{run.person} acted instead" if run.person else run.without_it.value
    after = f" after {format_duration(run.lasted)}" if run.lasted is not None else ""
    group = f" ({pairs(run.key)})" if run.key else ""
    head = (
        f"{run.at:%Y-%m-%d %H:%M:%S}  {str(run.incident_id)[:_SHORT]}  {run.severity.value} {run.rule}{group}"
    )
    would = _FOUND_NOTHING if run.found_nothing else _WOULD[run.ruling]
    what = f"{run.action} on {run.target or 'no target'} {would}{hits}{why}"
    return f"{head}: {what}; {end}{after}"
