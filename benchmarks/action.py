"""`bench.call`: a safe action that is one HTTP call to a receiver on loopback, one target for each alert."""

from datetime import timedelta
from typing import ClassVar
from uuid import UUID

import aiohttp
from pydantic import Field

from responder.actions.base import ChangingAction
from responder.model.attempt import Attempt, ElementOutcome, Outcome
from responder.model.base import Frozen
from responder.model.rule import StepKind
from responder.model.target import Element, State, Target


class CallParams(Frozen):
    """What `bench.call` takes."""

    url: str = Field(description="The receiver.")
    instance: str = Field(description="The alert's instance: the target.")


class Callable(State):
    """There is nothing to see before a call."""


class Call(ChangingAction[CallParams, Callable]):
    """Calls the receiver once."""

    name: ClassVar[str] = "bench.call"
    kind: ClassVar[StepKind] = StepKind.SAFE
    deadline: ClassVar[timedelta] = timedelta(seconds=5)
    fenced: ClassVar[bool] = False
    Params: ClassVar[type[Frozen]] = CallParams

    _session: aiohttp.ClientSession | None = None

    def resolve(self, params: CallParams) -> tuple[Target, ...]:
        """A target for each instance."""
        return (Target(key=f"bench/{params.instance}", name=params.instance),)

    async def look(self, params: CallParams, target: Target) -> Callable:
        """Nothing to see."""
        del params, target
        return Callable()

    def pin(self, params: CallParams, state: Callable) -> tuple[Element, ...]:
        """The instance."""
        del state
        return (Element(key=params.instance, title=params.instance),)

    def at_most(self, params: CallParams) -> int:
        """One."""
        del params
        return 1

    async def run(
        self, target: Target, element: Element, params: CallParams, state: Callable, attempt_id: UUID
    ) -> ElementOutcome:
        """One call."""
        del target, state
        if self._session is None:
            self._session = aiohttp.ClientSession()
        call = f"{params.url}/called/{params.instance}/{attempt_id}"
        async with self._session.post(call) as answer:
            answer.raise_for_status()
        return ElementOutcome(element=element.key, outcome=Outcome.DONE)

    async def happened(self, attempt: Attempt) -> tuple[ElementOutcome, ...]:
        """The receiver keeps no record."""
        return tuple(ElementOutcome(element=e.key, outcome=Outcome.UNKNOWN) for e in attempt.elements)
