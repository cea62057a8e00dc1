"""The one PostgreSQL server of a test run, and databases on it.

Not for tests that stop or break a server: those start their own.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

import psutil

from responder.store import embedded
from responder.store.connection import connect
from responder.store.embedded import EmbeddedServer

T = TypeVar("T")
_SHARED = Path("/dev/shm")  # noqa: S108 - only where it is looked for room
_ROOM = 6 * 1024**3
"""Bytes: about 300 MB of each process, and much more where tests fill their databases."""
_PROGRAMS = embedded._installed_package() / "pginstall" / "bin"


@contextmanager
def directory_for_a_server() -> Iterator[Path]:
    """A directory that the server's user can reach, also under root; pytest's own is closed to others.

    In memory where there is room: a database for each test is made and dropped, and each drop waits until all
    that was made is on disk. What a crash of PostgreSQL leaves is the same there.
    """
    base = Path(tempfile.mkdtemp(prefix="responder-test-", dir=_in_memory()))
    try:
        base.chmod(0o711)
        yield base / "data"
    finally:
        stop_what_runs(base / "data")
        shutil.rmtree(base)


def _in_memory() -> Path | None:
    """Where files are kept in memory, if enough of it is free for all processes of a run; else None."""
    usable = _SHARED.is_dir() and os.access(_SHARED, os.W_OK | os.X_OK)
    enough = usable and min(shutil.disk_usage(_SHARED).free, psutil.virtual_memory().available) >= _ROOM
    return _SHARED if enough else None


def stop_what_runs(data_dir: Path) -> None:
    """End the server of a directory, whoever holds its lock: what a test that failed left behind."""
    postmaster = embedded._postmaster(data_dir / "postgres")
    if postmaster is not None:
        process = psutil.Process(postmaster.pid)
        process.send_signal(signal.SIGINT)
        psutil.wait_procs([process], timeout=30)


@contextmanager
def running_server() -> Iterator[EmbeddedServer]:
    """A server that ends with the block, and with this process however it ends."""
    with directory_for_a_server() as data_dir:
        server = EmbeddedServer.start(data_dir)
        try:
            with _ended_with_us(data_dir):
                yield server
        finally:
            server.stop()


@contextmanager
def _ended_with_us(data_dir: Path) -> Iterator[None]:
    """A second process that waits for our end: `finally` does not run after a kill or a hard time-out."""
    watcher = subprocess.Popen(
        [sys.executable, "-m", "tests.support.databases", str(data_dir)],
        stdin=subprocess.PIPE,
        start_new_session=True,
        cwd=Path(__file__).parents[2],
    )
    try:
        yield
    finally:
        watcher.communicate(b"done")


def _watch(data_dir: Path) -> None:
    """Wait for the end of the process that started us; clean up unless it said that it does so itself."""
    if sys.stdin.buffer.read() == b"done":
        return
    EmbeddedServer.start(data_dir).stop()
    shutil.rmtree(data_dir.parent)


def wait_for(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine, from where no loop runs or another one does."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(asyncio.run, work).result()


def database_on(dsn: str, name: str) -> str:
    """The DSN of another database of the same server."""
    return urlsplit(dsn)._replace(path=f"/{name}").geturl()


async def execute(dsn: str, *statements: str) -> None:
    """Run statements, each on its own, on a connection that ends afterwards."""
    connection = await connect(dsn, name="test")
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@contextmanager
def fresh_database(server_dsn: str, template: str = "template0") -> Iterator[str]:
    """The DSN of a new database, dropped at the end whoever is still connected."""
    name = f"test_{os.getpid()}_{uuid4().hex[:12]}"
    wait_for(execute(server_dsn, f"create database {name} template {template}"))
    try:
        yield database_on(server_dsn, name)
    finally:
        wait_for(execute(server_dsn, f"drop database {name} with (force)"))


def dump(dsn: str) -> bytes:
    """A backup as people make it."""
    return subprocess.run([str(_PROGRAMS / "pg_dump"), dsn], check=True, capture_output=True).stdout


def restore(dsn: str, backup: bytes) -> None:
    """Into an empty database."""
    command = [str(_PROGRAMS / "psql"), "--quiet", "--set=ON_ERROR_STOP=1", "--no-psqlrc", dsn]
    subprocess.run(command, input=backup, check=True, capture_output=True)


if __name__ == "__main__":
    _watch(Path(sys.argv[1]))
