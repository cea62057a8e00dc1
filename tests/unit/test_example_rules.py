"""The examples of docs/examples: eight real rules over actions of their own, checked and tested as any."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from docs.examples.catalogue import EXAMPLES
from responder.actions.registry import BUILT_IN, Registry
from responder.rehearsal.coverage import coverage
from responder.rehearsal.play import Report, play
from responder.rehearsal.scene import Around
from responder.rulebook.load import check
from tests.support.rule_surroundings import surroundings

FOLDER = Path(__file__).parents[2] / "docs" / "examples"
WITH_EXAMPLES = surroundings(catalogue=Registry(own={**BUILT_IN, **EXAMPLES}))
RULES = {
    "crash_loop",
    "node_not_ready",
    "disk_filling",
    "connections_saturated",
    "replica_lag",
    "errors_after_deployment",
    "consumer_lag",
    "certificate_expiring",
}


@pytest.fixture(scope="module")
def played() -> Iterator[Report]:
    """All of their tests, played once."""
    before = structlog.get_config()
    structlog.configure(processors=[], logger_factory=structlog.ReturnLoggerFactory())
    yield play(sorted(FOLDER.glob("*.test.yaml")), Around(WITH_EXAMPLES))
    structlog.configure(**before)


def test_there_are_eight_of_them_each_with_its_test() -> None:
    """Those that are asked for, and each stands in the page."""
    files = {path.stem for path in FOLDER.glob("*.yaml") if not path.name.endswith(".test.yaml")}
    assert files == {path.name.removesuffix(".test.yaml") for path in FOLDER.glob("*.test.yaml")} == RULES
    page = (FOLDER / "README.md").read_text()
    assert [name for name in RULES if f"[{name}.yaml]({name}.yaml)" not in page] == []


def test_the_check_finds_nothing_wrong_with_them() -> None:
    """As one rulebook, over the real actions and those of the examples."""
    assert [str(mistake) for mistake in check([FOLDER], WITH_EXAMPLES).mistakes] == []


def test_without_their_catalogue_every_action_is_refused_by_name() -> None:
    """Nothing of the examples is known to the product."""
    told = "\n".join(str(mistake) for mistake in check([FOLDER], surroundings()).mistakes)
    named = [name for name in EXAMPLES if f"there is no action '{name}'" in told]
    assert sorted(named) == sorted(EXAMPLES.keys() - {"acme.uncordon"})  # which only an undo takes


def test_their_tests_pass(played: Report) -> None:
    """Each at its moments, by the code that decides for the engine."""
    assert [str(mistake) for mistake in played.mistakes] == []
    failed = [f"{one.test.name}: {one.differences}" for one in played.played if not one.passed]
    assert failed == []


def test_their_tests_reach_every_part(played: Report) -> None:
    """Each rule, severity, step, condition, undo and limit."""
    covered = coverage(played.played)
    assert [f"{part.rule}: {part.part}" for part in covered.missing] == []
    rules = {part.rule for part in covered.parts}
    print(f"{len(rules)} rules, {len(covered.parts)} parts, {len(played.played)} tests")  # noqa: T201 - a figure
    assert len(rules) == len(RULES)
