"""Evidence: read-only steps that run beside the ladder, in parallel, and never delay it.

Each result is kept by the store and told by the incident's owner at its next move. Evidence that a crash cuts
off is not gathered again: what it would show has changed by then.
"""

import asyncio
from uuid import uuid4

import structlog

from responder.decide.case import Case, Finding
from responder.engine.gather import labels_of
from responder.engine.looking import looked, problem
from responder.model.errors import ResponderError
from responder.model.rule import Step
from responder.ports import Actions, Store

_log = structlog.get_logger(__name__)


class Evidence:
    """Runs evidence steps in the background of this process."""

    def __init__(self, store: Store, actions: Actions, timeout_s: float) -> None:
        self._store = store
        self._actions = actions
        self._timeout_s = timeout_s
        self._running: set[asyncio.Task[None]] = set()

    def start(self, case: Case) -> None:
        """Start every evidence step of the rule; returns at once."""
        for index, step in enumerate(case.rule.evidence):
            task = asyncio.create_task(self._gather(case, index, step), name=f"evidence {step.action}")
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def gathered(self) -> None:
        """Until all that runs has ended: for whoever wants to know what was found before going on."""
        while self._running:
            await asyncio.wait(self._running)

    async def stop(self) -> None:
        """Cut off what still runs."""
        running = tuple(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _gather(self, case: Case, index: int, step: Step) -> None:
        finding = await self._find(case, index, step)
        try:
            await self._store.add_finding(case.incident.id, finding)
        except ResponderError as error:
            _log.warning("evidence could not be kept", action=step.action, error=str(error))

    async def _find(self, case: Case, index: int, step: Step) -> Finding:
        limit = min(self._timeout_s, step.timeout.total_seconds())
        try:
            states = await looked(self._actions, step, labels_of(case), limit)
        except Exception as error:  # noqa: BLE001 - whatever went wrong, it is told, and delays nothing
            summary = f"could not be gathered: {problem(error)}"
            return Finding(id=uuid4(), action=step.action, summary=summary, facts={"evidence": index})
        summary = "; ".join(f"{target.key}: {state.summary}" for target, state in states)
        facts = {
            "evidence": index,
            "states": {target.key: state.model_dump(mode="json") for target, state in states},
            "results": {target.key: state.result for target, state in states},
        }
        return Finding(id=uuid4(), action=step.action, summary=summary, facts=facts)
