"""What holds for every action, as claims that run on the real system that the action acts on.

A `Scene` puts something there for the action to find; each claim is one async function over a scene. An
action conforms when every claim of `claims_for(its kind)` holds. docs/actions.md says how to write a scene.
"""

import json
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from uuid import UUID, uuid4

import pytest
from pydantic import ValidationError

from responder.model.attempt import Attempt, ElementOutcome, Outcome
from responder.model.base import Frozen, canonical_json
from responder.model.errors import RefusedError, TemporaryError
from responder.model.rule import StepKind
from responder.model.target import Element, State, Target
from responder.ports import Action


class Scene(Protocol):
    """A place on the real system where the action finds as many elements as it is told."""

    action: Action[Any, Any]
    stranded: Action[Any, Any]
    """The same action, with clients whose targets do not answer."""
    params: Mapping[str, Any]
    """As a rule writes them; they choose what `arrange` made, and allow two elements."""
    lost: Mapping[str, Any]
    """Changes to `params` that lead to no target."""
    ambiguous: Mapping[str, Any]
    """Changes to `params` that lead to two targets."""

    async def arrange(self, count: int) -> None:
        """Make that many elements; for a read-only action: something to see."""
        ...

    async def standing(self) -> int:
        """How many of the arranged elements are as they were made."""
        ...

    async def vanish(self, element: Element) -> None:
        """End one element by other means than the action."""
        ...

    def impostor(self, element: Element) -> Element:
        """Facts pinned earlier for something that had the same name as what is there now."""
        ...


Claim = Callable[[Scene], Awaitable[None]]


def claims_for(kind: StepKind, relative: Collection[str] = ()) -> Sequence[Claim]:
    """The claims that an action of that kind must meet, with these parameters that may be relative."""
    return (*EVERY, *(CHANGING if kind.changing else READ_ONLY), *(RELATIVE if relative else ()))


# --- every action ---------------------------------------------------------------------------------------


async def parameters_are_strict(scene: Scene) -> None:
    """Parameters are frozen, survive JSON, and an unknown key is an error."""
    params = _params(scene)
    first = next(iter(type(params).model_fields))
    with pytest.raises(ValidationError):
        setattr(params, first, getattr(params, first))
    with pytest.raises(ValidationError):
        _params(scene, unknown_parameter=1)
    assert type(params).model_validate(json.loads(params.model_dump_json(by_alias=True))) == params


async def no_target_is_refused(scene: Scene) -> None:
    """Parameters that lead to no target, or to two, are refused and not guessed."""
    for wrong in (scene.lost, scene.ambiguous):
        with pytest.raises(RefusedError):
            scene.action.resolve(_params(scene, **wrong))


async def a_target_has_a_key(scene: Scene) -> None:
    """A target's key is `system/name`, and the same for the same parameters."""
    targets = scene.action.resolve(_params(scene))
    assert len(targets) == 1
    assert targets == scene.action.resolve(_params(scene))
    assert "/" in targets[0].key


async def looking_changes_nothing(scene: Scene) -> None:
    """However often it looks, everything is as it was."""
    await scene.arrange(2)
    for _ in range(3):
        await _look(scene)
    assert await scene.standing() == 2


async def a_state_can_be_kept(scene: Scene) -> None:
    """A state survives JSON, has one line of summary, and names the ground it stands on."""
    await scene.arrange(1)
    state = await _look(scene)
    stored = json.loads(canonical_json(state.model_dump(mode="json")))
    assert type(state).model_validate(stored) == state
    assert state.summary
    assert "\n" not in state.summary
    assert state.ground


async def a_silent_target_is_told(scene: Scene) -> None:
    """A target that does not answer is a TemporaryError of the look, never an empty state."""
    params = _params(scene)
    with pytest.raises(TemporaryError):
        await scene.stranded.look(params, scene.stranded.resolve(params)[0])


# --- read-only actions ----------------------------------------------------------------------------------


async def it_pins_nothing(scene: Scene) -> None:
    """A read-only action has no elements and asks for no consent."""
    await scene.arrange(2)
    state = await _look(scene)
    assert scene.action.pin(_params(scene), state) == ()
    assert scene.action.refuse(_params(scene), state) is None
    assert scene.action.consent(_params(scene), state) == {}


# --- changing actions -----------------------------------------------------------------------------------


async def nothing_there_pins_nothing(scene: Scene) -> None:
    """Where nothing fits there is no element, and no reason to refuse."""
    state = await _look(scene)
    assert scene.action.pin(_params(scene), state) == ()
    assert scene.action.refuse(_params(scene), state) is None


async def pinning_never_truncates(scene: Scene) -> None:
    """All that the effect would hit is pinned, also beyond `at_most`; keys are unique, facts survive JSON."""
    await scene.arrange(3)
    elements = await _pinned(scene)
    assert len({element.key for element in elements}) == len(elements) == 3
    assert scene.action.at_most(_params(scene)) == 2
    for element in elements:
        assert Element.model_validate(json.loads(element.model_dump_json())) == element
        assert element.title


async def pinning_is_repeatable(scene: Scene) -> None:
    """Two looks at an unchanged world pin the same, and ask consent for the same."""
    await scene.arrange(2)
    params, first, second = _params(scene), await _look(scene), await _look(scene)
    assert {e.key for e in scene.action.pin(params, first)} == {
        e.key for e in scene.action.pin(params, second)
    }
    consent = scene.action.consent(params, first)
    assert consent == scene.action.consent(params, second)
    assert json.loads(canonical_json(dict(consent))) == consent


async def one_effect_hits_one_element(scene: Scene) -> None:
    """`run` does its element and no other, and says so; a second time it finds nothing to do."""
    await scene.arrange(2)
    element = (await _pinned(scene))[0]
    first = await _run(scene, element)
    assert first == ElementOutcome(element=element.key, outcome=Outcome.DONE, detail=first.detail)
    assert first.detail
    assert await scene.standing() == 1
    assert (await _run(scene, element)).outcome is Outcome.NOT_DONE
    assert await scene.standing() == 1


async def a_vanished_element_is_not_done(scene: Scene) -> None:
    """What ended between look and effect is `not_done`, and nobody else is harmed."""
    await scene.arrange(2)
    element = (await _pinned(scene))[0]
    await scene.vanish(element)
    assert (await _run(scene, element)).outcome is Outcome.NOT_DONE
    assert await scene.standing() == 1


async def a_namesake_is_spared(scene: Scene) -> None:
    """What merely has the same name as the pinned element is not touched."""
    await scene.arrange(1)
    element = (await _pinned(scene))[0]
    assert (await _run(scene, scene.impostor(element))).outcome is Outcome.NOT_DONE
    assert await scene.standing() == 1


async def it_can_be_asked_afterwards(scene: Scene) -> None:
    """`happened` is "not done" before the effect and "done" after it, by the stored attempt alone."""
    await scene.arrange(1)
    state = await _look(scene)
    attempt = _attempt(scene, state)
    (element,) = attempt.elements
    before = await scene.action.happened(attempt)
    assert [(one.element, one.outcome) for one in before] == [(element.key, Outcome.NOT_DONE)]
    await _run(scene, element, attempt.id)
    after = await scene.action.happened(attempt)
    assert [(one.element, one.outcome) for one in after] == [(element.key, Outcome.DONE)]


async def silence_is_unknown(scene: Scene) -> None:
    """Where the target does not answer, nobody claims to know what happened."""
    await scene.arrange(1)
    state = await _look(scene)
    attempt = _attempt(scene, state)
    assert [one.outcome for one in await scene.stranded.happened(attempt)] == [Outcome.UNKNOWN]


async def a_silent_target_has_no_effect(scene: Scene) -> None:
    """An effect that could not be sent is never reported as done."""
    await scene.arrange(1)
    params, state = _params(scene), await _look(scene)
    target = scene.stranded.resolve(params)[0]
    element = scene.action.pin(params, state)[0]
    try:
        outcome = (await scene.stranded.run(target, element, params, state, uuid4())).outcome
    except TemporaryError:
        outcome = Outcome.UNKNOWN
    assert outcome is not Outcome.DONE
    assert await scene.standing() == 1


async def an_undo_names_a_step(scene: Scene) -> None:
    """`undo` answers from the stored state alone: another action's name and JSON, or nothing."""
    await scene.arrange(1)
    state = (await _look(scene)).model_dump(mode="json")
    step = scene.action.undo(_params(scene), state)
    if step is not None:
        assert step.action
        canonical_json(dict(step.params))


async def a_relative_parameter_is_in_the_state(scene: Scene) -> None:
    """What may be relative is a whole number of the fresh state, and follows from that alone."""
    await scene.arrange(2)
    present = scene.action.present(await _look(scene))
    assert set(present) == scene.action.relative
    assert all(type(number) is int for number in present.values())


async def a_look_does_not_go_by_a_relative_parameter(scene: Scene) -> None:
    """Before the look such a parameter is at its bound: whatever it is, target and state are the same."""
    await scene.arrange(2)
    present = scene.action.present(await _look(scene))
    for name, number in present.items():
        params = _params(scene, **{name: number + 1})
        assert scene.action.resolve(params)[0] == _target(scene)
        assert scene.action.present(await scene.action.look(params, _target(scene))) == present


EVERY: tuple[Claim, ...] = (
    parameters_are_strict,
    no_target_is_refused,
    a_target_has_a_key,
    looking_changes_nothing,
    a_state_can_be_kept,
    a_silent_target_is_told,
)
READ_ONLY: tuple[Claim, ...] = (it_pins_nothing,)
CHANGING: tuple[Claim, ...] = (
    nothing_there_pins_nothing,
    pinning_never_truncates,
    pinning_is_repeatable,
    one_effect_hits_one_element,
    a_vanished_element_is_not_done,
    a_namesake_is_spared,
    it_can_be_asked_afterwards,
    silence_is_unknown,
    a_silent_target_has_no_effect,
    an_undo_names_a_step,
)
RELATIVE: tuple[Claim, ...] = (
    a_relative_parameter_is_in_the_state,
    a_look_does_not_go_by_a_relative_parameter,
)


def _params(scene: Scene, **changes: Any) -> Frozen:
    return scene.action.Params.model_validate({**scene.params, **changes})


def _target(scene: Scene) -> Target:
    return scene.action.resolve(_params(scene))[0]


async def _look(scene: Scene) -> State:
    state = await scene.action.look(_params(scene), _target(scene))
    assert isinstance(state, State)
    return state


async def _pinned(scene: Scene) -> tuple[Element, ...]:
    return scene.action.pin(_params(scene), await _look(scene))


async def _run(scene: Scene, element: Element, attempt_id: UUID | None = None) -> ElementOutcome:
    """As the engine does: the element as the ledger gives it back, the state of the last look."""
    stored = Element.model_validate(json.loads(element.model_dump_json()))
    state = await _look(scene)
    return await scene.action.run(_target(scene), stored, _params(scene), state, attempt_id or uuid4())


def attempt_of(action: Action[Any, Any], params: Frozen, target: Target, state: State) -> Attempt:
    """The attempt as the ledger gives it back after a crash: through JSON, without an outcome."""
    now = datetime.now(UTC)
    attempt = Attempt(
        id=uuid4(),
        incident_id=uuid4(),
        rule="Conformance",
        step=0,
        action=action.name,
        params=params.model_dump(mode="json", by_alias=True),
        target=target.key,
        elements=action.pin(params, state),
        outcome=Outcome.STARTED,
        intended_at=now,
        start_before=now + timedelta(seconds=5),
        timeout_s=action.deadline.total_seconds(),
        fenced=action.fenced,
        state_before=state.model_dump(mode="json"),
    )
    return Attempt.model_validate(json.loads(attempt.model_dump_json()))


def _attempt(scene: Scene, state: State) -> Attempt:
    return attempt_of(scene.action, _params(scene), _target(scene), state)
