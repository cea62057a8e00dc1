"""Claims about the past in PostgreSQL: read in order, given to a new installation, and never acted on."""

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

from responder.decide.fold import AlertRecord, step
from responder.engine.rematch import Rematch
from responder.engine.rules import ActiveRules
from responder.model.alert import Alert
from responder.model.attempt import Attempt
from responder.model.by_hand import ByHand
from responder.model.incident import Command, CommandKind, Incident
from responder.model.severity import Severity
from responder.model.timeline import EntryDraft, EntryKind
from responder.ports import IncidentKey, KeptPast, NewByHand, NewIncident
from responder.rehearsal.recorded import Fact, FactKind, read_facts
from responder.rehearsal.rows import read_rows
from responder.store.history import _IMPORTING
from tests.support.parts import until
from tests.support.stored import BOOK, MINUTE, RULE, T0, Stored, alert, change, ended, intent, stored

EVER = datetime(1999, 1, 1, tzinfo=UTC)
NEVER = datetime(2100, 1, 1, tzinfo=UTC)


async def rows(db: Stored, at_least: int, after: datetime = EVER, end: datetime = NEVER) -> list[list[str]]:
    """All pages, the lines of each."""
    pages: list[list[str]] = []
    step = timedelta.resolution
    while after < end - step:
        page = await db.store.history.rows(after, end, at_least)
        assert page.after > after
        if page.lines:
            pages.append(list(page.lines))
        after = page.after
    return pages


async def heard(db: Stored, since: datetime = EVER) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    after: tuple[str, str] | None = ("", "")
    while after is not None:
        page = await db.store.history.heard(since, after, 1)
        found += [(one.labels["pod"], one.episodes) for one in page.alerts]
        after = page.after
    return sorted(found)


async def episodes(db: Stored) -> list[tuple[float, float | None]]:
    found = await db.sql("SELECT starts_at, ends_at FROM imported_episodes ORDER BY fingerprint, starts_at")
    return [((one - T0) / MINUTE, None if end is None else (end - T0) / MINUTE) for one, end in found]


async def keep(db: Stored, *alerts: Alert) -> KeptPast:
    return await db.store.history.keep("main", alerts)


async def test_what_is_imported_is_never_acted_on(dsn: str) -> None:
    """Not matched again by another rulebook, not unmatched, not known: it opens and wakes no incident."""
    async with stored(dsn) as db:
        await keep(db, alert("a"), ended("b", 0, 5))
        rules = ActiveRules(db.store)
        assert await rules.follow()
        assert rules.indexed.incidents_of(alert("a").labels)

        class Nobody:
            async def take(self, delivery: Any) -> None:
                raise AssertionError(f"{delivery} is taken up")

        await Rematch(db.store, rules, Nobody()).round()  # type: ignore[arg-type]
        assert await db.store.unmatched(10) == []
        assert await db.one("SELECT count(*) FROM alerts") == 0
        assert await db.one("SELECT count(*) FROM journal") == 0
        assert await db.one("SELECT count(*) FROM incidents") == 0
        assert BOOK.hash == rules.hash


async def test_a_delivery_of_an_imported_alert_is_its_first(dsn: str) -> None:
    """The same alert, heard of later, begins with its own first episode."""
    async with stored(dsn) as db:
        await keep(db, alert("a"))
        await db.observe(alert("a"))
        assert await db.sql("SELECT generation, starts_at FROM alerts") == [(1, T0)]
        assert await db.one("SELECT count(*) FROM members") == 1


async def test_the_same_import_again_changes_nothing(dsn: str) -> None:
    """Episodes that are known are counted and left alone, those of one batch, too."""
    async with stored(dsn) as db:
        told = (ended("a", 0, 5), ended("a", 7, 9), ended("b", 0, 5))
        assert await keep(db, *told) == KeptPast(new=3, longer=0, known=0)
        before = await episodes(db)
        assert await keep(db, *told) == KeptPast(new=0, longer=0, known=3)
        assert await episodes(db) == before


async def test_a_later_import_knows_more_of_the_end(dsn: str) -> None:
    """What overlaps a known episode is that one: its start stays, its end moves later and never back."""
    async with stored(dsn) as db:
        await keep(db, ended("a", 0, 5))
        assert await keep(db, ended("a", 3, 8)) == KeptPast(new=0, longer=1, known=0)
        assert await keep(db, ended("a", 2, 4)) == KeptPast(new=0, longer=0, known=1)
        assert await episodes(db) == [(0, 8)]
        assert await keep(db, alert("a", start=9)) == KeptPast(new=1, longer=0, known=0)
        assert await episodes(db) == [(0, 8), (9, None)]
        assert await keep(db, ended("a", 9, 12)) == KeptPast(new=0, longer=1, known=0)
        assert await episodes(db) == [(0, 8), (9, 12)]


async def test_two_imports_at_once_keep_each_episode_once(dsn: str) -> None:
    """The second waits for the first: what that has kept by then is known."""
    async with stored(dsn) as db:
        first = db.raw.transaction()
        await first.start()
        await db.raw.execute("SELECT pg_advisory_xact_lock($1)", _IMPORTING)
        second = asyncio.create_task(keep(db, ended("a", 1, 6)))
        await until(lambda: waits(db), "the second import waits")
        await db.raw.execute(
            "INSERT INTO imported_episodes VALUES ('main', $1, $2, $3, '{}', $2)",
            ended("a").fingerprint,
            T0,
            T0 + 5 * MINUTE,
        )
        await first.commit()
        assert await second == KeptPast(new=0, longer=1, known=0)


async def waits(db: Stored) -> bool:
    return bool(await db.one("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"))


async def test_episodes_that_touch_are_two(dsn: str) -> None:
    """It ended and fired anew between two looks."""
    async with stored(dsn) as db:
        assert (await keep(db, ended("a", 0, 5), ended("a", 5, 9))).new == 2
        assert (await keep(db, ended("a", 9, 12))).new == 1
        assert (await keep(db, ended("a", -3, 0))).new == 1


async def test_the_past_is_read_in_order_and_each_row_once(dsn: str) -> None:
    """Whatever the size of a page: what was imported by its own times, what was heard by ours."""
    async with stored(dsn) as db:
        await keep(db, ended("old", 0, 5), alert("open", start=2))
        for minute in range(3):
            await db.observe(*(alert(str(name), start=minute) for name in range(4)))
        whole = [line for page in await rows(db, 10_000) for line in page]
        assert len(whole) == 3 + 12
        times = [line.split('"')[1] for line in whole]
        assert times == sorted(times)
        for size in (1, 2, 3, 7):
            pages = await rows(db, size)
            assert [line for page in pages for line in page] == whole
            for page, following in pairwise(pages):
                assert page[-1].split('"')[1] < following[0].split('"')[1], "one moment is not parted"


async def test_the_past_ends_before_the_moment_that_is_asked_for(dsn: str) -> None:
    """What was heard at it or later is not told, nor what was heard at the first moment or before."""
    async with stored(dsn) as db:
        await keep(db, *(ended(str(minute), minute, minute + 100) for minute in range(5)))
        found = await rows(db, 100, T0 + MINUTE, T0 + 4 * MINUTE)
        assert len([line for page in found for line in page]) == 2


async def test_heard_since_is_the_oldest_row_of_the_journal(dsn: str) -> None:
    """What was imported is nothing that we heard."""
    async with stored(dsn) as db:
        await keep(db, ended("a", 0, 5))
        assert await db.store.history.heard_since() is None
        await db.observe(alert("a"))
        assert await db.store.history.heard_since() == await db.one("SELECT min(received_at) FROM journal")


async def test_alerts_are_counted_with_their_episodes(dsn: str) -> None:
    """Heard or imported, each label set by itself; what ended before then is left out."""
    async with stored(dsn) as db:
        await keep(db, ended("old", 0, 5), ended("old", 7, 9), ended("long ago", -100, -90))
        await db.observe(alert("a"))
        assert await heard(db, T0) == [("a", 1), ("old", 2)]
        assert ("long ago", 1) in await heard(db)


async def test_what_is_older_than_the_journal_is_forgotten(dsn: str) -> None:
    """By its end: what fires still is kept."""
    async with stored(dsn) as db:
        await keep(db, ended("old", 0, 5), ended("newer", 0, 50), alert("open"))
        await db.store.history.forget(T0 + 10 * MINUTE)
        assert await db.one("SELECT count(*) FROM imported_episodes") == 2


# What was recorded ---------------------------------------------------------------------------------------


async def recorded(db: Stored, incidents: int) -> list[list[Fact]]:
    """All pages, the facts of each."""
    after: UUID | None = None
    pages: list[list[Fact]] = []
    ends = EVER
    while True:
        page = await db.store.history.recorded(EVER, NEVER, after, incidents)
        facts = read_facts(page.lines)
        assert all(fact.at >= ends for fact in facts if fact.kind is not FactKind.RESTRAINT)
        pages.append(facts)
        if page.after is None:
            return pages
        after, ends = page.after, page.complete_until


async def test_what_was_recorded_is_told_incident_after_incident(dsn: str) -> None:
    """What was judged, attempted, read and said, with the rule and group; none comes too late."""
    async with stored(dsn) as db:
        identities = []
        for pod in "abc":
            await db.observe(alert(server=pod))
            lease, case = await db.leased()
            identities.append(identity(case.incident))
            entry = EntryDraft(kind=EntryKind.VERIFICATION, text="read", facts={"probes": {"q": pod == "b"}})
            attempt = await db.store.commit_intent(lease, intent(case, f"t/{pod}"), change(case))
            assert isinstance(attempt, Attempt)
            assert await db.store.record(lease, case, change(case, entries=(entry,)))
            await db.store.give_command(
                Command(
                    id=uuid4(),
                    incident_id=case.incident.id,
                    kind=CommandKind.ACKNOWLEDGE,
                    actor="ada",
                    given_at=await db.store.now(),
                )
            )
        await db.store.halt("ada", "look")
        asked = ByHand(actor="ada", reason="so", title="slow", asked_at=await db.store.now())
        await db.store.open_by_hand(NewByHand(None, asked, RULE, {}, Severity.P2))
        for size in (1, 2, 10):
            facts = [fact for page in await recorded(db, size) for fact in page]
            kinds = [fact.kind for fact in facts if fact.kind is not FactKind.RESTRAINT]
            assert kinds == [FactKind.ATTEMPT, FactKind.VERIFICATION, FactKind.COMMAND] * 3
            assert [one.told["reason"] for one in facts if one.kind is FactKind.RESTRAINT] == ["look"]
            targets = [one.told["target"] for one in facts if one.kind is FactKind.ATTEMPT]
            assert targets == ["t/a", "t/b", "t/c"]
            owners = [fact.of for fact in facts if fact.kind is FactKind.ATTEMPT]
            assert owners == identities


def identity(incident: Incident) -> IncidentKey:
    new = NewIncident(incident.rule, "", incident.key, incident.severity, timedelta(0), ())
    return new.identity


async def test_imported_episodes_that_touch_are_heard_as_two(dsn: str) -> None:
    """The end of the one comes before the beginning of the next: a fold sees two."""
    async with stored(dsn) as db:
        await keep(db, ended("a", 0, 5), ended("a", 5, 9))
        page = await db.store.history.rows(EVER, NEVER, 100)
        told = read_rows(page.lines)
        record: AlertRecord | None = None
        for row in sorted(told, key=lambda one: one.order):
            record = step(record, row, MINUTE)
        assert record is not None
        assert (len(told), record.generation, record.firing) == (4, 2, False)
