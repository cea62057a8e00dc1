"""`responder approvals`, `responder approve`, `responder decline`: what is asked, and a person's answer."""

from typing import Any

import click

from responder.cli import output
from responder.cli.client import Client
from responder.cli.common import ExitCode, actor_option, fail, print_json, reason_option, speaks
from responder.cli.person import give
from responder.cli.ways import stale_lines
from responder.model.incident import CommandKind
from responder.review.words import count, is_empty, pairs, value_text

_SHOWN = 8
"""Characters of a question's id: enough to tell one from the next."""
_question = click.option(
    "--question", help="Answer this question, and no other, without being asked; its first digits will do."
)


@click.group()
def approvals() -> None:
    """What waits for a person's yes or no."""


@approvals.command("list")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
@speaks
def list_approvals(limit: int, client: Client, as_json: bool) -> None:
    """What exactly would be done on a yes, why it is asked, and until when it can be answered."""
    told = client.get("approvals", limit=limit)
    if as_json:
        print_json(told)
        return
    if not told["approvals"]:
        output.say("Nothing waits for an answer.")
    for one in told["approvals"]:
        _show(one, told["now"])
        short = one["question"][:_SHOWN]
        output.say(f"responder approve {one['incident']} --question {short}", indent=2)


@click.command()
@click.argument("incident_id", metavar="INCIDENT")
@click.option("--reason", default="", help="Why; it stands in the timeline.")
@_question
@actor_option
@speaks
def approve(
    incident_id: str, reason: str, question: str | None, actor: str, client: Client, as_json: bool
) -> None:
    """Say yes to what INCIDENT asks. It holds for one attempt, until the question's time is over.

    Everything is looked at and judged anew: what has changed meanwhile is asked again.
    """
    asked = _asked(client, incident_id, question)
    if question is None:
        _show(asked, asked["now"], err=True)
        click.confirm("Let it happen?", abort=True, err=True)
    facts = {"question": asked["question"]}
    give(client, asked["incident"], CommandKind.APPROVE, actor, reason, as_json=as_json, **facts)


@click.command()
@click.argument("incident_id", metavar="INCIDENT")
@reason_option
@_question
@actor_option
@speaks
def decline(
    incident_id: str, reason: str, question: str | None, actor: str, client: Client, as_json: bool
) -> None:
    """Say no to what INCIDENT asks. It is escalated, with your name and reason."""
    asked = _asked(client, incident_id, question)
    facts = {"question": asked["question"]}
    give(client, asked["incident"], CommandKind.DECLINE, actor, reason, as_json=as_json, **facts)


def _asked(client: Client, incident_id: str, question: str | None) -> dict[str, Any]:
    """The open question of the incident; exits 3 where there is none, or not the one that was named."""
    told = client.get("approvals", limit=10_000)
    wanted = incident_id.lower()
    found = [one for one in told["approvals"] if str(one["incident"]).startswith(wanted)]
    if not found:
        fail(f"incident {incident_id} asks nothing. See: responder approvals list", ExitCode.REFUSED)
    if len(found) > 1:
        fail(f"{len(found)} incidents that ask begin with {incident_id}: give more digits", ExitCode.REFUSED)
    if question is not None and not str(found[0]["question"]).startswith(question.lower()):
        fail("another question is asked by now. See: responder approvals list", ExitCode.REFUSED)
    return {**found[0], "now": told["now"]}


def _params(given: dict[str, str]) -> str:
    return ", ".join(f"{name}: {value}" for name, value in sorted(given.items()))


def _show(one: dict[str, Any], now: str, *, err: bool = False) -> None:
    """Everything that a yes is bound to."""
    group = f" ({pairs(one['key'])})" if one["key"] else ""
    given = {name: value_text(value) for name, value in one["params"].items() if not is_empty(value)}
    left = output.until(output.moment(one["until"]), output.moment(now)).removeprefix("in ")
    stale = output.moment(one["stale_at"]) if one["stale_at"] else None
    output.say(f"{one['severity']} {one['rule']}{group}, incident {one['incident']}", err=err)
    for text in (
        f"would run {one['action']} on {one['target']}" + (f" with {_params(given)}" if given else ""),
        f"on {count(len(one['elements']), 'element')}:",
        *(f"  {title}" for title in one["elements"]),
        *one["consequences"],
        f"asked{' again' if one['times'] > 1 else ''} because {'; '.join(one['reasons'])}",
        f"to be answered within {left}",
        *stale_lines(stale, output.moment(one["until"]), output.moment(now)),
        *(() if one["yours"] else ("your token may not answer it: that takes the role approver here",)),
    ):
        output.say(text, indent=2, err=err)
