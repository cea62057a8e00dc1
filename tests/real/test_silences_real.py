"""The actions on silences conform on two real Alertmanagers, and a ladder goes on beneath its own silence."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
import yaml

from responder.actions.base import Clients
from responder.actions.registry import BuiltActions, Registry
from responder.clients.alertmanager import Alertmanager as Client
from responder.clients.alertmanager import SilenceMatcher
from responder.clients.alertmanagers import AlertmanagerClusters
from responder.clients.http import Access
from responder.clients.postgres import PostgresServers
from responder.model.attempt import Attempt, Outcome
from responder.model.inventory import Inventory
from responder.model.silence import CREATED_BY, incident_mark
from responder.model.target import Element
from responder.ports import Action
from tests.support.conformance import Claim, claims_for
from tests.support.parts import (
    Alertmanager,
    alertmanager_pair,
    folder,
    free_port,
    until,
    webhook_configuration,
)
from tests.support.service import SOURCE, TOKEN, Responder, settings_for

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]

OURS = Registry(installed=())
NAMES = ["alertmanager.expire_silence", "alertmanager.silence"]
CLUSTER = "main"
NOWHERE = webhook_configuration(f"http://127.0.0.1:{free_port()}/nobody")
INCIDENT = UUID("019ab3c2-1111-7000-8000-000000000001")


class Ledger:
    """What the ledger says of every attempt: that it is of one rule and one incident."""

    async def attempt(self, attempt_id: UUID) -> Attempt | None:
        """An attempt of that id."""
        now = datetime.now(UTC)
        return Attempt(
            id=attempt_id,
            incident_id=INCIDENT,
            rule="DiskFull",
            step=0,
            action="alertmanager.silence",
            params={},
            target="alertmanager/main/x",
            elements=(),
            outcome=Outcome.STARTED,
            intended_at=now,
            start_before=now,
            timeout_s=1.0,
            fenced=False,
        )


def clients_of(*urls: str) -> Clients:
    """Clients of the cluster, and of a second one that only an unnamed source could mean."""
    clusters = AlertmanagerClusters({CLUSTER: (urls, Access()), "other": (urls, Access())})
    empty = Inventory()
    return Clients(empty, PostgresServers(empty), clusters, Ledger())


class Silences:
    """A scene of both actions: alerts that fire, or silences of ours over them."""

    def __init__(
        self, name: str, peers: tuple[Alertmanager, Alertmanager], clients: Clients, away: Clients
    ) -> None:
        self.name = name
        self.peers = peers
        self.action: Action[Any, Any] = BuiltActions(OURS, clients).get(name)
        self.stranded: Action[Any, Any] = BuiltActions(OURS, away).get(name)
        self.alertnames = [f"A{uuid4().hex[:8]}" for _ in range(3)]
        self.lost: Mapping[str, Any] = {"source": "no-such-source"}
        self.ambiguous: Mapping[str, Any] = {"source": None}
        lasts = {"lasts": "10m"} if name == "alertmanager.silence" else {}
        self.params: Mapping[str, Any] = {
            "source": CLUSTER,
            "matchers": [{"alertname": alertname, "server": 'a"b\\c ü'} for alertname in self.alertnames],
            "at_most": 2,
            **lasts,
        }
        self.client = Client(peers[0].url)
        self.made = 0

    @property
    def silences(self) -> bool:
        """Whether the elements are silences."""
        return self.name == "alertmanager.expire_silence"

    async def arrange(self, count: int) -> None:
        """Alerts that fire, each with a silence of ours where these are the elements."""
        self.made = count
        for labels in self.params["matchers"][:count]:
            await self._post(labels)
            if self.silences:
                now = datetime.now(UTC)
                matchers = [SilenceMatcher.exactly(*pair) for pair in labels.items()]
                await self.client.silence(matchers, now, now + timedelta(hours=1), CREATED_BY, "a test")

        async def everywhere() -> bool:
            return [await self._standing(peer) for peer in self.peers] == [count, count]

        await until(everywhere, "both peers know it")

    async def standing(self) -> int:
        """As the peer sees it that is asked first."""
        return await self._standing(self.peers[0])

    async def _standing(self, peer: Alertmanager) -> int:
        alerts = [a for a in await peer.alerts() if a["labels"]["alertname"] in self.alertnames]
        return sum(1 for alert in alerts if bool(alert["status"]["silencedBy"]) == self.silences)

    async def vanish(self, element: Element) -> None:
        """The alert ends, or a person ends the silence."""
        if self.silences:
            await self.client.expire_silence(element.facts["id"])
            return
        await self._post(element.facts["matchers"], ended=True)

    def impostor(self, element: Element) -> Element:
        """The same conditions, or the same id, pinned when it was another alert or had another end."""
        earlier = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
        facts = dict(element.facts)
        if self.silences:
            facts["ends_at"] = earlier
        else:
            facts["named"] = [{**seen, "starts_at": earlier} for seen in facts["named"]]
        return element.model_copy(update={"facts": facts})

    async def _post(self, labels: Mapping[str, str], *, ended: bool = False) -> None:
        now = datetime.now(UTC)
        over = now if ended else now + timedelta(hours=1)
        told = {"labels": labels, "startsAt": now.isoformat(), "endsAt": over.isoformat()}
        for peer in self.peers:
            await peer.post(told)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair() -> AsyncIterator[tuple[Alertmanager, Alertmanager]]:
    async with alertmanager_pair(NOWHERE) as peers:
        yield peers


@asynccontextmanager
async def scene_of(name: str, peers: tuple[Alertmanager, Alertmanager]) -> AsyncIterator[Silences]:
    """A scene whose connections are closed."""
    clients = clients_of(*(peer.url for peer in peers))
    away = clients_of(f"http://127.0.0.1:{free_port()}")
    scene = Silences(name, peers, clients, away)
    try:
        yield scene
    finally:
        await scene.client.close()
        await clients.alertmanagers.close()
        await away.alertmanagers.close()


@pytest.mark.parametrize(
    ("name", "claim"),
    [
        pytest.param(name, claim, id=f"{name}-{claim.__name__}")
        for name in NAMES
        for claim in claims_for(OURS.load(name).kind)
    ],
)
async def test_conformance(name: str, claim: Claim, pair: tuple[Alertmanager, Alertmanager]) -> None:
    """Each claim of the conformance suite holds for both actions, on two real peers."""
    async with scene_of(name, pair) as scene:
        await claim(scene)


RULE = {
    "name": "DiskFull",
    "match": ['alertname = "DiskFull"'],
    "severity": "P2",
    "group_by": ["alertname", "server"],
    "autonomy": "auto",
    "steps": [
        {
            "action": "alertmanager.silence",
            "with": {
                "matchers": [{"alertname": "$labels.alertname", "server": "$labels.server"}],
                "lasts": "10m",
            },
            "undo": "if_not_recovered",
        }
    ],
    "verify": {"alert_resolved_within": "4s", "stable_for": "1s"},
    "limits": {"attempts": 3, "per": "1h", "cooldown": "1s"},
}


async def test_a_ladder_goes_on_beneath_its_own_silence() -> None:
    """The alert is silenced, found not recovered all the same, the silence taken back, and a person told."""
    port = free_port()
    told = webhook_configuration(
        f"http://127.0.0.1:{port}/api/v1/webhooks/alertmanager/{SOURCE}", token=TOKEN
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
        client = Client(peers[1].url)
        async with Responder(home, port, settings) as responder:
            now = datetime.now(UTC)
            alert = {
                "labels": {"alertname": "DiskFull", "server": "orders"},
                "startsAt": now.isoformat(),
                "endsAt": (now + timedelta(minutes=10)).isoformat(),
            }
            for peer in peers:
                await peer.post(alert)
            dossier = await responder.reaches("verifying")
            [silence] = await until(client.silences, "the other peer has heard of the silence")
            assert (silence.created_by, silence.state) == (CREATED_BY, "active")
            identity = UUID(dossier["incident"]["id"])
            assert "rule DiskFull" in silence.comment
            assert incident_mark(identity) in silence.comment
            assert {one.name: one.value for one in silence.matchers} == alert["labels"]
            dossier = await responder.reaches("escalated")
            attempts = [(one["action"], one["outcome"]) for one in dossier["attempts"]]
            assert attempts == [("alertmanager.silence", "done"), ("alertmanager.expire_silence", "done")]
            assert all(entry["facts"].get("to") != "suppressed" for entry in dossier["entries"])

            async def over() -> bool:
                return [one.state for one in await client.silences()] == ["expired"]

            await until(over, "the other peer has heard of its end")
        await client.close()
