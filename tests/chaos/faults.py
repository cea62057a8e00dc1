"""What goes wrong, by the seed: to processes, their way to the store, the store and its clock; and halts.

Every fault is noted with the time at which it began and ended, by the host's clock. One replica at least is
left alone at any time, and everything is mended again: what stays broken is no test of the responder.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Any

import aiohttp
import asyncpg

from tests.chaos.observer import set_clock
from tests.chaos.stage import LEASE_S, Replica, Stage
from tests.chaos.target import Arrival
from tests.support.parts import post_json

_AIM_FOR_S = 1.5
"""How long an aimed kill waits for a call, before it kills anyway."""
_AGAIN_S = 0.1
_TRIES = 40
_MENDED_WITHIN_S = 60.0


class Kind(StrEnum):
    """Each fault by its name in the summary."""

    KILL = "kill"
    TERM = "term"
    PAUSE = "pause"
    LONG_PAUSE = "pause longer than the lease"
    CUT = "cut of all connections"
    STALL = "stall in both directions"
    STALL_ANSWERS = "stall of the answers"
    DELAY = "slow network"
    CRASH_STORE = "store restarted immediately"
    RESTART_STORE = "store restarted fast"
    CLOCK = "clock moved"
    HALT = "halt"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault that was done. `pid` is the process that it was done to, where there is one."""

    kind: Kind
    began: float
    ended: float
    pid: int | None = None
    what: str = ""


Doing = Callable[["Faults"], Awaitable[None]]


@dataclass(slots=True)
class Faults:
    """Does them, and notes them."""

    stage: Stage
    random: Random
    done: list[Fault] = field(default_factory=list)
    _tasks: "set[asyncio.Task[None]]" = field(default_factory=set)

    async def processes(self, pace_s: float) -> None:
        """Do something to a process about every `pace_s` seconds, until cancelled."""
        for doing in self._drawn(PROCESSES):
            await asyncio.sleep(self.random.uniform(0.6, 1.4) * pace_s)
            self._begin(doing)

    async def surroundings(self, pace_s: float) -> None:
        """Do something to everything else, one after the other, until cancelled."""
        for doing in self._drawn(SURROUNDINGS):
            await asyncio.sleep(self.random.uniform(0.5, 1.5) * pace_s)
            await asyncio.wait({self._begin(doing)})

    async def mend(self) -> None:
        """Wait until everything that was begun is mended again."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_MENDED_WITHIN_S)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for replica in self.stage.replicas:
            replica.link.heal()
            if not replica.up:
                replica.begin()

    def _drawn(self, deck: Mapping[Doing, int]) -> Iterator[Doing]:
        while True:
            cards = [doing for doing, times in deck.items() for _ in range(times)]
            self.random.shuffle(cards)
            yield from cards

    def _begin(self, doing: Doing) -> "asyncio.Task[None]":
        """It is done to its end, also when no more is begun."""
        task = asyncio.create_task(_awaited(doing(self)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _note(self, kind: Kind, began: float, pid: int | None = None, what: str = "") -> None:
        self.done.append(Fault(kind, began, time.time(), pid, what))

    # Processes -----------------------------------------------------------------------------------

    async def _free(self) -> Replica | None:
        """A replica that nothing is done to, when another one is left; None where that takes too long."""
        for _ in range(_TRIES):
            free = [one for one in self.stage.replicas if not one.busy and one.up]
            if len(free) > 1:
                return self.random.choice(free)
            await asyncio.sleep(_AGAIN_S)
        return None

    @asynccontextmanager
    async def _hold(self, replica: Replica | None) -> AsyncIterator[Replica | None]:
        if replica is None or replica.busy:
            yield None
            return
        replica.busy = True
        try:
            yield replica
        finally:
            replica.busy = False

    async def kill(self) -> None:
        """SIGKILL at any moment."""
        async with self._hold(await self._free()) as replica:
            if replica is not None:
                await self._kill(replica)

    async def kill_inside(self) -> None:
        """SIGKILL of the process that has just called a target."""
        call = await self._call()
        replica = await self._free() if call is None else self._of(call.pid)
        async with self._hold(replica) as held:
            if held is not None:
                await asyncio.sleep(self.random.uniform(0.0, 0.7) if call else 0)
                await self._kill(held)

    async def _call(self) -> Arrival | None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_AIM_FOR_S):
                while True:
                    call = await self.stage.targets.next_call()
                    replica = self._of(call.pid)
                    if replica is not None and self._may(replica):
                        return call
        return None

    def _of(self, pid: int) -> Replica | None:
        return next((one for one in self.stage.replicas if one.up and one.pid == pid), None)

    def _may(self, replica: Replica) -> bool:
        others = [one for one in self.stage.replicas if one is not replica and not one.busy and one.up]
        return not replica.busy and bool(others)

    async def _kill(self, replica: Replica) -> None:
        began, pid = time.time(), replica.pid
        os.kill(pid, signal.SIGKILL)
        self._note(Kind.KILL, began, pid)
        await replica.kill()
        await self._again(replica)

    async def term(self) -> None:
        """SIGTERM, and what its operator does then."""
        async with self._hold(await self._free()) as replica:
            if replica is not None:
                began, pid = time.time(), replica.pid
                await replica.stop(within=20)
                self._note(Kind.TERM, began, pid, f"ended with {replica.exit_code}")
                await self._again(replica)

    async def _again(self, replica: Replica) -> None:
        await asyncio.sleep(self.random.uniform(0, 0.5))
        replica.begin()
        with suppress(AssertionError):  # it may end for want of a store: then it is started again at the end
            await _until_it_answers(replica)

    async def pause(self) -> None:
        """SIGSTOP, and SIGCONT before anybody would take over."""
        await self._pause(Kind.PAUSE, self.random.uniform(0.2, 0.5 * LEASE_S))

    async def pause_long(self) -> None:
        """SIGSTOP for longer than the lease, of one that has just called where there is one."""
        await self._pause(Kind.LONG_PAUSE, LEASE_S + self.random.uniform(0.7, 3.0))

    async def _pause(self, kind: Kind, seconds: float) -> None:
        call = await self._call() if self.random.random() < 0.6 else None
        replica = await self._free() if call is None else self._of(call.pid)
        async with self._hold(replica) as held:
            if held is None or not held.up:
                return
            began, pid = time.time(), held.pid
            os.kill(pid, signal.SIGSTOP)
            try:
                await asyncio.sleep(seconds)
            finally:
                os.kill(pid, signal.SIGCONT)
                self._note(kind, began, pid)

    # The way to the store ------------------------------------------------------------------------

    async def cut(self) -> None:
        """All connections of one replica break."""
        began, replica = time.time(), self.random.choice(self.stage.replicas)
        replica.link.cut()
        self._note(Kind.CUT, began, replica.pid)

    async def stall(self) -> None:
        """Nothing passes between one replica and the store for a while."""
        await self._stalled(Kind.STALL, asks=True)

    async def stall_answers(self) -> None:
        """What a replica asks for happens, and it does not hear of it for a while."""
        await self._stalled(Kind.STALL_ANSWERS, asks=False)

    async def _stalled(self, kind: Kind, *, asks: bool) -> None:
        began, replica = time.time(), self.random.choice(self.stage.replicas)
        link = replica.link
        link.answers.stall()
        if asks:
            link.asks.stall()
        try:
            await asyncio.sleep(self.random.uniform(0.5, 2 * LEASE_S))
            if self.random.random() < 0.5:
                link.cut()
        finally:
            link.heal()
            self._note(kind, began, replica.pid)

    async def delay(self) -> None:
        """Everything takes longer."""
        began, replica = time.time(), self.random.choice(self.stage.replicas)
        replica.link.answers.delay_s = self.random.uniform(0.02, 0.2)
        try:
            await asyncio.sleep(self.random.uniform(2, 5))
        finally:
            replica.link.heal()
            self._note(Kind.DELAY, began, replica.pid)

    # The store -----------------------------------------------------------------------------------

    async def crash_store(self) -> None:
        """PostgreSQL ends as in a crash, and recovers."""
        await self._restart(Kind.CRASH_STORE, signal.SIGQUIT)

    async def restart_store(self) -> None:
        """PostgreSQL is restarted as its operator does it."""
        await self._restart(Kind.RESTART_STORE, signal.SIGINT)

    async def _restart(self, kind: Kind, how: signal.Signals) -> None:
        began, store = time.time(), self.stage.store
        await store._end(how, 15.0)
        await asyncio.sleep(self.random.uniform(0, 1.5))
        await store.start(within=60)
        self._note(kind, began)

    async def move_clock(self) -> None:
        """The clock of the store's host is set by hours."""
        began, hours = time.time(), self.random.choice((-1, 1)) * self.random.uniform(0.5, 3)
        await _in_the_end(lambda: set_clock(self.stage.dsn, hours))
        self._note(Kind.CLOCK, began, what=f"{hours:+.1f} h")

    async def halt(self) -> None:
        """Somebody stops everything, and lets it go on. It counts from the answer to the next word."""
        await _in_the_end(lambda: self._say("halt"))
        began = time.time()
        await asyncio.sleep(self.random.uniform(6, 9))
        self._note(Kind.HALT, began)
        await _in_the_end(lambda: self._say("resume"))

    async def _say(self, word: str) -> Any:
        replica = self.random.choice([one for one in self.stage.replicas if one.up])
        return await post_json(
            f"{replica.url}/api/v1/{word}", {"actor": "chaos", "reason": "the test says so"}
        )


PROCESSES: Mapping[Doing, int] = {
    Faults.kill_inside: 9,
    Faults.kill: 2,
    Faults.term: 1,
    Faults.pause: 4,
    Faults.pause_long: 4,
}
SURROUNDINGS: Mapping[Doing, int] = {
    Faults.cut: 2,
    Faults.stall: 1,
    Faults.stall_answers: 2,
    Faults.delay: 1,
    Faults.crash_store: 2,
    Faults.restart_store: 1,
    Faults.move_clock: 1,
    Faults.halt: 1,
}
"""Two decks: how often each of them is in it. Each is drawn to its end before it is shuffled again."""


async def _awaited(doing: Awaitable[None]) -> None:
    await doing


async def _until_it_answers(replica: Replica, within: float = 15.0) -> None:
    deadline = time.time() + within
    while replica.up and time.time() < deadline:
        with suppress(OSError, aiohttp.ClientError, TimeoutError):
            if await replica.ready():
                return
        await asyncio.sleep(0.1)


async def _in_the_end(ask: Callable[[], Awaitable[object]]) -> None:
    """Ask until it is answered."""
    while True:
        with suppress(
            OSError,
            aiohttp.ClientError,
            TimeoutError,
            IndexError,
            asyncpg.PostgresError,
            asyncpg.InterfaceError,
        ):
            await ask()
            return
        await asyncio.sleep(0.2)
