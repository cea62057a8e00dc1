"""The backtest of a journal against the engine's run that wrote it: the same matches, incidents and moves.

The run is the engine's own on a real PostgreSQL, over alerts drawn by a seed or written down in a test of
rules: with systems outside that are as a backtest assumes them, and with others, of which it knows what was
recorded. What the run decided is read from its tables; what the backtest decides comes from its journal and
from its record.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from responder.decide.case import Change
from responder.model.incident import Incident
from responder.model.schedule import ScheduledRun
from responder.rehearsal.backtest import Backtest, Setting
from responder.rehearsal.enact import Enactment
from responder.rehearsal.faked import Stage
from responder.rehearsal.kept import Clock, Kept
from responder.rehearsal.recorded import read_facts
from responder.rehearsal.rehearsal import Now
from responder.rehearsal.rows import moments, read_rows
from responder.rehearsal.scene import Scene, own_actions
from responder.rehearsal.script import AlertSeries, Effect, FakedAction, Span
from tests.support.drawn_scenes import LADDERS, RISING, drawn
from tests.support.for_real import ForReal, for_real
from tests.support.rule_scenes import BASE, LADDER, RISING_BASE, SCENES

pytestmark = pytest.mark.real  # it takes long

ACTIONS = ("postgres.cancel_queries", "postgres.terminate_queries")
INCIDENTS = 2
"""Of a page of facts."""
PAGE = 7
"""Rows of a page: so few that pages end in the middle of everything."""
SEEDS = range(24)
PROMOTED = "a backtest takes every rule for promoted"
SOURCE = "what the source said when it was asked is not recorded"
STATE = (
    "what evidence and looks found is played where it is the action's own state; these tests make up theirs"
)
OTHERWISE = {
    "in shadow nothing is done and nobody is told": PROMOTED,
    "what nobody has promoted stays in shadow": PROMOTED,
    "what would be added is told in shadow": PROMOTED,
    "without a database no rule takes it": "there is no incident",
    "what is silenced is left alone until it is not": SOURCE,
    "a source that does not answer holds, and what has ended meanwhile is over": SOURCE,
    "the source knows of the end before it is notified": SOURCE,
    "what nobody could tell of is no failure, and none the less": SOURCE,
    "evidence that is as wanted lets a step be taken": STATE,
    "evidence that is not passes a step over": STATE,
    "several steps that are one are passed over by one condition": STATE,
    "the number is what the look found and what the rule adds, bounded by its ceiling, each time anew": STATE,
    "at its ceiling already the step is refused for the target, and the next one is taken": STATE,
    "what is given back is as it was before, by what was done and not by what an alert says": STATE,
}
"""Tests of rules that come to something else, and why."""
WRITTEN = [
    one
    for one in SCENES
    if ("/rehearsed" in one.file or one.file.endswith("postgres.test.yaml"))
    and one.test.name not in OTHERWISE
]


def as_assumed(seed: int) -> Scene:
    """Alerts that nobody thought of together, some of them again and again; nothing else happens."""
    scene = drawn(BASE, seed)
    at = scene.test.position
    acts = tuple(
        FakedAction(position=at, action=name, since=timedelta(0), finds=("it",), run=Effect.DONE)
        for name in ACTIONS
    )
    alerts = tuple(apart(again(one, seed), number) for number, one in enumerate(scene.test.alerts, start=1))
    test = replace(scene.test, actions=acts, alerts=alerts, source=(), people=(), restraints=())
    return replace(scene, test=test)


def as_recorded(seed: int) -> Scene:
    """The same, where looks find nothing, acts fail, people speak and restraints stand."""
    scene, assumed = drawn(BASE, seed), as_assumed(seed)
    return replace(scene, test=replace(scene.test, alerts=assumed.test.alerts, source=()))


def again(series: AlertSeries, seed: int) -> AlertSeries:
    """What ends fires once more a while later; every other test has some that flap."""
    last = series.fires[-1]
    if last.until is None:
        return series
    pause, turns = timedelta(seconds=37 + seed), 1 + seed % 2 * 3
    spans = [
        Span(last.until + turn * 2 * pause + pause, last.until + turn * 2 * pause + 2 * pause)
        for turn in range(turns)
    ]
    return replace(series, fires=(*series.fires, *spans))


def apart(series: AlertSeries, number: int) -> AlertSeries:
    """No two alerts have the same moments: whom PostgreSQL gives first of those due at one is chance."""
    shift = number * timedelta(milliseconds=41, microseconds=17)
    spans = [
        Span(one.since + shift, None if one.until is None else one.until + shift) for one in series.fires
    ]
    return replace(series, fires=tuple(spans))


@dataclass
class Recorder:
    """Keeps every incident of a backtest, those that it gives up, too."""

    kept: dict[UUID, Kept] = field(default_factory=dict)

    def opened(self, kept: Kept, at: datetime) -> None:
        """See `kept.Observer`."""
        del at
        self.kept[kept.incident.id] = kept

    def changed(self, kept: Kept, before: Incident, change: Change, at: datetime) -> None:
        """Nothing more than it keeps already."""

    def ran(self, run: ScheduledRun, at: datetime) -> None:
        """No scheduled rule is played."""
        raise AssertionError(f"{run} at {at}")


def named(incident: Mapping[str, Any]) -> tuple[Any, ...]:
    return (incident["rule"], tuple(sorted(incident["key"].items())), incident["opened_at"])


@dataclass
class Decided:
    """What a run or a backtest has decided."""

    incidents: list[Any]
    matches: list[Any]
    attempts: list[Any]


async def of_the_run(real: ForReal) -> Decided:
    incidents = {one.id: one for one in await real.incidents()}
    members = await real.db.sql("SELECT incident_id, fingerprint, generation, joined_at FROM members")
    attempts = [one for incident_id in incidents for one in (await dossier_of(real, incident_id)).attempts]
    return decided(incidents.values(), [(incidents[one[0]], *one[1:]) for one in members], attempts)


async def dossier_of(real: ForReal, incident_id: UUID) -> Any:
    dossier = await real.store.incident(incident_id)
    assert dossier is not None
    return dossier


def decided(incidents: Any, members: Any, attempts: Any) -> Decided:
    plain = {one.id: one.model_dump() for one in incidents}
    return Decided(
        sorted(
            (*named(one), one["severity"], one["state"], one["progress"]["step"]) for one in plain.values()
        ),
        sorted((*named(one.model_dump()), *rest) for one, *rest in members),
        sorted(
            (
                *named(plain[one.incident_id]),
                one.step,
                one.action,
                one.target,
                one.intended_at,
                one.outcome,
                str(one.verdict),
                str(one.verdict_at),
            )
            for one in attempts
        ),
    )


async def of_the_backtest(real: ForReal, scene: Scene) -> Decided:
    since, until = scene.test.start, scene.test.start + scene.test.expect[-1].at
    askable = frozenset({scene.source.name}) if scene.source.has_api else frozenset[str]()
    setting = Setting(since, until, own_actions(scene.surroundings), askable, scene.terms, scene.settings)
    backtest, recorder = Backtest(scene.rulebook, setting), Recorder()
    backtest.rehearsal.memory.observer = recorder
    end = until + timedelta(seconds=1)
    told = await real.store.history.recorded(since, end, None, INCIDENTS)
    backtest.recall(read_facts(told.lines))
    after = since - timedelta(seconds=1)
    while after < until:
        page = await real.store.history.rows(after, end, PAGE)
        while told.after is not None and told.complete_until <= page.after:
            told = await real.store.history.recorded(since, end, told.after, INCIDENTS)
            backtest.recall(read_facts(told.lines))
        await backtest.hear(moments(read_rows(page.lines)))
        after = page.after
    await backtest.rehearsal.run(until)
    kept = recorder.kept.values()
    members = [
        (one.incident, member.key.fingerprint, member.generation, member.joined_at)
        for one in kept
        for member in [*one.members.firing.values(), *one.members.ended]
    ]
    attempts = backtest.rehearsal.memory.ledger.attempts.values()
    return decided([one.incident for one in kept], members, attempts)


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_backtest_decides_what_the_run_decided(
    seed: int, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which episode joins which incident when, how bad it is, every attempt with its moment and verdict."""
    await decides_the_same(as_assumed(seed), dsn, monkeypatch)


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_backtest_decides_what_was_decided_given_what_was_recorded(
    seed: int, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same where looks, acts, people and restraints had a say: each is played as it was recorded."""
    await decides_the_same(as_recorded(seed), dsn, monkeypatch)


@pytest.mark.parametrize("seed", range(12))
async def test_a_backtest_decides_what_was_decided_of_steps_of_several_acts(
    seed: int, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts that fail, repeats, and give-backs with what became of them."""
    await decides_the_same(unsaid(drawn(LADDER, seed, LADDERS)), dsn, monkeypatch)


@pytest.mark.parametrize("seed", range(8))
async def test_a_backtest_decides_what_was_decided_of_what_depends_on_each_other(
    seed: int, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What rises, is explained by another, or is passed on."""
    rising = drawn(RISING_BASE, seed, RISING, timedelta(minutes=50))
    await decides_the_same(unsaid(rising), dsn, monkeypatch)


def unsaid(scene: Scene) -> Scene:
    """The source says what it sends: its own word is not recorded."""
    return replace(scene, test=replace(scene.test, source=()))


@pytest.mark.parametrize("scene", WRITTEN, ids=lambda scene: scene.test.name)
async def test_a_backtest_decides_what_a_test_of_rules_came_to(
    scene: Scene, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looks, acts, probes, conditions, people and restraints as they were written down."""
    await decides_the_same(scene, dsn, monkeypatch)


@pytest.mark.parametrize("name", OTHERWISE)
async def test_what_is_left_out_is_really_otherwise(
    name: str, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A test of rules that comes to the same is no exception."""
    [scene] = [one for one in SCENES if one.test.name == name]
    run, played = await both(scene, dsn, monkeypatch)
    assert played != run or not run.incidents


async def decides_the_same(scene: Scene, dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run, played = await both(scene, dsn, monkeypatch)
    assert run.incidents
    assert played.incidents == run.incidents
    assert played.matches == run.matches
    assert played.attempts == run.attempts


async def both(scene: Scene, dsn: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Decided, Decided]:
    """What the run decides, and what the backtest does."""
    stage = Stage(scene.test, Clock(scene.test.start), Now())
    async with for_real(scene, stage, dsn, monkeypatch) as real:
        acts = list(Enactment(scene.source, stage, real, scene.surroundings.redaction).acts())
        await real.run(acts, scene.test.start + scene.test.expect[-1].at)
        return await of_the_run(real), await of_the_backtest(real, scene)


def test_the_drawn_runs_are_worth_comparing() -> None:
    """Among their alerts are some that begin again, and rules that act on one target."""
    scenes = [as_assumed(seed) for seed in range(24)]
    assert any(len(one.fires) > 2 for scene in scenes for one in scene.test.alerts)
