"""Promises 8 to 13: who may act, how often, on how much, and who stops it. Real engines on one PostgreSQL."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from responder.decide.case import IntentLost
from responder.model.attempt import Attempt
from responder.model.rule import StepKind, Verify
from tests.support.parts import until
from tests.support.replicas import MINUTE, RULE, delivered, firing, over, replica, stage
from tests.support.stored import change, intent

PROMISED_S = 5.0
LEASE_TIME = timedelta(seconds=2)
NAMES = tuple(f"db{number}" for number in range(8))
SOON = Verify(alert_resolved_within=MINUTE, stable_for=timedelta(seconds=3))


async def test_promise_08_a_deposed_owner_starts_nothing(dsn: str, tmp_path: Path) -> None:
    """It acts, no heartbeat of it comes through any more, another replica takes its incident over.

    Its next effect does not begin, though the start window would let it. Nor does it commit an intent: not
    with its heartbeat overdue, and not by its old lease when that beats again.
    """
    late: dict[str, Any] = {"lease_time": LEASE_TIME, "start_window": MINUTE}
    async with stage(dsn, tmp_path, replicas=1, **late) as on:
        [owner] = on.engines
        await on.under_way("db1")
        [lease] = owner.ownership.leases
        case = await on.db.store.load(lease)

        async def intends() -> Attempt | IntentLost:
            return await owner._store.commit_intent(lease, intent(case, "test/db2"), change(case))

        owner._tasks["heartbeat"].cancel()
        await on.db.silence(lease.worker_id)
        overdue = await intends()
        assert overdue is IntentLost.DEPOSED
        async with replica(dsn, on.gate, on.file, **late):

            async def taken_over() -> bool:
                epoch = await on.db.one("SELECT epoch FROM incidents")
                return bool(epoch > lease.epoch) and not owner.ownership.alive()

            await until(taken_over, "another replica has taken it over", within=60)
            await on.db.raw.execute("UPDATE workers SET heartbeat_at = service_time()")
            by_its_old_lease = await intends()
            assert by_its_old_lease is IntentLost.DEPOSED
            on.gate.open.set()

            async def knows() -> bool:
                return not owner.ownership.leases

            await until(knows, "the deposed owner has ended its move", within=60)
            begun = [(one.target, one.element) for one in on.gate.begun]
            assert begun == [("db1", "first")]
            assert await on.db.one("SELECT count(*) FROM attempts") == 1


async def test_promise_09_budgets_hold_over_all_replicas(dsn: str, tmp_path: Path) -> None:
    """Three replicas commit eight disruptive intents at once, and the budget has five: five effects begin.

    Somebody holds the budget until six of them wait for it: none sees what the others are about to spend.
    """
    disruptive = RULE.steps[0].model_copy(update={"kind": StepKind.DISRUPTIVE})
    rules = (RULE.model_copy(update={"steps": (disruptive,)}),)
    async with stage(dsn, tmp_path, rules=rules, budgets={"globally": 5, "namespace": 5, "target": 3}) as on:
        async with on.db.raw.transaction():
            await on.db.raw.execute("INSERT INTO budgets VALUES ('global', '', now())")
            await on.engines[0].intake.take(delivered(*map(firing, NAMES)))
            await on.db.somebody_waits(6)
        await on.held(len(NAMES) - 5, "budget")
        assert len({one.target for one in on.gate.begun}) == 5
        assert await on.db.one("SELECT count(*) FROM attempts") == 5


async def test_promise_10_one_attempt_at_a_time_for_each_target(dsn: str, tmp_path: Path) -> None:
    """Two incidents want one target at once: one acts, the other is held until the verdict on that is there.

    Not only until its effect has ended: the ledger's attempts on the target do not overlap up to the verdict.
    Somebody's claim that is given up again lets both come as far as their own: nothing else tells them of
    each other.
    """
    rules = (RULE.model_copy(update={"group_by": ("server", "pod"), "verify": SOON}),)
    async with stage(dsn, tmp_path, rules=rules) as on:
        given_up = on.db.raw.transaction()
        await given_up.start()
        await on.db.raw.execute("SET LOCAL session_replication_role = replica")  # of an attempt that is none
        await on.db.raw.execute(
            """INSERT INTO claims (target, attempt_id, incident_id, rule, since)
               VALUES ('test/db1', gen_random_uuid(), gen_random_uuid(), '', now())"""
        )
        pods = {pod: firing("db1", pod=pod) for pod in ("a", "b")}
        await on.engines[0].intake.take(delivered(*pods.values()))
        await on.db.somebody_waits(2)
        await given_up.rollback()
        await on.held(1, "claim")
        assert len(on.gate.begun) == 1
        on.gate.open.set()

        async def ended() -> bool:
            return bool(await on.db.one("SELECT bool_or(ended_at IS NOT NULL) FROM attempts"))

        await until(ended, "the effects of the first have ended", within=60)
        acts = "SELECT key ->> 'pod' FROM incidents i JOIN attempts a ON a.incident_id = i.id"
        await on.engines[1].intake.take(delivered(over(pods[await on.db.one(acts)])))

        async def second() -> bool:
            return bool(await on.db.one("SELECT count(*) FROM attempts") == 2)

        await until(second, "the other one acts", within=60)
        overlaps = """SELECT count(*) FROM attempts a JOIN attempts b ON a.target = b.target AND a.id <> b.id
                      WHERE a.intended_at <= b.intended_at
                      AND coalesce(a.verdict_at, 'infinity') > b.intended_at"""
        assert await on.db.one(overlaps) == 0


async def test_promise_11_no_target_or_too_many_elements_is_refused(dsn: str, tmp_path: Path) -> None:
    """Parameters that lead nowhere, and three elements where two are allowed: no effect, not even on two.

    A person is told why. Where nothing is found there is nothing to do: no attempt, and it is verified.
    """
    async with stage(dsn, tmp_path, replicas=1) as on:
        on.gate.open.set()
        on.gate.nowhere = ("nowhere",)
        on.gate.crowds = {"crowd": ("first", "second", "third"), "empty": ()}
        await on.engines[0].intake.take(delivered(*map(firing, ("nowhere", "crowd", "empty"))))
        await on.are("escalated", 2)
        await on.are("verifying", 1)
        assert await on.db.one("SELECT key ->> 'server' FROM incidents WHERE state = 'verifying'") == "empty"
        assert on.gate.begun == []
        assert await on.db.one("SELECT count(*) FROM attempts") == 0
        for server, why in (
            ("nowhere", "the parameters lead to no target"),
            ("crowd", "3 elements were found, more than the 2 that at_most allows"),
        ):
            assert why in await on.told_of(server)


async def test_promise_12_floors_come_from_fresh_reads(dsn: str, tmp_path: Path) -> None:
    """A step that was judged and held finds another world when it may go: the floor of now refuses it."""
    async with stage(dsn, tmp_path, replicas=1) as on:
        on.gate.open.set()
        on.file.touch()
        await on.engines[0].intake.take(delivered(firing("db1")))
        await on.held(1)
        on.gate.present, on.gate.floor = ("first",), 1
        on.file.unlink()
        await on.are("escalated", 1)
        assert "1 are left, and 1 have to be" in await on.told_of("db1")
        assert on.gate.begun == []


async def test_promise_13_halt_stops_all_replicas(dsn: str, tmp_path: Path) -> None:
    """Three replicas act when somebody halts: within 5 s all know, and not one more effect begins.

    A halt file that cannot be read halts, and so does a flag that is gone; when a person resumes, it goes on.
    """
    async with stage(dsn, tmp_path, start_window=MINUTE) as on:
        on.file.mkdir()
        await on.engines[1].intake.take(delivered(firing("unreadable")))
        await on.held(1)
        assert "cannot be read" in await on.holds()
        await on.db.raw.execute("DELETE FROM halt")
        on.file.rmdir()

        async def flag_holds() -> bool:
            return "missing" in await on.holds()

        await until(flag_holds, "the missing flag halts", within=60)
        assert on.gate.begun == []
        await on.db.store.resume("ada", "looked")
        await on.under_way("unreadable", *NAMES)
        await on.db.store.halt("ada", "storm")

        async def all_know() -> bool:
            return all(one.halt._followed and one.halt._followed.halts_all for one in on.engines)

        await until(all_know, "every replica has heard of it", within=PROMISED_S, every=0.01)
        on.gate.open.set()
        await until(on.nobody_acts, "what had begun has ended", within=60)
        ended = "SELECT count(*) FROM attempts WHERE outcome <> 'started'"

        async def all_ended() -> bool:
            return bool(await on.db.one(ended) == len(NAMES) + 1)

        await until(all_ended, "every attempt has ended", within=60)
        await on.engines[2].intake.take(delivered(firing("late")))
        await on.held(1)
        assert on.gate.elements("second") == set()
        assert "late" not in on.gate.elements("first")
