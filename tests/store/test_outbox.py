"""Words to people on a real PostgreSQL and a real receiver: none is lost, and each goes its way in order."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
import pytest_asyncio
from pydantic import SecretStr

from responder.decide.case import Case, Notice
from responder.engine.outbox import Dispatcher, Lane
from responder.model.errors import DeposedError, PermanentError, StoreRefusesError
from responder.model.incident import IncidentState
from responder.model.notification import Notification
from responder.model.policy import EscalationPolicy, NoticeKind, PolicyLevel
from responder.notify.log import LogChannel
from responder.notify.settings import ChannelSettings
from responder.notify.webhook import WebhookChannel
from responder.ports import Channel, Lease, Taking, Undelivered
from responder.store import outbox
from responder.store.outbox import PostgresOutbox, Wording
from responder.store.owner import Owner
from responder.store.postgres import PostgresStore
from responder.telemetry import Metrics, build_metrics
from tests.support.pager import SECRET, PagerDesk, pager_desk
from tests.support.parts import until
from tests.support.stored import KEYS, LEASE_TIME, Stored, alert, change, stored

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
POLICY = EscalationPolicy(levels=(PolicyLevel(channels=("pager",)), PolicyLevel(channels=("boss", "log"))))
LINKED = "https://responder.example.org"


def notice(text: str = "act", kind: NoticeKind = NoticeKind.ESCALATED, level: int = 1) -> Notice:
    return Notice(kind=kind, level=level, text=text)


class Posted(Stored):
    """A store whose words go by `POLICY`, and one incident to tell of."""

    async def tell(self, held: tuple[Lease, Case], *notices: Notice, **more: Any) -> tuple[Lease, Case]:
        """Record a change with these notices; the incident as it stands then."""
        lease, case = held
        await self.sql("UPDATE workers SET heartbeat_at = service_time()")
        assert await self.store.record(lease, case, change(case, notices=notices, **more))
        return lease, await self.store.load(lease)

    async def incidents(self, number: int) -> list[tuple[Lease, Case]]:
        """So many incidents, each leased."""
        for n in range(number):
            await self.observe(alert(f"p{n}", server=f"db{n}"))
        return [await self.leased() for _ in range(number)]

    async def rows(self, what: str = "channel, kind, level") -> list[tuple[Any, ...]]:
        """All of the outbox, in order."""
        return await self.sql(f"SELECT {what} FROM outbox ORDER BY number")

    async def after(self, pause: timedelta) -> None:
        """So much later."""
        await self.raw.execute("UPDATE service_clock SET shift = shift + $1::interval", pause)
        await self.store.now()

    async def waiting(self) -> int:
        """How many are neither delivered nor given up."""
        waits = "SELECT count(*) FROM outbox WHERE delivered_at IS NULL AND given_up_at IS NULL"
        return int(await self.one(waits))

    async def at_p0(self, text: str) -> None:
        """Make this word one of a P0."""
        worst = (
            """UPDATE outbox SET body = jsonb_set(body, '{severity}', '"P0"') WHERE body ->> 'text' = $1"""
        )
        await self.sql(worst, text)

    async def lane(self, channel: Channel, metrics: Metrics | None = None, **more: Any) -> Lane:
        """What one process sends to a channel."""
        await self.store.outbox.enter([channel.name])
        return Lane(channel, self.store.outbox, uuid4(), metrics or build_metrics("test"), DAY, **more)


@pytest_asyncio.fixture
async def db(dsn: str) -> AsyncIterator[Posted]:
    async with stored(dsn) as opened:
        wording = Wording(policy=lambda _: POLICY, public_url=LINKED)
        store = PostgresStore(opened.connections, LEASE_TIME, KEYS, wording=wording)
        yield Posted(store, opened.connections, opened.raw)


def receiver(
    desk: PagerDesk, name: str = "pager", per_minute: int = 30, timeout_s: float = 30
) -> WebhookChannel:
    settings = ChannelSettings(
        webhook=SecretStr(desk.url),
        secret=SecretStr(SECRET),
        per_minute=per_minute,
        timeout=timedelta(seconds=timeout_s),
    )
    return WebhookChannel(name, settings)


@asynccontextmanager
async def pager(**more: Any) -> AsyncIterator[tuple[PagerDesk, WebhookChannel]]:
    """A receiver, and the channel that leads to it."""
    async with pager_desk() as desk:
        channel = receiver(desk, **more)
        try:
            yield desk, channel
        finally:
            await channel.close()


async def drained(lane: Lane) -> None:
    """Everything sent that may be sent now."""
    while await lane.once():
        pass


def texts(desk: PagerDesk) -> list[str]:
    return [page.body["data"]["text"] for page in desk.tries]


# --- what is written ----------------------------------------------------------------------------------


async def test_each_notice_is_a_row_for_each_channel_of_its_level(db: Posted) -> None:
    """Level 1 goes to the pager, level 2 also to the boss and the log, each with all that a channel needs."""
    held = await db.tell(await db.held(), notice("first"))
    _, case = await db.tell(held, notice("second", NoticeKind.AGAIN, 2))
    assert await db.rows() == [
        ("pager", "escalated", 1), ("pager", "again", 2), ("boss", "again", 2), ("log", "again", 2)
    ]  # fmt: skip
    [(body, thread)] = await db.sql("SELECT body::text, thread FROM outbox WHERE kind = 'escalated'")
    told = Notification.model_fields["body"].annotation.model_validate_json(body)  # type: ignore[union-attr]
    assert thread == str(case.incident.id)
    assert (told.text, told.rule, told.severity, told.state) == ("first", "StuckQueries", "P2", "open")
    assert (told.key, told.incident) == ({"server": "db1"}, case.incident.id)
    assert told.link == f"{LINKED}/api/v1/incidents/{case.incident.id}/review?format=html"
    assert (told.summary, told.command) == ("stuck", f"responder explain {case.incident.id}")


@pytest.mark.parametrize(
    ("said", "summary"),
    [
        ({"summary": "stuck", "description": "for 12 minutes"}, "stuck"),
        ({"summary": "", "description": "for 12 minutes"}, "for 12 minutes"),
        ({"runbook": "r"}, None),
    ],
)
async def test_a_word_says_what_its_alert_says_of_itself(
    db: Posted, said: dict[str, str], summary: str | None
) -> None:
    """Its summary, else its description; nothing where it has neither."""
    _, case = await db.held()
    [member] = case.members.sample
    sample = (member.model_copy(update={"annotations": said}),)
    case = case.model_copy(update={"members": case.members.model_copy(update={"sample": sample})})
    assert Wording().word(case, change(case), notice()).summary == summary


async def test_a_word_is_no_larger_than_a_receiver_takes(db: Posted) -> None:
    """Whatever its group's labels and its text are: refused for its size it would be told to nobody."""
    await db.observe(alert("p", server="x" * 1_000_000, summary="z" * 1_000_000))
    await db.tell(await db.leased(), notice("y" * 1_000_000))
    async with pager() as (desk, channel):
        await drained(await db.lane(channel))
    [page] = desk.tries
    assert len(json.dumps(page.body)) < 12_000
    assert page.body["data"]["key"]["server"] == f"{'x' * 1000}\u2026"


async def test_the_same_notice_is_never_two_rows(db: Posted) -> None:
    """Its key comes from incident, place in the timeline and channel: equal for equal, else different."""
    held = await db.tell(await db.held(), notice(), notice())
    async with db.connections.workers.transaction() as connection:
        lease, case = held
        again = change(case, notices=(notice(), notice()))
        wording = Wording(policy=lambda _: POLICY)
        await outbox.write(connection, wording, case, again, case.incident.timeline_length, case.now)
    assert len(await db.rows()) == 2
    await db.tell((lease, case), notice(), notice())
    assert len({key for (key,) in await db.rows("key")}) == 4


async def test_a_word_is_written_with_its_record_or_not_at_all(
    db: Posted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the record fails after the word was written, where it is not quiet, and where it is deposed."""
    lease, case = await db.held()
    assert not await db.store.record(lease, case, change(case, notices=(notice(),), quiet=True))

    async def fails(*_: Any, **__: Any) -> None:
        raise asyncpg.DataError

    with monkeypatch.context() as patch:
        patch.setattr(Owner, "_write_change", fails)
        with pytest.raises(PermanentError, match="refuses the data"):
            await db.store.record(lease, case, change(case, notices=(notice(),)))
    await db.silence(lease.worker_id)
    with pytest.raises(DeposedError):
        await db.store.record(lease, case, change(case, notices=(notice(),)))
    assert await db.rows() == []
    assert await db.one("SELECT count(*) FROM timeline") == 0


async def test_of_the_end_hears_whoever_heard_anything(db: Posted) -> None:
    """The channels of the highest level, and level 1's where nobody was told before."""
    resolved = notice("over", NoticeKind.RESOLVED, 0)
    first, second = await db.incidents(2)
    first = await db.tell(first, notice(level=2))
    await db.tell(first, resolved)
    await db.tell(second, resolved)
    told = "SELECT channel, incident_id FROM outbox WHERE kind = 'resolved' ORDER BY number"
    ids = [held[1].incident.id for held in (first, second)]
    assert await db.sql(told) == [
        ("pager", ids[0]), ("boss", ids[0]), ("log", ids[0]), ("pager", ids[1])
    ]  # fmt: skip


async def test_no_secret_is_kept_in_the_outbox(db: Posted) -> None:
    """Neither of what a notice says, nor of the rule's own links."""
    lease, case = await db.held()
    leaks = case.model_copy(
        update={"rule": case.rule.model_copy(update={"runbook_url": "https://x:hunter22@wiki/run"})}
    )
    told = change(case, notices=(notice("password=hunter22 was refused"),))
    assert await db.store.record(lease, leaks, told)
    [(body,)] = await db.rows("body::text")
    assert "hunter22" not in body
    assert "[redacted]" in body


# --- how it is delivered ------------------------------------------------------------------------------


async def test_a_word_is_posted_signed_and_marked(db: Posted) -> None:
    """What the receiver gets has the row's key as its id and its incident as the thread."""
    _, case = await db.tell(await db.held(), notice("look at it"))
    async with pager() as (desk, channel):
        await drained(await db.lane(channel))
        [page] = desk.tries
    [(key, delivered)] = await db.rows("key, delivered_at IS NOT NULL")
    assert (page.id, delivered) == (key, True)
    assert page.body["type"] == "responder.incident.escalated"
    data = page.body["data"]
    assert (data["text"], data["thread"], data["level"]) == ("look at it", str(case.incident.id), 1)


async def test_a_dispatcher_killed_between_send_and_mark_sends_again_under_the_same_id(db: Posted) -> None:
    """At least once: the receiver had it, nobody knows, and whoever comes next repeats it, byte for byte."""
    await db.tell(await db.held(), notice())
    async with pager() as (desk, channel):
        desk.hangs = True
        dying = asyncio.create_task((await db.lane(channel)).once())
        await desk.got(1)
        dying.cancel()
        await asyncio.gather(dying, return_exceptions=True)
        desk.hangs = False
        after = await db.lane(channel)
        assert not await after.once(), "it is held as if the dead process still sent it"
        await db.after(MINUTE)
        await drained(after)
        first, second = desk.tries
    assert (first.id, first.body) == (second.id, second.body)
    assert await db.waiting() == 0


async def test_words_of_a_process_that_died_before_it_sent_them_are_sent_by_the_next(db: Posted) -> None:
    """Nothing that was recorded is lost by a restart: it lies in the database alone."""
    for held in await db.incidents(3):
        await db.tell(held, notice())
    other = PostgresStore(db.connections, LEASE_TIME, KEYS)
    async with pager() as (desk, channel):
        dispatcher = Dispatcher(other.outbox, [channel], build_metrics("test"), DAY)
        await dispatcher.start()
        await desk.got(3)
        await until(_none_waits(db), "all are marked", within=60)
        await dispatcher.stop()
    assert await db.waiting() == 0


def _none_waits(db: Posted) -> Any:
    async def none() -> bool:
        return await db.waiting() == 0

    return none


async def test_however_many_wait_the_next_are_found_at_once(db: Posted) -> None:
    """A storm's words, of which PostgreSQL has no statistics yet: within the time that a statement has."""
    lease, _ = await db.held()
    many = """
        WITH incident AS (SELECT * FROM incidents WHERE id = $1),
        more AS (
            INSERT INTO incidents
                (id, rule, key_hash, key, rulebook_hash, severity, state, opened_at, state_since)
            SELECT gen_random_uuid(), rule, sha256(n::text::bytea), key, rulebook_hash, severity, 'closed',
                   opened_at, state_since
            FROM incident, generate_series(1, 20000) n RETURNING id)
        INSERT INTO outbox (id, incident_id, channel, kind, level, thread, body, key, created_at, due_at)
        SELECT gen_random_uuid(), id, 'pager', 'escalated', 1, id::text, '{"text": "act", "severity": "P1"}',
               id::text, now(), now() FROM more
    """
    await db.sql(many, lease.incident_id)
    async with pager(per_minute=4) as (desk, channel):
        lane = await db.lane(channel)
        await drained(lane)
        assert len(desk.tries) == 4
        await db.after(MINUTE)
        assert await lane.once()
    assert await db.one("SELECT count(*) FROM outbox WHERE delivered_in IS NOT NULL") == 10_000


async def test_what_came_of_one_is_written_without_reading_all_that_wait(db: Posted) -> None:
    """By its id, and by that of the summary that it may be: as many are written as wait."""
    async with db.raw.transaction():
        await db.raw.execute("SET LOCAL enable_seqscan = off")
        for statement, *more in (
            (outbox._DELIVERED, await db.store.now()),
            (outbox._GIVEN_UP, await db.store.now(), "why"),
            (outbox._AGAIN, uuid4(), await db.store.now(), "why"),
        ):
            rows = await db.raw.fetch(f"EXPLAIN {statement}", uuid4(), *more)
            plan = "\n".join(row[0] for row in rows)
            assert "outbox_pkey" in plan, plan
            assert "outbox_due" not in plan, plan


async def test_words_of_one_incident_keep_their_order_on_a_channel(db: Posted) -> None:
    """While the first waits to be tried again the second is not sent; another incident's is."""
    mine, other = await db.incidents(2)
    mine = await db.tell(mine, notice("1"))
    await db.tell(mine, notice("2"))
    async with pager() as (desk, channel):
        lane = await db.lane(channel)
        desk.answers = [503]
        await drained(lane)
        assert texts(desk) == ["1"]
        await db.tell(other, notice("other"))
        await db.sql("UPDATE outbox SET due_at = due_at + interval '10 minutes' WHERE body ->> 'text' = '1'")
        await db.after(MINUTE)
        await drained(lane)
        assert texts(desk) == ["1", "other"]
        await db.after(10 * MINUTE)
        await drained(lane)
    assert texts(desk) == ["1", "other", "1", "2"]


async def test_a_channel_that_hangs_holds_up_no_other(db: Posted) -> None:
    """The boss does not answer; the pager and the log have the same word long before that is given up."""
    await db.tell(await db.held(), notice(level=2))
    async with pager() as (desk, channel), pager_desk() as hanging:
        hanging.hangs = True
        boss = receiver(hanging, "boss", timeout_s=60)
        dispatcher = Dispatcher(db.store.outbox, [boss, channel, LogChannel()], build_metrics("test"), DAY)
        await dispatcher.start()
        await hanging.got(1)
        await desk.got(1)
        left = "SELECT array_agg(channel) FROM outbox WHERE delivered_at IS NULL"

        async def others_are_through() -> bool:
            return bool(await db.one(left) == ["boss"])

        await until(others_are_through, "only the boss waits", within=50)
        still = "SELECT tries, last_error FROM outbox WHERE channel = 'boss'"
        assert await db.sql(still) == [(1, None)], "the boss had not let go of it by then"
        await dispatcher.stop()
        await boss.close()
    assert await db.one("SELECT taken_by IS NULL FROM outbox WHERE channel = 'boss'"), "it is given back"


async def test_two_dispatchers_never_send_one_word_at_the_same_time(db: Posted) -> None:
    """While one sends it, no other takes it; when its hold is over, another does."""
    await db.tell(await db.held(), notice())
    async with pager() as (desk, channel):
        desk.hangs = True
        first = asyncio.create_task((await db.lane(channel)).once())
        await desk.got(1)
        assert not await (await db.lane(channel)).once()
        assert len(desk.tries) == 1
        desk.hangs = False
        await db.after(MINUTE)
        assert await (await db.lane(channel)).once()
        assert len({page.id for page in desk.tries}) == 1
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)


async def test_two_replicas_send_each_word_once(db: Posted) -> None:
    """Both look at the same rows all the time, and nothing dies: each row is sent by one of them."""
    async with pager(per_minute=1000) as (desk, channel), pager_desk() as unused:
        two = [Dispatcher(db.store.outbox, [channel], build_metrics("test"), DAY) for _ in range(2)]
        for dispatcher in two:
            await dispatcher.start()
        for held in await db.incidents(20):
            await db.tell(await db.tell(held, notice("1")), notice("2"))
            for dispatcher in two:
                dispatcher.wake()
        await until(_none_waits(db), "all are marked", within=60)
        for dispatcher in two:
            await dispatcher.stop()
        assert unused.tries == []
    assert len(desk.tries) == 40
    assert len({page.id for page in desk.tries}) == 40
    by_thread: dict[str, list[str]] = {}
    for page in desk.tries:
        by_thread.setdefault(page.body["data"]["thread"], []).append(page.body["data"]["text"])
    assert set(map(tuple, by_thread.values())) == {("1", "2")}


async def test_a_lane_that_is_stopped_sends_what_is_due_first(db: Posted) -> None:
    """All of it, not only what it sends at once: there may be no other replica to leave it to."""
    for held in await db.incidents(6):
        await db.tell(held, notice())
    async with pager() as (desk, channel):
        lane = await db.lane(channel)
        lane.stop()
        await asyncio.wait_for(lane.run(), 60)
        assert len(desk.tries) == 6
    assert await db.waiting() == 0


async def test_a_dispatcher_stops_whatever_the_database_says_to_that(db: Posted) -> None:
    """Refused there, its channels are closed all the same, and its process gives up its leases."""

    class Refusing(PostgresOutbox):
        async def give_back(self, _: UUID) -> None:
            raise StoreRefusesError("by the test")

    closed = asyncio.Event()

    class Closing(Silent):
        async def close(self) -> None:
            closed.set()

    box = Refusing(db.connections.workers, db.store.outbox._clock)
    dispatcher = Dispatcher(box, [Closing()], build_metrics("test"), DAY)
    await dispatcher.start()
    await dispatcher.stop()
    assert closed.is_set()


async def test_a_process_that_slept_beyond_its_hold_sends_nothing(db: Posted) -> None:
    """What it took others may be sending by now."""
    await db.tell(await db.held(), notice())
    ticks = iter([0.0, 3600.0])
    async with pager() as (desk, channel):
        assert await (await db.lane(channel, clock=lambda: next(ticks))).once()
        assert desk.tries == []
    assert await db.waiting() == 1


async def test_a_receiver_that_asks_for_a_pause_is_given_it(db: Posted) -> None:
    """429 with Retry-After: nothing is sent to it, of any incident, before that; then all is."""
    first, second = await db.incidents(2)
    await db.tell(first, notice("1"))
    async with pager() as (desk, channel):
        lane = await db.lane(channel)
        desk.answers, desk.retry_after = [429], "600"
        await drained(lane)
        await db.tell(second, notice("2"))
        await db.after(9 * MINUTE)
        await drained(lane)
        assert texts(desk) == ["1"]
        await db.after(2 * MINUTE)
        await drained(lane)
    assert sorted(texts(desk)) == ["1", "1", "2"]


async def test_what_was_under_way_does_not_end_the_pause_that_a_receiver_asked_for(db: Posted) -> None:
    """Refused with Retry-After, while another message of the same moment is still taken: the rest stands."""
    for held in await db.incidents(3):
        await db.tell(held, notice())
    box, worker, taking = db.store.outbox, uuid4(), Taking(None, 2, MINUTE)
    await box.enter(["pager"])
    refused, taken = await box.take("pager", worker, taking)
    why = Undelivered("429", final=False, again_in=10 * MINUTE, pause=10 * MINUTE, give_up_after=DAY)
    await box.undelivered(refused, worker, why)
    await box.delivered(taken)
    await db.after(9 * MINUTE)
    assert await box.take("pager", worker, taking) == ()
    await db.after(2 * MINUTE)
    assert len(await box.take("pager", worker, taking)) == 2


async def test_a_receiver_that_is_down_is_tried_with_one_message_at_a_time(db: Posted) -> None:
    """Four are under way when it is found out; then one after a pause, and the next after a longer one."""
    for held in await db.incidents(8):
        await db.tell(held, notice())
    async with pager() as (desk, channel):
        lane = await db.lane(channel)
        desk.answers = [503] * 6
        tries = []
        for _ in range(4):
            await drained(lane)
            tries.append(len(desk.tries))
            await db.after(MINUTE)
    assert tries == [4, 5, 6, 14]
    assert await db.waiting() == 0


class Silent:
    """A channel that never returns."""

    name = "pager"
    per_minute: int | None = None
    at_once = 1
    timeout = timedelta(milliseconds=50)

    async def send(self, _: Notification) -> None:
        """See `ports.Channel.send`."""
        await asyncio.Event().wait()

    async def close(self) -> None:
        """See `ports.Channel.close`."""


async def test_whatever_a_channel_waits_for_its_time_is_bounded(db: Posted) -> None:
    """One that never returns is a try that failed, and says so."""
    await db.tell(await db.held(), notice())
    assert await asyncio.wait_for((await db.lane(Silent())).once(), 60)
    assert await db.rows("tries, last_error") == [(1, "it was not taken in time")]


@pytest.mark.parametrize("status", [400, 401, 404, 410, 422])
async def test_what_the_receiver_will_not_take_is_given_up_at_once(db: Posted, status: int) -> None:
    """With the reason kept, counted, and the next word of the incident goes on."""
    held = await db.tell(await db.held(), notice("1"))
    await db.tell(held, notice("2"))
    metrics = build_metrics("test")
    async with pager() as (desk, channel):
        desk.answers = [status]
        await drained(await db.lane(channel, metrics))
        assert texts(desk) == ["1", "2"]
    rows = await db.rows("given_up_at IS NOT NULL, delivered_at IS NOT NULL, last_error")
    assert [row[:2] for row in rows] == [(True, False), (False, True)]
    assert f"answered {status}" in rows[0][2]
    assert outcome(metrics, "given_up") == 1


@pytest.mark.parametrize("status", [302, 408, 425, 429, 500, 503])
async def test_what_may_pass_is_tried_again_until_it_is_given_up(db: Posted, status: int) -> None:
    """Again and again, ever later, for a day; then given up with the last reason."""
    await db.tell(await db.held(), notice())
    metrics = build_metrics("test")
    async with pager() as (desk, channel):
        lane = await db.lane(channel, metrics)
        desk.answers = [status] * 100
        for _ in range(8):
            await drained(lane)
            await db.after(6 * MINUTE)
        assert len(desk.tries) == 8
        assert await db.waiting() == 1
        await db.after(DAY)
        await drained(lane)
    assert len({page.id for page in desk.tries}) == 1
    [(given_up, error)] = await db.rows("given_up_at IS NOT NULL, last_error")
    assert given_up
    assert f"answered {status}" in error
    assert (outcome(metrics, "failed"), outcome(metrics, "given_up")) == (8, 1)


def outcome(metrics: Metrics, name: str) -> float:
    told = metrics.registry.get_sample_value(
        "responder_notifications_total", {"channel": "pager", "outcome": name}
    )
    return told or 0.0


# --- a storm --------------------------------------------------------------------------------------------


async def test_beyond_the_pace_of_a_minute_the_rest_is_one_summary(db: Posted) -> None:
    """Of ten, three are sent, the worst first; when the minute is over the seven others are one message."""
    for number, held in enumerate(await db.incidents(10)):
        await db.tell(held, notice(f"{number}"))
    await db.at_p0("9")
    async with pager(per_minute=3) as (desk, channel):
        lane = await db.lane(channel)
        await drained(lane)
        assert texts(desk)[0] == "9"
        assert len(desk.tries) == 3
        await db.after(MINUTE)
        await drained(lane)
        summary = desk.tries[3]
        assert len(desk.tries) == 4
    assert summary.body["type"] == "responder.summary"
    data = summary.body["data"]
    assert (data["count"], data["rules"], len(data["worst"])) == (7, {"StuckQueries": 7}, 7)
    folded = """SELECT count(*) FROM outbox o JOIN outbox s ON s.id = o.delivered_in
                WHERE s.key = $1 AND o.delivered_at = s.delivered_at"""
    assert await db.one(folded, summary.id) == 7
    assert await db.waiting() == 0


async def test_a_p0_is_not_folded_as_long_as_there_are_few_of_them(db: Posted) -> None:
    """In a full minute it waits for the next, and is a message by itself then; three others are one."""
    incidents = await db.incidents(8)
    for held in incidents[:4]:
        await db.tell(held, notice("bad"))
    async with pager(per_minute=4) as (desk, channel):
        lane = await db.lane(channel)
        await drained(lane)
        for number, held in enumerate(incidents[4:]):
            await db.tell(held, notice("worst" if number == 1 else "bad"))
        await db.at_p0("worst")
        await drained(lane)
        assert texts(desk) == ["bad"] * 4
        await db.after(MINUTE)
        await drained(lane)
    later = [page.body["data"] for page in desk.tries[4:]]
    assert (later[0]["text"], [one.get("count") for one in later]) == ("worst", [None, 3])


async def test_a_summary_that_is_not_taken_loses_nothing(db: Posted) -> None:
    """What it stands for waits with it, later words of the same incidents behind it; given up, all are."""
    incidents = [await db.tell(held, notice("1")) for held in await db.incidents(4)]
    async with pager(per_minute=1) as (desk, channel):
        lane = await db.lane(channel)
        await drained(lane)
        await db.after(MINUTE)
        desk.answers = [503]
        await drained(lane)
        assert (len(desk.tries), await db.waiting()) == (2, 4)
        for held in incidents:
            await db.tell(held, notice("2"))
        await db.after(MINUTE)
        await drained(lane)
        assert desk.tries[2].id == desk.tries[1].id, "the summary comes before what follows it"
        await db.after(MINUTE)
        desk.answers = [410]
        await drained(lane)
    sums = await db.sql(
        "SELECT kind, given_up_at IS NOT NULL FROM outbox WHERE kind = 'summary' ORDER BY number"
    )
    assert sums == [("summary", False), ("summary", True)]
    lost = """SELECT count(*) FROM outbox o JOIN outbox s ON s.id = o.delivered_in
              WHERE s.given_up_at IS NOT NULL AND o.given_up_at = s.given_up_at"""
    assert await db.one(lost) == await db.one("SELECT count(*) FROM outbox WHERE body ->> 'text' = '2'")


# --- what is left over ----------------------------------------------------------------------------------


async def test_delivered_words_are_removed_when_they_were_kept_and_their_incident_is_closed(
    db: Posted,
) -> None:
    """As long as it is open they stay: who was told of it must be told of its end."""
    held = await db.tell(await db.held(), notice("1"))
    async with pager() as (_, channel):
        await drained(await db.lane(channel))
    await db.after(31 * DAY)
    assert await db.store.outbox.expire(30 * DAY) == 0
    await db.sql("UPDATE incidents SET state = $1", IncidentState.CLOSED.value)
    assert await db.store.outbox.expire(32 * DAY) == 0
    assert await db.store.outbox.expire(30 * DAY) == 1
    await db.sql("UPDATE incidents SET state = $1", IncidentState.OPEN.value)
    del held


async def test_what_is_to_be_removed_is_found_by_an_index(db: Posted) -> None:
    """It is looked for each minute, in a table that may hold a month of words."""
    async with db.raw.transaction():
        await db.raw.execute("SET LOCAL enable_seqscan = off")
        plan = "\n".join(
            row[0] for row in await db.raw.fetch(f"EXPLAIN {outbox._EXPIRE}", await db.store.now(), 1000)
        )
    assert "outbox_delivered" in plan, plan
    assert "outbox_given_up" in plan, plan


async def test_what_waits_is_never_removed(db: Posted) -> None:
    """Neither by its age nor because its incident is closed."""
    await db.tell(await db.held(), notice("1"))
    await db.sql("UPDATE incidents SET state = $1", IncidentState.CLOSED.value)
    await db.after(100 * DAY)
    assert await db.store.outbox.expire(DAY) == 0


async def test_words_for_a_channel_that_is_gone_are_given_up_in_the_end(db: Posted) -> None:
    """After the same time as others, with the reason; what another replica's settings know is left alone."""
    await db.tell(await db.held(), notice(level=2))
    assert await db.store.outbox.give_up_unknown(["log"], DAY) == []
    await db.after(DAY)
    gone = await db.store.outbox.give_up_unknown(["log", "boss"], DAY)
    assert [one.channel for one in gone] == ["pager"]
    assert await db.one("SELECT last_error FROM outbox WHERE channel = 'pager'") == (
        "no channel pager is configured any more"
    )
    assert await db.waiting() == 2


async def test_how_each_channel_stands(db: Posted) -> None:
    """What waits, since when and why, and what was given up within a day; a channel without anything, too."""
    await db.tell(await db.held(), notice(level=2))
    async with pager() as (desk, channel):
        desk.answers = [503]
        await drained(await db.lane(channel))
    await db.sql("UPDATE outbox SET given_up_at = created_at WHERE channel = 'boss'")
    now, found = await db.store.outbox.standings(["pager", "mail"])
    told: Mapping[str, Any] = {one.channel: one for one in found}
    assert {name: (one.waiting, one.given_up) for name, one in told.items()} == {
        "boss": (0, 1), "log": (1, 0), "mail": (0, 0), "pager": (1, 0)
    }  # fmt: skip
    assert "answered 503" in told["pager"].last_error
    assert told["pager"].oldest <= now
