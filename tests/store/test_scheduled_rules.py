"""Scheduled rules on a real PostgreSQL: each planned time once over all replicas, and none for ever."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest

from responder.model.errors import OverloadedError, TemporaryError
from responder.model.incident import IncidentState
from responder.model.rule import Rule, Rulebook
from responder.model.schedule import Outcome, RunState
from responder.ports import RunAsked
from tests.support.scheduled import AT, CIVIL, Looks, check, replica, runs, scheduled
from tests.support.stored import Stored, stored

MINUTE = timedelta(minutes=1)


@pytest.fixture
async def on(dsn: str) -> AsyncIterator[Stored]:
    async with stored(dsn) as opened:
        await opened.raw.execute(CIVIL)
        await opened.raw.execute("INSERT INTO civil_now VALUES ($1)", AT)
        yield opened


async def later(on: Stored, by: timedelta = MINUTE) -> None:
    """The clock on the wall goes on, or is set."""
    await on.raw.execute("UPDATE civil_now SET at = at + $1::interval", by)


async def planned(on: Stored, *rules: Rule, ago: timedelta = MINUTE) -> str:
    """Activate rules whose plans began so long ago; the rulebook's hash."""
    book = Rulebook(rules=rules or (scheduled(),))
    await on.store.activate(book, "test")
    plans = {rule.name: rule.on.key for rule in book.rules if rule.on is not None}
    assert await on.store.schedules.follow(plans, book.hash)
    await later(on, ago)
    return book.hash


FIRING = "SELECT labels->>'finding' FROM alerts WHERE source = 'schedule' AND ends_at IS NULL ORDER BY 1"
INCIDENTS = "SELECT rule, severity, state FROM incidents ORDER BY opened_at"


async def test_two_replicas_that_look_at_once_make_each_planned_run_once(on: Stored) -> None:
    """However they race: ten planned times one after the other, ten runs, each asked by one of them."""
    await planned(on)
    async with replica(on.store) as one, replica(on.store) as other:
        for _ in range(10):
            await asyncio.gather(one.round(), other.round())
            await later(on)
    made = await runs(on.store)
    assert len(made) == 10
    assert {run.state for run in made} == {RunState.ENDED}
    assert one.looks.asked + other.looks.asked == 10


async def test_a_planned_time_never_has_two_rows(on: Stored) -> None:
    """Where a plan is thrown back to what it has decided already, the time has its run and gets no other."""
    await planned(on)
    async with replica(on.store) as one:
        await one.round()
        before = await runs(on.store)
        await on.raw.execute("UPDATE schedules SET decided_to = decided_to - interval '1 minute'")
        await one.round()
    assert [run.id for run in await runs(on.store)] == [run.id for run in before]
    assert one.looks.asked == 1


async def test_what_is_not_as_expected_is_an_incident_until_a_run_is_as_expected_again(on: Stored) -> None:
    """By intake: an alert of the source `schedule` with rule and finding, the rule's severity, its end."""
    await planned(on, scheduled(checks=(check("connections"),)))
    async with replica(on.store, Looks(percent=91.0)) as one:
        await one.round()
        (bad,) = await runs(on.store)
        assert bad.report is not None
        assert bad.report.outcome is Outcome.NOT_AS_EXPECTED
        assert bad.report.findings == {"connections": "connections: percent is 91, expected < 80"}
        assert await on.sql(FIRING) == [("connections",)]
        assert await on.sql(INCIDENTS) == [("Morning", "P2", IncidentState.PENDING.value)]
        told = "SELECT annotations->>'summary', annotations->>'report' FROM alerts"
        ((summary, where),) = await on.sql(told)
        assert summary == "connections: percent is 91, expected < 80"
        assert str(bad.id) in where
        one.looks.percent = 40.0
        await later(on)
        await one.round()
    assert (await runs(on.store))[-1].report.outcome is Outcome.AS_EXPECTED  # type: ignore[union-attr]
    assert await on.sql(FIRING) == []


async def test_no_answer_is_not_as_expected(on: Stored) -> None:
    """A target that is away, and a field without a value, are findings with their reason."""
    await planned(on)
    async with replica(on.store, Looks(error=TemporaryError("test/one does not answer"))) as one:
        await one.round()
    (run,) = await runs(on.store)
    assert run.report is not None
    assert run.report.findings == {"test.percent": "test.percent: test/one does not answer"}
    assert await on.sql(FIRING) == [("test.percent",)]


async def test_after_an_outage_one_run_is_made_and_the_others_are_missed(on: Stored) -> None:
    """A plan of each minute that nobody looked at for an hour: no burst, and the gap is one row."""
    await planned(on, ago=60 * MINUTE)
    async with replica(on.store) as one:
        await one.round()
    missed, made = await runs(on.store)
    assert (missed.state, missed.missed) == (RunState.MISSED, 59)
    assert made.state is RunState.ENDED
    assert missed.planned_for is not None
    assert made.planned_for == missed.planned_for + MINUTE
    assert one.looks.asked == 1


async def test_what_is_later_than_run_late_is_not_made(on: Stored) -> None:
    """It is recorded as missed, and who looks at the service is told."""
    await planned(on, scheduled(schedule="10 7 * * *", run_late=5 * MINUTE), ago=20 * MINUTE)
    async with replica(on.store) as one:
        await one.round()
        await one.round()
        assert "was missed" in one.schedules.troubled["Morning"]
    (missed,) = await runs(on.store)
    assert (missed.state, missed.missed) == (RunState.MISSED, 1)
    assert one.looks.asked == 0


async def test_a_run_that_is_still_going_has_the_next_one_skipped(on: Stored) -> None:
    """The skipped one is recorded with its reason, and the one that goes on is left alone."""
    await planned(on)
    looks = Looks()
    looks.opened.clear()
    async with replica(on.store, looks) as one, replica(on.store) as other:
        await one.schedules.round()
        await later(on)
        await other.round()
        going, skipped = await runs(on.store)
        assert (going.state, skipped.state) == (RunState.RUNNING, RunState.SKIPPED)
        assert skipped.why == "the run before was still going"
        looks.opened.set()
        await one.schedules.made()
    assert [run.state for run in await runs(on.store)] == [RunState.ENDED, RunState.SKIPPED]
    assert other.looks.asked == 0


async def test_a_run_whose_process_died_is_made_by_another(on: Stored) -> None:
    """The one that comes back late changes nothing: its report is not kept, and tells nobody."""
    await planned(on)
    looks = Looks(percent=99.0)
    looks.opened.clear()
    async with replica(on.store, looks) as dead, replica(on.store) as other:
        await dead.schedules.round()
        await other.round()
        assert other.looks.asked == 0
        await on.silence(dead.ownership.worker_id)
        await other.round()
        looks.opened.set()
        await dead.schedules.made()
    (run,) = await runs(on.store)
    assert (run.state, run.epoch) == (RunState.ENDED, 2)
    assert run.report is not None
    assert run.report.outcome is Outcome.AS_EXPECTED
    assert await on.sql(FIRING) == []


async def test_who_was_overtaken_keeps_no_report(on: Stored) -> None:
    """The first one comes back while the second is at it: it goes on, and has the second one's report."""
    await planned(on)
    slow, second = Looks(percent=99.0), Looks()
    slow.opened.clear()
    second.opened.clear()
    async with replica(on.store, slow) as dead, replica(on.store, second) as other:
        await dead.schedules.round()
        await on.silence(dead.ownership.worker_id)
        await other.schedules.round()
        slow.opened.set()
        await dead.schedules.made()
        (run,) = await runs(on.store)
        assert (run.state, run.epoch, run.report) == (RunState.RUNNING, 2, None)
        assert await on.sql(FIRING) == []
        second.opened.set()
        await other.schedules.made()
    (run,) = await runs(on.store)
    assert run.report is not None
    assert run.report.outcome is Outcome.AS_EXPECTED


async def test_a_run_of_its_own_is_left_alone_by_whoever_makes_it(on: Stored) -> None:
    """However often it looks meanwhile, it asks once."""
    await planned(on)
    looks = Looks()
    looks.opened.clear()
    async with replica(on.store, looks) as one:
        for _ in range(3):
            await one.schedules.round()
        looks.opened.set()
        await one.schedules.made()
    (run,) = await runs(on.store)
    assert (run.state, run.epoch, looks.asked) == (RunState.ENDED, 1, 1)


async def test_a_process_that_is_deposed_begins_nothing(on: Stored) -> None:
    """Its heartbeat is too old by its own clock: others decide."""
    await planned(on)
    async with replica(on.store, lease_time=timedelta(0)) as one:
        await one.round()
    assert await runs(on.store) == ()


async def test_whoever_decides_waits_for_whoever_is_at_it(on: Stored) -> None:
    """Of two that decide at once the second would decide once more what the first one has decided."""
    await planned(on)
    async with replica(on.store) as one:
        await one.schedules.round()
        await one.schedules.made()
        await later(on)
        async with on.raw.transaction():
            await on.raw.execute("UPDATE schedules SET decided_to = (SELECT at FROM civil_now)")
            deciding = asyncio.create_task(one.round())
            await on.somebody_waits(1)
        await deciding
    assert len(await runs(on.store)) == 1


async def test_a_person_asks_for_a_run_in_turn_with_the_plan(on: Stored) -> None:
    """What is asked for between a decision and its end would keep the planned run from being there."""
    book = await planned(on)
    async with on.raw.transaction():
        await on.raw.execute("SELECT FROM schedules FOR UPDATE")
        asking = asyncio.create_task(
            on.store.schedule_desk.ask(RunAsked(None, "Morning", book, "ann", "to see"))
        )
        await on.somebody_waits(1)
        assert await runs(on.store) == ()
    assert (await asking)[1] is True


async def test_nothing_that_is_kept_or_told_of_a_run_has_a_secret(on: Stored) -> None:
    """What an error quotes goes through the redaction before it is stored; people are told what is stored."""
    await planned(on)
    error = TemporaryError("no connection with password=hunter22 to test/one")
    async with replica(on.store, Looks(error=error)) as one:
        await one.round()
    kept = "SELECT report::text FROM scheduled_runs UNION ALL SELECT annotations::text FROM alerts"
    told = [text for (text,) in await on.sql(kept)]
    assert len(told) == 2
    assert all("no connection with" in text and "hunter22" not in text for text in told)


async def test_a_run_whose_rule_is_gone_has_ended(on: Stored) -> None:
    """What it finds is not kept: nobody could look after it."""
    await planned(on)
    looks = Looks(percent=99.0)
    looks.opened.clear()
    async with replica(on.store, looks) as one, replica(on.store) as other:
        await one.schedules.round()
        await on.store.activate(Rulebook(rules=()), "test")
        await other.rules.follow()
        await other.round()
        looks.opened.set()
        await one.schedules.made()
    (run,) = await runs(on.store)
    assert (run.state, run.why, run.report) == (RunState.ENDED, "its rule is not planned any more", None)
    assert await on.sql(FIRING) == []


async def test_a_run_whose_processes_all_die_fails_and_people_hear_of_it(on: Stored) -> None:
    """After three of them it is not begun again: an incident says so, and ends with the next good run."""
    await planned(on, ago=timedelta(0))
    async with replica(on.store) as last:
        await on.raw.execute(
            "INSERT INTO scheduled_runs (id, rule, rulebook_hash, state, owner, epoch, at, deadline) VALUES "
            "($1, 'Morning', '', 'running', $2, 3, service_time(), service_time() + interval '1 hour')",
            uuid4(),
            uuid4(),
        )
        await last.round()
        (failed,) = await runs(on.store)
        assert failed.report is not None
        assert failed.report.outcome is Outcome.FAILED
        assert failed.report.problem == "the processes that began it died, 3 times"
        assert await on.sql(FIRING) == [("the run itself",)]
        assert len(await on.sql(INCIDENTS)) == 1
        await later(on)
        await last.round()
    assert await on.sql(FIRING) == []


async def test_a_run_that_hangs_is_given_up_at_its_deadline_by_anybody(on: Stored) -> None:
    """Though its process lives; what it finds in the end is not kept."""
    await planned(on)
    looks = Looks()
    looks.opened.clear()
    async with replica(on.store, looks) as hung, replica(on.store) as other:
        await hung.schedules.round()
        await on.raw.execute("UPDATE scheduled_runs SET deadline = service_time() - interval '1 second'")
        await other.round()
        (run,) = await runs(on.store)
        assert run.report is not None
        assert run.report.problem is not None
        assert run.report.problem.startswith("it did not end by ")
        assert await on.sql(FIRING) == [("the run itself",)]
        looks.opened.set()
        await hung.schedules.made()
    (still,) = await runs(on.store)
    assert still.report == run.report
    assert await on.sql(FIRING) == [("the run itself",)]


async def test_a_report_that_could_not_be_told_is_told_later(
    on: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intake takes nothing at that moment: the report is kept, and the next round tells it without asking."""
    await planned(on)
    async with replica(on.store, Looks(percent=91.0)) as one:
        take, full = one.intake.take, [True]

        async def sometimes(delivery: object) -> object:
            if full.pop() if full else False:
                raise OverloadedError("the queue is full")
            return await take(delivery)  # type: ignore[arg-type]

        monkeypatch.setattr(one.intake, "take", sometimes)
        await one.round()
        assert [run.state for run in await runs(on.store)] == [RunState.FOUND]
        assert await on.sql(FIRING) == []
        await one.round()
    assert [run.state for run in await runs(on.store)] == [RunState.ENDED]
    assert await on.sql(FIRING) == [("test.percent",)]
    assert one.looks.asked == 1


async def test_what_a_rule_found_that_is_gone_is_over(on: Stored) -> None:
    """Nobody would look after it: its findings end, its run ends, and its plan is no more."""
    await planned(on)
    async with replica(on.store, Looks(percent=91.0)) as one:
        await one.round()
        assert await on.sql(FIRING) == [("test.percent",)]
        await on.store.activate(Rulebook(rules=()), "test")
        await one.rules.follow()
        await one.round()
    assert await on.sql(FIRING) == []
    assert await on.sql("SELECT rule FROM schedules") == []


async def test_a_changed_plan_begins_when_it_is_changed(on: Stored) -> None:
    """A time that the new plan names and that is over already is neither run nor missed."""
    await planned(on, scheduled(schedule="0 0 1 1 *"), ago=50 * MINUTE)
    await on.store.activate(Rulebook(rules=(scheduled(schedule="* * * * *"),)), "test")
    async with replica(on.store) as one:
        await one.round()
    assert await runs(on.store) == ()


async def test_only_the_active_rulebook_is_decided_for(on: Stored) -> None:
    """A replica that does not know of it yet decides nothing."""
    old = await planned(on)
    async with replica(on.store) as one:
        await on.store.activate(Rulebook(rules=(scheduled(), scheduled("Other"))), "test")
        assert one.rules.hash == old
        await one.round()
        assert await runs(on.store) == ()
        await one.rules.follow()
        await one.round()
    assert len(await runs(on.store)) == 1


async def test_a_run_is_of_one_rulebook_whatever_becomes_active_meanwhile(
    on: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who looked by the older one decides nothing: the run that names the newer one asks its steps."""
    await planned(on, scheduled(checks=(check("older"),)))
    newer = Rulebook(rules=(scheduled(checks=(check("newer"),)),))
    async with replica(on.store) as one:
        standing = on.store.schedules.standing

        async def overtaken() -> object:
            seen = await standing()
            await on.store.activate(newer, "test")
            await one.rules.follow()
            return seen

        with monkeypatch.context() as patch:
            patch.setattr(one.schedules._schedules, "standing", overtaken)
            await one.round()
        assert await runs(on.store) == ()
        await one.round()
    (run,) = await runs(on.store)
    assert run.report is not None
    assert (run.rulebook_hash, [step.name for step in run.report.steps]) == (newer.hash, ["newer"])


async def test_a_run_by_hand_is_made_once_and_says_who_and_why(on: Stored) -> None:
    """The same key is the same run; while one goes on there is no other."""
    book = await planned(on, ago=timedelta(0))
    key, looks = uuid4(), Looks()
    ask = RunAsked(key, "Morning", book, "ann", "after the mend")
    looks.opened.clear()
    async with replica(on.store, looks) as one:
        first, again = await on.store.schedule_desk.ask(ask), await on.store.schedule_desk.ask(ask)
        assert (first[1], again[1]) == (True, False)
        await one.schedules.round()
        beside, new = await on.store.schedule_desk.ask(RunAsked(uuid4(), "Morning", book, "bob", "me too"))
        assert (beside.id, new) == (key, False)
        looks.opened.set()
        await one.schedules.made()
    run = await on.store.schedule_desk.run(key)
    assert run is not None
    assert (run.state, run.asked_by, run.reason) == (RunState.ENDED, "ann", "after the mend")
    assert looks.asked == 1


async def test_a_clock_that_was_set_back_plans_anew(on: Stored) -> None:
    """What a wrong clock had run ahead of time is told as such, and its time gets its run when it comes."""
    await planned(on)
    async with replica(on.store) as one:
        await later(on, timedelta(days=365))
        await one.round()
        await later(on, timedelta(days=-365))
        await one.round()
        await later(on)
        await one.round()
    wrong, missed, right = sorted(
        await runs(on.store), key=lambda run: (run.planned_for is not None, run.missed)
    )
    assert (missed.state, missed.missed) == (RunState.MISSED, 1000)
    assert (wrong.planned_for, wrong.state) == (None, RunState.ENDED)
    assert wrong.why is not None
    assert "a clock that was set back since" in wrong.why
    assert right.planned_for == AT.replace(second=0) + 2 * MINUTE
    assert one.looks.asked == 2


async def test_a_process_that_stops_leaves_its_run_to_others_at_once(on: Stored) -> None:
    """Nobody waits for its heartbeat to grow old."""
    await planned(on)
    looks = Looks()
    looks.opened.clear()
    async with replica(on.store, looks) as stopping, replica(on.store) as other:
        await stopping.schedules.round()
        await stopping.schedules.stop()
        await other.round()
    (run,) = await runs(on.store)
    assert (run.state, run.epoch) == (RunState.ENDED, 2)


async def test_a_rule_in_trouble_keeps_no_other_from_its_turn(
    on: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be decided for one rule is logged, and the next one has its run."""
    await planned(on, scheduled("A"), scheduled("B"))
    async with replica(on.store) as one:
        decide = on.store.schedules.decide

        async def fails(rule: str, *rest: object) -> object:
            if rule == "A":
                raise TemporaryError("another transaction was in the way")
            return await decide(rule, *rest)  # type: ignore[arg-type]

        monkeypatch.setattr(on.store.schedules, "decide", fails)
        await one.round()
    assert len(await runs(on.store, "B")) == 1
    assert len(await runs(on.store, "A")) == 0


async def test_old_runs_are_removed_and_what_goes_on_is_not(on: Stored) -> None:
    """By the time at which they were decided."""
    await planned(on)
    async with replica(on.store) as one:
        await one.round()
        await on.store.schedule_desk.ask(RunAsked(None, "Morning", "x", "ann", "now"))
        await on.raw.execute("UPDATE scheduled_runs SET at = at - interval '2 days'")
        assert await on.store.schedules.expire(timedelta(days=1)) == 1
        assert [run.state for run in await runs(on.store)] == [RunState.WAITING]
