"""A test with everything that it is played with: its rules, its settings, the systems outside."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from responder.actions.base import Clients
from responder.actions.registry import BuiltActions, Registry
from responder.clients.alertmanagers import AlertmanagerClusters
from responder.clients.http import Access
from responder.clients.postgres import PostgresServers
from responder.clients.prometheus import Prometheus
from responder.clients.prometheuses import PrometheusServers
from responder.decide.case import Terms
from responder.engine.settings import EngineSettings
from responder.model.budget import Budgets
from responder.model.inventory import Inventory
from responder.model.rule import Rulebook
from responder.rehearsal.faked import FakedActions, FakedSource, Stage, faked_probes
from responder.rehearsal.names import check_names
from responder.rehearsal.reading import read_tests
from responder.rehearsal.rehearsal import World
from responder.rehearsal.script import RuleTest, RuleTests
from responder.rulebook.load import check
from responder.rulebook.mistake import Mistakes
from responder.rulebook.surroundings import SourceFacts, Surroundings

_SOURCE = "main"


@dataclass(frozen=True, slots=True)
class Around:
    """What the settings say: for whatever a test file does not give itself."""

    surroundings: Surroundings
    terms: Terms = field(default_factory=Terms)
    budgets: Budgets = field(default_factory=Budgets)


@dataclass(frozen=True, slots=True)
class Scene:
    """One test, ready to be played."""

    file: str
    test: RuleTest
    rulebook: Rulebook
    surroundings: Surroundings
    terms: Terms
    budgets: Budgets

    @property
    def source(self) -> SourceFacts:
        """Where all its alerts come from."""
        return self.surroundings.sources[0]

    @property
    def settings(self) -> EngineSettings:
        """As if every rule were promoted, unless the test says less. Nothing else holds it back."""
        promoted = tuple(rule.acting_hash for rule in self.rulebook.rules) if self.test.promoted else ()
        return EngineSettings(ceiling=self.test.ceiling, promoted=promoted, budgets=self.budgets)

    def world(self, stage: Stage) -> World:
        """The systems outside, as the test tells of them."""
        own = self.surroundings
        return World(
            FakedActions(own_actions(own), stage),
            faked_probes(stage, own.inventory, own.queries),
            FakedSource(stage, has_api=self.source.has_api),
            stage.changes_after,
            own.inventory,
        )


def read_scenes(files: Sequence[Path], around: Around, mistakes: Mistakes) -> list[Scene]:
    """Every test of these files with its rules; with any of `mistakes` none of them is to be played."""
    scenes: list[Scene] = []
    for tests in read_tests(files, mistakes):
        own = _surroundings(tests, around.surroundings)
        rulebook = _rulebook(tests, own, mistakes)
        if rulebook is not None:
            for test in tests.tests:
                check_names(test, rulebook, own, mistakes)
            scenes += [
                Scene(tests.file, test, rulebook, own, around.terms, around.budgets) for test in tests.tests
            ]
    return scenes


def _rulebook(tests: RuleTests, own: Surroundings, mistakes: Mistakes) -> Rulebook | None:
    there = [path for _, path in tests.rules if path.exists()]
    for position, path in tests.rules:
        if path not in there:
            mend = "Name it under `rules:`, from the folder of this file"
            mistakes.add(position, f"the rule file {path} is not there", mend)
    checked = check(there, own)
    mistakes.found += checked.mistakes
    return checked.rulebook


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


def own_actions(own: Surroundings) -> BuiltActions:
    """The real actions, for their parameters and targets. Their clients connect to nothing."""
    inventory = own.inventory
    clusters = {source.name: (("http://127.0.0.1:9",), Access()) for source in own.sources if source.has_api}
    prometheus = PrometheusServers(
        [Prometheus("http://127.0.0.1:9")], {name: [Prometheus("http://127.0.0.1:9")] for name in clusters}
    )
    clients = Clients(inventory, PostgresServers(inventory), AlertmanagerClusters(clusters), None, prometheus)
    return BuiltActions(own.catalogue if isinstance(own.catalogue, Registry) else Registry(), clients)
