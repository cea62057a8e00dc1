"""Commands about incidents: list, show, review, verify, and what a person tells one (`person`)."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import click

from responder.cli import output
from responder.cli.client import Client, segment
from responder.cli.common import ExitCode, actor_option, fail, print_json, reason_option, speaks
from responder.cli.ended import Standing, as_standing
from responder.cli.person import give
from responder.cli.story import headline, holder_lines, told_story
from responder.cli.ways import halted_lines
from responder.decide.told_next import Promised
from responder.model.incident import ClosedAs, CommandKind, Incident, IncidentState
from responder.model.severity import Severity
from responder.ports import Dossier

_MOST = 10_000
_LINES_AT_ONCE = 10_000
"""Of an anchor file, in one request."""
_SHORTEST = 13
"""Characters of an id shown at least: version 7 begins with the time, which neighbours share."""


@click.group()
def incidents() -> None:
    """Incidents. An ID may be shortened as long as it is unique."""


@incidents.command("list")
@click.option("--all", "ended", is_flag=True, help="Closed ones too.")
@click.option("--limit", type=click.IntRange(1, _MOST), default=100, show_default=True)
@speaks
def list_incidents(ended: bool, limit: int, client: Client, as_json: bool) -> None:
    """The newest incidents first: what is open, and what was only recorded in shadow a short while ago."""
    asked = min(limit + 1, _MOST)
    told = client.get("incidents", live="false", limit=asked)
    if not ended:
        told = {**told, "incidents": _current(client, told["incidents"], asked)}
    more = len(told["incidents"]) > limit
    if more:
        waiting = client.get("incidents", waiting="true", limit=limit)["incidents"]
        told = {**told, "incidents": _first(waiting, told["incidents"], limit)}
    told = {**told, "more": more}
    if as_json:
        print_json(told)
        return
    now = output.moment(told["now"])
    found = [Incident.model_validate(one) for one in told["incidents"]]
    width = _unique_width([str(one.id) for one in found])
    rows = [
        (
            str(one.id)[:width],
            one.severity.value,
            one.state.value,
            one.rule if one.by_hand is None else one.by_hand.action or one.by_hand.title,
            _group(one),
            output.ago(one.opened_at, now),
            one.progress.in_auto or "-",
        )
        for one in found
    ]
    none = "There is no incident." if ended else "No incident is open or was recorded lately."
    output.table(("ID", "", "STATE", "RULE", "GROUP", "OPENED", "IN AUTO"), rows, none)
    if more:
        output.say(f"There are more than {limit}: what waits for people is shown first, then the newest.")


@incidents.command("open")
@click.option("--rule", help="The rule whose runbook, owner and notes it has.")
@click.option("--title", help="What it is; the rule's name by default.")
@click.option("--severity", required=True, type=click.Choice([one.value for one in Severity]))
@click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="What it is about.")
@click.option("--key", help="A name of your own for it: the same key again is the same incident.")
@reason_option
@actor_option
@speaks
def open_incident(
    rule: str | None,
    title: str | None,
    severity: str,
    labels: tuple[str, ...],
    key: str | None,
    reason: str,
    actor: str,
    client: Client,
    as_json: bool,
) -> None:
    """Open an incident yourself: people are told at once, and again until somebody acknowledges or closes it.

    Nothing is done for it. What is to be done by hand is `responder run`.
    """
    if rule is None and title is None:
        raise click.UsageError("say what it is: --title TEXT, or --rule NAME")
    body = {"rule": rule, "title": title, "severity": severity, "reason": reason, "actor": actor}
    told = client.post("incidents", {**body, "labels": _pairs(labels)}, key or str(uuid4()))
    if as_json:
        print_json(told)
        return
    output.say(f"incident {told['incident']}{'' if told['given'] else ', which is there already'}")


def _pairs(given: tuple[str, ...]) -> dict[str, str]:
    split = [one.partition("=") for one in given]
    for name, sign, value in split:
        if not (name and sign and value):
            raise click.BadParameter(f"{name + sign + value!r} is no NAME=VALUE", param_hint="--label")
    return {name: value for name, _, value in split}


@incidents.command()
@click.argument("incident_id", metavar="ID")
@speaks
def show(incident_id: str, client: Client, as_json: bool) -> None:
    """State and why first, then what was held back and why, what was done, and the timeline."""
    told = client.get(f"incidents/{segment(incident_id)}")
    if as_json:
        print_json(told)
        return
    dossier, now = as_dossier(told)
    standing = as_standing(told)
    output.say(headline(dossier, now, standing))
    for line in _first_lines(client, dossier, now, standing):
        output.say(line)
    for title, lines in told_story(dossier, as_promised(told), now, standing):
        output.heading(title)
        for line in lines:
            output.say(line, indent=2)


def _first_lines(client: Client, dossier: Dossier, now: datetime, standing: Standing | None) -> Iterator[str]:
    """All that hold it, where they are several, and what halts: before everything that can be read later."""
    yield from holder_lines(dossier, now, standing)
    if dossier.incident.state is not IncidentState.CLOSED:
        yield from halted_lines(client.get("halt"), dossier.incident.progress.hold)


@incidents.command()
@click.argument("incident_id", metavar="ID")
@click.option("--format", "form", type=click.Choice(["md", "json", "html"]), default="md", show_default=True)
@speaks
def review(incident_id: str, form: str, client: Client, as_json: bool) -> None:
    """The post-incident document. The same incident gives the same bytes."""
    wanted = "json" if as_json else form
    text = client.text(f"incidents/{segment(incident_id)}/review", format=wanted)
    click.echo(text, nl=not text.endswith("\n"))


@incidents.command()
@click.argument("incident_id", metavar="[ID]", required=False)
@click.option(
    "--anchor",
    "anchor_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Compare every timeline with the lines of this anchor file too.",
)
@speaks
def verify(incident_id: str | None, anchor_file: Path | None, client: Client, as_json: bool) -> None:
    """Whether the timeline of one incident, or of every one, is as it was written; exits 1 where not.

    The chains alone show what was changed without the timeline key. What was changed with it, or forgotten by
    a restored backup, shows with --anchor.
    """
    wanted = [incident_id] if incident_id is not None else _all_ids(client)
    told = [client.get(f"incidents/{segment(one)}/verify") for one in wanted]
    older = incident_id is None and len(told) == _MOST
    broken = [one for one in told if not one["holds"]]
    state = client.get("anchor")
    lines = [] if anchor_file is None else _checked_lines(client, anchor_file)
    failed = [line for line in lines if not line["holds"]]
    if as_json:
        anchor = {**state, "checked": None if anchor_file is None else lines}
        holds = not broken and not failed
        print_json({"holds": holds, "incidents": told, "older_not_looked_at": older, "anchor": anchor})
    else:
        for one in broken:
            output.say(f"{one['id']}: {one['broken']}")
        entries = sum(one["entries"] for one in told)
        output.say(f"{len(told)} timelines with {entries} entries, {len(broken)} broken.")
        if older:
            output.say(f"These are the newest {_MOST} incidents: older ones were not looked at.")
        _tell_anchor(state, anchor_file, lines)
    if broken or failed:
        raise SystemExit(ExitCode.WRONG)


@incidents.command()
@click.argument("incident_id", metavar="ID")
@click.option("--reason", default="", help="Why; it stands in the timeline.")
@actor_option
@speaks
def ack(incident_id: str, reason: str, actor: str, client: Client, as_json: bool) -> None:
    """You have seen it: people are not told again until something new happens."""
    give(client, incident_id, CommandKind.ACKNOWLEDGE, actor, reason, as_json=as_json)


@incidents.command("take-over")
@click.argument("incident_id", metavar="ID")
@reason_option
@actor_option
@speaks
def take_over(incident_id: str, reason: str, actor: str, client: Client, as_json: bool) -> None:
    """You act, automation is off for it. `hand-back` ends that; after an hour you are reminded."""
    give(client, incident_id, CommandKind.TAKE_OVER, actor, reason, as_json=as_json)


@incidents.command("hand-back")
@click.argument("incident_id", metavar="ID")
@reason_option
@actor_option
@speaks
def hand_back(incident_id: str, reason: str, actor: str, client: Client, as_json: bool) -> None:
    """Automation goes on where it stood."""
    give(client, incident_id, CommandKind.HAND_BACK, actor, reason, as_json=as_json)


@incidents.command()
@click.argument("incident_id", metavar="ID")
@reason_option
@click.option(
    "--as",
    "closed_as",
    type=click.Choice([one.value.replace("_", "-") for one in ClosedAs]),
    help="What it was; stands in the review.",
)
@click.option("--of", "duplicate_of", metavar="ID", help="With `--as duplicate`: the incident that goes on.")
@actor_option
@speaks
def close(
    incident_id: str,
    reason: str,
    closed_as: str | None,
    duplicate_of: str | None,
    actor: str,
    client: Client,
    as_json: bool,
) -> None:
    """It is over, or was none."""
    what = None if closed_as is None else closed_as.replace("-", "_")
    facts = {"closed_as": what, "duplicate_of": duplicate_of}
    give(client, incident_id, CommandKind.CLOSE, actor, reason, as_json=as_json, **facts)


@incidents.command()
@click.argument("incident_id", metavar="ID")
@click.argument("into", metavar="INTO")
@reason_option
@actor_option
@speaks
def merge(incident_id: str, into: str, reason: str, actor: str, client: Client, as_json: bool) -> None:
    """Close ID as a duplicate of INTO, which goes on.

    Alerts stay with the incident that they opened; what fires anew under its rule opens one again.
    """
    facts = {"closed_as": ClosedAs.DUPLICATE.value, "duplicate_of": into}
    give(client, incident_id, CommandKind.CLOSE, actor, reason, as_json=as_json, **facts)


@incidents.command()
@click.argument("incident_id", metavar="ID")
@click.argument("text")
@actor_option
@speaks
def comment(incident_id: str, text: str, actor: str, client: Client, as_json: bool) -> None:
    """Write TEXT into the timeline; nothing else changes."""
    give(client, incident_id, CommandKind.COMMENT, actor, text, as_json=as_json)


@incidents.command()
@click.argument("incident_id", metavar="ID")
@click.argument("level", metavar="SEVERITY", type=click.Choice([one.value for one in Severity]))
@reason_option
@actor_option
@speaks
def severity(incident_id: str, level: str, reason: str, actor: str, client: Client, as_json: bool) -> None:
    """Make it better or worse: P0 to P3. A worse alert that joins later raises it again."""
    facts = {"severity": level}
    give(client, incident_id, CommandKind.CHANGE_SEVERITY, actor, reason, as_json=as_json, **facts)


def _checked_lines(client: Client, file: Path) -> list[dict[str, Any]]:
    """What the server says of each line of the file; an empty file proves nothing, and fails."""
    try:
        lines = [line for line in file.read_text(errors="replace").splitlines() if line.strip()]
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}", ExitCode.WRONG)
    if not lines:
        fail(f"{file} has no line: nothing is anchored in it", ExitCode.WRONG)
    checked: list[dict[str, Any]] = []
    for start in range(0, len(lines), _LINES_AT_ONCE):
        body = {"lines": lines[start : start + _LINES_AT_ONCE]}
        told = client.post("anchor/verify", body)["lines"]
        checked += [{**one, "line": one["line"] + start} for one in told]
    return checked


def _tell_anchor(state: dict[str, Any], file: Path | None, lines: list[dict[str, Any]]) -> None:
    if file is not None:
        failed = [line for line in lines if not line["holds"]]
        for line in failed:
            output.say(f"{file}, line {line['line']}: {line['text']}")
        held = [line for line in lines if line["holds"]]
        newest = f"; the newest that holds: {held[-1]['text']}" if held else ""
        output.say(f"{len(lines)} lines of {file}, {len(failed)} do not hold{newest}.")
        return
    if state["file"] is None:
        output.say("not anchored: no `anchor:` file is configured, so who holds the key can write all anew.")
    elif state["problem"] is not None:
        output.say(f"not anchored: {state['problem']}.")
    else:
        output.say(f"Anchored in {state['file']}; compare with: incidents verify --anchor FILE.")


def _all_ids(client: Client) -> list[str]:
    return [one["id"] for one in client.get("incidents", live="false", limit=_MOST)["incidents"]]


def _first(waiting: list[dict[str, Any]], newest: list[dict[str, Any]], limit: int) -> list[dict[str, Any]]:
    """So many, the newest first: what waits for people does not give way to what is newer."""
    kept = {one["id"]: one for one in (*waiting, *newest)}
    return sorted(list(kept.values())[:limit], key=lambda one: str(one["id"]), reverse=True)


def _current(client: Client, newest: list[dict[str, Any]], limit: int) -> list[dict[str, Any]]:
    """Every live one, however old, and of the newest those that are recorded but not closed yet."""
    live = client.get("incidents", live="true", limit=limit)["incidents"]
    recorded = [one for one in newest if one["state"] == IncidentState.RECORDED.value]
    both = {one["id"]: one for one in (*live, *recorded)}
    return sorted(both.values(), key=lambda one: str(one["id"]), reverse=True)[:limit]


def as_dossier(told: dict[str, Any]) -> tuple[Dossier, datetime]:
    """An answer about one incident, and the server's time."""
    body = {key: value for key, value in told.items() if key in Dossier.model_fields}
    return Dossier.model_validate(body), output.moment(told["now"])


def _group(incident: Incident) -> str:
    """What it is about; of one that a person opened, whose it is."""
    labels = ", ".join(f"{key}={value}" for key, value in sorted(incident.key.items()))
    if (asked := incident.by_hand) is None:
        return labels or "-"
    word = "dry run" if asked.dry_run else "by hand"
    about = ", ".join(part for part in (asked.target, labels) if part)
    return f"{about + ', ' if about else ''}{word}: {asked.actor}"


def as_promised(told: dict[str, Any]) -> Promised:
    """What such an answer says of who is told next."""
    return Promised.model_validate(told["promised"])


def _unique_width(ids: list[str]) -> int:
    """The shortest length at which all ids shown differ."""
    for width in range(_SHORTEST, 36):
        if len({one[:width] for one in ids}) == len(ids):
            return width
    return 36
