"""An action whose parameter may be relative, over a real table: what scales workers will look like.

No action that ships scales anything yet. This one sets the size of all pools of a group in a table
`pools (name, grp, size, version, set_by)`, and has a scene for the conformance suite.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from importlib.metadata import EntryPoint
from typing import Annotated, Any, ClassVar

import asyncpg
from pydantic import Field

from responder.actions.base import ChangingAction
from responder.actions.parameters import AtMost, Connection, Name, Number
from responder.actions.registry import ENTRY_POINT_GROUP, BuiltActions, Registry
from responder.model.attempt import Attempt, ElementOutcome, Outcome
from responder.model.base import Frozen
from responder.model.errors import PermanentError, TemporaryError
from responder.model.rule import StepKind
from responder.model.target import Element, State, Target
from responder.ports import Action, UndoStep
from tests.support.parts import PostgresServer, free_port
from tests.support.scenes import CONNECTION, clients_on

TABLE = """
DROP TABLE IF EXISTS pools;
CREATE TABLE pools (name text PRIMARY KEY, grp text, size integer, version integer DEFAULT 1, set_by uuid)
"""
_POOLS = "SELECT name, size, version FROM pools WHERE grp = $1 ORDER BY name"
_SET = """
UPDATE pools SET size = $3, version = version + 1, set_by = $4
 WHERE name = $1 AND version = $2 AND clock_timestamp() < now() + $5::interval
RETURNING name
"""
_SET_BY = "SELECT set_by FROM pools WHERE name = $1"


class PoolParams(Frozen):
    """What `test.scale_pools` takes."""

    connection: Connection
    group: Name
    size: Annotated[Number, Field(ge=0, le=100)]
    at_most: AtMost = 2


class Pool(Frozen):
    """One pool as it was seen."""

    name: str
    size: int
    version: int


class Pools(State):
    """All pools of a group."""

    pools: tuple[Pool, ...]

    @property
    def summary(self) -> str:
        """Their sizes."""
        return ", ".join(f"{pool.name}: {pool.size}" for pool in self.pools) or "no pool"


class ScalePools(ChangingAction[PoolParams, Pools]):
    """Sets the size of all pools of one group."""

    name: ClassVar[str] = "test.scale_pools"
    kind: ClassVar[StepKind] = StepKind.SAFE
    deadline: ClassVar[timedelta] = timedelta(seconds=10)
    fenced: ClassVar[bool] = True
    undoable: ClassVar[bool] = True
    relative: ClassVar[frozenset[str]] = frozenset({"size"})
    Params: ClassVar[type[Frozen]] = PoolParams

    def resolve(self, params: PoolParams) -> tuple[Target, ...]:
        """The server."""
        return (self._inventory.find_postgres(params.connection).target,)

    async def look(self, params: PoolParams, target: Target) -> Pools:
        """The pools as they are."""
        rows = await self._postgres.fetch_read_only(target.name, _POOLS, self.deadline, (params.group,))
        ground = await self._postgres.ground(target.name)
        return Pools(ground=ground, pools=tuple(Pool.model_validate(row) for row in rows))

    def present(self, state: Pools) -> Mapping[str, int]:
        """The largest."""
        return {"size": max((pool.size for pool in state.pools), default=0)}

    def pin(self, params: PoolParams, state: Pools) -> tuple[Element, ...]:
        """Those of another size."""
        return tuple(
            Element(
                key=f"{pool.name}@{pool.version}",
                title=f"pool {pool.name}, from {pool.size} to {params.size}",
                facts=pool.model_dump(mode="json"),
            )
            for pool in state.pools
            if pool.size != params.size
        )

    def at_most(self, params: PoolParams) -> int:
        """The rule's own number."""
        return params.at_most

    async def run(
        self, target: Target, element: Element, params: PoolParams, state: Pools, attempt_id: Any
    ) -> ElementOutcome:
        """Set one, as it was seen."""
        del state
        pool = Pool.model_validate(element.facts)
        given = (pool.name, pool.version, params.size, attempt_id, self.deadline)
        if await self._postgres.fetch(target.name, _SET, *given, timeout=self.deadline):
            return ElementOutcome(element=element.key, outcome=Outcome.DONE, detail=f"is {params.size} now")
        return ElementOutcome(element=element.key, outcome=Outcome.NOT_DONE, detail="it has changed")

    async def happened(self, attempt: Attempt) -> tuple[ElementOutcome, ...]:
        """The attempt's id stands where the effect was."""
        return tuple([await self._settled(attempt, element) for element in attempt.elements])

    async def _settled(self, attempt: Attempt, element: Element) -> ElementOutcome:
        name = attempt.target.removeprefix("postgres/")
        try:
            rows = await self._postgres.fetch_read_only(
                name, _SET_BY, self.deadline, (element.facts["name"],)
            )
        except (TemporaryError, PermanentError) as error:
            return ElementOutcome(element=element.key, outcome=Outcome.UNKNOWN, detail=str(error))
        ours = any(row["set_by"] == attempt.id for row in rows)
        return ElementOutcome(element=element.key, outcome=Outcome.DONE if ours else Outcome.NOT_DONE)

    def undo(self, params: PoolParams, state_before: Mapping[str, Any]) -> UndoStep:
        """The size that the largest had."""
        before = max((int(pool["size"]) for pool in state_before.get("pools", ())), default=0)
        before = int(state_before.get("size", before))  # as a rehearsal tells it
        return UndoStep(self.name, {**params.model_dump(mode="json"), "size": before})


POOLS = EntryPoint(ScalePools.name, "tests.support.pools:ScalePools", ENTRY_POINT_GROUP)
"""As an installed package's."""


def with_pools() -> Registry:
    """All actions of ours, and this one."""
    return Registry(installed=(POOLS,))


class PoolScene:
    """Pools of size 2, to be scaled to 4."""

    params: Mapping[str, Any] = {"connection": CONNECTION, "group": "web", "size": 4}
    lost: Mapping[str, Any] = {"connection": "no-such-connection"}
    ambiguous: Mapping[str, Any] = {"connection": {"twin": "yes"}}

    def __init__(self, action: Action[Any, Any], stranded: Action[Any, Any], database: Any) -> None:
        self.action = action
        self.stranded = stranded
        self.database = database

    async def arrange(self, count: int) -> None:
        """Pools of the group."""
        await self.database.execute(
            "INSERT INTO pools (name, grp, size) SELECT 'p' || n, 'web', 2 FROM generate_series(1, $1) n",
            count,
        )

    async def standing(self) -> int:
        """How many have their size."""
        found: int = await self.database.fetchval("SELECT count(*) FROM pools WHERE size = 2")
        return found

    async def vanish(self, element: Element) -> None:
        """Somebody else removes one."""
        await self.database.execute("DELETE FROM pools WHERE name = $1", element.facts["name"])

    def impostor(self, element: Element) -> Element:
        """As it was before somebody changed it."""
        return element.model_copy(update={"facts": {**element.facts, "version": 0}})


@asynccontextmanager
async def pool_scene(server: PostgresServer) -> AsyncIterator[PoolScene]:
    """The scene on a server."""
    async with AsyncExitStack() as stack:
        clients = await stack.enter_async_context(clients_on(server.dsn()))
        nowhere = f"postgresql://postgres@127.0.0.1:{free_port()}/postgres"
        away = await stack.enter_async_context(clients_on(nowhere))
        database = await asyncpg.connect(server.dsn())
        stack.push_async_callback(database.close)
        await database.execute(TABLE)
        actions, stranded = BuiltActions(with_pools(), clients), BuiltActions(with_pools(), away)
        yield PoolScene(actions.get(ScalePools.name), stranded.get(ScalePools.name), database)
