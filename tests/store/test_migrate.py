"""Migrations on a real server."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from responder.model.errors import PermanentError
from responder.store.connection import connect
from responder.store.migrate import MIGRATIONS, migrate, migrations_in


def _write(directory: Path, *bodies: str) -> Path:
    for number, body in enumerate(bodies, start=1):
        (directory / f"{number:04}_step.sql").write_text(body, encoding="utf-8")
    return directory


async def _versions(dsn: str) -> list[int]:
    connection = await connect(dsn, name="test")
    try:
        return [row[0] for row in await connection.fetch("select version from schema_migrations order by 1")]
    finally:
        await connection.close()


async def test_our_own_migrations_apply_once(empty_dsn: str) -> None:
    """The shipped schema applies to an empty database, and a second start changes nothing."""
    applied = await migrate(empty_dsn)
    assert applied == tuple(m.version for m in migrations_in(MIGRATIONS))
    assert await migrate(empty_dsn) == ()


async def test_only_what_is_missing_is_applied(empty_dsn: str, tmp_path: Path) -> None:
    """A later file is applied alone, on top of what is there."""
    await migrate(empty_dsn, _write(tmp_path, "create table a (x int)"))
    _write(tmp_path, "create table a (x int)", "alter table a add y int; create index on a (y)")
    assert await migrate(empty_dsn, tmp_path) == (2,)


async def test_replicas_that_start_together_migrate_once(empty_dsn: str, tmp_path: Path) -> None:
    """Of several processes that migrate at once one does each step, and none fails."""
    _write(tmp_path, "create table a (x int); select pg_sleep(0.2)", "create table b (x int)")
    applied = await asyncio.gather(*(migrate(empty_dsn, tmp_path) for _ in range(4)))
    assert sorted(version for versions in applied for version in versions) == [1, 2]


async def test_a_changed_file_is_refused_by_name(empty_dsn: str, tmp_path: Path) -> None:
    """History does not change: an edited file stops the start and says which one, and nothing else runs."""
    await migrate(empty_dsn, _write(tmp_path, "create table a (x int)"))
    _write(tmp_path, "create table a (x bigint)", "create table b (x int)")
    with pytest.raises(PermanentError, match=r"0001_step\.sql is not the file that was applied"):
        await migrate(empty_dsn, tmp_path)
    assert await _versions(empty_dsn) == [1]


async def test_a_failing_file_leaves_nothing_behind(empty_dsn: str, tmp_path: Path) -> None:
    """A file is one transaction: when its end fails, its beginning is undone, and what went before stays."""
    _write(tmp_path, "create table a (x int)", "create table b (x int); select 1/0")
    with pytest.raises(PermanentError, match=r"0002_step\.sql fails: division by zero"):
        await migrate(empty_dsn, tmp_path)
    assert await _versions(empty_dsn) == [1]
    connection = await connect(empty_dsn, name="test")
    with pytest.raises(asyncpg.UndefinedTableError):
        await connection.fetch("select * from b")
    await connection.close()


async def test_one_version_newer_works_and_two_are_refused(empty_dsn: str, tmp_path: Path) -> None:
    """Code N works with schema N+1, so that replicas can be replaced one by one; N+2 is refused."""
    newest = tmp_path / "newest"
    older = tmp_path / "older"
    oldest = tmp_path / "oldest"
    for directory, count in ((newest, 3), (older, 2), (oldest, 1)):
        directory.mkdir()
        _write(directory, *(f"create table t{n} (x int)" for n in range(count)))
    await migrate(empty_dsn, newest)
    assert await migrate(empty_dsn, older) == ()
    with pytest.raises(PermanentError, match="schema is version 3, this program knows 1"):
        await migrate(empty_dsn, oldest)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["0001_a.sql", "0003_c.sql"], r"after 0001 comes 0003_c\.sql"),
        (["0001_a.sql", "0001_b.sql"], r"after 0001 comes 0001_b\.sql"),
        (["first.sql"], r"first\.sql: name it like"),
    ],
)
def test_numbers_have_no_gaps(tmp_path: Path, names: list[str], says: str) -> None:
    """A gap, a number used twice or a name without one is an error that names the file."""
    for name in names:
        (tmp_path / name).write_text("select 1", encoding="utf-8")
    with pytest.raises(PermanentError, match=says):
        migrations_in(tmp_path)
