"""Parameters relative to what is there: what a rule may write, and what it comes to."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from responder.model.relative import By, as_relative
from responder.rehearsal.play import Playing
from responder.rehearsal.scene import Around, read_scenes
from responder.rulebook.load import check_texts
from responder.rulebook.mistake import Mistakes
from responder.rulebook.schema import schema
from tests.support.pools import with_pools
from tests.support.rule_surroundings import surroundings

WITH_POOLS = surroundings(catalogue=with_pools())
REHEARSED = sorted((Path(__file__).parent / "rehearsed_pools").glob("*.test.yaml"))
MEND = "Write size: {by: +2, ceiling: 10}, or {by: -1, floor: 1}."
SEE = "See docs/actions.md for what it takes."
RULE = """\
rules:
  - name: A
    match: ['alertname = "A"']
    severity: P2
    steps:
      - {action: test.scale_pools, with: {connection: orders, group: web, WRITTEN}}
    verify: {alert_resolved_within: 10m}
"""


def told(written: str) -> str:
    report = check_texts([("r.yaml", RULE.replace("WRITTEN", written))], WITH_POOLS)
    return "".join(f"{mistake}\n" for mistake in report.mistakes)


@pytest.mark.parametrize(
    ("written", "mistake"),
    [
        ("size: {by: +2, ceiling: 10}", ""),
        ("size: {by: -1, floor: 0}", ""),
        ("size: 4", ""),
        (
            "size: {by: 2}",
            "`by: +2` goes up without end, alert after alert. Add `ceiling:`.",
        ),
        (
            "size: {by: -2}",
            "`by: -2` goes down without end, alert after alert. Add `floor:`.",
        ),
        (
            "size: {ceiling: 10}",
            f"`size` does not say by how much. {MEND}",
        ),
        (
            "size: {by: 0, ceiling: 10}",
            "`by` must be a whole number other than 0. Write one like +2 or -1, without quotes.",
        ),
        (
            "size: {by: true, ceiling: 10}",
            "`by` must be a whole number other than 0. Write one like +2 or -1, without quotes.",
        ),
        (
            "size: {by: '+2', ceiling: 10}",
            "`by` must be a whole number other than 0. Write one like +2 or -1, without quotes.",
        ),
        (
            "size: {by: 2, ceiling: ten}",
            "`ceiling` must be a whole number. Write one like 10, without quotes.",
        ),
        (
            "size: {by: 2, ceiling: 10, floor: 1}",
            "`by: +2` goes up, and a floor never bounds that. Write `ceiling:`.",
        ),
        (
            "size: {by: 2, ceiling: 101}",
            f"`size` does not fit: input should be less than or equal to 100. {SEE}",
        ),
        (
            "size: {by: 2, ceiling: 10, step: 1}",
            "unknown key `step` in `size`. Known keys: by, ceiling, floor.",
        ),
        (
            "size: 4, at_most: {by: 2, ceiling: 10}",
            f"`at_most` of test.scale_pools cannot be relative. {MEND}",
        ),
        (
            "size: 4, by: +2",
            f"`by` stands beside the parameters, and belongs into the one that is relative. {MEND}",
        ),
    ],
)
def test_what_a_rule_may_write(written: str, mistake: str) -> None:
    """A step with its bound, where the action says that the parameter may be relative; else why not."""
    found = told(written)
    assert found.partition(": ")[2].strip() == mistake if mistake else found == ""
    assert mistake == "" or found.startswith("r.yaml:6:")


def test_the_schema_offers_it_where_it_is_allowed() -> None:
    """An editor knows `by` with its bound for that parameter, and for no other."""
    (case,) = (
        one["then"]["properties"]["with"]["properties"]
        for one in schema(WITH_POOLS.catalogue)["$defs"]["one_step"]["allOf"]
        if one["if"]["properties"]["action"]["const"] == "test.scale_pools"
    )
    assert any("oneOf" in branch for branch in case["size"]["anyOf"])
    assert not any("oneOf" in branch for branch in case["at_most"]["anyOf"])


@given(st.integers(-50, 50).filter(bool), st.integers(-100, 100), st.integers(-200, 200))
def test_it_moves_by_so_much_towards_its_bound_and_never_beyond(by: int, bound: int, now: int) -> None:
    """What is at the bound or beyond stays; everything else moves, by no more than the rule says."""
    comes_to = By(by=by, bound=bound).since(now)
    if comes_to is None:
        assert now >= bound if by > 0 else now <= bound
        return
    assert 0 < abs(comes_to - now) <= abs(by)
    assert (comes_to > now) == (by > 0)
    assert comes_to <= bound if by > 0 else comes_to >= bound


def test_only_what_the_check_lets_pass_is_taken_for_relative() -> None:
    """Labels of an inventory may be called `by`, and an alert's text is never a number."""
    assert as_relative({"by": 2, "ceiling": 10}) == By(by=2, bound=10)
    assert as_relative({"by": -1, "floor": 0}) == By(by=-1, bound=0)
    for other in ({"by": "2", "ceiling": "10"}, {"by": 2}, {"by": 2, "ceiling": 10, "x": 1}, 3, "by"):
        assert as_relative(other) is None


def test_every_scene_of_relative_values_is_as_expected() -> None:
    """From the fresh state, bounded, taken back to what was there before, refused at the bound."""
    mistakes = Mistakes()
    scenes = read_scenes(REHEARSED, Around(WITH_POOLS), mistakes)
    assert not mistakes.found, mistakes.sorted()
    for scene in scenes:
        played = asyncio.run(Playing(scene).play())
        assert played.passed, played.differences
