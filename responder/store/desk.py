"""What people see and do: the store's side of the HTTP API, on a lane of its own.

A person's act on an incident is a row that the owner applies; nothing here changes an incident's state. Who
set or cleared the halt flag, released a target or promoted a rule stands in its table for ever.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from responder.decide.case import Finding
from responder.model.anchor import AnchorCheck
from responder.model.attempt import Claim, Owed
from responder.model.autonomy import Autonomy
from responder.model.breaker import Breaker
from responder.model.budget import Start
from responder.model.duration import format_duration
from responder.model.errors import PermanentError
from responder.model.incident import Command, Incident, IncidentState
from responder.model.matcher import Matcher
from responder.model.notification import ChannelStanding, Notification
from responder.model.restraint import Restraint, RestraintKind
from responder.model.rule import Rule
from responder.model.source import SourceStanding
from responder.model.timeline import broken_at
from responder.ports import (
    Added,
    DeadLetter,
    Dossier,
    NewByHand,
    NewRestraint,
    OpenedByHand,
    ShadowRunTold,
)
from responder.store import (
    breakers,
    budgets,
    by_hand,
    cases,
    dead_letters,
    episodes,
    give_backs,
    ledger,
    outbox,
    owner,
    restraints,
    rounds,
    shadow,
    timeline,
)
from responder.store.anchors import Anchors
from responder.store.clock import ServiceClock
from responder.store.connection import Connection, Lane
from responder.store.ids import uuid7
from responder.store.rulebooks import Rulebooks
from responder.store.storable import storable_json, storable_text
from responder.store.timeline import TimelineKeys
from responder.store.transaction import transaction

_LIVE = "WHERE i.state NOT IN ('closed', 'recorded')"

_WAITING = """
WHERE i.state IN ('escalated', 'awaiting_approval') ORDER BY i.severity, i.state_since LIMIT $1
"""

_AWAITING = "WHERE i.state = 'awaiting_approval' ORDER BY i.severity, i.deadline LIMIT $1"

_COMMANDS = """
SELECT id, incident_id, kind, actor, reason, facts, given_at
FROM commands WHERE incident_id = $1 ORDER BY number
"""

_GIVE = """
INSERT INTO commands (id, incident_id, kind, actor, reason, facts, given_at)
VALUES ($1, $2, $3, $4, $5, $6::text::jsonb, $7)
ON CONFLICT (id) DO NOTHING
RETURNING 1
"""

_RELEASE = """
DELETE FROM claims WHERE target = $1 AND attempt_id = $2 AND quarantined RETURNING reason
"""

_RELEASED = """
INSERT INTO releases (target, attempt_id, held_for, actor, reason, released_at)
VALUES ($1, $2, $3, $4, $5, $6)
"""

_PROMOTE = """
INSERT INTO promotions (rule, acting_hash, level, actor, reason, promoted_at)
VALUES ($1, $2, $3, $4, $5, service_time())
"""

_EXPIRED_AT_ONCE = 1000


class PostgresDesk:
    """See `ports.Desk` for what each method promises."""

    def __init__(
        self,
        lane: Lane,
        rulebooks: Rulebooks,
        keys: TimelineKeys,
        clock: ServiceClock,
        lease_time: timedelta,
    ) -> None:
        self._lane = lane
        self._lease_time = lease_time
        self._rulebooks = rulebooks
        self._keys = keys
        self._clock = clock
        self._anchors = Anchors(lane, keys, clock)

    async def incidents(self, *, live_only: bool, limit: int) -> Sequence[Incident]:
        """See `ports.Desk.incidents`."""
        where = f"{_LIVE if live_only else ''} ORDER BY i.id DESC LIMIT $1"
        async with self._lane.connection() as connection:
            return await cases.read_incidents(connection, where, limit)

    async def incident(self, incident_id: UUID) -> Dossier | None:
        """See `ports.Desk.incident`."""
        async with (
            self._lane.connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            found = await cases.read_incidents(connection, "WHERE i.id = $1", incident_id)
            return await self._dossier(connection, found[0]) if found else None

    async def waiting(self, limit: int) -> Sequence[Incident]:
        """See `ports.Desk.waiting`."""
        async with self._lane.connection() as connection:
            return await cases.read_incidents(connection, _WAITING, limit)

    async def awaiting_approval(self, limit: int) -> Sequence[Incident]:
        """See `ports.Desk.awaiting_approval`."""
        async with self._lane.connection() as connection:
            return await cases.read_incidents(connection, _AWAITING, limit)

    async def chain_break(self, incident_id: UUID) -> str | None:
        """See `ports.Desk.chain_break`."""
        async with (
            self._lane.connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            head = await connection.fetchrow(
                "SELECT timeline_head, timeline_length FROM incidents WHERE id = $1", incident_id
            )
            entries = await timeline.entries_of(connection, incident_id)
        if head is None:
            return f"the incident itself is missing; {len(entries)} entries are there"
        keys = dict(self._keys.keys)
        return broken_at(entries, keys, head["timeline_head"], head["timeline_length"])

    async def check_anchors(self, lines: Sequence[str]) -> Sequence[AnchorCheck]:
        """See `ports.Desk.check_anchors`."""
        return await self._anchors.check(lines)

    async def give_command(self, command: Command) -> bool:
        """See `ports.Desk.give_command`.

        Raises:
            PermanentError: there is no such incident.
        """
        async with transaction(self._lane) as connection:
            now = await owner.lock_incident(connection, command.incident_id, self._clock)
            if now is None:
                raise PermanentError(f"there is no incident {command.incident_id}")
            given = await connection.fetchval(
                _GIVE,
                command.id,
                command.incident_id,
                command.kind.value,
                storable_text(command.actor),
                storable_text(command.reason),
                storable_json(command.facts.model_dump(mode="json", exclude_none=True)),
                command.given_at,
            )
            if given is None:
                return False
            await owner.wake(connection, command.incident_id, now)
        return True

    async def open_by_hand(self, new: NewByHand) -> OpenedByHand:
        """See `ports.Desk.open_by_hand`."""
        async with transaction(self._lane) as connection:
            return await by_hand.open_by_hand(connection, self._clock, self._rulebooks, new)

    async def halt(self, actor: str, reason: str, scope: tuple[Matcher, ...] = ()) -> Restraint:
        """See `ports.Desk.halt`."""
        new = NewRestraint(RestraintKind.HALT, str(uuid4()), actor, reason, scope)
        async with transaction(self._lane) as connection:
            return await restraints.halt(connection, new)

    async def resume(self, actor: str, reason: str, ids: Sequence[int] | None = None) -> Sequence[Restraint]:
        """See `ports.Desk.resume`."""
        async with transaction(self._lane) as connection:
            return await restraints.resume(connection, ids, actor, reason)

    async def restrain(self, new: NewRestraint) -> Added:
        """See `ports.Desk.restrain`."""
        async with transaction(self._lane) as connection:
            return await restraints.add(connection, new)

    async def restraint(self, kind: RestraintKind, which: int | str) -> Restraint | None:
        """See `ports.Desk.restraint`."""
        async with self._lane.connection() as connection:
            return await restraints.known(connection, kind, which)

    async def end_restraint(
        self, kind: RestraintKind, which: int | str, actor: str, reason: str
    ) -> Restraint | None:
        """See `ports.Desk.end_restraint`."""
        async with transaction(self._lane) as connection:
            return await restraints.end(connection, kind, which, actor, reason)

    async def expire_restraints(self) -> None:
        """Mark those as ended whose time has been over for a day: the clocks may go back until then."""
        async with transaction(self._lane) as connection:
            await restraints.expire(connection, timedelta(days=1))

    async def claims(self) -> Sequence[Claim]:
        """See `ports.Desk.claims`."""
        async with self._lane.connection() as connection:
            rows = await connection.fetch(f"SELECT {ledger.CLAIM_COLUMNS} FROM claims ORDER BY target")
        return [ledger.as_claim(row) for row in rows]

    async def release(self, target: str, actor: str, reason: str) -> bool:
        """See `ports.Desk.release`. The incident's owner tells of it in the timeline, as of evidence."""
        async with transaction(self._lane) as connection:
            held = await ledger.claim(connection, target)
            now = (
                None if held is None else await owner.lock_incident(connection, held.incident_id, self._clock)
            )
            if held is None or now is None:
                return False
            held_for = await connection.fetchval(_RELEASE, target, held.attempt_id)
            if held_for is None:
                return False
            actor, reason = storable_text(actor), storable_text(reason)
            await connection.execute(_RELEASED, target, held.attempt_id, held_for, actor, reason, now)
            told = Finding(
                id=uuid7(now),
                action="release",
                summary=f"{actor} released {target}: {reason}",
                facts={"target": target, "attempt": str(held.attempt_id), "held_for": held_for},
            )
            await owner.write_finding(connection, held.incident_id, told, now)
        return True

    async def owing(self, limit: int, *, pending_only: bool) -> Sequence[Owed]:
        """See `ports.Desk.owing`."""
        async with self._lane.connection() as connection:
            return await give_backs.listed(connection, limit, pending_only=pending_only)

    async def owed(self, attempt_id: UUID) -> Owed | None:
        """See `ports.Desk.owed`."""
        async with self._lane.connection() as connection:
            return await give_backs.one(connection, attempt_id)

    async def keep(self, owed: Owed, actor: str, reason: str) -> bool:
        """See `ports.Desk.keep`. The incident's owner tells of it in the timeline, as of a release."""
        async with transaction(self._lane) as connection:
            now = await owner.lock_incident(connection, owed.incident_id, self._clock)
            actor, reason = storable_text(actor), storable_text(reason)
            if now is None or not await give_backs.keep(connection, owed.attempt_id, actor, reason, now):
                return False
            told = Finding(
                id=uuid7(now),
                action="keep",
                summary=f"{actor} keeps what {owed.action} did to {owed.target}, not given back: {reason}",
                facts={"target": owed.target, "attempt": str(owed.attempt_id)},
            )
            await owner.write_finding(connection, owed.incident_id, told, now)
        return True

    async def starts(self, since: datetime, limit: int) -> Sequence[Start]:
        """See `ports.Desk.starts`."""
        async with self._lane.connection() as connection:
            return await budgets.starts(connection, since, limit)

    async def breakers(self, limit: int, *, open_only: bool) -> Sequence[Breaker]:
        """See `ports.Desk.breakers`."""
        async with self._lane.connection() as connection:
            return await breakers.listed(connection, limit, open_only=open_only)

    async def open_breaker(self, rule: str) -> Breaker | None:
        """See `ports.Desk.open_breaker`."""
        async with self._lane.connection() as connection:
            return await breakers.open_now(connection, rule)

    async def reset_breaker(self, rule: str, actor: str, reason: str) -> bool:
        """See `ports.Desk.reset_breaker`."""
        async with transaction(self._lane) as connection:
            now = await self._clock.now(connection)
            return await breakers.reset(connection, rule, storable_text(actor), storable_text(reason), now)

    async def promote(self, rule: str, acting_hash: str, level: Autonomy, actor: str, reason: str) -> None:
        """See `ports.Desk.promote`."""
        async with transaction(self._lane) as connection:
            who, why = storable_text(actor), storable_text(reason)
            await connection.execute(_PROMOTE, rule, acting_hash, level.word, who, why)

    async def dead_letters(self, limit: int) -> Sequence[DeadLetter]:
        """See `ports.Desk.dead_letters`."""
        async with self._lane.connection() as connection:
            return await dead_letters.newest(connection, limit)

    async def dead_letter(self, number: int) -> DeadLetter | None:
        """See `ports.Desk.dead_letter`."""
        async with self._lane.connection() as connection:
            return await dead_letters.one(connection, number)

    async def drop_dead_letters(self, numbers: Sequence[int], actor: str, reason: str) -> Sequence[int]:
        """See `ports.Desk.drop_dead_letters`."""
        async with transaction(self._lane) as connection:
            return await dead_letters.remove(
                connection,
                "drop",
                numbers,
                storable_text(actor),
                storable_text(reason),
                await self._clock.now(connection),
            )

    async def expire_dead_letters(self, kept: timedelta) -> int:
        """Remove letters that were kept for so long, a bounded number at a time; how many they were."""
        async with transaction(self._lane) as connection:
            now = await self._clock.now(connection)
            old = await dead_letters.expired(connection, now - kept, _EXPIRED_AT_ONCE)
            why = f"kept for {format_duration(kept)}"
            return len(await dead_letters.remove(connection, "expire", old, "responder", why, now))

    async def shadow_runs(self, since: datetime, rule: str | None, limit: int) -> Sequence[ShadowRunTold]:
        """See `ports.Desk.shadow_runs`."""
        async with self._lane.connection() as connection:
            return await shadow.runs_since(connection, since, rule, limit)

    async def unmatched(self, limit: int) -> Sequence[Mapping[str, Any]]:
        """See `ports.Desk.unmatched`."""
        async with self._lane.connection() as connection:
            return [dict(row) for row in await episodes.unmatched(connection, limit)]

    async def notifications(
        self, limit: int, *, incident: UUID | None, undelivered: bool
    ) -> Sequence[Notification]:
        """See `ports.Desk.notifications`."""
        async with self._lane.connection() as connection:
            return await outbox.listed(connection, limit, incident, undelivered=undelivered)

    async def notification(self, notification_id: UUID) -> Notification | None:
        """See `ports.Desk.notification`."""
        async with self._lane.connection() as connection:
            return await outbox.one(connection, notification_id)

    async def channels(self, names: Sequence[str]) -> Sequence[ChannelStanding]:
        """See `ports.Desk.channels`."""
        async with self._lane.connection() as connection:
            return await outbox.standings(connection, names, await self._clock.now(connection))

    async def write_test(self, channel: str, text: str) -> UUID:
        """See `ports.Desk.write_test`."""
        async with transaction(self._lane) as connection:
            return await outbox.write_test(connection, channel, text, await self._clock.now(connection))

    async def source_standings(self) -> Sequence[SourceStanding]:
        """See `ports.Desk.source_standings`."""
        async with self._lane.connection() as connection:
            return await rounds.standings(connection, self._clock, self._lease_time)

    async def ask_for_round(self, source: str, actor: str) -> bool:
        """See `ports.Desk.ask_for_round`."""
        async with transaction(self._lane) as connection:
            return await rounds.ask(connection, source, actor, await self._clock.now(connection))

    async def _dossier(self, connection: Connection, incident: Incident) -> Dossier:
        rule = await cases.pinned_rule(connection, incident, self._rulebooks)
        commands = await connection.fetch(_COMMANDS, incident.id)
        return Dossier(
            incident=incident,
            rule=rule.model_dump(mode="json", by_alias=True),
            rule_as_of=await self._as_of(connection, incident, rule),
            members=await cases.read_members(connection, incident.id),
            attempts=await ledger.attempts_of(connection, incident.id),
            entries=await timeline.entries_of(connection, incident.id),
            commands=tuple(Command.model_validate(dict(row)) for row in commands),
            notifications=await outbox.of_incident(connection, incident.id),
            quarantined=await ledger.quarantined_by(connection, incident.id),
            owed=await give_backs.of_incident(connection, incident.id),
        )

    async def _as_of(self, connection: Connection, incident: Incident, rule: Rule) -> datetime | None:
        """Since when the pinned rule was known, where the active one acts differently or is gone."""
        if incident.by_hand is not None:
            return None
        active = await self._rulebooks.active(connection)
        now = None if active is None else active.rule(incident.rule)
        if incident.state is IncidentState.CLOSED or (now and now.acting_hash == rule.acting_hash):
            return None
        return await self._rulebooks.known_since(connection, incident.rulebook_hash)
