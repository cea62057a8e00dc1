"""`make bench-rules`: what 10,000 rules cost, at loading, at matching and in the durable intake.

Everything is measured in interleaved rounds in one run, and told as a ratio: this machine's noise is in both.
The last line is one JSON object. The intake is the real group commit on the bundled PostgreSQL, without HTTP.
"""

import asyncio
import logging
import secrets
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import click
import re2
import structlog
import yaml
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.measure import ratio
from benchmarks.parts import database, postgres, told
from benchmarks.rule_files import labels_of, rules_text, write_rule_files
from responder.engine.intake import GroupCommit
from responder.engine.rules import ActiveRules
from responder.engine.settings import EngineSettings
from responder.engine.wake import Wake
from responder.model.alert import Alert, Delivery, Standing, fingerprint
from responder.model.duration import parse_duration
from responder.model.matcher import compiled
from responder.model.rule import Rulebook
from responder.rulebook.index import RuleIndex
from responder.rulebook.load import check, check_texts
from responder.rulebook.matchers import parse_matchers
from responder.store.connection import Connections
from responder.store.migrate import migrate
from responder.store.partitions import make_ahead
from responder.store.postgres import PostgresStore
from responder.store.settings import StoreSettings
from responder.store.timeline import TimelineKeys
from responder.telemetry import build_metrics
from tests.support.parts import folder
from tests.support.rule_surroundings import surroundings

LOADED = 1000
FEW, SOME, MANY = 10, 100, 10_000
MATCHED = 2000
TAKEN = 2000
AT_ONCE = 32

_STRIDE = 7
"""From alert to alert, so that they meet rules all over the book, the unindexable among them."""
_LEASE = timedelta(seconds=15)


@dataclass
class Figures:
    """Seconds for each round: of all rules loaded, and of one alert."""

    yaml: list[float] = field(default_factory=list)
    loaded: list[float] = field(default_factory=list)
    matched: dict[int, list[float]] = field(default_factory=dict)
    taken: dict[int, list[float]] = field(default_factory=dict)


@click.command()
@click.option("--rounds", default=7, show_default=True, help="Interleaved rounds; medians are over them.")
def main(rounds: int) -> None:
    """Measure what rules cost."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    console = Console()
    figures = Figures()
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("measuring", total=3 * rounds)
        _measure_loading(figures, rounds, lambda: progress.advance(task))
        books = {number: _book(range(0, MANY, MANY // number)) for number in (FEW, MANY)}
        books[SOME] = _book(range(SOME))
        _measure_matching(figures, books, rounds, lambda: progress.advance(task))
        asyncio.run(_measure_intake(figures, books, rounds, lambda: progress.advance(task)))
    console.print(_table(figures))
    print(told(_summary(figures)))  # noqa: T201 - the last line is for programs


# --- loading --------------------------------------------------------------------------------------------


def _measure_loading(figures: Figures, rounds: int, tick: Callable[[], Any]) -> None:
    around = surroundings()
    with tempfile.TemporaryDirectory() as place:
        files = write_rule_files(Path(place), LOADED)
        for _ in range(rounds):
            figures.yaml.append(_seconds(lambda: _bare(files)))
            _forget()
            figures.loaded.append(_seconds(lambda: check(files, around)))
            tick()
        report = check(files, around)
    if report.rulebook is None or len(report.rulebook.rules) != LOADED:
        raise AssertionError([str(mistake) for mistake in report.mistakes])


def _bare(files: Sequence[Path]) -> None:
    for file in files:
        yaml.load(file.read_bytes(), Loader=yaml.CSafeLoader)


def _forget() -> None:
    """What a process remembers of rules that it has read before: each round reads them for the first time."""
    parse_matchers.cache_clear()
    parse_duration.cache_clear()
    compiled.cache_clear()
    re2.purge()


def _seconds(work: Callable[[], object]) -> float:
    began = perf_counter()
    work()
    return perf_counter() - began


# --- matching -------------------------------------------------------------------------------------------


def _book(numbers: range) -> Rulebook:
    report = check_texts([("rules.yaml", rules_text(numbers))], surroundings())
    if report.rulebook is None:
        raise AssertionError([str(mistake) for mistake in report.mistakes])
    return report.rulebook


def _measure_matching(
    figures: Figures, books: dict[int, Rulebook], rounds: int, tick: Callable[[], Any]
) -> None:
    indexes = {number: RuleIndex(books[number]) for number in (SOME, MANY)}
    for turn in range(rounds):
        for number, index in _in_turn(indexes, turn):
            alerts = [labels_of(at * _STRIDE % number) for at in range(MATCHED)]
            took = _seconds(partial(_match_all, index, alerts))
            figures.matched.setdefault(number, []).append(took / MATCHED)
        tick()


def _match_all(index: RuleIndex, alerts: Sequence[dict[str, str]]) -> None:
    for labels in alerts:
        if not index.taking(labels):
            raise AssertionError(f"no rule takes {labels}")


def _in_turn(what: dict[int, Any], turn: int) -> list[tuple[int, Any]]:
    """Each goes first in every other round."""
    return list(what.items())[:: -1 if turn % 2 else 1]


# --- intake ---------------------------------------------------------------------------------------------


async def _measure_intake(
    figures: Figures, books: dict[int, Rulebook], rounds: int, tick: Callable[[], Any]
) -> None:
    instances = count()
    async with AsyncExitStack() as stack:
        place = await stack.enter_async_context(folder("postgres"))
        server = await stack.enter_async_context(postgres(place))
        intakes = {}
        for number in (FEW, MANY):
            dsn = await database(server, f"rules_{number}")
            intakes[number] = await stack.enter_async_context(_intake(dsn, books[number]))
        for intake in intakes.values():
            await _take(intake, [_alert(next(instances)) for _ in range(TAKEN)])  # warm
        for turn in range(rounds):
            for number, intake in _in_turn(intakes, turn):
                alerts = [_alert(next(instances)) for _ in range(TAKEN)]
                began = perf_counter()
                await _take(intake, alerts)
                figures.taken.setdefault(number, []).append((perf_counter() - began) / TAKEN)
            tick()


@asynccontextmanager
async def _intake(dsn: str, book: Rulebook) -> AsyncIterator[GroupCommit]:
    """A group commit as a replica has it, on a database of its own with this rulebook active."""
    await migrate(dsn)
    connections = await Connections.open(dsn, StoreSettings())
    store = PostgresStore(connections, _LEASE, TimelineKeys("1", {"1": secrets.token_bytes(16)}))
    await make_ahead(connections.intake, await store.now(), days=2)
    await store.activate(book, "the benchmark")
    rules = ActiveRules(store)
    await rules.follow()
    settings = EngineSettings(open_incidents_per_rule=1_000_000)
    intake = GroupCommit(store, rules, settings, build_metrics("benchmark"), Wake())
    running = asyncio.create_task(intake.run())
    try:
        yield intake
    finally:
        intake.close()
        await running
        await connections.close()


async def _take(intake: GroupCommit, alerts: Sequence[Alert]) -> None:
    """One alert a delivery, 32 senders, each waiting for its durable answer."""
    waiting = iter(alerts)

    async def sender() -> None:
        for alert in waiting:
            receipt = await intake.take(Delivery(source="bench", alerts=(alert,)))
            if receipt.stored != 1:
                raise AssertionError(receipt)

    await asyncio.gather(*(sender() for _ in range(AT_ONCE)))


def _alert(instance: int) -> Alert:
    """An alert that has not fired before, of one of the rules that both rulebooks have."""
    labels = {**labels_of(instance % FEW * (MANY // FEW)), "instance": f"orders-{instance}"}
    annotations = {"summary": "a benchmark's alert", "description": "as long as most descriptions are"}
    return Alert(
        fingerprint=fingerprint(labels),
        labels=labels,
        annotations=annotations,
        standing=Standing.FIRING,
        starts_at=datetime(2026, 1, 1, tzinfo=UTC),
        ends_at=None,
    )


# --- telling --------------------------------------------------------------------------------------------


def _summary(figures: Figures) -> dict[str, Any]:
    return {
        "match_10000_over_100": round(ratio(figures.matched[MANY], figures.matched[SOME]), 2),
        "match_over_intake": round(ratio(figures.matched[MANY], figures.taken[MANY]), 3),
        "intake_10000_over_10": round(ratio(figures.taken[MANY], figures.taken[FEW]), 2),
        "load_over_yaml": round(ratio(figures.loaded, figures.yaml), 2),
    }


def _table(figures: Figures) -> Table:
    table = Table(title="What rules cost (medians over the rounds)", title_justify="left")
    table.add_column("what")
    table.add_column("takes", justify="right")
    table.add_row(f"{LOADED:,} rules, the YAML alone", f"{1000 * median(figures.yaml):.0f} ms")
    table.add_row(f"{LOADED:,} rules, read and checked", f"{1000 * median(figures.loaded):.0f} ms")
    for what, rounds in (("matched against", figures.matched), ("taken in with", figures.taken)):
        for number, seconds in sorted(rounds.items()):
            table.add_row(f"an alert, {what} {number:,} rules", f"{1e6 * median(seconds):.1f} µs")
    return table


if __name__ == "__main__":
    main()
