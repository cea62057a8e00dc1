"""`responder explain`: how an incident stands, what a person can do, and what became of each step and why.

The command alone: its lines are made in `cli.steps` and `cli.story`.
"""

import click

from responder.cli import output
from responder.cli.client import Client, segment
from responder.cli.common import print_json, speaks
from responder.cli.ended import as_standing
from responder.cli.incidents import as_dossier, as_promised
from responder.cli.steps import Telling, evidence_lines, goes_on, lines_of, quiet_lines, without_steps
from responder.cli.story import acknowledged_lines, headline, next_lines, told_lines
from responder.cli.ways import halted_lines, you_can
from responder.model.incident import IncidentState
from responder.ports import Dossier
from responder.review.explained import Explanation
from responder.review.explained import explain as explained


@click.command()
@click.argument("incident_id", metavar="ID")
@click.option("--all", "everything", is_flag=True, help="What every guard said each time, not only the last.")
@speaks
def explain(incident_id: str, everything: bool, client: Client, as_json: bool) -> None:
    """Why each step of an incident went or did not: what came of it, what held it, and what helps."""
    told = client.get(f"incidents/{segment(incident_id)}/explain")
    if as_json:
        print_json(told)
        return
    dossier, now = as_dossier(told)
    standing = as_standing(told)
    output.say(headline(dossier, now, standing))
    if dossier.incident.state is not IncidentState.CLOSED:
        for line in halted_lines(client.get("halt"), dossier.incident.progress.hold):
            output.say(line)
    promised = as_promised(told)
    _part("You can", you_can(dossier, standing, now, promised.stale_at))
    explanation = explained(dossier)
    telling = Telling(now=now, everything=everything, standing=standing, incident=dossier.incident)
    _steps(dossier, explanation, telling)
    _part("Evidence", evidence_lines(explanation, dossier.incident, now))
    _part("Quiet", quiet_lines(explanation, now))
    seen = acknowledged_lines(dossier.incident, now)
    _part("People", [*seen, *next_lines(dossier.incident, promised, now)])
    _part("Told", told_lines(dossier.notifications, now))


def _part(title: str, lines: list[str]) -> None:
    if lines:
        output.heading(title)
        for line in lines:
            output.say(line, indent=2)


def _steps(dossier: Dossier, explanation: Explanation, telling: Telling) -> None:
    if not explanation.steps:
        output.say("")
        output.say(without_steps(dossier.incident))
    for step in explanation.steps:
        output.heading(f"Step {step.number}: {step.action}")
        for depth, line in lines_of(step, telling):
            output.say(line, indent=2 + 2 * depth)
        for line in goes_on(step, dossier.incident, telling.now):
            output.say(line, indent=2)
