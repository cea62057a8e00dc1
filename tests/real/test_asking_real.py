"""The actions that ask a Prometheus and an Alertmanager conform on real ones, and count what is there."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest
import pytest_asyncio

from responder.actions.base import Clients
from responder.actions.registry import BuiltActions, Registry
from responder.clients.alertmanagers import AlertmanagerClusters
from responder.clients.http import Access
from responder.clients.postgres import PostgresServers
from responder.clients.prometheus import Prometheus as PrometheusClient
from responder.clients.prometheuses import PrometheusServers
from responder.model.errors import PermanentError, RefusedError, TemporaryError
from responder.model.inventory import Inventory
from responder.model.rule import StepKind
from responder.model.target import Element, State
from responder.ports import Action
from responder.rulebook.load import check
from tests.support.conformance import Claim, claims_for
from tests.support.parts import (
    Alertmanager,
    Prometheus,
    alertmanager_pair,
    free_port,
    prometheus,
    until,
    webhook_configuration,
)
from tests.support.rule_surroundings import surroundings

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]

OURS = Registry(installed=())
ROOT = Path(__file__).parents[2]
NOWHERE = webhook_configuration(f"http://127.0.0.1:{free_port()}/nobody")
SOURCE = "main"


def clients_of(kind: str, *urls: str) -> Clients:
    """Clients of a source's servers, and of a second source that only an unnamed one could mean."""
    empty = Inventory()
    postgres = PostgresServers(empty)
    if kind == "prometheus":
        of = {name: [PrometheusClient(url) for url in urls] for name in (SOURCE, "other")}
        return Clients(empty, postgres, prometheus=PrometheusServers((), of))
    return Clients(
        empty, postgres, AlertmanagerClusters({SOURCE: (urls, Access()), "other": (urls, Access())})
    )


class Asked:
    """A scene of an action that looks: something of its own to see."""

    def __init__(self, name: str, params: Mapping[str, Any], clients: Clients, away: Clients) -> None:
        self.action: Action[Any, Any] = BuiltActions(OURS, clients).get(name)
        self.stranded: Action[Any, Any] = BuiltActions(OURS, away).get(name)
        self.lost: Mapping[str, Any] = {"source": "no-such-source"}
        self.ambiguous: Mapping[str, Any] = {"source": None}
        self.params: Mapping[str, Any] = {"source": SOURCE, **params}
        self.made = 0

    async def arrange(self, count: int) -> None:
        """Prometheus always has series of its own to see."""
        self.made = count

    async def standing(self) -> int:
        """Looking has no effect that could be seen there."""
        return self.made

    async def vanish(self, element: Element) -> None:
        """An action that looks pins nothing."""
        raise AssertionError(element)

    def impostor(self, element: Element) -> Element:
        """As `vanish`."""
        raise AssertionError(element)

    async def look(self, **changes: Any) -> Any:
        """What the action finds."""
        params = self.action.Params.model_validate({**self.params, **changes})
        return await self.action.look(params, self.action.resolve(params)[0])


class Alerting(Asked):
    """A scene of `alertmanager.alerts`: alerts of its own fire."""

    def __init__(self, peers: tuple[Alertmanager, Alertmanager], clients: Clients, away: Clients) -> None:
        self.peers = peers
        self.test = f"t{uuid4().hex[:8]}"
        super().__init__("alertmanager.alerts", {"labels": {"test": self.test}}, clients, away)

    async def arrange(self, count: int) -> None:
        """So many alerts, known to both peers."""
        for number in range(count):
            await self.fire(f"A{number}", self.peers)

        async def everywhere() -> bool:
            return [len(await self._mine(peer)) for peer in self.peers] == [count, count]

        await until(everywhere, "both peers know it")

    async def standing(self) -> int:
        """By the peer that is asked first."""
        return len(await self._mine(self.peers[0]))

    async def fire(self, alertname: str, peers: tuple[Alertmanager, ...]) -> None:
        """At these peers."""
        now = datetime.now(UTC)
        labels = {"alertname": alertname, "test": self.test}
        told = {
            "labels": labels,
            "startsAt": (now - timedelta(minutes=10)).isoformat(),
            "endsAt": (now + timedelta(hours=1)).isoformat(),
        }
        for peer in peers:
            await peer.post(told)

    async def _mine(self, peer: Alertmanager) -> list[Any]:
        return [one for one in await peer.alerts() if one["labels"].get("test") == self.test]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair() -> AsyncIterator[tuple[Alertmanager, Alertmanager]]:
    async with alertmanager_pair(NOWHERE) as peers:
        yield peers


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[Prometheus]:
    async with prometheus(targets={}, alertmanagers=[], rules=[]) as running:
        yield running


@asynccontextmanager
async def asking(server: Prometheus, promql: str = "vector(1)") -> AsyncIterator[Asked]:
    clients = clients_of("prometheus", server.url)
    away = clients_of("prometheus", f"http://127.0.0.1:{free_port()}")
    try:
        yield Asked("prometheus.query", {"promql": promql}, clients, away)
    finally:
        await clients.prometheus.close()
        await away.prometheus.close()


@asynccontextmanager
async def alerting(peers: tuple[Alertmanager, Alertmanager]) -> AsyncIterator[Alerting]:
    clients = clients_of("alertmanager", *(peer.url for peer in peers))
    away = clients_of("alertmanager", f"http://127.0.0.1:{free_port()}")
    try:
        yield Alerting(peers, clients, away)
    finally:
        await clients.alertmanagers.close()
        await away.alertmanagers.close()


CLAIMS = [pytest.param(claim, id=claim.__name__) for claim in claims_for(StepKind.READ_ONLY)]


@pytest.mark.parametrize("claim", CLAIMS)
async def test_a_question_to_prometheus_conforms(claim: Claim, server: Prometheus) -> None:
    """Each claim of the conformance suite, on a real Prometheus."""
    async with asking(server) as scene:
        await claim(cast("Any", scene))


@pytest.mark.parametrize("claim", CLAIMS)
async def test_the_alerts_of_an_alertmanager_conform(
    claim: Claim, pair: tuple[Alertmanager, Alertmanager]
) -> None:
    """Each claim of the conformance suite, on two real peers."""
    async with alerting(pair) as scene:
        await claim(cast("Any", scene))


@pytest.mark.parametrize(
    ("promql", "result", "summary"),
    [
        ("vector(3)", {"series": 1, "values": [3.0], "highest": 3.0, "lowest": 3.0}, "3"),
        ("1.5", {"series": 1, "values": [1.5], "highest": 1.5, "lowest": 1.5}, "1.5"),
        (
            'label_replace(vector(1), "a", "x", "", "") or label_replace(vector(2), "a", "y", "", "")',
            {"series": 2, "values": [2.0, 1.0], "highest": 2.0, "lowest": 1.0},
            '2 series, the highest: 2 {a="y"}, 1 {a="x"}',
        ),
        ("nothing_of_that_name", {"series": 0, "values": [], "highest": None, "lowest": None}, "is empty"),
        ("vector(0) / 0", {"series": 1, "values": [None], "highest": None, "lowest": None}, "no number"),
        ("vector(1) / 0", {"series": 1, "values": [None], "highest": None, "lowest": None}, "no number"),
    ],
)
async def test_what_prometheus_answers_is_what_a_rule_compares(
    server: Prometheus, promql: str, result: dict[str, Any], summary: str
) -> None:
    """One value for each series, the highest first; what is no number is no data."""
    async with asking(server, promql) as scene:
        state: State = await scene.look()
    assert state.result == result
    assert summary in state.summary


async def test_a_wrong_question_is_told_in_prometheus_words(server: Prometheus) -> None:
    """It will be as wrong the next time: no TemporaryError."""
    async with asking(server) as scene:
        with pytest.raises(PermanentError, match="refuses the query"):
            await scene.look(promql="sum(")


async def test_prometheus_understands_each_question_of_the_shipped_checks(server: Prometheus) -> None:
    """None of them is refused; without a series there is no data, and that is what is found."""
    report = check([ROOT / "rules"], surroundings())
    assert report.rulebook is not None
    steps = [step for rule in report.rulebook.rules for step in rule.checks if "promql" in step.params]
    assert len(steps) > 10
    async with asking(server) as scene:
        for step in steps:
            assert (await scene.look(promql=step.params["promql"])).values == (), step.title


async def test_alerts_count_once_and_as_active_where_any_peer_says_so(
    pair: tuple[Alertmanager, Alertmanager],
) -> None:
    """By all peers together; what is named as never wrong is left out."""
    async with alerting(pair) as scene:
        await scene.fire("Both", pair)
        await scene.fire("OnlyOne", pair[:1])
        await scene.fire("Watchdog", pair)

        async def all_there() -> bool:
            return bool((await scene.look()).active == 2)

        await until(all_there, "two alerts are active")
        state = await scene.look()
        assert [(one.alertname, one.alerts) for one in state.named] == [("Both", 1), ("OnlyOne", 1)]
        assert state.oldest_for >= timedelta(minutes=10)
        assert "2 alerts are active: Both (1), OnlyOne (1); 0 suppressed" in state.summary
        assert (await scene.look(without=[])).active == 3
        assert (await scene.look(labels={"test": "another"})).result == {
            "active": 0,
            "suppressed": 0,
            "oldest_for": None,
        }


async def test_the_settings_prometheus_is_asked_first_and_a_replica_answers_for_another(
    server: Prometheus,
) -> None:
    """Without a source; where the first does not answer the second does."""
    away = PrometheusClient(f"http://127.0.0.1:{free_port()}")
    servers = PrometheusServers([away, PrometheusClient(server.url)], {"one": [away], "two": [away]})
    assert servers.find(None) == "settings"
    assert [one.value for one in await servers.query("settings", "vector(4)", timedelta(seconds=5))] == [4.0]
    with pytest.raises(TemporaryError):
        await servers.query("one", "vector(4)", timedelta(seconds=5))
    with pytest.raises(RefusedError, match="no source 'three' has a Prometheus"):
        servers.find("three")
    await servers.close()
