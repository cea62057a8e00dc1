"""Limits over many incidents and replicas, on a real PostgreSQL: what counts, and what no race gets past."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio

from responder.decide.case import (
    AttemptEnd,
    AttemptVerdict,
    Case,
    Flapping,
    IntentLost,
    LedgerView,
    OpenIncidents,
    Terms,
)
from responder.decide.guards.limits import cooldown
from responder.model.attempt import Attempt, Outcome, Verdict
from responder.model.budget import Budgets, BudgetScope
from responder.model.by_hand import ByHand
from responder.model.guard import Ruling
from responder.model.incident import IncidentState
from responder.model.rule import Limits, Recurrence
from responder.model.severity import Severity
from responder.ports import Lease, NewByHand
from responder.store.connection import Connections
from responder.store.postgres import PostgresStore
from responder.store.settings import StoreSettings
from tests.support.stored import (
    KEYS,
    LEASE_TIME,
    RULE,
    Stored,
    alert,
    change,
    ended,
    intent,
    question,
    stored,
)
from tests.unit.test_guards import facts

TARGET = "postgres/orders"
HOUR = timedelta(hours=1)
Owned = tuple[Lease, Case]


@pytest_asyncio.fixture
async def db(dsn: str) -> AsyncIterator[Stored]:
    async with stored(dsn) as opened:
        yield opened


@pytest_asyncio.fixture
async def replica(dsn: str) -> AsyncIterator[PostgresStore]:
    """The store of a second process."""
    connections = await Connections.open(dsn, StoreSettings())
    yield PostgresStore(connections, LEASE_TIME, KEYS)
    await connections.close()


async def incidents(db: Stored, number: int, first: int = 1) -> list[Owned]:
    """Incidents of one rule, each with its owner."""
    found = []
    for n in range(first, first + number):
        await db.observe(alert(server=f"db{n}"))
        found.append(await db.leased())
    return found


async def seen(db: Stored, case: Case, target: str | None = TARGET, **asked: Any) -> LedgerView:
    """What the ledger says just now."""
    now = await db.store.now()
    return await db.store.ledger_view(question(case, target, **{"now": now, **asked}), case.incident)


async def start(db: Stored, owned: Owned, target: str = TARGET, **more: Any) -> Attempt | IntentLost:
    """An intent that was judged by all that the ledger has."""
    lease, case = owned
    known = (await seen(db, case, target)).newest
    wanted = intent(case, target, **{"namespace": target, "newest_known": known, **more})
    return await db.store.commit_intent(lease, wanted, change(case))


async def started(db: Stored, owned: Owned, target: str = TARGET, **more: Any) -> Attempt:
    attempt = await start(db, owned, target, **more)
    assert isinstance(attempt, Attempt)
    return attempt


async def end(db: Stored, owned: Owned, attempt: Attempt, outcome: Outcome) -> None:
    written = AttemptEnd(attempt_id=attempt.id, outcome=outcome, results=())
    assert await db.store.record(*owned, change(owned[1], end=written))


async def judge(db: Stored, owned: Owned, attempt: Attempt, verdict: Verdict | None, after: int = 3) -> None:
    """The verdict on an attempt, which opens the breaker where it is the n-th failure in a row."""
    breaks = after if verdict is Verdict.NOT_RECOVERED else None
    given = AttemptVerdict(attempt_id=attempt.id, verdict=verdict, breaks_after=breaks)
    assert await db.store.record(*owned, change(owned[1], verdict=given))


# Budgets ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", [BudgetScope.GLOBAL, BudgetScope.NAMESPACE])
async def test_no_race_of_replicas_gets_one_more_than_a_budget_has(
    db: Stored, replica: PostgresStore, scope: BudgetScope
) -> None:
    """Eight intents of two replicas, on eight targets, all begun before any is committed: five get through.

    They wait for the budget, which somebody holds; none of them sees what the others are about to spend.
    """
    budgets = Budgets(**{"globally": 20, "namespace": 20, _field(scope): 5})
    owners = await incidents(db, 8)
    await asyncio.gather(*(store.now() for store in (db.store, replica) * 4))  # all connections are made
    async with db.raw.transaction():
        await db.raw.execute("INSERT INTO budgets VALUES ('global', '', now())")
        committing = [
            asyncio.ensure_future(
                store.commit_intent(
                    lease, intent(case, f"t/{n}", namespace="prod", budgets=budgets), change(case)
                )
            )
            for n, (store, (lease, case)) in enumerate(zip((db.store, replica) * 4, owners, strict=True))
        ]
        await db.somebody_waits(8)
    answers = await asyncio.gather(*committing)
    assert sum(isinstance(answer, Attempt) for answer in answers) == 5
    assert answers.count(IntentLost.BUDGET) == 3
    for table in ("attempts", "claims", "starts", "timeline"):
        assert await db.one(f"SELECT count(*) FROM {table}") == 5


def _field(scope: BudgetScope) -> str:
    return "globally" if scope is BudgetScope.GLOBAL else scope.value


async def test_budgets_are_locked_in_one_order(db: Stored) -> None:
    """Global first, target last: who waits for the target's holds the namespace's, and no other target's."""
    [owned] = await incidents(db, 1)
    async with db.raw.transaction():
        await db.raw.execute("INSERT INTO budgets VALUES ('target', $1, now())", TARGET)
        committing = asyncio.ensure_future(start(db, owned, namespace="prod"))
        await db.somebody_waits(1)
        await db.raw.execute("SET LOCAL lock_timeout = '10ms'")
        with pytest.raises(Exception, match="lock timeout"):
            async with db.raw.transaction():
                await db.raw.execute("INSERT INTO budgets VALUES ('namespace', 'prod', now())")
        await db.raw.execute("INSERT INTO budgets VALUES ('target', 'another', now())")
    assert isinstance(await committing, Attempt)


async def test_each_budget_holds_by_itself(db: Stored) -> None:
    """Three of a target, then five of its namespace, then twenty in all, though other targets are free."""
    owners = await incidents(db, 6)
    for owned, target in zip(owners, (TARGET, TARGET, TARGET, "t/2", "t/2", "t/3"), strict=True):
        attempt = await start(db, owned, target, namespace="prod")
        if target == "t/3":
            assert attempt is IntentLost.BUDGET
            break
        assert isinstance(attempt, Attempt)
        await judge(db, owned, attempt, Verdict.RECOVERED)
    last = owners[-1]
    assert await start(db, last, namespace="other") is IntentLost.BUDGET
    assert await db.claim(TARGET) is None
    few = Budgets(globally=5)
    assert await start(db, last, "t/9", namespace="other", budgets=few) is IntentLost.BUDGET
    await started(db, last, "t/9", namespace="other")


async def spent_up(db: Stored) -> tuple[list[Owned], list[Attempt]]:
    """The budget of the target is spent."""
    owners = await incidents(db, 4)
    attempts = []
    for owned in owners[:3]:
        attempts.append(await started(db, owned))
        await judge(db, owned, attempts[-1], None)
    assert await start(db, owners[3]) is IntentLost.BUDGET
    return owners, attempts


@pytest.mark.parametrize("outcome", [Outcome.DONE, Outcome.UNKNOWN, Outcome.NOT_DONE])
async def test_a_spent_budget_comes_back_only_on_a_proven_no(db: Stored, outcome: Outcome) -> None:
    """What is done and what nobody can tell stays spent."""
    owners, attempts = await spent_up(db)
    await end(db, owners[1], attempts[1], outcome)
    answer = await start(db, owners[3])
    assert isinstance(answer, Attempt) is (outcome is Outcome.NOT_DONE)


async def test_the_window_frees_what_was_spent(db: Stored) -> None:
    """Not before, and the view names the moment: when the oldest that counts is an hour old."""
    owners, attempts = await spent_up(db)
    view = await seen(db, owners[3][1])
    by_scope = {budget.scope: budget for budget in view.budgets}
    assert {scope: (one.spent, one.allowed) for scope, one in by_scope.items()} == {
        BudgetScope.GLOBAL: (3, 20),
        BudgetScope.NAMESPACE: (3, 5),
        BudgetScope.TARGET: (3, 3),
    }
    frees_at = by_scope[BudgetScope.TARGET].frees_at
    assert frees_at == attempts[0].intended_at + HOUR
    assert by_scope[BudgetScope.GLOBAL].frees_at is None
    oldest = "UPDATE starts SET at = at - interval '1 hour' WHERE attempt_id = $1"
    await db.raw.execute(oldest, attempts[0].id)
    await started(db, owners[3])


async def test_an_undo_and_a_safe_step_spend_nothing(db: Stored) -> None:
    """Nor are they in the way of a budget that is spent."""
    owners, attempts = await spent_up(db)
    safe = await started(db, owners[3], disruptive=False)
    await judge(db, owners[3], safe, None)
    await started(db, owners[2], undo_of=attempts[2].id)
    assert await db.one("SELECT count(*) FROM starts") == 3
    assert (await seen(db, owners[3][1], disruptive=False)).budgets == ()


async def test_each_budget_is_told_by_what_counts_for_it(db: Stored) -> None:
    """Starts of the window, of that namespace, on that target; and when the next one is free of each."""
    owners = await incidents(db, 4)
    few = Budgets(target=1, namespace=2, globally=3)
    places = (("t/1", "prod"), ("t/2", "prod"), ("t/3", "other"), ("t/1", "prod"))
    for owned, (target, namespace) in zip(owners, places, strict=True):
        await started(db, owned, target, namespace=namespace, budgets=Budgets())
        await db.raw.execute("DELETE FROM claims")
    await db.raw.execute(
        "UPDATE starts SET at = at - interval '2 hours' WHERE attempt_id = "
        "(SELECT id FROM attempts WHERE incident_id = $1)",
        owners[0][1].incident.id,
    )
    view = await seen(db, owners[0][1], "t/1", namespace="prod", budgets=few)
    told = [(one.scope, one.name, one.spent, one.frees_at is not None) for one in view.budgets]
    assert told == [
        (BudgetScope.GLOBAL, "", 3, True),
        (BudgetScope.NAMESPACE, "prod", 2, True),
        (BudgetScope.TARGET, "t/1", 1, True),
    ]
    at = {str(target): at for target, at in await db.sql("SELECT target, at FROM starts ORDER BY at")}
    frees = [one.frees_at for one in view.budgets]
    assert frees == [at["t/2"] + few.within, at["t/2"] + few.within, at["t/1"] + few.within]
    alone = await seen(db, owners[0][1], "t/3", namespace="other", budgets=few)
    assert [(one.name, one.spent) for one in alone.budgets] == [("", 3), ("other", 1), ("t/3", 1)]


async def test_the_desk_tells_what_budgets_were_spent_by(db: Stored) -> None:
    """The newest first; what is proven not to have happened is not among them."""
    owners, attempts = await spent_up(db)
    await end(db, owners[1], attempts[1], Outcome.NOT_DONE)
    told = await db.store.starts(await db.store.now() - HOUR, 10)
    assert [(one.attempt_id, one.incident_id) for one in told] == [
        (attempts[n].id, owners[n][1].incident.id) for n in (2, 0)
    ]
    assert await db.store.starts(await db.store.now(), 10) == []


# The circuit breaker ---------------------------------------------------------------------------------


async def verdicts(db: Stored, owners: Sequence[Owned], given: Sequence[Verdict]) -> list[UUID]:
    """Attempts on a target each, judged one after the other."""
    made = []
    for owned, verdict in zip(owners, given, strict=True):
        attempt = await started(db, owned, f"t/{owned[1].incident.id}")
        await judge(db, owned, attempt, verdict)
        made.append(attempt.id)
    return made


R, N, X = Verdict.RECOVERED, Verdict.NOT_RECOVERED, Verdict.NO_DATA


@pytest.mark.parametrize(
    ("given", "is_open"),
    [
        ([N, N, N], True),
        ([N, N], False),
        ([N, N, R, N, N], False),
        ([R, N, X, N, X, N], True),
        ([N, N, N, R], True),
    ],
)
async def test_three_failures_in_a_row_open_the_breaker(
    db: Stored, given: list[Verdict], is_open: bool
) -> None:
    """Of whatever targets and incidents; no data is neither; a later recovery does not close it."""
    owners = await incidents(db, len(given) + 1)
    in_time = [await started(db, owned, f"t/{owned[1].incident.id}") for owned in owners[:-1]]
    for owned, attempt, verdict in zip(owners, in_time, given, strict=False):
        await judge(db, owned, attempt, verdict)
    view = await seen(db, owners[-1][1])
    failed = [one.id for one, verdict in zip(in_time, given, strict=True) if verdict is N]
    assert (view.breaker is not None) is is_open
    if view.breaker is not None:
        assert view.breaker.attempts == tuple(reversed(failed))
    answer = await start(db, owners[-1])
    assert (answer is IntentLost.BROKEN) is is_open
    assert await db.one("SELECT count(*) FROM attempts") == len(given) + (not is_open)


async def test_the_breaker_is_no_other_rules_and_keeps_no_undo(db: Stored) -> None:
    """The undo follows from the very verdict that opened it."""
    owners = await incidents(db, 3)
    failed = await verdicts(db, owners, [N, N, N])
    last = owners[-1]
    assert await start(db, last, "t/safe", disruptive=False) is IntentLost.BROKEN
    assert (await seen(db, last[1], rule="Other")).breaker is None
    await started(db, last, "t/undo", undo_of=failed[-1])


async def test_a_person_resets_the_breaker_and_that_is_kept(db: Stored) -> None:
    """Failures count anew from there; who reset it and why stands beside every opening, for ever."""
    owners = await incidents(db, 7)
    await verdicts(db, owners[:3], [N, N, N])
    assert not await db.store.reset_breaker("Other", "ada", "a guess")
    assert await db.store.reset_breaker(RULE.name, "ada", "the index is back")
    assert not await db.store.reset_breaker(RULE.name, "ada", "once more")
    await verdicts(db, owners[3:5], [N, N])
    assert await db.store.breakers(10, open_only=True) == []
    assert await db.store.open_breaker(RULE.name) is None
    again = await verdicts(db, owners[5:6], [N])
    assert await start(db, owners[6]) is IntentLost.BROKEN
    newest, first = await db.store.breakers(10, open_only=False)
    assert (newest.reset_at, newest.attempts[0]) == (None, again[0])
    assert (first.actor, first.reason) == ("ada", "the index is back")
    assert await db.store.breakers(10, open_only=True) == [newest]
    assert await db.store.open_breaker(RULE.name) == newest
    assert await db.store.open_breaker("Other") is None


async def test_two_failures_at_once_count_each_other(db: Stored) -> None:
    """The second and the third verdict are written at the same time: the breaker opens all the same."""
    owners = await incidents(db, 3)
    attempts = [await started(db, owned, f"t/{n}") for n, owned in enumerate(owners)]
    await judge(db, owners[0], attempts[0], N)
    async with db.raw.transaction():
        await db.raw.execute("LOCK TABLE breakers IN SHARE ROW EXCLUSIVE MODE")
        judging = [
            asyncio.ensure_future(judge(db, owned, attempt, N))
            for owned, attempt in zip(owners[1:], attempts[1:], strict=True)
        ]
        await db.somebody_waits(2)
    await asyncio.gather(*judging)
    assert len(await db.store.breakers(10, open_only=True)) == 1


# Attempts, cooldown, recurrence ----------------------------------------------------------------------


async def test_an_attempt_that_came_between_judging_and_intent_is_looked_at_again(db: Stored) -> None:
    """Another incident acted on the target and is done with it: the limits are judged by what is past."""
    first, second = await incidents(db, 2)
    judged_by = (await seen(db, second[1])).newest
    attempt = await started(db, first)
    await judge(db, first, attempt, R)
    for disruptive in (True, False):
        late = await start(db, second, newest_known=judged_by, disruptive=disruptive)
        assert late is IntentLost.OVERTAKEN
    assert await db.one("SELECT count(*) FROM attempts") == 1
    assert await db.claim(TARGET) is None
    assert isinstance(await start(db, second), Attempt)


async def test_the_cooldown_counts_from_the_end_of_an_attempt_however_long_ago_it_began(db: Stored) -> None:
    """An attempt that began before everything that the limits ask for, and ended five minutes ago."""
    first, second = await incidents(db, 2)
    attempt = await started(db, first)
    await end(db, first, attempt, Outcome.DONE)
    earlier = (
        "UPDATE attempts SET intended_at = intended_at - $1::interval, ended_at = ended_at - $2::interval"
    )
    await db.raw.execute(earlier, 3 * HOUR, timedelta(minutes=5))
    limits = Limits(attempts=3, per=HOUR, cooldown=timedelta(minutes=10))
    now = await db.store.now()
    view = await seen(db, second[1], limits=limits, now=now)
    verdict = cooldown(facts(now=now, limits=limits, history=view.history), Terms())
    assert verdict.ruling is Ruling.WAIT


async def test_recurrence_counts_the_other_incidents_that_needed_the_rule(db: Stored) -> None:
    """On that target, within the time, each once, though it worked; not what did not happen, nor this one."""
    owners = await incidents(db, 5)
    for owned, times in zip(owners, (1, 2, 1, 1, 1), strict=True):
        for _ in range(times):
            attempt = await started(db, owned, disruptive=False)
            await judge(db, owned, attempt, R)
    [nothing] = await attempts_of(db, owners[2])
    await end(db, owners[2], nothing, Outcome.NOT_DONE)
    early = "UPDATE attempts SET intended_at = intended_at - interval '11 days' WHERE incident_id = $1"
    await db.raw.execute(early, owners[3][1].incident.id)
    lease, _ = owners[4]
    case = await db.store.load(lease)
    opened = case.incident.progress.model_copy(update={"opened_at": case.incident.opened_at})
    case = case.model_copy(update={"incident": case.incident.model_copy(update={"progress": opened})})
    limits = RULE.limits.model_copy(update={"recurrence": Recurrence(count=3, within=timedelta(days=10))})
    assert (await seen(db, case, limits=limits)).recurred == 2
    assert (await seen(db, case)).recurred == 0
    assert (await seen(db, case, "t/other", limits=limits)).recurred == 0


async def attempts_of(db: Stored, owned: Owned) -> tuple[Attempt, ...]:
    dossier = await db.store.incident(owned[1].incident.id)
    assert dossier is not None
    return dossier.attempts


# What goes on elsewhere ------------------------------------------------------------------------------


async def test_open_incidents_of_a_rule_are_those_under_way(db: Stored) -> None:
    """The one that asks, and all that are neither waiting nor over; the others are named by their group.

    What is resolved and fires again is about to reopen; what fires no more is not.
    """
    owners = await incidents(db, len(IncidentState))
    for owned, state in zip(owners, IncidentState, strict=True):
        assert await db.store.record(*owned, change(owned[1], state))
    under_way = [
        f"server=db{n}"
        for n, state in enumerate(IncidentState, 1)
        if state.live and state is not IncidentState.PENDING
    ]
    limits = RULE.limits.model_copy(update={"only_if_open_at_most": 3})
    asker = owners[0][1]
    found = (await seen(db, asker, limits=limits)).open_incidents
    assert found == OpenIncidents(count=1 + len(under_way), others=tuple(under_way[:3]))
    await db.sql("UPDATE incidents SET key = '{}' WHERE key ->> 'server' = 'db2'")
    unnamed = (await seen(db, asker, limits=limits)).open_incidents
    assert unnamed == OpenIncidents(count=1 + len(under_way), others=tuple(under_way[1:4]))
    await db.sql("UPDATE members SET ends_at = joined_at")
    silent = (await seen(db, asker, limits=limits)).open_incidents
    assert silent is not None
    assert silent.count == len(under_way), "all but the resolved one: it matters to no other"
    assert (await seen(db, asker)).open_incidents is None
    assert (await seen(db, asker, limits=limits, rule="Other")).open_incidents == OpenIncidents(count=1)


async def test_of_many_that_are_heard_of_together_the_first_sees_all_others(db: Stored) -> None:
    """Its own opening may not be written yet, nor any other's: what is due to open counts all the same."""
    await db.observe(*(alert(server=f"db{n}") for n in (1, 2, 3)))
    await db.observe(alert(server="db4"), pending_for=HOUR)
    _, case = await db.leased()
    limits = RULE.limits.model_copy(update={"only_if_open_at_most": 1})
    found = (await seen(db, case, limits=limits)).open_incidents
    assert found is not None
    assert (found.count, len(found.others)) == (3, 2)
    assert "server=db4" not in found.others


async def test_an_incident_that_a_person_opened_under_a_rule_keeps_that_rule_from_nothing(
    db: Stored,
) -> None:
    """It has the rule's runbook; the outage that `only_if_open_at_most` looks for is one of alerts."""
    asked = ByHand(actor="ada", reason="customers call", title="it is slow", asked_at=await db.store.now())
    await db.store.open_by_hand(NewByHand(None, asked, RULE, {}, Severity.P2))
    await db.sql("UPDATE incidents SET state = 'escalated', due_at = NULL")
    [(_, case)] = await incidents(db, 1)
    await db.sql("UPDATE incidents SET state = 'open' WHERE state = 'pending'")
    limits = RULE.limits.model_copy(update={"only_if_open_at_most": 1})
    assert (await seen(db, case, limits=limits)).open_incidents == OpenIncidents(count=1)


async def test_in_a_storm_no_more_open_incidents_are_counted_than_tell_something(db: Stored) -> None:
    """Two hundred are as good as all of them."""
    await db.observe(*(alert(server=f"db{n}") for n in range(250)))
    await db.raw.execute("UPDATE incidents SET state = 'open'")
    _, case = await db.leased()
    limits = RULE.limits.model_copy(update={"only_if_open_at_most": 3})
    found = (await seen(db, case, limits=limits)).open_incidents
    assert found is not None
    assert (found.count, found.more) == (200, True)


async def test_the_nth_newest_episode_tells_since_when_an_alert_flaps(db: Stored) -> None:
    """Of the alert that began most often, across incidents; what began less often says nothing."""
    await db.observe(alert("calm"))
    for n in range(4):
        await db.observe(alert(start=2 * n))
        await db.observe(ended(start=2 * n, end=2 * n + 1))
    await db.observe(alert(start=8))
    _, case = await db.leased()
    began = [
        at
        for (at,) in await db.sql(
            """SELECT m.joined_at FROM members m JOIN alerts a USING (source, fingerprint)
               WHERE a.labels ->> 'pod' = 'a' ORDER BY m.generation"""
        )
    ]
    assert len(began) == 5
    for often, at in ((5, began[0]), (4, began[1]), (2, began[3]), (6, None)):
        asked = Flapping(episodes=often)
        assert (await seen(db, case, flapping=asked)).flapped_at == at
    await db.raw.execute("UPDATE members SET incident_id = gen_random_uuid() WHERE ends_at IS NOT NULL")
    assert (await seen(db, case)).flapped_at == began[0]
    assert (await seen(db, case, None)).flapped_at is None, "without a target nothing is counted"
    await db.raw.execute(
        """INSERT INTO members
               (source, fingerprint, generation, rule, incident_id, starts_at, seen_at, joined_at)
           SELECT source, fingerprint, generation, 'Other', gen_random_uuid(), starts_at, seen_at, joined_at
           FROM members"""
    )
    for often, at in ((5, began[0]), (2, began[3]), (6, None)):
        asked = Flapping(episodes=often)
        assert (await seen(db, case, flapping=asked)).flapped_at == at, "an episode of two rules is one"


async def test_what_flaps_elsewhere_or_has_ended_says_nothing_of_an_incident(db: Stored) -> None:
    """An alert of another incident, one of ours that does not fire any more, one of another source."""
    await db.observe(alert("calm"))
    _, case = await db.leased()
    for pod, server in (("elsewhere", "db2"), ("over", "db1")):
        for n in range(5):
            await db.observe(alert(pod, start=2 * n, server=server))
            await db.observe(ended(pod, start=2 * n, end=2 * n + 1, server=server))
    await db.observe(alert("elsewhere", start=20, server="db2"))
    await db.sql("UPDATE members SET incident_id = $1 WHERE ends_at IS NOT NULL", case.incident.id)
    [(calm,)] = await db.sql("SELECT fingerprint FROM alerts WHERE labels ->> 'pod' = 'calm'")
    await db.sql(
        """INSERT INTO members (source, fingerprint, generation, incident_id, starts_at, seen_at, joined_at)
           SELECT 'other', $1, n, gen_random_uuid(), now(), now(), now() FROM generate_series(2, 9) AS n""",
        calm,
    )
    assert (await seen(db, case)).flapped_at is None
