"""What the responder demands of a PostgreSQL, asked of real ones that lack it."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from responder.model.errors import PermanentError, StoreAwayError
from responder.store import embedded
from responder.store.connection import connect
from responder.store.embedded import EmbeddedServer
from responder.store.startup import _Facts, _problems, check_server, system_identifier
from tests.support.databases import database_on, directory_for_a_server, execute, running_server


@contextmanager
def _pgbouncer(server_dsn: str, mode: str, size: int) -> Iterator[str]:
    """A pooler before the server; the DSN through it. It runs as the server's user, whom the server knows."""
    server_socket = Path(parse_qs(urlsplit(server_dsn).query)["host"][0])
    owner = server_socket.stat()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with directory_for_a_server() as home:
        home.mkdir(mode=0o755)
        configuration = home / "pgbouncer.ini"
        configuration.write_text(
            f"[databases]\n* = host={server_socket} port=5432 user=responder\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
            f"auth_type = any\npool_mode = {mode}\ndefault_pool_size = {size}\n"
        )
        configuration.chmod(0o644)
        pooler = subprocess.Popen(
            ["pgbouncer", "--quiet", str(configuration)],
            user=owner.st_uid if os.geteuid() == 0 else None,
            extra_groups=[] if os.geteuid() == 0 else None,
        )
        try:
            _wait_for_port(port)
            yield f"postgresql://responder@127.0.0.1:{port}/postgres"
        finally:
            pooler.terminate()
            pooler.wait()


def _wait_for_port(port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def _name(dsn: str) -> str:
    return urlsplit(dsn).path.removeprefix("/")


async def test_a_proper_server_passes(empty_dsn: str) -> None:
    """A primary with fsync, reached directly, is trusted."""
    await check_server(empty_dsn)


async def test_fsync_off_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that may forget commits is refused; the words name the setting."""
    monkeypatch.setattr(
        embedded, "_CONFIGURATION", embedded._CONFIGURATION.replace("fsync = on", "fsync = off", 1)
    )
    with running_server() as server, pytest.raises(PermanentError, match="set fsync = on"):
        await check_server(server.dsn)


async def test_asynchronous_commit_is_refused(empty_dsn: str) -> None:
    """Also where only the database says so, not the server."""
    await execute(empty_dsn, f"alter database {_name(empty_dsn)} set synchronous_commit = off")
    with pytest.raises(PermanentError, match="synchronous_commit is off"):
        await check_server(empty_dsn)


async def test_every_problem_is_told_at_once(empty_dsn: str) -> None:
    """Whoever mends a server should have to start once: all that is wrong is in one message."""
    name = _name(empty_dsn)
    await execute(
        empty_dsn,
        f"alter database {name} set synchronous_commit = off",
        f"alter database {name} set default_transaction_read_only = on",
    )
    with pytest.raises(PermanentError, match=r"(?s)default_transaction_read_only.*synchronous_commit"):
        await check_server(empty_dsn)


async def test_a_standby_is_refused() -> None:
    """A server in recovery takes no writes, and what it lacks nobody knows."""
    with directory_for_a_server() as data_dir:
        EmbeddedServer.start(data_dir).stop()
        (data_dir / "postgres" / "standby.signal").touch()
        server = EmbeddedServer.start(data_dir)
        try:
            with pytest.raises(PermanentError, match="it is a standby"):
                await check_server(server.dsn)
        finally:
            server.stop()


async def test_another_encoding_is_refused(server_dsn: str) -> None:
    """Labels are UTF-8: a database that cannot hold them is refused, with the way to make one that can."""
    await execute(server_dsn, "create database latin encoding 'LATIN1' locale 'C' template template0")
    try:
        with pytest.raises(PermanentError, match="encoding is LATIN1"):
            await check_server(database_on(server_dsn, "latin"))
    finally:
        await execute(server_dsn, "drop database latin")


def test_an_old_version_is_refused() -> None:
    """PostgreSQL 14 lacks what the store needs. No such server can be had here: its answers are made up."""
    facts = _Facts(
        version_number=140012,
        version="14.12",
        in_recovery=False,
        read_only=False,
        fsync="on",
        synchronous_commit="on",
        encoding="UTF8",
    )
    assert _problems(facts) == ["it is version 14.12: upgrade to 15 or later"]


async def test_a_server_that_is_not_there_is_away(tmp_path: Path) -> None:
    """Nobody at the address is a matter of time, not of settings."""
    with pytest.raises(StoreAwayError, match="PostgreSQL is away"):
        await check_server(f"postgresql://responder@/postgres?host={tmp_path}")


async def test_a_wrong_database_is_the_settings_fault(server_dsn: str) -> None:
    """Trying again does not make a database: the words name the setting."""
    with pytest.raises(PermanentError, match="mend `database`"):
        await check_server(database_on(server_dsn, "not_there"))


async def test_the_system_identifier_is_the_servers(server_dsn: str, empty_dsn: str) -> None:
    """All databases of one server are one ground."""
    grounds = set()
    for dsn in (server_dsn, empty_dsn):
        connection = await connect(dsn, name="test")
        grounds.add(await system_identifier(connection))
        await connection.close()
    assert len(grounds) == 1
    assert grounds.pop().startswith("postgres-system/")


@pytest.mark.real
@pytest.mark.parametrize("pool_size", [1, 5])
async def test_a_pooler_that_takes_sessions_apart_is_refused(server_dsn: str, pool_size: int) -> None:
    """PgBouncer in transaction mode is found out, with one connection to the server and with several."""
    refusal = pytest.raises(PermanentError, match="pooler in transaction mode")
    with _pgbouncer(server_dsn, "transaction", pool_size) as dsn, refusal:
        await check_server(dsn)


@pytest.mark.real
async def test_a_pooler_that_keeps_sessions_is_fine(server_dsn: str) -> None:
    """PgBouncer in session mode changes nothing."""
    with _pgbouncer(server_dsn, "session", 5) as dsn:
        await check_server(dsn)
