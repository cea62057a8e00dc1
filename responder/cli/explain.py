"""`responder explain`: for each step of an incident, which guards let it go and which held it, and why."""

from collections.abc import Iterator
from datetime import datetime

import click

from responder.cli import output
from responder.cli.client import Client, segment
from responder.cli.common import print_json, speaks
from responder.cli.incidents import as_dossier, as_promised
from responder.cli.story import headline, next_lines, told_lines
from responder.cli.ways import you_can
from responder.model.attempt import Attempt
from responder.model.guard import Ruling
from responder.review.explained import Judged, StepTold
from responder.review.explained import explain as explained
from responder.review.words import clock, count, listed

_SAYS = {Ruling.GO: "lets it go", Ruling.ASK: "asks a person", Ruling.WAIT: "waits", Ruling.REFUSE: "refuses"}
_BECAME = {
    Ruling.GO: "every guard let it go",
    Ruling.ASK: "a person must say so",
    Ruling.WAIT: "held",
    Ruling.REFUSE: "refused",
}


@click.command()
@click.argument("incident_id", metavar="ID")
@speaks
def explain(incident_id: str, client: Client, as_json: bool) -> None:
    """Why each step of an incident went or did not: what held it first, then what every other guard said."""
    told = client.get(f"incidents/{segment(incident_id)}/explain")
    if as_json:
        print_json(told)
        return
    dossier, now = as_dossier(told)
    output.say(headline(dossier, now))
    if ways := you_can(dossier):
        output.heading("You can")
        for line in ways:
            output.say(line, indent=2)
    explanation = explained(dossier)
    if not explanation.steps:
        output.say("The rule has no step: it only gathers evidence, so there was nothing to judge.")
    for step in explanation.steps:
        output.heading(_title(step))
        for depth, line in lines_of(step, now):
            output.say(line, indent=2 + 2 * depth)
    if coming := next_lines(dossier.incident, as_promised(told), now):
        output.heading("People")
        for line in coming:
            output.say(line, indent=2)
    if dossier.notifications:
        output.heading("Told")
        for line in told_lines(dossier.notifications, now):
            output.say(line, indent=2)


def _title(step: StepTold) -> str:
    return f"Step {step.number}: {step.action}"


def lines_of(step: StepTold, now: datetime) -> Iterator[tuple[int, str]]:
    """All that was judged of a step, the newest first, and what came of it; each line with its depth."""
    if not step.judged and not step.attempts:
        yield 0, "next: it was not judged yet" if step.next else "not reached: no guard was asked"
    for judged in reversed(step.judged):
        yield from _judged(judged, now)
    for attempt in step.attempts:
        yield 0, _attempt(attempt)


def _judged(judged: Judged, now: datetime) -> Iterator[tuple[int, str]]:
    where = judged.target or "no target"
    times = f", {judged.times} times since {clock(judged.first_at)[:8]}" if judged.times > 1 else ""
    word = _BECAME[judged.ruling] if judged.words else "what the guards said is no longer there"
    if judged.shadow and judged.ruling is Ruling.GO:
        word = "would have started; in shadow nothing is done"
    yield 0, f"{clock(judged.last_at)[:8]} UTC ({output.ago(judged.last_at, now)}{times}), on {where}: {word}"
    yield from ((1, f"{word.guard} {_SAYS[word.ruling]}: {word.reason}") for word in judged.held_by)
    if judged.elements:
        yield 1, f"it found {count(judged.element_count, 'element')} to hit:"
        yield from ((2, title) for title in listed(judged.elements, judged.element_count))
    if judged.let_go:
        yield 1, "these let it go:"
        yield from ((2, f"{word.guard}: {word.reason}") for word in judged.let_go)


def _attempt(attempt: Attempt) -> str:
    verdict = f", {attempt.verdict.value.replace('_', ' ')}" if attempt.verdict is not None else ""
    undo = ", to take an attempt back" if attempt.undo_of is not None else ""
    outcome = attempt.outcome.value.replace("_", " ")
    began = clock(attempt.intended_at)[:8]
    return f"{began} UTC: {attempt.action} on {attempt.target} began{undo}: {outcome}{verdict}"
