"""What a tired person can type is told with the id filled in, and what halts stands above the rest."""

from datetime import timedelta
from typing import Any

from responder.cli.ways import halted_lines, others_waiting, you_can
from responder.model.attempt import Outcome
from responder.model.guard import Guard
from responder.model.incident import Hold, IncidentState
from responder.model.timeline import EntryKind
from responder.ports import Dossier
from tests.support.dossiers import ACTION, TARGET, Story, after, an_attempt

HOLD = Hold(
    guard="halt",
    reason="halted by root: deploy (halt 7, where env) (ends with: responder resume)",
    until=after(60),
    since=after(0),
    deadline=after(600),
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
    assert you_can(held) == [f"responder incidents ack {name}", take_over, "responder resume"]
    assert you_can(dossier(IncidentState.ESCALATED, acknowledged_by="ada")) == [take_over]
    hand_back = f"responder incidents hand-back {name} --reason ..."
    assert you_can(dossier(IncidentState.TAKEN_OVER)) == [hand_back]
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
    told = {"by": [halt, {**halt, "id": 8}, {"what": "file", "reason": "x"}]}
    first, last = halted_lines(told, HOLD)
    assert first.startswith("HALTED by root since 2026-11-20 23:59 UTC: deploy")
    assert first.endswith("(responder resume --id 7)")
    assert last == "HALTED by the file: x (remove the file)"
    assert len(list(halted_lines(told, None))) == 1


def test_further_guards_that_wait_are_named() -> None:
    """After the first; one guard alone adds nothing."""
    verdicts = [
        {"guard": guard, "ruling": "wait", "reason": reason}
        for guard, reason in ((Guard.HALT.value, "halted"), (Guard.BUDGET.value, "spent"))
    ]
    story = Story().opens()
    facts: dict[str, Any] = {
        "step": 0,
        "action": ACTION,
        "target": TARGET,
        "ruling": "wait",
        "decided_by": "halt",
    }
    story.tell(5, EntryKind.JUDGED, "judged", **facts, reason="halted", verdicts=verdicts)
    held = dossier(IncidentState.HELD, hold=HOLD)
    told = held.model_copy(update={"entries": story.dossier(IncidentState.HELD).entries})
    assert others_waiting(told) == "and 1 more: budget (spent)"
    assert others_waiting(held) is None
