"""Asking a read-only step: parameters bound, targets resolved, each of them looked at within its time."""

import asyncio
from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from responder.decide.bind import bind_params
from responder.engine.gather import first_mistake
from responder.model.errors import ResponderError
from responder.model.rule import Step
from responder.model.target import State, Target
from responder.ports import Actions


async def looked(
    actions: Actions, step: Step, labels: Mapping[str, str], limit_s: float
) -> Sequence[tuple[Target, State]]:
    """What every target of a step looks like now. Raises whatever went wrong; see `problem`."""
    action = actions.get(step.action)
    params = action.Params.model_validate(bind_params(step.params, labels))
    async with asyncio.timeout(limit_s):
        return [(target, await action.look(params, target)) for target in action.resolve(params)]


def problem(error: Exception) -> str:
    """What went wrong, in words that can be kept. What is not ours may quote anything: its kind is told."""
    match error:
        case TimeoutError():
            return "no answer in time"
        case ValidationError():
            return f"it does not take these parameters: {first_mistake(error)}"
        case ResponderError():
            return str(error)
        case _:
            return type(error).__name__
