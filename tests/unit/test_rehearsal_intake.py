"""What the rehearsal makes of alerts that are told late, again, or not at all: as the engine's intake."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from responder.decide.case import Terms
from responder.model.alert import Alert, Delivery, Standing, fingerprint
from responder.model.incident import Command, CommandKind, IncidentState
from responder.rehearsal.play import Playing
from responder.rehearsal.rehearsal import Act
from responder.rehearsal.scene import Around, read_scenes
from responder.rulebook.mistake import Mistakes
from tests.support.rule_surroundings import surroundings

FILES = Path(__file__).parent / "rehearsed"
MINUTE = timedelta(minutes=1)
LABELS = {"alertname": "Seen", "server": "a", "db": "x"}


def playing(tmp_path: Path, source: str = "[]", alerts: str = "[]", terms: Terms | None = None) -> Playing:
    """A test; where it has no alert of its own, what is heard is given by hand."""
    file = tmp_path / "x.test.yaml"
    file.write_text(
        f"""\
rules: [{FILES / "guards.yaml"}]
inventory: {{postgres: [{{name: a, matches: ['server = "a"']}}]}}
source: {{name: main, api: true}}
tests:
  - name: x
    alerts: {alerts}
    source: {source}
    actions: [{{action: postgres.cancel_queries, finds: [pid 1]}}]
    expect: [{{at: 3m5s, incidents: [{{state: resolved}}]}}]
"""
    )
    mistakes = Mistakes()
    [scene] = read_scenes([file], Around(surroundings(), terms or Terms()), mistakes)
    assert not mistakes.found, mistakes.sorted()
    return Playing(scene)


def told(playing: Playing, standing: Standing, start: timedelta, end: timedelta | None = None) -> Act:
    """A delivery of the alert, its times from the start of the test on."""
    zero = playing.rehearsal.clock.now
    alert = Alert(
        fingerprint=fingerprint(LABELS),
        labels=LABELS,
        annotations={},
        standing=standing,
        starts_at=zero + start,
        ends_at=None if end is None else zero + end,
    )

    async def act() -> None:
        await playing.rehearsal.take(Delivery(source="main", alerts=(alert,)))

    return act


def states(playing: Playing) -> list[IncidentState]:
    """Of all incidents, in the order in which they opened."""
    return [kept.incident.state for kept in playing.memory.incidents.values()]


def firing(playing: Playing) -> list[int]:
    """How many members of each incident fire."""
    return [len(kept.members.firing) for kept in playing.memory.incidents.values()]


@pytest.mark.parametrize(
    ("word", "counts"), [("firing", [1]), ("silenced", [1]), ("resolved", [0]), ("no_answer", [1])]
)
async def test_what_fires_again_with_an_earlier_start_counts_when_the_source_says_so(
    tmp_path: Path, word: str, counts: list[int]
) -> None:
    """Alertmanager resolves by timeout and sends the same start again: asked, or after a while, it fires."""
    play = playing(tmp_path, f"[{{says: {word}}}]")
    zero = play.rehearsal.clock.now
    play.rehearsal.at(zero, told(play, Standing.FIRING, timedelta(0)))
    play.rehearsal.at(zero + 5 * MINUTE, told(play, Standing.RESOLVED, timedelta(0), 5 * MINUTE))
    play.rehearsal.at(zero + 6 * MINUTE, told(play, Standing.FIRING, timedelta(0)))
    await play.rehearsal.run(zero + 6 * MINUTE)
    assert firing(play) == [0]
    await play.rehearsal.run(zero + 8 * MINUTE)
    assert firing(play) == counts


async def test_what_starts_anew_after_its_incident_was_closed_opens_another(tmp_path: Path) -> None:
    """No end was heard, but a person had closed the incident: the alert must not fire in one that is over."""
    play = playing(tmp_path)
    zero = play.rehearsal.clock.now
    play.rehearsal.at(zero, told(play, Standing.FIRING, timedelta(0)))

    async def close() -> None:
        [kept] = play.memory.incidents.values()
        command = Command(
            id=kept.incident.id,
            incident_id=kept.incident.id,
            kind=CommandKind.CLOSE,
            actor="ada",
            given_at=play.rehearsal.clock.now,
        )
        play.memory.command(command)

    play.rehearsal.at(zero + MINUTE, close)
    play.rehearsal.at(zero + 2 * MINUTE, told(play, Standing.FIRING, timedelta(0)))
    await play.rehearsal.run(zero + 2 * MINUTE)
    assert states(play) == [IncidentState.CLOSED]
    play.rehearsal.at(zero + 3 * MINUTE, told(play, Standing.FIRING, 3 * MINUTE))
    await play.rehearsal.run(zero + 3 * MINUTE)
    assert states(play) == [IncidentState.CLOSED, IncidentState.RECORDED]
    assert firing(play)[1] == 1


async def test_a_delivery_that_says_both_goes_by_its_last_word(tmp_path: Path) -> None:
    """An end and a firing in one delivery are of two alerts that are the same to us: one of them fires."""
    play = playing(tmp_path)
    zero = play.rehearsal.clock.now
    play.rehearsal.at(zero, told(play, Standing.FIRING, timedelta(0)))
    alerts = tuple(
        Alert(fingerprint(LABELS), LABELS, {}, standing, zero, ends)
        for standing, ends in ((Standing.RESOLVED, zero + MINUTE), (Standing.FIRING, None))
    )

    async def both() -> None:
        await play.rehearsal.take(Delivery(source="main", alerts=alerts))

    play.rehearsal.at(zero + MINUTE, both)
    await play.rehearsal.run(zero + 2 * MINUTE)
    assert firing(play) == [1]
    assert len(states(play)) == 1


async def test_a_firing_at_the_very_moment_of_its_end_fires_on_as_another_episode(tmp_path: Path) -> None:
    """Told by two deliveries, the end is known already: one member fires, and one has ended."""
    play = playing(tmp_path)
    zero = play.rehearsal.clock.now
    play.rehearsal.at(zero, told(play, Standing.FIRING, timedelta(0)))
    play.rehearsal.at(zero + MINUTE, told(play, Standing.RESOLVED, timedelta(0), MINUTE))
    play.rehearsal.at(zero + MINUTE, told(play, Standing.FIRING, timedelta(0)))
    await play.rehearsal.run(zero + 2 * MINUTE)
    [kept] = play.memory.incidents.values()
    assert (len(kept.members.firing), kept.members.total) == (1, 2)


async def test_time_only_moves_to_what_happens(tmp_path: Path) -> None:
    """A year in which nothing happens takes no step: there is a heap of moments and nothing else."""
    play = playing(tmp_path)
    zero: datetime = play.rehearsal.clock.now
    await play.rehearsal.run(zero + timedelta(days=365))
    assert play.rehearsal.clock.now == zero + timedelta(days=365)
    assert play.memory.turns.next_due() is None


async def test_an_incident_hears_within_seconds_of_what_happened_during_its_move(tmp_path: Path) -> None:
    """The end that only the source told is journaled by the move itself: it is not slept over."""
    play = playing(
        tmp_path,
        source="[{from: 2m, says: resolved}]",
        alerts="[{labels: {alertname: Stuck, server: a, db: x}}]",
        terms=Terms(verify_every=timedelta(seconds=30)),
    )
    assert (await play.play()).differences == ()
