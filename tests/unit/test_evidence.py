"""Evidence: it never fails silently, and what it could not gather quotes nobody's data."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest
from pydantic import BaseModel, ValidationError

from responder.decide.case import Finding
from responder.engine.evidence import Evidence
from responder.model.errors import TemporaryError
from responder.model.rule import Step, StepKind
from responder.ports import Actions, Store
from tests.support.virtual import VirtualStore, World, incident, ladder, lease_of, members


class _Params(BaseModel):
    at_most: int = 1


def _invalid() -> ValidationError:
    with pytest.raises(ValidationError) as found:
        _Params.model_validate({"at_most": "hunter2"})
    return found.value


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RuntimeError("password hunter2"), "RuntimeError"),
        (_invalid(), "at_most: Input should be a valid integer"),
        (TimeoutError(), "no answer in time"),
        (TemporaryError("postgres/orders does not answer"), "postgres/orders does not answer"),
    ],
)
def test_whatever_goes_wrong_is_told_without_its_data(error: Exception, told: str) -> None:
    """A step that raises anything becomes a finding in words; nothing of a value stands in them."""
    kept: list[Finding] = []
    told_now = asyncio.Event()

    async def add_finding(incident_id: UUID, finding: Finding) -> None:
        del incident_id
        kept.append(finding)
        told_now.set()

    async def look(params: Any, target: Any) -> Any:
        del params, target
        raise error

    action = SimpleNamespace(Params=_Params, resolve=lambda _: ("target",), look=look)
    evidence = Evidence(
        cast("Store", SimpleNamespace(add_finding=add_finding)),
        cast("Actions", SimpleNamespace(get=lambda _: action)),
        1.0,
    )
    step = Step(action="test.look", kind=StepKind.READ_ONLY, timeout="1s")
    rule = ladder().model_copy(update={"evidence": (step,)})
    store = VirtualStore(World(), rule, incident(), members())

    async def gather() -> None:
        evidence.start(await store.load(lease_of(store)))
        await told_now.wait()

    asyncio.run(gather())
    assert told in kept[0].summary
    assert "hunter2" not in kept[0].summary
