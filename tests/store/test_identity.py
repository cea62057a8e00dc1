"""A store that may have forgotten what was done starts halted, on real servers with real backups."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from responder.decide.case import IntentLost
from responder.model.anchor import Anchor
from responder.model.attempt import Attempt
from responder.store.connection import connect
from responder.store.embedded import EmbeddedServer
from responder.store.identity import halt_if_forgotten
from responder.store.migrate import migrate
from tests.support.databases import directory_for_a_server, dump, fresh_database, restore, running_server
from tests.support.parts import until
from tests.support.stored import Stored, alert, change, intent, stored


@pytest_asyncio.fixture
async def db(dsn: str) -> AsyncIterator[Stored]:
    async with stored(dsn) as opened:
        yield opened


async def attempt(db: Stored, server: str) -> IntentLost | Attempt:
    """One more incident, and what becomes of an intent for it."""
    await db.observe(alert(server=server))
    lease, case = await db.leased()
    made = await db.store.commit_intent(lease, intent(case, target=f"postgres/{server}"), change(case))
    await db.store.give_up(lease)
    return made


async def recovered(dsn: str) -> bool:
    """Whether the server takes writes again."""
    connection = await connect(dsn, name="test")
    try:
        return not await connection.fetchval("SELECT pg_is_in_recovery()")
    finally:
        await connection.close()


async def anchored(db: Stored) -> Anchor:
    """The line that a stop would write."""
    return await db.store.anchors.take(0)


async def test_an_old_dump_on_another_server_starts_halted_and_says_why(db: Stored, dsn: str) -> None:
    """Attempts, a dump, more attempts; restored elsewhere no action starts until a person resumes."""
    assert await halt_if_forgotten(dsn, None) == []
    await attempt(db, "db1")
    backup = dump(dsn)
    assert isinstance(await attempt(db, "db2"), Attempt)
    with running_server() as other, fresh_database(other.dsn) as there:
        restore(there, backup)
        assert await migrate(there) == ()
        (reason,) = await halt_if_forgotten(there, None)
        assert "at its last start it stood on another PostgreSQL (postgres-system/" in reason
        async with stored(there) as restored:
            assert await restored.one("SELECT count(*) FROM attempts") == 1
            assert reason in ((await restored.store.restraints()).halts_all or "")
            assert await attempt(restored, "db2") is IntentLost.HALTED
            assert await halt_if_forgotten(there, None) == [], "told once; the flag stands"
            assert "responder resume" in ((await restored.store.restraints()).halts_all or "")
            await restored.store.resume("ann", "nothing was done since")
            assert await halt_if_forgotten(there, None) == []
            assert (await restored.store.restraints()).halts_all is None
            assert isinstance(await attempt(restored, "db3"), Attempt)
            assert await restored.sql("SELECT halted, actor FROM halt_history ORDER BY id") == [
                (True, "responder"),
                (False, "ann"),
            ]


async def test_an_old_dump_on_the_same_server_is_told_by_the_anchor_file(
    db: Stored, dsn: str, server_dsn: str
) -> None:
    """The server is the same, its WAL goes on: only what stands outside of it knows what was forgotten."""
    await halt_if_forgotten(dsn, None)
    await attempt(db, "db1")
    before = await anchored(db)
    backup = dump(dsn)
    await attempt(db, "db2")
    after = await anchored(db)
    assert await halt_if_forgotten(dsn, after) == [], "as it was anchored"
    with fresh_database(server_dsn) as there:
        restore(there, backup)
        assert await halt_if_forgotten(there, before) == [], "no newer than the dump"
        (reason,) = await halt_if_forgotten(there, after)
        assert "its timelines are behind anchor 2 in the file" in reason
        async with stored(there) as restored:
            assert await attempt(restored, "db2") is IntentLost.HALTED
            await restored.store.resume("ann", "I looked")
            assert await halt_if_forgotten(there, after) == [], "a person has confirmed that line"
            assert (await restored.store.anchors.take(after.number)).number == 3


async def test_timelines_that_went_another_way_are_told(db: Stored, dsn: str, server_dsn: str) -> None:
    """A restored store that went on elsewhere has an anchor of the same number, with other heads."""
    backup = dump(dsn)
    await attempt(db, "db1")
    line = await anchored(db)
    with fresh_database(server_dsn) as there:
        restore(there, backup)
        async with stored(there) as restored:
            await attempt(restored, "db7")
            await anchored(restored)
        (reason,) = await halt_if_forgotten(there, line)
        assert "went another way" in reason


async def test_a_part_of_a_timeline_that_is_gone_is_told(db: Stored, dsn: str) -> None:
    """Also where the anchors themselves are all there."""
    await attempt(db, "db1")
    line = await anchored(db)
    await db.raw.execute("ALTER TABLE timeline DISABLE TRIGGER USER; DELETE FROM timeline")
    (reason,) = await halt_if_forgotten(dsn, line)
    assert "has lost entry 1" in reason


async def test_a_recovery_to_a_point_in_time_starts_halted() -> None:
    """The server is the same, but its WAL went into another timeline: what came after that point is lost."""
    with directory_for_a_server() as data_dir:
        server = EmbeddedServer.start(data_dir)
        await migrate(server.dsn)
        assert await halt_if_forgotten(server.dsn, None) == []
        server.stop()
        (data_dir / "postgres" / "recovery.signal").touch()
        with (data_dir / "postgres" / "postgresql.auto.conf").open("a") as configuration:
            configuration.write("restore_command = 'false'\n")
        server = EmbeddedServer.start(data_dir)
        try:
            await until(lambda: recovered(server.dsn), "the recovery is over", within=60)
            (reason,) = await halt_if_forgotten(server.dsn, None)
            assert "WAL timeline 1 at its last start, now 2" in reason
        finally:
            server.stop()


async def test_a_halt_of_a_person_is_not_lost_behind_that_of_the_start(db: Stored, dsn: str) -> None:
    """Both reasons are told: whoever resumes should know of both."""
    await attempt(db, "db1")
    line = (await anchored(db)).model_copy(update={"number": 9})
    await db.store.halt("bob", "deploy")
    assert await halt_if_forgotten(dsn, line)
    why = (await db.store.restraints()).halts_all or ""
    assert "behind anchor 9" in why
    assert "by bob: deploy" in why
    assert len((await db.store.restraints()).standing) == 2, "each is ended by itself"


@pytest.mark.parametrize("field", ["system", "wal_timeline"])
async def test_the_file_remembers_the_server_too(db: Stored, dsn: str, field: str) -> None:
    """A restore brings back what the database believed of itself, not what the file says of it."""
    line = (await anchored(db)).model_copy(
        update={field: 7 if field == "wal_timeline" else "postgres-system/7"}
    )
    (reason,) = await halt_if_forgotten(dsn, line)
    assert "in the anchor file" in reason
