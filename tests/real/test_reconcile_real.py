"""Notifications that are lost, and two real Alertmanagers that are asked what was in them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml

from responder.model.alert import fingerprint
from tests.support.parts import (
    Alertmanager,
    alertmanager_pair,
    folder,
    free_port,
    get_json,
    until,
    webhook_configuration,
)
from tests.support.service import SOURCE, TOKEN, Responder, settings_for

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]

LABELS = {"alertname": "DiskFull", "server": "orders"}
RULE = {
    "name": "DiskFull",
    "match": ['alertname = "DiskFull"'],
    "severity": "P2",
    "group_by": ["server"],
    "escalate": True,
}
"""A rule that only tells a person."""


class Scene:
    """A responder, and two peers that tell it nothing unless a test lets them."""

    def __init__(self, responder: Responder, peers: tuple[Alertmanager, Alertmanager]) -> None:
        self.responder = responder
        self.peers = peers

    async def post(self, labels: dict[str, str] = LABELS, *, ended: bool = False) -> None:
        """Tell both peers, as Prometheus would."""
        now = datetime.now(UTC)
        over = now if ended else now + timedelta(minutes=10)
        alert = {
            "labels": labels,
            "annotations": {"summary": "the disk is full"},
            "startsAt": (now - timedelta(minutes=1)).isoformat(),
            "endsAt": over.isoformat(),
            "generatorURL": "http://prometheus/graph",
        }
        for peer in self.peers:
            await peer.post(alert)

    async def source(self) -> dict[str, Any]:
        """What the responder says of its source."""
        [source] = (await get_json(f"{self.responder.url}/api/v1/sources"))["sources"]
        assert isinstance(source, dict)
        return source

    async def rounds(self, count: int, *, complete: bool = True) -> dict[str, Any]:
        """Until so many more rounds are over, complete or not."""
        start = await self.source()

        async def over() -> dict[str, Any] | None:
            now = await self.source()
            if now["rounds"] < start["rounds"] + count:
                return None
            return now if (now["problem"] is None) == complete else None

        found = await until(over, f"{count} rounds that are {'' if complete else 'not '}complete")
        assert found is not None
        return found

    async def firing(self) -> dict[str, int]:
        """How many alerts fire, by incident's state."""
        told: dict[str, int] = {}
        for incident in await self.responder.incidents():
            dossier = await get_json(f"{self.responder.url}/api/v1/incidents/{incident['id']}")
            told[incident["state"]] = told.get(incident["state"], 0) + dossier["members"]["firing"]
        return told


@asynccontextmanager
async def scene(*, tells: bool = False, resend_period: str = "500ms") -> AsyncIterator[Scene]:
    """Rounds every second. Without `tells` the peers' receiver is one that nobody listens at."""
    port = free_port()
    there = port if tells else free_port()
    told = webhook_configuration(
        f"http://127.0.0.1:{there}/api/v1/webhooks/alertmanager/{SOURCE}", token=TOKEN
    )
    async with alertmanager_pair(told) as peers, folder() as home:
        file = home / "rules.yaml"
        file.write_text(yaml.safe_dump({"rules": [RULE]}, sort_keys=False))
        settings = settings_for(
            database="embedded",
            victim="postgresql://nobody@127.0.0.1/nothing",
            rules=file,
            alertmanagers=[peer.url for peer in peers],
        )
        settings["sources"][SOURCE]["resend_period"] = resend_period
        settings["engine"]["reconcile"] = {"every": "1s"}
        async with Responder(home, port, settings) as responder:
            yield Scene(responder, peers)


async def test_a_lost_delivery_is_taken_in_and_a_lost_resolve_is_found() -> None:
    """No notification ever arrives: the alert is taken in, a person is told of it; its end is found, too."""
    async with scene() as on:
        await on.rounds(1)
        await on.post()
        dossier = await on.responder.reaches("escalated")
        [member] = dossier["members"]["sample"]
        assert (member["labels"], member["fingerprint"]) == (LABELS, fingerprint(LABELS))
        assert member["annotations"] == {"summary": "the disk is full"}
        assert member["generator_url"] == "http://prometheus/graph"
        await on.post(ended=True)
        await on.responder.reaches("resolved")
        source = await on.rounds(1)
        assert (source["taken_in"], source["gone"]) == (1, 1)
        assert "took in 1 and ended 1" in await on.responder.cli("sources", "list")


async def test_what_was_told_while_the_service_was_stopped_is_taken_in() -> None:
    """An alert that came while nobody listened, and is not told of again, is found at the start."""
    async with scene() as on:
        await on.responder.stop()
        await on.post()
        await on.responder.start()
        assert (await on.responder.reaches("escalated"))["members"]["firing"] == 1


async def test_a_silenced_alert_is_taken_in_and_tells_nobody() -> None:
    """It was never notified, because it is silenced: its incident is suppressed until the silence ends."""
    async with scene() as on:
        now = datetime.now(UTC)
        silence = await on.peers[0].silence(
            LABELS, starts_at=now.isoformat(), ends_at=(now + timedelta(hours=1)).isoformat()
        )

        async def known_to_both() -> bool:
            told = [await get_json(f"{peer.url}/api/v2/silences") for peer in on.peers]
            return all(silence in str(silences) for silences in told)

        await until(known_to_both, "the silence has reached both peers")
        await on.post()
        dossier = await on.responder.reaches("suppressed")
        assert silence in str(dossier["entries"])
        assert dossier["incident"]["progress"]["escalations"] == 0


async def test_a_missing_or_restarted_peer_resolves_nothing() -> None:
    """One peer away, then both restarted with empty lists: however many rounds pass, the alert fires on."""
    async with scene(tells=True, resend_period="1h") as on:
        await on.post()
        await on.responder.reaches("escalated")
        first, second = on.peers
        await second.stop()
        away = await on.rounds(5, complete=False)
        assert second.url in away["problem"]
        assert [peer["answered"] for peer in away["peers"]] == [True, False]
        assert await on.firing() == {"escalated": 1}
        await first.stop()
        await second.start()
        await first.start()
        assert await first.alerts() == []
        young = await on.rounds(5, complete=False)
        assert "has been up for" in young["problem"]
        assert (young["gone"], await on.firing()) == (0, {"escalated": 1})


async def test_a_person_asks_for_a_round() -> None:
    """`responder sources reconcile` has the source asked, and says in whose name."""
    async with scene() as on:
        await on.responder.cli("sources", "reconcile", SOURCE, "--actor", "ann")

        async def asked() -> bool:
            return bool((await on.source())["asked_by"] == "ann")

        await until(asked, "the wish is kept")
