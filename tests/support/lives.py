"""What became of the incidents of a test, so that two runs of it can be compared."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from responder.model.attempt import Attempt
from responder.model.base import Frozen
from responder.model.incident import Incident
from responder.model.timeline import EntryKind
from responder.rehearsal.play import Playing
from responder.rehearsal.scene import Scene
from responder.rehearsal.script import What

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

Line = tuple[datetime, str, str]
"""When, of which kind, in what words."""


@dataclass(frozen=True)
class Lived:
    """What became of one incident, less what is of its run alone: the ids."""

    incident: dict[str, Any]
    told: list[Line]
    """The timeline, without evidence."""
    evidence: list[Line]
    """What was gathered beside the ladder: its place among all else is chance."""
    attempts: list[dict[str, Any]]
    notices: list[tuple[str, int, str]]


def lived(
    incident: Incident,
    lines: Iterable[Line],
    attempts: Iterable[Attempt],
    notices: Iterable[tuple[str, int, str]],
) -> Lived:
    """From what a run has kept."""
    told = [(at, kind, _ID.sub("ID", text)) for at, kind, text in lines]
    return Lived(
        incident=_plain(incident, {"id", "epoch", "wakes"}),
        told=[line for line in told if line[1] != EntryKind.EVIDENCE],
        evidence=sorted(line for line in told if line[1] == EntryKind.EVIDENCE),
        attempts=[_plain(one, {"id", "incident_id"}) for one in attempts],
        notices=[(kind, level, _ID.sub("ID", text)) for kind, level, text in notices],
    )


def _plain(value: Frozen, without: set[str]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(_ID.sub("ID", value.model_dump_json(exclude=without)))
    return plain


async def rehearsed(scene: Scene, *, skips: bool = True) -> list[Lived]:
    """By the rehearsal; without `skips` every look is taken."""
    playing = Playing(scene, skips=skips)
    await playing.play()
    happened, memory = playing.happened, playing.memory
    found: list[Lived] = []
    for kept in memory.incidents.values():
        mine = kept.incident.id
        lines = [one for one in happened.told if one.incident == mine and one.kind is not None]
        notices = [fact for fact in happened.facts if fact.incident == mine and fact.what is What.NOTICES]
        found.append(
            lived(
                kept.incident,
                [(one.at, str(one.kind), one.text) for one in lines],
                [one for one in memory.ledger.attempts.values() if one.incident_id == mine],
                [(one.fields["kind"], one.fields["level"], one.fields["says"]) for one in notices],
            )
        )
    return in_order(found)


def in_order(lives: Iterable[Lived]) -> list[Lived]:
    """By when they opened; of those that opened at one moment by rule and key."""
    return sorted(
        lives,
        key=lambda one: (
            one.incident["opened_at"],
            one.incident["rule"],
            sorted(one.incident["key"].items()),
        ),
    )
