"""A storm on a real PostgreSQL: what opened is counted, one incident tells of all, and it ends."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID, uuid4

import pytest_asyncio

from responder.decide import changes
from responder.decide.case import AskSource, Case, Change, Move, SourceView, Terms
from responder.engine.ownership import Ownership
from responder.engine.perform import Perform, Recording
from responder.engine.wake import Wake
from responder.engine.worker import Worker
from responder.model.incident import IncidentState
from responder.model.rule import Rulebook
from responder.model.severity import Severity
from responder.model.storm import UMBRELLA, StormTerms
from responder.ports import Lease
from responder.store.postgres import PostgresStore
from responder.telemetry import build_metrics
from tests.support.crews import ALONE
from tests.support.stored import KEYS, LEASE_TIME, RULE, Stored, alert, ended, stored

BRAKE = StormTerms(openings=5, gather_for=timedelta(minutes=1))
TERMS = Terms(storm=BRAKE)
ASKS = RULE.model_copy(update={"escalate": True})
"""Every alert of it would be told to a person."""


ASKING = Rulebook(rules=(ASKS,))


class Nobody:
    """Sends nothing, and counts how often it was asked to: what people are told stays in the outbox."""

    woken = 0

    def wake(self) -> None:
        """See `ports.Dispatch.wake`."""
        self.woken += 1


async def _asking(
    lease: Lease, case: Case, move: Move, now: datetime, before: Recording | None = None
) -> Change | None:
    """The one move that rules without a step need the world for: the source has no API to ask."""
    del lease
    assert isinstance(move, AskSource)
    if before is not None and not await before():
        return None
    return changes.asked_for_a_person(case, SourceView(configured=False), now, TERMS)


class Stormy(Stored):
    """A store that takes five openings for a storm, and one worker on it."""

    async def after(self, pause: timedelta) -> None:
        """So much later."""
        await self.raw.execute("UPDATE service_clock SET shift = shift + $1::interval", pause)
        await self.store.now()

    async def calm(self) -> None:
        """What opened so far did so too long ago to count."""
        await self.after(BRAKE.within)

    async def pages(self) -> list[tuple[Any, ...]]:
        """What a person has to act on, in the order in which it was told: rule and severity."""
        told = "SELECT body ->> 'rule', body ->> 'severity' FROM outbox WHERE level > 0 ORDER BY number"
        return await self.sql(told)

    async def work(self) -> int:
        """Take everything that is due as far as it goes; how often the outbox was to be looked at."""
        nobody = Nobody()
        ownership = Ownership(self.store, build_metrics("test"), LEASE_TIME, timedelta(seconds=1))
        await ownership.begin()
        asking = cast("Perform", _asking)
        metrics, wake = build_metrics("test"), Wake()
        worker = Worker(self.store, ownership, asking, nobody, metrics, TERMS, wake, ALONE, 0.25)
        while await worker._once():
            pass
        await ownership.end()
        return nobody.woken

    async def told(self) -> None:
        """The same, and once more when the umbrella incident has gathered what it is about."""
        await self.work()
        await self.after(BRAKE.gather_for)
        await self.work()

    async def all_due(self) -> None:
        """Let every waiting incident be looked at now."""
        await self.sql("UPDATE incidents SET due_at = service_time() WHERE due_at IS NOT NULL")


@pytest_asyncio.fixture
async def db(dsn: str) -> AsyncIterator[Stormy]:
    async with stored(dsn) as opened:
        store = PostgresStore(opened.connections, LEASE_TIME, KEYS, storm=BRAKE)
        await store.activate(ASKING, "the test")
        yield Stormy(store, opened.connections, opened.raw)


async def open_some(db: Stored, number: int, severity: Severity = Severity.P2, prefix: str = "db") -> None:
    """So many incidents, each with a firing alert of its own."""
    for n in range(number):
        await db.observe(alert(f"p{n}", server=f"{prefix}{n}"), severity=severity)
    await db.raw.execute("UPDATE incidents SET rulebook_hash = $1", ASKING.hash)


STATES: Any = "SELECT rule, state, count(*) FROM incidents GROUP BY 1, 2 ORDER BY 1, 2"


async def test_openings_are_counted_up_to_a_storm_and_no_further_back_than_they_count(db: Stormy) -> None:
    """What opened lately, the case says at its lease; what opened earlier counts no more."""
    await open_some(db, 4)
    assert (await db.leased())[1].storm.openings == 4
    await open_some(db, 3, prefix="more")
    assert (await db.leased())[1].storm.openings == 5
    await db.calm()
    await open_some(db, 1, prefix="later")
    assert (await db.leased())[1].storm.openings == 1


async def test_three_replicas_open_one_umbrella_incident(db: Stormy) -> None:
    """However many are held back at once, there is one, and who asks next finds it."""
    await asyncio.gather(*(db.store.open_umbrella(timedelta(0)) for _ in range(3)))
    [(found,)] = await db.sql("SELECT id FROM incidents WHERE rule = $1", UMBRELLA.name)
    await open_some(db, 1)
    await db.sql("UPDATE incidents SET due_at = NULL WHERE rule = $1", UMBRELLA.name)
    assert (await db.leased())[1].storm.umbrella == found


async def test_a_storm_is_one_page_and_p0_and_p1_page_as_ever(db: Stormy) -> None:
    """Of ten P2 incidents nobody hears but by one; a P0 and a P1 are told by themselves."""
    await open_some(db, 10)
    await open_some(db, 1, Severity.P0, "worst")
    await open_some(db, 1, Severity.P1, "bad")
    await db.told()
    assert sorted(await db.pages()) == [("StuckQueries", "P0"), ("StuckQueries", "P1"), ("storm", "P1")]
    assert await db.sql(STATES) == [
        ("StuckQueries", "escalated", 2), ("StuckQueries", "recorded", 10), ("storm", "escalated", 1)
    ]  # fmt: skip
    [(umbrella,)] = await db.sql("SELECT id FROM incidents WHERE rule = $1", UMBRELLA.name)
    told = "SELECT count(*) FROM timeline WHERE text LIKE $1"
    assert await db.one(told, f"Recorded: part of the storm, see {umbrella}: %") == 10
    assert await db.one(told, "%10 incidents are part of it (StuckQueries 10), 10 still fire") == 1
    dossier = await db.store.incident(cast("UUID", umbrella))
    assert dossier is not None
    assert dossier.rule["name"] == UMBRELLA.name


async def test_who_sends_is_woken_with_each_record_that_tells_people(db: Stormy) -> None:
    """A P1 is heard of at once, not at the next poll; what tells nobody wakes nobody."""
    await open_some(db, 1, Severity.P1)
    assert await db.work() == 1
    await db.observe(alert("p0", server="db0", summary="in other words"))
    await db.all_due()
    assert await db.work() == 0


async def test_the_storm_ends_and_what_still_fires_speaks_for_itself(db: Stormy) -> None:
    """As long as five still fire it goes on; with four it is over, those four are told, the ended are not."""
    await open_some(db, 6)
    await db.told()
    await db.calm()
    await db.observe(ended("p0", server="db0"))
    await db.all_due()
    await db.work()
    assert await db.pages() == [("storm", "P1")]
    await db.observe(ended("p1", server="db1"))
    await db.all_due()
    await db.work()
    [(state,)] = await db.sql("SELECT state FROM incidents WHERE rule = $1", UMBRELLA.name)
    assert state == IncidentState.RESOLVED
    await db.all_due()
    await db.work()
    assert sorted(await db.pages()) == [("StuckQueries", "P2")] * 4 + [("storm", "P1")]


async def test_another_storm_a_short_while_later_is_the_same_incident_and_pages_again(db: Stormy) -> None:
    """Within `reopen_within` of its end it is woken, not opened anew."""
    await open_some(db, 5)
    await db.told()
    await db.calm()
    for n in range(5):
        await db.observe(ended(f"p{n}", server=f"db{n}"))
    await db.all_due()
    await db.work()
    await open_some(db, 5, prefix="again")
    await db.work()
    assert await db.pages() == [("storm", "P1")] * 2
    assert await db.one("SELECT count(*) FROM incidents WHERE rule = $1", UMBRELLA.name) == 1


async def test_what_is_told_again_in_the_same_words_wakes_nobody(db: Stormy) -> None:
    """An unchanged resend moves neither `due_at` nor `wakes`, be it of one alert or of many."""
    some = [alert(f"p{n}", server=f"db{n % 3}") for n in range(30)]
    await db.observe(*some)
    await db.sql("UPDATE incidents SET due_at = due_at + interval '1 hour'")
    standing = "SELECT id, due_at, wakes, severity, xmin::text FROM incidents ORDER BY id"
    before = await db.sql(standing)
    await db.observe(*some)
    assert await db.sql(standing) == before
    assert await db.store.lease(uuid4()) is None
