"""100,000 alerts in one group: what an Alertmanager posts at once when a data centre goes."""

import asyncio
import io
from statistics import median
from time import monotonic

import aiohttp
import pytest

from responder.model.alert import fingerprint
from tests.support.hostile import AUTHORIZED, PATH, Taking, alert, payload, taking

pytestmark = [pytest.mark.real, pytest.mark.timeout(420)]

ALERTS = 100_000
MEGABYTE = 1024 * 1024


def labels(number: int) -> dict[str, str]:
    """The labels of one alert of the group."""
    return {
        "alertname": "TargetDown",
        "severity": "critical",
        "job": "node",
        "instance": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}:9100",
        "pod": f"node-exporter-{number:06d}",
        "cluster": "eu-1",
    }


def group() -> bytes:
    """All of them in one delivery, about 60 MB."""
    note = "The target has not answered for five minutes. " * 5
    alerts = [alert(labels=labels(number), annotations={"description": note}) for number in range(ALERTS)]
    return payload(*alerts)


async def resent(client: aiohttp.ClientSession, body: bytes) -> list[int]:
    """Post until it is taken, as Alertmanager does; the status of each try."""
    seen: list[int] = []
    while not seen or seen[-1] >= 500:
        await asyncio.sleep(min(len(seen), 5))
        try:
            async with client.post(PATH, data=io.BytesIO(body), headers=AUTHORIZED) as response:
                seen.append(response.status)
        except aiohttp.ClientConnectionError:
            seen.append(599)  # refused while it was still sending: Alertmanager tries again too
    return seen


async def small_ones(client: aiohttp.ClientSession, over: asyncio.Event) -> list[float]:
    """Post an alert of its own again and again; how many seconds each took."""
    took: list[float] = []
    while not over.is_set():
        began = monotonic()
        body = payload(alert(labels={"alertname": "Small", "n": str(len(took))}))
        async with client.post(PATH, data=body, headers=AUTHORIZED) as response:
            assert response.status == 200
        took.append(monotonic() - began)
        await asyncio.sleep(0.1)
    return took


async def flood(on: Taking) -> tuple[list[list[int]], list[float]]:
    """Both peers at once, and small deliveries until both are through."""
    body, over = group(), asyncio.Event()
    async with aiohttp.ClientSession(on.responder.url, timeout=aiohttp.ClientTimeout(total=300)) as client:
        small = asyncio.create_task(small_ones(client, over))
        tries = await asyncio.gather(resent(client, body), resent(client, body))
        over.set()
        return list(tries), await small


async def test_a_group_of_100000_alerts_from_both_peers() -> None:
    """None is lost, under 512 MB, and small deliveries are answered within 2 s at the median meanwhile."""
    async with taking() as on:
        began = monotonic()
        tries, took = await flood(on)
        peak = on.most_resident
        print(  # noqa: T201 - what was measured
            f"\n{monotonic() - began:.0f} s, tries {tries}, {peak / MEGABYTE:.0f} MB at most, "
            f"{len(took)} small ones: median {median(took):.3f} s, longest {max(took):.3f} s"
        )
        stored = await on.rows("SELECT fingerprint FROM alerts WHERE labels ->> 'alertname' = 'TargetDown'")
        assert {row[0] for row in stored} == {fingerprint(labels(number)) for number in range(ALERTS)}
        counts = "SELECT count(*) FROM members GROUP BY incident_id ORDER BY 1 DESC LIMIT 1"
        assert [row[0] for row in await on.rows(counts)] == [ALERTS]
        assert [one[-1] for one in tries] == [200, 200]
        assert peak < 512 * MEGABYTE
        assert median(took) < 2
