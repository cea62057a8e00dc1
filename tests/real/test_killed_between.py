"""The responder dies by SIGKILL between its intent and the outcome: what happened is found out, not repeated.

The proxy before the victim holds the statement or its answer; while it does, the process is killed.
"""

import asyncio
from typing import Any

import pytest

from tests.support.parts import embedded_postgres
from tests.support.proxy import Hold
from tests.support.service import Scene, scene
from tests.support.victim import Backend

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]


async def killed_while(on: Scene, hold: Hold) -> Backend:
    """Let the alert come, hold the effect's statement or its answer, kill the responder, start it again."""
    stuck = await on.victim.stick(blocked=1)
    await on.victim.older_than(1.0, stuck)
    on.proxy.hold = hold
    await on.alert()
    async with asyncio.timeout(30):
        await on.proxy.held.wait()
    if hold is Hold.ANSWER:
        await on.victim.ends(stuck)
    await on.responder.kill()
    on.proxy.hold = Hold.NOTHING
    await on.responder.start()
    return stuck


def outcomes(dossier: dict[str, Any]) -> list[str]:
    """Of all attempts, in the order of their intents."""
    return [attempt["outcome"] for attempt in dossier["attempts"]]


async def test_an_effect_that_happened_is_found_and_not_repeated() -> None:
    """Killed after the victim did it: `happened` finds it done; one statement reached the victim in all."""
    async with embedded_postgres("store") as store, scene(store=store) as on:
        stuck = await killed_while(on, Hold.ANSWER)
        await on.responder.when(lambda d: outcomes(d) == ["done"], "the attempt is found done", within=60)
        await on.alert(ended=True)
        dossier = await on.responder.reaches("resolved", within=60)

        assert outcomes(dossier) == ["done"]
        assert not await on.victim.alive(stuck)
        assert (on.victim.orders, on.victim.terminations) == (1, 1)


async def test_an_effect_that_did_not_happen_is_proven_so_and_taken_anew() -> None:
    """Killed before the victim heard of it: proven not done, then done once, under an intent of its own."""
    async with embedded_postgres("store") as store, scene(store=store) as on:
        stuck = await killed_while(on, Hold.STATEMENT)
        await on.responder.when(
            lambda d: sorted(outcomes(d)) == ["done", "not_done"], "a second attempt is done", within=90
        )
        await on.alert(ended=True)
        await on.responder.reaches("resolved", within=60)

        assert not await on.victim.alive(stuck)
        assert (on.victim.orders, on.victim.terminations) == (1, 1)
