"""The intake transaction: what is stored, who joins what, and who is woken."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio

from responder.decide.fold import fold
from responder.model.alert import (
    AlertKey,
    Observation,
    Rejected,
    SourcePosition,
    Standing,
    content_hash,
    heard,
)
from responder.model.errors import DeposedError, PermanentError, TemporaryError
from responder.model.incident import IncidentState
from responder.model.severity import Severity
from responder.ports import NewIncident
from responder.store.openings import NEWS_WITHIN
from tests.support.stored import MINUTE, T0, Stored, alert, change, ended, stored, take, wants

HOUR = timedelta(hours=1)
ENDS = "SELECT generation, ends_at FROM members ORDER BY 1"
SOON = f"SELECT due_at - service_time() BETWEEN '0.2 s' AND '{NEWS_WITHIN.total_seconds()} s' FROM incidents"
FACTS = "SELECT id, state, wakes, due_at, deadline, severity FROM incidents ORDER BY id"


@pytest_asyncio.fixture
async def db(dsn: str) -> AsyncIterator[Stored]:
    async with stored(dsn) as opened:
        yield opened


async def move(db: Stored, state: IncidentState, **more: Any) -> UUID:
    """Let an owner bring what is due into a state, due in an hour; the incident."""
    lease, case = await db.leased()
    assert await db.store.record(lease, case, change(case, state, **more))
    await db.store.give_up(lease)
    return case.incident.id


async def wakes(db: Stored) -> list[int]:
    return [row[0] for row in await db.sql("SELECT wakes FROM incidents ORDER BY id")]


async def test_everything_of_a_delivery_is_stored_or_nothing(db: Stored) -> None:
    """An error inside the block takes journal, alerts, incidents and dead letters back."""

    async def fail_late() -> None:
        async with db.store.intake() as taken:
            await take(taken, [alert()])
            await taken.write_dead_letters("am", [Rejected("no labels", "{}")])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail_late()
    for table in ("journal", "alerts", "incidents", "members", "dead_letters"):
        assert await db.one(f"SELECT count(*) FROM {table}") == 0, table


async def test_the_same_row_twice_changes_nothing(db: Stored) -> None:
    """An observation that is in the journal already is not there twice, and stays as it was."""
    async with db.store.intake() as taken:
        row = Observation("am", alert(), taken.now, content_hash(alert()))
        await taken.write_journal([row, row])
    async with db.store.intake() as taken:
        await taken.write_journal([row])
        assert await taken.history(row.key) == [row]


async def test_history_is_in_journal_order(db: Stored) -> None:
    """By time of receipt, then content, however it was written."""
    async with db.store.intake() as taken:
        said = [alert(summary=text) for text in "abc"]
        rows = [
            Observation("am", one, taken.now - n * timedelta(seconds=1), content_hash(one))
            for one in said
            for n in (0, 1)
        ]
        ordered = sorted(rows, key=lambda row: row.order)
        await taken.write_journal(ordered[::-1])
        assert await taken.history(rows[0].key) == ordered


async def test_what_is_stored_is_the_fold_of_the_journal(db: Stored) -> None:
    """Record and journal survive the round trip: folding the history gives the stored record."""
    for one in (alert(start=3), ended(start=2, end=5), alert(start=4), alert(start=7), alert(start=6)):
        await db.observe(one)
    async with db.store.intake() as taken:
        key = AlertKey("am", alert().fingerprint)
        record = (await taken.lock_alerts([key]))[key]
        assert record == fold(await taken.history(key), MINUTE, taken.now)


async def test_a_new_incident_is_pending_and_due_when_its_wait_is_over(db: Stored) -> None:
    """`for` is both deadline and due time; its id sorts by time."""
    (first,) = await db.observe(alert(server="db1"), pending_for=HOUR)
    (second,) = await db.observe(alert(server="db2"))
    (id1, state, _, due, deadline, _), (id2, *_) = await db.sql(FACTS)
    assert (id1, id2, state) == (first, second, "pending")
    opened = await db.one("SELECT opened_at FROM incidents WHERE id = $1", first)
    assert due == deadline == opened + HOUR
    assert first.version == 7


async def test_alerts_of_one_group_open_one_incident(db: Stored) -> None:
    """Ten alerts of a group in one delivery and one later are eleven members of one incident."""
    (opened,) = await db.observe(*(alert(f"pod-{n}") for n in range(10)))
    assert await db.observe(alert("late")) == [opened]
    assert await db.sql("SELECT incident_id, count(*) FROM members GROUP BY 1") == [(opened, 11)]


async def test_an_unchanged_resend_wakes_nobody(db: Stored) -> None:
    """A resend renews `seen_at` and nothing else: no wake, no due time, no new incident."""
    await db.observe(alert())
    await move(db, IncidentState.ESCALATED)
    before, (seen,) = await db.sql(FACTS), await db.sql("SELECT seen_at FROM alerts")
    assert await db.observe(alert(summary="changed annotations"), alert(start=-5)) == []
    assert await db.sql(FACTS) == before
    assert await db.sql("SELECT seen_at FROM alerts") > [seen]
    assert await db.one("SELECT starts_at FROM members") == T0 - 5 * MINUTE


async def test_an_end_and_a_new_member_wake(db: Stored) -> None:
    """What ends or joins counts in `wakes`, and makes the incident due soon: not at once for each of many."""
    await db.observe(alert())
    await move(db, IncidentState.ESCALATED)
    await db.observe(alert("b"))
    assert await wakes(db) == [1]
    await db.raw.execute("UPDATE incidents SET due_at = service_time()")
    await move(db, IncidentState.ESCALATED)
    await db.observe(ended())
    assert await wakes(db) == [2]
    assert await db.one(SOON)
    assert await db.one("SELECT count(*) FROM members WHERE ends_at IS NULL") == 1


@pytest.mark.parametrize("state", [IncidentState.RESOLVED, IncidentState.RECORDED])
async def test_a_later_episode_joins_a_resolved_or_recorded_incident(
    db: Stored, state: IncidentState
) -> None:
    """What fires again within its time is a new member of the same incident, which becomes due at once."""
    (opened,) = await db.observe(alert())
    await db.observe(ended())
    await move(db, state)
    assert await db.observe(alert(start=10)) == [opened]
    assert await db.sql("SELECT generation FROM members ORDER BY 1") == [(1,), (2,)]
    assert await db.one("SELECT due_at <= service_time() FROM incidents")


@pytest.mark.parametrize("state", [IncidentState.PENDING, IncidentState.OPEN])
async def test_before_its_ladder_begins_an_incident_hears_of_news_at_once(
    db: Stored, state: IncidentState
) -> None:
    """A new member of an incident that has not been decided yet makes it due now."""
    await db.observe(alert())
    await move(db, state)
    await db.observe(alert("b"))
    assert await db.one("SELECT due_at <= service_time() FROM incidents")


async def test_each_transaction_says_how_much_work_it_leaves(db: Stored) -> None:
    """Incidents due now, that nobody works on, are counted: so many workers are woken."""
    async with db.store.intake() as taken:
        await take(taken, [alert("a", server="1"), alert("b", server="2")])
    assert taken.due == 2
    async with db.store.intake() as taken:
        await take(taken, [alert("c", server="1"), alert("a", server="1")])
    assert taken.due == 1
    await move(db, IncidentState.ESCALATED)
    await move(db, IncidentState.ESCALATED)
    async with db.store.intake() as taken:
        await take(taken, [alert("d", server="1"), alert("e", server="2")])
    assert taken.due == 0


async def test_what_is_heard_again_is_folded_as_if_it_had_been_read(db: Stored) -> None:
    """Texts that are not read, because just these were said last, are what is stored; others are read."""
    said = alert("a"), replace(alert("b"), annotations={"summary": "another"}), ended("c")
    await db.observe(alert("a"), alert("b"), alert("c"))
    await db.observe(ended("c"))
    again = {AlertKey("am", one.fingerprint): heard(one) for one in said}
    async with db.store.intake(tuple(again), again) as taken:
        given = await taken.lock_alerts(tuple(again))
    async with db.store.intake() as taken:
        assert given == await taken.lock_alerts(tuple(again))


async def test_a_closed_incident_keeps_its_episodes_and_takes_no_new_ones(db: Stored) -> None:
    """A resend of an episode that a person closed opens nothing; the next episode opens a new incident."""
    (closed,) = await db.observe(alert())
    await move(db, IncidentState.CLOSED, due_at=None)
    before = await db.sql(FACTS)
    assert await db.observe(alert()) == []
    assert await db.observe(ended()) == []
    assert await db.sql(FACTS) == before
    (opened,) = await db.observe(alert(start=10))
    assert opened != closed


async def test_an_end_and_a_new_start_in_one_delivery_end_the_old_episode(db: Stored) -> None:
    """Nothing of an incident stays firing because its end was never a row of its own."""
    await db.observe(alert())
    await db.observe(ended(), alert(start=10))
    assert await db.sql(ENDS) == [(1, T0 + MINUTE), (2, None)]
    await db.observe(ended(start=10, end=12), alert(start=20))
    assert await db.sql(ENDS) == [(1, T0 + MINUTE), (2, T0 + 12 * MINUTE), (3, None)]


async def test_an_ended_episode_never_opens_again(db: Stored) -> None:
    """Where the fold takes an end back, it is stored as the next episode, in an incident that lives."""
    (closed,) = await db.observe(alert())
    await db.observe(ended())
    await move(db, IncidentState.CLOSED, due_at=None)
    async with db.store.intake() as taken:
        key = AlertKey("am", alert().fingerprint)
        record = (await taken.lock_alerts([key]))[key]._replace(ends_at=None, last_end=None)
        await taken.write_alerts([record])
        (opened,) = await taken.open_or_join([wants(record)])
    assert opened != closed
    rows = await db.sql("SELECT incident_id, generation, ends_at IS NULL FROM members ORDER BY 2")
    assert rows == [(closed, 1, False), (opened, 2, True)]


async def test_joining_raises_severity_and_never_lowers_it(db: Stored) -> None:
    """An incident is as bad as the worst alert that joined it."""
    await db.observe(alert("a"), severity=Severity.P2)
    await db.observe(alert("b"), severity=Severity.P0)
    await db.observe(alert("c"), severity=Severity.P3)
    assert await db.one("SELECT severity FROM incidents") == "P0"


async def test_an_incident_opens_with_the_worst_severity_that_is_wanted(db: Stored) -> None:
    """Two wishes for one key in one delivery are one incident."""
    async with db.store.intake() as taken:
        records = [
            fold([Observation("am", one, taken.now, content_hash(one))], MINUTE, taken.now)
            for one in (alert("a"), alert("b"))
        ]
        found = [record for record in records if record]
        await taken.write_alerts(found)
        severities = (Severity.P2, Severity.P1)
        wanted = [wants(one, severity=how) for one, how in zip(found, severities, strict=True)]
        assert len(await taken.open_or_join(wanted)) == 1
    assert await db.sql("SELECT severity FROM incidents") == [("P1",)]


async def test_one_wake_for_each_delivery(db: Stored) -> None:
    """An end and a new member in one delivery are one wake, whatever order they are told in."""
    await db.observe(alert())
    await db.observe(ended(), alert("b"), alert("c"))
    assert await wakes(db) == [1]


async def test_an_end_alone_wakes_without_open_or_join(db: Stored) -> None:
    """What `write_alerts` found out is not lost where nothing is to be opened."""
    await db.observe(alert())
    async with db.store.intake() as taken:
        key = AlertKey("am", alert().fingerprint)
        record = (await taken.lock_alerts([key]))[key]
        await taken.write_alerts([record._replace(ends_at=T0, last_end=T0)])
    assert await wakes(db) == [1]


async def test_an_alert_of_10_000_labels_and_a_megabyte_is_stored(db: Stored) -> None:
    """No index stands over label values: size refuses nothing, as a group key either."""
    labels = {f"label_{n}": "x" * 100 for n in range(10_000)} | {"server": "s" * 1_000_000}
    (opened,) = await db.observe(replace(alert(), labels=labels))
    assert (await db.store.incident(opened)) is not None


async def test_what_postgres_refuses_is_told_as_permanent(db: Stored) -> None:
    """A NUL that decoding let through is refused for good, not "try again" and not "away"."""
    with pytest.raises(PermanentError, match="refuses the data"):
        await db.observe(replace(alert(), annotations={"summary": "a\x00b"}))
    assert await db.one("SELECT count(*) FROM journal") == 0


async def test_dead_letters_keep_what_nothing_else_can(db: Stored) -> None:
    """NUL and lone surrogates, the very reasons for a dead letter, do not stop it; the newest come first."""
    async with db.store.intake() as taken:
        await taken.write_dead_letters("am", [Rejected("first", "x"), Rejected("NUL \x00", "\x00 \udc80")])
    newest, first = await db.store.dead_letters(10)
    assert (newest.reason, newest.payload, first.payload) == ("NUL \\x00", "\\x00 \\udc80", "x")
    assert len(await db.store.dead_letters(1)) == 1


async def test_a_missing_partition_is_made_and_the_delivery_may_come_again(db: Stored) -> None:
    """The first try says "again", the second is stored."""
    (name,) = await db.sql("SELECT 'journal_' || to_char(service_time() AT TIME ZONE 'UTC', 'YYYYMMDD')")
    await db.raw.execute(f"DROP TABLE {name[0]}")
    with pytest.raises(TemporaryError, match="partition"):
        await db.observe(alert())
    assert len(await db.observe(alert())) == 1


async def test_a_streams_position_moves_with_the_journal_and_only_from_where_it_stood(db: Stored) -> None:
    """It commits with the delivery; a reader that stands elsewhere was deposed and stores nothing."""

    async def read(expected: int, following: int) -> None:
        async with db.store.intake() as taken:
            await take(taken, [alert(f"at {expected}")])
            await taken.advance("kafka", SourcePosition("alerts", 0, expected, following))

    await read(40, 41)
    with pytest.raises(DeposedError):
        await read(40, 42)
    assert await db.one("SELECT next_offset FROM source_positions") == 41
    assert await db.one("SELECT count(*) FROM journal") == 1
    await read(41, 45)
    assert await db.one("SELECT next_offset FROM source_positions") == 45


async def test_two_writers_of_the_same_new_alert_do_not_lose_an_observation(db: Stored) -> None:
    """The second one is told to come again instead of overwriting what it has not read."""
    async with db.store.intake() as one:
        await take(one, [alert(start=1)])
        late = asyncio.create_task(db.observe(alert(start=5)))
        await db.somebody_waits()
    with pytest.raises(TemporaryError, match="same new alert"):
        await late
    await db.observe(alert(start=5))
    assert await db.sql("SELECT starts_at FROM alerts") == [(T0 + MINUTE,)]


async def test_opposite_orders_never_deadlock(db: Stored) -> None:
    """Deliveries that name the same alerts and incidents in opposite orders, at once: none waits for ever."""
    names = [f"s{n}" for n in range(8)]
    refused: list[str] = []

    async def send(order: list[str], start: int) -> None:
        for alerts in (
            [alert(server=name, start=start) for name in order],
            [ended(server=name, start=start, end=start + 1) for name in order],
        ):
            while True:
                try:
                    await db.observe(*alerts)
                    break
                except TemporaryError as error:
                    refused.append(str(error))

    for start in range(0, 40, 4):
        await asyncio.gather(send(names, start), send(names[::-1], start + 2))
    assert [text for text in refused if "deadlock" in text] == []
    assert await db.one("SELECT count(*) FROM incidents") == len(names)


@pytest.mark.parametrize("table", ["alerts", "incidents"])
async def test_locks_are_taken_in_key_order(db: Stored, table: str) -> None:
    """Waiting for the first key, a delivery holds none of the later ones: the other way round deadlocks."""
    order = {"alerts": "source, fingerprint", "incidents": "rule, key_hash"}[table]
    servers = [f"s{n}" for n in range(6)]
    await db.observe(*(alert(server=name) for name in servers))
    last_first = f"SELECT labels->>'server' FROM alerts ORDER BY {order} DESC"
    if table == "incidents":
        last_first = f"SELECT key->>'server' FROM incidents ORDER BY {order} DESC"
    names = [row[0] for row in await db.sql(last_first)]
    async with db.raw.transaction():
        await db.raw.execute(f"SELECT FROM {table} ORDER BY {order} LIMIT 1 FOR UPDATE")
        late = asyncio.create_task(db.observe(*(ended(server=name) for name in names)))
        await db.somebody_waits()
        assert await db.one(f"SELECT count(*) FROM (SELECT FROM {table} FOR UPDATE NOWAIT) t") == len(names)
    await late


async def test_contested_alerts_are_listed_oldest_first(db: Stored) -> None:
    """Those whose firing waits for the source's word, and no others."""
    for name in ("a", "b"):
        await db.observe(alert(name), ended(name, end=10))
    await db.observe(alert("b", start=5))
    await db.observe(alert("a", start=5))
    await db.observe(alert("c"))
    assert [r.labels["pod"] for r in await db.store.contested(10)] == ["b", "a"]
    assert len(await db.store.contested(1)) == 1


async def test_open_episodes_without_an_incident_are_listed_until_one_takes_them(db: Stored) -> None:
    """What no rule took is found by a later rulebook; what ended or belongs somewhere is not listed."""
    async with db.store.intake() as taken:
        rows = [Observation("am", one, taken.now, content_hash(one)) for one in (alert("a"), ended("b"))]
        await taken.write_journal(rows)
        await taken.write_alerts([r for row in rows if (r := fold([row], MINUTE, taken.now))])
    await db.observe(alert("c"))
    (found,) = (await db.store.unmatched_open(10)).found
    key, labels, starts_at = found.key, found.labels, found.starts_at
    assert (key.fingerprint, labels["pod"], starts_at) == (alert("a").fingerprint, "a", T0)
    assert [dict(row)["labels"]["pod"] for row in await db.store.unmatched(10)] == ["a"]
    async with db.store.intake() as taken:
        record = (await taken.lock_alerts([key]))[key]
        await taken.open_or_join([wants(record)])
    assert (await db.store.unmatched_open(10)).found == []


async def test_a_page_of_open_episodes_costs_the_same_whatever_is_found(db: Stored) -> None:
    """So many are looked at and no more; the last of them is told, until the end."""
    await db.observe(*(alert(str(number)) for number in range(5)))
    await db.raw.execute("DELETE FROM members WHERE fingerprint = (SELECT max(fingerprint) FROM members)")
    first = await db.store.unmatched_open(3)
    assert (first.found, first.last is None) == ([], False)
    second = await db.store.unmatched_open(3, first.last)
    assert (len(second.found), second.last) == (1, None)


@pytest.mark.parametrize("wait", ["alerts", "incidents"])
async def test_what_changes_while_its_lock_is_waited_for_is_found_all_the_same(db: Stored, wait: str) -> None:
    """A row that another transaction changed meanwhile is neither lost nor read as it was."""
    alerts = [alert(str(number), server=str(number)) for number in range(20)]
    opened = await db.observe(*alerts)
    async with db.raw.transaction():
        changed = {"alerts": "generation = 7", "incidents": "wakes = 7"}[wait]
        one = f"SELECT ctid FROM {wait} OFFSET 7 LIMIT 1"
        await db.raw.execute(f"UPDATE {wait} SET {changed} WHERE ctid = ({one})")
        ends = [ended(str(number), server=str(number)) for number in range(20)]
        late = asyncio.create_task(db.observe(*(ends if wait == "incidents" else alerts)))
        await db.somebody_waits()
    await late
    assert len(opened) == 20
    if wait == "incidents":
        assert sorted(await wakes(db)) == [1] * 19 + [8]
    else:
        assert await db.one("SELECT count(*) FROM alerts WHERE generation = 7") == 1


@pytest.mark.parametrize("at_once", [True, False])
async def test_the_time_of_a_transaction_is_later_than_that_of_whom_it_waited_for(
    db: Stored, at_once: bool
) -> None:
    """Else its rows would sort before the stored ones, and all the past of the alert be read for each."""
    await db.observe(alert())
    key = AlertKey("am", alert().fingerprint)

    async def lock() -> bool:
        async with db.store.intake([key] if at_once else []) as taken:
            record = (await taken.lock_alerts([key]))[key]
            return taken.now > record.last_order[0]

    async with db.raw.transaction():
        await db.raw.execute("SELECT FROM alerts FOR UPDATE")
        later = asyncio.create_task(lock())
        await db.somebody_waits()
        await db.raw.execute("UPDATE alerts SET last_received_at = service_time()")
    assert await later


async def test_what_does_not_fire_opens_nothing(db: Stored) -> None:
    """Neither an end nor an absence opens an incident, though one is wanted; nor is it unmatched."""
    assert await db.observe(alert(standing=Standing.ABSENT), ended("b")) == []
    assert await db.one("SELECT count(*) FROM incidents") == 0
    assert (await db.store.unmatched_open(10)).found == []


async def test_another_process_opening_the_same_incident_is_not_waited_for_out_of_order(db: Stored) -> None:
    """Two alerts of one new group at once: one opens the incident, the other comes again and joins it."""
    async with db.store.intake() as one:
        (opened,) = await take(one, [alert("a")])
        late = asyncio.create_task(db.observe(alert("b")))
        await db.somebody_waits()
    with pytest.raises(TemporaryError, match="same incident"):
        await late
    assert await db.observe(alert("b")) == [opened]


async def test_one_alert_joins_one_incident_of_each_rule_that_takes_it(db: Stored) -> None:
    """The first key of a rule has it, once; another rule has it, too."""
    async with db.store.intake() as taken:
        row = Observation("am", alert(), taken.now, content_hash(alert()))
        record = fold([row], MINUTE, taken.now)
        assert record is not None
        await taken.write_alerts([record])
        first = wants(record)
        again = NewIncident(first.rule, first.rulebook_hash, {}, Severity.P0, timedelta(0), first.members)
        other = NewIncident("Other", first.rulebook_hash, {}, Severity.P0, timedelta(0), first.members)
        assert len(await taken.open_or_join([first, again, other, first])) == 2
        assert await taken.open_or_join([again]) == (), "what was decided once stays so"
    of_rules = "SELECT i.rule, m.rule FROM incidents i JOIN members m ON i.id = m.incident_id ORDER BY 1"
    assert await db.sql(of_rules) == [("Other", "Other"), ("StuckQueries", "StuckQueries")]
