"""`make bench-backtest`: a month of a journal played through rules, beside a bare read and decode of it.

Both read the same rows from the bundled PostgreSQL, page by page, in one process and in turns: this machine's
noise is in both. The last line is one JSON object. The memory is the most that this process ever took.
"""

import asyncio
import logging
import resource
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from itertools import islice
from time import perf_counter, process_time

import asyncpg
import click
import structlog
from pydantic import SecretStr

from benchmarks.parts import database, postgres, told
from benchmarks.past import SERVERS, SINCE, SPAN, Row, past, rules
from responder.model.alert import Observation
from responder.model.base import json_of_texts
from responder.model.inventory import Inventory, PostgresConnection
from responder.model.rule import Rulebook
from responder.rehearsal.backtest import Backtest, Setting
from responder.rehearsal.rows import moments, read_rows
from responder.rehearsal.scene import own_actions
from responder.rulebook.load import check_texts
from responder.rulebook.matchers import parse_matchers
from responder.rulebook.surroundings import SourceFacts, Surroundings
from responder.store.connection import Connections
from responder.store.migrate import migrate
from responder.store.partitions import make_partition
from responder.store.postgres import PostgresStore
from responder.store.settings import StoreSettings
from responder.store.timeline import TimelineKeys
from tests.support.parts import folder
from tests.support.rule_surroundings import surroundings

_ROWS = 1_000_000
_PAGE = 10_000
_AT_ONCE = 20_000
_SOURCE = "main"
_COLUMNS = ("source", "fingerprint", "received_at", "content_hash", "standing", "starts_at", "ends_at")
_TEXTS = ("labels", "annotations", "generator_url")


@click.command()
@click.option("--rows", default=_ROWS, show_default=True, help="About how many.")
@click.option("--rounds", default=2, show_default=True, help="Interleaved rounds; the best of each counts.")
@click.option("--measure", "dsn", hidden=True, help="A database that has the rows.")
def main(rows: int, rounds: int, dsn: str | None) -> None:
    """Measure a backtest."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    if dsn is not None:
        asyncio.run(_measure(dsn, rounds))
    else:
        asyncio.run(_prepare(rows, rounds))


async def _prepare(rows: int, rounds: int) -> None:
    """The rows, in a database; then the measurement in a process that has never seen them."""
    async with folder("postgres") as place, postgres(place) as server:
        dsn = await database(server, "past")
        await migrate(dsn)
        connections = await Connections.open(dsn, StoreSettings())
        for day in range(-1, SPAN.days + 3):
            await make_partition(connections.workers, SINCE + timedelta(days=day))
        await connections.close()
        written = await _write(dsn, rows)
        click.echo(f"{written} rows written", err=True)
        command = ("-m", "benchmarks.backtest", "--measure", dsn, "--rounds", str(rounds))
        measuring = await asyncio.create_subprocess_exec(sys.executable, *command)
        if await measuring.wait():
            raise SystemExit(1)


async def _write(dsn: str, rows: int) -> int:
    connection = await asyncpg.connect(dsn)
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=lambda text: b"\x01" + text.encode(),
        decoder=bytes,
        format="binary",
    )
    written, stream = 0, past(rows)
    while batch := list(islice(stream, _AT_ONCE)):
        records = [_record(number, row) for number, row in enumerate(batch, start=written)]
        await connection.copy_records_to_table("journal", records=records, columns=[*_COLUMNS, *_TEXTS])
        written += len(batch)
    await connection.execute("ANALYZE journal")
    await connection.close()
    return written


def _record(number: int, row: Row) -> tuple[object, ...]:
    first = 0x80 if row.fires else 0
    standing = "firing" if row.fires else "resolved"
    times = (row.starts_at, row.ends_at)
    digest = bytes([first]) + number.to_bytes(15)
    texts = (json_of_texts(row.labels), json_of_texts(row.annotations), "http://prometheus:9090/graph")
    return (_SOURCE, row.fingerprint, row.received_at, digest, standing, *times, *texts)


# --- the measurement ------------------------------------------------------------------------------------


async def _measure(dsn: str, rounds: int) -> None:
    connections = await Connections.open(dsn, StoreSettings())
    store = PostgresStore(
        connections, timedelta(seconds=15), TimelineKeys("k", {"k": b"a benchmark's secret"})
    )
    bare: list[tuple[float, float]] = []
    played: list[tuple[float, float]] = []
    rows = incidents = starts = 0
    for _ in range(rounds):
        began = perf_counter(), process_time()
        rows = await _read(store)
        bare.append((perf_counter() - began[0], process_time() - began[1]))
        began = perf_counter(), process_time()
        backtest = await _play(store)
        played.append((perf_counter() - began[0], process_time() - began[1]))
        incidents = sum(one.incidents for one in backtest.tally.rules.values())
        starts = sum(sum(one.starts.values()) for one in backtest.tally.rules.values())
    await connections.close()
    wall, cpu = ([min(one[part] for one in each) for each in (bare, played)] for part in (0, 1))
    click.echo(f"bare: {rows / wall[0]:,.0f} rows/s; backtest: {rows / wall[1]:,.0f} rows/s", err=True)
    figures = {
        "rows": rows,
        "incidents": incidents,
        "starts": starts,
        "ratio": round(wall[0] / wall[1], 3),
        "ratio_of_processor_time": round(cpu[0] / cpu[1], 3),
        "resident_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    click.echo(told(figures))


async def _read(store: PostgresStore) -> int:
    """Every row, read and decoded, and nothing more."""
    rows = 0
    async for page in _pages(store):
        for _, together in moments(page):
            rows += len(together)
    return rows


async def _play(store: PostgresStore) -> Backtest:
    around = _around()
    setting = Setting(SINCE - timedelta(days=1), SINCE + SPAN, own_actions(around), frozenset({_SOURCE}))
    backtest = Backtest(_book(around), setting)
    async for page in _pages(store):
        await backtest.hear(moments(page))
    await backtest.end()
    return backtest


async def _pages(store: PostgresStore) -> AsyncIterator[list[Observation]]:
    after, until = SINCE - timedelta(days=1), SINCE + SPAN
    while after < until - timedelta.resolution:
        page = await store.history.rows(after, until, _PAGE)
        yield read_rows(page.lines)
        after = page.after


def _book(around: Surroundings) -> Rulebook:
    report = check_texts([("rules.yaml", rules())], around)
    if report.rulebook is None:
        raise AssertionError([str(mistake) for mistake in report.mistakes])
    return report.rulebook


def _around() -> Surroundings:
    nowhere = SecretStr("")
    servers = tuple(
        PostgresConnection(name=f"db{number}", dsn=nowhere, matches=parse_matchers(f'server = "db{number}"'))
        for number in range(SERVERS)
    )
    sources = (SourceFacts(_SOURCE, has_api=True),)
    return replace(surroundings(), inventory=Inventory(postgres=servers), sources=sources)


if __name__ == "__main__":
    main()
