"""Sends what is in the outbox: one lane for each channel, so that one that hangs holds up no other.

It needs no incident's lease: a word was written with its record, and whoever takes it sends it. At least
once, each time under the same key: a process that dies between the send and its mark sends again, or another
does when the hold is over.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import structlog

from responder.clients.boottime import boottime
from responder.crash_points import Point, reached
from responder.decide.backoff import backoff
from responder.model.base import Frozen
from responder.model.duration import format_duration
from responder.model.errors import PermanentError, ResponderError, TemporaryError
from responder.model.notification import ChannelStanding, Notification
from responder.ports import Channel, Outbox, Taking, Undelivered
from responder.telemetry import Metrics

_log = structlog.get_logger(__name__)

_POLL = timedelta(seconds=1)
_HELD_BEYOND = timedelta(seconds=20)
"""How much longer than one send takes at most it is held: to mark it, be the database slow."""
_LONGEST_PAUSE = timedelta(hours=1)
"""What a receiver may ask for at most: a number too large must not silence a channel."""
_SHORT = timedelta(milliseconds=500)
_GRACE = timedelta(seconds=5)
_LATE = timedelta(minutes=5)
"""So long a word may wait before a person should know of it."""


class Lane:
    """One channel, and what this process sends to it."""

    def __init__(
        self,
        channel: Channel,
        outbox: Outbox,
        worker_id: UUID,
        metrics: Metrics,
        give_up_after: timedelta,
        clock: Callable[[], float] = boottime,
    ) -> None:
        self._channel = channel
        self._outbox = outbox
        self._worker_id = worker_id
        self._deliveries = metrics.notifications
        self._give_up_after = give_up_after
        self._clock = clock
        self._taking = Taking(channel.per_minute, channel.at_once, channel.timeout + _HELD_BEYOND)
        self._something = asyncio.Event()
        self._stopping = False

    @property
    def name(self) -> str:
        """The channel's."""
        return self._channel.name

    def wake(self) -> None:
        """Look now."""
        self._something.set()

    def stop(self) -> None:
        """Send what is due, and end."""
        self._stopping = True
        self._something.set()

    async def run(self) -> None:
        """Until it is stopped, and nothing is due any more."""
        while True:
            self._something.clear()
            try:
                sent = await self.once()
            except ResponderError as error:
                sent = False
                _log.warning("the outbox cannot be read", channel=self.name, error=str(error))
            except Exception:  # noqa: BLE001 - logged; the lane must outlive it
                sent = False
                _log.exception("a lane of the outbox failed and goes on", channel=self.name)
            if not sent and self._stopping:
                return
            if not sent:
                await self._rest()

    async def once(self) -> bool:
        """Send what may be sent now. False where there is nothing."""
        taken_at = self._clock()
        taken = await self._outbox.take(self.name, self._worker_id, self._taking)
        ends = await asyncio.gather(*(self._deliver(one, taken_at) for one in taken), return_exceptions=True)
        for one, end in zip(taken, ends, strict=True):
            if isinstance(end, Exception):
                what = str(end) if isinstance(end, ResponderError) else type(end).__name__
                _log.error("what came of a notification could not be kept", **_place(one), error=what)
        return bool(taken)

    async def _rest(self) -> None:
        pause = _POLL.total_seconds() * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
        with suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._something.wait()

    async def _deliver(self, one: Notification, taken_at: float) -> None:
        """Send one and say what came of it; not where this process slept so long that others may send it."""
        reached(Point.WORD_TAKEN)
        if self._clock() - taken_at > _HELD_BEYOND.total_seconds():
            _log.warning("a notification was held too long to be sent by this process", id=one.key)
            return
        problem = await self._send(one)
        reached(Point.WORD_SENT)
        if problem is None:
            await self._settled(lambda: self._outbox.delivered(one))
            self._deliveries.labels(channel=self.name, outcome="delivered").inc()
            return
        given_up = await self._settled(lambda: self._outbox.undelivered(one, self._worker_id, problem))
        if given_up:
            self._deliveries.labels(channel=self.name, outcome="given_up").inc()
            told_given_up(one, problem.error)
        else:
            self._deliveries.labels(channel=self.name, outcome="failed").inc()
            _log.warning("a notification is tried again", **_place(one), error=problem.error)

    async def _send(self, one: Notification) -> Undelivered | None:
        """None where the channel has it."""
        try:
            async with asyncio.timeout(self._channel.timeout.total_seconds()):
                await self._channel.send(one)
        except PermanentError as error:
            return self._problem(one, str(error), final=True)
        except TemporaryError as error:
            return self._problem(one, str(error), asked=error.delay)
        except TimeoutError:
            return self._problem(one, "it was not taken in time")
        except Exception as error:  # noqa: BLE001 - told; a word must not be lost for a fault of ours
            _log.exception("a notification met a fault of ours", **_place(one))
            return self._problem(one, f"a fault of ours ({type(error).__name__})")
        return None

    def _problem(
        self, one: Notification, error: str, *, final: bool = False, asked: timedelta = timedelta(0)
    ) -> Undelivered:
        asked = min(asked, _LONGEST_PAUSE)
        wait = max(backoff(one.tries, random.random()), asked)  # noqa: S311 - jitter
        return Undelivered(error, final, wait, asked, self._give_up_after)

    async def _settled(self, settle: Callable[[], Awaitable[bool | None]]) -> bool:
        """Write down what came of a send, when the database answers, for as long as nobody else sends it."""
        until = self._clock() + _HELD_BEYOND.total_seconds()
        while True:
            try:
                return bool(await settle())
            except TemporaryError:
                if self._clock() >= until:
                    raise
                await asyncio.sleep(_SHORT.total_seconds())


def told_given_up(one: Notification, why: str) -> None:
    """Say loudly that people were not told."""
    _log.error("a notification was given up: nobody was told by this channel", **_place(one), error=why)


def _place(one: Notification) -> Mapping[str, object]:
    incident = None if one.incident_id is None else str(one.incident_id)
    return {"channel": one.channel, "id": one.key, "incident": incident, "tries": one.tries}


class OutboxStanding(Frozen):
    """How all channels stand, as they were seen last."""

    now: datetime | None = None
    channels: tuple[ChannelStanding, ...] = ()

    @property
    def late(self) -> tuple[str, ...]:
        """What a person should know of: words that were given up, or wait for long. In words."""
        if self.now is None:
            return ()
        return tuple(text for one in self.channels if (text := _late(one, self.now)))


def _late(one: ChannelStanding, now: datetime) -> str:
    parts = []
    if one.given_up:
        parts.append(f"{one.given_up} given up within a day")
    if one.oldest is not None and now - one.oldest > _LATE:
        parts.append(f"{one.waiting} wait, the oldest for {format_duration(now - one.oldest)}")
    return f"{one.channel}: {', '.join(parts)}" if parts else ""


class Dispatcher:
    """All lanes of one process. Implements `ports.Dispatch`."""

    def __init__(
        self, outbox: Outbox, channels: Iterable[Channel], metrics: Metrics, give_up_after: timedelta
    ) -> None:
        self._outbox = outbox
        self._channels = tuple(channels)
        self._metrics = metrics
        self._give_up_after = give_up_after
        self.worker_id = uuid4()
        """Who holds what this process sends; no worker of an incident."""
        self._lanes = [Lane(one, outbox, self.worker_id, metrics, give_up_after) for one in self._channels]
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.standing = OutboxStanding()

    @property
    def names(self) -> tuple[str, ...]:
        """The channels."""
        return tuple(lane.name for lane in self._lanes)

    def wake(self) -> None:
        """See `ports.Dispatch.wake`."""
        for lane in self._lanes:
            lane.wake()

    async def start(self) -> None:
        """Begin to send."""
        await self._outbox.enter(self.names)
        for lane in self._lanes:
            self._tasks[lane.name] = asyncio.create_task(lane.run(), name=f"channel {lane.name}")

    def dead(self) -> tuple[str, ...]:
        """The lanes that have ended although nobody stopped them."""
        return tuple(f"channel {name}" for name, task in self._tasks.items() if task.done())

    async def look(self) -> None:
        """See how every channel stands, and give up what waits for a channel that is gone."""
        for gone in await self._outbox.give_up_unknown(self.names, self._give_up_after):
            self._metrics.notifications.labels(channel=gone.channel, outcome="given_up").inc()
            told_given_up(gone, "no such channel is configured any more")
        now, channels = await self._outbox.standings(self.names)
        left = {one.channel for one in self.standing.channels} - {one.channel for one in channels}
        self.standing = OutboxStanding(now=now, channels=tuple(channels))
        for name in left:
            self._metrics.outbox_depth.labels(channel=name).set(0)
            self._metrics.outbox_oldest.labels(channel=name).set(0)
        for one in channels:
            age = timedelta(0) if one.oldest is None else now - one.oldest
            self._metrics.outbox_depth.labels(channel=one.channel).set(one.waiting)
            self._metrics.outbox_oldest.labels(channel=one.channel).set(max(0.0, age.total_seconds()))

    async def stop(self) -> None:
        """Send what is due, within a few seconds, and leave the rest to whoever comes next."""
        tasks, self._tasks = self._tasks, {}
        for lane in self._lanes:
            lane.stop()
        if tasks:
            await asyncio.wait(tasks.values(), timeout=_GRACE.total_seconds())
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
        try:
            await self._outbox.give_back(self.worker_id)
        except ResponderError as error:
            _log.warning("notifications that were being sent could not be given back", error=str(error))
        for channel in self._channels:
            await channel.close()
