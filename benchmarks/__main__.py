"""`make bench`: durable intake and POST to action start, against the ceiling of this machine.

Everything is measured in interleaved rounds in one run, and told as a ratio: this machine's noise is in both.
The last line is one JSON object. With --json FILE the raw figures are kept too.
"""

import asyncio
import os
import platform
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks import parts
from benchmarks.measure import Calls, Storm, percentile, ratio, storm, warm
from benchmarks.receiver import Receiver, receiver
from tests.support.parts import folder

SIZES = (1, 20)
_OURS, _CEILING, _EMPTY = "responder", "ceiling", "empty handler"


@dataclass
class Figures:
    """All rounds: storms by (who, alerts a POST), latencies in milliseconds by what was waited for."""

    storms: dict[tuple[str, int], list[Storm]] = field(default_factory=dict)
    stored: list[list[float]] = field(default_factory=list)
    started: list[list[float]] = field(default_factory=list)
    answered: list[list[float]] = field(default_factory=list)
    resident_mib: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Bench:
    """What runs during one measurement."""

    urls: dict[str, str]
    acting: parts.Responder
    idle: parts.Responder
    ceiling: parts.Ceiling
    receiver: Receiver
    session: aiohttp.ClientSession


@click.command()
@click.option("--rounds", default=7, show_default=True, help="Interleaved rounds; medians are over them.")
@click.option("--samples", default=300, show_default=True, help="Single POSTs in each round.")
@click.option("--seconds", default=3.0, show_default=True, help="How long each storm lasts.")
@click.option("--json", "kept", type=click.Path(path_type=Path), help="Where to keep the raw figures.")
def main(rounds: int, samples: int, seconds: float, kept: Path | None) -> None:
    """Measure intake and the way to an action's start against this machine's ceiling."""
    console = Console()
    console.print(parts.SETTINGS, markup=False, highlight=False)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("measuring", total=rounds * (1 + 5))
        figures = asyncio.run(_run(rounds, samples, seconds, lambda: progress.advance(task)))
    told = _summary(figures)
    console.print(_table(figures))
    if kept is not None:
        kept.write_text(parts.told({**told, "machine": _machine(), "raw": _raw(figures)}))
    print(parts.told(told))  # noqa: T201 - the last line is for programs


async def _run(rounds: int, samples: int, seconds: float, tick: Any) -> Figures:
    figures = Figures()
    async with AsyncExitStack() as stack:
        bench = await _started(stack)
        figures.resident_mib["idle"] = bench.idle.resident_mib()
        for number in range(rounds):
            await _latency(bench, figures, number, samples)
            tick()
        for url in bench.urls.values():
            await warm(bench.session, url)
        for number in range(rounds):
            await _throughput(bench, figures, number, seconds, tick)
        figures.resident_mib["after the storms"] = bench.idle.resident_mib()
    return figures


async def _started(stack: AsyncExitStack) -> Bench:
    where = await stack.enter_async_context(folder("postgres"))
    server = await stack.enter_async_context(parts.postgres(where))
    calls = await stack.enter_async_context(receiver())
    started: dict[str, Any] = {}
    for name in ("acting", "intake"):
        own = await stack.enter_async_context(folder())
        dsn = await parts.database(server, name)
        one = parts.Responder(name, own, dsn, calls.url)
        started[name] = await stack.enter_async_context(one)
    dsn = await parts.database(server, "ceiling")
    for mode in ("ceiling", "empty"):
        own = await stack.enter_async_context(folder())
        started[mode] = await stack.enter_async_context(parts.Ceiling(own, mode, dsn))
    session = await stack.enter_async_context(aiohttp.ClientSession())
    urls = {_OURS: started["intake"].webhook, _CEILING: started["ceiling"].url, _EMPTY: started["empty"].url}
    return Bench(urls, started["acting"], started["intake"], started["ceiling"], calls, session)


async def _latency(bench: Bench, figures: Figures, number: int, samples: int) -> None:
    """The waits in turn, twenty at a time, so that noise falls on all of them."""
    ceiling = Calls(bench.session, f"{bench.ceiling.url}/")
    acting = Calls(bench.session, bench.acting.webhook)
    stored: list[float] = []
    answered: list[float] = []
    started: list[float] = []
    for start in range(0, samples, 20):
        names = [f"r{number}-{n}" for n in range(start, min(samples, start + 20))]
        stored += await ceiling.until_stored(names)
        both = await acting.until_called(bench.receiver, names)
        answered += both[0]
        started += both[1]
    figures.stored.append(stored)
    figures.started.append(started)
    figures.answered.append(answered)


async def _throughput(bench: Bench, figures: Figures, number: int, seconds: float, tick: Any) -> None:
    for alerts in SIZES:
        for who, url in bench.urls.items():
            if who == _EMPTY and alerts != SIZES[0]:
                continue
            found = await storm(url, number * len(SIZES) + SIZES.index(alerts) + 1, alerts, seconds)
            figures.storms.setdefault((who, alerts), []).append(found)
            await asyncio.sleep(1)
            tick()


def _rates(figures: Figures, who: str, alerts: int) -> list[float]:
    return [one.rate for one in figures.storms[who, alerts]]


def _summary(figures: Figures) -> dict[str, Any]:
    told: dict[str, Any] = {
        f"intake_ratio_{size}": round(ratio(_rates(figures, _OURS, size), _rates(figures, _CEILING, size)), 3)
        for size in SIZES
    }
    for percent in (50, 99):
        ours = [percentile(each, percent) for each in figures.started]
        theirs = [percentile(each, percent) for each in figures.stored]
        told[f"action_start_ratio_p{percent}"] = round(ratio(ours, theirs), 2)
    told["samples"] = sum(len(each) for each in figures.started)
    told["resident_idle_mib"] = round(figures.resident_mib["idle"], 1)
    return told


def _table(figures: Figures) -> Table:
    table = Table(title=_machine(), title_justify="left")
    for heading in ("what", "median", "p50", "p99"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    for (who, alerts), storms in figures.storms.items():
        rate = f"{median(one.rate for one in storms):,.0f} alerts/s"
        p50, p99 = (f"{median(getattr(one, name) for one in storms):.1f} ms" for name in ("p50_ms", "p99_ms"))
        table.add_row(f"{who}, {alerts} alert{'' if alerts == 1 else 's'} a POST, c=32", rate, p50, p99)
    for what, rounds in (
        ("ceiling, POST to durable answer, idle", figures.stored),
        ("responder, POST to durable answer, idle", figures.answered),
        ("responder, POST to action start, idle", figures.started),
    ):
        p50, p99 = (f"{median(percentile(each, percent) for each in rounds):.2f} ms" for percent in (50, 99))
        table.add_row(what, "", p50, p99)
    for when, mib in figures.resident_mib.items():
        table.add_row(f"responder's resident memory, {when}", f"{mib:.0f} MiB", "", "")
    return table


def _machine() -> str:
    return f"{os.cpu_count()} cores, Python {platform.python_version()}, Linux {platform.release()}"


def _raw(figures: Figures) -> dict[str, Any]:
    return {
        "storms": {
            f"{who}, {alerts}": [[one.rate, one.p50_ms, one.p99_ms] for one in storms]
            for (who, alerts), storms in figures.storms.items()
        },
        "stored_ms": figures.stored,
        "started_ms": figures.started,
        "answered_ms": figures.answered,
        "resident_mib": figures.resident_mib,
    }


if __name__ == "__main__":
    main()
