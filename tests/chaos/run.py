"""One run: trouble and faults for a while, then calm, then rest, then the check."""

import asyncio
import sys
import time
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Any

import aiohttp

from tests.chaos.check import TOLD, Told, Violation, violations
from tests.chaos.faults import Fault, Faults
from tests.chaos.person import Person
from tests.chaos.records import Records, at_rest, read
from tests.chaos.stage import LONGEST_DEADLINE_S, Stage, stage
from tests.chaos.story import heard_of, story
from tests.chaos.tally import LONG_S, Counts, short_of, tally
from tests.chaos.target import recorded
from tests.support.parts import get_json, until

_PROCESS_PACE_S = 1.6
_SURROUNDINGS_PACE_S = 4.0
_HEARD_WITHIN_S = 30.0
_STORIES = 5
_TELL_EVERY_S = 60.0
_LOG_TAIL = 3000


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a run. `evidence` is for whoever reads a failure."""

    violations: Sequence[Violation]
    counts: Counts
    short_of: Sequence[str]
    evidence: str

    @property
    def text(self) -> str:
        """The violations, and how they came about."""
        return "\n".join([*(f"VIOLATION {one.text}" for one in self.violations), self.evidence])


async def run(
    seconds: float, seed: int, sabotage: str | None = None, *, rests_within: float = LONGEST_DEADLINE_S
) -> Result:
    """Everything once."""
    random = Random(seed)  # noqa: S311 - a run that can be had again
    async with stage(random, sabotage) as scene:
        faults, person = Faults(scene, random), Person(scene, random)
        unrest = await _while_it_lasts(scene, faults, person, seconds, rests_within)
        broken = await _broken_chains(scene)
        for replica in scene.replicas:
            await replica.stop()
        left = await read(scene.dsn, recorded(scene.targets.file), scene.seen(), scene.pager.heard)
        told = Told(scene.peers.acknowledged, scene.peers.refusals, faults.done)
        found = [*unrest, *broken, *violations(told, left)]
        counts = {**tally(told, left), "quarantines released": person.released}
        missing = short_of(counts) if seconds >= LONG_S else ()
        evidence = await _evidence(scene, found, left, faults.done) if found else ""
    return Result(found, counts, missing, evidence)


async def _while_it_lasts(
    scene: Stage, faults: Faults, person: Person, seconds: float, rests_within: float
) -> Sequence[Violation]:
    """Trouble with faults, and then without; what does not come to rest is a violation."""
    telling = asyncio.create_task(scene.peers.tell())
    working = asyncio.create_task(person.work())
    try:
        await _for(
            seconds,
            scene.world.go_on(),
            faults.processes(_PROCESS_PACE_S),
            faults.surroundings(_SURROUNDINGS_PACE_S),
            _progress(scene, faults),
        )
        await faults.mend()
        scene.world.calm()
        scene.pager.calm = True
        return await _rest(scene, rests_within)
    finally:
        for task in (telling, working):
            task.cancel()
        await asyncio.gather(telling, working, return_exceptions=True)


async def _for(seconds: float, *doing: Coroutine[Any, Any, None]) -> None:
    """Do these for so long. What ends before is an error of the test's own, and ends the run."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
            for one in doing:
                group.create_task(one)


async def _progress(scene: Stage, faults: Faults) -> None:
    """A line a minute, for whoever waits."""
    began = time.monotonic()
    while True:
        await asyncio.sleep(_TELL_EVERY_S)
        effects, alerts = len(recorded(scene.targets.file)), len(scene.peers.acknowledged)
        told = f"{effects} effects of calls, {alerts} alerts acknowledged, {len(faults.done)} faults"
        sys.stderr.write(f"{time.monotonic() - began:.0f} s: {told}\n")


async def _rest(scene: Stage, within: float) -> Sequence[Violation]:
    async def told() -> bool:
        return scene.peers.all_told

    async def resting() -> bool:
        return await at_rest(scene.dsn, frozenset(TOLD))

    try:
        for replica in scene.replicas:
            await until(replica.ready, f"{replica.name} is ready", within=_HEARD_WITHIN_S)
        await until(told, "everything is acknowledged", within=_HEARD_WITHIN_S)
        await until(resting, "everything is at rest", within=within, every=0.3)
    except AssertionError as error:
        return [Violation(str(error))]
    return []


async def _broken_chains(scene: Stage) -> Sequence[Violation]:
    """Every timeline is still the chain that it was."""
    replica = next((one for one in scene.replicas if one.up), None)
    if replica is None:
        return [Violation("no replica is up")]
    found = []
    try:
        for incident in await _all_incidents(replica.url):
            answer = await get_json(f"{replica.url}/api/v1/incidents/{incident}/verify")
            if answer["broken"] is not None:
                found.append(Violation(f"the timeline of {incident} is broken: {answer['broken']}"))
    except (OSError, aiohttp.ClientError, TimeoutError) as error:
        return [Violation(f"the timelines could not be verified: {error!r}")]
    return found


async def _all_incidents(url: str) -> Sequence[str]:
    told = await get_json(f"{url}/api/v1/incidents", live="false", limit="500")
    return [incident["id"] for incident in told["incidents"]]


async def _evidence(scene: Stage, found: Sequence[Violation], left: Records, faults: Sequence[Fault]) -> str:
    """The stories of the first violations, and the last words of each replica."""
    incidents = list(dict.fromkeys(one.incident for one in found if one.incident is not None))
    parts = []
    for incident in incidents[:_STORIES]:
        parts += [f"--- incident {incident}", await story(scene.dsn, incident, left, faults)]
    for alert in list(dict.fromkeys(one.fingerprint for one in found if one.fingerprint))[:_STORIES]:
        parts += [f"--- alert {alert}", await heard_of(scene.dsn, alert, faults)]
    for replica in scene.replicas:
        parts += [f"--- {replica.name}", replica.log[-_LOG_TAIL:]]
    return "\n".join(parts)
