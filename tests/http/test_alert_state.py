"""Claims about asking the sources: an alert is gone only when everybody who must know says so."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web

from responder.decide.case import SourceView
from responder.model.alert import fingerprint
from responder.model.incident import MemberAlert
from responder.model.redaction import SHIPPED
from responder.model.silence import CREATED_BY, attempt_mark, incident_mark
from responder.sources import alert_state
from responder.sources.alert_state import SourceStates
from responder.sources.settings import SourceSettings
from tests.support.parts import free_port
from tests.support.peers import (
    RECEIVER,
    FakeAlertmanager,
    FakeApi,
    FakePrometheus,
    known_alert,
    known_silence,
    served,
)

LABELS = {"alertname": "PostgresLongRunningQuery", "server": "orders"}
OTHER = {"alertname": "PostgresLongRunningQuery", "server": "billing"}
NOW = datetime(2026, 11, 24, tzinfo=UTC)


def member(labels: Mapping[str, str] = LABELS, source: str = "main") -> MemberAlert:
    return MemberAlert(
        source=source,
        fingerprint=fingerprint(labels),
        generation=1,
        labels=dict(labels),
        annotations={},
        starts_at=NOW,
        ends_at=None,
        seen_at=NOW,
        joined_at=NOW,
    )


@asynccontextmanager
async def asking(*apis: FakeApi, **settings: Any) -> AsyncIterator[SourceStates]:
    async with served(*apis):
        peers = {
            "alertmanager": tuple(api.url for api in apis if isinstance(api, FakeAlertmanager)),
            "prometheus": tuple(api.url for api in apis if isinstance(api, FakePrometheus)),
        }
        states = SourceStates([SourceSettings.model_validate({"name": "main", **peers, **settings})])
        try:
            yield states
        finally:
            await states.close()


async def view(*apis: FakeApi, members: Any = None, **settings: Any) -> SourceView:
    async with asking(*apis, **settings) as states:
        return await states.ask(members or [member()], fresh=True)


def active(labels: Mapping[str, str] = LABELS) -> dict[str, Any]:
    return known_alert(labels)


def silenced(labels: Mapping[str, str] = LABELS) -> dict[str, Any]:
    return known_alert(labels, state="suppressed", silenced=["b2a1"])


async def test_absent_needs_all_peers() -> None:
    """Absent only when all peers answered; one that is away leaves it unknown, with its name."""
    gone = await view(FakeAlertmanager(), FakeAlertmanager())
    assert (gone.absent, gone.problem) == (1, None)
    away = FakeAlertmanager(status=503)
    missing = await view(FakeAlertmanager(), away)
    assert (missing.absent, missing.firing) == (0, 0)
    assert missing.problem is not None
    assert away.url in missing.problem
    assert "503" in missing.problem


async def test_an_alert_whose_name_was_redacted_is_found_by_its_fingerprint() -> None:
    """The source knows it under its own name: asked for the mark, it would seem to be gone."""
    named = {"alertname": "JobFailed password=hunter22"}
    stored = member(named).model_copy(update={"labels": dict(SHIPPED.labels(named))})
    assert stored.labels != named
    async with asking(FakeAlertmanager(alerts=[active(named)])) as states:
        assert (await states.ask([stored], fresh=True)).firing == 1
        asked = states._asked["main"]
        assert asked._question({stored.fingerprint: stored.labels}) is None
        assert asked._question({"f": LABELS}) == LABELS["alertname"]


async def test_a_young_peers_empty_list_is_no_recovery() -> None:
    """A peer that is up for less than twice the resend period may not have heard of the alert again."""
    young = FakeAlertmanager(up_for=timedelta(seconds=100))
    unknown = await view(FakeAlertmanager(), young, resend_period="1m")
    assert unknown.absent == 0
    assert "has been up for" in (unknown.problem or "")
    gone = await view(FakeAlertmanager(), young, resend_period="30s")
    assert gone.absent == 1


async def test_firing_where_any_peer_says_so() -> None:
    """One peer that knows it as active outweighs absence, silence, youth and silence of the others."""
    for rest in (FakeAlertmanager(), FakeAlertmanager(alerts=[silenced()]), FakeAlertmanager(status=500)):
        found = await view(FakeAlertmanager(alerts=[active()]), rest)
        assert (found.firing, found.problem) == (1, None)


async def test_suppressed_where_all_that_know_it_say_so() -> None:
    """Silenced at every peer that knows it: suppressed, naming the silence; so is an inhibited one."""
    found = await view(FakeAlertmanager(alerts=[silenced()]), FakeAlertmanager())
    assert (found.suppressed, found.firing) == (1, 0)
    assert found.suppressed_by == "silence b2a1"
    inhibited = known_alert(LABELS, state="suppressed", inhibited=["00ff"])
    assert (await view(FakeAlertmanager(alerts=[inhibited]))).suppressed_by == "inhibition by alert 00ff"
    unprocessed = known_alert(LABELS, state="unprocessed")
    both = await view(FakeAlertmanager(alerts=[unprocessed]), FakeAlertmanager(alerts=[silenced()]))
    assert both.suppressed == 1, "who has not looked at it yet has no say about silences"
    assert (await view(FakeAlertmanager(alerts=[unprocessed]))).firing == 1, "but it has not ended"


async def test_a_silence_is_told_with_who_made_it_until_when_and_why() -> None:
    """Its words are redacted and short; one that no peer tells of is told by its id."""
    long = "planned work, password=hunter22 " + "x" * 1000
    api = FakeAlertmanager(alerts=[silenced()], silences=[known_silence("b2a1", "alice", long)])
    by = (await view(api)).suppressed_by or ""
    assert by.startswith(
        "silence b2a1 by alice until 2026-11-24 10:00 UTC: planned work, password=[redacted]"
    )
    assert len(by) < 300
    assert "hunter22" not in by
    assert (await view(FakeAlertmanager(alerts=[silenced()]))).suppressed_by == "silence b2a1"


async def test_our_own_silence_does_not_hold_the_incident_that_made_it() -> None:
    """It counts for every other incident; so do a person's beside it, whatever it says, and an inhibition."""
    mine, other = uuid4(), uuid4()
    comment = f"Made by the responder: rule R, {incident_mark(mine)}, {attempt_mark(uuid4())}, for k"
    ours, persons = known_silence("aaaa", CREATED_BY, comment), known_silence("bbbb", "alice", comment)
    alone = known_alert(LABELS, state="suppressed", silenced=["aaaa"])
    both = known_alert(LABELS, state="suppressed", silenced=["aaaa", "bbbb"])
    inhibited = known_alert(LABELS, state="suppressed", silenced=["aaaa"], inhibited=["00ff"])
    for alert, incident, fires in (
        (alone, mine, True),
        (alone, other, False),
        (alone, None, False),
        (both, mine, False),
        (inhibited, mine, False),
    ):
        async with asking(FakeAlertmanager(alerts=[alert], silences=[ours, persons])) as states:
            found = await states.ask([member()], fresh=True, incident=incident)
        assert (found.firing, found.suppressed) == ((1, 0) if fires else (0, 1))
        if alert is both:
            assert "alice" in (found.suppressed_by or "")
            assert "aaaa" not in (found.suppressed_by or "")


async def test_the_unknown_matters_only_where_nothing_fires() -> None:
    """With one member firing, another that nobody can speak of is no problem; with one silenced it is."""
    members = [member(), member(OTHER)]
    away = FakeAlertmanager(status=500)
    fires = await view(FakeAlertmanager(alerts=[active()]), away, members=members)
    assert (fires.firing, fires.problem) == (1, None)
    held = await view(FakeAlertmanager(alerts=[silenced()]), away, members=members)
    assert held.suppressed == 1
    assert held.problem is not None


async def test_a_receiver_that_is_not_there_proves_nothing() -> None:
    """Where a peer has no receiver of our name, its filtered list is empty for another reason."""
    found = await view(FakeAlertmanager(receivers=("default",)), receiver=RECEIVER)
    assert found.absent == 0
    assert "no receiver named 'responder'" in (found.problem or "")
    assert (await view(FakeAlertmanager(), receiver=RECEIVER)).absent == 1


async def test_dropped_labels_do_not_hide_an_alert() -> None:
    """Replicas' labels are dropped from the API's answer as from deliveries; the stronger word counts."""
    alerts = [silenced({**LABELS, "replica": "a"}), active({**LABELS, "replica": "b"})]
    for order in (alerts, alerts[::-1]):
        found = await view(FakeAlertmanager(alerts=order), drop_labels=["replica"])
        assert (found.firing, found.suppressed) == (1, 0)


async def test_prometheus_is_asked_where_there_is_no_alertmanager() -> None:
    """Its firing alerts match without the external labels; pending ones do not count; nor do other labels."""
    fires = {"labels": LABELS, "annotations": {}, "state": "firing", "activeAt": "2026-11-24T00:00:00Z"}
    external = [member({**LABELS, "cluster": "prod"})]
    assert (await view(FakePrometheus(alerts=[fires]), members=external)).firing == 1
    assert (await view(FakePrometheus(alerts=[{**fires, "labels": OTHER}]))).absent == 1
    assert (await view(FakePrometheus(alerts=[{**fires, "state": "pending"}]))).absent == 1
    assert (await view(FakePrometheus(up_for=timedelta(seconds=5)))).absent == 0
    assert (await view(FakePrometheus(), FakePrometheus(status=500))).absent == 0


async def test_a_source_without_api_is_not_configured() -> None:
    """Nothing to ask, nobody to ask about, or a source that the settings no longer have: said so."""
    assert not (await view()).configured
    assert not (await view(FakeAlertmanager(), members=[member(), member(source="gone")])).configured
    async with asking(FakeAlertmanager()) as states:
        assert not (await states.ask([], fresh=True)).configured


async def test_one_answer_serves_many_for_five_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many who ask at once are one question; a fresh one asks anew; an old answer is not used."""
    api = FakeAlertmanager(alerts=[active()])
    async with asking(api) as states:
        await asyncio.gather(*(states.ask([member()], fresh=False) for _ in range(20)))
        assert api.requests["/api/v2/alerts"] == 1
        await states.ask([member()], fresh=False)
        assert api.requests["/api/v2/alerts"] == 1
        await asyncio.gather(*(states.ask([member()], fresh=True) for _ in range(20)))
        assert api.requests["/api/v2/alerts"] == 3, "the first, and one for all who asked meanwhile"
        monkeypatch.setattr(alert_state, "MAX_AGE", timedelta(0))
        await states.ask([member()], fresh=False)
        assert api.requests["/api/v2/alerts"] == 4


async def test_a_fresh_answer_began_after_the_question() -> None:
    """Who asks freshly while another's question is under way does not get that older answer."""
    gate, reached = asyncio.Event(), asyncio.Event()

    class Slow(FakeAlertmanager):
        async def told(self, request: web.Request) -> Any:
            answer = await super().told(request)
            if request.path.endswith("alerts"):
                answer = list(answer)
                reached.set()
                await gate.wait()
            return answer

    api = Slow(alerts=[active()])
    async with asking(api) as states:
        early = asyncio.create_task(states.ask([member()], fresh=True))
        await reached.wait()
        late = asyncio.create_task(states.ask([member()], fresh=True))
        await asyncio.sleep(0)
        api.alerts = []
        gate.set()
        assert (await early).firing == 1
        assert (await late).absent == 1


async def test_a_hung_peer_costs_seconds_not_the_answer() -> None:
    """A peer that hangs is left out after 3 s; what the other knows as firing is still said."""
    hung = FakeAlertmanager(hangs=True)
    async with asking(FakeAlertmanager(alerts=[active()]), hung) as states:
        found = await asyncio.wait_for(states.ask([member(), member(OTHER)], fresh=True), 30)
        absent = await asyncio.wait_for(states.ask([member(OTHER)], fresh=False), 30)
    assert found.firing == 1
    assert absent.problem is not None
    assert "did not answer within 3" in absent.problem


async def test_standings() -> None:
    """Firing and silenced alerts stand, absent ones do not, what nobody knows is left out; nobody: None."""
    third = {"alertname": "Third"}
    wanted = {fingerprint(labels): labels for labels in (LABELS, OTHER, third)}
    full = FakeAlertmanager(alerts=[active(), silenced(OTHER)])
    async with asking(full) as states:
        found = await states.standings("main", wanted)
        assert found == {fingerprint(LABELS): True, fingerprint(OTHER): True, fingerprint(third): False}
        assert await states.standings("elsewhere", wanted) is None
    async with asking(full, FakeAlertmanager(status=500)) as states:
        found = await states.standings("main", wanted)
        assert found == {fingerprint(LABELS): True, fingerprint(OTHER): True}
    async with asking(FakeAlertmanager(status=500)) as states:
        assert await states.standings("main", wanted) is None


async def test_nobody_listening_is_told() -> None:
    """A refused connection is a problem in words, never an exception."""
    states = SourceStates([SourceSettings(name="main", alertmanager=(f"http://127.0.0.1:{free_port()}",))])
    found = await states.ask([member()], fresh=True)
    await states.close()
    assert found.configured
    assert "cannot be reached" in (found.problem or "")
