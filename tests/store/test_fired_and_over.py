"""What fires and ends again before anything of it is stored, on a real PostgreSQL: it opens its incident."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from responder.engine import commit
from responder.engine.isolate import Isolation
from responder.model.alert import Alert, Delivery, Rejected, Standing
from responder.model.rule import Rulebook
from tests.support.writer import RULE, START, Writer, alert, delivery, writing

_BAD = (Rejected("a test's", "{}"),)
"""A letter in a batch has all of it folded, in one transaction."""
_MEMBERS = """
SELECT a.labels->>'pod', m.generation, m.starts_at, m.ends_at, m.firing, i.key_hash
FROM members m JOIN alerts a USING (source, fingerprint) JOIN incidents i ON i.id = m.incident_id
ORDER BY 1, 2
"""


@pytest.fixture
async def writer(dsn: str) -> AsyncIterator[Writer]:
    async with writing(dsn, Rulebook(rules=(RULE,))) as one:
        yield one


def fires(second: int, pod: str = "p-1") -> Alert:
    """It fires since then."""
    return replace(alert(pod=pod), starts_at=START + timedelta(seconds=second))


def ends(start: int, second: int, pod: str = "p-1") -> Alert:
    """What fired since then has ended."""
    over = START + timedelta(seconds=second)
    return replace(fires(start, pod), standing=Standing.RESOLVED, ends_at=over)


async def together(writer: Writer, told: Sequence[Alert]) -> None:
    """One batch that has to be folded, a delivery for each."""
    posts = [delivery(one, rejected=_BAD if number == 0 else ()) for number, one in enumerate(told)]
    await asyncio.gather(*(writer.intake.take(post) for post in posts))


async def test_what_fired_and_ended_in_one_folded_batch_has_its_incident(writer: Writer) -> None:
    """Acknowledged as firing, then as over: it is a member of an incident that is due, and ended."""
    await together(writer, [fires(0), ends(0, 9)])
    assert await writer.ask("SELECT generation, firing FROM members") == [(1, False)]
    assert await writer.ask("SELECT count(*) FROM incidents WHERE due_at IS NOT NULL") == [(1,)]


async def test_each_episode_of_a_folded_batch_is_a_member(writer: Writer) -> None:
    """Three times it fires and ends, once more it fires: four episodes, one of them open."""
    told = [one for at in (0, 20, 40) for one in (fires(at), ends(at, at + 9))]
    await together(writer, [*told, fires(60)])
    found = await writer.ask("SELECT generation, firing FROM members ORDER BY 1")
    assert found == [(1, False), (2, False), (3, False), (4, True)]
    assert await writer.ask("SELECT count(*), count(DISTINCT received_at) FROM journal") == [(7, 7)]
    assert await writer.ask("SELECT count(*) FROM dead_letters") == [(1,)]


async def test_an_episode_of_a_batch_joins_once(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fired, an end of something older, a later start of the same episode: one member, in one transaction."""

    async def never(*_: object) -> object:
        raise AssertionError("the batch was not written as a whole")

    monkeypatch.setattr(Isolation, "run", never)
    await together(writer, [fires(20), ends(0, 9), fires(30)])
    assert await writer.ask("SELECT generation, firing FROM members ORDER BY 1") == [(1, True)]


async def test_a_batch_has_no_more_rounds_than_are_allowed(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one alert says beyond them is folded together: its last word counts, and every row is kept."""
    monkeypatch.setattr(commit, "_ROUNDS_AT_MOST", 2)
    told = [one for at in (0, 20, 40) for one in (fires(at), ends(at, at + 9))]
    await together(writer, [*told, fires(60)])
    assert await writer.ask("SELECT generation, firing FROM members ORDER BY 1") == [(1, False), (4, True)]
    assert await writer.ask("SELECT count(*) FROM journal") == [(7,)]


async def test_all_incidents_of_a_batch_are_locked_before_its_first_round(writer: Writer) -> None:
    """A later round concerns an incident that sorts first: it is locked before the one of the first round."""
    await writer.intake.take(delivery(fires(0, "p-2")))
    locked: list[Sequence[object]] = []
    original = commit.Commit._store_round

    async def watched(*given: object) -> object:
        rows = await writer.ask("SELECT id FROM incidents FOR UPDATE SKIP LOCKED")
        locked.append(rows)
        return await original(*given)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(commit.Commit, "_store_round", watched)
        await together(writer, [fires(0), ends(0, 9), ends(0, 9, "p-2")])
    assert locked == [[], []], "somebody else could lock the incident of a later round"


_WORDS = st.tuples(st.sampled_from(["p-1", "p-2"]), st.booleans(), st.integers(0, 4), st.integers(0, 4)).map(
    lambda one: fires(10 * one[2], one[0]) if one[1] else ends(10 * one[2], 10 * one[2] + one[3], one[0])
)


@pytest.mark.real  # it takes long
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(told=st.lists(_WORDS, min_size=1, max_size=6))
async def test_a_folded_batch_means_what_its_deliveries_mean_one_by_one(
    writer: Writer, told: Sequence[Alert]
) -> None:
    """The same members with the same episodes, whether it is told in one batch or one after the other."""
    await together(writer, told)
    at_once = await writer.ask(_MEMBERS)
    await _forget(writer)
    for one in told:
        await writer.intake.take(Delivery(source="am", alerts=(one,), rejected=_BAD))
    one_by_one = await writer.ask(_MEMBERS)
    await _forget(writer)
    assert at_once == one_by_one


async def _forget(writer: Writer) -> None:
    await writer.ask("DELETE FROM members RETURNING 1")
    await writer.ask("DELETE FROM incidents RETURNING 1")
    await writer.ask("DELETE FROM alerts RETURNING 1")
    await writer.ask("DELETE FROM journal RETURNING 1")
