"""The global anchor on a real PostgreSQL: what a line proves, and what each loss looks like."""

import asyncio
import json
import os
import threading
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
import pytest_asyncio

from responder.model.anchor import Anchor, AnchorCheck
from responder.model.errors import TemporaryError
from responder.model.timeline import GENESIS
from responder.store import timeline
from responder.store.anchor_file import AnchorFile
from responder.store.anchoring import Anchoring
from responder.store.anchors import Anchors
from responder.store.timeline import Head, TimelineKeys
from tests.support.stored import KEYS, Stored, alert, change, stored, told

UNLOCK = "ALTER TABLE timeline DISABLE TRIGGER timeline_is_append_only"


@pytest_asyncio.fixture
async def db(dsn: str) -> AsyncIterator[Stored]:
    async with stored(dsn) as opened:
        yield opened


async def grow(db: Stored, server: str = "db1", entries: int = 2) -> UUID:
    """One more incident with some entries."""
    await db.observe(alert(server=server))
    lease, case = await db.leased()
    await db.store.record(lease, case, change(case, entries=tuple(told(f"{n}") for n in range(entries))))
    return case.incident.id


async def line(db: Stored) -> str:
    """One more anchor, as it stands in the file."""
    return (await db.store.anchors.take(0)).line


async def checked(db: Stored, *lines: str) -> list[AnchorCheck]:
    return list(await db.store.check_anchors(lines))


async def rewrite(db: Stored, incident_id: UUID, *texts: str) -> None:
    """What somebody does who holds the database and the key: another story with a chain that holds."""
    async with db.raw.transaction():
        await db.raw.execute(UNLOCK)
        await db.raw.execute("DELETE FROM timeline WHERE incident_id = $1", incident_id)
        now, drafts = await db.store.now(), [told(text) for text in texts]
        head, entries = timeline.chained(incident_id, Head(GENESIS, 0), drafts, now, KEYS)
        await db.raw.execute(timeline.APPEND, *timeline.appended(incident_id, now, KEYS, entries))
        moved = "UPDATE incidents SET timeline_head = $2, timeline_length = $3 WHERE id = $1"
        await db.raw.execute(moved, incident_id, head.mac, head.length)
    assert await db.store.chain_break(incident_id) is None


async def test_old_lines_hold_although_timelines_grow(db: Stored) -> None:
    """Each line is compared with the entries that were there then, not with those of today."""
    lines = [await line(db)]
    for number in range(3):
        await grow(db, f"db{number}")
        lines.append(await line(db))
    checks = await checked(db, *lines, await line(db))
    assert [check.holds for check in checks] == [True] * 5
    assert [check.number for check in checks] == [1, 2, 3, 4, 5]
    assert "6 entries of 3 incidents hold" in checks[-1].text


async def test_a_timeline_that_was_written_anew_with_the_key_shows(db: Stored) -> None:
    """Its chain holds, and its incident names its head: the line from before tells all the same."""
    before = await line(db)
    changed = await grow(db)
    anchored = await line(db)
    await rewrite(db, changed, "nothing", "happened")
    checks = await checked(db, before, anchored)
    assert [check.holds for check in checks] == [True, False]
    assert f"entry 2 of incident {changed} is not the one of then" in checks[1].text


async def test_a_timeline_that_lost_its_end_shows(db: Stored) -> None:
    """A shorter story, with a chain that holds."""
    shortened = await grow(db, entries=3)
    anchored = await line(db)
    await rewrite(db, shortened, "0", "1")
    (check,) = await checked(db, anchored)
    assert (check.holds, check.behind) == (False, True)
    assert f"incident {shortened} had 3 entries, the last of them is missing" in check.text


async def test_what_the_database_says_of_its_anchors_is_not_believed(db: Stored) -> None:
    """Whoever rewrites the heads beside the timeline gets another hash than the file has."""
    changed = await grow(db)
    anchored = await line(db)
    await rewrite(db, changed, "nothing", "happened")
    head = "(SELECT timeline_head FROM incidents WHERE id = incident_id)"
    await db.raw.execute(f"UPDATE anchored_heads SET head = {head}")
    (check,) = await checked(db, anchored)
    assert not check.holds
    assert "are not those of then" in check.text


async def test_a_database_that_forgot_is_behind_the_line(db: Stored) -> None:
    """An anchor that it does not know: the line is from a later state than it has."""
    await grow(db)
    await line(db)
    later = await line(db)
    await db.raw.execute("DELETE FROM anchors WHERE number = 2")
    (check,) = await checked(db, later)
    assert (check.holds, check.behind) == (False, True)
    assert "the database knows anchors up to 1 only" in check.text


async def test_a_line_that_was_changed_or_is_foreign_does_not_hold(db: Stored) -> None:
    """Its code is over all of it, under the timeline key; what is no line at all is told as such."""
    await grow(db)
    good = Anchor.model_validate_json(await line(db))
    changed = good.model_copy(update={"entries": 1}).line
    other = good.model_copy(update={"key_id": "k9"}).line
    texts = [check.text for check in await checked(db, changed, other, "no line")]
    assert "was changed, or is another responder's" in texts[0]
    assert "unknown key 'k9'" in texts[1]
    assert "no line of an anchor file" in texts[2]
    stranger = Anchors(db.connections.web, TimelineKeys("k1", {"k1": b"another key"}), db.store._clock)
    assert not (await stranger.check([good.line]))[0].holds


async def test_processes_that_anchor_at_once_get_one_line_after_the_other(db: Stored) -> None:
    """No number twice, no head in two anchors, and every line holds."""
    await grow(db)
    lines = await asyncio.gather(*(line(db) for _ in range(4)))
    checks = await checked(db, *lines)
    assert sorted(check.number or 0 for check in checks) == [1, 2, 3, 4]
    assert all(check.holds for check in checks)
    assert await db.one("SELECT count(*) FROM anchored_heads") == 1


# --- the file ---------------------------------------------------------------------------------------------


async def test_lines_are_appended_hourly_and_a_torn_one_costs_nothing(db: Stored, tmp_path: Path) -> None:
    """A new line each time that it is due, after a power cut on a line of its own; numbers go on."""
    file = AnchorFile(tmp_path / "anchor")
    often = Anchoring(db.store.anchors, file, timedelta(0))
    for _ in range(3):
        await often.round()
    with file.path.open("a") as out:
        out.write('{"number":')
    hourly = Anchoring(db.store.anchors, file, timedelta(hours=1))
    for _ in range(3):
        await hourly.round()
    lines = file.path.read_text().splitlines()
    assert [check.number for check in await checked(db, *lines)] == [1, 2, 3, None, 4]
    last = file.newest()
    assert last is not None
    assert hourly.state.last == last.at
    assert file.path.stat().st_mode & 0o077 == 0


async def test_a_file_that_cannot_be_written_is_told_and_holds_back_nothing(
    db: Stored, tmp_path: Path
) -> None:
    """The state names the file and the reason; as soon as it can be written the state is good again."""
    file = AnchorFile(tmp_path / "missing" / "anchor")
    anchoring = Anchoring(db.store.anchors, file, timedelta(hours=1))
    await anchoring.anchor()
    assert f"{file.path} cannot be written: No such file or directory" in (anchoring.state.problem or "")
    lease, case = await db.held()
    assert await db.store.record(lease, case, change(case))
    file.path.parent.mkdir()
    await anchoring.anchor()
    assert anchoring.state.problem is None


async def test_whoever_may_only_append_cannot_hide_the_newest_line(db: Stored, tmp_path: Path) -> None:
    """Old lines again, torn ones and numbers beyond all bounds: what counts is the largest number."""
    file, lines = AnchorFile(tmp_path / "anchor"), [await line(db) for _ in range(3)]
    beyond = Anchor.model_validate_json(lines[0]).model_dump(mode="json") | {"number": 10**30}
    for one in (*lines, json.dumps(beyond), *lines[:2] * 300):
        file.append(one)
    newest = file.newest()
    assert newest is not None
    assert newest.line == lines[2]


async def test_a_file_that_hangs_takes_no_threads_from_others(
    db: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often it is tried: large deliveries are decoded in the threads that all share."""
    monkeypatch.setattr("responder.store.anchoring._PATIENCE_S", 0.01)
    path = tmp_path / "anchor"
    os.mkfifo(path)  # whoever opens it waits until somebody writes
    anchoring = Anchoring(db.store.anchors, AnchorFile(path), timedelta(0))
    before = threading.active_count()
    try:
        assert await anchoring.newest() is None
        for _ in range(40):
            await anchoring.anchor()
        assert anchoring.state.problem is not None
        assert threading.active_count() == before + 1
        assert await asyncio.wait_for(asyncio.to_thread(int), 30) == 0
    finally:
        await asyncio.to_thread(_let_go, path)


def _let_go(path: Path) -> None:
    """End the reader of a pipe, as its file system would by answering."""
    with path.open("wb"):
        pass


def test_another_file_is_not_taken_for_an_anchor_file(tmp_path: Path) -> None:
    """Nothing is compared with lines that nobody of us wrote."""
    (tmp_path / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    with pytest.raises(TemporaryError, match="is it another file"):
        AnchorFile(tmp_path / "passwd").newest()
    assert AnchorFile(tmp_path / "none").newest() is None
