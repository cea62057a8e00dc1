"""What a tired person can type is told with the id filled in, and what halts stands above the rest."""

import shlex
from datetime import timedelta
from typing import Any
from uuid import UUID

import click
import pytest

from responder.cli import main
from responder.cli.story import headline, holder_lines
from responder.cli.ways import command, halted_lines, you_can
from responder.model.attempt import Outcome
from responder.model.guard import Guard
from responder.model.incident import Hold, Holder, IncidentState
from responder.model.way import Way, WayKind
from responder.ports import Dossier
from tests.support.dossiers import ACTION, TARGET, Story, after, an_attempt

HOLD = Hold(
    guard="halt",
    reason="halted by root: deploy (halt 7, where env) (ends with: responder resume)",
    until=after(60),
    since=after(0),
    deadline=after(600),
    holders=(Holder(guard="halt", reason="halted", ways=(Way(kind=WayKind.RESUME, of="7"),)),),
)


def dossier(state: IncidentState, **progress: Any) -> Dossier:
    """An incident of one step in that state."""
    found = Story().opens().dossier(state)
    moved = found.incident.progress.model_copy(update=progress)
    incident = found.incident.model_copy(update={"progress": moved})
    return found.model_copy(update={"incident": incident, "rule": {"steps": [{"action": ACTION}]}})


def test_an_incident_that_waits_names_the_commands() -> None:
    """Ack until somebody has, take-over, resume under a halt, hand-back when taken over; else nothing."""
    held = dossier(IncidentState.HELD, hold=HOLD)
    name = held.incident.id
    take_over = f"responder incidents take-over {name} --reason ..."
    assert you_can(held) == [f"responder incidents ack {name}", take_over, "responder resume --id 7"]
    assert you_can(dossier(IncidentState.ESCALATED, acknowledged_by="ada")) == [take_over]
    hand_back = f"responder incidents hand-back {name} --reason ..."
    close = f"responder incidents close {name} --reason ..."
    assert you_can(dossier(IncidentState.TAKEN_OVER)) == [hand_back, close]
    assert you_can(dossier(IncidentState.RESOLVED)) == []


def test_what_is_part_of_a_storm_names_the_storm_and_how_it_may_act_in_it() -> None:
    """Nobody is asked there and nothing waits: these two are all that helps."""
    storm = UUID(int=9)
    part = dossier(IncidentState.RECORDED, part_of=storm)
    name = part.incident.id
    assert you_can(part) == [
        f"responder explain {storm}",
        f"responder incidents severity {name} P1 --reason ...   (then it acts in the storm)",
    ]
    assert you_can(dossier(IncidentState.RECORDED)) == []


WAYS = [
    (WayKind.RESUME, "", "responder resume"),
    (WayKind.RESUME, "7", "responder resume --id 7"),
    (WayKind.REMOVE_FILE, "/a b", "rm '/a b'"),
    (WayKind.END_FREEZE, "1", "responder freeze end 1 --reason ..."),
    (WayKind.END_MAINTENANCE, "3", "responder maintenance end 3 --reason ..."),
    (WayKind.PROMOTE, "Hit", "responder rules promote Hit --to auto --reason ..."),
    (
        WayKind.RELEASE,
        "postgres/a",
        "responder targets release postgres/a --reason ...   (while it is quarantined)",
    ),
    (WayKind.SEE_INCIDENT, "019a", "responder explain 019a"),
    (WayKind.SEE_BUDGETS, "", "responder budgets"),
    (WayKind.RESET_BREAKER, "Hit", "responder breaker reset Hit --reason ..."),
]


@pytest.mark.parametrize(("kind", "of", "line"), WAYS)
def test_each_way_is_a_command_that_the_program_has(kind: WayKind, of: str, line: str) -> None:
    """With what it needs filled in; each command and option is there."""
    assert command(Way(kind=kind, of=of)) == line
    if not line.startswith("responder "):
        return
    found: click.Command | None = main
    words = shlex.split(line.partition("   (")[0])[1:]
    while isinstance(found, click.Group):
        found = found.get_command(click.Context(found), words.pop(0))
    assert found is not None
    options = {name for param in found.params for name in param.opts}
    given = {word for word in words if word.startswith("--")}
    assert given <= options
    assert all(
        given & set(one.opts) for one in found.params if one.required and isinstance(one, click.Option)
    )


def test_what_stands_in_the_settings_is_named_with_its_place() -> None:
    """No command ends it: the file does."""
    for kind in (WayKind.EDIT_FREEZE, WayKind.RAISE_CEILING):
        told = command(Way(kind=kind, of="nights"))
        assert "settings" in told
        assert "then restart" in told


def test_a_quarantined_target_names_its_release() -> None:
    """What nobody knows the outcome of holds its target until a person releases that."""
    attempt = an_attempt(after(0), Outcome.UNKNOWN, None)
    told = dossier(IncidentState.ESCALATED).model_copy(update={"attempts": (attempt,)})
    assert any(line.startswith(f"responder targets release {TARGET} ") for line in you_can(told))


def test_a_halt_over_this_incident_is_told_and_another_is_not() -> None:
    """Over everything, or the part that holds it, with since when, why and how it ends."""
    since = (after(0) - timedelta(seconds=after(0).second)).isoformat()
    halt = {"what": "halt", "id": 7, "scope": ["env"], "actor": "root", "since": since, "reason": "deploy"}
    told = {"by": [halt, {**halt, "id": 8}, {"what": "file", "path": "/a b", "reason": "x"}]}
    first, last = halted_lines(told, HOLD)
    assert first.startswith("HALTED by root since 2026-11-20 23:59 UTC: deploy")
    assert first.endswith("(responder resume --id 7)")
    assert last == "HALTED: x (rm '/a b')"
    assert len(list(halted_lines(told, None))) == 1


def test_of_several_guards_that_hold_it_the_headline_names_all_and_the_latest_end() -> None:
    """Whoever waits for the first end waits in vain; what has no known end says so."""
    budget = Holder(guard=Guard.BUDGET.value, reason="the budget is spent", over_at=after(3600))
    ours = Holder(guard=Guard.SELF_CAUSED.value, reason="our own attempt", over_at=after(300))
    both = HOLD.model_copy(update={"holders": (ours, budget)})
    held = dossier(IncidentState.HELD, hold=both)
    told = (
        "earliest start 2026-11-21 00:59:30 UTC, held by budget (until 2026-11-21 00:59:30 UTC), our own acts"
    )
    assert told in headline(held, after(0))
    assert list(holder_lines(held)) == ["held: our own attempt", "held: the budget is spent"]
    with_halt = HOLD.model_copy(update={"holders": (ours, *HOLD.holders)})
    assert "held by halt (no end is known), our own acts (until " in headline(
        dossier(IncidentState.HELD, hold=with_halt), after(0)
    )
    one = dossier(IncidentState.HELD, hold=HOLD)
    assert HOLD.reason in headline(one, after(0))
    assert list(holder_lines(one)) == []
