"""What became of an act by hand, in one word: read from what is recorded, for whoever waits for it."""

from enum import StrEnum

from responder.model.attempt import Outcome, Verdict
from responder.model.incident import IncidentState
from responder.ports import Dossier

_AT_REST = {
    IncidentState.RECORDED,
    IncidentState.RESOLVED,
    IncidentState.ESCALATED,
    IncidentState.TAKEN_OVER,
    IncidentState.CLOSED,
}


class ActEnd(StrEnum):
    """What became of an act by hand."""

    DONE = "done"
    """It was done, or there was nothing to do; where something was to prove that it helped, it did."""
    FAILED = "failed"
    """It did not help, was not done although it was let go, or nobody can say."""
    NOT_LET = "not let"
    """Nothing was done: a guard, a ceiling, a person or the time was against it."""


def act_end(dossier: Dossier) -> ActEnd | None:
    """What became of it; None while that is open."""
    incident = dossier.incident
    if incident.state not in _AT_REST:
        return None
    last = dossier.attempts[-1] if dossier.attempts else None
    proof = dossier.rule.get("verify") is not None
    if last is not None:
        proven = last.verdict is Verdict.RECOVERED if proof else last.verdict is None
        return ActEnd.DONE if last.outcome is Outcome.DONE and proven else ActEnd.FAILED
    if incident.progress.step == 0:
        return ActEnd.NOT_LET
    proven = incident.state in {IncidentState.RESOLVED, IncidentState.CLOSED}
    return ActEnd.DONE if proven or not proof else ActEnd.FAILED
