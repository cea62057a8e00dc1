"""A responder that breaks its word in one way, for `python -m tests.chaos.sabotage WAY serve ...`.

It proves the check: what such a responder does must be found. The product has no way to any of this.
"""

import random
import sys
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from responder.cli.main import main
from responder.decide import changes
from responder.decide.case import AttemptEnd, Case, Change
from responder.engine.gather import Place
from responder.engine.perform import Perform
from responder.model.attempt import Attempt, ElementOutcome
from responder.model.target import Element, Target
from responder.ports import Lease

_HANGS_S = 9.0
"""Longer than the lease, and than the time after which a "no" of the target is believed."""
_HANGS = 0.15


def _hangs() -> None:
    """Stands still between intent and effect at times, as a paused machine does. It breaks no word."""
    honest = Perform._effect

    async def effect(
        self: Perform, lease: Lease, place: Place, attempt: Attempt, element: Element, latest: float
    ) -> ElementOutcome:
        _stand_still()
        return await honest(self, lease, place, attempt, element, latest)

    Perform._effect = effect  # type: ignore[method-assign]  # the sabotage itself


def _no_look_before_the_effect() -> None:
    """Stands still likewise, and acts then without a look at its lease and at its window."""

    async def effect(
        self: Perform, lease: Lease, place: Place, attempt: Attempt, element: Element, latest: float
    ) -> ElementOutcome:
        del self, lease, latest
        _stand_still()
        return await place.action.run(place.target, element, place.params, place.state, attempt.id)

    Perform._effect = effect  # type: ignore[method-assign]  # the sabotage itself


def _stand_still() -> None:
    if random.random() < _HANGS:  # noqa: S311 - nothing secret
        time.sleep(_HANGS_S)  # the whole process stands still, as under SIGSTOP


def _repeat_after_a_crash() -> None:
    """What was cut off is done once more, instead of asking the target."""

    async def settle(self: Perform, case: Case, attempt: Attempt, now: datetime) -> Change:
        action = self.actions.get(attempt.action)
        params = action.Params.model_validate(attempt.params)
        state = await action.look(params, _target(attempt))
        results = tuple(
            [await action.run(_target(attempt), one, params, state, attempt.id) for one in attempt.elements]
        )
        end = AttemptEnd(attempt_id=attempt.id, outcome=changes.overall(results), results=results)
        return changes.settled(case, attempt, end, now, self.terms, timedelta(0))

    Perform._settle = settle  # type: ignore[method-assign]  # the sabotage itself


def _target(attempt: Attempt) -> Target:
    return Target(key=attempt.target, name=attempt.target.partition("/")[2])


WAYS: Mapping[str, Callable[[], None]] = {
    "hangs": _hangs,
    "no-look-before-the-effect": _no_look_before_the_effect,
    "repeat-after-a-crash": _repeat_after_a_crash,
}
"""What is done wrong; `hangs` is the measure of the second: with the look nothing is violated."""

if __name__ == "__main__":
    WAYS[sys.argv.pop(1)]()
    main()
