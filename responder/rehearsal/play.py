"""Plays the tests of test files: reads them with their rules, runs each in a world of its own, compares."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

from responder.actions.base import Clients
from responder.actions.registry import BuiltActions, Registry
from responder.clients.alertmanagers import AlertmanagerClusters
from responder.clients.http import Access
from responder.clients.postgres import PostgresServers
from responder.decide.case import Terms
from responder.engine.settings import EngineSettings
from responder.model.alert import Alert, Delivery, Standing, fingerprint
from responder.model.budget import Budgets
from responder.model.errors import ResponderError
from responder.model.incident import Command, CommandFacts, CommandKind, IncidentState
from responder.model.inventory import Inventory
from responder.model.restraint import Restraint
from responder.model.rule import Rulebook
from responder.rehearsal.checks import Difference, compare
from responder.rehearsal.faked import FakedActions, FakedSource, Stage, faked_probes
from responder.rehearsal.happened import Happened, Timeline, offset_words, timelines
from responder.rehearsal.memory import Clock, Kept
from responder.rehearsal.reading import read_tests
from responder.rehearsal.rehearsal import Now, Rehearsal, World
from responder.rehearsal.script import (
    AlertSeries,
    Expectation,
    PersonDoes,
    Restrains,
    RuleTest,
    RuleTests,
    What,
)
from responder.rulebook.load import check
from responder.rulebook.mistake import Mistake, Mistakes
from responder.rulebook.surroundings import SourceFacts, Surroundings

_SOURCE = "main"
_AGAIN = timedelta(minutes=5)
"""How often a source without an API says again what fires: a group_interval."""


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


@dataclass(frozen=True, slots=True)
class Around:
    """What the settings say: for whatever a test file does not give itself."""

    surroundings: Surroundings
    terms: Terms = field(default_factory=Terms)
    budgets: Budgets = field(default_factory=Budgets)


def play(files: Sequence[Path], around: Around) -> Report:
    """Every test of these files. Must not be called in a running event loop."""
    mistakes = Mistakes()
    read = read_tests(files, mistakes)
    books: dict[str, tuple[Rulebook, Surroundings]] = {}
    for tests in read:
        own = _surroundings(tests, around.surroundings)
        for position, path in tests.rules:
            if not path.exists():
                text = f"the rule file {path} is not there"
                mistakes.add(position, text, "Name it under `rules:`, from the folder of this file")
        if mistakes.found:
            continue
        checked = check([path for _, path in tests.rules], own)
        if checked.rulebook is None:
            mistakes.found += checked.mistakes
        else:
            books[tests.file] = (checked.rulebook, own)
    if mistakes.found:
        return Report(mistakes.sorted())
    return Report(played=tuple(asyncio.run(_play_all(read, books, around))))


async def _play_all(
    read: Sequence[RuleTests], books: dict[str, tuple[Rulebook, Surroundings]], around: Around
) -> list[Played]:
    return [
        await _Playing(tests, test, *books[tests.file], around).play()
        for tests in read
        for test in tests.tests
    ]


def _surroundings(tests: RuleTests, given: Surroundings) -> Surroundings:
    """The settings', with what the test file says itself in their place."""
    own = given
    if tests.connections is not None:
        own = replace(own, inventory=Inventory(postgres=tests.connections))
    if tests.queries is not None:
        own = replace(own, queries=tests.queries)
    if tests.source is not None:
        own = replace(own, sources=(SourceFacts(tests.source.name, tests.source.has_api),))
    elif not own.sources:
        own = replace(own, sources=(SourceFacts(_SOURCE, has_api=True),))
    return replace(own, prometheus=True)


class _Playing:
    """One test."""

    def __init__(
        self, tests: RuleTests, test: RuleTest, rulebook: Rulebook, own: Surroundings, around: Around
    ) -> None:
        self._file = tests.file
        self._test = test
        self._rulebook = rulebook
        self._source = own.sources[0]
        self._clock = Clock(test.start)
        now = Now()
        self._stage = Stage(test, self._clock, now)
        self._happened = Happened()
        world = World(
            FakedActions(_own_actions(own), self._stage),
            faked_probes(self._stage, own.inventory, own.queries),
            FakedSource(self._stage, has_api=self._source.has_api),
        )
        promoted = tuple(rule.acting_hash for rule in rulebook.rules) if test.promoted else ()
        settings = EngineSettings(ceiling=test.ceiling, promoted=promoted, budgets=around.budgets)
        self._rehearsal = Rehearsal(rulebook, world, settings, around.terms, self._clock, self._happened, now)
        self._happened.memory = self._rehearsal.memory
        self._commands = 0

    async def play(self) -> Played:
        """Everything that the test says, up to its last expectation."""
        self._prepare()
        differences: list[Difference] = []
        before: datetime | None = None
        for expectation in self._test.expect:
            until = self._moment(expectation.at)
            try:
                await self._rehearsal.run(until)
            except ResponderError as error:
                differences.append(Difference(expectation.position, str(error)))
                break
            differences += self._compare(expectation, before, until)
            before = until
        unsaid = [Difference(where, text) for text, where in self._stage.unsaid.items()]
        return Played(
            test=self._test,
            file=self._file,
            differences=(*differences, *unsaid),
            timelines=tuple(timelines(self._happened, self._rehearsal.memory, self._test.start)),
            rulebook=self._rulebook,
            happened=self._happened,
        )

    def _moment(self, offset: timedelta) -> datetime:
        return self._test.start + offset

    def _compare(
        self, expectation: Expectation, before: datetime | None, until: datetime
    ) -> list[Difference]:
        found: list[Difference] = []
        for what, wanted in expectation.lists.items():
            if what is What.INCIDENTS:
                facts = self._happened.incidents(self._rehearsal.memory)
            else:
                facts = self._happened.between(what, before, until)
            found += compare(what, wanted, facts, expectation.places[what])
        at = offset_words(expectation.at)
        return [Difference(one.position, f"at {at}: {one.text}") for one in found]

    # --- what happens outside ----------------------------------------------------------------------------

    def _prepare(self) -> None:
        for restrains in self._test.restraints:
            self._rehearsal.at(self._moment(restrains.span.since), partial(self._restrain, restrains))
        for series in self._test.alerts:
            for span in series.fires:
                self._rehearsal.at(
                    self._moment(span.since), partial(self._fires, series, span.since, span.until)
                )
                if span.until is not None:
                    self._rehearsal.at(
                        self._moment(span.until), partial(self._ends, series, span.since, span.until)
                    )
        for person in self._test.people:
            self._rehearsal.at(self._moment(person.at), partial(self._does, person))

    async def _fires(self, series: AlertSeries, since: timedelta, until: timedelta | None) -> None:
        await self._hear(series, Standing.FIRING, since, None)
        again = self._clock.now + _AGAIN
        last = self._test.expect[-1].at if self._test.expect else since
        ends = self._moment(last if until is None else min(until, last))
        if not self._source.has_api and again < ends:
            self._rehearsal.at(again, partial(self._fires, series, since, until))

    async def _ends(self, series: AlertSeries, since: timedelta, until: timedelta) -> None:
        await self._hear(series, Standing.RESOLVED, since, until)

    async def _hear(
        self, series: AlertSeries, standing: Standing, since: timedelta, until: timedelta | None
    ) -> None:
        alert = Alert(
            fingerprint=fingerprint(series.labels),
            labels=dict(series.labels),
            annotations=dict(series.annotations),
            standing=standing,
            starts_at=self._moment(since),
            ends_at=None if until is None else self._moment(until),
        )
        await self._rehearsal.take(Delivery(source=self._source.name, alerts=(alert,)))

    async def _restrain(self, one: Restrains) -> None:
        memory = self._rehearsal.memory
        until = None if one.span.until is None else self._moment(one.span.until)
        memory.restrain(
            Restraint(
                id=len(memory.restrained) + 1,
                kind=one.kind,
                match=one.match,
                actor=one.who,
                reason=one.reason,
                since=self._clock.now,
                until=until,
            )
        )

    async def _does(self, person: PersonDoes) -> None:
        memory = self._rehearsal.memory
        means = [kept for kept in memory.incidents.values() if _is_meant(person, kept)]
        if not means:
            when = offset_words(person.at)
            text = f"at {when} {person.who} would {person.does.value}: there is no such incident"
            self._stage.unsaid.setdefault(text, person.position)
        for kept in means:
            self._commands += 1
            question = kept.incident.progress.question
            facts = CommandFacts(question=question.id if question else None, severity=person.severity)
            memory.command(
                Command(
                    id=UUID(int=self._commands),
                    incident_id=kept.incident.id,
                    kind=person.does,
                    actor=person.who,
                    reason=person.reason,
                    facts=facts,
                    given_at=self._clock.now,
                )
            )


def _is_meant(person: PersonDoes, kept: Kept) -> bool:
    """The incidents of its rule that are not closed; an answer is to those that ask."""
    answers = person.does in {CommandKind.APPROVE, CommandKind.DECLINE}
    state = kept.incident.state
    fits = state is IncidentState.AWAITING_APPROVAL if answers else state is not IncidentState.CLOSED
    return fits and (person.rule is None or person.rule == kept.incident.rule)


def _own_actions(own: Surroundings) -> BuiltActions:
    """The real actions, for their parameters and targets. Their clients connect to nothing."""
    inventory = own.inventory
    clusters = {source.name: (("http://127.0.0.1:9",), Access()) for source in own.sources if source.has_api}
    clients = Clients(inventory, PostgresServers(inventory), AlertmanagerClusters(clusters))
    return BuiltActions(Registry(), clients)
