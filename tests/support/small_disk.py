"""A file system of a few megabytes that a test can fill up, and PostgreSQL servers on it.

Mounting needs root. Where it is not allowed the test fails and says so: a full disk cannot be played.
"""

import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from tests.support.parts import (
    MissingPartError,
    PostgresServer,
    embedded_bin_folder,
    embedded_postgres,
    folder,
    until,
)

_MEGABYTE = 1024 * 1024
DATABASE = "responder"


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """A mounted file system."""

    path: Path

    @property
    def _ballast(self) -> Path:
        return self.path / "ballast"

    def fill(self) -> None:
        """Leave no byte free."""
        descriptor = os.open(self._ballast, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            for piece in (_MEGABYTE, 4096, 1):
                with suppress(OSError):
                    while True:
                        os.write(descriptor, bytes(piece))
        finally:
            os.close(descriptor)
        assert shutil.disk_usage(self.path).free == 0

    def make_room(self) -> None:
        """All that was filled up is free again."""
        self._ballast.unlink()


@contextmanager
def small_disk(megabytes: int, owner: str | None = None) -> Iterator[SmallDisk]:
    """One of that size, gone at the end; `owner` may write there.

    Raises:
        MissingPartError: nothing can be mounted here.
    """
    base = Path(subprocess.run(["mktemp", "-d"], check=True, capture_output=True, text=True).stdout.strip())
    base.chmod(0o711)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0711", "responder-test", str(base)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        base.rmdir()
        raise MissingPartError(
            "a small file system cannot be mounted: run the tests as root, in a container with "
            f"CAP_SYS_ADMIN ({mounted.stderr.strip()})"
        )
    try:
        if owner is not None:
            shutil.chown(base, user=owner)
        yield SmallDisk(base)
    finally:
        subprocess.run(["umount", "--lazy", str(base)], check=True)
        base.rmdir()


@asynccontextmanager
async def tables_on_small_disk(megabytes: int = 24) -> AsyncIterator[tuple[PostgresServer, SmallDisk]]:
    """A server whose database `responder` has its tables on a small disk, and its write-ahead log elsewhere.

    Full, it answers what needs room with SQLSTATE 53100 and goes on.
    """
    async with embedded_postgres("store", log_statement="none", log_error_verbosity="verbose") as server:
        with small_disk(megabytes, server.user) as disk:
            await _ask(server, f"create tablespace small location '{disk.path}'")
            await _ask(server, f"create database {DATABASE} tablespace small")
            try:
                yield server, disk
            finally:
                await server.stop()  # it holds the files open


@asynccontextmanager
async def server_on_small_disk(megabytes: int = 160) -> AsyncIterator[tuple[PostgresServer, SmallDisk]]:
    """A server that has everything on a small disk, with an empty database `responder`.

    Full, it ends with a PANIC as soon as its write-ahead log needs room, and does not start again before
    there is some.
    """
    async with folder() as elsewhere:
        owner = PostgresServer("owner", elsewhere, embedded_bin_folder()).user
        with small_disk(megabytes, owner) as disk:
            server = PostgresServer("store", disk.path, embedded_bin_folder(), {"log_statement": "none"})
            server.log_path = elsewhere / "store.log"
            async with server:
                await _ask(server, f"create database {DATABASE}")
                yield server, disk


async def write_until_it_ends(server: PostgresServer) -> None:
    """Fill the write-ahead log of a server whose disk is full, until it has ended itself."""
    with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        for _ in range(64):
            await _ask(server, f"select pg_logical_emit_message(false, 'test', repeat('x', {_MEGABYTE}))")
    await until(lambda: _ended(server), "the server has ended itself", within=60)


async def _ended(server: PostgresServer) -> bool:
    return server.exit_code is not None


async def _ask(server: PostgresServer, statement: str) -> None:
    connection = await asyncpg.connect(server.dsn(), timeout=10)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
