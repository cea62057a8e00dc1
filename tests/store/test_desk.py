"""What people see and do through the store."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest
import pytest_asyncio

from responder.model.alert import Rejected
from responder.model.attempt import Attempt
from responder.model.errors import PermanentError
from responder.model.incident import Command, CommandFacts, CommandKind, IncidentState
from responder.model.rule import Rulebook
from responder.store.cases import common_labels
from tests.support.stored import BOOK, RULE, Stored, alert, change, intent, stored


@pytest_asyncio.fixture
async def db(dsn: str) -> AsyncIterator[Stored]:
    async with stored(dsn) as opened:
        yield opened


async def test_incidents_are_listed_newest_first(db: Stored) -> None:
    """All of them, or those that live: neither closed nor recorded."""
    servers = {}
    for server, state in (("a", IncidentState.CLOSED), ("b", IncidentState.RECORDED), ("c", None)):
        (servers[server],) = await db.observe(alert(server=server))
        if state is not None:
            lease, case = await db.leased()
            await db.store.record(lease, case, change(case, state))
    everything = await db.store.incidents(live_only=False, limit=10)
    assert [incident.key["server"] for incident in everything] == ["c", "b", "a"]
    assert [incident.id for incident in everything] == [servers[name] for name in "cba"]
    assert [i.key["server"] for i in await db.store.incidents(live_only=True, limit=10)] == ["c"]
    assert len(await db.store.incidents(live_only=False, limit=2)) == 2


async def test_what_waits_for_people_is_listed_by_itself_the_longest_first(db: Stored) -> None:
    """However old it is, and without what only goes on by itself."""
    for server, state in (
        ("a", IncidentState.ESCALATED),
        ("b", IncidentState.AWAITING_APPROVAL),
        ("c", IncidentState.RECORDED),
        ("d", None),
    ):
        await db.observe(alert(server=server))
        if state is not None:
            lease, case = await db.leased()
            await db.store.record(lease, case, change(case, state))
    assert [one.key["server"] for one in await db.store.waiting(10)] == ["a", "b"]
    assert [one.key["server"] for one in await db.store.waiting(1)] == ["a"]


async def test_a_dossier_has_everything(db: Stored) -> None:
    """Incident, pinned rule, members, attempts, timeline, commands; of an unknown one there is none."""
    lease, case = await db.held()
    attempts = [
        await db.store.commit_intent(lease, intent(case, target=f"postgres/{name}"), change(case))
        for name in "ab"
    ]
    command = Command(
        id=uuid4(),
        incident_id=case.incident.id,
        kind=CommandKind.TAKE_OVER,
        actor="ada",
        reason="mine",
        facts=CommandFacts(identity="shared"),
        given_at=await db.store.now(),
    )
    await db.store.give_command(command)
    dossier = await db.store.incident(case.incident.id)
    assert dossier is not None
    assert all(isinstance(attempt, Attempt) for attempt in attempts)
    assert (dossier.attempts, dossier.commands) == (tuple(attempts), (command,))
    assert dossier.rule == RULE.model_dump(mode="json", by_alias=True)
    assert dossier.members == case.members
    assert [entry.number for entry in dossier.entries] == [1, 2]
    assert dossier.incident.id == case.incident.id
    assert await db.store.incident(uuid4()) is None
    assert await db.store.chain_break(uuid4()) is not None


async def test_a_command_counts_once_and_wakes(db: Stored) -> None:
    """The same id again is told as known, and wakes nobody; an unknown incident is refused."""
    lease, case = await db.held()
    await db.store.record(lease, case, change(case))
    command = Command(
        id=uuid4(),
        incident_id=case.incident.id,
        kind=CommandKind.CLOSE,
        actor="ada\x00",
        given_at=await db.store.now(),
    )
    assert await db.store.give_command(command)
    woken = await db.sql("SELECT wakes, due_at <= service_time() FROM incidents")
    assert woken == [(case.incident.wakes + 1, True)]
    assert not await db.store.give_command(command.model_copy(update={"actor": "eve"}))
    assert await db.sql("SELECT wakes, true FROM incidents") == woken
    assert await db.sql("SELECT actor FROM commands") == [("ada\\x00",)]
    with pytest.raises(PermanentError, match="no incident"):
        await db.store.give_command(command.model_copy(update={"incident_id": uuid4(), "id": uuid4()}))


async def test_a_closed_incident_still_hears_commands(db: Stored) -> None:
    """It becomes due, so that its owner can answer."""
    lease, case = await db.held()
    await db.store.record(lease, case, change(case, IncidentState.CLOSED, due_at=None))
    await db.store.give_up(lease)
    given = Command(
        id=uuid4(),
        incident_id=case.incident.id,
        kind=CommandKind.ACKNOWLEDGE,
        actor="ada",
        given_at=await db.store.now(),
    )
    await db.store.give_command(given)
    _, case = await db.leased()
    assert case.command == given


async def test_a_dropped_dead_letter_leaves_who_why_and_when(db: Stored) -> None:
    """A list shows heads, one letter is whole; of those that are gone it is kept who did it."""
    long = json.dumps({"labels": "x" * 1_000_000})
    async with db.store.intake() as taken:
        await taken.write_dead_letters("am", [Rejected(f"r{n}", long) for n in range(3)])
    third, second, first = await db.store.dead_letters(10)
    assert (first.reason, len(first.payload), first.size) == ("r0", 200, len(long))
    whole = await db.store.dead_letter(first.id)
    assert whole is not None
    assert whole.payload == long
    assert await db.store.drop_dead_letters([first.id, 999], "ada\x00", "a test") == [first.id]
    assert await db.store.drop_dead_letters([first.id], "eve", "again") == []
    assert await db.store.dead_letter(first.id) is None
    assert await db.store.expire_dead_letters(timedelta(days=1)) == 0
    await db.raw.execute(
        "UPDATE dead_letters SET received_at = received_at - interval '2 days' WHERE id = $1", second.id
    )
    assert await db.store.expire_dead_letters(timedelta(days=1)) == 1
    assert [letter.id for letter in await db.store.dead_letters(10)] == [third.id]
    acts = await db.sql(
        "SELECT letter, act, rejected_for, actor, reason, at <= service_time() FROM dead_letter_acts"
    )
    assert sorted(acts) == [
        (first.id, "drop", "r0", "ada\\x00", "a test", True),
        (second.id, "expire", "r1", "responder", "kept for 1d", True),
    ]


def test_common_labels_are_those_that_all_share() -> None:
    """With the same value; of nothing there are none."""
    assert common_labels([]) == {}
    assert common_labels([{"a": "1", "b": "2"}, {"a": "1", "b": "3", "c": "4"}]) == {"a": "1"}


async def test_a_dossier_says_since_when_a_rule_is_known_that_is_not_the_active_one(db: Stored) -> None:
    """Another note is no other rule; a changed or removed one is, until the incident is closed."""
    lease, case = await db.held()
    told = []
    for rules in (
        (RULE.model_copy(update={"notes": "more"}),),
        (RULE.model_copy(update={"escalate": True}),),
        (),
    ):
        await db.store.activate(Rulebook(rules=rules), "a reload")
        dossier = await db.store.incident(case.incident.id)
        assert dossier is not None
        told.append(dossier.rule_as_of)
    since = await db.one("SELECT stored_at FROM rulebooks WHERE hash = $1", BOOK.hash)
    assert told == [None, since, since]
    await db.store.record(lease, case, change(case, IncidentState.CLOSED))
    closed = await db.store.incident(case.incident.id)
    assert closed is not None
    assert closed.rule_as_of is None
