"""What a tired person can type is told with the id filled in, and what halts stands above the rest."""

from datetime import timedelta
from typing import Any

from responder.cli.story import headline, holder_lines
from responder.cli.ways import halted_lines, you_can
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
    assert last == "HALTED by the file: x (rm '/a b')"
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
