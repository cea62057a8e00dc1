"""What the demo stands on: two bundled PostgreSQL servers and a responder, all in one temporary folder.

The settings are those of a real installation, with three differences that the screen tells: the windows of
the rules are short, the ceiling is `auto`, and the rules are promoted by their hashes.
"""

import asyncio
import secrets
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import responder
from responder.actions.registry import Registry
from responder.app import surroundings
from responder.demo.service import Service, service, write_settings
from responder.demo.victim import Victim, victim_on
from responder.model.errors import PermanentError
from responder.model.rule import Rulebook
from responder.rulebook.load import check
from responder.settings import load
from responder.store.embedded import EmbeddedServer

SOURCE = "demo"
SERVER = "victim"
"""The name of the victim in the inventory, and the value of the alert's `server` label."""
RULES = Path(responder.__file__).parents[1] / "rules" / "demo"
_BLOCKED = "SELECT count(*) FROM pg_stat_activity WHERE cardinality(pg_blocking_pids(pid)) > 0"


@asynccontextmanager
async def stage(folder: Path, *, promoted: bool = True) -> AsyncIterator[tuple[Service, Victim]]:
    """A running responder with a store of its own, and a server of which it knows.

    Where its rules are not `promoted` they are in shadow, as in every new installation.
    """
    if not RULES.is_dir():
        raise PermanentError(f"the demo's rules are not there ({RULES}): run it in a checkout of the project")
    async with (
        _servers(folder / "store", folder / "victim") as (store, server),
        victim_on(server) as victim,
    ):
        token = secrets.token_urlsafe(24)
        settings = _settings(folder, store, victim.dsn, token)
        if promoted:
            acting = [rule.acting_hash for rule in _rulebook(folder, settings).rules]
            settings["engine"]["promoted"] = acting
        async with service(folder, settings, SOURCE, token) as running:
            yield running, victim


@asynccontextmanager
async def _servers(*data: Path) -> AsyncIterator[list[str]]:
    """Bundled servers; their DSNs. Starting is never interrupted: nothing is left half started."""
    starting = asyncio.create_task(_all_started(data))
    try:
        servers = await asyncio.shield(starting)
    except asyncio.CancelledError:
        await _all_stopped(await starting)
        raise
    try:
        yield [server.dsn for server in servers]
    finally:
        await _all_stopped(servers)


async def _all_started(data: Sequence[Path]) -> list[EmbeddedServer]:
    """All, or none. Raises what the first one that did not start raised."""
    told = await asyncio.gather(
        *(asyncio.to_thread(EmbeddedServer.start, one) for one in data), return_exceptions=True
    )
    servers = [one for one in told if isinstance(one, EmbeddedServer)]
    for error in told:
        if isinstance(error, BaseException):
            await _all_stopped(servers)
            raise error
    return servers


async def _all_stopped(servers: Sequence[EmbeddedServer]) -> None:
    await asyncio.gather(*(asyncio.to_thread(_stop, server) for server in servers))


def _stop(server: EmbeddedServer) -> None:
    """Stop it, and remove its socket's folder, which lies elsewhere where the path would be too long."""
    dsn = server.dsn
    server.stop()
    for folder in parse_qs(urlsplit(dsn).query).get("host", []):
        shutil.rmtree(folder, ignore_errors=True)


def _settings(folder: Path, store: str, victim: str, token: str) -> dict[str, Any]:
    return {
        "database": store,
        "data_dir": str(folder / "state"),
        "timeline_key": secrets.token_urlsafe(32),
        "rules": [str(RULES)],
        "sources": {SOURCE: {"token": token, "evaluation_interval": "1s", "group_interval": "1s"}},
        "inventory": {"postgres": [{"name": SERVER, "dsn": victim, "matches": [f'server = "{SERVER}"']}]},
        "queries": {"blocked_sessions": {"sql": _BLOCKED}},
        "engine": {"ceiling": "auto", "terms": {"verify_every": "1s", "hold_every": "1s"}},
    }


def _rulebook(folder: Path, settings: dict[str, Any]) -> Rulebook:
    """The rules as this responder will read them: a promotion is bound to their hashes."""
    file = folder / "unpromoted.yaml"
    write_settings(file, settings)
    loaded = load(file, {}).settings
    report = check(loaded.rules, surroundings(loaded, loaded.inventory.load(), Registry()))
    if report.rulebook is None:
        raise PermanentError("\n".join(str(mistake) for mistake in report.mistakes))
    return report.rulebook
