"""`chaos.call` and `chaos.restart`: each element is one HTTP call to a target that keeps a record of its own.

The effect is fenced: a call says until when it may have its effect, and the target refuses it later.
"""

import os
import time
from datetime import timedelta
from typing import ClassVar
from uuid import UUID

import aiohttp
from pydantic import Field

from responder.actions.base import ChangingAction
from responder.model.attempt import Attempt, ElementOutcome, Outcome
from responder.model.base import Frozen
from responder.model.errors import TemporaryError
from responder.model.rule import StepKind
from responder.model.target import Element, State, Target

SIDES = ("left", "right")
"""The elements of every target."""
ACTIONS = {"chaos.call": "tests.chaos.action:Call", "chaos.restart": "tests.chaos.action:Restart"}
CALL_DEADLINE = timedelta(seconds=3)
_LOOK = aiohttp.ClientTimeout(total=2)
_CALL = aiohttp.ClientTimeout(total=CALL_DEADLINE.total_seconds())


class CallParams(Frozen):
    """What both take."""

    url: str = Field(description="The server of the targets.")
    target: str = Field(description="Which target.")


class Machine(State):
    """A target, as it says itself."""

    effects: int

    @property
    def summary(self) -> str:
        """How much was done to it."""
        return f"{self.effects} effects so far"


class Call(ChangingAction[CallParams, Machine]):
    """Calls both sides of the target."""

    name: ClassVar[str] = "chaos.call"
    kind: ClassVar[StepKind] = StepKind.SAFE
    deadline: ClassVar[timedelta] = CALL_DEADLINE
    fenced: ClassVar[bool] = True
    Params: ClassVar[type[Frozen]] = CallParams

    def resolve(self, params: CallParams) -> tuple[Target, ...]:
        """The target that the label names, in one of two namespaces."""
        half = "even" if params.target[-1] in "02468" else "odd"
        return (Target(key=f"chaos/{params.target}", name=params.target, namespace=half),)

    async def look(self, params: CallParams, target: Target) -> Machine:
        """What the target says of itself."""
        try:
            async with (
                aiohttp.ClientSession(timeout=_LOOK) as session,
                session.get(f"{params.url}/targets/{target.name}") as answer,
            ):
                answer.raise_for_status()
                return Machine.model_validate(await answer.json())
        except (aiohttp.ClientError, TimeoutError) as error:
            raise TemporaryError(f"{target.name} does not answer: {type(error).__name__}") from error

    def pin(self, params: CallParams, state: Machine) -> tuple[Element, ...]:
        """Both sides."""
        del state
        return tuple(
            Element(key=f"{params.target}/{side}", title=f"{params.target} {side}", facts={"url": params.url})
            for side in SIDES
        )

    def at_most(self, params: CallParams) -> int:
        """Both sides."""
        del params
        return len(SIDES)

    async def run(
        self, target: Target, element: Element, params: CallParams, state: Machine, attempt_id: UUID
    ) -> ElementOutcome:
        """One call, which says how late it may have its effect, and from which process it comes."""
        del target, state
        call = {"pid": os.getpid(), "not_after": time.time() + self.deadline.total_seconds()}
        async with (
            aiohttp.ClientSession(timeout=_CALL) as session,
            session.post(f"{params.url}/calls/{attempt_id}/{element.key}", json=call) as answer,
        ):
            if answer.status == 409:
                return ElementOutcome(element=element.key, outcome=Outcome.NOT_DONE, detail="refused as late")
            answer.raise_for_status()
        return ElementOutcome(element=element.key, outcome=Outcome.DONE)

    async def happened(self, attempt: Attempt) -> tuple[ElementOutcome, ...]:
        """What the target's own record says."""
        return tuple([await self._happened(attempt, element) for element in attempt.elements])

    async def _happened(self, attempt: Attempt, element: Element) -> ElementOutcome:
        url = f"{element.facts['url']}/calls/{attempt.id}/{element.key}"
        try:
            async with aiohttp.ClientSession(timeout=_LOOK) as session, session.get(url) as answer:
                answer.raise_for_status()
                done = (await answer.json())["happened"]
        except (aiohttp.ClientError, TimeoutError) as error:
            detail = f"the target does not answer: {type(error).__name__}"
            return ElementOutcome(element=element.key, outcome=Outcome.UNKNOWN, detail=detail)
        return ElementOutcome(element=element.key, outcome=Outcome.DONE if done else Outcome.NOT_DONE)


class Restart(Call):
    """The same, and disruptive."""

    name: ClassVar[str] = "chaos.restart"
    kind: ClassVar[StepKind] = StepKind.DISRUPTIVE
