"""One death and what comes after: tell, die at the point, start again, come to rest, be checked."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from time import monotonic

from responder.crash_points import Point
from tests.crash.check import TOLD, Acknowledged, violations
from tests.crash.ledger import Kept, kept
from tests.crash.stage import Ground, Stage, stage
from tests.support.parts import get_json, until


@dataclass(frozen=True, slots=True)
class Death:
    """Where a responder dies. Of several points, the next one is for the process that follows.

    `safely`: the step interrupts nobody, so that its intent is written and committed by one statement.
    """

    points: Sequence[str]
    safely: bool = False


DEATHS: Mapping[str, Death] = {
    **{point.value: Death((point.value,)) for point in Point if point is not Point.TARGET_ASKED},
    "element_ended": Death(("element_ended:1",)),
    "last_element_ended": Death(("element_ended:2",)),
    "target_asked": Death(("effect_ended", "target_asked")),
    "target_asked_of_nothing": Death(("intent_committed", "target_asked")),
    "safe_intent_committed": Death(("intent_committed",), safely=True),
    "safe_effect_ended": Death(("effect_ended",), safely=True),
}
"""By name."""

_DIES_WITHIN_S = 60.0
_RESTS_WITHIN_S = 90.0
"""Longer than all deadlines of the settings together: what takes longer never ends."""
_LOG_TAIL = 8000


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one run. `evidence` is for whoever reads a failure."""

    death: str
    seconds: float
    violations: Sequence[str]
    evidence: str

    @property
    def text(self) -> str:
        """The violations, and what shows how they came about."""
        return "\n".join([f"{self.death}:", *(f"  {one}" for one in self.violations), self.evidence])


async def run(on: Ground, death: str, sabotage: str | None = None) -> Result:
    """Die by that name, once, and check what is left."""
    began = monotonic()
    async with stage(on, sabotage, safely=DEATHS[death].safely) as scene:
        found = list[str]()
        first, *later = DEATHS[death].points
        await scene.service.start_for(first)
        async with _telling(scene) as told:
            found += await _death(scene)
            for point in later:
                scene.service.begin_for(point)
                found += await _death(scene)
            found += await _live_on(scene, told)
        await scene.service.stop()
        left = await kept(scene.store_dsn)
        found += [f"refused for ever: {refusal}" for refusal in scene.sender.refusals]
        found += violations(scene.sender.acknowledged, scene.seen(), left)
        found += _gave_up(scene, left)
        evidence = _evidence(scene, left) if found else ""
    return Result(death, monotonic() - began, found, evidence)


@asynccontextmanager
async def _telling(scene: Stage) -> AsyncIterator["asyncio.Future[list[None]]"]:
    """The first deliveries, which end when all are heard, and murmurs as long as the block lasts."""
    ends = (Acknowledged({"alertname": "Ended", "number": str(n)}, None) for n in count())
    first = asyncio.gather(
        *(scene.sender.deliver(*alerts, ended=end) for alerts, end in zip(scene.initial, ends, strict=False))
    )
    murmurs = asyncio.create_task(scene.sender.murmur())
    try:
        yield first
    finally:
        first.cancel()
        murmurs.cancel()
        await asyncio.gather(first, murmurs, return_exceptions=True)


async def _death(scene: Stage) -> list[str]:
    """Wait for the crash point; a process that never gets there is ended, and that is a finding."""
    if await scene.service.dies(within=_DIES_WITHIN_S):
        return []
    how = scene.service.exit_code
    await scene.service.kill()
    ended = "it went on" if how is None else f"it ended with {how}"
    return [f"{scene.service.crash_at} was never reached: {ended}"]


async def _live_on(scene: Stage, told: "asyncio.Future[list[None]]") -> list[str]:
    """Start without a crash point and wait for rest; what does not come about is a finding."""
    try:
        await scene.service.start_for(None)
        await _rest(scene, told)
        return await _broken_chains(scene)
    except AssertionError as error:
        return [str(error)]


async def _rest(scene: Stage, told: "asyncio.Future[list[None]]") -> None:
    """Wait until all is heard and no incident has anything left to do before a person comes."""

    async def at_rest() -> bool:
        if not told.done():  # asked first: what is acknowledged by now is in what is read next
            return False
        left = await kept(scene.store_dsn)
        told_all = all(delivered for _, delivered in left.words)
        return told_all and all(one.state in TOLD and not one.due(left.now) for one in left.incidents)

    await until(at_rest, "everything is at rest", within=_RESTS_WITHIN_S, every=0.2)


def _gave_up(scene: Stage, left: Kept) -> list[str]:
    """Who does nothing keeps every promise: this one acted, and told a person that it did not help."""
    ends = sorted((incident.rule, incident.state) for incident in left.incidents)
    found = [] if ends == scene.ends else [f"the incidents ended as {ends}, not as {scene.ends}"]
    return found if scene.seen().executed else [*found, "nothing was ever done to the victim"]


async def _broken_chains(scene: Stage) -> list[str]:
    """Every timeline is still the chain that it was."""
    api = f"{scene.service.url}/api/v1/incidents"
    found = []
    for incident in await scene.service.incidents():
        answer = await get_json(f"{api}/{incident['id']}/verify")
        if answer["broken"] is not None:
            found.append(f"the timeline of {incident['id']} is broken: {answer}")
    return found


def _evidence(scene: Stage, left: Kept) -> str:
    """The timelines, what the log says was done, and the service's own last words."""
    seen = scene.seen()
    return "\n".join(
        [
            "--- timelines",
            *left.timeline,
            "--- at the victim",
            *map(str, seen.executed),
            *map(str, seen.ended),
            "--- the responder",
            scene.service.log[-_LOG_TAIL:],
        ]
    )
