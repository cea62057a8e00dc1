"""Halts, freezes and maintenance windows on a real PostgreSQL: each stands by itself, none is forgotten."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from importlib.resources import files
from typing import Any

import pytest
import pytest_asyncio

from responder.decide.case import Case, IntentLost, Terms
from responder.decide.next_move import next_move
from responder.decide.restraints import concern, halted_by, quiet
from responder.model.attempt import Attempt
from responder.model.errors import StoreAwayError
from responder.model.incident import IncidentState
from responder.model.restraint import RestraintKind
from responder.ports import Lease, NewRestraint
from responder.rulebook.matchers import parse_matchers
from responder.store import restraints
from tests.support.parts import until
from tests.support.stored import Stored, alert, change, intent, question, stored

PROD = parse_matchers('namespace="prod"')
DB1 = parse_matchers('server="db1"')
HOUR = timedelta(hours=1)


@pytest_asyncio.fixture
async def db(dsn: str) -> AsyncIterator[Stored]:
    async with stored(dsn) as opened:
        yield opened


def window(key: str = "build 1", **more: Any) -> NewRestraint:
    """Maintenance of db1 for an hour."""
    given: dict[str, Any] = {"actor": "ci", "reason": "deploy", "match": DB1, "lasts": HOUR, **more}
    return NewRestraint(RestraintKind.MAINTENANCE, key, **given)


async def intended(db: Stored, lease: Lease, case: Case, *known: int) -> Attempt | IntentLost:
    """What becomes of an intent that was judged when these restraints stood."""
    return await db.store.commit_intent(lease, intent(case, restraints=known), change(case))


async def flag(db: Stored) -> tuple[Any, ...]:
    """What an older version of this program would read."""
    [row] = await db.sql("SELECT halted, actor, reason FROM halt")
    return row


async def test_a_second_halt_takes_nothing_from_the_first(db: Stored) -> None:
    """Each has its number and reason; ending one leaves the other, and the flag tells the one that stands."""
    first = await db.store.halt("ada", "storm")
    second = await db.store.halt("bob", "audit")
    part = await db.store.halt("cy", "migration", PROD)
    stands = await db.store.restraints()
    assert stands.halts_all == "by ada: storm; and by bob: audit"
    assert await flag(db) == (True, "ada", "storm")
    assert [one.id for one in await db.store.resume("ada", "over", [first.id])] == [first.id]
    assert (await db.store.restraints()).halts_all == "by bob: audit"
    assert await flag(db) == (True, "bob", "audit")
    await db.store.resume("bob", "over", [second.id])
    assert (await db.store.restraints()).standing == (part,)
    assert await flag(db) == (False, "bob", "over")
    await db.store.resume("cy", "done")
    assert (await db.store.restraints()).standing == ()
    history = await db.sql("SELECT halted, actor, reason, restraint, match FROM halt_history ORDER BY id")
    told = [(halted, actor, reason, number) for halted, actor, reason, number, _ in history]
    assert told == [
        (True, "ada", "storm", first.id),
        (True, "bob", "audit", second.id),
        (True, "cy", "migration", part.id),
        (False, "ada", "over", first.id),
        (False, "bob", "over", second.id),
        (False, "cy", "done", part.id),
    ]
    assert json.loads(history[-1][4]) == [{"name": "namespace", "op": "=", "value": "prod"}]


async def test_the_flag_of_another_version_halts_until_it_is_ended_itself(db: Stored) -> None:
    """A flag without a halt behind it, as an older replica sets it, is number 0; a part's end leaves it."""
    part = await db.store.halt("cy", "migration", PROD)
    await db.raw.execute("UPDATE halt SET halted = true, actor = 'old', reason = 'by an old replica'")
    await db.store.resume("cy", "done", [part.id])
    assert (await db.store.restraints()).flag == "by old: by an old replica"
    await db.store.resume("ada", "over", [0])
    assert (await db.store.restraints()).halts_all is None


async def test_what_came_after_the_judging_stops_the_intent(db: Stored) -> None:
    """A halt over anything, a freeze, a window: whatever it was not judged by. Known and passed, it goes."""
    lease, case = await db.held()
    freeze = NewRestraint(RestraintKind.FREEZE, "f", "ada", "audit", PROD, lasts=HOUR)
    known = [(await db.store.halt("ada", "migration", PROD)).id]
    assert await intended(db, lease, case) is IntentLost.RESTRAINED
    for new in (freeze, window()):
        added = await db.store.restrain(new)
        assert await intended(db, lease, case, *known) is IntentLost.RESTRAINED
        known.append(added.restraint.id)
    assert await db.one("SELECT count(*) FROM attempts") == 0
    await db.store.halt("ada", "everything")
    assert await intended(db, lease, case, *known, 4) is IntentLost.HALTED
    await db.store.resume("ada", "over", [4])
    assert isinstance(await intended(db, lease, case, *known), Attempt)


async def test_a_halt_that_is_written_while_another_intent_waits_is_seen_by_it(db: Stored) -> None:
    """The numbers of two that are written at once need not become visible in their order."""
    lease, case = await db.held()
    async with db.raw.transaction():
        late = await db.raw.fetchval(
            "INSERT INTO restraints (kind, key, match, actor, reason, since)"
            " VALUES ('halt', 'late', '[]', 'ada', 'r', service_time()) RETURNING id"
        )
        newer = await db.store.restrain(window())
        judged = [one.id for one in (await db.store.restraints()).standing]
        assert judged == [newer.restraint.id]
        assert newer.restraint.id > late
    assert await intended(db, lease, case, *judged) is IntentLost.RESTRAINED


async def test_a_step_sees_every_restraint_with_its_ledger_and_what_cannot_be_read_halts(db: Stored) -> None:
    """One that a newer version wrote: nobody can say what it forbids."""
    _, case = await db.held()
    halt = await db.store.halt("ada", "migration", PROD)
    view = await db.store.ledger_view(question(case), case.incident)
    assert view.restraints.standing == (halt,)
    assert view.restraints.halts_all is None
    await db.raw.execute("""UPDATE restraints SET match = '[{"name": "x", "op": "~~", "value": "y"}]'""")
    view = await db.store.ledger_view(question(case), case.incident)
    assert view.restraints.halts_all == f"halt {halt.id} cannot be read by this version"
    assert halted_by(view.restraints, concern(case, "any", None)) is not None


async def test_a_retried_start_is_the_same_window_and_a_retried_end_too(db: Stored) -> None:
    """A pipeline that asks twice gets what it has; the window is not made longer. An unknown one is None."""
    first = await db.store.restrain(window())
    again = await db.store.restrain(window(lasts=9 * HOUR))
    assert (first.new, again.new, again.restraint) == (True, False, first.restraint)
    other = NewRestraint(RestraintKind.FREEZE, "build 1", "ci", "deploy", lasts=HOUR)
    assert (await db.store.restrain(other)).new, "another kind has keys of its own"
    kind = RestraintKind.MAINTENANCE
    assert await db.store.restraint(kind, "build 1") == await db.store.restraint(kind, first.restraint.id)
    assert await db.store.restraint(kind, "build 2") is None
    ended = await db.store.end_restraint(kind, "build 1", "ci", "done")
    assert ended is not None
    assert ended.ended_at is not None
    assert await db.store.end_restraint(kind, first.restraint.id, "ci", "again") == ended
    assert await db.store.end_restraint(kind, "build 2", "ci", "done") is None
    assert await db.store.end_restraint(kind, 99, "ci", "done") is None
    assert (await db.store.restrain(window())).restraint == ended, "it does not begin anew"


async def test_an_incident_under_maintenance_is_quiet_and_due_at_once_at_its_end(db: Stored) -> None:
    """The case brings its windows, from the first lease on; whoever ends one wakes what it kept quiet."""
    added = await db.store.restrain(window())
    lease, case = await db.held()
    by = quiet(case, case.now)
    assert by is not None
    assert by.holder == added.restraint.name
    move = next_move(case, case.now, Terms())
    quieted = getattr(move, "change")  # noqa: B009 - Apply alone has it, and this fails for any other move
    assert await db.store.record(lease, case, quieted, ends=True)
    assert await db.lease(await db.worker()) is None, "it sleeps until the end"
    await db.store.end_restraint(RestraintKind.MAINTENANCE, added.restraint.id, "ci", "done")
    again = await db.lease(await db.worker())
    assert again is not None
    case = await db.store.load(again)
    assert (case.maintenance, case.incident.state.value) == ((), "suppressed")


async def test_what_waits_is_looked_at_at_once_when_maintenance_begins(db: Stored) -> None:
    """It may be quiet from now on: nobody may read for minutes that people will be told."""
    lease, case = await db.held()
    waits = change(case).model_copy(
        update={"state": IncidentState.HELD, "due_at": case.now + HOUR, "deadline": case.now + HOUR}
    )
    assert await db.store.record(lease, case, waits, ends=True)
    assert await db.lease(await db.worker()) is None, "it sleeps until its time"
    await db.store.restrain(NewRestraint(RestraintKind.FREEZE, "f", "ci", "deploy", lasts=HOUR))
    assert await db.lease(await db.worker()) is None, "a freeze holds steps, it does not quiet"
    await db.store.restrain(window())
    assert await db.lease(await db.worker()) is not None


async def test_what_is_over_stands_no_more_and_is_marked_a_day_later(db: Stored) -> None:
    """A freeze by the clock of the host, maintenance by service time."""
    freeze = NewRestraint(RestraintKind.FREEZE, "f", "ada", "audit", lasts=HOUR)
    await db.store.restrain(freeze)
    await db.store.restrain(window())
    shift = "UPDATE service_clock SET shift = shift + $1::interval"
    await db.raw.execute(shift, 2 * HOUR)
    assert [one.kind for one in (await db.store.restraints()).standing] == [RestraintKind.FREEZE]
    await db.raw.execute(shift, -2 * HOUR)
    await db.raw.execute(
        "UPDATE restraints SET since = since - $1::interval, until = until - $1::interval", HOUR
    )
    assert (await db.store.restraints()).standing == ()
    await db.store.expire_restraints()
    assert await db.one("SELECT count(*) FROM restraints WHERE ended_at IS NULL") == 2
    await db.raw.execute("UPDATE restraints SET until = until - $1::interval", 25 * HOUR)
    await db.store.expire_restraints()
    assert await db.one("SELECT count(*) FROM restraints WHERE ended_at IS NULL") == 0
    assert await db.one("SELECT count(*) FROM restraints") == 2


async def test_whoever_follows_hears_of_a_halt_at_once_and_that_nobody_can_be_heard(
    db: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Halt and resume are told, not only found at the next look; a lost connection is raised."""
    monkeypatch.setattr(restraints, "_AGAIN_S", 3600.0)
    heard: list[str | None] = []
    following = asyncio.create_task(db.store.follow_restraints(lambda now: heard.append(now.halts_all)))

    async def heard_last(why: str | None) -> bool:
        return heard[-1:] == [why]

    await until(lambda: heard_last(None), "it follows", every=0.01)
    await db.store.halt("ada", "storm")
    await until(lambda: heard_last("by ada: storm"), "it has heard of the halt", every=0.01)
    await db.store.resume("ada", "over")
    await until(lambda: heard_last(None), "it has heard of the end", every=0.01)
    monkeypatch.undo()
    await db.store.halt("ada", "look again")
    await until(lambda: heard_last("by ada: look again"), "it looks each second from now on", every=0.01)
    await db.raw.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'responder halt'"
    )
    [error] = await asyncio.gather(following, return_exceptions=True)
    assert isinstance(error, StoreAwayError)


async def test_a_database_that_was_halted_before_is_halted_after_the_migration(db: Stored) -> None:
    """What stood as a flag stands as a halt that a person can end."""
    await db.raw.execute(
        "DROP TABLE restraints; ALTER TABLE halt_history DROP COLUMN restraint, DROP COLUMN match"
    )
    await db.raw.execute("UPDATE halt SET halted = true, actor = 'ada', reason = 'storm'")
    [step] = [one for one in (files("responder.store") / "migrations").iterdir() if "restraints" in one.name]
    await db.raw.execute(step.read_text())
    [halt] = (await db.store.restraints()).standing
    assert (halt.kind, halt.actor, halt.reason, halt.match) == (RestraintKind.HALT, "ada", "storm", ())
    await db.store.resume("ada", "over", [halt.id])
    assert (await db.store.restraints()).halts_all is None


async def test_alerts_of_another_server_are_told_as_ever(db: Stored) -> None:
    """The window's matchers are over labels of alerts."""
    await db.store.restrain(window())
    await db.observe(alert(server="db2"))
    _, case = await db.leased()
    assert quiet(case, case.now) is None
