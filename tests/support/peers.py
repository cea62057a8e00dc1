"""Small HTTP servers that speak Alertmanager's and Prometheus's APIs, in the shapes of the real ones.

For what a real one cannot be made to do: hang, be young, disagree with its peers, answer nonsense. That the
shapes are right is proven beside the real ones, in `tests/real`.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import yaml
from aiohttp import web

from responder.model.alert import fingerprint

RECEIVER = "responder"


def known_alert(
    labels: Mapping[str, str],
    *,
    state: str = "active",
    silenced: Sequence[str] = (),
    inhibited: Sequence[str] = (),
) -> dict[str, Any]:
    """One alert as Alertmanager 0.25 lists it."""
    return {
        "annotations": {"summary": "a summary"},
        "endsAt": "2026-11-24T00:16:02.123Z",
        "fingerprint": fingerprint(labels),
        "receivers": [{"name": RECEIVER}],
        "startsAt": "2026-11-24T00:11:02.123Z",
        "status": {"inhibitedBy": list(inhibited), "silencedBy": list(silenced), "state": state},
        "updatedAt": "2026-11-24T00:11:02.123Z",
        "generatorURL": "http://prometheus:9090/graph?g0.expr=vector%281%29&g0.tab=1",
        "labels": dict(labels),
    }


def known_silence(identity: str, created_by: str, comment: str) -> dict[str, Any]:
    """One silence as Alertmanager 0.25 tells of it."""
    return {
        "id": identity,
        "status": {"state": "active"},
        "updatedAt": "2026-11-24T00:11:02.123Z",
        "comment": comment,
        "createdBy": created_by,
        "startsAt": "2026-11-24T00:11:02.123Z",
        "endsAt": "2026-11-24T10:00:00.000Z",
        "matchers": [{"isEqual": True, "isRegex": False, "name": "alertname", "value": "A"}],
    }


@dataclass
class FakeApi:
    """One server. Set what it answers; `requests` counts what it was asked by path."""

    url: str = ""
    status: int = 200
    """What it answers to everything, when it is not 200."""
    hangs: bool = False
    up_for: timedelta = timedelta(days=1)
    requests: Counter[str] = field(default_factory=Counter)
    seen: list[web.Request] = field(default_factory=list)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    """Set at the end, so that what hangs does not hold up the test."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Whatever is set for this path."""
        self.requests[request.path] += 1
        self.seen.append(request)
        if self.hangs:
            await self.released.wait()
        if self.status != web.HTTPOk.status_code:
            return web.Response(status=self.status, text="not now")
        return web.json_response(await self.told(request))

    async def told(self, request: web.Request) -> Any:
        """The JSON of an answer."""
        raise NotImplementedError

    @property
    def since(self) -> str:
        """Since when it is up, as Go writes it."""
        return (datetime.now(UTC) - self.up_for).isoformat().replace("+00:00", "Z")


@dataclass
class FakeAlertmanager(FakeApi):
    """An Alertmanager peer."""

    alerts: list[dict[str, Any]] = field(default_factory=list)
    receivers: tuple[str, ...] = (RECEIVER, "team-x")
    silences: list[dict[str, Any]] = field(default_factory=list)

    async def told(self, request: web.Request) -> Any:
        """What is asked of it. Filters are not applied: the client must not rely on them."""
        if request.path.startswith("/api/v2/silence/"):
            return next((one for one in self.silences if request.path.endswith(one["id"])), {})
        match request.path:
            case "/api/v2/alerts":
                return self.alerts
            case "/api/v2/receivers":
                return [{"name": name} for name in self.receivers]
            case "/api/v2/status":
                return {
                    "cluster": {"name": "01K", "peers": [], "status": "ready"},
                    "config": {"original": "route:\n  receiver: responder\n"},
                    "uptime": self.since,
                    "versionInfo": {"branch": "HEAD", "version": "0.25.0"},
                }
            case other:
                raise AssertionError(other)


@dataclass
class FakePrometheus(FakeApi):
    """A Prometheus. `value` is what it answers to every query, `extra` stands beside it."""

    alerts: list[dict[str, Any]] = field(default_factory=list)
    data: Any = field(default_factory=lambda: {"resultType": "vector", "result": []})
    extra: dict[str, Any] = field(default_factory=dict)
    queries: list[str] = field(default_factory=list)
    external: dict[str, str] = field(default_factory=dict)

    async def told(self, request: web.Request) -> Any:
        """The four things that are asked of it."""
        match request.path:
            case "/api/v1/alerts":
                return {"status": "success", "data": {"alerts": self.alerts}}
            case "/api/v1/status/runtimeinfo":
                return {"status": "success", "data": {"startTime": self.since, "reloadConfigSuccess": True}}
            case "/api/v1/status/config":
                written = yaml.safe_dump({"global": {"external_labels": self.external}})
                return {"status": "success", "data": {"yaml": written}}
            case "/api/v1/query":
                form = await request.post()
                self.queries.append(str(form["query"]))
                return {"status": "success", "data": self.data, **self.extra}
            case other:
                raise AssertionError(other)


@asynccontextmanager
async def served(*apis: FakeApi) -> AsyncIterator[None]:
    """All of them on free loopback ports; sets their `url`."""
    runners = []
    try:
        for api in apis:
            app = web.Application()
            app.router.add_route("*", "/{path:.*}", api.answer)
            runner = web.AppRunner(app, shutdown_timeout=0)
            runners.append(runner)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            host, port = runner.addresses[0][:2]
            api.url = f"http://{host}:{port}"
        yield
    finally:
        for api in apis:
            api.released.set()
        for runner in runners:
            await runner.cleanup()
