"""Whatever happens in a test of rules: leaving looks out that see nothing new makes no difference."""

import asyncio
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from responder.model.incident import CommandKind
from responder.model.matcher import Matcher, MatchOp
from responder.model.restraint import RestraintKind
from responder.rehearsal.scene import Around, Scene, read_scenes
from responder.rehearsal.script import (
    AlertSeries,
    Effect,
    FakedAction,
    PersonDoes,
    Restrains,
    SourceSays,
    SourceWord,
    Span,
)
from responder.rulebook.mistake import Mistakes
from tests.support.lives import rehearsed
from tests.support.rule_surroundings import surroundings

FILE = Path(__file__).parents[1] / "unit" / "rehearsed" / "guards.test.yaml"
END = timedelta(minutes=20)


def base() -> Scene:
    """A scene whose world is drawn anew."""
    mistakes = Mistakes()
    scene = read_scenes([FILE], Around(surroundings()), mistakes)[0]
    assert not mistakes.found
    return scene


BASE = base()
POSITION = BASE.test.position
seconds = st.integers(0, 1200).map(lambda number: timedelta(seconds=number))
matches = st.sampled_from(
    [
        (),
        (Matcher(name="db", op=MatchOp.EQUAL, value="x"),),
        (Matcher(name="server", op=MatchOp.EQUAL, value="a"),),
    ]
)


@st.composite
def spans(draw: st.DrawFn) -> Span:
    since = draw(seconds)
    lasts = draw(st.none() | st.integers(1, 900))
    return Span(since, None if lasts is None else since + timedelta(seconds=lasts))


@st.composite
def alerts(draw: st.DrawFn) -> AlertSeries:
    labels = {
        "alertname": draw(st.sampled_from(["Stuck", "Beside", "Asked", "Climbing", "Often", "Told"])),
        "server": draw(st.sampled_from(["a", "a", "b"])),
        "db": draw(st.sampled_from(["x", "y", "z"])),
        "severity": draw(st.sampled_from(["warning", "critical"])),
    }
    return AlertSeries(labels, {}, (draw(spans()),))


effects = st.sampled_from([*[Effect.DONE] * 5, Effect.NOT_DONE, Effect.UNKNOWN])
actions = st.builds(
    FakedAction,
    position=st.just(POSITION),
    action=st.sampled_from(["postgres.cancel_queries", "postgres.terminate_queries"]),
    since=st.just(timedelta(0)) | seconds,
    finds=st.sampled_from([("pid 1",), ("pid 1",), ()]),
    away=st.sampled_from([None, None, None, "it does not answer"]),
    run=effects,
)
source = st.builds(
    SourceSays, span=spans(), says=st.sampled_from(list(SourceWord)), match=matches, why=st.just("so")
)
people = st.builds(
    PersonDoes,
    position=st.just(POSITION),
    at=seconds,
    does=st.sampled_from(
        [CommandKind.APPROVE, CommandKind.ACKNOWLEDGE, CommandKind.TAKE_OVER, CommandKind.HAND_BACK]
    ),
    who=st.just("ada"),
    reason=st.just("so"),
    rule=st.none(),
    severity=st.none(),
)
restraints = st.builds(
    Restrains,
    span=spans(),
    kind=st.sampled_from(list(RestraintKind)),
    match=matches,
    who=st.just("ada"),
    reason=st.just("so"),
)


@settings(max_examples=25)
@given(
    told=st.lists(alerts(), min_size=2, max_size=6, unique_by=lambda one: tuple(sorted(one.labels.items()))),
    faked=st.lists(actions, min_size=1, max_size=4),
    says=st.lists(source, max_size=2),
    does=st.lists(people, max_size=3),
    holds=st.lists(restraints, max_size=2),
)
def test_leaving_looks_out_makes_no_difference(
    told: list[AlertSeries],
    faked: list[FakedAction],
    says: list[SourceSays],
    does: list[PersonDoes],
    holds: list[Restrains],
) -> None:
    """Incidents, timelines, attempts and words to people are those of a run in which every look is taken."""
    end = replace(BASE.test.expect[-1], at=END)
    test = replace(
        BASE.test,
        alerts=tuple(told),
        actions=tuple(faked),
        source=tuple(says),
        people=tuple(does),
        restraints=tuple(holds),
        expect=(end,),
    )
    scene = replace(BASE, test=test)

    async def both() -> tuple[list[Any], list[Any]]:
        every = await rehearsed(scene, skips=False)
        return [asdict(one) for one in await rehearsed(scene)], [asdict(one) for one in every]

    some, every = asyncio.run(both())
    assert some == every
