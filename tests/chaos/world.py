"""What fires and until when, and the Alertmanager API that knows it.

A trouble has a place: a rule's alert name and a target. It fires with one or two alerts, ends when an effect
mended it or when its patience is over, stays quiet for a while, and comes again.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from random import Random

from aiohttp import web

from responder.model.alert import fingerprint
from tests.support.parts import free_port

_OPEN_END = "0001-01-01T00:00:00Z"
_MENDS = 0.75
"""How often an effect mends the trouble."""
_UNWELL = 0.02
"""How often the API of an Alertmanager fails."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert of a trouble."""

    labels: Mapping[str, str]
    starts_at: datetime
    ends_at: datetime | None = None

    def told(self) -> dict[str, object]:
        """As a webhook carries it."""
        return {
            "status": "firing" if self.ends_at is None else "resolved",
            "labels": dict(self.labels),
            "annotations": {"summary": "told by the chaos test"},
            "startsAt": self.starts_at.isoformat(),
            "endsAt": _OPEN_END if self.ends_at is None else self.ends_at.isoformat(),
            "generatorURL": "",
            "fingerprint": fingerprint(self.labels),
        }

    def known(self) -> dict[str, object]:
        """As Alertmanager's API lists it."""
        return {
            **self.told(),
            "endsAt": "9999-01-01T00:00:00Z",
            "updatedAt": self.starts_at.isoformat(),
            "receivers": [{"name": "responder"}],
            "status": {"state": "active", "silencedBy": [], "inhibitedBy": []},
        }


@dataclass(slots=True)
class Place:
    """Where a trouble comes and goes."""

    labels: Mapping[str, str]
    """What all alerts of it share: an incident's key is among them."""
    mendable: str | None = None
    """The target whose effect may end it."""
    alerts: Sequence[Alert] = ()
    """The alerts of the trouble that is, or was last."""
    changes: int = 0
    """Counts what the peers have to tell."""
    over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def firing(self) -> bool:
        """Whether it is a trouble now."""
        return any(alert.ends_at is None for alert in self.alerts)


class World:
    """All places, and how they fare."""

    def __init__(self, random: Random, places: Sequence[Place]) -> None:
        self.places = places
        self.ports = (free_port(), free_port())
        self._random = random
        self._number = count(1)
        self._quiet = False
        self.changed: Callable[[Place], None] = lambda _: None

    @property
    def urls(self) -> tuple[str, ...]:
        """The API of each peer."""
        return tuple(f"http://127.0.0.1:{port}" for port in self.ports)

    def mended(self, target: str) -> None:
        """An effect was had there."""
        for place in self.places:
            if place.mendable == target and place.firing and self._random.random() < _MENDS:
                place.over.set()

    async def go_on(self) -> None:
        """Trouble everywhere, again and again, until cancelled; what fires then goes on firing."""
        async with asyncio.TaskGroup() as group:
            for place in self.places:
                group.create_task(self._fares(place))

    def calm(self) -> None:
        """Half of what fires ends, the rest never does."""
        for place in self.places:
            if place.firing and self._random.random() < 0.5:
                self._end(place)

    async def _fares(self, place: Place) -> None:
        await asyncio.sleep(self._random.uniform(0, 6))
        while True:
            self._begin(place)
            patience = self._random.uniform(10, 25)
            try:
                async with asyncio.timeout(patience):
                    await place.over.wait()
            except TimeoutError:
                pass
            self._end(place)
            await asyncio.sleep(self._random.uniform(3, 8))

    def _begin(self, place: Place) -> None:
        place.over.clear()
        at, number = _now(), next(self._number)
        shards = self._random.choice((1, 1, 2))
        place.alerts = [
            Alert({**place.labels, "shard": str(shard), "episode": str(number % 3)}, at)
            for shard in range(shards)
        ]
        self._tell(place)

    def _end(self, place: Place) -> None:
        at = _now()
        place.alerts = [Alert(alert.labels, alert.starts_at, at) for alert in place.alerts]
        self._tell(place)

    def _tell(self, place: Place) -> None:
        place.changes += 1
        self.changed(place)

    def firing(self) -> Iterator[Alert]:
        """Every alert that fires now."""
        for place in self.places:
            yield from (alert for alert in place.alerts if alert.ends_at is None)

    # The API of its Alertmanagers ----------------------------------------------------------------

    def routes(self) -> list[web.RouteDef]:
        """What a responder asks."""
        return [
            web.get("/api/v2/alerts", self._alerts),
            web.get("/api/v2/status", self._status),
            web.get("/api/v2/receivers", self._receivers),
        ]

    async def _alerts(self, _request: web.Request) -> web.Response:
        if self._random.random() < _UNWELL:
            return web.Response(status=503)
        return web.json_response([alert.known() for alert in self.firing()])

    async def _status(self, _request: web.Request) -> web.Response:
        return web.json_response({"uptime": "2020-01-01T00:00:00Z", "config": {"original": ""}})

    async def _receivers(self, _request: web.Request) -> web.Response:
        return web.json_response([{"name": "responder"}])


def _now() -> datetime:
    """In milliseconds, as everybody who writes times in JSON can read them."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def places(targets: int, databases: Sequence[str]) -> list[Place]:
    """Two rules for each target, so that they contend for it; one for each database; what no rule acts on."""
    named = [f"t-{number:02}" for number in range(targets)]
    calls = [
        Place({"alertname": name, "target": target}, target)
        for target in named
        for name in ("Call", "Restart")
    ]
    stuck = [Place({"alertname": "Stuck", "server": database, "datname": database}) for database in databases]
    noted = [Place({"alertname": "Noted", "server": databases[0], "number": str(n)}) for n in range(2)]
    return [*calls, *stuck, *noted, Place({"alertname": "Stray"})]
