"""A halt stops every replica within five seconds: three engines on one PostgreSQL, with effects under way.

Each attempt has two elements. The effect on the first one waits for the test; so every intent is committed
when somebody halts, and the effect on the second one has not begun.
"""

import time
from pathlib import Path
from typing import Any

from responder.model.alert import Alert
from responder.rulebook.matchers import parse_matchers
from responder.store.migrate import migrate
from tests.support import replicas
from tests.support.link import link_to
from tests.support.parts import embedded_postgres, until
from tests.support.replicas import Stage, delivered, stage

PROMISED_S = 5.0
NAMES = tuple(f"db{number}" for number in range(12))


def namespace(name: str) -> str:
    """Half of the targets are in prod."""
    return "prod" if name in NAMES[: len(NAMES) // 2] else "dev"


def firing(name: str) -> Alert:
    return replicas.firing(name, namespace=namespace(name))


async def outcomes(on: Stage, number: int, wanted: str) -> list[tuple[Any, ...]]:
    """Until so many attempts have ended: what became of their second effects."""
    query = "SELECT outcome, results->1->>'outcome', results->1->>'detail' FROM attempts ORDER BY number"

    async def ended() -> list[tuple[Any, ...]]:
        rows = await on.db.sql(query)
        return rows if len(rows) == number and all(row[0] != "started" for row in rows) else []

    found = await until(ended, f"{number} attempts have ended", within=30)
    assert {row[1] for row in found} == {wanted}
    return found


async def test_a_halt_stops_every_replica_intents_committed_before_it_included(
    dsn: str, tmp_path: Path
) -> None:
    """All twelve first effects run; after the halt no second one begins, on any replica; resumed, they do."""
    async with stage(dsn, tmp_path) as on:
        await on.under_way(*NAMES)
        await on.db.store.halt("ada", "storm")
        halted_at = time.monotonic()

        async def all_know() -> bool:
            return all(engine.halt._followed and engine.halt._followed.halts_all for engine in on.engines)

        await until(all_know, "every replica has heard of it", within=PROMISED_S, every=0.01)
        on.gate.open.set()
        ended = await outcomes(on, len(NAMES), "not_done")
        assert {detail for _, _, detail in ended} <= {
            "it was halted before the effect could start",
            "the start window was over, or this process was deposed",
        }
        assert on.gate.after(halted_at) == []


async def test_what_is_due_under_a_halt_starts_nothing_and_goes_on_when_resumed(
    dsn: str, tmp_path: Path
) -> None:
    """Alerts that come while everything is halted are held on all replicas."""
    async with stage(dsn, tmp_path) as on:
        on.gate.open.set()
        await on.db.store.halt("ada", "storm")
        await on.engines[1].intake.take(delivered(*map(firing, NAMES)))
        await on.held(len(NAMES))
        assert on.gate.begun == []
        await on.db.store.resume("ada", "over")

        async def all_done() -> bool:
            # A replica that has not heard of the end yet lets an effect not begin: its step is taken again.
            return on.gate.elements("second") == set(NAMES)

        await until(all_done, "every effect begins", within=60)


async def test_a_halt_over_a_part_lets_the_rest_go_on(dsn: str, tmp_path: Path) -> None:
    """Half of the targets are in prod: theirs do not begin, the others do."""
    async with stage(dsn, tmp_path) as on:
        on.gate.open.set()
        await on.db.store.halt("ada", "migration", parse_matchers('namespace="prod"'))
        await on.engines[1].intake.take(delivered(*map(firing, NAMES)))
        await on.held(len(NAMES) // 2)
        await outcomes(on, len(NAMES) // 2, "done")
        assert on.gate.elements("second") == {name for name in NAMES if namespace(name) == "dev"}


async def test_a_halt_by_file_holds_while_the_database_is_cut_and_when_it_is_back(tmp_path: Path) -> None:
    """Intents are committed, nobody reaches the database, somebody makes the file: nothing more begins."""
    async with embedded_postgres("store") as server, link_to(server.port) as link:
        await migrate(server.dsn())
        async with stage(server.dsn(), tmp_path, behind=server.dsn(port=link.port)) as on:
            await on.under_way(*NAMES)
            link.asks.stall()
            link.cut()
            on.file.write_text("ada: storm\n")
            halted_at = time.monotonic()
            on.gate.open.set()
            await until(on.nobody_acts, "every effect that had begun has ended")
            link.heal()
            await outcomes(on, len(NAMES), "not_done")
            await on.engines[2].intake.take(delivered(firing("late")))
            await on.held(1)
            assert on.gate.after(halted_at) == []
