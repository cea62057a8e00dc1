"""The two ways of measuring: a storm by wrk, and one POST after the other on an idle system."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any

import aiohttp

from benchmarks.parts import HERE, TOKEN
from benchmarks.receiver import Receiver
from responder.model.alert import fingerprint
from tests.support.parts import program

CONNECTIONS = 32
POOL = 10_000
_STARTS_AT = "2026-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Storm:
    """One run of wrk: alerts a second, and how long a POST took, in milliseconds."""

    rate: float
    p50_ms: float
    p99_ms: float


async def warm(session: aiohttp.ClientSession, url: str) -> None:
    """The 10,000 alerts of the mix that fire already."""
    for start in range(1, POOL + 1, POOL // 20):
        alerts = [_pooled(number) for number in range(start, start + POOL // 20)]
        await _post(session, url, {"version": "4", "status": "firing", "alerts": alerts})


def _pooled(number: int) -> dict[str, Any]:
    """As `mix.lua` writes it."""
    labels = {"alertname": "Intake", "job": f"job-{number % 50}", "instance": f"pool-{number}"}
    return {
        "status": "firing",
        "labels": {**labels, "severity": "warning", "cluster": "bench", "namespace": "default"},
        "annotations": {
            "summary": "a benchmark's alert",
            "description": "one of very many, as long as most descriptions are",
        },
        "startsAt": _STARTS_AT,
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus:9090/graph?g0.expr=up",
    }


async def _post(session: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with session.post(url, json=body, headers=headers) as answer:
        answer.raise_for_status()
        await answer.read()


async def storm(url: str, number: int, alerts: int, seconds: float) -> Storm:
    """32 connections that POST the mix as fast as they are answered. No two storms have the same number."""
    wrk = await asyncio.create_subprocess_exec(
        *(program("wrk", "wrk"), "-t1", f"-c{CONNECTIONS}", f"-d{seconds:g}s", "--timeout", "10s"),
        *("-s", str(HERE / "mix.lua"), url, "--", str(number), str(alerts), TOKEN),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await wrk.communicate()
    line = next(line for line in out.decode().splitlines() if line.startswith("figures "))
    figures = json.loads(line.removeprefix("figures "))
    if figures["failed"]:
        raise AssertionError(f"{figures['failed']} POSTs failed: {out.decode()}")
    return Storm(figures["requests"] * alerts / figures["seconds"], figures["p50_ms"], figures["p99_ms"])


class Calls:
    """POSTs of one alert each, on a connection that stays, as Alertmanager's does."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def post(self, instance: str, *, ended: bool = False) -> None:
        """One delivery; returns when it is answered."""
        await self._send(_alert(instance, ended=ended))

    async def until_stored(self, instances: Sequence[str]) -> list[float]:
        """Milliseconds from POST to its durable answer, one after the other."""
        took: list[float] = []
        for instance in instances:
            began = perf_counter()
            await self.post(instance)
            took.append(1000 * (perf_counter() - began))
            await asyncio.sleep(_PAUSE)
        return took

    async def until_called(
        self, receiver: Receiver, instances: Sequence[str]
    ) -> tuple[list[float], list[float]]:
        """Milliseconds from POST to its durable answer, and to the arrival of the action's call.

        Each alert ends before the next one.
        """
        answered: list[float] = []
        called: list[float] = []
        for instance in instances:
            alert = _alert(instance)
            receiver.firing = {instance: {**alert, "status": _ACTIVE}}
            arrival = receiver.expect(instance)
            began = perf_counter()
            await self._send(alert)
            answered.append(1000 * (perf_counter() - began))
            async with asyncio.timeout(30):
                called.append(1000 * (await arrival - began))
            receiver.firing = {}
            await self.post(instance, ended=True)
            await asyncio.sleep(_PAUSE)
        return answered, called

    async def _send(self, alert: dict[str, Any]) -> None:
        body = {"version": "4", "status": alert["status"], "receiver": "responder", "alerts": [alert]}
        await _post(self._session, self._url, body)


_PAUSE = 0.05
_ACTIVE = {"state": "active", "silencedBy": [], "inhibitedBy": []}


def _alert(instance: str, *, ended: bool = False) -> dict[str, Any]:
    labels = {"alertname": "Call", "instance": instance, "job": "bench", "severity": "warning"}
    return {
        "status": "resolved" if ended else "firing",
        "labels": labels,
        "annotations": {"summary": "a benchmark's alert"},
        "startsAt": _STARTS_AT,
        "endsAt": "2026-01-01T00:00:01Z" if ended else "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus:9090/graph?g0.expr=up",
        "fingerprint": fingerprint(labels),
    }


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which so many percent lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median over the rounds of ours by theirs, each of one round."""
    return median(a / b for a, b in zip(ours, theirs, strict=True))
