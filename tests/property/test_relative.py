"""Relative values in virtual time: whatever dies, and however often it is repeated, none is added twice."""

import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from responder.model.attempt import ElementOutcome, Outcome
from responder.model.base import Frozen
from responder.model.rule import Undo
from responder.model.target import Element, Target
from responder.ports import UndoStep
from tests.property.test_ladder import EVENTS, happen
from tests.support.virtual import (
    Hit,
    HitParams,
    HitState,
    VirtualStore,
    World,
    drive,
    incident,
    ladder,
    members,
)

CEILING = 7


class GrowParams(HitParams):
    """How large it shall be."""

    size: int


class GrowState(HitState):
    """How large it is."""

    size: int


class Grow(Hit):
    """Sets the size of the target; `sizes` are those that it had, one after the other."""

    relative: ClassVar[frozenset[str]] = frozenset({"size"})
    Params: ClassVar[type[Frozen]] = GrowParams

    def __init__(self, world: World, *, undoable: bool) -> None:
        super().__init__(world, undoable=undoable)
        self.sizes = [1]

    async def look(self, params: HitParams, target: Target) -> GrowState:
        """As it is."""
        seen = await super().look(params, target)
        return GrowState(**seen.model_dump(), size=self.sizes[-1])

    def present(self, state: HitState) -> Mapping[str, int]:
        """Its size."""
        return {"size": state.model_dump()["size"]}

    def pin(self, params: HitParams, state: HitState) -> tuple[Element, ...]:
        """Itself, as it was changed so often."""
        del params, state
        name = f"change {len(self.sizes)}"
        return (Element(key=name, title=name),)

    async def run(
        self, target: Target, element: Element, params: HitParams, state: HitState, attempt_id: UUID
    ) -> ElementOutcome:
        """Set it, and perhaps die of it."""
        sizes, wanted = self.sizes, params.model_dump()["size"]
        if not self.world.refuses and not self.world.die_before_effect:
            sizes.append(wanted)
        return await super().run(target, element, params, state, attempt_id)

    def undo(self, params: HitParams, state_before: Mapping[str, Any]) -> UndoStep | None:
        """As it was."""
        del params
        return UndoStep(self.name, {"size": state_before["size"]}) if self.undoable else None


@settings(max_examples=150)
@given(EVENTS, st.sampled_from(list(Undo)), st.integers(1, 3))
def test_a_relative_value_is_added_once_for_each_attempt_and_never_beyond_its_bound(
    events: list[str | int], undo: Undo, by: int
) -> None:
    """Each size is what one intent names: by so much more than its look found, bounded, and set once."""
    made = ladder(undo=undo, repeat=2)
    relative = {"size": {"by": by, "ceiling": CEILING}}
    made = made.model_copy(
        update={"steps": tuple(step.model_copy(update={"params": relative}) for step in made.steps)}
    )
    store = VirtualStore(World(), made, incident(), members())
    grow = Grow(store.world, undoable=undo is not Undo.NEVER)

    async def all_of_it() -> None:
        for event in events:
            happen(store, event)
            await drive(store, action=grow)

    asyncio.run(all_of_it())
    acted = {attempt for attempt, _ in store.world.effects}
    in_order = [one for one in store.attempts.values() if one.id in acted]
    assert grow.sizes[1:] == [one.params["size"] for one in in_order]
    for one in in_order:
        before, after = one.state_before["size"], one.params["size"]
        if one.undo_of is None:
            assert before < after <= min(before + by, CEILING)
        else:
            assert after == store.attempts[one.undo_of].state_before["size"]
    assert all(one.outcome is not Outcome.NOT_DONE for one in in_order)
