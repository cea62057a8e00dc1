"""Claims about asking the real Alertmanager and the real Prometheus what they know of alerts."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from responder.clients.alertmanager import Alertmanager as AlertmanagerClient
from responder.clients.prometheus import Prometheus as PrometheusClient
from responder.decide.case import SourceView
from responder.model.alert import fingerprint
from responder.model.errors import PermanentError, TemporaryError
from responder.model.incident import MemberAlert
from responder.sources.alert_state import SourceStates
from responder.sources.settings import SourceSettings
from tests.support.parts import (
    Alertmanager,
    alertmanager,
    alertmanager_pair,
    free_port,
    prometheus,
    until,
    webhook_configuration,
)

pytestmark = pytest.mark.real

POSTED = {"alertname": "PostgresLongRunningQuery", "server": "orders", "city": "Köln"}
OTHER = {"alertname": "PostgresLongRunningQuery", "server": "billing"}
NOWHERE = webhook_configuration(f"http://127.0.0.1:{free_port()}/nobody")


def member(labels: Mapping[str, str] = POSTED) -> MemberAlert:
    now = datetime.now(UTC)
    return MemberAlert(
        source="main",
        fingerprint=fingerprint(labels),
        generation=1,
        labels=dict(labels),
        annotations={},
        starts_at=now,
        ends_at=None,
        seen_at=now,
        joined_at=now,
    )


def written(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def lasting(labels: Mapping[str, str]) -> dict[str, Any]:
    """An alert that does not time out during the test."""
    now = datetime.now(UTC)
    return {"labels": labels, "startsAt": written(now), "endsAt": written(now + timedelta(hours=1))}


@asynccontextmanager
async def asking(**settings: Any) -> AsyncIterator[SourceStates]:
    values = {"name": "main", "resend_period": "500ms", **settings}
    states = SourceStates([SourceSettings.model_validate(values)])
    try:
        yield states
    finally:
        await states.close()


async def view_when(states: SourceStates, check: Any, what: str, *members: MemberAlert) -> SourceView:
    async def look() -> SourceView | None:
        found = await states.ask(members or (member(),), fresh=True)
        return found if check(found) else None

    found = await until(look, what)
    assert found is not None
    return found


async def test_two_real_peers_fire_silence_and_forget() -> None:
    """Posted is firing, silenced is suppressed by its silence, ended is absent; never with a peer away."""
    async with alertmanager_pair(NOWHERE) as (first, second):
        urls = [first.url, second.url]
        async with asking(alertmanager=urls, receiver="responder") as states:
            absent = await view_when(states, lambda v: v.absent, "both peers are up long enough")
            assert absent.problem is None
            for peer in (first, second):
                await peer.post(lasting(POSTED))
            firing = await view_when(states, lambda v: v.firing, "the alert is known")
            assert (firing.suppressed, firing.problem) == (0, None)
            silence = await _silenced(first, POSTED)
            held = await view_when(states, lambda v: v.suppressed, "the silence has reached both peers")
            by = held.suppressed_by or ""
            assert by.startswith(f"silence {silence} by test until ")
            assert by.endswith(" UTC: planned work")
            for peer in (first, second):
                await peer.post({**lasting(POSTED), "endsAt": written(datetime.now(UTC))})
            await view_when(states, lambda v: v.absent, "it has ended")
            await second.stop()
            away = await states.ask((member(),), fresh=True)
            assert away.absent == 0
            assert second.url in (away.problem or "")


async def _silenced(peer: Alertmanager, labels: Mapping[str, str]) -> str:
    now = datetime.now(UTC)
    ends_at = written(now + timedelta(hours=1))
    return await peer.silence(labels, starts_at=written(now), ends_at=ends_at)


async def test_a_real_inhibition_is_named() -> None:
    """An alert inhibited by another is suppressed, and the inhibiting one is named by its fingerprint."""
    matchers = {"source_matchers": ["severity = critical"], "target_matchers": ["severity = warning"]}
    configuration = {**NOWHERE, "inhibit_rules": [{**matchers, "equal": ["server"]}]}
    warning = {**OTHER, "severity": "warning"}
    critical = {"alertname": "ServerDown", "server": "billing", "severity": "critical"}
    async with alertmanager(configuration) as peer, asking(alertmanager=[peer.url]) as states:
        await peer.post(lasting(warning), lasting(critical))
        found = await view_when(states, lambda v: v.suppressed, "it is inhibited", member(warning))
        assert found.suppressed_by == f"inhibition by alert {fingerprint(critical)}"


async def test_the_real_fingerprint_is_ours() -> None:
    """Alertmanager's fingerprint equals ours for awkward values, and its labels lead back to the member."""
    awkward = {
        "alertname": 'a"b\\c',
        "empty": "",
        "long": "x" * 5000,
        "nul": "a\x00b",
        "sign": "\U0001f525 ü\n",
    }
    kept = {name: value for name, value in awkward.items() if value}
    async with alertmanager(NOWHERE) as peer:
        await peer.post(lasting(awkward))
        client = AlertmanagerClient(peer.url)

        async def alerts() -> Any:
            return await client.alerts("responder", 'a"b\\c')

        (known,) = await until(alerts, "it is known")
        await client.close()
        assert known.labels == kept
        assert known.fingerprint == fingerprint(kept)
        async with asking(alertmanager=[peer.url]) as states:
            assert (await states.ask((member(kept),), fresh=True)).firing == 1


async def test_the_real_filters_are_as_thought() -> None:
    """A receiver is matched whole and quoted, a name narrows; silences, receivers and status are read."""
    configuration = webhook_configuration(f"http://127.0.0.1:{free_port()}/x", receiver="team.x|y")
    async with alertmanager(configuration) as peer:
        await peer.post(lasting(POSTED), lasting({"alertname": "Other"}))
        client = AlertmanagerClient(peer.url)
        try:
            await until(client.alerts, "they are known")
            assert len(await client.alerts("team.x|y")) == 2
            assert await client.alerts("team.x") == ()
            (narrowed,) = await client.alerts("team.x|y", "PostgresLongRunningQuery")
            assert narrowed.labels == POSTED
            assert await client.receivers() == ("team.x|y",)
            silence = await _silenced(peer, OTHER)
            (found,) = await client.silences()
            assert (found.id, found.state, found.comment) == (silence, "active", "planned work")
            status = await client.status()
            assert status.version
            assert timedelta(seconds=-1) < status.up_for < timedelta(minutes=5)
            assert "team.x|y" in status.config
        finally:
            await client.close()


async def test_a_real_young_peer_is_not_believed() -> None:
    """A restarted Alertmanager's empty list is no recovery until twice the resend period is over."""
    async with alertmanager(NOWHERE) as peer, asking(alertmanager=[peer.url], resend_period="1h") as states:
        found = await states.ask((member(),), fresh=True)
    assert (found.configured, found.absent) == (True, 0)
    assert "has been up for" in (found.problem or "")


async def test_a_misnamed_receiver_is_told() -> None:
    """A receiver that the real configuration does not have proves nothing, and says so."""
    async with (
        alertmanager(NOWHERE) as peer,
        asking(alertmanager=[peer.url], receiver="respnder") as states,
    ):
        await peer.post(lasting(POSTED))
        found = await states.ask((member(),), fresh=True)
    assert "no receiver named 'respnder'" in (found.problem or "")


async def test_the_real_prometheus_is_asked() -> None:
    """Firing alerts are found whatever external labels they have; queries answer numbers or why not."""
    rules: list[dict[str, Any]] = [
        {"alert": "AlwaysFires", "expr": "vector(1)", "labels": {"severity": "info"}},
        {"alert": "WaitsLong", "expr": "vector(1)", "for": "1h"},
    ]
    async with prometheus(targets={}, alertmanagers=[], rules=rules) as server:
        fires = {"alertname": "AlwaysFires", "severity": "info", "cluster": "prod"}
        async with asking(prometheus=[server.url]) as states:
            await view_when(states, lambda v: v.firing, "the rule fires", member(fires))
            waits = await view_when(
                states, lambda v: v.absent, "it is up long enough", member({"alertname": "WaitsLong"})
            )
            assert waits.firing == 0, "a pending alert does not fire"
        client = PrometheusClient(server.url)
        try:
            (one,) = await client.query("vector(1)")
            (two,) = await client.query("scalar(vector(2))")
            assert (one.value, two.value) == (1.0, 2.0)
            assert await client.query("absent_metric") == ()
            with pytest.raises(PermanentError, match="parse error"):
                await client.query("max(")
            with pytest.raises(PermanentError, match="matrix"):
                await client.query("up[1m]")
            with pytest.raises(TemporaryError, match="did not answer"):
                await client.query("vector(1)", timedelta(microseconds=1))
            assert await client.up_for() < timedelta(minutes=5)
            assert await client.version()
        finally:
            await client.close()
