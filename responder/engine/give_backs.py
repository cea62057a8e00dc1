"""Give-backs (`undo: {after: 2h}`): what was done is undone when its time is over, whatever it helped.

What is owed is a row of its own, written with the outcome of the effect: it outlives restarts, and any
replica that looks finds it. When it is due it becomes an incident of its own, and not a move of the one that
owes it: that one may be closed by then, and its group may have a new one with a ladder of its own, which a
move of the old would be in the way of. As an incident it has everything that an act needs: an owner, an
intent and a claim of its own, guards that judge it anew, deadlines, a timeline, and people who are told where
it cannot be done.

The same row never becomes two incidents, however many replicas find it: its attempt is the key.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import structlog

from responder.decide.restraints import place
from responder.model.attempt import Attempt
from responder.model.autonomy import Autonomy
from responder.model.by_hand import GIVE_BACK, ByHand
from responder.model.errors import PermanentError
from responder.model.inventory import Inventory
from responder.model.rule import Limits, Position, Rule, SeverityCase, Step
from responder.model.severity import Severity
from responder.ports import Action, Actions, GiveBackStore, NewByHand, OwedBack

_log = structlog.get_logger(__name__)

_AT_ONCE = 100
_LIMITS = Limits(attempts=10, per=timedelta(hours=1), cooldown=timedelta(0))
"""It is begun once. Whoever hands it back to automation, after people were told, means it."""
_POSITION = Position(file="(give-back)", line=1, column=1)


class GiveBacks:
    """Opens what is due."""

    def __init__(self, store: GiveBackStore, actions: Actions, inventory: Inventory) -> None:
        self._store = store
        self._actions = actions
        self._inventory = inventory

    async def round(self) -> int:
        """Open an incident for everything that is due now; how many there were."""
        due = await self._store.owed_back(_AT_ONCE)
        for owed in due:
            await self._store.open_give_back(owed, self._incident(owed))
        return len(due)

    def _incident(self, owed: OwedBack) -> NewByHand:
        attempt, step = owed.attempt, None
        why = _newer(owed)
        if why is None:
            step, why = self._step(attempt)
        asked = _asked(owed, step, why)
        key = {**owed.key, **self._inventory.labels(attempt.target), **place(attempt.target)}
        return NewByHand(
            key=attempt.id,
            asked=asked,
            rule=_rule(attempt, step, owed.severity),
            labels=key,
            severity=owed.severity,
        )

    def _step(self, attempt: Attempt) -> tuple[Step | None, str | None]:
        """The inverse as a step, or why there is none."""
        try:
            action: Action[Any, Any] = self._actions.get(attempt.action)
            inverse = action.undo(action.Params.model_validate(attempt.params), attempt.state_before)
            kind = None if inverse is None else self._actions.get(inverse.action).kind
        except (PermanentError, ValueError) as error:
            _log.warning("a give-back cannot be made", attempt=str(attempt.id), error=type(error).__name__)
            return None, f"its inverse cannot be made: {_words(error)}"
        if inverse is None or kind is None:
            return None, f"{attempt.action} says that it has no inverse"
        timeout = timedelta(seconds=attempt.timeout_s)
        params: Mapping[str, Any] = inverse.params
        return Step(action=inverse.action, kind=kind, params=dict(params), timeout=timeout), None


def _words(error: Exception) -> str:
    """Of an error that is not ours its kind alone: it may tell what was given."""
    return str(error) if isinstance(error, PermanentError) else type(error).__name__


def _newer(owed: OwedBack) -> str | None:
    """Why it would put back what is no longer there to be put back."""
    newer = owed.newer
    if newer is None:
        return None
    when = f"{newer.intended_at:%Y-%m-%d %H:%M:%S} UTC"
    return f"{newer.action} acted there again at {when}, for incident {newer.incident_id} ({newer.rule})"


def _asked(owed: OwedBack, step: Step | None, why: str | None) -> ByHand:
    attempt = owed.attempt
    did = f"{attempt.action} on {attempt.target}"
    done = f"{attempt.intended_at:%Y-%m-%d %H:%M:%S} UTC"
    reason = f"{attempt.rule} did it at {done}, for incident {attempt.incident_id}"
    title = f"{did} is to be given back{'' if why is None else f', and cannot be: {why}'}"
    return ByHand(
        actor="responder",
        reason=reason,
        title=title,
        asked_at=owed.now,
        action=None if step is None else step.action,
        target=None if step is None else attempt.target,
        gives_back=attempt.id,
    )


def _rule(attempt: Attempt, step: Step | None, severity: Severity) -> Rule:
    return Rule(
        name=f"{GIVE_BACK}{attempt.rule}",
        match=(),
        severity=(SeverityCase(severity=severity),),
        group_by=(),
        wait_for=timedelta(0),
        autonomy=Autonomy.AUTO,
        steps=() if step is None else (step,),
        limits=_LIMITS,
        escalate=step is None,
        position=_POSITION,
    )
