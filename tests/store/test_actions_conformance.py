"""Every action of the registry, and the one that docs/actions.md teaches, meet the contract for real."""

import re
import tomllib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from importlib import import_module
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from responder.actions.page import refreshed
from responder.actions.registry import ENTRY_POINT_GROUP, BuiltActions, Registry
from responder.model.errors import PermanentError
from tests.support.conformance import CHANGING, EVERY, READ_ONLY, RELATIVE, Claim, claims_for
from tests.support.parts import PostgresServer, embedded_postgres, free_port
from tests.support.pools import ScalePools, pool_scene
from tests.support.scenes import clients_on, postgres_scene

PAGE = Path(__file__).parents[2] / "docs" / "actions.md"
OURS = Registry(installed=())
SCENES = {
    "postgres.activity": postgres_scene,
    "postgres.cancel_queries": postgres_scene,
    "postgres.terminate_queries": postgres_scene,
}
"""How each action's scene is made; a new action brings one."""
ELSEWHERE = ("alertmanager.", "prometheus.")
"""Actions whose system is no PostgreSQL: tests/real has their scenes."""
_JOBS = """
DROP TABLE IF EXISTS jobs;
CREATE TABLE jobs (id bigint PRIMARY KEY, queue text, started_at timestamptz, paused_by uuid)
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[PostgresServer]:
    async with embedded_postgres() as running:
        yield running


def _cases() -> list[Any]:
    return [
        pytest.param(name, claim, id=f"{name}-{claim.__name__}")
        for name in OURS.names()
        if not name.startswith(ELSEWHERE)
        for claim in claims_for(OURS.load(name).kind, OURS.load(name).relative)
    ]


@pytest.mark.parametrize(("name", "claim"), _cases())
async def test_conformance(name: str, claim: Claim, server: PostgresServer) -> None:
    """Each claim of the conformance suite holds for each registered action, on the system it acts on."""
    assert name in SCENES, f"the action {name!r} has no scene: write one, see docs/actions.md"
    async with SCENES[name](name, server) as scene:
        await claim(scene)


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)


def _entry_points() -> list[EntryPoint]:
    (block,) = _blocks("toml")
    lines = tomllib.loads(block)["project"]["entry-points"][ENTRY_POINT_GROUP]
    return [EntryPoint(name, value, ENTRY_POINT_GROUP) for name, value in lines.items()]


@pytest.fixture
def taught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """A registry with the page's action: its code in a module, its line as an installed entry point."""
    action, scene = _blocks("python")
    (tmp_path / "acme_jobs.py").write_text(action)
    (tmp_path / "acme_scene.py").write_text(scene)
    monkeypatch.syspath_prepend(tmp_path)
    return Registry(installed=_entry_points())


@pytest.mark.parametrize("claim", [*EVERY, *CHANGING], ids=lambda claim: claim.__name__)
async def test_the_taught_action_conforms(claim: Claim, taught: Registry, server: PostgresServer) -> None:
    """What docs/actions.md teaches works as written: one class and one line make an action that conforms."""
    name = _entry_points()[0].name
    async with AsyncExitStack() as stack:
        clients = await stack.enter_async_context(clients_on(server.dsn()))
        away = await stack.enter_async_context(
            clients_on(f"postgresql://postgres@127.0.0.1:{free_port()}/postgres")
        )
        database = await asyncpg.connect(server.dsn())
        stack.push_async_callback(database.close)
        await database.execute(_JOBS)
        scene = import_module("acme_scene").JobsScene(
            BuiltActions(taught, clients).get(name), BuiltActions(taught, away).get(name), database
        )
        await claim(scene)


@pytest.mark.parametrize(
    "claim", claims_for(ScalePools.kind, ScalePools.relative), ids=lambda one: one.__name__
)
async def test_an_action_with_a_relative_parameter_conforms(claim: Claim, server: PostgresServer) -> None:
    """What scales to a number meets every claim, and those of what may be relative."""
    async with pool_scene(server) as scene:
        await claim(scene)


def test_the_claims_are_all_run() -> None:
    """No claim is forgotten: every public coroutine of the suite is in one of its lists."""
    module = import_module("tests.support.conformance")
    written = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
        if hasattr(value, "__code__") and "scene" in value.__code__.co_varnames
    }
    assert written == {claim.__name__ for claim in (*EVERY, *READ_ONLY, *CHANGING, *RELATIVE)}


def test_the_page_is_up_to_date() -> None:
    """The list of actions in docs/actions.md is what the code says."""
    page = PAGE.read_text(encoding="utf-8")
    assert refreshed(page, OURS) == page, "run: python -m responder.actions.page docs/actions.md"


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        (EntryPoint("postgres.activity", "acme:Activity", ENTRY_POINT_GROUP), "clashes"),
        (EntryPoint("acme.gone", "no_such_module:Gone", ENTRY_POINT_GROUP), "cannot be loaded"),
        (EntryPoint("acme.else", "responder.actions.postgres:Activity", ENTRY_POINT_GROUP), "calls itself"),
        (EntryPoint("acme.none", "responder.actions.base:Clients", ENTRY_POINT_GROUP), "is no action"),
    ],
)
def test_an_unusable_action_is_refused_by_name(entry: EntryPoint, says: str) -> None:
    """A name clash, a missing module, a wrong name and what is no action are told as such."""
    with pytest.raises(PermanentError, match=says):
        Registry(installed=[entry]).load(entry.name)
