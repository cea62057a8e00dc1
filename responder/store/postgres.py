"""The store: the ports `Store` and `Desk` in PostgreSQL, each method sent to the file of its concern.

No SQL belongs here.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from responder.crash_points import Point, reached
from responder.decide.case import Case, Change, Finding, IntentLost, LedgerQuestion, LedgerView
from responder.decide.clock import Agreement, ClockJump
from responder.decide.fold import AlertRecord
from responder.model.alert import AlertKey, Heard
from responder.model.attempt import Attempt, Intent
from responder.model.autonomy import Autonomy
from responder.model.errors import PermanentError, TemporaryError
from responder.model.incident import Command, Incident
from responder.model.inhibition import Inhibitor, Inhibits
from responder.model.matcher import Matcher
from responder.model.redaction import SHIPPED, Redaction
from responder.model.restraint import Restraint, RestraintKind, Restraints
from responder.model.rule import Rulebook
from responder.model.storm import Storm, StormTerms
from responder.ports import (
    Added,
    IncidentKey,
    Lease,
    Leased,
    NewByHand,
    NewRestraint,
    Numbered,
    OpenedByHand,
    Taken,
    UnmatchedPage,
    Wanted,
)
from responder.store import cases, episodes, inhibition, ledger, openings, restraints, umbrella
from responder.store.anchors import Anchors
from responder.store.at_once import take_in
from responder.store.clock import ServiceClock
from responder.store.connection import Connections
from responder.store.desk import PostgresDesk
from responder.store.give_backs import PostgresGiveBacks
from responder.store.history import PostgresHistory
from responder.store.intake import PostgresIntake
from responder.store.leases import Leases
from responder.store.outbox import PostgresOutbox, Wording
from responder.store.owner import Owner, lock_incident, write_finding
from responder.store.partitions import is_missing_partition, make_partition
from responder.store.rounds import PostgresRounds
from responder.store.rulebooks import Rulebooks
from responder.store.schedules import PostgresSchedules
from responder.store.startup import system_identifier
from responder.store.timeline import TimelineKeys
from responder.store.transaction import refusals, transaction

_SPILL = "SELECT count(*) FROM generate_series(1, 100000)"
"""Its 2 MB do not fit into 64 kB of memory."""


class PostgresStore(PostgresDesk):
    """See `ports.Store` and `ports.Desk` for what each method promises.

    Args:
        connections: the lanes of this process.
        lease_time: how long a heartbeat counts.
        keys: what the timeline is chained with.
        redaction: what everything goes through that came back from somewhere and is to be kept. Alerts and
            dead letters have gone through it when they were decoded.
        storm: what openings of incidents are counted for.
        wording: how notices become words for channels.
    """

    def __init__(
        self,
        connections: Connections,
        lease_time: timedelta,
        keys: TimelineKeys,
        redaction: Redaction = SHIPPED,
        storm: StormTerms = StormTerms(),  # noqa: B008 - frozen
        wording: Wording = Wording(),  # noqa: B008 - frozen
    ) -> None:
        clock = ServiceClock(connections.workers, lease_time)
        super().__init__(connections.web, Rulebooks(), keys, clock, lease_time)
        self._redaction = redaction
        self._connections = connections
        self._leases = Leases(
            connections.workers, connections.heartbeat, lease_time, self._clock, self._rulebooks, storm
        )
        self._storm = storm
        self._case = cases.load(storm)
        self._owner = Owner(connections.workers, lease_time, keys, self._clock, wording)
        self.rounds = PostgresRounds(connections.workers, clock, lease_time)
        """Whose turn it is to ask a source for all its alerts."""
        self.give_backs = PostgresGiveBacks(connections.workers, clock, self._rulebooks)
        """What is owed back after a while."""
        self.schedules = PostgresSchedules(connections.workers, clock, lease_time, redaction)
        """The plans of scheduled rules and their runs."""
        self.schedule_desk = PostgresSchedules(connections.web, clock, lease_time, redaction)
        """The same, for people."""
        self.outbox = PostgresOutbox(connections.workers, clock)
        """The words to people."""
        self.history = PostgresHistory(connections.web, clock)
        """What fired before now."""
        self._ground: tuple[str, ...] | None = None

    async def now(self) -> datetime:
        """See `ports.Store.now`."""
        async with self._connections.workers.connection() as connection:
            return await self._clock.now(connection)

    @property
    def disk_full(self) -> bool:
        """Whether the disk was full when something was written last, and no room was found since then."""
        return self._connections.disk.full

    async def make_sure_of_room(self) -> None:
        """See `ports.Store.make_sure_of_room`.

        More than a megabyte is sorted through a temporary file: that needs room where tables grow, and leaves
        nothing behind. A server that forbids such files cannot be asked; then what is written next tells.
        """
        async with self._connections.intake.transaction() as connection:
            await connection.execute("SET LOCAL work_mem = '64kB'; SET LOCAL temp_tablespaces = ''")
            with suppress(asyncpg.ConfigurationLimitExceededError):
                await connection.fetchval(_SPILL)
        self._connections.disk.full = False

    async def agree_on_clock(self) -> Agreement:
        """See `ports.Store.agree_on_clock`."""
        return await self._clock.agree()

    async def watch_clock(self, worker_id: UUID) -> ClockJump | None:
        """See `ports.Store.watch_clock`."""
        return await self._clock.watch(worker_id)

    @property
    def anchors(self) -> Anchors:
        """The global anchor of this store."""
        return self._anchors

    # Intake --------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def intake(
        self, keys: Sequence[AlertKey] = (), heard: Mapping[AlertKey, Heard] | None = None
    ) -> AsyncIterator[PostgresIntake]:
        """See `ports.Store.intake`.

        Raises:
            TemporaryError: another transaction was in the way, or a partition was missing and is there now:
                nothing was stored, the same deliveries again may work at once.
            PermanentError: PostgreSQL refuses the data of one of the deliveries: nothing was stored.
            StoreAwayError: PostgreSQL does not answer.
        """
        async with self._partitioned(), transaction(self._connections.intake) as connection:
            now, locked = await episodes.begin(connection, self._clock, keys, heard or {})
            taken = PostgresIntake(connection, self._clock, now, keys, locked)
            yield taken
            await taken.finish()
            reached(Point.INTAKE_WRITTEN)

    async def take_in(self, source: str, said: Mapping[str, Sequence[Numbered]], wanted: Wanted) -> Taken:
        """See `ports.Store.take_in`. Raises what `intake` does; all is left while the clocks are in doubt."""
        expected = self._clock.expected()
        if expected is None:
            return Taken((), (), 0, frozenset(said))
        async with self._partitioned():
            with refusals():
                async with self._connections.intake.connection() as connection:
                    return await take_in(connection, source, said, wanted, expected)

    @asynccontextmanager
    async def _partitioned(self) -> AsyncIterator[None]:
        """Makes the journal's partition for today where it is missing."""
        try:
            yield
        except PermanentError as error:
            if error.__cause__ is None or not is_missing_partition(error.__cause__):
                raise
            await make_partition(self._connections.intake, await self.now())
            raise TemporaryError("the journal had no partition for today", timedelta(0)) from error

    async def standing(
        self, rules: Sequence[str], keys: Sequence[IncidentKey], at_most: int
    ) -> tuple[Mapping[str, int], AbstractSet[IncidentKey]]:
        """See `ports.Store.standing`."""
        async with self._connections.workers.connection() as connection:
            return await openings.standing(connection, rules, keys, at_most)

    async def inhibitor(self, wanted: Sequence[Inhibits]) -> Inhibitor | None:
        """See `ports.Store.inhibitor`."""
        async with self._connections.workers.connection() as connection:
            return await inhibition.find(connection, wanted, await self._clock.now(connection))

    async def storm(self) -> Storm:
        """See `ports.Store.storm`."""
        async with self._connections.workers.connection() as connection:
            return await cases.storm_now(connection, self._storm)

    async def contested(self, limit: int) -> Sequence[AlertRecord]:
        """See `ports.Store.contested`."""
        async with self._connections.workers.connection() as connection:
            return await episodes.contested(connection, limit)

    async def unmatched_open(self, looked_at: int, after: AlertKey | None = None) -> UnmatchedPage:
        """See `ports.Store.unmatched_open`."""
        async with self._connections.workers.connection() as connection:
            return await episodes.unmatched_page(connection, looked_at, after)

    # Ownership -----------------------------------------------------------------------------------------

    async def register(self, worker_id: UUID, host: str, roles: Sequence[str]) -> None:
        """See `ports.Store.register`."""
        await self._leases.register(worker_id, host, roles)

    async def heartbeat(self, worker_id: UUID) -> bool:
        """See `ports.Store.heartbeat`."""
        return await self._leases.heartbeat(worker_id)

    async def unregister(self, worker_id: UUID) -> None:
        """See `ports.Store.unregister`."""
        await self._leases.unregister(worker_id)

    async def lease(self, worker_id: UUID) -> Leased | None:
        """See `ports.Store.lease`."""
        leased = await self._leases.lease(worker_id)
        if leased is not None and leased.case is not None:
            self._owner.loaded(leased.case)
        return leased

    async def give_up(self, lease: Lease) -> None:
        """See `ports.Store.give_up`."""
        await self._leases.give_up(lease)

    async def give_up_others(self, worker_id: UUID, known: Sequence[UUID]) -> None:
        """See `ports.Store.give_up_others`."""
        await self._leases.give_up_others(worker_id, known)

    async def postpone(self, lease: Lease, delay: timedelta) -> None:
        """See `ports.Store.postpone`."""
        await self._leases.postpone(lease, delay)

    # The owner's view and its changes --------------------------------------------------------------------

    async def load(self, lease: Lease) -> Case:
        """See `ports.Store.load`."""
        async with self._connections.workers.connection() as connection:
            case = await cases.load_case(connection, self._clock, lease, self._rulebooks, self._case)
        self._owner.loaded(case)
        return case

    async def record(self, lease: Lease, case: Case, change: Change, *, ends: bool = False) -> bool:
        """See `ports.Store.record`."""
        return await self._owner.record(lease, case, self._redaction.value(change), ends=ends)

    async def commit_intent(
        self, lease: Lease, intent: Intent, change: Change, *, after: int | None = None
    ) -> Attempt | IntentLost:
        """See `ports.Store.commit_intent`."""
        redact = self._redaction.value
        return await self._owner.commit_intent(lease, redact(intent), redact(change), after=after)

    async def open_umbrella(self, pending_for: timedelta) -> None:
        """See `ports.Store.open_umbrella`."""
        async with transaction(self._connections.workers) as connection:
            await umbrella.open_or_wake(connection, await self._clock.now(connection), pending_for)

    async def add_finding(self, incident_id: UUID, finding: Finding) -> None:
        """See `ports.Store.add_finding`."""
        finding = self._redaction.value(finding)
        async with transaction(self._connections.workers) as connection:
            now = await lock_incident(connection, incident_id, self._clock)
            if now is not None:
                await write_finding(connection, incident_id, finding, now)

    async def ledger_view(self, question: LedgerQuestion, incident: Incident) -> LedgerView:
        """See `ports.Store.ledger_view`."""
        async with self._connections.workers.connection() as connection:
            return await ledger.view(connection, self._clock, question, incident)

    async def attempt(self, attempt_id: UUID) -> Attempt | None:
        """See `ports.Attempts.attempt`."""
        async with self._connections.workers.connection() as connection:
            return await ledger.attempt(connection, attempt_id)

    async def alerts_named(self, alertname: str) -> Sequence[AlertKey]:
        """See `ports.Store.alerts_named`."""
        async with self._connections.workers.connection() as connection:
            return await episodes.alerts_named(connection, alertname)

    async def heard_of(self, keys: Sequence[AlertKey]) -> Mapping[AlertKey, datetime]:
        """See `ports.Store.heard_of`."""
        async with self._connections.workers.connection() as connection:
            return await episodes.heard_of(connection, keys)

    async def restraints(self) -> Restraints:
        """See `ports.Store.restraints`."""
        async with self._connections.workers.connection() as connection:
            return await restraints.read(connection)

    async def follow_restraints(self, told: Callable[[Restraints], None]) -> None:
        """See `ports.Store.follow_restraints`."""
        async with self._connections.apart("halt") as connection:
            await restraints.follow(connection, told)

    async def promotion(self, rule: str, acting_hash: str) -> Autonomy | None:
        """See `ports.Store.promotion`."""
        async with self._connections.workers.connection() as connection:
            return await ledger.promotion(connection, rule, acting_hash)

    async def ground(self) -> tuple[str, ...]:
        """See `ports.Store.ground`. Asked once: no server changes its identity while we are connected."""
        if self._ground is None:
            async with self._connections.workers.connection() as connection:
                self._ground = (await system_identifier(connection),)
        return self._ground

    # What people say -------------------------------------------------------------------------------------

    async def give_command(self, command: Command) -> bool:
        """See `ports.Desk.give_command`."""
        return await super().give_command(self._redaction.value(command))

    async def open_by_hand(self, new: NewByHand) -> OpenedByHand:
        """See `ports.Desk.open_by_hand`."""
        if self._redaction.value(new.rule) != new.rule:
            raise PermanentError("what is asked for holds a secret, and nothing here may keep one")
        labels = dict(self._redaction.labels(new.labels))
        return await super().open_by_hand(replace(new, asked=self._redaction.value(new.asked), labels=labels))

    async def halt(self, actor: str, reason: str, scope: tuple[Matcher, ...] = ()) -> Restraint:
        """See `ports.Desk.halt`."""
        redact = self._redaction.text
        return await super().halt(redact(actor), redact(reason), scope)

    async def resume(self, actor: str, reason: str, ids: Sequence[int] | None = None) -> Sequence[Restraint]:
        """See `ports.Desk.resume`."""
        redact = self._redaction.text
        return await super().resume(redact(actor), redact(reason), ids)

    async def restrain(self, new: NewRestraint) -> Added:
        """See `ports.Desk.restrain`."""
        who, why = map(self._redaction.text, (new.actor, new.reason))
        return await super().restrain(replace(new, actor=who, reason=why))

    async def end_restraint(
        self, kind: RestraintKind, which: int | str, actor: str, reason: str
    ) -> Restraint | None:
        """See `ports.Desk.end_restraint`."""
        return await super().end_restraint(kind, which, *map(self._redaction.text, (actor, reason)))

    async def release(self, target: str, actor: str, reason: str) -> bool:
        """See `ports.Desk.release`."""
        return await super().release(target, *map(self._redaction.text, (actor, reason)))

    async def reset_breaker(self, rule: str, actor: str, reason: str) -> bool:
        """See `ports.Desk.reset_breaker`."""
        return await super().reset_breaker(rule, *map(self._redaction.text, (actor, reason)))

    async def write_test(self, channel: str, text: str) -> UUID:
        """See `ports.Desk.write_test`."""
        return await super().write_test(channel, self._redaction.text(text))

    async def drop_dead_letters(self, numbers: Sequence[int], actor: str, reason: str) -> Sequence[int]:
        """See `ports.Desk.drop_dead_letters`."""
        return await super().drop_dead_letters(numbers, *map(self._redaction.text, (actor, reason)))

    async def ask_for_round(self, source: str, actor: str) -> bool:
        """See `ports.Desk.ask_for_round`."""
        return await super().ask_for_round(source, self._redaction.text(actor))

    async def promote(self, rule: str, acting_hash: str, level: Autonomy, actor: str, reason: str) -> None:
        """See `ports.Desk.promote`."""
        await super().promote(rule, acting_hash, level, *map(self._redaction.text, (actor, reason)))

    # Rulebooks -----------------------------------------------------------------------------------------

    async def activate(self, rulebook: Rulebook, origin: str) -> None:
        """See `ports.Store.activate`."""
        async with transaction(self._connections.workers) as connection:
            await self._rulebooks.activate(connection, rulebook, origin, await self._clock.now(connection))

    async def active_hash(self) -> str | None:
        """See `ports.Store.active_hash`."""
        async with self._connections.workers.connection() as connection:
            return await self._rulebooks.active_hash(connection)

    async def active_rulebook(self) -> Rulebook | None:
        """See `ports.Store.active_rulebook`."""
        async with self._connections.workers.connection() as connection:
            return await self._rulebooks.active(connection)
