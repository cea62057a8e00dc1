"""What stands there: a store behind three links, a victim that logs, targets that record, three replicas.

All deadlines are seconds, so that the longest of them is over soon after the last fault.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import yaml

from responder.actions.registry import Registry
from responder.app import surroundings
from responder.model.budget import Budgets
from responder.rulebook.load import check
from responder.settings import load
from tests.chaos.action import ACTIONS
from tests.chaos.observer import watch
from tests.chaos.pager import TIMEOUT_S, Pager
from tests.chaos.peers import Peers
from tests.chaos.target import Targets, serving
from tests.chaos.world import World, places
from tests.support.installed import found_here, install_actions
from tests.support.link import Link, link_to
from tests.support.pager import SECRET
from tests.support.parts import PostgresServer, embedded_postgres, folder, free_port
from tests.support.service import SOURCE, TOKEN, Responder, settings_for, stuck_query_rule
from tests.support.stuck_again import database_on, execute, stuck_again
from tests.support.victim import STUCK_USER
from tests.support.witness import Seen, seen

ROOT = Path(__file__).parents[2]
REPLICAS = 3
TARGETS = 14
DATABASES = ("orders_0", "orders_1", "orders_2")
STUCK = 2
LEASE_S = 3.0
BUDGETS = Budgets(target=2, namespace=6, globally=12, within=timedelta(seconds=15))
"""So that they are in the way now and then."""
LONGEST_DEADLINE_S = 60.0
"""From the last fault to rest: the deadlines of open, an effect, settling, verifying and held, in a row."""
_STUCK_FOR = "200ms"
_STORE = "chaos"


class Replica(Responder):
    """One replica with a link of its own. Its settings are written once."""

    def __init__(
        self, home: Path, port: int, settings: Mapping[str, Any], link: Link, site: Path, sabotage: str | None
    ) -> None:
        super().__init__(home, port, settings)
        self.link = link
        self.webhook = f"{self.url}/api/v1/webhooks/alertmanager/{SOURCE}"
        self.busy = False
        """Whether something is being done to it."""
        self.pids: list[int] = []
        self._site = site
        self._sabotage = sabotage
        self._argv: Sequence[str] = ()

    def argv(self) -> Sequence[str]:
        """The installed command; a sabotaged one has its own way in."""
        if not self._argv:
            self.file.touch(mode=0o600)
            self.file.write_text(yaml.safe_dump(self._trusted()))
            serve = ("serve", "--config", str(self.file))
            ours = (sys.executable, "-m", "tests.chaos.sabotage", self._sabotage or "", *serve)
            self._argv = (
                ours if self._sabotage else (str(Path(sys.executable).with_name("responder")), *serve)
            )
        return self._argv

    def _trusted(self) -> dict[str, Any]:
        self.file.write_text(yaml.safe_dump(self._settings))
        with found_here(self._site):
            settings = load(self.file, {}).settings
            report = check(settings.rules, surroundings(settings, settings.inventory.load(), Registry()))
        assert report.rulebook is not None, [str(mistake) for mistake in report.mistakes]
        hashes = [rule.acting_hash for rule in report.rulebook.rules]
        return {**self._settings, "engine": {**self._settings["engine"], "promoted": hashes}}

    def environment(self) -> Mapping[str, str]:
        """Finds the checkout, and the actions of the test as an installed package's."""
        return {**super().environment(), "PYTHONPATH": f"{ROOT}:{self._site}"}

    def begin(self) -> None:
        """Start it without waiting."""
        self._process = self._spawn()
        self.pids.append(self.pid)

    @property
    def up(self) -> bool:
        """Whether its process is there, paused or not."""
        return self._process is not None and self.exit_code is None


@dataclass(slots=True)
class Stage:
    """Everything of one run."""

    store: PostgresServer
    victim: PostgresServer
    replicas: Sequence[Replica]
    targets: Targets
    world: World
    peers: Peers
    pager: Pager
    began: float = field(default_factory=time.time)

    @property
    def dsn(self) -> str:
        """The store, past all links."""
        return self.store.dsn(_STORE)

    def seen(self) -> Seen:
        """What the victim's log says of all its databases."""
        log = self.victim.log
        every = [seen(log, database) for database in DATABASES]
        return Seen(
            tuple(one for each in every for one in each.executed),
            tuple(one for each in every for one in each.ended),
        )


@asynccontextmanager
async def stage(random: Random, sabotage: str | None = None) -> AsyncIterator[Stage]:
    """Everything started and ready; nothing fires yet."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        home = await enter(folder())
        site = home / "site"
        install_actions(site, ACTIONS)
        store = await enter(
            embedded_postgres(
                "store", log_statement="none", track_commit_timestamp="on", max_connections="120"
            )
        )
        victim = await enter(embedded_postgres("victim", log_timezone="UTC"))
        await execute(store.dsn(), f"create database {_STORE}")
        await execute(victim.dsn(), f"create role {STUCK_USER} login")
        for database in DATABASES:
            await enter(database_on(victim, database))
            await enter(stuck_again(victim, database, STUCK, _STUCK_FOR))
        world = World(random, places(TARGETS, DATABASES))
        targets = Targets(home / "effects.jsonl", random, world.mended)
        await enter(serving(targets.routes(), targets.port))
        await enter(serving(world.routes(), *world.ports))
        pager = Pager(random)
        await enter(serving(pager.routes(), pager.port))
        replicas = []
        for number in range(REPLICAS):
            link = await enter(link_to(store.port))
            own = home / f"replica-{number}"
            own.mkdir()
            database = store.dsn(_STORE, port=link.port)
            settings = _settings(database, victim, targets.url, world.urls, pager.url, own)
            replica = Replica(own, free_port(), settings, link, site, sabotage)
            replica.name = f"replica-{number}"
            stack.push_async_callback(replica.stop)
            replicas.append(replica)
        peers = Peers(world, random, lambda: [one.webhook for one in replicas if one.up], TOKEN)
        first, *others = replicas
        await first.start(within=60)
        await watch(store.dsn(_STORE))
        await asyncio.gather(*(other.start(within=60) for other in others))
        for replica in replicas:
            replica.pids.append(replica.pid)
        yield Stage(store, victim, replicas, targets, world, peers, pager)


def _settings(
    database: str,
    victim: PostgresServer,
    url: str,
    alertmanagers: Sequence[str],
    pager: str,
    home: Path,
) -> dict[str, Any]:
    rules = home / "rules.yaml"
    rules.write_text(yaml.safe_dump({"defaults": _DEFAULTS, "rules": _rules(url)}, sort_keys=False))
    given = settings_for(database=database, victim="", rules=rules, alertmanagers=alertmanagers)
    source = {**given["sources"][SOURCE], "evaluation_interval": "200ms", "group_interval": "200ms"}
    return {
        **given,
        "lease_time": f"{LEASE_S:g}s",
        "heartbeat_every": "500ms",
        "connect_timeout": "3s",
        "statement_timeout": "4s",
        "queries": {},
        "inventory": {
            "postgres": [
                {"name": name, "dsn": victim.dsn(name), "matches": [f'server = "{name}"']}
                for name in DATABASES
            ]
        },
        "sources": {SOURCE: source},
        "channels": {
            "pager": {"webhook": pager, "secret": SECRET, "timeout": f"{TIMEOUT_S:g}s", "per_minute": 1000}
        },
        "policies": {"on-call": {"levels": [{"channels": ["log", "pager"]}]}},
        "severities": dict.fromkeys(("P0", "P1", "P2", "P3"), _SEVERITY),
        "engine": {
            **given["engine"],
            "terms": {**given["engine"]["terms"], **_TERMS},
            "budgets": BUDGETS.model_dump(mode="json"),
            "intake_timeout": "4s",
            "stop_grace": "5s",
        },
    }


_SEVERITY = {
    "description": "short",
    "response_time": "8s",
    "update_interval": "20s",
    "review_required": False,
    "policy": "on-call",
}
_TERMS = {
    "open_deadline": "15s",
    "effect_grace": "5s",
    "verify_every": "400ms",
    "hold_every": "500ms",
    "suppressed_every": "1s",
    "reopen_within": "2s",
    "recorded_for": "2s",
    "start_window": "2s",
    "contest_window": "3s",
    "self_caused_within": "0s",
    "storm": {"openings": 1000},
    "flapping": {"episodes": 1000},
    "breaker_after": 1000,
}
_DEFAULTS = {"limits": {"attempts": 1000000, "per": "1h", "cooldown": "0s"}}


def _rules(url: str) -> list[dict[str, Any]]:
    call = {"url": url, "target": "$labels.target"}
    verify = {"alert_resolved_within": "6s", "stable_for": "400ms"}
    acting = {"severity": "P1", "autonomy": "auto", "verify": verify}
    two = [{"action": "chaos.call", "with": call, "timeout": "3s"}] * 2
    restart = [{"action": "chaos.restart", "with": call, "timeout": "3s"}]
    return [
        {"name": "Call", "match": ['alertname = "Call"'], "group_by": ["target"], "steps": two, **acting},
        {
            "name": "Restart",
            "match": ['alertname = "Restart"'],
            "group_by": ["target"],
            "steps": restart,
            **acting,
        },
        {
            "name": "Stuck",
            "match": ['alertname = "Stuck"'],
            "group_by": ["server", "datname"],
            "steps": [_ending()],
            **acting,
        },
        {
            "name": "Noted",
            "match": ['alertname = "Noted"'],
            "severity": "P3",
            "group_by": ["server", "number"],
            "evidence": [
                {"action": "postgres.activity", "with": {"connection": {"server": "$labels.server"}}}
            ],
        },
    ]


def _ending() -> dict[str, Any]:
    """The step of the other real tests, for all sessions that hang."""
    step = stuck_query_rule()["steps"][0]
    return {**step, "with": {**step["with"], "older_than": _STUCK_FOR, "at_most": STUCK}, "timeout": "3s"}
