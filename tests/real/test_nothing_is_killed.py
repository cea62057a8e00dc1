"""Five alerts after which nothing may be done, and `responder incidents show` says why in words.

That nothing was done is the victim's word: its pg_stat_activity still has the query, and its log has no
statement that ends or cancels anything.
"""

from datetime import UTC, datetime, timedelta

import pytest

from tests.support.parts import until
from tests.support.service import Scene, scene
from tests.support.victim import Backend

pytestmark = [pytest.mark.real, pytest.mark.timeout(150)]


async def shown(on: Scene) -> str:
    """What `responder incidents show` prints of the only incident, as one line of lower-case words."""
    dossier = await on.responder.incident()
    return " ".join((await on.responder.cli("incidents", "show", dossier["incident"]["id"])).lower().split())


async def nothing_was_done(on: Scene, *queries: Backend) -> None:
    """By the victim's word, and by the ledger's."""
    for query in queries:
        assert await on.victim.stuck(query)
    assert on.victim.untouched
    assert (await on.responder.incident())["attempts"] == []


async def held_by_halt(on: Scene) -> Backend:
    """A stuck query whose alert has come, and whose step waits because everything is halted."""
    await on.responder.halt()
    stuck = await on.victim.stick(blocked=1)
    await on.alert()
    await on.responder.reaches("held")
    return stuck


async def test_under_halt() -> None:
    """While everything is halted the step waits, and says what halts it and who said so."""
    async with scene() as on:
        stuck = await held_by_halt(on)
        told = await shown(on)
        assert "halted" in told
        assert "the test looks first" in told
        await nothing_was_done(on, stuck)


async def test_silenced_in_alertmanager() -> None:
    """An alert that somebody silenced is left alone for as long as the silence lasts."""
    async with scene() as on:
        stuck = await held_by_halt(on)
        now = datetime.now(UTC)
        silence = await on.peers[0].silence(
            {"alertname": "PostgresLongRunningQuery"},
            starts_at=now.isoformat(),
            ends_at=(now + timedelta(minutes=10)).isoformat(),
        )

        async def suppressed() -> bool:
            return any(alert["status"]["state"] == "suppressed" for alert in await on.peers[0].alerts())

        await until(suppressed, "Alertmanager says that the alert is suppressed")
        await on.responder.resume()
        await on.responder.reaches("suppressed")
        told = await shown(on)
        assert "silence" in told
        assert silence in told
        await nothing_was_done(on, stuck)


async def test_resolved_while_waiting() -> None:
    """An alert that ends while its step waits is a recovery: when the halt is lifted nothing is done."""
    async with scene() as on:
        stuck = await held_by_halt(on)
        await on.alert(ended=True)
        await on.responder.reaches("resolved")
        await on.responder.resume()
        told = await shown(on)
        assert "it ended while it was held" in told
        assert "halted" in told
        await nothing_was_done(on, stuck)


async def test_on_the_responders_own_database() -> None:
    """A target that carries the responder's own store is refused, and people are told."""
    async with scene(on_own_ground=True) as on:
        stuck = await on.victim.stick(blocked=1)
        await on.alert()
        await on.responder.reaches("escalated")
        assert "carries the responder itself" in await shown(on)
        await nothing_was_done(on, stuck)


async def test_beyond_at_most() -> None:
    """More sessions than `at_most` refuse the step: none of them is touched, and people are told."""
    async with scene() as on:
        first = await on.victim.stick(row=1, blocked=0)
        second = await on.victim.stick(row=2, blocked=0)
        await on.victim.older_than(1.0, first, second)
        await on.alert()
        await on.responder.reaches("escalated")
        told = await shown(on)
        assert "2" in told
        assert "at_most" in told or "at most" in told
        await nothing_was_done(on, first, second)
