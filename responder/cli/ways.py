"""What a tired person can type about an incident, and what halts it: with the ids filled in."""

from collections.abc import Iterator
from typing import Any

from responder.cli import output
from responder.model.attempt import Outcome
from responder.model.guard import Guard, Ruling
from responder.model.incident import Hold, IncidentState
from responder.ports import Dossier
from responder.review.explained import explain


def you_can(dossier: Dossier) -> list[str]:
    """The commands, each a line; nothing where it does not wait for a person."""
    incident = dossier.incident
    waits = {IncidentState.ESCALATED, IncidentState.HELD}
    if incident.state is IncidentState.TAKEN_OVER:
        return [f"responder incidents hand-back {incident.id} --reason ..."]
    if incident.state not in waits:
        return []
    seen = incident.progress.acknowledged_by is not None
    return [
        *([] if seen else [f"responder incidents ack {incident.id}"]),
        f"responder incidents take-over {incident.id} --reason ...",
        *_ends(dossier),
    ]


def _ends(dossier: Dossier) -> Iterator[str]:
    hold = dossier.incident.progress.hold
    if hold is not None and hold.guard == Guard.HALT:
        yield "responder resume"
    unknown = {attempt.target for attempt in dossier.attempts if attempt.outcome is Outcome.UNKNOWN}
    for target in sorted(unknown):
        yield f"responder targets release {target} --reason ...   (while it is quarantined)"


def halted_lines(told: dict[str, Any], hold: Hold | None) -> Iterator[str]:
    """Each halt over everything, and each over a part that holds this incident."""
    for one in told["by"]:
        number = one.get("id")
        if one.get("scope") and (hold is None or f"(halt {number}, " not in hold.reason):
            continue
        by = one.get("actor") or f"the {one['what']}"
        since = f" since {output.moment(one['since']):%Y-%m-%d %H:%M} UTC" if one.get("since") else ""
        if one["what"] == "file":
            end = "remove the file"
        else:
            end = "responder resume" if number is None else f"responder resume --id {number}"
        yield f"HALTED by {by}{since}: {one['reason']} ({end})"


def others_waiting(dossier: Dossier) -> str | None:
    """The further guards that hold what is held, as they said when it was judged last; None without any."""
    hold, index = dossier.incident.progress.hold, dossier.incident.progress.step
    steps = explain(dossier).steps
    if hold is None or dossier.incident.state is not IncidentState.HELD or index >= len(steps):
        return None
    judged = steps[index].judged
    if not judged or judged[-1].decided_by != hold.guard:
        return None
    others = [word for word in judged[-1].held_by if word.ruling is Ruling.WAIT and word.guard != hold.guard]
    told = ", ".join(f"{word.guard} ({word.reason})" for word in others)
    return f"and {len(others)} more: {told}" if others else None
