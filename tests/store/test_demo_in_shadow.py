"""The demo's own stage with nothing promoted: everything is done but the kill, and every report says so."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import CliRunner

from responder.cli import main
from responder.demo.service import Service
from responder.demo.stage import SERVER, stage
from responder.demo.story import CUSTOMERS, Firing
from responder.demo.victim import Victim
from tests.support.parts import folder, until


async def _stuck(victim: Victim) -> None:
    """A query that has been stuck long enough for the rule, with customers behind it."""
    culprit = await victim.start_culprit()
    await until(lambda: victim.holds(culprit), "the query holds its row", within=30)
    await victim.start_customers(CUSTOMERS)

    async def old_enough() -> bool:
        waiting = await victim.blocked() == CUSTOMERS
        return waiting and any(one.stuck and one.seconds > 4 for one in await victim.sessions())

    await until(old_enough, "it is old enough for the rule", within=30)


async def _recorded(service: Service, *, quiet: bool) -> dict[str, Any]:
    """The incident, once it is recorded, and its alert has ended where that is `quiet`."""
    found: dict[str, Any] = {}

    async def told() -> bool:
        for one in await service.incidents():
            found.update(await service.dossier(one["id"]))
        texts = [entry["text"] for entry in found.get("entries", ())]
        ended = any(text.startswith("no alert fires any more") for text in texts)
        return bool(found) and found["incident"]["state"] == "recorded" and (ended or not quiet)

    await until(told, "shadow is done with it", within=40)
    return found


def _told(service: Service, *arguments: str) -> str:
    """What the program prints."""
    environment = {"RESPONDER_URL": service.url, "RESPONDER_TOKEN": service.token}
    told = CliRunner().invoke(main, list(arguments), env=environment)
    assert told.exit_code == 0, told.output
    return told.output


@pytest.mark.real  # it takes long
async def test_shadow_does_everything_but_the_kill() -> None:
    """Looked at, judged, pinned, and told by name what it would have hit; the session runs on untouched.

    Then somebody else ends the query, and the report tells that it recovered without the step.
    """
    async with folder() as home, stage(home, promoted=False) as (service, victim):
        await _stuck(victim)
        alert = Firing.of(datetime.now(UTC))
        await service.deliver(alert.payload())
        dossier = await _recorded(service, quiet=False)
        assert victim.culprit is not None
        assert await victim.runs(victim.culprit), "nothing was ended"
        assert dossier["attempts"] == []
        incident = dossier["incident"]["id"]
        explained = await asyncio.to_thread(_told, service, "explain", incident, "--all")
        assert "would have started; in shadow nothing is done" in explained
        assert f"      pid {victim.culprit.pid} (" in explained
        assert "      halt: not halted" in explained
        review = await service.review(incident)
        assert "it looked and judged, and changed nothing" in review
        hit = f"would have hit 1 element:\n\n- pid {victim.culprit.pid} ("
        assert f"step 1 (postgres.cancel_queries on postgres/{SERVER}) {hit}" in review
        before = await asyncio.to_thread(_told, service, "report", "shadow")
        assert f"postgres.cancel_queries on postgres/{SERVER} would have started on 1 element" in before
        assert "still fires" in before
        await victim.watch.execute("SELECT pg_terminate_backend($1)", victim.culprit.pid)
        await service.deliver(alert.payload(ended=datetime.now(UTC)))
        await _recorded(service, quiet=True)
        after = await asyncio.to_thread(_told, service, "report", "shadow")
        assert "1 recovered by itself" in after


@pytest.mark.real  # the demo once more, and a verification
async def test_what_shadow_recorded_begins_after_a_promotion_by_a_take_over_and_a_hand_back() -> None:
    """As `explain` says it: the promotion, and the same alert once more, begin nothing; its commands do."""
    async with folder() as home, stage(home, promoted=False) as (service, victim):
        await _stuck(victim)
        alert = Firing.of(datetime.now(UTC))
        await service.deliver(alert.payload())
        dossier = await _recorded(service, quiet=False)
        incident, rule = dossier["incident"]["id"], dossier["incident"]["rule"]

        async def type_in(*words: str) -> str:
            return await asyncio.to_thread(_told, service, *words)

        async def is_now(state: str) -> None:
            async def reached() -> bool:
                return bool((await service.dossier(incident))["incident"]["state"] == state)

            await until(reached, f"it is {state}", within=40)

        promote = f"responder rules promote {rule} --to auto --reason ... (it does not begin this one: "
        assert promote in await type_in("explain", incident)
        await type_in("rules", "promote", rule, "--to", "auto", "--reason", "x")
        await service.deliver(alert.payload())
        told = await type_in("explain", incident)
        assert "is recorded" in told
        assert "responder rules promote" not in told
        assert f"responder incidents take-over {incident} --reason ... (to begin it" in told
        assert (
            f"hand-back {incident} --reason ... (after the take-over: step 1, postgres.cancel_queries,"
            in told
        )
        assert "nobody is told of it while it is recorded" in told
        await type_in("incidents", "take-over", incident, "--reason", "x")
        await is_now("taken_over")
        assert (await service.dossier(incident))["attempts"] == []
        await type_in("incidents", "hand-back", incident, "--reason", "x")

        async def acted() -> bool:
            return bool((await service.dossier(incident))["attempts"])

        await until(acted, "its first step is taken", within=40)
