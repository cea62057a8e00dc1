"""Plays the tests of test files: reads them with their rules, runs each in a world of its own, compares."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from responder.model.alert import Delivery, Receipt
from responder.model.errors import ResponderError
from responder.model.incident import Command, Incident
from responder.model.restraint import Restraint
from responder.model.rule import Rulebook
from responder.rehearsal.checks import Difference, compare
from responder.rehearsal.enact import Enactment
from responder.rehearsal.faked import Stage
from responder.rehearsal.happened import Happened, Timeline, offset_words, timelines
from responder.rehearsal.kept import Clock
from responder.rehearsal.rehearsal import Now, Rehearsal
from responder.rehearsal.scene import Around, Scene, read_scenes
from responder.rehearsal.script import (
    Expectation,
    Restrains,
    RuleTest,
    What,
)
from responder.rulebook.mistake import Mistake, Mistakes


@dataclass(frozen=True, slots=True)
class Played:
    """What came of one test."""

    test: RuleTest
    file: str
    differences: tuple[Difference, ...]
    timelines: tuple[Timeline, ...]
    rulebook: Rulebook
    happened: Happened

    @property
    def passed(self) -> bool:
        """Whether everything was as expected."""
        return not self.differences


@dataclass(frozen=True, slots=True)
class Report:
    """What came of all of them; with mistakes in a file nothing was played."""

    mistakes: tuple[Mistake, ...] = ()
    played: tuple[Played, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every test was played and passed."""
        return not self.mistakes and all(one.passed for one in self.played)


def play(files: Sequence[Path], around: Around) -> Report:
    """Every test of these files. Must not be called in a running event loop."""
    mistakes = Mistakes()
    scenes = read_scenes(files, around, mistakes)
    if mistakes.found:
        return Report(mistakes.sorted())
    return Report(played=tuple(asyncio.run(_play_all(scenes))))


async def _play_all(scenes: Sequence[Scene]) -> list[Played]:
    return [await Playing(scene).play() for scene in scenes]


class Playing:
    """One test, in virtual time."""

    def __init__(self, scene: Scene, *, skips: bool = True) -> None:
        self._scene = scene
        self._test = scene.test
        clock, now = Clock(scene.test.start), Now()
        self._stage = Stage(scene.test, clock, now)
        self.happened = Happened()
        world, terms = scene.world(self._stage), scene.terms
        self.rehearsal = Rehearsal(
            scene.rulebook, world, scene.settings, terms, clock, self.happened, now, skips=skips
        )
        self.memory = self.happened.memory = self.rehearsal.memory

    async def play(self) -> Played:
        """Everything that the test says, up to its last expectation."""
        enactment = Enactment(
            self._scene.source, self._stage, _Rehearsed(self.rehearsal), self._scene.surroundings.redaction
        )
        for moment, act in enactment.acts():
            self.rehearsal.at(moment, act)
        differences: list[Difference] = []
        before: datetime | None = None
        for expectation in self._test.expect:
            until = self._moment(expectation.at)
            try:
                await self.rehearsal.run(until)
            except ResponderError as error:
                differences.append(Difference(expectation.position, str(error)))
                break
            differences += self._compare(expectation, before, until)
            before = until
        unsaid = [Difference(where, text) for text, where in self._stage.unsaid.items()]
        unsaid += [Difference(one.position, "nobody asked for this") for one in self._stage.unheard()]
        return Played(
            test=self._test,
            file=self._scene.file,
            differences=(*differences, *unsaid),
            timelines=tuple(timelines(self.happened, self.memory, self._test.start)),
            rulebook=self._scene.rulebook,
            happened=self.happened,
        )

    def _moment(self, offset: timedelta) -> datetime:
        return self._test.start + offset

    def _compare(
        self, expectation: Expectation, before: datetime | None, until: datetime
    ) -> list[Difference]:
        found: list[Difference] = []
        for what, wanted in expectation.lists.items():
            if what is What.INCIDENTS:
                facts = self.happened.incidents(self.memory)
            else:
                facts = self.happened.between(what, before, until)
            found += compare(what, wanted, facts, expectation.places[what])
        at = offset_words(expectation.at)
        return [Difference(one.position, f"at {at}: {one.text}") for one in found]


class _Rehearsed:
    """Implements `enact.Before` by a rehearsal."""

    def __init__(self, rehearsal: Rehearsal) -> None:
        self._rehearsal = rehearsal
        self._memory = rehearsal.memory
        self._halts: dict[int, int] = {}

    async def take(self, delivery: Delivery) -> Receipt:
        return await self._rehearsal.take(delivery)

    async def incidents(self) -> Sequence[Incident]:
        return [kept.incident for kept in self._memory.incidents.values()]

    async def command(self, command: Command) -> None:
        self._memory.command(command)

    async def restrain(self, one: Restrains, until: datetime | None) -> None:
        number = self._memory.next_restraint
        self._halts[id(one)] = number
        self._memory.restrain(
            Restraint(
                id=number,
                kind=one.kind,
                match=one.match,
                actor=one.who,
                reason=one.reason,
                since=self._rehearsal.clock.now,
                until=until,
            )
        )

    async def resume(self, one: Restrains) -> None:
        self._memory.resume(self._halts[id(one)])
