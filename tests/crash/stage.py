"""Where the responder dies: a server that gets stuck again at once, and a service started like any other.

The two PostgreSQL servers outlive it: one carries its store, the other is the victim and logs every
statement. Each run has a database of its own on both.
"""

import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from signal import SIGKILL
from typing import Any

import yaml

from responder.crash_points import VARIABLE
from tests.crash.check import Acknowledged
from tests.crash.sender import Sender
from tests.support.parts import PostgresServer, embedded_postgres, folder, free_port, until
from tests.support.service import SOURCE, TOKEN, Responder, settings_for, stuck_query_rule
from tests.support.stuck_again import database_on, execute, stuck_again
from tests.support.victim import STUCK_USER
from tests.support.witness import Seen, seen

ROOT = Path(__file__).parents[2]
STUCK = 2
"""How many queries hang at any time: the elements of one attempt."""
_STUCK_FOR = "200ms"
_ACTING = stuck_query_rule()["name"]
_ACTIONS = {True: "postgres.cancel_queries", False: stuck_query_rule()["steps"][0]["action"]}
_QUERIES = {"stuck": {"sql": "select count(*) from pg_stat_activity where usename = 'reporting'"}}


@dataclass(frozen=True, slots=True)
class Ground:
    """The two servers, and a number for each run on them."""

    store: PostgresServer
    victim: PostgresServer
    numbers: "count[int]"


@dataclass(frozen=True, slots=True)
class Stage:
    """One responder with a store and a victim of its own."""

    service: "MortalResponder"
    sender: Sender
    store_dsn: str
    database: str
    """The victim's."""
    initial: Sequence[Sequence[Acknowledged]]
    """The deliveries that come first, all at once."""
    ends: Sequence[tuple[str, str]]
    """How the incidents of these end: rule and state."""
    _log: Path
    _log_from: int

    def seen(self) -> Seen:
        """What the victim's log says about this run."""
        with self._log.open("rb") as log:
            log.seek(self._log_from)
            return seen(log.read().decode(errors="replace"), self.database)


class MortalResponder(Responder):
    """A responder that ends itself at a crash point when it is told to, and may be a sabotaged one."""

    def __init__(self, home: Path, port: int, settings: Mapping[str, Any], sabotage: str | None) -> None:
        super().__init__(home, port, settings)
        self.crash_at: str | None = None
        self._sabotage = sabotage

    def argv(self) -> Sequence[str]:
        """The installed command; a sabotaged one has its own way in."""
        arguments = super().argv()[-3:]
        if self._sabotage is None:
            return [str(Path(sys.executable).with_name("responder")), *arguments]
        return [sys.executable, "-m", "tests.crash.sabotage", self._sabotage, *arguments]

    def environment(self) -> Mapping[str, str]:
        """With the crash point, where there is one."""
        armed = {} if self.crash_at is None else {VARIABLE: self.crash_at}
        return {**super().environment(), **armed, "PYTHONPATH": str(ROOT)}

    async def dies(self, *, within: float) -> bool:
        """Wait for its end; whether it was the crash point's SIGKILL, and not somebody's stop."""

        async def ended() -> bool:
            return self.exit_code is not None

        with suppress(AssertionError):
            await until(ended, f"{self.name} ends", within=within)
        return self.exit_code == -SIGKILL

    async def start_for(self, point: str | None) -> None:
        """Start it, to end itself at that point or to live."""
        self.crash_at = point
        await self.start()

    def begin_for(self, point: str) -> None:
        """Start it without waiting until it is ready: it may not live that long."""
        self.crash_at = point
        self._process = self._spawn()


@asynccontextmanager
async def ground() -> AsyncIterator[Ground]:
    """Both servers, started."""
    async with (
        embedded_postgres("store", log_statement="none", track_commit_timestamp="on") as store,
        embedded_postgres("victim", log_timezone="UTC") as victim,
    ):
        await execute(victim.dsn(), f"create role {STUCK_USER} login")
        yield Ground(store, victim, count(1))


@asynccontextmanager
async def stage(on: Ground, sabotage: str | None = None, *, safely: bool = False) -> AsyncIterator[Stage]:
    """A victim that is stuck and a responder that is started, with nothing told yet.

    `safely`: its rule cancels queries, which is safe; otherwise it terminates sessions.
    """
    number = next(on.numbers)
    store, victim = f"crash_{number}", f"orders_{number}"
    log_from = on.victim.log_path.stat().st_size
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(database_on(on.store, store))
        await stack.enter_async_context(database_on(on.victim, victim))
        await stack.enter_async_context(stuck_again(on.victim, victim, STUCK, _STUCK_FOR))
        home = await stack.enter_async_context(folder())
        service = MortalResponder(home, free_port(), _settings(on, store, victim, home, safely), sabotage)
        stack.push_async_callback(service.stop)
        sender = Sender(f"{service.url}/api/v1/webhooks/alertmanager/{SOURCE}", TOKEN)
        told, ends = _told(on.victim.port, victim), [("Noted", "recorded"), (_ACTING, "escalated")]
        yield Stage(service, sender, on.store.dsn(store), victim, told, ends, on.victim.log_path, log_from)


def _told(port: int, database: str) -> Sequence[Sequence[Acknowledged]]:
    """Two alerts of one incident in one delivery, a third in another; a note; and what no rule takes."""
    server = {"server": f"127.0.0.1:{port}", "datname": database}
    stuck = [
        Acknowledged({"alertname": "PostgresLongRunningQuery", **server, "shard": str(shard)}, _ACTING)
        for shard in range(3)
    ]
    note = Acknowledged({"alertname": "Noted", **server}, "Noted")
    stray = Acknowledged({"alertname": "Stray", **server}, None)
    return ((stuck[0], stuck[1], stray), (stuck[2],), (note,))


def _settings(on: Ground, store: str, victim: str, home: Path, safely: bool) -> dict[str, Any]:
    rules = home / "rules.yaml"
    rules.write_text(yaml.safe_dump({"rules": [_acting(safely), _noting()]}, sort_keys=False))
    given = settings_for(
        database=on.store.dsn(store), victim=on.victim.dsn(victim), rules=rules, alertmanagers=()
    )
    terms = {"verify_every": "300ms", "hold_every": "500ms", "start_window": "3s"}
    source = {**given["sources"][SOURCE], "evaluation_interval": "200ms", "group_interval": "200ms"}
    return {
        **given,
        "heartbeat_every": "500ms",
        "queries": _QUERIES,
        "sources": {SOURCE: source},
        "engine": {**given["engine"], "terms": {**given["engine"]["terms"], **terms}},
    }


def _acting(safely: bool) -> dict[str, Any]:
    """The rule of the other real tests, for two sessions, with little time to recover."""
    rule = stuck_query_rule()
    step = rule["steps"][0]
    given = {**step["with"], "older_than": _STUCK_FOR, "at_most": STUCK}
    return {
        **rule,
        "steps": [{**step, "action": _ACTIONS[safely], "with": given, "timeout": "3s"}],
        "verify": {
            "alert_resolved_within": "1s",
            "stable_for": "500ms",
            "probes": [{"sql": "stuck", "is": "== 0"}],
        },
    }


def _noting() -> dict[str, Any]:
    """A rule that changes nothing: its incident is recorded."""
    return {
        "name": "Noted",
        "match": ['alertname = "Noted"'],
        "severity": "P3",
        "group_by": ["server"],
        "evidence": [{"action": "postgres.activity", "with": {"connection": "orders"}}],
    }
