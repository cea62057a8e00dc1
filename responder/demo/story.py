"""The course of the demo, from two empty servers to a written review, and whether it went as it should.

Every claim on the screen is somebody's own word: the responder's timeline, the victim's pg_stat_activity,
or the answer to a delivery. *Resolved* is posted only after the victim itself says that the query is gone.
"""

import asyncio
import signal
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg

from responder.demo.screen import Screen, Voice
from responder.demo.service import Service
from responder.demo.stage import RULES, SERVER, stage
from responder.demo.victim import CULPRIT, DATABASE, Backend, Victim
from responder.model.alert import fingerprint
from responder.model.errors import PermanentError, ResponderError

ALERTNAME = "PostgresLongRunningQuery"
CUSTOMERS = 3
"""How many sessions wait for the stuck query."""
OLD_ENOUGH_S = 4.0
"""For how long the query is stuck before the alert is posted: longer than the rule's `older_than`."""
DEADLINE_S = 150.0
"""A bound for the slowest of machines; usually it takes a quarter of a minute."""
_POLL_S = 0.15
_LINE = 180
_STAGE_S = 40.0
_INTERRUPTED = 130
_ENDED = frozenset({"resolved", "closed"})


def run(screen: Screen) -> int:
    """Play the demo; the exit code is 0 only when the stuck query was really gone and the review written."""
    return asyncio.run(_played(screen))


async def _played(screen: Screen) -> int:
    with _stopped_by_signals() as interrupted:
        try:
            async with asyncio.timeout(DEADLINE_S):
                await _play(screen)
        except asyncio.CancelledError:
            if not interrupted():
                raise
            screen.say(Voice.DEMO, "interrupted; everything that was started has been ended")
            return _INTERRUPTED
        except TimeoutError:
            screen.say(Voice.DEMO, f"FAILED: not finished within {DEADLINE_S:.0f} s")
            return 1
        except (ResponderError, aiohttp.ClientError, asyncpg.PostgresError, OSError) as error:
            screen.say(Voice.DEMO, f"FAILED: {error}")
            return 1
    return 0


@contextmanager
def _stopped_by_signals() -> Iterator[Callable[[], bool]]:
    """The first signal cancels the story, which then clears up; further ones do not disturb it."""
    loop, story = asyncio.get_running_loop(), asyncio.current_task()
    got: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        if not got and story is not None:
            story.cancel()
        got.append(number)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, stop, number)
    try:
        yield lambda: bool(got)
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


async def _play(screen: Screen) -> None:
    screen.heading("The responder demo: a stuck query is found, ended, proven gone and written up")
    screen.say(Voice.DEMO, f"the rules of {RULES} have windows of seconds where yours have minutes")
    screen.say(Voice.DEMO, "the ceiling is `auto` and the rules are promoted; yours begins at `shadow`")
    screen.say(Voice.DEMO, "starting two PostgreSQL servers and a responder in a temporary folder")
    with _folder() as folder:
        async with stage(folder) as (running, victim):
            screen.say(Voice.RESPONDER, f"serving at {running.url}")
            with screen.live():
                incident = await Course(screen, running, victim).run()
            review = await running.review(incident)
    screen.review(review)
    screen.heading("The query is gone, the customers are through, the review is written.")
    screen.say(Voice.DEMO, "everything that was started has been ended, the temporary folder is gone")


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder that goes with the demo. Started by root, the servers run as another user, who must pass."""
    with tempfile.TemporaryDirectory(prefix="responder-demo-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder


@dataclass(slots=True)
class Course:
    """The events in their order; each waits for somebody's word before the next begins."""

    screen: Screen
    service: Service
    victim: Victim
    _told: int = field(default=0)
    """How many entries of the timeline are on the screen."""
    _incident: str | None = None

    async def run(self) -> str:
        """From the stuck query to the resolved incident; returns its id."""
        stuck = await self._stick()
        alert = Firing.of(datetime.now(UTC))
        await self.service.deliver(alert.payload())
        self.screen.say(Voice.ALERTMANAGER, f"{ALERTNAME} is firing for {SERVER}/{DATABASE}: delivered")
        await self._until(lambda: self._gone(stuck), "the victim to say that the stuck query is gone")
        self.screen.say(Voice.VICTIM, f"pg_stat_activity: the query of session {stuck.pid} is gone")
        await self._until(self._nobody_waits, "the waiting sessions to get through")
        self.screen.say(Voice.VICTIM, f"none of the {CUSTOMERS} sessions waits any more")
        await self.service.deliver(alert.payload(ended=datetime.now(UTC)))
        self.screen.say(Voice.ALERTMANAGER, f"{ALERTNAME} is resolved: delivered")
        await self._until(self._resolved, "the incident to be resolved")
        if self._incident is None:
            raise PermanentError("the responder has no incident for the alert")
        return self._incident

    async def _stick(self) -> Backend:
        stuck = await self.victim.start_culprit()
        await self._until(lambda: self.victim.holds(stuck), "the query to hold its row")
        self.screen.say(
            Voice.VICTIM, f"a query of {CULPRIT} (session {stuck.pid}) holds a row and will not end"
        )
        await self.victim.start_customers(CUSTOMERS)
        await self._until(self._all_wait, "the customers to wait for it")
        self.screen.say(Voice.VICTIM, f"{CUSTOMERS} sessions wait for that row")
        await self._until(self._old_enough, "the query to be old enough for the rule")
        return stuck

    async def _until(self, check: Callable[[], Awaitable[bool]], what: str) -> None:
        """Wait for one thing, and keep the screen up to date meanwhile.

        Raises:
            PermanentError: it did not happen in time; with what the responder said last.
        """
        try:
            async with asyncio.timeout(_STAGE_S):
                while not await check():
                    await self._refresh()
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            raise PermanentError(f"waited {_STAGE_S:.0f} s in vain for {what}") from None
        await self._refresh()

    async def _refresh(self) -> None:
        self.screen.show(await self.victim.sessions())
        if self._incident is None:
            self._incident = next((one["id"] for one in await self.service.incidents()), None)
        if self._incident is not None:
            await self._tell(await self.service.dossier(self._incident))

    async def _tell(self, dossier: dict[str, Any]) -> None:
        entries = dossier["entries"]
        for entry in entries[self._told :]:
            self.screen.say(Voice.RESPONDER, _shortened(entry["text"]))
        self._told = len(entries)

    async def _all_wait(self) -> bool:
        return await self.victim.blocked() == CUSTOMERS

    async def _old_enough(self) -> bool:
        return any(one.stuck and one.seconds > OLD_ENOUGH_S for one in await self.victim.sessions())

    async def _gone(self, stuck: Backend) -> bool:
        return not await self.victim.runs(stuck)

    async def _nobody_waits(self) -> bool:
        return await self.victim.blocked() == 0

    async def _resolved(self) -> bool:
        if self._incident is None:
            return False
        dossier = await self.service.dossier(self._incident)
        return dossier["incident"]["state"] in _ENDED


def _shortened(text: str) -> str:
    """Enough of an entry to follow the story; the review has all of it."""
    return text if len(text) <= _LINE else f"{text[: _LINE - 1]}…"


@dataclass(frozen=True, slots=True)
class Firing:
    """The alert of the story, as Prometheus would have it."""

    started: datetime
    labels: dict[str, str]

    @classmethod
    def of(cls, started: datetime) -> "Firing":
        """The alert about the stuck query."""
        labels = {
            "alertname": ALERTNAME,
            "severity": "critical",
            "server": SERVER,
            "datname": DATABASE,
        }
        return cls(started, labels)

    def payload(self, ended: datetime | None = None) -> dict[str, Any]:
        """What Alertmanager posts for it (version 4), firing or, with `ended`, resolved."""
        status = "firing" if ended is None else "resolved"
        summary = f"A query on {SERVER}/{DATABASE} has been running for too long and blocks others"
        alert = {
            "status": status,
            "labels": self.labels,
            "annotations": {"summary": summary},
            "startsAt": self.started.isoformat(),
            "endsAt": "0001-01-01T00:00:00Z" if ended is None else ended.isoformat(),
            "generatorURL": "",
            "fingerprint": fingerprint(self.labels),
        }
        group = {"alertname": ALERTNAME}
        return {
            "version": "4",
            "groupKey": f'{{}}:{{alertname="{ALERTNAME}"}}',
            "truncatedAlerts": 0,
            "status": status,
            "receiver": "responder",
            "groupLabels": group,
            "commonLabels": self.labels,
            "commonAnnotations": {"summary": summary},
            "externalURL": "",
            "alerts": [alert],
        }
