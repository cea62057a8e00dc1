"""What is given back after a while: owed with the outcome, found when due by whoever looks, opened once."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest
import pytest_asyncio

from responder.decide.case import AttemptEnd, AttemptVerdict, Case
from responder.engine.give_backs import GiveBacks
from responder.model.attempt import Attempt, ElementOutcome, Outcome
from responder.model.base import Frozen
from responder.model.errors import PermanentError
from responder.model.incident import Incident, IncidentState
from responder.model.inventory import Inventory
from responder.model.rule import StepKind
from responder.ports import Actions, Lease, UndoStep
from responder.store.postgres import PostgresStore
from tests.support.stored import KEYS, LEASE_TIME, Stored, change, intent, stored

AFTER = timedelta(hours=2)
TARGET = "postgres/orders"


class Params(Frozen):
    """What the action takes."""

    at_most: int = 1
    note: str = ""


class Lent:
    """An action with an inverse, unless it has none, or is gone."""

    def __init__(self, inverse: UndoStep | None = None, *, gone: bool = False) -> None:
        self.inverse, self.gone = inverse, gone

    def get(self, name: str) -> Any:
        """Every action is this one."""
        if self.gone:
            raise PermanentError(f"there is no action {name!r}")
        return SimpleNamespace(undo=self.undo, Params=Params, kind=StepKind.SAFE)

    def undo(self, params: Params, state_before: Mapping[str, Any]) -> UndoStep | None:
        """As it was before."""
        del params
        return self.inverse and UndoStep(self.inverse.action, {**self.inverse.params, **state_before})


LENT = Lent(UndoStep("test.give_back", {}))


@pytest_asyncio.fixture
async def db(dsn: str) -> AsyncIterator[Stored]:
    async with stored(dsn) as opened:
        yield opened


def giving(db: Stored, actions: Lent = LENT, store: PostgresStore | None = None) -> GiveBacks:
    return GiveBacks((store or db.store).give_backs, cast("Actions", actions), Inventory())


async def done(db: Stored, lease: Lease, case: Case, **more: Any) -> Attempt:
    """An attempt that had its effect, which is owed back; its claim is over."""
    known = await db.one("SELECT id FROM attempts ORDER BY number DESC LIMIT 1")
    attempt = await db.store.commit_intent(
        lease, intent(case, newest_known=known, params={"at_most": 1}, **more), change(case)
    )
    assert isinstance(attempt, Attempt), attempt
    results = tuple(ElementOutcome(element=one.key, outcome=Outcome.DONE) for one in attempt.elements)
    end = AttemptEnd(attempt_id=attempt.id, outcome=Outcome.DONE, results=results, give_back_after=AFTER)
    verdict = AttemptVerdict(attempt_id=attempt.id)
    assert await db.store.record(lease, case, change(case, end=end, verdict=verdict))
    return attempt


async def pass_time(db: Stored, by: timedelta = AFTER) -> None:
    await db.sql("UPDATE give_backs SET due_at = due_at - $1::interval", by)


async def opened(db: Stored) -> list[Incident]:
    found = await db.store.incidents(live_only=False, limit=100)
    return [one for one in found if one.by_hand is not None]


async def test_it_is_owed_from_the_outcome_on_and_opened_when_due_though_its_incident_is_closed(
    db: Stored,
) -> None:
    """Not before; then once, with the group, the severity and the inverse of what was done."""
    lease, case = await db.held()
    attempt = await done(db, lease, case)
    case = await db.store.load(lease)
    closed = change(case, IncidentState.CLOSED, deadline=None, due_at=None)
    assert await db.store.record(lease, case, closed, ends=True)
    assert await giving(db).round() == 0
    await pass_time(db)
    assert await giving(db).round() == 1
    assert await giving(db).round() == 0
    (incident,) = await opened(db)
    assert (incident.rule, incident.severity) == (f"give-back/{case.rule.name}", case.incident.severity)
    assert incident.key == case.incident.key
    assert incident.by_hand is not None
    assert (incident.by_hand.action, incident.by_hand.gives_back) == ("test.give_back", attempt.id)
    lease, back = await db.leased()
    assert (back.incident.id, back.rule.steps[0].action) == (incident.id, "test.give_back")
    assert back.rule.every_step[0].params == attempt.state_before


async def test_replicas_that_find_it_at_once_open_one_incident(db: Stored) -> None:
    """However many look at the same moment, also one that read the row before another opened it."""
    lease, case = await db.held()
    await done(db, lease, case)
    await pass_time(db)
    others = [PostgresStore(db.connections, LEASE_TIME, KEYS) for _ in range(4)]
    late = await db.store.give_backs.owed_back(10)
    await asyncio.gather(*(giving(db, store=one).round() for one in others))
    one_that_read_before = giving(db)
    for owed in late:
        await db.store.give_backs.open_give_back(owed, one_that_read_before._incident(owed))
    assert len(await opened(db)) == 1
    assert await db.one("SELECT count(*) FROM give_backs WHERE opened_as IS NOT NULL") == 1


async def test_an_outcome_that_is_written_twice_is_owed_once(db: Stored) -> None:
    """A record that is made again does not put off what is owed."""
    lease, case = await db.held()
    attempt = await done(db, lease, case)
    before = await db.one("SELECT due_at FROM give_backs")
    end = AttemptEnd(attempt_id=attempt.id, outcome=Outcome.DONE, results=(), give_back_after=AFTER)
    case = await db.store.load(lease)
    assert await db.store.record(lease, case, change(case, end=end))
    assert await db.sql("SELECT due_at FROM give_backs") == [(before,)]


async def acts(db: Stored, incident: UUID) -> None:
    """What gives it back has its effect."""
    lease, case = await db.leased()
    assert case.incident.id == incident
    attempt = await db.store.commit_intent(
        lease, intent(case, params={}, action="test.give_back"), change(case)
    )
    assert isinstance(attempt, Attempt), attempt
    end = AttemptEnd(attempt_id=attempt.id, outcome=Outcome.DONE, results=())
    verdict = AttemptVerdict(attempt_id=attempt.id)
    over = change(case, IncidentState.CLOSED, deadline=None, due_at=None, end=end, verdict=verdict)
    assert await db.store.record(lease, case, over, ends=True)


async def test_of_several_on_one_target_the_newest_is_given_back_first(db: Stored) -> None:
    """What was built on something comes before it, and then it is as it was: nothing is in its way."""
    lease, case = await db.held()
    first = await done(db, lease, case)
    case = await db.store.load(lease)
    second = await done(db, lease, case)
    await db.store.record(lease, await db.store.load(lease), change(case), ends=True)
    await pass_time(db)
    assert [one.attempt.id for one in await db.store.give_backs.owed_back(10)] == [second.id]
    assert await giving(db).round() == 1
    (incident,) = await opened(db)
    await acts(db, incident.id)
    (owed,) = await db.store.give_backs.owed_back(10)
    assert (owed.attempt.id, owed.newer) == (first.id, None)


async def test_what_was_done_again_since_is_not_put_back_but_told(db: Stored) -> None:
    """A newer act that stands would be undone with it: people decide, and hear of which act."""
    lease, case = await db.held()
    await done(db, lease, case)
    await pass_time(db)
    newer = await done(db, lease, await db.store.load(lease))
    await db.sql("DELETE FROM give_backs WHERE attempt_id = $1", newer.id)
    assert await giving(db).round() == 1
    (incident,) = await opened(db)
    assert incident.by_hand is not None
    assert not incident.by_hand.acts
    assert "cannot be: postgres.terminate_queries acted there again at" in incident.by_hand.title


async def test_what_a_person_keeps_is_not_given_back(db: Stored) -> None:
    """Nobody finds it due; who keeps it and why stands with the incident, and its owner tells of it."""
    lease, case = await db.held()
    attempt = await done(db, lease, case)
    owed = await db.store.owed(attempt.id)
    assert owed is not None
    assert (owed.incident_id, owed.target, owed.pending) == (case.incident.id, TARGET, True)
    assert await db.store.owing(10, pending_only=True) == [owed]
    assert await db.store.keep(owed, "ada", "it is needed")
    assert not await db.store.keep(owed, "bo", "me too"), "it is kept already"
    await pass_time(db)
    assert await giving(db).round() == 0
    assert await db.store.owing(10, pending_only=True) == []
    (kept,) = await db.store.owing(10, pending_only=False)
    assert (kept.kept_by, kept.kept_reason, kept.pending) == ("ada", "it is needed", False)
    dossier = await db.store.incident(case.incident.id)
    assert dossier is not None
    assert dossier.owed == (kept,)
    told = (await db.store.load(lease)).findings
    assert [one.summary for one in told] == [
        f"ada keeps what {attempt.action} did to {TARGET}, not given back: it is needed"
    ]


async def test_what_is_kept_stands_in_the_way_of_giving_back_what_was_before_it(db: Stored) -> None:
    """To put back what was there before both would undo what a person wants to stay: they decide."""
    lease, case = await db.held()
    await done(db, lease, case)
    second = await done(db, lease, await db.store.load(lease))
    owed = await db.store.owed(second.id)
    assert owed is not None
    assert await db.store.keep(owed, "ada", "it is needed")
    await pass_time(db)
    assert await giving(db).round() == 1
    (incident,) = await opened(db)
    assert incident.by_hand is not None
    assert not incident.by_hand.acts
    assert "acted there again at" in incident.by_hand.title


async def test_kept_and_given_back_at_once_is_one_of_both(db: Stored) -> None:
    """Who found it due before a person kept it opens nothing; what is opened is not kept any more."""
    lease, case = await db.held()
    attempt = await done(db, lease, case)
    await pass_time(db)
    (late,) = await db.store.give_backs.owed_back(10)
    owed = await db.store.owed(attempt.id)
    assert owed is not None
    assert await db.store.keep(owed, "ada", "it is needed")
    gives = giving(db)
    await db.store.give_backs.open_give_back(late, gives._incident(late))
    assert await opened(db) == []
    await db.sql("UPDATE give_backs SET kept_at = NULL, kept_by = NULL, kept_reason = NULL")
    await db.store.give_backs.open_give_back(late, gives._incident(late))
    assert len(await opened(db)) == 1
    assert not await db.store.keep(owed, "ada", "too late")


@pytest.mark.parametrize(
    ("actions", "why"),
    [
        (Lent(), "postgres.terminate_queries says that it has no inverse"),
        (Lent(gone=True), "its inverse cannot be made: there is no action 'postgres.terminate_queries'"),
    ],
)
async def test_what_has_no_inverse_any_more_is_told(db: Stored, actions: Lent, why: str) -> None:
    """Its incident has no step: people are told why."""
    lease, case = await db.held()
    await done(db, lease, case)
    await pass_time(db)
    assert await giving(db, actions).round() == 1
    (incident,) = await opened(db)
    assert incident.by_hand is not None
    cannot = f"postgres.terminate_queries on {TARGET} is to be given back, and cannot be: {why}"
    assert incident.by_hand.title == cannot
